"""The watchdog's process: when the engine falls silent, it ends it and leads the performer back to rest.

It owns what the sinks show last. It sees every frame in the ring; when none came for `PATIENCE` of its
own ticks it kills the engine (so that there is never more than one writer), eases from the last frames
to the rest pose at 30 Hz, and goes on until a new engine was told at which tick to take over. Silence is
counted in ticks at which the watchdog itself was awake: a machine that stalls loses no engine by that.
Where whoever supervises the show is gone, it leads the performer to rest within three seconds, and ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from greenroom.clock import PERIOD_NS, Clock, Pacer, WallClock, tick_at, tick_ns
from greenroom.contracts import ModelShape, Sink
from greenroom.errors import GreenroomError
from greenroom.features.pose import heading_of
from greenroom.frames import Frame
from greenroom.live.face import FADE as FACE_FADE
from greenroom.live.fallback import HOLD_HALF_LIFE, Inertializer, rest_pose, rest_root
from greenroom.live.ipc import MessageStream
from greenroom.live.recovery import forget_ring
from greenroom.live.ring import Ring, frame_of, slot_type
from greenroom.live.sinks import open_sink
from greenroom.live.sinks.vmc import no_face
from greenroom.live.sources import HOLD, RUNGS
from greenroom.manifests import Shape
from greenroom.registry.release import PerformerSpec, load_release
from greenroom.store import open_store

ENGINE_LOST = "the engine was lost"
PATIENCE = 8
"""Ticks of silence, each seen awake, before the engine is given up: 0.27 s."""
FIRST_PATIENCE = 60
"""The same before the first frame, which comes as late as the machine starts processes."""
EASE_TICKS = 90
"""In which a performer whose show lost its supervisor comes to rest: 3 s."""
_OFFSET_NS = PERIOD_NS // 2
"""It wakes half a period after the engine is due, out of its way."""


class Standby:
    """The way back to rest from the last frames that were performed.

    Args:
        role: of the release on stage.
        frames: the last two frames, or the last one, or none where there never was one.
    """

    def __init__(self, role: PerformerSpec, frames: Sequence[Frame]) -> None:
        """Start where the engine stopped, with the speed it had."""
        root = np.asarray([0, role.rest[6 * role.shape.joints], 0], dtype=np.float32)
        frames = frames or [Frame(0, root, rest_pose(role), no_face())]
        last = frames[-1]
        self.root, self.face = rest_root(role, (last.root, last.rotations)), last.face
        self.rest = rest_pose(role, heading_of(last.rotations[0]))
        self.blender = Inertializer(self.rest)
        self.blender.resume(frames)
        self.started = False

    def step(self, tick: int) -> Frame:
        """Return the next frame."""
        root, rotations = self.blender.step(self.root, self.rest, not self.started, HOLD_HALF_LIFE)
        self.started = True
        self.face = self.face * FACE_FADE  # viewers keep what they are sent last
        return Frame(tick, root, rotations, self.face)


class Watchdog:
    """Watch a ring, tick after tick.

    Args:
        role: of the release that opened the show: to its rest pose it leads back.
        ring: the engine's.
        sinks: where frames go while the engine is lost.
        clock: whose time it is.
        kill: ends the engine, and returns when it is gone.
    """

    def __init__(
        self,
        role: PerformerSpec,
        ring: Ring,
        sinks: Sequence[Sink],
        clock: Clock,
        kill: Callable[[], None],
    ) -> None:
        """Begin to watch."""
        self.role, self.ring, self.sinks, self.clock = role, ring, sinks, clock
        self.kill = kill
        self.start_ns = 0
        self.until: int | None = None
        """The tick from which another engine performs; None while none was called."""
        self.next_kill = kill
        """Ends that one."""
        self.next_release = 0
        """Which of the show's releases that one performs."""
        self.frames_seen = 0
        self.silent = 0
        self._is_alone = False
        self.standby: Standby | None = None
        self._row = np.zeros((), dtype=slot_type(ring.shape))
        self._row["followed"] = self._row["previous"] = -1

    def tick(self, tick: int) -> None:
        """Look once; perform the tick where nobody else does."""
        # By the clock: a watchdog that wakes too late must not write beside the new engine.
        now = max(tick, tick_at(max(0, self.clock.now_ns() - self.start_ns)))
        if self.until is not None and now >= self.until:
            self.until, self.kill, self.silent = None, self.next_kill, 0
            self._row["release"] = self.next_release
            if self.standby is not None:
                self.standby = None
                self.frames_seen = self.ring.end(self.frames_seen)
        if self.standby is None:
            end = self.ring.end(self.frames_seen)
            self.silent = 0 if end > self.frames_seen else self.silent + 1
            self.frames_seen = end
            if self.silent < (PATIENCE if end else FIRST_PATIENCE) and not self._is_alone:
                return
            self.kill()
            self.frames_seen = self.ring.end(self.frames_seen)
            frames = [frame_of(row) for row in self.ring.latest(self.frames_seen, 2)]
            self.standby = Standby(self.role, frames)
            self.ring.written = self.frames_seen
        self._perform(tick, self.standby)

    def take_over(self) -> None:
        """Perform from the next tick on, for good: nobody is left who could call an engine."""
        if self.until is not None:
            self.until = None
            self.next_kill()
        self._is_alone = True

    def _perform(self, tick: int, standby: Standby) -> None:
        row = self._row
        row["due"] = tick_ns(tick)
        now = self.clock.now_ns() - self.start_ns
        for stamp in ("arrival", "features", "inference"):
            row[stamp] = now
        row["begun"] = not standby.started
        frame = standby.step(tick)
        row["post"] = self.clock.now_ns() - self.start_ns
        for sink in self.sinks:
            sink.send(frame)
        row["emit"] = self.clock.now_ns() - self.start_ns
        row["tick"], row["rung"], row["reason"] = tick, RUNGS.index(HOLD), ENGINE_LOST.encode()
        row["root"], row["rotations"], row["face"] = frame.root, frame.rotations, frame.face
        self.ring.write(row)


