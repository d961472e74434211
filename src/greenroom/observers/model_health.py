"""Read from a frame how well the model does: how sure it is, and whether its forecasts come true."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.contracts import ModelShape, flat_width, get_tensors
from greenroom.frames import Doubles, Floats
from greenroom.metrics.motion import AHEAD, forecast_error


@dataclass(frozen=True)
class TickHealth:
    """What a guard takes of one tick.

    Attributes:
        confidence: mean over the joints that were captured, in [0, 1]; NaN where none was, or the model
            was not asked.
        finite: whether the model said numbers: else the frame was `previous` or `hold`.
        forecast_error: error of a forecast that has come due, over itself and that of standing still,
            in [0, 1];
            NaN where none has.
    """

    confidence: float
    finite: bool
    forecast_error: float = float("nan")


class ModelHealth:
    """Read a show's frames, one after another.

    Args:
        shape: of the model that is asked.
    """

    def __init__(self, shape: ModelShape) -> None:
        """Begin before the first frame."""
        self.shape = shape
        self._pending: deque[tuple[Floats, Floats, NDArray[np.bool_]] | None] = deque(maxlen=AHEAD)

    def read(self, row: NDArray[Any], outputs: Mapping[str, Any]) -> TickHealth:
        """Return the figures of one frame.

        Args:
            row: of the ring.
            outputs: what the model said, by name, with or without a batch of one in front.
        """
        due = self._pending[0] if len(self._pending) == AHEAD else None
        if not row["asked"]:
            self._pending.append(None)
            return TickHealth(float("nan"), True)
        sizes = self.shape.inputs()
        inputs = get_tensors(np.asarray(row["inputs"][: flat_width(sizes)]), sizes)
        valid = inputs["valid"][0] >= 1
        state = inputs["state"][0, : 6 * len(valid)].reshape(-1, 6).copy()
        confidences: Doubles = np.asarray(outputs["confidence"], dtype=np.float64).reshape(-1)
        finite = all(bool(np.isfinite(tensor).all()) for tensor in outputs.values())
        now = None
        if AHEAD in self.shape.horizons and finite:
            horizon_index = self.shape.horizons.index(AHEAD)
            forecasts = np.asarray(outputs["forecast"]).reshape(len(self.shape.horizons), -1, 6)
            now = forecasts[horizon_index].copy(), state, valid
        self._pending.append(now)
        confidence = float(confidences[valid].mean()) if finite and valid.any() else float("nan")
        error_share = float("nan")
        if due is not None:
            mask = valid & due[2]
            error_share = float(forecast_error(due[0][mask], due[1][mask], state[mask]))
        return TickHealth(confidence, finite, error_share)
