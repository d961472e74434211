"""Put a show together: engine and watchdog in their own processes, recorder and observers in this one.

The engine is started, told what to perform, and left alone. This side reads the ring, keeps the show,
and feeds whoever watches. If the engine dies, the watchdog leads the performer back to rest until a new
engine takes over. Where the actor's live ref moves while the show runs, the stage follows; where what
performs is revoked, it goes back.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from greenroom.contracts import Observer, get_tensors
from greenroom.errors import BadInput, CheckFailed, GreenroomError, Refused
from greenroom.features.conditioning import Conditioning
from greenroom.live.control import act_of
from greenroom.live.recorder import Recorder, latency_percentiles
from greenroom.live.ring import Ring, shared_folder, sweep_shared_memory
from greenroom.live.show_notice import ShowNotice
from greenroom.live.sinks import resolve_sink
from greenroom.live.supervisor import EngineSupervisor, ShowSpec
from greenroom.manifests import Show, ShowBlobs, ShowParents, Swap
from greenroom.platform import retain_freed_memory
from greenroom.registry.approval import require_approved
from greenroom.registry.promote import canary_active, canary_ref, live_ref, rollback
from greenroom.registry.release import Release, load_release
from greenroom.serving import open_backend
from greenroom.store.workspace import Workspace

FOLLOW_S = 0.02
"""How often the log is asked which release is to perform, and what an operator has ordered."""


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
    for pid in sweep_shared_memory():
        hooks.warn(f"a show of process {pid} was cut off; what it held in memory is gone")
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
    ring = Ring(shared_folder() / f"greenroom-{os.getpid()}-{uuid.uuid4().hex}", shape, create=True)
    recorder = Recorder(workspace, hooks.warn)
    watching = list(observers)
    at = 0
    cast = EngineSupervisor(workspace, order, sinks, ring, warn=hooks.warn)
    stage = _RefFollower(workspace, order.release.actor, cast, by, warn=hooks.warn)
    showing = -1
    ended_early = False
    try:
        cast.start()
        while True:
            if hooks.enough():
                ended_early = True
                cast.stop()
            stage.look()
            done = cast.check()
            rows, at, lost = ring.read(at)
            recorder.lost += lost
            notice.put(ring, cast.releases)
            for row in rows:
                recorder.take(row)
                showing = _pass_on(row, cast.releases, watching, hooks=hooks, showing=showing)
            hooks.progress(recorder.frames, order.ticks)
            if done and not rows:
                break
            time.sleep(0.005)
        if not ended_early:
            recorder.end_at(order.ticks)
    finally:
        notice.take_down()
        cast.close()
        ring.close()
    show = recorder.finish(_facts(order, cast), by)
    ledger = latency_percentiles(recorder.stamps)
    return ShowResult(show, _summary(show, cast, recorder, ledger), ledger)


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


def _facts(order: ShowSpec, cast: EngineSupervisor) -> Show:
    """Return a show's manifest, but for what its recorder counted."""
    release = order.release
    backend = open_backend(order.backend, release.graph, release.role.shape)
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
        fingerprint=backend.fingerprint(),
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


class _RefFollower:
    """Follow an actor's refs: where `live` or `canary` moves while the show runs, the stage follows.

    Args:
        workspace: whose log says where the ref is.
        actor: whose.
        cast: the show's processes.
        by: whose show it is, for the log.
        warn: told why a release does not come on stage, or leaves it.
    """

    def __init__(
        self,
        workspace: Workspace,
        actor: str,
        cast: EngineSupervisor,
        by: str,
        warn: Callable[[str], None],
    ) -> None:
        """Note where the ref is: it is only followed from there."""
        self.workspace, self.actor, self.cast, self.by, self.warn = workspace, actor, cast, by, warn
        self.names = (live_ref(actor), canary_ref(actor))
        self._positions = {name: workspace.log.ref(name) for name in self.names}
        self._next_s = 0.0
        self._entries = self._obeyed = workspace.log.head()[0]
        self._last_warning = ""

    def look(self) -> None:
        """Bring a release on stage where the ref has moved to it."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + FOLLOW_S
        try:
            entries = self.workspace.log.head()[0]
            if entries == self._entries:
                return
            self._obey()
            for name in self.names:
                release = self.workspace.log.ref(name)
                if release is not None and release != self._positions[name]:
                    self._bring(name, release)
            self._withdraw()
            self._entries = entries
        except (GreenroomError, OSError) as error:  # the show goes on, and it is tried again
            self._warn(f"no release comes on stage: {error}")

    def _obey(self) -> None:
        """Do what operators have ordered, in the order of the log."""
        for entry in self.workspace.log.entries(self._obeyed):
            self._obeyed += 1  # each once, whatever fails afterwards
            act = act_of(entry, self.actor)
            if act is not None:
                self.cast.order_control(act)
                self.warn(f"{act}: ordered by {entry.by}")

    def _bring(self, ref: str, release: str) -> None:
        try:
            self.cast.swap(load_release(self.workspace, release))
        except (BadInput, CheckFailed) as error:  # it may not perform here: asking again is no use
            self._warn(f"no release comes on stage: {error}")
        self._positions[ref] = release

    def _withdraw(self) -> None:
        """Where somebody revoked a release, let it wait no more, and leave the stage if it is there.

        An approval that ends meanwhile ends no show.
        """
        new = self.workspace.log.entries(self._entries)
        revoked = {entry.body["release"] for entry in new if entry.event == "revoke"}
        for release in [candidate for candidate in self.cast.releases if candidate.name in revoked]:
            try:
                require_approved(self.workspace, release.name, release.manifest)
            except Refused as error:
                if self.cast.dismiss(release.name):
                    self._leave(release.name, error.what)

    def _leave(self, release: str, why: str) -> None:
        """Go back from a release that may not perform any more, unless another comes already."""
        live, trying = (self.workspace.log.ref(name) for name in self.names)
        if release != live and not (
            release == trying and canary_active(self.workspace, self.actor)
        ):
            return
        try:
            back, _ = rollback(self.workspace, self.actor, self.by)
        except Refused as error:
            self._warn(f"what performs may not: {why}; it goes on, for {error.what}")
        else:
            self._warn(f"what performs may not: {why}; going back to release {back[:12]}")

    def _warn(self, message: str) -> None:
        if message != self._last_warning:
            self._last_warning = message
            self.warn(message)


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
    show: str, cast: EngineSupervisor, recorder: Recorder, ledger: dict[str, dict[str, float]]
) -> dict[str, Any]:
    rungs = {name: count for name, count in recorder.rungs.items() if count}
    out: dict[str, Any] = {
        "show": show,
        "release": cast.performing.name,
        "swaps": [[first, cast.releases[index].name] for first, index in cast.swaps],
        "ticks": recorder.frames + int(recorder.missed),
        "frames": recorder.frames,
        "missed": int(recorder.missed),
        "late": int(recorder.late),
        "rungs": rungs,
        "cuts": [list(cut) for cut in cast.order.cuts],
        "receivers": cast.links.receivers,
        "sinks": cast.links.sinks,
    }
    for name, keys in (
        ("frame_ms", ("p50", "p99", "max")),
        ("overhead_ms", ("p50", "p99")),
        ("model_ms", ("p50", "p99")),
    ):
        out[name] = {key: ledger.get(name, {}).get(key) for key in keys}
    return out
