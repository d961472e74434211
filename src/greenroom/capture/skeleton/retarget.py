"""Derive the humanoid at 30 Hz from a source's own skeleton and rate.

Convention (source → ours): any up axis and facing → +Y up, facing +Z; local rotations against the
source's rest → local rotations against the T-pose; any rate → 30 Hz, by slerp on the source's
rotations and linearly on its positions, never on Euler angles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from greenroom.capture.skeleton.kinematics import rotate_vectors, world_rotations
from greenroom.capture.skeleton.kinematics import world_pose as place
from greenroom.capture.skeleton.mapping import AUTOMATIC, Mapping, map_joints
from greenroom.capture.skeleton.naming import Bones
from greenroom.capture.skeleton.tpose import find_tpose
from greenroom.errors import BadInput
from greenroom.frames import (
    BONE,
    BONES,
    PARENTS,
    RATE_TOLERANCE,
    TICK_HZ,
    Array,
    Body,
    Motion,
    Skeleton,
    ticks_of,
)
from greenroom.rotations import inverse, multiply, slerp

MAX_TICKS = 30 * 60 * 60 * 12
"""Twelve hours; a longer derived take is a mistake in the Frame Time."""


def resample(motion: Motion) -> Motion:
    """Return the motion at 30 Hz; within 0.01 % of a multiple of 30 Hz, frames are copied exactly.

    Args:
        motion: any rate. Tick k takes the moment k/30 s after the first frame.

    Raises:
        BadInput: the motion would last more than twelve hours.
    """
    rate = motion.rate
    turns: Array
    places: Array
    step = round(rate / TICK_HZ)
    if step >= 1 and abs(rate / (step * TICK_HZ) - 1) <= RATE_TOLERANCE:
        places, turns = motion.translations[::step], motion.rotations[::step]
    else:
        ticks = ticks_of(rate, len(motion))
        if ticks > MAX_TICKS:
            raise BadInput(f"{ticks / TICK_HZ:.0f} s at {rate:g} frames a second", then="split it")
        left, right, part = _between(rate, ticks, len(motion))
        turns = slerp(motion.rotations[left], motion.rotations[right], part[:, None])
        a, b = motion.translations[left], motion.translations[right]
        places = a + (b - a) * part[:, None, None]
    return replace(
        motion,
        rate=float(TICK_HZ),
        translations=places.astype(np.float64),
        rotations=turns.astype(np.float64),
    )


def _between(
    rate: float, ticks: int, frames: int
) -> tuple[
    np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]], Array
]:
    """Return for each tick the source frames around it and how far between them it lies."""
    positions = np.minimum(np.arange(ticks) * (rate / TICK_HZ), frames - 1)
    left = np.minimum(positions.astype(np.intp), max(frames - 2, 0))
    right = np.minimum(left + 1, frames - 1)
    return left, right, positions - left


def to_body(motion: Motion, mapping: Mapping = AUTOMATIC, *, where: str = "") -> Body:
    """Return the humanoid of a motion at 30 Hz.

    Args:
        motion: the source on its own skeleton, metres.
        mapping: what a person says of its names and up axis; its unit belongs to the reader.
        where: what to call the source in errors.

    Returns:
        The body: root (T, 3) in metres; rotations (T, 55, 4) local, relative to the T-pose, NaN
        with validity 0 for bones that the source has no rotation for.

    Raises:
        BadInput: the humanoid cannot be found in the joints.
    """
    bones = map_joints(motion, mapping, where=where)
    pose = find_tpose(motion, bones, mapping.up)
    ticks = resample(motion)
    places, turns = _world(ticks, bones)
    driven = [bone for bone, j in bones.items() if motion.orders[j] or bone == "hips"]
    rows = [BONE[bone] for bone in driven]
    undo = inverse(np.stack([pose.poses[bone] for bone in driven]))
    # Bone by tick, so that each product runs over one stretch of memory.
    source = np.ascontiguousarray(np.moveaxis(turns[:, [bones[bone] for bone in driven]], 1, 0))
    world_pose = multiply(multiply(pose.turn, source), undo[:, None])
    local = world_pose.copy()
    above = [driven.index(parent) for parent in map(_parent_in(set(driven)), driven[1:])]
    local[1:] = multiply(inverse(world_pose[above]), world_pose[1:])
    rotations = np.full((len(ticks), len(BONES), 4), np.nan, dtype=np.float32)
    validity = np.zeros((len(ticks), len(BONES)), dtype=np.float32)
    rotations[:, rows] = np.moveaxis(local, 0, 1)
    validity[:, rows] = 1.0
    root = rotate_vectors(np.broadcast_to(pose.turn, (len(ticks), 4)), places)
    if not np.isfinite(root).all():
        raise BadInput("the root leaves every measure", where=where, then="check the unit")
    return Body(pose.skeleton, root.astype(np.float32), _signed(rotations), validity)


def _parent_in(available: set[str]) -> Callable[[str], str]:
    """Return a function from a bone to its nearest ancestor among `available`."""

    def parent(bone: str) -> str:
        i = PARENTS[BONE[bone]]
        while BONES[i] not in available:
            i = PARENTS[i]
        return BONES[i]

    return parent


def _signed(
    q: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Flip signs along time so that neighbours lie in the same half; NaN stays NaN."""
    dot = np.einsum("tji,tji->tj", q[1:], q[:-1])
    sign = np.cumprod(np.where(dot < 0, np.float32(-1), np.float32(1)), axis=0)
    first = np.where(q[:1, :, 3:] < 0, np.float32(-1), np.float32(1))
    out = q * first
    out[1:] *= sign[..., None]
    return out


