"""Several live inputs as one: the first one wins while it is valid, one packet of each kind a tick."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from greenroom.capture.packets import NewestSamples, encode_audio, encode_body, encode_face, newest
from greenroom.capture.receivers import sound_file
from greenroom.clock import tick_ns
from greenroom.contracts import Packet
from greenroom.live.inputs import MergedReceiver, open_inputs

NAN3 = np.full(3, np.nan, np.float32)


class Script:
    """A receiver that gives what it is told at each tick."""

    def __init__(self, packets: dict[int, list[bytes]]) -> None:
        self.packets = packets
        self.is_closed = False

    def poll(self, now_ns: int) -> list[Packet]:
        tick = round(now_ns * 30 / 1e9)
        return [Packet(now_ns, data) for data in self.packets.get(tick, [])]

    def close(self) -> None:
        self.is_closed = True


def body(tick: int, x: float = 0.0, root: np.ndarray | None = None, present: bool = True) -> bytes:
    rotations = np.full((55, 4), np.nan, np.float32)
    if present:
        rotations[:] = (0, 0, 0, 1)
    place = np.asarray([x, 1, 0], np.float32) if root is None else root
    validity = np.full(55, float(present), np.float32)
    return encode_body(tick, place, rotations, validity=validity, flags=0)


def face(tick: int, weight: float) -> bytes:
    return encode_face(tick, np.full(52, weight, np.float32))


def play(receiver: MergedReceiver, ticks: int) -> list[NewestSamples]:
    out = []
    for tick in range(ticks):
        packets = receiver.poll(tick_ns(tick))
        kinds = [packet.data[2] for packet in packets]
        assert len(kinds) == len(set(kinds)) and kinds == sorted(kinds)
        out.append(newest(packets))
    return out


def test_the_one_named_first_wins_until_it_was_silent_for_half_a_second() -> None:
    first = Script({tick: [face(tick, 0.25)] for tick in range(10)})
    second = Script({tick: [face(tick, 0.75)] for tick in range(60)})
    out = play(MergedReceiver([first, second]), 60)
    weights = [None if s.face is None else float(s.face.weights[0]) for s in out]
    assert weights == [0.25] * 10 + [None] * 15 + [0.75] * 35


def test_of_two_packets_of_a_kind_the_newest_is_taken() -> None:
    both = Script({0: [body(0, 1.0), body(0, 2.0), encode_audio(0, np.zeros(800, np.float32))]})
    [out] = play(MergedReceiver([both]), 1)
    assert out.body is not None and out.body.root[0] == 2 and out.sound is not None


def test_a_body_stands_where_another_source_says() -> None:
    bodies = Script({tick: [body(tick, root=NAN3)] for tick in range(40)})
    roots = Script({tick: [body(tick, 3.0, present=False)] for tick in range(10)})
    out = play(MergedReceiver([bodies, roots], height=0.8), 40)
    places = [None if s.body is None else round(float(s.body.root[0]), 3) for s in out]
    assert places == [3] * 25 + [0] * 15
    assert out[-1].body is not None and abs(out[-1].body.root[1] - 0.8) < 1e-6
    assert all(s.body is not None and s.body.validity[0] == 1 for s in out)


def test_another_bodys_beginning_is_marked_so_that_it_is_eased() -> None:
    first = Script({tick: [body(tick)] for tick in range(3)})
    second = Script({tick: [body(tick, 1.0)] for tick in range(30)})
    out = play(MergedReceiver([first, second]), 30)
    marks = [tick for tick, s in enumerate(out) if s.body is not None and s.body.first_of_clip]
    assert marks == [18]


def test_all_are_closed_and_counted() -> None:
    scripts = [Script({0: [face(0, 1)]}), Script({})]
    merged = MergedReceiver(scripts, ["wav:a", ""])
    merged.poll(0)
    merged.close()
    assert all(script.is_closed for script in scripts)
    [report] = merged.reports()
    assert (report["url"], report["received"], report["malformed"]) == ("wav:a", 1, 0)


def test_what_takes_long_is_done_before_an_engine_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "voice.wav", np.full(48_000, 0.25), 48_000)
    unused: Any = None
    inputs = open_inputs(unused, [f"wav:{tmp_path / 'voice.wav'}?use=voice"], 60)
    inputs.prepare()
    monkeypatch.setattr(sound_file, "read_audio", None)  # nothing is decoded from now on
    for first in (0, 10):  # an engine may be called back
        receiver = inputs.receiver((), first)
        assert len(receiver.poll(tick_ns(20))) == 1
        receiver.close()
