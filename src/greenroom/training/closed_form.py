"""Fit the closed-form core: the ridge and the Gaussian that a model has to beat, and starts from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from greenroom.contracts import ModelShape
from greenroom.frames import LIMBS, Floats
from greenroom.metrics.baselines import Gaussian, Ridge
from greenroom.networks.core import Core

_MARGIN = 0.25


def fit_core(
    core: Core, shape: ModelShape, joints: Sequence[str], takes: Sequence[Floats]
) -> dict[str, float]:
    """Fit `core` to states in place; return what was chosen.

    Of a Gaussian of (displacement, state then, step then) the graph needs the conditional mean of the
    displacement given the other two, and the precision of the residual, here of unit diagonal.
    Displacements are relative to those of a gap of that age, so that a gap's first tick is no jump.

    Args:
        core: to be fitted.
        shape: of the model's tensors.
        joints: names, in the states' order.
        takes: states (T, D) of each take, without gaps.
    """
    d = shape.state
    ridge = Ridge(takes, (1,), d)
    rows = np.concatenate(takes).astype(np.float64)
    low, high = rows.min(0), rows.max(0)
    margin = _MARGIN * (high - low)
    scaled = [(take - ridge.mean) / ridge.std for take in takes]
    masks = np.zeros((len(LIMBS), d), dtype=bool)
    for mask, limb in zip(masks, LIMBS.values(), strict=True):
        mask[: 6 * len(joints)] = np.repeat(np.isin(joints, list(limb)), 6)
    moves = Gaussian(scaled, masks[masks.any(axis=1)], paced=True)
    covariance = moves.covariance
    drift = np.linalg.solve(covariance[d:, d:], covariance[d:, :d])
    precision = np.linalg.inv(covariance[:d, :d] - covariance[:d, d:] @ drift)
    spread = 1 / np.sqrt(np.diag(precision))
    for name, value in {
        "mean": ridge.mean,
        "std": ridge.std,
        "low": (low - margin - ridge.mean) / ridge.std,
        "high": (high + margin - ridge.mean) / ridge.std,
        "forecast": ridge.weights[1][:-1],
        "bias": ridge.weights[1][-1],
        "drift": drift,
        "onset": moves.mean[:d] - moves.mean[d:] @ drift,
        "precision": precision * spread[:, None] * spread,
        "spread": spread,
        "pace": moves.pace_of(np.arange(shape.history, 0, -1)),
    }.items():
        getattr(core, name).copy_(torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))
    return {"raised": moves.raised}