def grip(engine: int) -> Callable[[], None]:
    """Return what ends a process and waits until it is gone, whoever has its number by then."""
    if not hasattr(os, "pidfd_open"):  # not Linux
        return lambda: os.kill(engine, signal.SIGKILL)
    try:
        handle = os.pidfd_open(engine)
    except ProcessLookupError:  # gone already
        return lambda: None

    def end() -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], 5.0)

    return end


def _watch(watchdog: Watchdog, lines: MessageStream, ticks: int) -> bool:
    """Look each tick until the show's end; tell whether whoever supervised it was lost."""
    pacer = Pacer(watchdog.clock, watchdog.start_ns + _OFFSET_NS)
    tick, orphaned = 0, False
    while tick < ticks:
        pacer.wait(tick)
        for call in lines.read():
            if "end" in call:
                return False
            watchdog.until, watchdog.next_kill = call["first"], grip(call["engine"])
            watchdog.next_release = call["release"]
        if lines.closed and not orphaned:  # every engine ends too; lead the performer to rest
            orphaned, ticks = True, tick + EASE_TICKS
            watchdog.take_over()
        watchdog.tick(tick)
        tick = max(tick, tick_at(max(0, watchdog.clock.now_ns() - pacer.start_ns))) + 1
    return orphaned


def main() -> int:
    """Read the order and then what the supervisor says, a JSON line each; end when told."""
    lines = MessageStream(sys.stdin.fileno())
    order = lines.wait()
    release = load_release(open_store(order["store"]), order["release"])
    sinks = [open_sink(url, release.skeleton.offsets) for url in order["sinks"]]
    ring = Ring(Path(order["ring"]), ModelShape.load(msgspec.convert(order["room"], Shape)))
    clock = WallClock()
    try:
        call = lines.wait()
    except GreenroomError:  # whoever started the show is gone before it began
        return 1
    watchdog = Watchdog(release.role, ring, sinks=sinks, clock=clock, kill=grip(call["engine"]))
    watchdog.start_ns = call["start_ns"]
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    if _watch(watchdog, lines, order["ticks"]):
        forget_ring(ring.path)
    for sink in sinks:
        sink.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
