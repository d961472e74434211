"""Keep what is captured while something new is seen, as takes that a model can learn from.

A show is recorded whole, but becomes an object only when it ends. What is to be learned while it runs is
kept in pieces, as takes with the rights of who is captured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from greenroom.capture.formats.bvh import body_to_motion, write_bvh
from greenroom.capture.ingest import store_take
from greenroom.capture.packets import BodySample
from greenroom.capture.readers import read_recording
from greenroom.frames import Body, Skeleton
from greenroom.live.ring import samples_of
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

PIECE = 300
"""Ticks of a piece at most: ten seconds."""
LEAST = 60
"""Ticks of a piece at least."""
BEFORE = 900
"""Ticks that are remembered, for an alert tells late what began earlier."""


class CaptureRecorder:
    """Observe a show, and keep pieces of its capture from the tick that `begin` names.

    Args:
        workspace: where the takes go.
        attribution: actor, people and rights of what is captured.
        skeleton: of the body.
        name: of the takes, before their first tick.
        by: who keeps them.
        on_take: called with each take's hash.
    """

    def __init__(
        self,
        workspace: Workspace,
        attribution: Attribution,
        skeleton: Skeleton,
        name: str,
        by: str,
        on_take: Callable[[str], None] = lambda take: None,
    ) -> None:
        """Remember, and keep nothing yet."""
        self.workspace, self.attribution, self.skeleton = workspace, attribution, skeleton
        self.name, self.by, self.on_take = name, by, on_take
        self.takes: list[str] = []
        self._from: int | None = None
        self._past: deque[tuple[int, BodySample]] = deque(maxlen=BEFORE)
        self._piece: list[tuple[int, BodySample]] = []

    def begin(self, tick: int) -> None:
        """Keep from a tick on, as far back as is remembered; again is once."""
        if self._from is None:
            self._from = tick
            for at, sample in self._past:
                if at >= tick:
                    self._add(at, sample)

    def end(self) -> None:
        """Keep no more."""
        self._flush()
        self._from = None

    def frame(self, row: Any, outputs: dict[str, Any]) -> None:
        """See one frame."""
        sample = samples_of(row).body
        tick = int(row["tick"])
        if sample is None:
            self._flush()
            return
        self._past.append((tick, sample))
        if self._from is not None:
            self._add(tick, sample)

    def _add(self, tick: int, sample: BodySample) -> None:
        last = self._piece[-1][0] if self._piece else tick - 1
        if sample.first_of_clip or len(self._piece) == PIECE or tick != last + 1:
            self._flush()
        self._piece.append((tick, sample))

    def _flush(self) -> None:
        piece, self._piece = self._piece, []
        if len(piece) < LEAST:
            return
        samples = [sample for _, sample in piece]
        validity = np.stack([sample.validity for sample in samples])
        if not (validity[:, validity.max(axis=0) > 0] > 0).all():
            return  # a capture with holes is no example
        body = Body(
            self.skeleton,
            np.stack([sample.root for sample in samples]),
            np.stack([sample.rotations for sample in samples]),
            validity,
        )
        data = write_bvh(body_to_motion(body))
        recording = read_recording(data, f"{self.name}-{piece[0][0]:06d}.bvh")
        take = store_take(self.workspace, recording, self.attribution, self.by)
        self.takes.append(take)
        self.on_take(take)
