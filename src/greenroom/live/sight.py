"""Read from a frame how well the model does: how sure it is, and whether its forecasts come true."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.contracts import ModelShape, get_tensors, width_of
from greenroom.frames import Doubles, Floats
from greenroom.metrics.motion import AHEAD, miss


@dataclass(frozen=True)
class Figures:
    """What a guard takes of one tick.

    Attributes:
        confidence: mean over the joints that were captured, in [0, 1]; NaN where none was, or the model
            was not asked.
        finite: whether the model said numbers: else the frame was `previous` or `hold`.
        miss: error of a forecast that has come due, over itself and that of standing still, in [0, 1];
            NaN where none has.
    """

    confidence: float
    finite: bool
    miss: float = float("nan")


class Sight:
    """Read a show's frames, one after another.

    Args:
        shape: of the model that is asked.
    """

    def __init__(self, shape: ModelShape) -> None:
        """Begin before the first frame."""
        self.shape = shape
        self._said: deque[tuple[Floats, Floats, NDArray[np.bool_]] | None] = deque(maxlen=AHEAD)

    def read(self, row: NDArray[Any], outputs: Mapping[str, Any]) -> Figures:
        """Return the figures of one frame.

        Args:
            row: of the ring.
            outputs: what the model said, by name, with or without a batch of one in front.
        """
        due = self._said[0] if len(self._said) == AHEAD else None
        if not row["asked"]:
            self._said.append(None)
            return Figures(float("nan"), True)
        sizes = self.shape.inputs()
        inputs = get_tensors(np.asarray(row["inputs"][: width_of(sizes)]), sizes)
        valid = inputs["valid"][0] >= 1
        state = inputs["state"][0, : 6 * len(valid)].reshape(-1, 6).copy()
        sure: Doubles = np.asarray(outputs["confidence"], dtype=np.float64).reshape(-1)
        finite = all(bool(np.isfinite(said).all()) for said in outputs.values())
        now = None
        if AHEAD in self.shape.horizons and finite:
            at = self.shape.horizons.index(AHEAD)
            said = np.asarray(outputs["forecast"]).reshape(len(self.shape.horizons), -1, 6)[at]
            now = said.copy(), state, valid
        self._said.append(now)
        confidence = float(sure[valid].mean()) if finite and valid.any() else float("nan")
        off = float("nan")
        if due is not None:
            both = valid & due[2]
            off = float(miss(due[0][both], due[1][both], state[both]))
        return Figures(confidence, finite, off)
