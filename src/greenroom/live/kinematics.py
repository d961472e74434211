"""Place a body's bones and bend its legs so that the feet stay on the floor, at the cost of one tick.

Convention: plain numbers and not arrays, because a tick has one pose. Quaternions are (x, y, z, w),
unit; rotations of a pose are local to the parent, relative to the T-pose; positions are metres on the
stage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from greenroom.frames import BONE, PARENTS, Array
from greenroom.rotations import turn_point

Quaternion = tuple[float, float, float, float]
Point = tuple[float, float, float]

SIDES = ("left", "right")
_LEG = ("UpperLeg", "LowerLeg", "Foot", "Toes")
_MOVING = tuple(
    i for name, i in BONE.items() if i <= BONE["rightToes"]
)  # eyes, jaw and fingers reach no floor
STRAIGHT = 0.9995
"""Of a leg's length, the most that is used: a knee never locks."""


def compose(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation that turns by `b`, then by `a`."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def conjugate(q: Quaternion) -> Quaternion:
    """Return the rotation back."""
    return -q[0], -q[1], -q[2], q[3]


def about(axis: Point, angle: float) -> Quaternion:
    """Return the rotation by `angle` radians about a unit axis."""
    s = math.sin(angle / 2)
    return axis[0] * s, axis[1] * s, axis[2] * s, math.cos(angle / 2)


def shortest(a: Point, b: Point) -> Quaternion:
    """Return the shortest rotation from one direction to another; none between opposite ones."""
    x, y, z = cross(a, b)
    w = dot(a, b) + math.sqrt(dot(a, a) * dot(b, b))
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if length < 1e-9:
        return 0.0, 0.0, 0.0, 1.0
    return x / length, y / length, z / length, w / length


def cross(a: Point, b: Point) -> Point:
    """Return the cross product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def dot(a: Point, b: Point) -> float:
    """Return the scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def add(a: Point, b: Point) -> Point:
    """Return the sum."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def subtract(a: Point, b: Point) -> Point:
    """Return the difference."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def norm(a: Point) -> float:
    """Return the length."""
    return math.sqrt(dot(a, a))


def blend(a: Point, b: Point, share: float) -> Point:
    """Return the point a share of the way from one to another."""
    return tuple(p + share * (q - p) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


class PlacedPose(NamedTuple):
    """Where the bones of a pose are: positions and rotations on the stage, by bone index."""

    places: dict[int, Point]
    turns: dict[int, Quaternion]

    @property
    def lowest(self) -> float:
        """The height of the lowest joint, metres."""
        return min(place[1] for place in self.places.values())


class BodyKinematics:
    """Forward kinematics of a performer, and the inverse for its legs.

    Args:
        offsets: where each of the humanoid's bones sits on its parent (55, 3), metres, in the T-pose.
    """

    def __init__(self, offsets: Array) -> None:
        """Measure the legs."""
        self.offsets: list[Point] = [tuple(row) for row in offsets.tolist()]
        self.legs = {side: tuple(BONE[side + bone] for bone in _LEG) for side in SIDES}
        standing = self.place(
            (0.0, self.offsets[0][1], 0.0), [(0.0, 0.0, 0.0, 1.0)] * len(PARENTS)
        ).places
        self.ankle = min(standing[leg[2]][1] for leg in self.legs.values())
        """Height of an ankle above the floor on which its foot stands flat, metres."""
        self.hips = self.offsets[0][1]
        """Height of the hips in the T-pose, metres."""
        self.leg_lengths = {
            side: norm(self.offsets[leg[1]]) + norm(self.offsets[leg[2]])
            for side, leg in self.legs.items()
        }
        self.half_stance = abs(standing[self.legs["left"][2]][0]) + 0.02
        """From the middle to a foot of somebody who stands at ease, metres."""

    def place(self, root: Point, rotations: Sequence[Quaternion]) -> PlacedPose:
        """Return where the bones are, fingers, eyes and jaw left out.

        Args:
            root: of the hips, metres.
            rotations: of the 55 bones, local.
        """
        places: dict[int, Point] = {0: root}
        turns: dict[int, Quaternion] = {0: rotations[0]}
        for bone in _MOVING[1:]:
            above = PARENTS[bone]
            places[bone] = add(places[above], turn_point(turns[above], self.offsets[bone]))
            turns[bone] = compose(turns[above], rotations[bone])
        return PlacedPose(places, turns)

    def step_on(
        self, side: str, target: Point, rotations: list[Quaternion], pose: PlacedPose
    ) -> None:
        """Bend a leg, in place, so that its ankle is at a point, as near as its length allows.

        The knee keeps its plane and the foot its direction on the stage.

        Args:
            side: "left" or "right".
            target: of the ankle, metres on the stage.
            rotations: of the 55 bones; those of the leg are changed.
            pose: where the rotations place the bones.
        """
        upper, lower, foot, _ = self.legs[side]
        thigh, shank = self.offsets[lower], turn_point(rotations[lower], self.offsets[foot])
        long, short = norm(thigh), norm(shank)
        wanted = subtract(target, pose.places[upper])
        reach = min(max(norm(wanted), abs(long - short) + 0.05), (long + short) * STRAIGHT)
        bend = math.acos(min(1.0, max(-1.0, dot(thigh, shank) / (long * short))))
        cosine = (reach**2 - long**2 - short**2) / (2 * long * short)
        bend_wanted = math.acos(min(1.0, max(-1.0, cosine)))
        x, y, z = cross(thigh, shank)
        axis = (x + 1e-4, y, z)  # straight, a knee bends about +X
        length = norm(axis)
        hinge = about((axis[0] / length, axis[1] / length, axis[2] / length), bend_wanted - bend)
        knee = compose(hinge, rotations[lower])
        now = turn_point(pose.turns[upper], add(thigh, turn_point(knee, self.offsets[foot])))
        thigh_turn = compose(shortest(now, wanted), pose.turns[upper])
        rotations[upper] = compose(conjugate(pose.turns[PARENTS[upper]]), thigh_turn)
        rotations[lower] = knee
        rotations[foot] = compose(conjugate(compose(thigh_turn, knee)), pose.turns[foot])
