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

    def give(self, value: float, frames: int = 800) -> None:
        samples = np.full((frames, 1), value, np.float32)
        self.callback(samples, frames, None, False)


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = SimpleNamespace(InputStream=FakeStream, check_input_settings=lambda **options: None)
    monkeypatch.setitem(sys.modules, "sounddevice", module)  # type: ignore[arg-type]
    return module


def test_each_tick_gets_its_sound_and_old_sound_is_dropped(portaudio: SimpleNamespace) -> None:
    receiver: Any = open_receiver("mic://USB%20Mic", None)  # type: ignore[arg-type]
    assert receiver.poll(0) == [] and FakeStream.last.options["device"] == "USB Mic"
    assert FakeStream.last.options["samplerate"] == 24_000
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):
        FakeStream.last.give(value)
    sounds = [newest(receiver.poll(tick_ns(tick))).sound for tick in range(1, 5)]
    assert [None if s is None else round(float(s[0]), 1) for s in sounds] == [0.3, 0.4, 0.5, None]
    assert receiver.reports()[0]["received"] == 3 and receiver.reports()[0]["lost"] == 2
    receiver.close()
    assert receiver.poll(tick_ns(9)) == []


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
    Busy.last.give(0.1)
    assert len(receiver.poll(tick_ns(91))) == 1
    assert receiver.reports()[0]["malformed"] == 2
    receiver.close()


def test_it_conforms(portaudio: SimpleNamespace) -> None:
    def feed(tick: int) -> None:
        if tick:
            FakeStream.last.give(0.1)

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
