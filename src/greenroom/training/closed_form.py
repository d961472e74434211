"""Fit the closed-form core: statistics, ridge forecast, low-rank Gaussian of displacements.

Ridge: W = (XᵀX + λI)⁻¹XᵀY on normalised states, Y the change to the next tick; λ is chosen on the
validation takes. Gaussian: maximum-likelihood probabilistic PCA (Tipping and Bishop 1999, equation
8) of how far states move within a gap's length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from greenroom.contracts import ModelShape
from greenroom.frames import Doubles, Floats
from greenroom.training.core import Core

_LAMBDAS = (10.0, 100.0, 1000.0, 10_000.0, 100_000.0)
_GAPS = (1, 2, 4, 8, 15)
_MARGIN = 0.25
_MIN_STD = 0.03


def fit_core(
    core: Core,
    shape: ModelShape,
    train: Sequence[Floats],
    validation: Sequence[Floats] = (),
    penalty: float | None = None,
) -> dict[str, float]:
    """Fill `core` from states; return what was chosen.

    Args:
        core: to be filled in place.
        shape: of the model.
        train: states (T, D) of each take, without gaps.
        validation: the same of other takes, which choose λ.
        penalty: λ where it has been chosen before; then `validation` is not looked at.
    """
    rows = np.concatenate(train).astype(np.float64)
    mean, std = rows.mean(0), np.maximum(rows.std(0), _MIN_STD)
    low, high = rows.min(0), rows.max(0)
    margin = _MARGIN * (high - low)
    bounds = ((low - margin - mean) / std, (high + margin - mean) / std)
    x, y = _pairs(train, shape, mean, std)
    if penalty is None:
        vx, vy = _pairs(validation, shape, mean, std)
        fits = dict(zip(_LAMBDAS, _ridge(x, y, *_LAMBDAS), strict=True))
        penalty = min(fits, key=lambda p: float(np.mean((vx @ fits[p][0] + fits[p][1] - vy) ** 2)))
    ((weights, bias),) = _ridge(x, y, penalty)
    factors, noise = _probabilistic_pca(_moves(train, std), core.factors.shape[1])
    for name, value in {
        "mean": mean,
        "std": std,
        "low": bounds[0],
        "high": bounds[1],
        "forecast": weights,
        "bias": bias,
        "factors": factors,
        "noise": noise,
    }.items():
        getattr(core, name).copy_(torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))
    return {"ridge_lambda": penalty}


def _pairs(
    states: Sequence[Floats], shape: ModelShape, mean: Doubles, std: Doubles
) -> tuple[Doubles, Doubles]:
    """Return regressors (T, lags·D), those of `Core.lagged`, and the change to the next tick (T, D)."""
    x, y = [], []
    for take in states:
        scaled = (take.astype(np.float64) - mean) / std
        ticks = np.arange(len(take) - 1)
        newest = scaled[:-1]
        # A take's first tick stands in for what came before it.
        older = [newest - scaled[np.maximum(ticks - lag + 1, 0)] for lag in shape.lags[1:]]
        x.append(np.concatenate([newest, *older], axis=1))
        y.append(np.diff(scaled, axis=0))
    return np.concatenate(x), np.concatenate(y)


def _ridge(x: Doubles, y: Doubles, *penalties: float) -> list[tuple[Doubles, Doubles]]:
    """Return weights and bias for each penalty."""
    mx, my = x.mean(0), y.mean(0)
    centred = x - mx
    gram, cross = centred.T @ centred, centred.T @ (y - my)
    out = []
    for penalty in penalties:
        weights = np.linalg.solve(gram + penalty * np.eye(x.shape[1]), cross)
        out.append((weights, my - mx @ weights))
    return out


def _moves(states: Sequence[Floats], std: Doubles) -> Doubles:
    """Return how far the state moves within 1 … 15 ticks, normalised, both ways in time."""
    moves = [
        (take[gap:] - take[:-gap]) / std for take in states for gap in _GAPS if len(take) > gap
    ]
    forward = np.concatenate(moves).astype(np.float64)
    return np.concatenate([forward, -forward])


def _probabilistic_pca(errors: Doubles, rank: int) -> tuple[Doubles, Doubles]:
    """Return factors (D, rank) and the variance left in each channel (D,)."""
    covariance = np.cov(errors.T)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    left = float(values[rank:].mean())
    factors = vectors[:, :rank] * np.sqrt(np.maximum(values[:rank] - left, 0.0))
    noise = np.maximum(np.diag(covariance) - (factors**2).sum(1), 0.05 * np.diag(covariance).mean())
    return factors, noise