def _world(motion: Motion, bones: Bones) -> tuple[Array, Array]:
    """Return the hips' world positions (T, 3) and every joint's world rotations (T, J, 4)."""
    parents = motion.skeleton.parents
    line = [bones["hips"]]
    while parents[line[0]] >= 0:
        line.insert(0, parents[line[0]])
    turns = world_rotations(parents, motion.rotations)
    place = motion.translations[:, line[0]].copy()
    for parent, j in zip(line[:-1], line[1:], strict=True):
        place += rotate_vectors(turns[:, parent], motion.translations[:, j])
    return place, turns


@dataclass(frozen=True)
class HumanoidError:
    """How far the humanoid's joints are from the source's, in millimetres.

    Attributes:
        mean: over every mapped joint and tick.
        worst: the largest.
        bone: where the largest is.
    """

    mean: float
    worst: float
    bone: str


def humanoid_error(motion: Motion, body: Body, mapping: Mapping = AUTOMATIC) -> HumanoidError:
    """Return how far the humanoid's joints are from the source's at the same moments.

    The source is brought to 30 Hz on its own skeleton, by slerp, and both are placed by forward
    kinematics; so the figure is what rigid lengths and 55 bones cost, joints left out included.

    Args:
        motion: the source.
        body: what :func:`to_body` made of it with the same mapping.
        mapping: the same mapping.
    """
    bones = map_joints(motion, mapping)
    upright = find_tpose(motion, bones, mapping.up).turn
    ticks = resample(motion)
    source, _ = place(ticks.skeleton, ticks.translations, ticks.rotations)
    skeleton: Skeleton = body.skeleton
    ours, _ = place(
        skeleton,
        skeleton.rest_translations(len(body), body.root),
        body.filled().astype(np.float64),
    )
    names = list(bones)
    theirs = rotate_vectors(upright, source[:, [bones[bone] for bone in names]])
    gaps = np.linalg.norm(theirs - ours[:, [BONE[bone] for bone in names]], axis=-1) * 1000
    worst = int(np.argmax(gaps.max(axis=0)))
    return HumanoidError(float(gaps.mean()), float(gaps.max()), names[worst])
