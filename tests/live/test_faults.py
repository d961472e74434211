"""What goes wrong between a sender and us, on the virtual clock: the show goes on, and replays exactly.

Real datagrams pass the decoders, the jitter buffers, the merging and the shipped release's performer. A
failure names its seed; FAULT_SEEDS=17,18 tries others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from greenroom import embedded
from greenroom.capture.receivers import datagrams
from greenroom.capture.receivers.datagrams import DatagramReceiver, ReceiverCounts
from greenroom.capture.receivers.live_link import LiveLinkDecoder
from greenroom.capture.receivers.vmc import VmcDecoder
from greenroom.clock import VirtualClock
from greenroom.frames import ARKIT
from greenroom.live.engine import Engine
from greenroom.live.inputs import MergedReceiver
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.performer import Performer
from greenroom.live.replay import Replayer
from greenroom.live.ring import Ring, frame_of, rung_of
from greenroom.registry.release import Release, load_release
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace
from tests import examples
from tests.live.simulated_network import RATE, Fault, SimulatedPort, jaw, sway
from tests.live.stand_in import KeptSink

SEEDS = [int(seed) for seed in os.environ.get("FAULT_SEEDS", "1,2").split(",")]
SECONDS, WARM = 6, 15
LOST_AFTER = 6
"""Ticks from the last datagram until capture counts as lost: 0.15 s, the buffer, and a tick."""


@dataclass
class Evening:
    """A show that was performed over a simulated network."""

    rows: list[NDArray[Any]]
    body: SimulatedPort
    face: SimulatedPort
    reports: dict[str, dict[str, Any]]

    @property
    def sources(self) -> list[str]:
        return [rung_of(row) for row in self.rows]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    workspace = Workspace(tmp_path_factory.mktemp("faults"))
    return load_release(workspace, embedded.install(workspace))


def perform(
    release: Release, folder: Path, seed: int, fault: Fault, seconds: float = SECONDS
) -> Evening:
    """Perform, check what holds for every show, and replay it."""
    role = release.role
    backend = OnnxBackend(release.graph, role.shape)
    receivers, ports = [], []
    for kind, decoder in (("vmc", VmcDecoder), ("livelink", LiveLinkDecoder)):
        counts, port = ReceiverCounts(), SimulatedPort(kind, fault, seed + len(ports), seconds)
        ports.append(port)
        receivers.append(DatagramReceiver(f"{kind}:", port, decoder(counts), counts))  # type: ignore
    merged = MergedReceiver(receivers, ["vmc:", "livelink:"], height=0.95)
    ring = Ring(folder / "ring", role.shape, create=True)
    rows: list[NDArray[Any]] = []
    write = ring.write
    ring.write = lambda row: (rows.append(row.copy()), write(row))  # type: ignore
    engine = Engine(Performer(role, backend, 0), merged, [KeptSink()], ring, VirtualClock())  # type: ignore
    engine.rehearse = lambda tick, due_ns: None  # type: ignore[method-assign]
    ticks = round(seconds * 30)
    assert engine.run(0, 0, ticks, bool) == ticks
    reports = {report["url"]: report for report in merged.reports()}
    evening = Evening(rows, ports[0], ports[1], reports)
    _check(evening, ticks)
    part = LoadedModel(role, backend)
    again = Replayer(lambda index: part, examples.show("0" * 64))
    for row in rows:
        assert again.step(row)[1:] == ([], []), f"tick {int(row['tick'])} replays otherwise"
    return evening


def _check(evening: Evening, ticks: int) -> None:
    """A frame at every tick, finite, on the floor, and no faster than a person; all is counted."""
    assert [int(row["tick"]) for row in evening.rows] == list(range(ticks))
    frames = [frame_of(row) for row in evening.rows]
    roots = np.stack([frame.root for frame in frames])
    turns = np.stack([frame.rotations for frame in frames])
    assert np.isfinite(roots).all() and np.isfinite(turns).all()
    np.testing.assert_allclose((turns**2).sum(axis=-1), 1, atol=1e-3)
    assert (roots[:, 1] > 0.4).all() and (roots[:, 1] < 1.3).all()
    assert np.linalg.norm(np.diff(roots, axis=0), axis=1).max() * 30 < 3
    faces = np.stack([frame.face for frame in frames])
    present = faces[np.isfinite(faces)]
    assert ((present >= 0) & (present <= 1)).all()
    for port in (evening.body, evening.face):
        report = evening.reports[f"{port.kind}:"]
        assert report["received"] == port.tally.delivered
        assert report["malformed"] == port.tally.absurd and report["refused"] == 0


@contextmanager
def replayable(seed: int, request: pytest.FixtureRequest) -> Iterator[None]:
    """Say with which seed a failure comes again."""
    try:
        yield
    except BaseException as error:
        name = request.node.name.partition("[")[0]
        error.add_note(
            f"seed {seed}: FAULT_SEEDS={seed} pytest tests/live/test_faults.py -k {name}"
        )
        raise


@pytest.fixture(autouse=True)
def no_decoding_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding takes no time: how busy this machine is decides nothing."""
    monkeypatch.setattr(datagrams.time, "thread_time_ns", lambda: 0)


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed{seed}")
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    yield request.param


def shows_truth(evening: Evening, first: int, last: int, within_s: float = 0.03) -> None:
    """Body and face are where the person was a buffer and a way ago, give or take `within_s`."""
    for row in evening.rows[first:last]:
        frame, at_s = frame_of(row), int(row["tick"]) / 30 - 0.013
        assert abs(frame.root[0] - sway(at_s)) < 0.4 * within_s + 0.005, int(row["tick"])
        weight = frame.face[ARKIT.index("jawOpen")]
        assert abs(weight - jaw(at_s)) < 1.2 * within_s + 0.08, int(row["tick"])


