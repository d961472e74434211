"""Keep a show: what came in, what was decided, what went out, in segments of ten seconds.

A segment is a blob: the ring's rows, packed and compressed. The chained digest over every emitted tensor
(SHA-256 of the last digest and the frame's bytes) is what a replay has to reach.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from greenroom.clock import PERIOD_NS
from greenroom.contracts import ModelShape
from greenroom.errors import GreenroomError
from greenroom.frames import Frame
from greenroom.live.fallback import RUNGS
from greenroom.live.ring import STAMPS, frame_of, rung_of, slot_type
from greenroom.manifests import Show, ShowBlobs
from greenroom.store.workspace import Workspace

SEGMENT = 300


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
        warn: told when a segment cannot be kept; it waits in memory and is tried again.
    """

    def __init__(
        self, workspace: Workspace, warn: Callable[[str], None] = lambda what: None
    ) -> None:
        """Begin an empty show."""
        self.workspace, self.warn = workspace, warn
        self.digest = b""
        self.frames = self.late = self.lost = self.missed = 0
        """Kept, emitted too late, overwritten before they were kept, and ticks without a frame."""
        self._next = 0
        self.rungs = dict.fromkeys(RUNGS, 0)
        self.stamps: list[tuple[int, ...]] = []
        self._rows: list[NDArray[Any]] = []
        self._segments: list[str] = []
        self._waiting: list[bytes] = []

    def take(self, row: NDArray[Any]) -> None:
        """Keep one row."""
        self.digest = chain(self.digest, frame_of(row))
        self.frames += 1
        self.missed += max(0, int(row["tick"]) - self._next)
        self._next = int(row["tick"]) + 1
        stamps = tuple(int(row[stamp]) for stamp in STAMPS)
        self.stamps.append(stamps)
        self.late += int(stamps[-1] > stamps[0] + PERIOD_NS)
        self.rungs[rung_of(row)] += 1
        self._rows.append(row)
        if len(self._rows) == SEGMENT:
            try:
                self._flush()
            except (GreenroomError, OSError) as error:  # the show goes on
                self.warn(f"the show is not being kept: {error}")

    def _flush(self) -> None:
        if self._rows:
            self._waiting.append(zlib.compress(np.stack(self._rows).tobytes(), 1))
            self._rows = []
        while self._waiting:
            self._segments.append(self.workspace.objects.put(self._waiting[0]))
            del self._waiting[0]

    def end_at(self, ticks: int) -> None:
        """Count the ticks from the last frame to the show's end as missed."""
        self.missed += max(0, ticks - self._next)
        self._next = max(self._next, ticks)

    def finish(self, show: Show, by: str) -> str:
        """Publish the show with what was recorded of it; return its hash.

        Args:
            show: its manifest, but for what the recorder counted.
            by: who performed it.
        """
        self._flush()
        recorded = msgspec.structs.replace(
            show,
            frames=int(self.frames),
            late=int(self.late),
            missed=int(self.missed),
            lost_to_recorder=int(self.lost),
            rungs=self.rungs,
            digest=self.digest.hex(),
            blobs=ShowBlobs(segments=self._segments),
        )
        return self.workspace.publish(recorded, by=by)


def read_ledger(workspace: Workspace, show: Show, shape: ModelShape) -> Iterator[NDArray[Any]]:
    """Yield the rows of a show, each segment verified.

    Args:
        workspace: where they are.
        show: its manifest.
        shape: of the model that opened it.

    Raises:
        CorruptObject: a byte changed.
    """
    kind = slot_type(shape)
    for name in show.blobs.segments:
        data = zlib.decompress(workspace.objects.get(name))
        yield from np.frombuffer(data, dtype=kind)


def latency_percentiles(stamps: list[tuple[int, ...]]) -> dict[str, dict[str, float]]:
    """Return milliseconds a frame: whole, without the model, the model alone, and each section."""
    stamps_ms = np.asarray(stamps, dtype=np.float64) / 1e6
    if not len(stamps_ms):
        return {}
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
