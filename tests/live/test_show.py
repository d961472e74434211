"""A whole show: a real engine process, a real graph, a recording, a replay in another process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from greenroom import embedded
from greenroom.capture.formats.bvh import body_to_motion, write_bvh
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.clock import VirtualClock, tick_ns
from greenroom.consent.records import read_rights
from greenroom.errors import BadInput, CorruptObject, GreenroomError, Refused
from greenroom.live.engine import Engine
from greenroom.live.performer import Performer
from greenroom.live.playlist import open_playlist
from greenroom.live.recorder import SEGMENT, Recorder, read_ledger
from greenroom.live.replay import performed_motion, verify
from greenroom.live.ring import Ring, shared_folder, slot_type
from greenroom.live.show import ShowHooks, ShowResult, perform
from greenroom.live.supervisor import ShowSpec
from greenroom.manifests import Model, ReleaseManifest, ShowParents
from greenroom.metrics.positions import joint_positions
from greenroom.registry.approval import revoke, sign_approval
from greenroom.registry.promote import (
    live_ref,
    live_release,
    previous_of,
    promote,
    rollback,
    start_canary,
)
from greenroom.registry.release import load_release
from greenroom.rotations import angle_between
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples
from tests.live import stand_in
from tests.people import with_key

TICKS = 75


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory, person: object) -> tuple[Workspace, ShowResult]:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    release = load_release(workspace, embedded.install(workspace))
    data = person() if callable(person) else person
    recording = read_recording(data, "walk.bvh")
    take = store_take(
        workspace, recording, Attribution("mira", ("p",), (read_rights("MIT", "p"),)), "test"
    )
    order = ShowSpec(release, [take], TICKS, cuts=[(30, 45)], sinks=["vmc://127.0.0.1:39539"])
    return workspace, perform(workspace, order, "test")


def test_every_frame_is_performed_and_accounted_for(show: tuple[Workspace, ShowResult]) -> None:
    _, done = show
    assert done.json["frames"] == TICKS
    assert sum(done.json["rungs"].values()) == TICKS
    assert sum(done.json["rungs"].get(name, 0) for name in ("speech", "idle", "free")) == 15
    assert (done.json["ticks"], done.json["missed"]) == (TICKS, 0)
    assert done.json["model_ms"]["p50"] > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_it_replays_bit_for_bit_in_a_fresh_process(
    show: tuple[Workspace, ShowResult], threads: int
) -> None:
    workspace, done = show
    verdict = _verified(workspace, done.show, threads)
    assert (verdict["exact"], verdict["first_difference"]) == (TICKS, None)
    assert (verdict["features"], verdict["model"], verdict["class"]) == (TICKS, TICKS, "EXACT")


def test_a_flipped_bit_in_any_object_is_caught(show: tuple[Workspace, ShowResult]) -> None:
    workspace, done = show
    for name in list(workspace.objects):
        path = workspace.objects.path(name)
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[len(flipped) // 2] ^= 4
        path.write_bytes(flipped)
        assert any(name in fault.name for fault in workspace.fsck().bad), name
        path.write_bytes(data)
    segment = workspace.objects.read_any(done.show).blobs.segments[0]
    path = workspace.objects.path(segment)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CorruptObject, match=segment):
        verify(workspace, done.show)
    path.write_bytes(data)


def test_the_performer_never_jumps_when_the_capture_goes_and_comes(
    show: tuple[Workspace, ShowResult],
) -> None:
    workspace, done = show
    body = performed_motion(workspace, done.show)
    step = np.abs(np.diff(body.root, axis=0)).max()
    assert np.isfinite(body.rotations).all() and step < 0.25


def test_a_show_is_exported_for_post_production(show: tuple[Workspace, ShowResult]) -> None:
    workspace, done = show
    data = write_bvh(body_to_motion(performed_motion(workspace, done.show)))
    again = read_recording(data, "show.bvh").body
    assert again is not None and len(again) == TICKS


def own(warnings: list[str]) -> list[str]:
    """What was said of this show: another test's may have been cut off."""
    return [line for line in warnings if "cut off" not in line]


