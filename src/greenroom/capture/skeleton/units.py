"""Guess what one unit of a skeleton is, because BVH does not say and a factor of 2.54 ruins a take.

A person's thigh and shin together are 0.49 of the stature (Drillis and Contini 1966, thigh 0.245,
shin 0.246); without known legs, the longest way from the root to a leaf is taken as 0.62 of it.
Among the units in use, those that give a stature between 1.0 and 2.3 m are kept, and the one
nearest to 1.68 m wins. The mapping file's ``unit`` overrides the guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from greenroom.capture.skeleton.naming import find_bones
from greenroom.errors import BadInput
from greenroom.frames import Doubles, Skeleton

UNITS: dict[str, float] = {
    "m": 1.0,
    "cm": 0.01,
    "mm": 0.001,
    "in": 0.0254,
    "ft": 0.3048,
    "cmu": 0.0254 / 0.45,
}
"""Metres in one unit; ``cmu`` is the CMU collection's (its readme: inches scaled by 0.45)."""
SHORTEST, LIKELY, TALLEST = 1.0, 1.68, 2.3


def stature(skeleton: Skeleton, ends: Sequence[tuple[int, Doubles]] = ()) -> float:
    """Return about how tall a performer with this skeleton is, in the skeleton's unit.

    Args:
        skeleton: joints with offsets.
        ends: end sites, (joint, offset) pairs.
    """
    lengths = np.sqrt(np.square(skeleton.offsets).sum(axis=1))
    bones = find_bones(skeleton)
    legs: list[float] = []
    for side in ("left", "right"):
        thigh, shin, foot = (bones.get(f"{side}{b}") for b in ("UpperLeg", "LowerLeg", "Foot"))
        if thigh is not None and shin is not None and foot is not None:
            legs.append(float(lengths[shin] + lengths[foot]))
    if legs and max(legs) > 0:
        return float(max(legs)) / 0.491
    lengths[0] = 0.0
    reach = np.zeros(len(lengths))
    for j, parent in enumerate(skeleton.parents):
        reach[j] = lengths[j] + (reach[parent] if parent >= 0 else 0.0)
    tips = [reach[j] + float(np.linalg.norm(place)) for j, place in ends]
    return float(max([float(reach.max()), *tips]) / 0.62)


def guess_unit(
    skeleton: Skeleton, ends: Sequence[tuple[int, Doubles]] = (), *, where: str = ""
) -> float:
    """Return how many metres one unit of `skeleton` is.

    Args:
        skeleton: joints with offsets in the unknown unit.
        ends: end sites, (joint, offset) pairs.
        where: what to call the file in errors.

    Raises:
        BadInput: no unit in use makes this a person.
    """
    tall = stature(skeleton, ends)
    fits = {m: m * tall for m in UNITS.values() if SHORTEST <= m * tall <= TALLEST}
    if not fits:
        raise BadInput(
            f"no unit makes a person of a skeleton about {tall:.3g} units tall",
            where=where,
            then='say the unit: a mapping file with "unit", such as {"unit": "cm"}',
        )
    return min(fits, key=lambda m: abs(math.log(fits[m] / LIKELY)))
