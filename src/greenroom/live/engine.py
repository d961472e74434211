"""The engine's process: nothing in it but the loop, which owes a frame every 33.3 ms.

It is started with one JSON line: where the ring is, which release, which inputs and sinks. It loads,
verifies, tries its graph on the golden clip, and says that it is ready; a second line tells it when and
at which tick to begin. Who begins in the middle of a show first follows what was performed before, so
that its model has a past. A third line may tell it at which tick another takes over; then it waits,
loaded, to be called back. Inputs, outputs, the backend and the store come as URLs. It reads only
verified objects, contacts nobody but those, writes frames into shared memory, and ends when the show
is over or its standard input is closed.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from greenroom.capture.receivers.selection import prefetch
from greenroom.clock import PERIOD_NS, Clock, Pacer, WallClock, tick_ns
from greenroom.contracts import ModelShape, Packet, Receiver, Sink, flat_width, get_tensors
from greenroom.errors import GreenroomError
from greenroom.frames import Body, Floats
from greenroom.live.control import NOTHING
from greenroom.live.inputs import open_inputs
from greenroom.live.ipc import MessageStream, send
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.performer import Performer, TickResult
from greenroom.live.playlist import Playlist, degrade_capture
from greenroom.live.ring import Ring, frame_of, get_packets, newest_fitting, put_packets, slot_type
from greenroom.live.sinks import open_sink, sink_report
from greenroom.live.sources import RUNGS
from greenroom.manifests import Shape
from greenroom.registry.release import PerformerSpec, load_release
from greenroom.serving import ShapedBackend, fallback_backend, open_backend
from greenroom.serving.onnx_backend import WARM_RUNS, self_test, warm_up
from greenroom.store import open_store
from greenroom.store.workspace import Workspace

REHEARSALS_NS = tuple(range(2_500_000, 300_000, -400_000))
"""Before a tick is due, when it is rehearsed: often enough that the processor stays awake."""
PREFETCH_NS = 8_000_000
"""Before a tick is due, when datagrams are decoded for the first time that came since the last one."""
_LONGEST_NS = 500_000
"""What the first rehearsal before a tick is thought to take."""
FOLLOWED = 45
"""Ticks that an engine follows before it takes over: 1.5 s, more than any model's past."""
LEAD_TICKS = 5
"""Between an engine's being called and its first tick, beside the time that it follows."""
_WORK_TICKS = 1800
_FOLLOW_NS = 5_000_000
"""Before it takes over, when it stops to wait for one more frame to follow."""