class Strikes:
    """An observer that sends the engine (or the watchdog) a signal when it sees a tick."""

    def __init__(self, tick: int, number: signal.Signals, whom: str = "engine") -> None:
        self.tick, self.number, self.whom = tick, number, whom

    def frame(self, row: Any, outputs: dict[str, Any]) -> None:
        if int(row["tick"]) == self.tick:
            for child in (
                Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
            ):
                said = Path(f"/proc/{child}/cmdline").read_bytes()
                if f"greenroom.live.{self.whom}".encode() in said:
                    os.kill(int(child), self.number)


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the engine by Linux's /proc"
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_show_goes_on_when_the_engine_dies_or_hangs(
    show: tuple[Workspace, ShowResult], number: signal.Signals
) -> None:
    workspace, before = show
    manifest = workspace.objects.read_any(before.show)
    release = load_release(workspace, manifest.parents.releases[0])
    warnings: list[str] = []
    order = ShowSpec(release, manifest.playlist, 300)
    done = perform(
        workspace, order, "test", [Strikes(30, number)], hooks=ShowHooks(warn=warnings.append)
    )
    told = own(warnings)
    assert len(told) == 2 and "status -9" in told[0]
    rungs = done.json["rungs"]
    missed = workspace.objects.read_any(done.show).missed
    assert rungs["capture"] > 60 and rungs["hold"] > 0 and 0 < missed < 30
    assert done.json["frames"] + missed == 300
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (verdict.frames, None)
    body = performed_motion(workspace, done.show)
    assert len(body) == 300
    assert angle_between(body.rotations[1:], body.rotations[:-1]).max() < 30


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the watchdog by Linux's /proc"
)
def test_a_watchdog_that_dies_is_replaced_and_still_watches(
    show: tuple[Workspace, ShowResult],
) -> None:
    workspace, before = show
    manifest = workspace.objects.read_any(before.show)
    release = load_release(workspace, manifest.parents.releases[0])
    warnings: list[str] = []
    strikes = [Strikes(10, signal.SIGKILL, "watchdog"), Strikes(120, signal.SIGKILL)]
    order = ShowSpec(release, manifest.playlist, 200)
    done = perform(workspace, order, "test", strikes, hooks=ShowHooks(warn=warnings.append))
    assert "watchdog ended with status -9" in warnings[0]
    assert done.json["rungs"]["hold"] > 0
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (verdict.frames, None)


class Fails:
    """An observer that fails at a tick, and an asker for the end at another."""

    def __init__(self, tick: int, number: signal.Signals | None = None) -> None:
        self.tick, self.number, self.seen = tick, number, 0

    def frame(self, row: Any, outputs: dict[str, Any]) -> None:
        self.seen += 1
        if int(row["tick"]) == self.tick:
            if self.number is None:
                raise RuntimeError("no page")
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_show_that_is_ended_early_is_kept_and_replays(
    show: tuple[Workspace, ShowResult], number: signal.Signals
) -> None:
    workspace, before = show
    manifest = workspace.objects.read_any(before.show)
    release = load_release(workspace, manifest.parents.releases[0])
    order = ShowSpec(release, manifest.playlist, 600)
    failing, warnings = Fails(5), list[str]()
    observers = [failing, Fails(20, number)]
    done = perform(workspace, order, "test", observers, hooks=ShowHooks(warn=warnings.append))
    told = own(warnings)
    assert failing.seen == 6 and len(told) == 1 and "no page" in told[0]
    assert 20 < done.json["frames"] < 100
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (done.json["frames"], None)
    assert workspace.objects.read_any(done.show).engines == [0]
    assert not list(shared_folder().glob(f"greenroom-{os.getpid()}-*"))


class Moves:
    """An observer that moves the actor's live ref when it sees a tick, as somebody else would."""

    def __init__(self, workspace: Workspace, moves: dict[int, str]) -> None:
        self.workspace, self.moves = workspace, moves

    def frame(self, row: Any, outputs: dict[str, Any]) -> None:
        to = self.moves.get(int(row["tick"]))
        if to == "back":
            rollback(self.workspace, "mira", "test")
        elif to is not None:
            promote(self.workspace, "mira", to, "test")


def another(workspace: Workspace, release: str, note: str, **more: Any) -> str:
    """A release of the same model that differs in what is said of it; approved."""
    manifest = structs.replace(examples.noted_release(workspace, release, note), **more)
    name = workspace.publish(manifest, by="test")
    sign_approval(workspace, name, with_key(workspace, "test"))
    return name


@pytest.fixture
def stage(show: tuple[Workspace, ShowResult]) -> Iterator[tuple[Workspace, ShowSpec]]:
    """A workspace whose live ref is put back, and what to perform in it."""
    workspace, before = show
    manifest = workspace.objects.read_any(before.show)
    release = load_release(workspace, manifest.parents.releases[0])
    yield workspace, ShowSpec(release, manifest.playlist, 300)
    promote(workspace, "mira", release.name, "test")


