"""Work out from a person in the T-pose how a live sender's bones rest, where its floor is, and its size.

Source: quaternions are averaged as in `greenroom.capture.skeleton.tpose.mean_rotation` (Markley 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.skeleton.tpose import mean_rotation
from greenroom.errors import BadInput
from greenroom.frames import BONE, BONES, HUMANOID, PARENTS, Doubles, Skeleton
from greenroom.rotations import angle_between, multiply, rotate

REQUIRED = (
    *("hips", "head"),
    *(f"{s}{b}" for s in ("left", "right") for b in ("UpperLeg", "LowerLeg", "Foot")),
    *(f"{s}{b}" for s in ("left", "right") for b in ("UpperArm", "LowerArm", "Hand")),
)
"""Bones without which a T-pose cannot be told."""
MOST_TURN_DEG, MOST_SHIFT_M = 6.0, 0.04
"""How far a bone and the hips may be from their mean while a person stands still."""
MOST_TILT_DEG = 25.0
"""How far trunk, legs and arms may be from the T-pose's directions."""
_UP = np.asarray([0.0, 1, 0])
_SOLES = ("leftFoot", "rightFoot", "leftToes", "rightToes")


@dataclass(frozen=True)
class TPoseSamples:
    """What was captured while a person stood in the T-pose, N samples.

    Attributes:
        roots: (N, 3), metres; NaN where the sender does not say where the hips are.
        rotations: (N, 55, 4), local, as the sender has them.
        validity: (N, 55).
        offsets: (55, 3), the sender's bones in their parents' axes, metres; NaN where not known.
    """

    roots: Doubles
    rotations: Doubles
    validity: Doubles
    offsets: Doubles


@dataclass(frozen=True)
class TPoseFit:
    """What a T-pose says of its sender.

    Attributes:
        rest: bone → world rotation (4,) in the T-pose.
        facing_deg: yaw of the person in the sender's world, degrees.
        floor_m: height of the floor in it, metres; 0 where the sender gives no place of the hips.
        hip_ratio: the actor's hip height in the sender's.
    """

    rest: dict[str, Doubles]
    facing_deg: float
    floor_m: float
    hip_ratio: float


def fit_tpose(samples: TPoseSamples, actor: Skeleton) -> TPoseFit:
    """Return what a T-pose says of its sender.

    Args:
        samples: of about three seconds, one at least.
        actor: the bones of who performs, in the T-pose.

    Raises:
        BadInput: bones are missing, the person moved, or does not stand upright in the T-pose.
    """
    valid = (samples.validity > 0).mean(axis=0) > 0.5
    missing = [name for name in REQUIRED if not valid[BONE[name]]]
    if missing:
        raise BadInput(
            f"the sender gives no {', '.join(missing[:4])}",
            then="let it track and send the whole body",
        )
    rotations = np.where(valid[:, None], samples.rotations, np.asarray([0.0, 0, 0, 1]))
    seen = np.isfinite(rotations).all(axis=(1, 2))
    if not seen.any():
        raise BadInput("no sample has the whole body", then="stay where every tracker sees you")
    rotations, roots = rotations[seen], samples.roots[seen]
    mean = np.asarray(mean_rotation(rotations), dtype=np.float64)
    _require_still(rotations, mean, roots, valid)
    turns, places = _world(mean, samples.offsets, valid)
    yaw = _facing(places)
    _require_tpose(places, yaw)
    ratio, sole = _size(places, actor, valid)
    has_root = np.isfinite(roots).all()
    floor = float(roots.mean(axis=0)[1] + sole) if has_root else 0.0
    rest = {name: turns[i] for i, name in enumerate(BONES) if valid[i]}
    return TPoseFit(rest, float(np.rad2deg(yaw)), floor, ratio)


def _require_still(
    rotations: Doubles, mean: Doubles, roots: Doubles, valid: NDArray[np.bool_]
) -> None:
    off = np.where(valid, angle_between(rotations, np.broadcast_to(mean, rotations.shape)), 0.0)
    off = np.percentile(off, 95, axis=0)
    bone = int(np.argmax(off))
    then = "stand still in the T-pose, and try again"
    if off[bone] > MOST_TURN_DEG:
        raise BadInput(f"the person moved: {BONES[bone]} by {off[bone]:.0f}°", then=then)
    if np.isfinite(roots).all():
        shift = float(np.linalg.norm(roots - np.median(roots, axis=0), axis=1).max())
        if shift > MOST_SHIFT_M:
            raise BadInput(f"the person moved: the hips by {100 * shift:.0f} cm", then=then)


def _world(local: Doubles, offsets: Doubles, valid: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Return world rotations (55, 4) and places (55, 3) from the hips; NaN where a bone is missing."""
    given = np.where(np.isfinite(offsets), offsets, HUMANOID.offsets)
    turns, places = local.copy(), np.zeros((len(BONES), 3))
    for bone, parent in enumerate(PARENTS):
        if parent >= 0:
            turns[bone] = multiply(turns[parent], local[bone])
            places[bone] = places[parent] + rotate(turns[parent], given[bone])
    places[~valid] = np.nan
    return turns, places


def _facing(places: Doubles) -> float:
    """Return the yaw, radians, by which the person is turned from facing +Z."""
    across = sum(
        places[BONE[f"left{part}"]] - places[BONE[f"right{part}"]]
        for part in ("UpperLeg", "UpperArm", "LowerArm")
    )
    assert not isinstance(across, int)
    return float(np.arctan2(-across[2], across[0]))


def _require_tpose(places: Doubles, yaw: float) -> None:
    across = np.asarray([np.cos(yaw), 0.0, -np.sin(yaw)])
    trunk = _tilt(places, "hips", "head", _UP)
    if trunk > MOST_TILT_DEG:
        raise BadInput(
            f"nobody stands upright: the trunk leans by {trunk:.0f}°",
            then="stand upright, and let the sender's +Y be up",
        )
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for what, first, last, way in (
            ("arm", "UpperArm", "Hand", across * sign),
            ("leg", "UpperLeg", "Foot", -_UP),
        ):
            tilt = _tilt(places, f"{side}{first}", f"{side}{last}", way)
            if tilt > MOST_TILT_DEG:
                raise BadInput(
                    f"no T-pose: the {side} {what} is {tilt:.0f}° from it",
                    then="stretch both arms out to the sides, palms down, legs straight",
                )


def _tilt(places: Doubles, first: str, last: str, way: Doubles) -> float:
    line = places[BONE[last]] - places[BONE[first]]
    length = float(np.linalg.norm(line))
    if length < 1e-6:
        raise BadInput(f"the sender's {first} and {last} are at one place", then="send the bones")
    return float(np.rad2deg(np.arccos(np.clip(line @ way / length, -1, 1))))


def _size(places: Doubles, actor: Skeleton, valid: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the ratio of the hips' heights, and the height of the floor above the sender's hips."""
    own = actor.world(actor.rest_translations(1, actor.offsets[0]), _unturned())[0][0]
    soles = [BONE[name] for name in _SOLES if valid[BONE[name]]]
    theirs = -float(places[soles, 1].min())
    hips, lowest = float(own[0, 1]), float(own[soles, 1].min())
    ratio = (hips - lowest) / theirs if theirs > 0.05 else 0.0
    if not 0.2 < ratio < 5:
        raise BadInput(
            f"the sender's hips are {theirs:.2f} m above its feet",
            then="let it send metres, and calibrate it in its own program first",
        )
    return ratio, -theirs - lowest / ratio


def _unturned() -> Doubles:
    return np.tile(np.asarray([0.0, 0, 0, 1]), (1, len(BONES), 1))
