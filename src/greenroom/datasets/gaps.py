"""Take one limb after the other from a recorded body, and put in what a model says of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from greenroom.datasets.build import pose_states
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import BONE, LIMBS, Body, Floats
from greenroom.render.clips import MOST
from greenroom.rotations import from_six

LOST = 15
"""Ticks that a limb is lost, and that all is captured before the next one goes: half a second."""
Perform = Callable[[Floats, Floats], Floats]
"""(window (K + L, D), which joints are captured in its last L ticks (L, J)) → states (L, D)."""


def limb_masks(spec: FeatureSpec) -> NDArray[np.bool_]:
    """Return (limbs, J), True where a joint is of a limb; limbs that it does not have are left out."""
    limbs = np.asarray([np.isin(spec.joints, list(limb)) for limb in LIMBS.values()])
    return limbs[limbs.any(axis=1)]


def fill_gaps(
    perform: Perform, spec: FeatureSpec, history: int, body: Body
) -> tuple[Body, Body, Floats] | None:
    """Return a stretch of a body, the same with its lost limbs made up, and what was given (T, 55).

    Half a second is captured, half a second lacks a limb, then the next limb. What was given is 0 for a
    lost limb's bones, 1 for all others, also those that the recording never had. None where the body is
    too short or lacks a joint of the model's.

    Args:
        perform: the model.
        spec: its features.
        history: K, ticks of its own past that it sees.
        body: of a second and a history at least; the first of it is the past.
    """
    states = pose_states(spec, body)[: history + MOST]
    ticks = len(states) - history
    if ticks < 2 * LOST or not np.isfinite(states).all():
        return None
    limbs = limb_masks(spec)
    lost = np.zeros((ticks, len(spec.joints)), dtype=bool)
    for n, start in enumerate(range(LOST, ticks, 2 * LOST)):
        lost[start : start + LOST] = limbs[n % len(limbs)]
    completed = perform(states, (~lost).astype(np.float32))
    completed_rotations = from_six(completed[:, : 6 * len(spec.joints)].reshape(ticks, -1, 6))
    # State i is of tick i + 1: the first tick of a take has no velocity.
    span = slice(history + 1, history + 1 + ticks)
    truth = Body(body.skeleton, body.root[span], body.rotations[span], body.validity[span])
    rotations, captured = truth.rotations.copy(), np.ones_like(truth.validity)
    for j, name in enumerate(spec.joints):
        rotations[lost[:, j], BONE[name]] = completed_rotations[lost[:, j], j]
        # What the model has no joint for, such as a hand, goes with the limb that it is of.
        limb = next((limb for limb in LIMBS.values() if name in limb), (name,))
        for bone in limb:
            captured[lost[:, j], BONE[bone]] = 0
    return truth, Body(truth.skeleton, truth.root, rotations, truth.validity), captured
