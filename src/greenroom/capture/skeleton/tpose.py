"""Find a source skeleton's T-pose, because formats don't give it and rigs rest as they like.

Convention: the result takes each joint's own axes to the T-pose (+Y up, facing +Z, arms along ±X),
so humanoid_world(t) = turn · source_world(t) · pose⁻¹. Where the pose with all rotations zero is a
person (T, A, arms down), it is corrected bone by bone the shortest way. Where it is not, as in rigs
whose joint axes are folded into the motion (Bandai Namco, many exports of Maya), the take's mean
pose stands in, and each joint's axes are then snapped to the world's, which those rigs' axes are
parallel to.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from greenroom.capture.skeleton.kinematics import pose_world, rotate_vectors, world_pose
from greenroom.capture.skeleton.naming import Bones
from greenroom.frames import BONE, BONES, HUMANOID, PARENTS, Array, Motion, Skeleton
from greenroom.rotations import (
    IDENTITY,
    between,
    from_matrix,
    from_vector,
    to_matrix,
)

UP = np.array([0.0, 1.0, 0.0])
AHEAD = np.array([0.0, 0.0, 1.0])
LEFT = np.array([1.0, 0.0, 0.0])
_FOOT_PITCH = float(np.arctan2(0.07, 0.13))
"""How far below the horizon the line from ankle to toes points in a flat foot (HUMANOID's foot)."""
_KEEP = {"hips": 0.0, "spine": 30.0, "chest": 30.0, "upperChest": 30.0, "neck": 40.0, "head": 40.0}
_AIM: dict[str, tuple[str, ...]] = {
    **{bone: ("chest", "upperChest", "neck", "head") for bone in ("spine",)},
    "chest": ("upperChest", "neck", "head"),
    "upperChest": ("neck", "head"),
    "neck": ("head",),
}
for _s in ("left", "right"):
    _AIM |= {
        f"{_s}UpperLeg": (f"{_s}LowerLeg",),
        f"{_s}LowerLeg": (f"{_s}Foot",),
        f"{_s}Shoulder": (f"{_s}UpperArm",),
        f"{_s}UpperArm": (f"{_s}LowerArm",),
        f"{_s}LowerArm": (f"{_s}Hand",),
        f"{_s}Hand": (f"{_s}MiddleProximal",),
    }


@dataclass(frozen=True)
class TPose:
    """A source's T-pose.

    Attributes:
        turn: quaternion (4,) from the source's world to ours (up axis and facing).
        poses: bone → quaternion (4,) from the joint's own axes to the T-pose.
        skeleton: the 55 bones with this performer's lengths in the T-pose, metres.
        folded: True where the zero pose was no person and the mean pose stood in.
    """

    turn: Array
    poses: dict[str, Array]
    skeleton: Skeleton
    folded: bool


def find_tpose(motion: Motion, bones: Bones, up: str | None = None) -> TPose:
    """Return the T-pose of a source.

    Args:
        motion: the source on its own skeleton.
        bones: bone → joint, from :func:`greenroom.capture.skeleton.mapping.map_joints`.
        up: the source's up axis where it is known, such as "Z" or "-Y".
    """
    skeleton = motion.skeleton
    joints = len(skeleton.names)
    local = np.tile(np.array(IDENTITY), (joints, 1))
    offsets = skeleton.offsets.copy()
    if motion.moving.any():
        step = max(1, len(motion) // 100)
        offsets[motion.moving] = motion.translations[::step].mean(axis=0)[motion.moving]
    places, turns = pose_world(skeleton, offsets, local)
    axis = None if up is None else _axis(up)
    folded = not _is_person(places, bones)
    if folded:
        local = mean_rotation(motion.rotations)
        above = bones["hips"]
        while above >= 0:  # in the hips' own axes
            local[above] = IDENTITY
            above = skeleton.parents[above]
        places, turns = pose_world(skeleton, offsets, local)
    frame = _facing(places, bones, None if folded else axis)
    poses = _poses(places, turns, bones=bones, frame=frame, folded=folded)
    if folded:
        poses |= _folded_arms(motion, bones, offsets)
    upright = _world_turn(motion, bones, axis) if folded else frame
    lengths = _lengths(places, turns, bones, poses)
    return TPose(upright, poses, lengths, folded)


def mean_rotation(q: Array) -> Array:
    """Return the mean over axis 0 of unit quaternions (T, J, 4), whatever their signs.

    Source: the eigenvector of Σ q qᵀ with the largest eigenvalue (Markley et al. 2007).
    """
    step = max(1, len(q) // 300)
    _, vectors = np.linalg.eigh(np.einsum("tji,tjk->jik", q[::step], q[::step]))
    mean: Array = vectors[..., -1]
    return mean * np.where(mean[..., 3:] < 0, -1.0, 1.0)


def _axis(name: str) -> Array:
    axis = np.zeros(3)
    axis["XYZ".index(name[-1])] = -1.0 if name[0] == "-" else 1.0
    return axis


def _unit(v: Array) -> Array:
    length = float(np.linalg.norm(v))
    return v / length if length > 1e-9 else np.zeros(3)


def _crown(places: Array, bones: Bones) -> Array:
    return _unit(places[bones.get("neck", bones["head"])] - places[bones["hips"]])


def _is_person(places: Array, bones: Bones) -> bool:
    """Return whether the pose stands: legs down, apart and straight, trunk in one line."""
    up = _crown(places, bones)
    across = places[bones["leftUpperLeg"]] - places[bones["rightUpperLeg"]]
    if not up.any() or abs(float(_unit(across) @ up)) > 0.5 or not across.any():
        return False
    for side in ("left", "right"):
        thigh, shin, foot = (places[bones[side + b]] for b in ("UpperLeg", "LowerLeg", "Foot"))
        if _unit(shin - thigh) @ up > -0.7 or _unit(foot - shin) @ up > -0.7:
            return False
    arms = [places[bones[f"{s}UpperArm"]] for s in ("left", "right")]
    return float(_unit(arms[0] - arms[1]) @ _unit(across)) > 0.7


def _snap_axis(v: Array, degrees: float = 20.0) -> Array:
    """Return the nearest of the six axes where `v` is within `degrees` of it, else `v`."""
    i = int(np.argmax(np.abs(v)))
    if abs(v[i]) < np.cos(np.deg2rad(degrees)):
        return v
    out = np.zeros(3)
    out[i] = np.sign(v[i])
    return out


def _facing(places: Array, bones: Bones, up: Array | None) -> Array:
    """Return the rotation (4,) that turns a standing pose upright and to face +Z."""
    if up is None:
        up = _snap_axis(_crown(places, bones))
    across = places[bones["leftUpperLeg"]] - places[bones["rightUpperLeg"]]
    if np.linalg.norm(across) < 1e-6:
        across = places[bones["leftUpperArm"]] - places[bones["rightUpperArm"]]
    left = _snap_axis(_unit(across - up * (across @ up)))
    left = _unit(left - up * (left @ up))
    return from_matrix(np.stack([left, up, np.cross(left, up)]))


def _world_turn(motion: Motion, bones: Bones, up: Array | None) -> Array:
    """Return the rotation (4,) that brings the source's up axis to +Y, by the mean trunk."""
    if up is None:
        step = max(1, len(motion) // 16)
        places, _ = world_pose(
            motion.skeleton, motion.translations[::step], motion.rotations[::step]
        )
        trunk = places[:, bones.get("neck", bones["head"])] - places[:, bones["hips"]]
        up = _unit(trunk.mean(axis=0))
        i = int(np.argmax(np.abs(up)))
        up = UP if abs(up[i]) < 0.7 else _snap_axis(up, 46.0)
    return between(up, UP)


def _poses(
    places: Array, turns: Array, bones: Bones, frame: Array, folded: bool
) -> dict[str, Array]:
    """Correct a standing pose into the T-pose bone by bone, carrying each correction down."""
    carried: dict[str, Array] = {}
    poses: dict[str, Array] = {}
    facing, own = to_matrix(frame), to_matrix(turns)
    for bone in BONES:
        if bone not in bones:
            continue
        parent = PARENTS[BONE[bone]]
        while parent >= 0 and BONES[parent] not in carried:
            parent = PARENTS[parent]
        swing = carried[BONES[parent]] if parent >= 0 else _NONE
        foot = bone.endswith("Foot")
        if not folded and (foot or bone.endswith("Toes")):
            swing = _NONE
        aim = next((b for b in _AIM.get(bone, ()) if b in bones), "")
        if foot and folded and bone.replace("Foot", "Toes") in bones:
            aim = bone.replace("Foot", "Toes")
        if aim:
            way = swing @ facing @ (places[bones[aim]] - places[bones[bone]])
            swing = _swing(bone, way) @ swing
        pose = swing @ facing @ own[bones[bone]]
        if folded:
            snapped = _snap_pose(pose)
            if foot:
                snapped = _TILT @ snapped
            pose, swing = snapped, snapped @ pose.T @ swing
        carried[bone], poses[bone] = swing, pose
    return dict(zip(poses, from_matrix(np.stack(list(poses.values()))), strict=True))


def _swing(bone: str, way: Array) -> Array:
    """Return the correction (3, 3) that takes a bone's direction to the T-pose's."""
    if np.linalg.norm(way) < 1e-6:
        return _NONE
    sign = 1.0 if bone.startswith("left") else -1.0
    if "Leg" in bone:
        target, keep = -UP, 0.0
    elif "Foot" in bone:
        target, keep = AHEAD, 0.0
    elif bone in _KEEP:
        target, keep = UP, _KEEP[bone]
    else:
        target, keep = LEFT * sign, 60.0 if "Shoulder" in bone else 0.0
    if _unit(way) @ target > np.cos(np.deg2rad(keep)):
        return _NONE
    return to_matrix(between(way, target))


def _folded_arms(motion: Motion, bones: Bones, offsets: Array) -> dict[str, Array]:
    """Settle the arms' twist by the elbow, which bends one way only, whatever the take shows.

    In the T-pose an elbow bends forward: about -Y on the left, +Y on the right. The mean pose
    cannot say it: arms that wave turn by 90 degrees and more. Forearm and hand share the upper
    arm's axes where the forearm's direction allows it.
    """
    out: dict[str, Array] = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        upper, lower, hand = (bones[side + b] for b in ("UpperArm", "LowerArm", "Hand"))
        step = max(1, len(motion) // 300)
        way = _unit(offsets[lower])
        bent = rotate_vectors(motion.rotations[::step, lower], _unit(offsets[hand]))
        axes = np.cross(way, bent)
        hinge = (axes * np.linalg.norm(axes, axis=-1, keepdims=True) ** 2).mean(axis=0)
        if np.linalg.norm(hinge) < 1e-4:  # a take that never bends its elbow
            continue
        own = np.stack([way, _unit(hinge), np.cross(way, _unit(hinge))], axis=1)
        x, y = LEFT * sign, -UP * sign
        snapped = _snap_pose(np.stack([x, y, np.cross(x, y)], axis=1) @ own.T)
        pose = from_matrix(snapped)
        out[f"{side}UpperArm"] = pose
        if (snapped @ _unit(offsets[hand])) @ x > 0.98:
            out[f"{side}LowerArm"] = pose
            out[f"{side}Hand"] = pose
    return out


def _axis_turns() -> Array:
    """Return the 24 rotations that map axes to axes, shape (24, 3, 3)."""
    out = []
    for order in permutations(range(3)):
        for signs in product((-1.0, 1.0), repeat=3):
            m = np.zeros((3, 3))
            m[range(3), order] = signs
            if np.linalg.det(m) > 0:
                out.append(m)
    return np.array(out)


_TURNS = _axis_turns()
_NONE = np.eye(3)
_TILT = to_matrix(from_vector(LEFT * _FOOT_PITCH))


def _snap_pose(pose: Array) -> Array:
    """Return the axis-parallel rotation nearest to `pose`, both as matrices (3, 3)."""
    nearest: Array = _TURNS[int(np.argmax(np.einsum("nij,ij->n", _TURNS, pose)))]
    return nearest


def _lengths(places: Array, turns: Array, bones: Bones, poses: dict[str, Array]) -> Skeleton:
    """Return the 55 bones in the T-pose; a missing one lies on its line, or at a scaled default."""
    own = to_matrix(turns)
    upright = dict(zip(poses, to_matrix(np.stack(list(poses.values()))), strict=True))
    positions: dict[str, Array] = {"hips": np.zeros(3)}
    for bone in BONES[1:]:
        if bone not in bones:
            continue
        parent = PARENTS[BONE[bone]]
        while BONES[parent] not in bones:
            parent = PARENTS[parent]
        above = BONES[parent]
        way = places[bones[bone]] - places[bones[above]]
        positions[bone] = positions[above] + upright[above] @ (own[bones[above]].T @ way)
    scale = abs(float(positions["leftFoot"][1])) / 0.87
    for bone in [bone for bone in BONES if bone not in positions]:
        parent_at = positions[BONES[PARENTS[BONE[bone]]]]
        line = _line_to_mapped(bone, bones)
        if line:
            positions[bone] = parent_at + (positions[line[-1]] - parent_at) / len(line)
        else:
            positions[bone] = parent_at + HUMANOID.offsets[BONE[bone]] * scale
    offsets = np.array(
        [
            positions[b] - (positions[BONES[PARENTS[i]]] if i else np.zeros(3))
            for i, b in enumerate(BONES)
        ]
    )
    offsets[0] = (0.0, -min(float(place[1]) for place in positions.values()), 0.0)
    return Skeleton(BONES, PARENTS, offsets)


def _line_to_mapped(bone: str, bones: Bones) -> list[str]:
    """Return the bones from a missing one down to its first mapped descendant, both included."""
    for other in BONES[BONE[bone] + 1 :]:
        if other in bones:
            line = [other]
            while line[0] != bone and PARENTS[BONE[line[0]]] >= 0:
                line.insert(0, BONES[PARENTS[BONE[line[0]]]])
            if line[0] == bone:
                return line
    return []