class _Mute:
    """A model that always says the rest pose, for rehearsals."""

    def __init__(self, role: PerformerSpec) -> None:
        shapes = role.shape.outputs()
        self._outputs = get_tensors(np.zeros(flat_width(shapes), dtype=np.float32), shapes)
        self._outputs["pose"][0] = role.rest

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        return self._outputs

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
        billing: which of the show's releases performs, and which stands behind it (-1 for none).
    """

    def __init__(
        self,
        performer: Performer,
        receiver: Receiver,
        sinks: Sequence[Sink],
        ring: Ring,
        clock: Clock,
        billing: tuple[int, int] = (0, -1),
    ) -> None:
        """Make the one row that every frame is written from."""
        self.performer, self.receiver, self.sinks = performer, receiver, sinks
        self.ring, self.clock = ring, clock
        self.row = np.zeros((), dtype=slot_type(ring.shape))
        self.row["release"], self.row["previous"] = billing
        self.until = self.ends = 0
        """The tick from which somebody else performs, and the one at which the show is over."""
        self.control = NOTHING
        """What an operator has ordered."""
        self.start_ns = 0
        self._followed = -1
        self._at = 0
        self._packets: Sequence[Packet] = ()
        self._duration_ns = _LONGEST_NS
        self._work_ns: deque[int] = deque(maxlen=_WORK_TICKS)
        self._understudy = Performer(performer.role, _Mute(performer.role), 0)
        performer.mark = self._mark

    def run(self, start_ns: int, first: int, ticks: int, stopped: Callable[[], bool]) -> int:
        """Perform ticks `first` … `ticks` - 1, or until stopped; return how many.

        Args:
            start_ns: when tick 0 is or was due, monotonic.
            first: where to begin; after 0 somebody else performed the ticks before.
            ticks: where to end; `until` may be moved while it runs.
            stopped: asked before each tick.
        """
        self.start_ns, self.until, self.ends = start_ns, ticks, ticks
        pacer = Pacer(self.clock, start_ns)
        if first > 0:
            self._follow(first, pacer)
            self.receiver.poll(self.clock.now_ns() - start_ns)  # live inputs listen from now on
        tick = first
        while tick < self.until:
            self.rehearse(tick, pacer.due_ns(tick))
            late_by = pacer.wait(tick)
            if stopped():
                break
            if self.until < ticks and self.clock.now_ns() >= pacer.due_ns(self.until):
                break  # the next engine writes now; a stall must not make two writers
            if tick == first > 0:
                self._take_over()
            self.tick(tick, late_by > PERIOD_NS)
            tick += 1
        return tick - first

    def _follow(self, first: int, pacer: Pacer) -> None:
        """Perform for nobody what was captured before `first`, so that the model has a past."""
        self._at, self._followed = max(0, self.ring.end() - FOLLOWED), 0
        begin = pacer.due_ns(first) - _FOLLOW_NS
        while True:
            last = self._catch_up()
            if last >= first - 1 or self.clock.now_ns() >= begin:
                return
            self.clock.sleep_until(min(self.clock.now_ns() + PERIOD_NS // 8, begin))

    def _catch_up(self) -> int:
        """Follow the frames that came since; return the last one's tick."""
        rows, self._at, _ = self.ring.read(self._at)
        for row in rows:
            self.performer.step(
                int(row["tick"]),
                list(get_packets(row)),
                late=False,
                control=int(row["control"]),
            )
        self._followed += len(rows)
        return int(rows[-1]["tick"]) if rows else -1

    def rehearse(self, tick: int, due_ns: int) -> None:
        """Perform the last packets again and again for nobody, until just before a tick is due.

        After 30 ms of sleep the processor is slow and has everything to fetch again; the tick's own
        work is a third to half shorter after this (docs/log/experiments.md).
        """
        duration_ns = self._duration_ns
        self._prefetch(due_ns, PREFETCH_NS)
        for margin_ns in REHEARSALS_NS:
            self._prefetch(due_ns, margin_ns)
            start_ns = self.clock.now_ns()
            if (
                start_ns + duration_ns + duration_ns // 2 > due_ns
            ):  # it might come into the tick's way
                break
            frame = self._understudy.step(tick, self._packets, late=False).frame
            for sink in self.sinks:
                sink.rehearse(frame)
            duration_ns = max(self.clock.now_ns() - start_ns, duration_ns * 7 // 8)
        self._duration_ns = (
            duration_ns * 15 // 16
        )  # a slow machine is remembered, and tried again after a while

    def _prefetch(self, due_ns: int, margin_ns: int) -> None:
        """Decode at a time before a tick is due what has arrived, in a third of that time at most."""
        self.clock.sleep_until(due_ns - margin_ns)
        prefetch(self.receiver, self.clock.now_ns() - self.start_ns, margin_ns // 3)

    def _take_over(self) -> None:
        if self._followed >= 0:
            self._catch_up()
        end = self.ring.written = self.ring.end()
        if end:
            self.performer.resume([frame_of(row) for row in self.ring.latest(end, 2)])

    def tick(self, tick: int, late: bool) -> TickResult:
        """Perform one tick, send it, and publish it."""
        row = self.row
        now = self.clock.now_ns() - self.start_ns
        row["due"] = tick_ns(tick)
        packets = self._packets = newest_fitting(self.receiver.poll(now))
        row["arrival"] = packets[-1].arrival_ns if packets else now
        outcome = self.performer.step(tick, packets, late, control=self.control)
        if self.until < self.ends and self.clock.now_ns() - self.start_ns >= tick_ns(self.until):
            return outcome  # the model stalled, and another engine writes by now
        for sink in self.sinks:
            sink.send(outcome.frame)
        row["emit"] = self.clock.now_ns() - self.start_ns
        self._work_ns.append(int(row["emit"]) - now)
        self._fill(row, tick, late=late, packets=packets, outcome=outcome)
        self.ring.write(row)
        return outcome

    @property
    def work_ms(self) -> float:
        """Median from a tick's poll to its datagrams, of the last minute, milliseconds."""
        return float(np.median(self._work_ns)) / 1e6 if self._work_ns else 0.0

    def _mark(self, name: str) -> None:
        self.row[name] = self.clock.now_ns() - self.start_ns

    def _fill(
        self, row: Any, tick: int, late: bool, packets: Sequence[Packet], outcome: TickResult
    ) -> None:
        row["tick"], row["late"], row["control"] = tick, late, self.control
        row["followed"], self._followed = self._followed, -1
        row["rung"] = RUNGS.index(outcome.rung)
        row["reason"] = outcome.reason.encode()[:32]
        put_packets(row, packets)
        row["inputs"][: len(outcome.inputs)] = outcome.inputs
        row["asked"] = outcome.outputs is not None
        if outcome.outputs is None:
            row["outputs"] = 0
        else:
            row["outputs"][: len(outcome.outputs)] = outcome.outputs
        row["root"], row["rotations"] = outcome.frame.root, outcome.frame.rotations
        row["face"] = outcome.frame.face
        row["capture"] = outcome.capture is not None


def _prepare() -> bool:
    """Ask for real-time scheduling; keep the collector out of the loop. Tell whether it is allowed."""
    is_real_time = False
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        is_real_time = True
    gc.collect()
    gc.freeze()
    gc.disable()
    return is_real_time


def _lead(backend: ShapedBackend) -> int:
    """Return how many ticks an engine needs between being called and its first tick."""
    start_ns = time.monotonic_ns()
    warm_up(backend)
    duration_ns = (time.monotonic_ns() - start_ns) // WARM_RUNS
    return LEAD_TICKS + math.ceil(2 * FOLLOWED * duration_ns / PERIOD_NS)


def _behind(workspace: Workspace, name: str | None, backend: str) -> LoadedModel | None:
    """Return the release that stands behind; None where there is none that may be performed."""
    if name is None:
        return None
    try:
        release = load_release(workspace, name)
    except GreenroomError:
        return None
    url = fallback_backend(backend)
    return LoadedModel(release.role, open_backend(url, release.graph, release.role.shape))


def _performer(
    order: dict[str, Any],
    role: PerformerSpec,
    backend: ShapedBackend,
    previous: LoadedModel | None,
) -> Performer:
    """Return who performs, as the show's words are by now."""
    return Performer(
        role,
        backend,
        order["seed"],
        previous=previous,
        conditioning=msgspec.json.decode(Path(order["conditioning"]).read_bytes()),
        lost=order["lost"],
    )


def _darkened(
    playlist: Playlist, stretches: Sequence[tuple[int, int]], seed: int
) -> list[tuple[int, Body]]:
    """Return the stretches of a playlist in which the light fails, as they play then."""
    out = []
    for first, last in stretches:
        body = playlist.body(first, last)
        if body is not None:
            degrade_capture(body, first, seed)
            out.append((first, body))
    return out


def main() -> int:
    """Read the order from standard input, perform when told, and report on standard output."""
    lines = MessageStream(sys.stdin.fileno())
    order = lines.wait()
    workspace = open_store(order["store"])
    release = load_release(workspace, order["release"])
    backend = open_backend(order["backend"], release.graph, release.role.shape)
    self_test(backend, release.golden)
    lead = _lead(backend)
    previous = _behind(workspace, order["previous"], order["backend"])
    inputs = open_inputs(workspace, order["inputs"], order["ticks"], release.actor)
    inputs.prepare()
    sinks = [open_sink(url, release.skeleton.offsets) for url in order["sinks"]]
    ring = Ring(Path(order["ring"]), ModelShape.load(msgspec.convert(order["room"], Shape)))
    dark = _darkened(inputs.playlist, order["dark"], order["seed"])
    facts = {"lead": lead, "fingerprint": backend.fingerprint(), "real_time": _prepare()}
    send(sys.stdout.buffer, {"ready": True, **facts})
    calls: deque[dict[str, Any]] = deque()
    performed = 0
    while not lines.closed:
        try:
            call = calls.popleft() if calls else lines.wait()
        except GreenroomError:  # the show is over
            break
        if "first" not in call:  # a control; the call to perform says how it stands
            continue
        performer = _performer(order, release.role, backend, previous)
        height = float(release.role.rest[6 * release.role.shape.joints])
        receiver = inputs.receiver(order["cuts"], call["first"], height=height, dark=dark)
        billing = (call["release"], -1 if previous is None else call["previous"])
        engine = Engine(
            performer, receiver, sinks=sinks, ring=ring, clock=WallClock(), billing=billing
        )
        engine.control = call["control"]
        is_stopped = partial(_read_calls, engine, lines, calls)
        frames = engine.run(call["start_ns"], call["first"], order["ticks"], is_stopped)
        receiver.close()
        performed += frames
        report = _report(receiver, sinks, frames, performed=performed, work_ms=engine.work_ms)
        send(sys.stdout.buffer, report)
        if engine.until == order["ticks"]:
            break
    for sink in sinks:
        sink.close()
    return 0


def _report(
    receiver: Receiver, sinks: Sequence[Sink], frames: int, performed: int, work_ms: float
) -> dict[str, Any]:
    """Return what became of a stretch: of its inputs in it, of the sinks since the process began.

    `delay_ms` becomes the time from a packet's arrival to its datagram.
    """
    receivers: list[dict[str, Any]] = getattr(receiver, "reports", list)()
    for report in receivers:
        if report.get("delay_ms") is not None:
            report["delay_ms"] = round(report["delay_ms"] + work_ms, 3)
    return {
        "frames": frames,
        "lost_datagrams": sum(sink.lost for sink in sinks),
        "receivers": receivers,
        "sinks": [sink_report(sink, performed) for sink in sinks],
    }


def _read_calls(engine: Engine, lines: MessageStream, calls: deque[dict[str, Any]]) -> bool:
    """Hear at which tick another engine takes over; tell whether the show was ended."""
    for call in lines.read():
        if "until" in call:
            engine.until = min(call["until"], engine.ends)
        elif "control" in call and "first" not in call:
            engine.control = call["control"]
        else:  # called back before it had left
            calls.append(call)
    return lines.closed


if __name__ == "__main__":
    sys.exit(main())
