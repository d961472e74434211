"""The engine's process: nothing in it but the loop, which owes a frame every 33.3 ms.

It is started with one JSON line: where the ring is, which release, which inputs and sinks. It reads
only verified objects, contacts nobody but its sinks, writes frames into shared memory, and ends when
the show is over or its standard input is closed.
"""

from __future__ import annotations

import gc
import os
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from greenroom.capture.packets import Packet, Receiver
from greenroom.clock import PERIOD_NS, Clock, Pacer, WallClock
from greenroom.live.backends import OnnxBackend
from greenroom.live.inputs import open_playlist
from greenroom.live.ladder import RUNGS
from greenroom.live.performer import Outcome, Performer
from greenroom.live.ring import Ring, put_packets, sizes, slot_type
from greenroom.live.sinks import Sink, VmcSink
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace

LEAD_NS = 50_000_000
"""Between the engine's being ready and tick 0."""


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
        self._in, self._out = sizes(shape.inputs()), sizes(shape.outputs())
        self.start_ns = 0
        performer.mark = self._mark

    def run(self, ticks: int) -> int:
        """Perform ticks 0 … `ticks` - 1, or until standard input closes; return how many."""
        self.start_ns = self.clock.now_ns() + LEAD_NS
        pacer = Pacer(self.clock, self.start_ns)
        for tick in range(ticks):
            late_by = pacer.wait(tick)
            self.tick(tick, late_by > PERIOD_NS)
            if tick % 15 == 0 and _told_to_stop():
                return tick + 1
        return ticks

    def tick(self, tick: int, late: bool) -> Outcome:
        """Perform one tick, send it, and publish it."""
        row = self.row
        now = self.clock.now_ns() - self.start_ns
        row["due"] = tick * 1_000_000_000 // 30
        packets = self.receiver.poll(now)
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
        flat = row["inputs"]
        for name, where in self._in.items():
            flat[where] = outcome.inputs[name].ravel()
        row["asked"] = outcome.outputs is not None
        flat = row["outputs"]
        for name, where in self._out.items():
            flat[where] = 0 if outcome.outputs is None else outcome.outputs[name].ravel()
        row["root"], row["rotations"] = outcome.frame.root, outcome.frame.rotations
        row["face"] = outcome.frame.face
        row["capture"] = outcome.capture is not None
        row["speech"] = outcome.features.speech[0, -3:]


def _told_to_stop() -> bool:
    """Tell whether standard input was closed: the supervisor's way to end a show."""
    with suppress(OSError, ValueError):
        ready, _, _ = select.select([sys.stdin], [], [], 0)
        return bool(ready) and not os.read(sys.stdin.fileno(), 1)
    return False


def _order() -> bytes:
    """Return the first line of standard input, reading not a byte more."""
    out = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        out += byte
    return bytes(out)


def _prepare() -> None:
    """Ask for real-time scheduling, where it is allowed; keep the collector out of the loop."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    gc.collect()
    gc.freeze()
    gc.disable()


def main() -> int:
    """Read the order from standard input, perform, and report on standard output."""
    order = msgspec.json.decode(_order())
    release = load_release(Workspace(Path(order["home"])), order["release"])
    backend = OnnxBackend(release.graph, release.role.shape, order["threads"])
    backend.warm()
    playlist = open_playlist(Workspace(Path(order["home"])), order["inputs"], order["ticks"])
    receiver = playlist.player([tuple(cut) for cut in order["cuts"]])
    sinks = [VmcSink(host, port, release.skeleton.offsets) for host, port in order["vmc"]]
    ring = Ring(Path(order["ring"]), release.role.shape)
    clock = WallClock()
    performer = Performer(release.role, backend, order["seed"])
    engine = Engine(performer, receiver, sinks, ring, clock)
    _prepare()
    utc = clock.utc_ns()
    print(msgspec.json.encode({"ready": True, "utc_ns": utc}).decode(), flush=True)
    done = engine.run(order["ticks"])
    receiver.close()
    for sink in sinks:
        sink.close()
    report = {"frames": done, "lost_datagrams": sum(sink.lost for sink in sinks)}
    print(msgspec.json.encode(report).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
