"""Put a show together: engine, watchdog and recorder in their own processes, observers in this one.

The engine is started, told what to perform, and left alone. This side reads the ring and feeds whoever
watches; the recorder keeps the show, also where this side is killed. If the engine dies, the watchdog
leads the performer back to rest until a new engine takes over. Where the actor's live ref moves while
the show runs, the stage follows; where what performs is revoked, it goes back.
"""

from __future__ import annotations

import signal
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.contracts import Observer, get_tensors
from greenroom.features.conditioning import Conditioning
from greenroom.live.journal import Totals
from greenroom.live.recorder import disk_for, latency_percentiles
from greenroom.live.recording import RecorderHandle
from greenroom.live.recovery import clean_up
from greenroom.live.ref_follower import RefFollower
from greenroom.live.ring import STAMPS, Ring, new_ring_path
from greenroom.live.show_notice import ShowNotice
from greenroom.live.sinks import resolve_sink
from greenroom.live.supervisor import EngineSupervisor, ShowSpec
from greenroom.manifests import Show, ShowBlobs, ShowParents, Swap
from greenroom.platform import retain_freed_memory
from greenroom.registry.release import Release
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class ShowResult:
    """What a show came to; `json` is what `perform` prints."""

    show: str
    json: dict[str, Any]
    ledger: dict[str, dict[str, float]]


@dataclass(frozen=True)
class ShowHooks:
    """What is called while a show runs.

    Attributes:
        progress: with (frames, ticks of the whole show).
        warn: with one line when an engine was lost and when a new one takes over.
        staged: with a release and its first tick when it comes on stage, before the observers get its
            first frame.
        enough: for whether the show is to end before its time.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    warn: Callable[[str], None] = lambda what: None
    staged: Callable[[Release, int], None] = lambda release, tick: None
    enough: Callable[[], bool] = lambda: False


def perform(
    workspace: Workspace,
    order: ShowSpec,
    by: str,
    observers: Sequence[Observer] = (),
    hooks: ShowHooks = ShowHooks(),
) -> ShowResult:
    """Perform a show to its end, or until interrupted; it is kept either way.

    Args:
        workspace: where everything is.
        order: what to perform.
        by: whose show it is, for the log.
        observers: who else sees each frame.
        hooks: called while it runs.

    Raises:
        BadInput: a sink cannot be opened.
        Refused: a show of this actor is on.
        GreenroomError: the engine could not start, or the show could not be kept.
    """
    retain_freed_memory()
    clean_up(workspace, hooks.warn)
    # From the first look at the stage on, interruptions wait until the record is written.
    with ShowNotice(workspace.home, order.release.actor) as notice, interruptible() as interrupted:

        def progress(frames: int, ticks: int) -> None:
            interrupted.arm()
            hooks.progress(frames, ticks)

        def enough() -> bool:
            return interrupted.yes or hooks.enough()

        inner = replace(hooks, progress=progress, enough=enough)
        return _perform(workspace, order, by=by, observers=observers, hooks=inner, notice=notice)


def _perform(
    workspace: Workspace,
    order: ShowSpec,
    by: str,
    observers: Sequence[Observer],
    hooks: ShowHooks,
    notice: ShowNotice,
) -> ShowResult:
    """Perform a show whose actor's stage is reserved."""
    shape = order.release.role.shape
    sinks = [resolve_sink(url) for url in order.sinks]
    ring = Ring(new_ring_path(), shape, create=True)
    reserve = disk_for(shape, order.ticks)
    recording = RecorderHandle(workspace, ring, by, warn=hooks.warn, reserve=reserve)
    cast: EngineSupervisor | None = None
    try:
        cast = EngineSupervisor(workspace, order, sinks, ring, warn=hooks.warn)
        stage = RefFollower(workspace, order.release.actor, cast, by, warn=hooks.warn)
        recording.wait_ready()
        cast.start()
        watching = _Watching(ring, list(observers), hooks)
        ended_early = _run(
            order, cast, stage, recording=recording, watching=watching, notice=notice
        )
    except BaseException:
        recording.abandon()
        ring.close()
        raise
    finally:
        notice.take_down()
        if cast is not None:
            cast.close()
    show, totals = recording.finish(show_facts(order, cast), None if ended_early else order.ticks)
    ring.close()
    ledger = latency_percentiles(watching.stamps())
    return ShowResult(show, _summary(show, cast, totals, ledger), ledger)


class _Watching:
    """Pass each frame to the observers, and keep its times.

    Args:
        ring: the frames.
        observers: who sees them.
        hooks: called while the show runs.
    """

    def __init__(self, ring: Ring, observers: list[Observer], hooks: ShowHooks) -> None:
        self.ring, self.observers, self.hooks = ring, observers, hooks
        self.frames = 0
        self._at, self._showing = 0, -1
        self._stamps = array("q")

    def look(self, releases: Sequence[Release]) -> bool:
        """Take the frames that came; tell whether there were any."""
        rows, self._at, _ = self.ring.read(self._at)
        for row in rows:
            self.frames += 1
            self._stamps.extend(int(row[stamp]) for stamp in STAMPS)
            self._showing = _pass_on(
                row, releases, self.observers, hooks=self.hooks, showing=self._showing
            )
        return bool(rows)

    def stamps(self) -> NDArray[np.int64]:
        """Return the times of each frame (N, 6), nanoseconds."""
        return np.frombuffer(self._stamps, dtype=np.int64).reshape(-1, len(STAMPS))


