"""What motion is judged by: angles, skill, and how far feet slide.

Angles are geodesic, in degrees (Huynh 2009, "Metrics for 3D rotations", Φ6). Skill is Murphy's (1988):
1 - MSE / MSE of persistence, over squared geodesic angles of all joints, where persistence holds the
last pose; 1 is perfect, 0 no better than holding. Every figure of a set of takes is a ratio of sums
over takes (`Tally`), so that it can be taken again over resampled takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.frames import Array, Doubles
from greenroom.rotations import angle_between, from_six


def six_angles(a: Array, b: Array) -> Doubles:
    """Return the angle (...) in degrees between 6D rotations (..., 6), after Gram-Schmidt."""
    turned = from_six(np.asarray(a, dtype=np.float64)), from_six(np.asarray(b, dtype=np.float64))
    return np.asarray(angle_between(*turned), dtype=np.float64)


def jerk(positions: Array) -> Doubles:
    """Return the size of the third derivative (T - 3, J), m/s³, of positions (T, J, 3) in metres."""
    out: Doubles = np.linalg.norm(np.diff(positions, n=3, axis=0), axis=-1) * TICK_HZ**3
    return out


def foot_skate(feet: Array, floor: float, height: float = 0.05) -> float:
    """Return how fast feet slide while they stand, metres a second.

    A foot stands at ticks where it is within `height` metres of the floor now and at the tick before.

    Args:
        feet: positions (T, feet, 3), metres.
        floor: its height, metres.
        height: of what counts as standing.
    """
    low = feet[..., 1] < floor + height
    stands = low[1:] & low[:-1]
    if not stands.any():
        return 0.0
    speed = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1) * TICK_HZ
    return float(speed[stands].mean())


@dataclass(frozen=True)
class Tally:
    """Sums of one metric over one take, from which the figure over many takes is made.

    Attributes:
        kind: "mean" (sum / weight; degrees: lower is better) or "skill" (1 - sum / weight).
        sums: {who: sum}, such as "model", "ridge", "hold".
        weight: what they are divided by.
    """

    kind: str
    sums: dict[str, float]
    weight: float


def figure(tallies: list[Tally], who: str) -> float:
    """Return the figure of somebody over takes; NaN where there is nothing to divide by."""
    weight = sum(t.weight for t in tallies)
    if weight <= 0:
        return float("nan")
    ratio = sum(t.sums[who] for t in tallies) / weight
    return 1 - ratio if tallies[0].kind == "skill" else ratio
