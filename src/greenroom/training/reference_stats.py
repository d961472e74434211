"""Baseline statistics of a model's outputs on held-out takes, all captured: the reference of monitoring.

Means over ten ticks of confidence and sigma of each joint, of the styles' probabilities, and of forecast
errors, take by take: so a chart has a reference without anybody's takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from greenroom.contracts import REFERENCE_TICKS, ModelShape
from greenroom.frames import Floats
from greenroom.manifests import ReferenceSummary
from greenroom.metrics.motion import AHEAD, forecast_error
from greenroom.networks.input_batch import InputBatch, Observation, assemble_batch

_AT_ONCE = 512  # ticks


@dataclass(frozen=True)
class ReferenceStats:
    """Baseline statistics of held-out takes.

    Attributes:
        confidence: of every tick (T, J).
        blocks: number of stretches of `REFERENCE_TICKS` of each take.
        rows: means of these stretches (N, 2 J + C, and one more where the model forecasts): confidence,
            sigma in degrees, styles, and the forecast error, NaN where no forecast is due.
    """

    confidence: Floats
    blocks: list[int]
    rows: Floats

    def summary(self) -> ReferenceSummary:
        """Return the summary for a model's manifest."""
        return ReferenceSummary(
            blocks=self.blocks,
            confidence_mean=round(float(self.confidence.mean()), 4),
            confidence_p05=round(float(np.quantile(self.confidence, 0.05)), 4),
        )

    def blob(self) -> bytes:
        """Return the rows, float32, little-endian."""
        return self.rows.astype("<f4").tobytes()


class ModelFunction(Protocol):
    """A trained network, or its exported graph."""

    shape: ModelShape

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of ticks (N, …), given their inputs (N, …), in the orders of the shape."""


def compute_reference_stats(model: ModelFunction, takes: Sequence[Floats]) -> ReferenceStats:
    """Return the statistics of a model's outputs where everything is captured, without speech.

    Args:
        model: trained.
        takes: states (T, D) each, one of them longer than the model's history.
    """
    shape = model.shape
    rows_by_take = [_evaluate(model, take) for take in takes if len(take) > shape.history]
    means = [_means(rows) for rows in rows_by_take]
    confidence = np.concatenate([rows[:, : shape.joints] for rows in rows_by_take])
    return ReferenceStats(confidence, [len(rows) for rows in means], np.concatenate(means))


def _means(rows: Floats) -> Floats:
    """Return the means (N, …) of finite values over complete stretches of rows (T, …)."""
    parts = rows[: len(rows) // REFERENCE_TICKS * REFERENCE_TICKS].reshape(
        -1, REFERENCE_TICKS, rows.shape[1]
    )
    finite = np.isfinite(parts)
    with np.errstate(invalid="ignore"):
        out: Floats = np.where(finite, parts, 0).sum(axis=1) / finite.sum(axis=1)
    return out


def _evaluate(model: ModelFunction, take: Floats) -> Floats:
    """Return rows (T - K, 2 J + C + …) of a take (T, D), from its first tick with a complete history."""
    shape, k = model.shape, model.shape.history
    windows = sliding_window_view(take, k + 1, axis=0).transpose(0, 2, 1)
    batches = [
        torch.from_numpy(np.ascontiguousarray(windows[start : start + _AT_ONCE]))
        for start in range(0, len(windows), _AT_ONCE)
    ]
    with torch.no_grad():
        parts = [model(*_captured(shape, part).tensors) for part in batches]
    arrays = [torch.cat(parts_of_output).numpy() for parts_of_output in zip(*parts, strict=True)]
    outputs = dict(zip(shape.outputs(), arrays, strict=True))
    rows = [outputs[name] for name in ("confidence", "sigma", "style") if name in outputs]
    if AHEAD in shape.horizons:
        six = take[k:, : 6 * shape.joints].reshape(-1, shape.joints, 6)
        forecast = outputs["forecast"][:, shape.horizons.index(AHEAD)].reshape(six.shape)
        error = np.full((len(six), 1), np.nan)
        error[AHEAD:, 0] = forecast_error(forecast[:-AHEAD], six[:-AHEAD], six[AHEAD:])
        rows.append(error)
    return np.concatenate(rows, axis=1).astype(np.float32)


def _captured(shape: ModelShape, windows: Tensor) -> InputBatch:
    """Return the inputs of ticks at which all is captured, from windows (N, K + 1, D)."""
    ones = windows.new_ones(len(windows), shape.history, shape.joints)
    now = Observation(
        windows[:, -1],
        windows[:, -2],
        valid=ones[:, 0],
        previous_valid=ones[:, 0],
        gap_ticks=windows.new_zeros(len(windows), 1),
    )
    return assemble_batch(shape, windows[:, :-1], ones, now)