def _run(
    order: ShowSpec,
    cast: EngineSupervisor,
    stage: RefFollower,
    recording: RecorderHandle,
    watching: _Watching,
    notice: ShowNotice,
) -> bool:
    """Perform until the end; tell whether it was ended before its time."""
    hooks, described, ended_early = watching.hooks, (0, 0, 0), False
    while True:
        facts = len(cast.releases), len(cast.firsts), len(cast.swaps)
        if facts != described:
            recording.describe(show_facts(order, cast))
            described = facts
        if hooks.enough():
            ended_early = True
            cast.stop()
        stage.look()
        done = cast.check()
        recording.check()
        heard = watching.look(cast.releases)
        notice.put(watching.ring, cast.releases)
        hooks.progress(watching.frames, order.ticks)
        if done and not heard:
            return ended_early
        time.sleep(0.005)


def _pass_on(
    row: Any,
    releases: Sequence[Release],
    observers: list[Observer],
    hooks: ShowHooks,
    showing: int,
) -> int:
    """Let observers see a frame, after the release that made it; return which one it is."""
    index = int(row["release"])
    release = releases[index]
    if index != showing:
        hooks.staged(release, int(row["tick"]))
    outputs = get_tensors(row["outputs"], release.role.shape.outputs())
    _show(observers, row, outputs, hooks.warn)
    return index


def show_facts(order: ShowSpec, cast: EngineSupervisor) -> Show:
    """Return a show's manifest, but for what its recorder counted."""
    release = order.release
    releases = [candidate.name for candidate in cast.releases]
    return Show(
        actor=release.actor,
        parents=ShowParents(releases=releases, takes=sorted(set(order.takes))),
        playlist=list(order.takes),
        receivers=list(order.receivers),
        ticks=order.ticks,
        cuts=[(first, last) for first, last in order.cuts],
        seed=order.seed,
        lost=order.lost,
        fingerprint=cast.fingerprint,
        started_utc_ns=str(cast.utc_ns),
        engines=list(cast.firsts),
        swaps=[Swap(tick=first, release=releases[index]) for first, index in cast.swaps],
        lost_datagrams=cast.links.lost_datagrams,
        conditioning=_spans(order.conditioning, order.ticks),
        frames=0,
        late=0,
        missed=0,
        lost_to_recorder=0,
        rungs={},
        digest="",
        blobs=ShowBlobs(segments=[]),
    )


def _spans(conditioning: Conditioning, ticks: int) -> dict[str, list[tuple[int, int, str]]]:
    """Return conditioning as stretches of ticks; one value is of the whole show."""
    return {
        tier: [(0, ticks, label)] if isinstance(label, str) else list(label)
        for tier, label in conditioning.items()
    }


@dataclass
class InterruptFlag:
    """Whether somebody asked for the end; until `armed`, asking is an exception at once."""

    armed: bool = False
    yes: bool = False

    def arm(self) -> None:
        """Take it as a wish from now on."""
        self.armed = True


_ENDS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # a terminal that is closed ends a show, and keeps it
    _ENDS.append(signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[InterruptFlag]:
    """Let an interrupt or a termination end a show between two frames, never within one."""
    state = InterruptFlag()

    def ask(*_: object) -> None:
        state.yes = True
        if not state.armed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before = {number: signal.signal(number, ask) for number in _ENDS}
    try:
        yield state
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(
    observers: list[Observer], row: Any, outputs: dict[str, Any], warn: Callable[[str], None]
) -> None:
    """Let each observer see a frame; one that fails is left out from then on, the show goes on."""
    for observer in list(observers):
        try:
            observer.frame(row, outputs)
        except Exception as error:  # an observer is anybody's code
            observers.remove(observer)
            warn(f"{type(observer).__name__} sees no more frames: {error!r}")


def _summary(
    show: str, cast: EngineSupervisor, totals: Totals, ledger: dict[str, dict[str, float]]
) -> dict[str, Any]:
    rungs = {name: count for name, count in totals.rungs.items() if count}
    out: dict[str, Any] = {
        "show": show,
        "release": cast.performing.name,
        "swaps": [[first, cast.releases[index].name] for first, index in cast.swaps],
        "ticks": totals.frames + totals.lost + totals.missed,
        "frames": totals.frames + totals.lost,
        "missed": totals.missed,
        "late": totals.late,
        "rungs": rungs,
        "cuts": [list(cut) for cut in cast.order.cuts],
        "receivers": cast.links.receivers,
        "sinks": cast.links.sinks,
    }
    if totals.lost:  # performed, and overwritten before they were recorded
        out["unrecorded"] = totals.lost
    for name, keys in (
        ("frame_ms", ("p50", "p99", "max")),
        ("overhead_ms", ("p50", "p99")),
        ("model_ms", ("p50", "p99")),
    ):
        out[name] = {key: ledger.get(name, {}).get(key) for key in keys}
    return out
