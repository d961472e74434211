"""Keep a show: what came in, what was decided, what went out, in segments of a second.

A segment is a blob: the ring's rows, packed and compressed. The chained digest over every emitted tensor
(SHA-256 of the last digest and the frame's bytes) is what a replay has to reach.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from greenroom.clock import PERIOD_NS
from greenroom.contracts import ModelShape
from greenroom.errors import GreenroomError
from greenroom.frames import Frame
from greenroom.live.journal import JournalLine, RecordingJournal, Totals
from greenroom.live.ring import frame_of, rung_of, slot_type
from greenroom.live.sources import RUNGS
from greenroom.manifests import Show, ShowBlobs
from greenroom.store.workspace import Workspace

SEGMENT = 30
"""Frames of a segment: a second."""


def disk_for(shape: ModelShape, ticks: int) -> int:
    """Return the bytes of disk that a show of so many ticks may take: half of what its rows are."""
    return slot_type(shape).itemsize * ticks // 2


def chain(before: bytes, frame: Frame) -> bytes:
    """Return the digest after one more frame; `before` is empty at the start."""
    state = hashlib.sha256(before)
    for part in (frame.root, frame.rotations, frame.face):
        state.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
    return state.digest()


class Recorder:
    """Take rows from the ring and keep them.

    Args:
        workspace: where the segments go.
        warn: called when a segment cannot be kept; it waits in memory and is tried again.
        journal: where each segment is noted, so that another recorder can go on; None for nowhere.
    """

    def __init__(
        self,
        workspace: Workspace,
        warn: Callable[[str], None] = lambda what: None,
        journal: RecordingJournal | None = None,
    ) -> None:
        """Begin an empty show."""
        self.workspace, self.warn, self.journal = workspace, warn, journal
        self.digest = b""
        self.frames = self.late = self.lost = self.missed = 0
        """Kept, emitted too late, overwritten before they were kept, and ticks without a frame."""
        self._next_tick = self._next_number = 0
        self.rungs = dict.fromkeys(RUNGS, 0)
        self._rows: list[NDArray[Any]] = []
        self._segments: list[str] = []
        self._waiting: list[tuple[bytes, Totals]] = []

    def resume(self) -> int:
        """Go on after the last segment of the journal; return the ring's number to read from."""
        lines = [] if self.journal is None else self.journal.lines()
        self._segments = [line.segment for line in lines]
        if lines:
            totals = lines[-1].totals
            self.frames, self.late, self.missed = totals.frames, totals.late, totals.missed
            self.lost, self.digest = totals.lost, bytes.fromhex(totals.digest)
            self.rungs |= totals.rungs
            self._next_tick, self._next_number = totals.next_tick, totals.next_number
        return self._next_number

    def take(self, row: NDArray[Any]) -> None:
        """Keep one row."""
        self.digest = chain(self.digest, frame_of(row))
        self.frames += 1
        overtaken = max(0, int(row["seq"]) - self._next_number)  # performed, and lost to this side
        self.missed += max(0, int(row["tick"]) - self._next_tick - overtaken)
        self._next_tick, self._next_number = int(row["tick"]) + 1, int(row["seq"]) + 1
        self.late += int(row["emit"] > row["due"] + PERIOD_NS)
        self.rungs[rung_of(row)] += 1
        self._rows.append(row)
        if len(self._rows) == SEGMENT:
            self.keep()

    def keep(self) -> None:
        """Write what was taken since the last segment; where that fails, warn, and try again later."""
        try:
            self.flush()
        except (GreenroomError, OSError) as error:  # the show goes on
            self.warn(f"what is recorded is not being kept: {error}")

    def flush(self) -> list[str]:
        """Keep all that was taken; return the hashes of all segments.

        Raises:
            GreenroomError: a segment could not be written; the next call tries it again.
        """
        if self._rows:
            packed = zlib.compress(np.stack(self._rows).tobytes(), 1)
            self._waiting.append((packed, self.totals()))
            self._rows = []
            if self.journal is not None:
                self.journal.give_back(len(packed))
        while self._waiting:
            data, totals = self._waiting[0]
            segment = self.workspace.objects.put(data)
            if self.journal is not None:
                self.journal.append(JournalLine(segment=segment, totals=totals))
            self._segments.append(segment)
            del self._waiting[0]
        return list(self._segments)

    @property
    def pending(self) -> int:
        """How many rows were taken since the last segment."""
        return len(self._rows)

    def totals(self) -> Totals:
        """Return what was taken so far."""
        return Totals(
            frames=self.frames,
            late=self.late,
            missed=self.missed,
            lost=self.lost,
            rungs=dict(self.rungs),
            digest=self.digest.hex(),
            next_tick=self._next_tick,
            next_number=self._next_number,
        )

    def end_at(self, ticks: int) -> None:
        """Count the ticks from the last frame to the show's end as missed."""
        self.missed += max(0, ticks - self._next_tick)
        self._next_tick = max(self._next_tick, ticks)

    def recorded(self, show: Show) -> Show:
        """Return a show's manifest with what was recorded of it, all of it kept.

        Raises:
            GreenroomError: a segment could not be written.
        """
        segments = self.flush()
        return msgspec.structs.replace(
            show,
            frames=int(self.frames),
            late=int(self.late),
            missed=int(self.missed),
            lost_to_recorder=int(self.lost),
            rungs=self.rungs,
            digest=self.digest.hex(),
            blobs=ShowBlobs(segments=segments),
        )

    def finish(self, show: Show, by: str) -> str:
        """Publish the show with what was recorded of it; return its hash.

        Args:
            show: its manifest, but for what the recorder counted.
            by: who performed it.
        """
        return self.workspace.publish(self.recorded(show), by=by)


def read_ledger(workspace: Workspace, show: Show, shape: ModelShape) -> Iterator[NDArray[Any]]:
    """Yield the rows of a show, each segment verified.

    Args:
        workspace: where they are.
        show: its manifest.
        shape: of the model that opened it.

    Raises:
        CorruptObject: a byte changed.
    """
    return read_segments(workspace, show.blobs.segments, shape)


def read_segments(
    workspace: Workspace, segments: Iterable[str], shape: ModelShape
) -> Iterator[NDArray[Any]]:
    """Yield the rows of segments, each verified.

    Raises:
        CorruptObject: a byte changed.
    """
    kind = slot_type(shape)
    for name in segments:
        data = zlib.decompress(workspace.objects.get(name))
        yield from np.frombuffer(data, dtype=kind)


def latency_percentiles(stamps: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Return milliseconds a frame: whole, without the model, the model alone, and each section.

    Args:
        stamps: of each frame (N, 6), nanoseconds, in the order of `STAMPS`.
    """
    if not len(stamps):
        return {}
    stamps_ms = stamps / 1e6
    due, arrival, features, inference, post, emit = stamps_ms.T
    model = inference - features
    total = emit - due
    work = emit - arrival - model
    out = {
        "frame_ms": total,
        "overhead_ms": work,
        "model_ms": model,
        "wait_ms": arrival - due,
        "features_ms": features - arrival,
        "post_ms": post - inference,
        "emit_ms": emit - post,
    }
    return {
        name: {
            "p50": round(float(np.percentile(values, 50)), 4),
            "p99": round(float(np.percentile(values, 99)), 4),
            "max": round(float(values.max()), 4),
        }
        for name, values in out.items()
    }