@pytest.mark.parametrize("loss", [0.01, 0.1, 0.3, 0.5])
def test_loss(
    release: Release, tmp_path: Path, seed: int, loss: float, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(loss=loss))
        tally = evening.face.tally
        assert evening.reports["livelink:"]["lost"] == tally.lost
        captured = evening.sources[WARM:].count("capture")
        assert captured >= (0.97 if loss < 0.5 else 0.9) * len(evening.sources[WARM:])
        if loss <= 0.1:
            assert captured == len(evening.sources[WARM:])
            shows_truth(evening, 2 * WARM, len(evening.rows), within_s=0.05)


def test_bursts(
    release: Release, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    """Half a second is lost at once, again and again: lost, said so, and back."""
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(burst=30), seconds=16)
        lost = evening.reports["livelink:"]["lost"]
        assert 30 <= lost == evening.face.tally.lost
        sources = evening.sources[WARM:]
        assert "capture" in sources and set(sources) <= {"capture", "idle", "free"}
        reasons = {bytes(row["reason"]) for row in evening.rows if rung_of(row) != "capture"}
        assert all(reason.startswith(b"capture") for reason in reasons)


def test_ten_seconds_of_silence(
    release: Release, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(silence=(3, 13)), seconds=16)
        sources = evening.sources
        assert set(sources[WARM : 90 + 2]) == {"capture"}
        assert "capture" not in sources[90 + LOST_AFTER : 390]
        assert set(sources[90 + 60 : 390]) == {"idle"}  # at ease
        assert set(sources[390 + 3 :]) == {"capture"}
        assert bytes(evening.rows[200]["reason"]).startswith(b"capture and voice lost")
        assert evening.reports["livelink:"]["lost"] == evening.face.tally.lost == 600
        shows_truth(evening, 390 + 60, 480)


def test_duplicates(
    release: Release, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(duplicates=0.3))
        for port in (evening.body, evening.face):
            report = evening.reports[f"{port.kind}:"]
            assert report["duplicated"] == port.tally.duplicated > 50
            assert report["lost"] == report["reordered"] == 0
        assert set(evening.sources[WARM:]) == {"capture"}
        shows_truth(evening, 2 * WARM, len(evening.rows))


def test_reordering(
    release: Release, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(overtaken=0.1, jitter_s=1e-5))
        for port in (evening.body, evening.face):
            report = evening.reports[f"{port.kind}:"]
            assert 0 < report["reordered"] <= port.tally.overtaken
            assert report["duplicated"] == 0
        assert set(evening.sources[WARM:]) == {"capture"}
        shows_truth(evening, 2 * WARM, len(evening.rows))


@pytest.mark.parametrize("restart_s", [0.5, 4.0])
def test_a_sender_that_begins_anew(
    release: Release, tmp_path: Path, seed: int, restart_s: float, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(restart_s=restart_s))
        assert set(evening.sources[WARM:]) == {"capture"}
        assert evening.reports["livelink:"]["lost"] == 0
        shows_truth(evening, 2 * WARM, len(evening.rows))


@pytest.mark.parametrize("hours", [1.0, -1.0])
def test_a_clock_that_jumps_by_an_hour(
    release: Release, tmp_path: Path, seed: int, hours: float, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(jump=(4.0, 3600 * hours)))
        assert set(evening.sources[WARM:]) == {"capture"}
        shows_truth(evening, 2 * WARM, len(evening.rows))


@pytest.mark.parametrize("pace", [0.0, 0.5, 0.98, 1.001, 2.0])
def test_a_clock_of_another_pace(
    release: Release, tmp_path: Path, seed: int, pace: float, request: pytest.FixtureRequest
) -> None:
    """A clock that stands, one that counts frames of another rate: what is newest is played."""
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(pace=pace))
        assert set(evening.sources[WARM:]) == {"capture"}
        shows_truth(evening, 2 * WARM, len(evening.rows))


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_numbers_that_no_person_has(
    release: Release, tmp_path: Path, seed: int, share: float, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        evening = perform(release, tmp_path, seed, Fault(absurd=share))
        assert evening.body.tally.absurd > 5 and evening.face.tally.absurd > 5
        captured = evening.sources[WARM:].count("capture")
        assert captured >= 0.9 * len(evening.sources[WARM:])
        if share < 0.1:
            shows_truth(evening, 2 * WARM, len(evening.rows), within_s=0.06)


def test_everything_at_once(
    release: Release, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    with replayable(seed, request):
        fault = Fault(
            loss=0.1,
            burst=20,
            silence=(6, 8),
            duplicates=0.1,
            overtaken=0.05,
            restart_s=5.0,
            jump=(10.0, 3600.0),
            absurd=0.05,
            jitter_s=0.01,
        )
        evening = perform(release, tmp_path, seed, fault, seconds=16)
        assert evening.sources[7 * 30 : 8 * 30].count("capture") == 0
        assert evening.sources[9 * 30 :].count("capture") > 0.6 * 7 * 30


def test_the_simulation_itself_gives_the_same_datagrams_for_a_seed() -> None:
    fault = Fault(loss=0.2, duplicates=0.2, overtaken=0.2, absurd=0.1)
    one, other, third = (SimulatedPort("livelink", fault, seed, 4) for seed in (1, 1, 2))
    first, second, different = (port.read(10**10) for port in (one, other, third))
    assert first == second != different
    assert (
        one.tally.delivered
        == len(first)
        == 4 * RATE - len(one.tally.dropped) + one.tally.duplicated
    )
