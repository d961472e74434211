"""The engine's process: nothing in it but the loop, which owes a frame every 33.3 ms.

It is started with one JSON line: where the ring is, which release, which inputs and sinks; when it is
ready, a second line tells it when and at which tick to begin. It reads only verified objects, contacts
nobody but its sinks, writes frames into shared memory, and ends when the show is over or its standard
input is closed.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from greenroom.clock import PERIOD_NS, Clock, Pacer, WallClock, tick_ns
from greenroom.contracts import Packet, Receiver, Sink, get_tensors, width_of
from greenroom.frames import Floats
from greenroom.live.backends import OnnxBackend
from greenroom.live.inputs import open_playlist
from greenroom.live.ladder import RUNGS
from greenroom.live.lines import Lines, say
from greenroom.live.performer import Outcome, Performer
from greenroom.live.ring import Ring, fitting, frame_of, put_packets, slot_type
from greenroom.live.sinks import VmcSink
from greenroom.registry.release import Role, load_release
from greenroom.store.workspace import Workspace

REHEARSALS_NS = tuple(range(2_500_000, 300_000, -400_000))
"""Before a tick is due, when it is rehearsed: often enough that the processor stays awake."""
_LONGEST_NS = 500_000
"""What the first rehearsal before a tick is thought to take."""


class _Mute:
    """A model that always says the rest pose, for rehearsals."""

    def __init__(self, role: Role) -> None:
        shapes = role.shape.outputs()
        self._said = get_tensors(np.zeros(width_of(shapes), dtype=np.float32), shapes)
        self._said["pose"][0] = role.rest

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        return self._said

    def fingerprint(self) -> dict[str, str]:
        return {}


class Engine:
    """The loop.

    Args:
        performer: makes the frames.
        receiver: where packets come from.
        sinks: where frames go.
        ring: who watches.
        clock: whose time it is.
    """

    def __init__(
        self,
        performer: Performer,
        receiver: Receiver,
        sinks: Sequence[Sink],
        ring: Ring,
        clock: Clock,
    ) -> None:
        """Make the one row that every frame is written from."""
        self.performer, self.receiver, self.sinks = performer, receiver, sinks
        self.ring, self.clock = ring, clock
        shape = performer.role.shape
        self.row = np.zeros((), dtype=slot_type(shape))
        self.start_ns = 0
        self._packets: Sequence[Packet] = ()
        self._took = _LONGEST_NS
        self._understudy = Performer(performer.role, _Mute(performer.role), 0)
        performer.mark = self._mark

    def run(self, start_ns: int, first: int, ticks: int, stopped: Callable[[], bool]) -> int:
        """Perform ticks `first` … `ticks` - 1, or until stopped; return how many.

        Args:
            start_ns: when tick 0 is or was due, monotonic.
            first: where to begin; after 0 somebody else performed the ticks before.
            ticks: of the whole show.
            stopped: asked twice a second.
        """
        self.start_ns = start_ns
        pacer = Pacer(self.clock, start_ns)
        for tick in range(first, ticks):
            self.rehearse(tick, pacer.due_ns(tick))
            late_by = pacer.wait(tick)
            if tick == first > 0:
                self._take_over()
            self.tick(tick, late_by > PERIOD_NS)
            if tick % 15 == 0 and stopped():
                return tick + 1 - first
        return ticks - first

    def rehearse(self, tick: int, due_ns: int) -> None:
        """Perform the last packets again and again for nobody, until just before a tick is due.

        After 30 ms of sleep the processor is slow and has everything to fetch again; the tick's own
        work is a third to half shorter after this (docs/log.md).
        """
        took = self._took
        for before in REHEARSALS_NS:
            self.clock.sleep_until(due_ns - before)
            begun = self.clock.now_ns()
            if begun + took + took // 2 > due_ns:  # it might come into the tick's way
                break
            frame = self._understudy.step(tick, self._packets, late=False).frame
            for sink in self.sinks:
                sink.rehearse(frame)
            took = max(self.clock.now_ns() - begun, took * 7 // 8)
        self._took = took * 15 // 16  # a slow machine is remembered, and tried again after a while

    def _take_over(self) -> None:
        end = self.ring.written = self.ring.end()
        if end:
            self.performer.resume([frame_of(row) for row in self.ring.latest(end, 2)])

    def tick(self, tick: int, late: bool) -> Outcome:
        """Perform one tick, send it, and publish it."""
        row = self.row
        now = self.clock.now_ns() - self.start_ns
        row["due"] = tick_ns(tick)
        packets = self._packets = fitting(self.receiver.poll(now))
        row["arrival"] = packets[-1].arrival_ns if packets else now
        outcome = self.performer.step(tick, packets, late)
        for sink in self.sinks:
            sink.send(outcome.frame)
        row["emit"] = self.clock.now_ns() - self.start_ns
        self._fill(row, tick, late, packets, outcome)
        self.ring.write(row)
        return outcome

    def _mark(self, name: str) -> None:
        self.row[name] = self.clock.now_ns() - self.start_ns

    def _fill(
        self, row: Any, tick: int, late: bool, packets: Sequence[Packet], outcome: Outcome
    ) -> None:
        row["tick"], row["late"] = tick, late
        row["rung"] = RUNGS.index(outcome.rung)
        row["reason"] = outcome.reason.encode()[:32]
        put_packets(row, packets)
        row["inputs"] = outcome.inputs
        row["asked"] = outcome.outputs is not None
        row["outputs"] = 0 if outcome.outputs is None else outcome.outputs
        row["root"], row["rotations"] = outcome.frame.root, outcome.frame.rotations
        row["face"] = outcome.frame.face
        row["capture"] = outcome.capture is not None


def _prepare() -> None:
    """Ask for real-time scheduling, where it is allowed; keep the collector out of the loop."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    gc.collect()
    gc.freeze()
    gc.disable()


def main() -> int:
    """Read the order from standard input, perform, and report on standard output."""
    lines = Lines(sys.stdin.fileno())
    order = lines.wait()
    release = load_release(Workspace(Path(order["home"])), order["release"])
    backend = OnnxBackend(release.graph, release.role.shape, order["threads"])
    backend.warm()
    playlist = open_playlist(Workspace(Path(order["home"])), order["inputs"], order["ticks"])
    sinks = [VmcSink(host, port, release.skeleton.offsets) for host, port in order["vmc"]]
    ring = Ring(Path(order["ring"]), release.role.shape)
    clock = WallClock()
    performer = Performer(release.role, backend, order["seed"])
    _prepare()
    say(sys.stdout.buffer, {"ready": True})
    said = lines.wait()
    receiver = playlist.player([tuple(cut) for cut in order["cuts"]], said["first"])
    engine = Engine(performer, receiver, sinks, ring, clock)

    def stopped() -> bool:
        lines.read()
        return lines.closed

    done = engine.run(said["start_ns"], said["first"], order["ticks"], stopped)
    receiver.close()
    for sink in sinks:
        sink.close()
    report = {"frames": done, "lost_datagrams": sum(sink.lost for sink in sinks)}
    say(sys.stdout.buffer, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