def swapped(
    workspace: Workspace, order: ShowSpec, moves: dict[int, str]
) -> tuple[ShowResult, list[str]]:
    warnings: list[str] = []
    watch = [Moves(workspace, moves)]
    return perform(workspace, order, "test", watch, hooks=ShowHooks(warn=warnings.append)), warnings


def test_a_release_comes_on_stage_while_the_show_runs_and_goes_again(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    new = another(workspace, order.release.name, note="new")
    done, warnings = swapped(workspace, replace(order, cuts=[(250, 260)]), {20: new, 200: "back"})
    manifest = workspace.objects.read_any(done.show)
    assert manifest.parents.releases == [order.release.name, new]
    (into, one), (back, other) = done.json["swaps"]
    assert (one, other) == (new, order.release.name) and done.json["release"] == other
    assert 20 < into < 200 < back < 230  # to go back takes less than a second
    assert len(own(warnings)) == 2 and manifest.missed == 0 and done.json["frames"] == 300
    rows = list(read_ledger(workspace, manifest, order.release.role.shape))
    assert [int(row["release"]) for row in rows] == [int(into <= t < back) for t in range(300)]
    assert {int(row["previous"]) for row in rows[into:back]} == {0}
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (300, None)


def test_the_performer_does_not_jump_where_a_release_takes_over_without_capture(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    new = another(workspace, order.release.name, note="other")
    done, _ = swapped(workspace, replace(order, cuts=[(60, 300)]), {60: new})
    (into, _), *_ = done.json["swaps"]
    places = joint_positions(performed_motion(workspace, done.show))
    jerks = np.linalg.norm(np.diff(places, n=3, axis=0), axis=-1).max(axis=1)
    assert 60 < into < 290
    assert jerks[into - 3 : into + 1].max() <= np.percentile(jerks, 99)
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (verdict.frames, None)


def test_a_release_that_fails_its_golden_clip_does_not_come_on_stage(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    manifest = workspace.objects.read(order.release.name, ReleaseManifest)
    model = workspace.objects.read(manifest.parents.model, Model)
    wrong = workspace.objects.put(bytes(len(order.release.golden or b"")))
    blobs = structs.replace(model.blobs, golden=wrong)
    other = workspace.publish(structs.replace(model, blobs=blobs), by="test")
    parents = structs.replace(manifest.parents, model=other)
    new = another(workspace, order.release.name, "wrong", parents=parents)
    done, warnings = swapped(workspace, order, {20: new})
    assert done.json["swaps"] == [] and done.json["release"] == order.release.name
    assert any("before it took over" in line for line in warnings)
    assert done.json["frames"] == 300 and workspace.objects.read_any(done.show).missed == 0
    revoke(
        workspace, order.release.name, "test", "the show is over"
    )  # a past show is replayed still
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (300, None)
    sign_approval(workspace, order.release.name, with_key(workspace, "other"))


def test_a_show_opens_with_the_release_before_it_waiting(stage: tuple[Workspace, ShowSpec]) -> None:
    workspace, order = stage
    new = another(workspace, order.release.name, note="opens")
    promote(workspace, "mira", new, "test")
    before = previous_of(workspace, "mira")
    assert before is not None and before.name == order.release.name
    opening = replace(order, release=load_release(workspace, new), previous=before)
    done, _ = swapped(workspace, opening, {150: "back"})
    ((back, name),) = done.json["swaps"]
    assert name == order.release.name and 150 < back < 180
    rows = list(
        read_ledger(workspace, workspace.objects.read_any(done.show), order.release.role.shape)
    )
    assert {int(row["previous"]) for row in rows[:back]} == {1}
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (300, None)


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the engine by Linux's /proc"
)
def test_going_back_works_though_the_one_that_waited_is_lost(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    new = another(workspace, order.release.name, note="alone")

    class KillsTheOneThatWaits(Strikes):
        def frame(self, row: Any, outputs: dict[str, Any]) -> None:
            if int(row["tick"]) == 150:
                os.kill(engines()[0], signal.SIGKILL)

    warnings: list[str] = []
    watch = [Moves(workspace, {10: new, 160: "back"}), KillsTheOneThatWaits(150, signal.SIGKILL)]
    done = perform(workspace, order, "test", watch, hooks=ShowHooks(warn=warnings.append))
    assert [name for _, name in done.json["swaps"]] == [new, order.release.name]
    assert workspace.objects.read_any(done.show).missed == 0


class Revokes(Moves):
    """Also revoke a release at tick 150."""

    def __init__(self, workspace: Workspace, at: dict[int, str], release: str) -> None:
        super().__init__(workspace, at)
        self.release = release

    def frame(self, row: Any, outputs: dict[str, Any]) -> None:
        super().frame(row, outputs)
        if int(row["tick"]) == 150:
            revoke(self.workspace, self.release, "test", "consent withdrawn")


def test_a_release_that_is_revoked_on_stage_leaves_it_and_does_not_come_back(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    new = another(workspace, order.release.name, note="revoked on stage")
    warnings: list[str] = []
    watch = [Revokes(workspace, {10: new}, new)]
    done = perform(
        workspace, replace(order, ticks=270), "test", watch, hooks=ShowHooks(warn=warnings.append)
    )
    (_, first), (back, second) = done.json["swaps"]
    assert (first, second) == (new, order.release.name) and 150 < back < 210
    assert workspace.log.ref(live_ref("mira")) == order.release.name
    assert any("what performs may not" in line and "going back" in line for line in warnings)


def test_one_step_back_is_enough_for_a_release_that_was_tried_first(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    older, old, new = (another(workspace, order.release.name, note=f"tried {n}") for n in range(3))
    for release in (older, old, new):  # as the pipeline brings one on stage
        start_canary(workspace, "mira", release, "test")
        promote(workspace, "mira", release, "test")
    opening = replace(order, release=load_release(workspace, new), ticks=330)
    watch = [Revokes(workspace, {}, new)]
    done = perform(workspace, opening, "test", watch)
    assert [name for _, name in done.json["swaps"]] == [old]
    assert workspace.log.ref(live_ref("mira")) == old


def test_a_release_that_is_revoked_goes_on_where_there_is_none_to_go_back_to(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    warnings: list[str] = []
    watch = [Revokes(workspace, {}, order.release.name)]
    done = perform(
        workspace, replace(order, ticks=210), "test", watch, hooks=ShowHooks(warn=warnings.append)
    )
    sign_approval(
        workspace, order.release.name, with_key(workspace, "test")
    )  # for the tests that follow
    assert done.json["swaps"] == [] and done.json["frames"] == 210
    assert any("it goes on, for there is no release of mira to go back to" in w for w in warnings)


def test_a_revoked_release_does_not_come_on_stage(stage: tuple[Workspace, ShowSpec]) -> None:
    workspace, order = stage
    new = another(workspace, order.release.name, note="revoked")
    revoke(workspace, new, "test", "no consent")
    ref = live_ref("mira")

    class Forces(Moves):
        def frame(self, row: Any, outputs: dict[str, Any]) -> None:
            if int(row["tick"]) == 20:
                workspace.log.move(ref, new, expect=order.release.name, by="test")

    warnings: list[str] = []
    watch = [Forces(workspace, {})]
    done = perform(
        workspace, replace(order, ticks=90), "test", watch, hooks=ShowHooks(warn=warnings.append)
    )
    assert done.json["swaps"] == [] and "revoked" in warnings[0]


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the engine by Linux's /proc"
)
def test_when_a_new_release_is_lost_the_one_before_goes_on(
    stage: tuple[Workspace, ShowSpec],
) -> None:
    workspace, order = stage
    new = another(workspace, order.release.name, note="dies")
    warnings: list[str] = []
    seen: list[int] = []

    class KillsTheNewOne(Strikes):
        def frame(self, row: Any, outputs: dict[str, Any]) -> None:
            if int(row["release"]) == 1:
                seen.append(int(row["tick"]))
            if len(seen) == 5:
                seen.append(0)
                os.kill(engines()[-1], signal.SIGKILL)

    watch = [Moves(workspace, {20: new}), KillsTheNewOne(-1, signal.SIGKILL)]
    done = perform(workspace, order, "test", watch, hooks=ShowHooks(warn=warnings.append))
    assert any("the release before it goes on" in line for line in warnings)
    assert [name for _, name in done.json["swaps"]] == [new, order.release.name]
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (verdict.frames, None)


def engines() -> list[int]:
    """The engines that this thread started and that live, oldest first."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    said = {int(c): Path(f"/proc/{c}/cmdline").read_bytes() for c in children}
    return sorted(pid for pid, line in said.items() if b"greenroom.live.engine" in line)


def test_a_show_to_a_host_without_an_address_is_bad_input(
    show: tuple[Workspace, ShowResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, before = show
    manifest = workspace.objects.read_any(before.show)
    release = load_release(workspace, manifest.parents.releases[0])

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    order = ShowSpec(release, manifest.playlist, 30, sinks=["vmc://nobody:39539"])
    with pytest.raises(BadInput, match="vmc://nobody:39539"):
        perform(workspace, order, "test")


def test_a_full_disk_is_told_and_does_not_end_the_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, warnings = Workspace(tmp_path), list[str]()
    recorder = Recorder(workspace, warnings.append)
    row = np.zeros((), dtype=slot_type(stand_in.SHAPE))
    full, put = [True], workspace.objects.put

    def fails(data: bytes) -> str:
        if full[0]:
            raise GreenroomError("cannot write: no space left")
        return put(data)

    monkeypatch.setattr(workspace.objects, "put", fails)
    for tick in range(3 * SEGMENT):
        row["tick"] = tick
        recorder.take(row.copy())
        full[0] = tick < 2 * SEGMENT
    assert len(warnings) == 2 and "no space left" in warnings[0]
    show = recorder.finish(examples.show("0" * 64, parents=ShowParents(releases=[])), "test")
    kept = read_ledger(workspace, workspace.objects.read_any(show), stand_in.SHAPE)
    assert [int(r["tick"]) for r in kept] == list(range(3 * SEGMENT))


def test_a_release_that_nobody_approved_is_refused(show: tuple[Workspace, ShowResult]) -> None:
    workspace, _ = show
    release = live_release(workspace, "mira")
    manifest = examples.noted_release(workspace, release, "nobody approved this")
    other = workspace.publish(manifest, by="test")
    with pytest.raises(Refused, match="approved by nobody"):
        promote(workspace, "mira", other, "test")
    assert live_release(workspace, "mira") == release


@pytest.mark.slow
def test_ten_thousand_frames_replay_bit_for_bit_with_one_and_two_threads(
    show: tuple[Workspace, ShowResult],
) -> None:
    """The engine's loop, the recorder and the real graph, without waiting between the ticks."""
    workspace, before = show
    facts = workspace.objects.read_any(before.show)
    release = load_release(workspace, facts.parents.releases[0])
    ticks, cuts = 10_000, [(3000, 3300), (8000, 8040)]
    playlist = open_playlist(workspace, facts.playlist, ticks)
    ring = Ring(workspace.home / "ring", release.role.shape, create=True)
    performer = Performer(release.role, OnnxBackend(release.graph, release.role.shape), 7)
    engine = Engine(performer, playlist.player(cuts), [], ring, VirtualClock())
    recorder, at = Recorder(workspace), 0
    for tick in range(ticks):
        engine.clock.sleep_until(tick_ns(tick))
        engine.tick(tick, late=tick % 997 == 996)
        rows, at, lost = ring.read(at)
        assert lost == 0
        for row in rows:
            recorder.take(row)
    long_show = structs.replace(facts, cuts=cuts, seed=7, ticks=ticks, engines=[0])
    named = recorder.finish(long_show, "test")
    rungs = workspace.objects.read_any(named).rungs
    assert rungs["idle"] > 300 and rungs["hold"] == 10 and rungs["capture"] > 9000
    for threads in (1, 2):
        verdict = _verified(workspace, named, threads)
        assert (verdict["frames"], verdict["exact"]) == (ticks, ticks), verdict


def _verified(workspace: Workspace, show: str, threads: int) -> dict[str, Any]:
    """Return the verdict of a fresh process."""
    command = [sys.executable, "-m", "greenroom", "--home", str(workspace.home), "replay", show]
    options = ["--verify", "--json", "--threads", str(threads)]
    out = subprocess.run([*command, *options], capture_output=True, text=True)
    verdict: dict[str, Any] = json.loads(out.stdout)
    return verdict


def test_a_show_that_is_ended_before_its_first_frame_is_kept_and_leaves_nothing(
    show: tuple[Workspace, ShowResult],
) -> None:
    workspace, before = show
    manifest = workspace.objects.read_any(before.show)
    release = load_release(workspace, manifest.parents.releases[0])
    order = ShowSpec(release, manifest.playlist, 90)
    done = perform(workspace, order, "test", hooks=ShowHooks(enough=lambda: True))
    assert done.json["frames"] == workspace.objects.read_any(done.show).frames < 90
    assert list(shared_folder().glob(f"greenroom-{os.getpid()}-*")) == []
