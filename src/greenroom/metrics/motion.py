"""What motion is judged by: angles, and skill against holding still.

Angles are geodesic, in degrees (Huynh 2009, "Metrics for 3D rotations", Φ6). Skill is Murphy's (1988):
1 - MSE / MSE of persistence, over squared geodesic angles of all joints, where persistence holds the
last pose; 1 is perfect, 0 no better than holding. Every figure of a set of takes is a ratio of sums
over takes (`SufficientStats`), so that it can be taken again over resampled takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.frames import Array, Doubles
from greenroom.rotations import angle_between, from_six


def angles_6d(a: Array, b: Array) -> Doubles:
    """Return the angle (...) in degrees between 6D rotations (..., 6), after Gram-Schmidt."""
    turned = from_six(np.asarray(a, dtype=np.float64)), from_six(np.asarray(b, dtype=np.float64))
    return np.asarray(angle_between(*turned), dtype=np.float64)


QUIET = 0.05
"""Share of seconds that are quiet ones, of recordings in which a body is as lively as it is."""
_HELD = 0.1
"""Degrees a second below which no body stood still: a picture did, or a frame was repeated."""


def joint_pace(six: Array) -> Doubles:
    """Return the median joint's speed in degrees a second, of every whole second of rotations (T, 6 J).

    Of what is shorter than a second, the one number.
    """
    turns = six.reshape(len(six), -1, 6)
    speeds = np.median(angles_6d(turns[1:], turns[:-1]), axis=1) * TICK_HZ
    second = max(1, min(TICK_HZ, len(speeds)))
    count = len(speeds) // second
    return np.asarray(speeds[: count * second].reshape(count, second).mean(axis=1))


def quiet_pace(takes: Iterable[Array]) -> float:
    """Return the pace below which a twentieth of the seconds of takes (T, 6 J) are.

    Those in which nothing moved at all do not count; 0 where none is left.
    """
    paces = np.concatenate([joint_pace(take) for take in takes])
    paces = paces[paces > _HELD]
    return float(np.quantile(paces, QUIET)) if len(paces) else 0.0


AHEAD = 6
"""Ticks of the forecast that is followed while a model performs: 200 ms."""
_MOVED = 0.005  # rms of six numbers of a rotation below which nothing moved


def forecast_error(forecast: Array, previous: Array, current: Array) -> Doubles:
    """Return how far off forecasts were, over themselves and standing still, in [0, 1].

    Root mean squares over all joints' six numbers; NaN where nothing moved, or there is no joint.

    Args:
        forecast: what was forecast (…, J, 6).
        previous: how it was when that was said.
        current: how it is.
    """
    error, persistence_error = (
        _rms(np.asarray(estimate, dtype=np.float64) - current) for estimate in (forecast, previous)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(persistence_error > _MOVED, error / (error + persistence_error), np.nan)


def _rms(difference: Doubles) -> Doubles:
    count = max(1, difference.shape[-1] * difference.shape[-2])
    return np.asarray(np.sqrt((difference**2).sum(axis=(-1, -2)) / count))


@dataclass(frozen=True)
class SufficientStats:
    """Sums of one metric over one take, from which the figure over many takes is made.

    Attributes:
        kind: "mean" (sum / weight; degrees: lower is better) or "skill" (1 - sum / weight).
        sums: {who: sum}, such as "model", "ridge", "hold".
        weight: what they are divided by.
    """

    kind: Literal["mean", "skill"]
    sums: dict[str, float]
    weight: float


def aggregate(stats: list[SufficientStats], source: str) -> float:
    """Return the figure of somebody over takes; NaN where there is nothing to divide by."""
    weight = sum(t.weight for t in stats)
    if weight <= 0:
        return float("nan")
    ratio = sum(t.sums[source] for t in stats) / weight
    return 1 - ratio if stats[0].kind == "skill" else ratio
