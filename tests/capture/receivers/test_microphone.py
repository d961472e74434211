import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from greenroom.capture.packets import newest
from greenroom.capture.receivers import open_receiver, try_receiver
from greenroom.clock import tick_ns
from greenroom.errors import BadInput, MissingExtra
from greenroom.testing import check_receiver


class FakeStream:
    """PortAudio's stream, whose sound the test gives."""

    last: Any = None

    def __init__(self, callback: Any, **options: Any) -> None:
        self.callback, self.options = callback, options
        FakeStream.last = self

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def give(self, value: float, frames: int = 400) -> None:
        samples = np.full((frames, 1), value, np.float32)
        self.callback(samples, frames, None, False)


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = SimpleNamespace(InputStream=FakeStream, check_input_settings=lambda **options: None)
    monkeypatch.setitem(sys.modules, "sounddevice", module)  # type: ignore[arg-type]
    return module


def test_each_tick_gets_its_sound_a_moment_later(portaudio: SimpleNamespace) -> None:
    receiver: Any = open_receiver("mic://USB%20Mic", None)  # type: ignore[arg-type]
    assert receiver.poll(0) == [] and FakeStream.last.options["device"] == "USB Mic"
    assert FakeStream.last.options["samplerate"] == 24_000
    sounds = []
    for tick in range(1, 40):
        FakeStream.last.give(tick / 40)
        FakeStream.last.give(tick / 40)
        sounds.append(newest(receiver.poll(tick_ns(tick))).sound)
    assert sounds[0] is None
    for tick, sound in enumerate(sounds[3:], start=4):  # 30 ms: nine tenths of a tick
        assert sound is not None and float(sound[-1]) == pytest.approx(tick / 40, abs=1e-3)
        assert float(sound[0]) == pytest.approx((tick - 1) / 40, abs=1e-3)
    [report] = receiver.reports()
    assert report["received"] >= 37 and report["lost"] == report["malformed"] == 0
    assert report["buffer_ms"] == 30 and 0 <= report["delay_ms"] < 40
    receiver.close()
    assert receiver.poll(tick_ns(50)) == []


def test_after_a_stall_each_tick_has_its_own_sound(portaudio: SimpleNamespace) -> None:
    receiver: Any = open_receiver("mic://", None)  # type: ignore[arg-type]
    receiver.poll(0)
    for tick in (*range(1, 20), 25):
        FakeStream.last.give(0.1)
        FakeStream.last.give(0.1)
        packets = receiver.poll(tick_ns(tick))
        assert receiver.poll(tick_ns(tick)) == []
    numbers = [int.from_bytes(packet.data[4:8], "little") for packet in packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and 1 <= len(numbers) <= 6
    receiver.close()


def test_sound_that_is_no_number_is_counted_and_passed_over(portaudio: SimpleNamespace) -> None:
    receiver: Any = open_receiver("mic://", None)  # type: ignore[arg-type]
    receiver.poll(0)
    FakeStream.last.give(float("nan"))
    assert receiver.poll(tick_ns(1)) == [] and receiver.reports()[0]["malformed"] == 1
    receiver.close()


def test_a_device_that_fails_at_first_is_tried_again_each_second(
    portaudio: SimpleNamespace,
) -> None:
    class Busy(FakeStream):
        tries = 0
        closed = 0

        def start(self) -> None:
            Busy.tries += 1
            if Busy.tries < 3:
                raise OSError("device busy")

        def close(self) -> None:
            Busy.closed += 1

    portaudio.InputStream = Busy
    receiver: Any = open_receiver("mic://", None)  # type: ignore[arg-type]
    tries = []
    for tick in range(0, 90, 10):
        receiver.poll(tick_ns(tick))
        if receiver._opening is not None:
            receiver._opening.join()
        tries.append(Busy.tries)
    assert tries == [1, 1, 1, 2, 2, 2, 3, 3, 3] and Busy.closed == 2
    for tick in range(91, 96):
        Busy.last.give(0.1, 800)
        packets = receiver.poll(tick_ns(tick))
    assert len(packets) == 1
    assert receiver.reports()[0]["malformed"] == 2
    receiver.close()


def test_it_conforms(portaudio: SimpleNamespace) -> None:
    def feed(tick: int) -> None:
        if tick:
            FakeStream.last.give(0.1, 800)

    check_receiver(lambda: open_receiver("mic://", None), feed=feed)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_told_before_the_show(portaudio: SimpleNamespace) -> None:
    def refuse(**options: Any) -> None:
        raise ValueError("No input device matching 'x'")

    portaudio.check_input_settings = refuse
    with pytest.raises(BadInput, match="No input device"):
        try_receiver("mic://x", None)  # type: ignore[arg-type]


def test_without_portaudio_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str, extra: str, purpose: str = "") -> None:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr("greenroom.capture.receivers.microphone.require", missing)
    with pytest.raises(BadInput, match="has no PortAudio.*libportaudio2"):
        open_receiver("mic://", None)  # type: ignore[arg-type]


def test_without_the_extra_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtra, match="sound"):
        open_receiver("mic://", None)  # type: ignore[arg-type]
