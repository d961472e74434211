"""How well channels such as face weights are followed: R² and correlation over those that are active."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles
from greenroom.metrics.motion import SufficientStats

ACTIVE = 0.01
"""A channel whose standard deviation in the truth is less does not move (face weights, of 1)."""


def _both(truth: Array, prediction: Array) -> tuple[Doubles, Doubles]:
    """Return both as doubles, NaN where either is missing.

    Raises:
        BadInput: the shapes differ.
    """
    a, b = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise BadInput(f"channels are (T, C) and alike, not {a.shape} and {b.shape}")
    missing = np.logical_not(np.isfinite(a) & np.isfinite(b))
    return np.where(missing, np.nan, a), np.where(missing, np.nan, b)


def active_channels(truth: Array, least: float = ACTIVE) -> NDArray[np.bool_]:
    """Return which channels (C,) of a truth (T, C) move: standard deviation of `least` at least."""
    values = np.asarray(truth, dtype=np.float64)
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, values, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(finite, values - mean, 0) ** 2).sum(axis=0) / count)
    return np.asarray((spread >= least) & (finite.sum(axis=0) >= 2))


def r2_tally(
    truth: Array, predictions: Mapping[str, Array], mean: Array | None = None, least: float = ACTIVE
) -> SufficientStats:
    """Return the sums of the variance-weighted R² of one take; "skill" makes 1 - SSE / SST of them.

    Summing squares over channels before the division weights each channel's R² by its variance. Source:
    `sklearn.metrics.r2_score(multioutput="variance_weighted")`, whose value it equals for one take with
    the default mean. 1 is perfect, 0 no better than the mean.

    Args:
        truth: (T, C).
        predictions: {name: (T, C)}. What is missing (NaN) in one counts in none.
        mean: (C,) of the training takes, against which the truth's variance is taken, so that takes can
            be pooled; by default the take's own.
        least: channels that move less are left out.

    Raises:
        BadInput: the shapes differ.
    """
    moving = active_channels(truth, least)
    finite = np.isfinite(np.asarray(truth, dtype=np.float64))
    for prediction in predictions.values():
        finite &= np.isfinite(_both(truth, prediction)[1])
    a = np.where(finite, np.asarray(truth, dtype=np.float64), 0)[:, moving]
    mask = finite[:, moving]
    if mean is None:
        baseline = a.sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
    else:
        baseline = np.asarray(mean, dtype=np.float64)[moving]
    total = float((np.where(mask, a - baseline, 0) ** 2).sum())
    sums = {
        name: float(
            (np.where(mask, np.asarray(prediction, np.float64)[:, moving] - a, 0) ** 2).sum()
        )
        for name, prediction in predictions.items()
    }
    return SufficientStats("skill", sums, total)


def r2(truth: Array, prediction: Array, least: float = ACTIVE) -> float:
    """Return the variance-weighted R² over active channels (T, C); NaN where none is.

    >>> t = np.linspace(0, 6, 50)
    >>> y = np.stack([np.sin(t), 0 * t], 1)
    >>> r2(y, y), round(r2(y, 0 * y + y.mean(0)), 6)
    (1.0, 0.0)
    """
    tally = r2_tally(truth, {"prediction": prediction}, least=least)
    return 1 - tally.sums["prediction"] / tally.weight if tally.weight > 0 else float("nan")


def pearson(truth: Array, prediction: Array, least: float = ACTIVE) -> Doubles:
    """Return Pearson's r of each channel (C,); NaN where the truth is not active.

    A prediction that does not move has r 0: it follows nothing. Source: Pearson 1895.

    Args:
        truth: (T, C), NaN where missing.
        prediction: (T, C), NaN where missing.
        least: channels that move less are left out.

    Raises:
        BadInput: the shapes differ.
    """
    a, b = _both(truth, prediction)
    finite = np.isfinite(a)
    count = np.maximum(finite.sum(axis=0), 1)
    out = []
    for values in (a, b):
        means = np.where(finite, values, 0).sum(axis=0) / count
        out.append(np.where(finite, values - means, 0))
    denominator = np.sqrt((out[0] ** 2).sum(axis=0) * (out[1] ** 2).sum(axis=0))
    numerator = (out[0] * out[1]).sum(axis=0)
    # Rounding leaves a constant a spread of some 1e-16 of its size; such a one follows nothing.
    scale = 1e-12 * count * np.maximum(np.nanmax(np.abs(np.nan_to_num(b)), axis=0, initial=0), 1e-9)
    moves = (denominator > 0) & (np.sqrt((out[1] ** 2).sum(axis=0)) > scale)
    r = np.where(moves, numerator / np.where(moves, denominator, 1), 0.0)
    return np.where(active_channels(a, least), np.clip(r, -1, 1), np.nan)


def pearson_tally(
    truth: Array, predictions: Mapping[str, Array], least: float = ACTIVE
) -> SufficientStats:
    """Return r summed over a take's active channels, and how many they are: the mean r over takes.

    Args:
        truth: (T, C).
        predictions: {name: (T, C)}.
        least: channels that move less are left out.

    Raises:
        BadInput: the shapes differ.
    """
    correlations = {
        name: pearson(truth, prediction, least) for name, prediction in predictions.items()
    }
    defined = np.all([np.isfinite(r) for r in correlations.values()], axis=0)
    sums = {name: float(r[defined].sum()) for name, r in correlations.items()}
    return SufficientStats("mean", sums, float(defined.sum()))
