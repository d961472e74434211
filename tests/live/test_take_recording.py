"""Rows that no model performs become a take: body, face and voice on one clock, with their gaps."""

from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.ingest import load_take
from greenroom.capture.packets import encode_audio, encode_body, encode_face
from greenroom.clock import TICK_HZ, VirtualClock, tick_ns
from greenroom.contracts import Packet
from greenroom.frames import ARKIT, BONES, HUMANOID, SAMPLES_PER_TICK
from greenroom.live import record
from greenroom.live.ring import Ring
from greenroom.live.take_recording import NO_MODEL, TakeCapture, make_recording, store_recording
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace


class Sends:
    """A receiver that gives a body, a face and a voice at the ticks that it was told."""

    def __init__(self, bodies: set[int], faces: set[int], sounds: set[int]) -> None:
        self.bodies, self.faces, self.sounds = bodies, faces, sounds

    def poll(self, now_ns: int) -> list[Packet]:
        tick = round(now_ns * TICK_HZ / 1e9)
        out = []
        if tick in self.bodies:
            turns = np.tile(np.float32([0, 0, 0, 1]), (len(BONES), 1))
            whole = np.ones(len(BONES), dtype=np.float32)
            root = HUMANOID.offsets[0] + np.float32([tick, 0, 0])
            out.append(encode_body(tick, root, turns, validity=whole, flags=0))
        if tick in self.faces:
            out.append(encode_face(tick, np.full(len(ARKIT), tick / 100, dtype=np.float32)))
        if tick in self.sounds:
            out.append(encode_audio(tick, np.full(SAMPLES_PER_TICK, tick / 100, dtype=np.float32)))
        return [Packet(now_ns, data) for data in out]

    def close(self) -> None:
        pass


def rows_of(sends: Sends, ticks: int, path: Path) -> list[np.ndarray]:
    ring = Ring(path, NO_MODEL, create=True)
    capture = TakeCapture(sends, ring)
    for tick in range(ticks):
        capture.tick(tick, tick_ns(tick))
    return ring.read(0)[0]


def test_all_media_lie_on_one_clock(tmp_path: Path) -> None:
    bodies, faces, sounds = {*range(5, 10), *range(20, 30)}, {12, 13}, set(range(8, 33))
    rows = rows_of(Sends(bodies, faces, sounds), 40, tmp_path / "ring")
    workspace = Workspace(tmp_path / "home")
    take = store_recording(workspace, rows, Attribution("mira", name="live"), "test")
    recording = load_take(workspace, take)
    assert recording.body is not None and recording.face is not None and recording.audio is not None
    assert len(recording.body) == len(recording.face) == 28  # from tick 5 to 32
    assert np.flatnonzero(recording.body.validity.any(axis=1)).tolist() == sorted(
        tick - 5 for tick in bodies
    )
    assert np.flatnonzero(np.isfinite(recording.face.weights).any(axis=1)).tolist() == [7, 8]
    assert recording.face.weights[7, 0] == np.float32(0.12)
    voice = recording.audio.samples.reshape(28, SAMPLES_PER_TICK)
    assert voice[:, 0].tolist() == [0, 0, 0, *(np.float32(tick / 100) for tick in range(8, 33))]
    assert recording.body.root[15, 0] == 20


def test_the_same_capture_is_the_same_take(tmp_path: Path) -> None:
    rows = rows_of(Sends({1, 2}, set(), {2}), 4, tmp_path / "ring")
    workspace = Workspace(tmp_path / "home")
    first = store_recording(workspace, rows, Attribution("mira", name="a"), "test")
    assert store_recording(workspace, rows, Attribution("mira", name="b"), "test") == first


@pytest.mark.parametrize("only", ["body", "face", "voice"])
def test_one_medium_is_enough(tmp_path: Path, only: str) -> None:
    sends = Sends(*({3, 4} if only == kind else set() for kind in ("body", "face", "voice")))
    recording = make_recording(rows_of(sends, 8, tmp_path / "ring"), "live")
    assert recording is not None
    assert list(recording.originals) == ["audio" if only == "voice" else only]


def test_nothing_that_arrived_is_no_take(tmp_path: Path) -> None:
    rows = rows_of(Sends(set(), set(), set()), 8, tmp_path / "ring")
    workspace = Workspace(tmp_path / "home")
    assert store_recording(workspace, rows, Attribution("mira", name="live"), "test") == ""


class CountsChecks:
    """Stands for the recorder's handle: it counts how often it was looked at."""

    def __init__(self) -> None:
        self.checks = 0

    def check(self) -> None:
        self.checks += 1


@pytest.mark.parametrize(("ticks", "told"), [(None, 1), (2, 0)])
def test_a_take_ends_by_itself_before_it_is_too_long_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ticks: int | None, told: int
) -> None:
    monkeypatch.setattr(record, "LONGEST_S", 0.1)
    ring, warnings = Ring(tmp_path / "ring", NO_MODEL, create=True), list[str]()
    recorder, hooks = CountsChecks(), record.RecordHooks(warn=warnings.append)
    spec = record.TakeSpec(Attribution("mira", name="live"), [], ticks)
    capture = TakeCapture(Sends({1}, set(), set()), ring)
    done = record._capture(capture, spec, recorder, hooks=hooks, clock=VirtualClock())  # type: ignore[arg-type]
    assert done == recorder.checks == (3 if ticks is None else 2) and len(warnings) == told
    assert len(ring.read(0)[0]) == done
