"""Pose features of each tick: heading-free 6D rotations, root motion, velocities, and what is missing.

Convention: hips are split into heading (twist about +Y) and the rest; the root's velocity is in the
heading's frame, metres a second, and its turn rate in radians a second. Joint rotations are 6D. What
is missing is NaN here; nothing is filled in.

State (D = 6 J + 4): 6D of each joint in the specification's order (hips first, without heading), then
height, sideways and forward velocity, turn rate. Velocities (6 J) are differences of the 6D a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput
from greenroom.frames import BONE, Array, Floats, other_side
from greenroom.rotations import from_six, to_six, turn_point

ROOT_CHANNELS = ("height", "velocity_x", "velocity_z", "turn_rate")
Heading = tuple[float, float]
"""Sine and cosine of the angle about +Y by which the hips are turned from +Z."""
AHEAD: Heading = (0.0, 1.0)


_SIX_SIGNS = (1, -1, -1, -1, 1, 1)
"""Of a rotation's two columns, seen in a mirror that exchanges left and right."""
_ROOT_SIGNS = (1, -1, 1, -1)


def mirror_of(joints: Sequence[str]) -> tuple[list[int], Floats]:
    """Return the order and the signs (D,) by which a state becomes that of the body seen in a mirror.

    So that `state[order] * signs` is the state of `greenroom.capture.sequence.mirror_body`. Where
    a joint's
    other side is not among the joints no state has a mirror image: it stays as it is.
    """
    d = 6 * len(joints) + len(ROOT_CHANNELS)
    others = [other_side(name) for name in joints]
    if set(others) != set(joints):
        return list(range(d)), np.ones(d, dtype=np.float32)
    order = [6 * joints.index(name) + i for name in others for i in range(6)]
    signs = np.asarray([*_SIX_SIGNS * len(joints), *_ROOT_SIGNS], dtype=np.float32)
    return [*order, *range(len(order), d)], signs


def heading_of(hips: Array) -> Heading:
    """Return the heading of a hips rotation (4,): its twist about +Y (swing-twist split).

    Upside down the twist has no direction; then the heading is straight ahead.
    """
    _, y, _, w = hips.tolist()
    return _heading(y, w)


def _heading(y: float, w: float) -> Heading:
    square = y * y + w * w
    if not square > 1e-8:
        return AHEAD
    return 2 * y * w / square, (w * w - y * y) / square


def state_features(root: Array, rotations: Array, before: tuple[Floats, Floats] | None) -> Floats:
    """Return the state (T, 6 J + 4) of consecutive ticks.

    Args:
        root: hips positions (T, 3), metres.
        rotations: (T, J, 4), hips first; NaN where missing.
        before: root (3,) and hips rotation (4,) of the tick before; None at the start of a take,
            where velocities are NaN.
    """
    ticks, joints = rotations.shape[:2]
    width = 6 * joints
    out = np.empty((ticks, width + 4), dtype=np.float32)
    six = out[:, :width]
    six.reshape(ticks, joints, 6)[:] = to_six(rotations)
    old_root, old_hips = (_NOWHERE, _NOTHING) if before is None else before
    x, _, z = old_root.tolist()
    _, y, _, w = old_hips.tolist()
    sin, cos = _heading(y, w) if y == y else (math.nan, math.nan)
    # One number after the other: a tick has one row, and plain floats beat arrays there.
    turned, moved = [], []
    for (a0, a1, a2, b0, b1, b2), (_, y, _, w), (new_x, height, new_z) in zip(
        six[:, :6].tolist(), rotations[:, 0].tolist(), root.tolist(), strict=True
    ):
        old_sin, old_cos = sin, cos
        sin, cos = _heading(y, w) if y == y else (math.nan, math.nan)
        dx, dz = (new_x - x) * TICK_HZ, (new_z - z) * TICK_HZ
        x, z = new_x, new_z
        turn = math.atan2(old_cos * sin - old_sin * cos, old_cos * cos + old_sin * sin)
        # Rows of the hips' matrix without heading, and the step as the old heading sees it.
        a0, a2 = cos * a0 - sin * a2, sin * a0 + cos * a2
        b0, b2 = cos * b0 - sin * b2, sin * b0 + cos * b2
        step = (old_cos * dx - old_sin * dz, old_sin * dx + old_cos * dz)
        turned.append((a0, a1, a2, b0, b1, b2))
        moved.append((height, *step, turn * TICK_HZ))
    six[:, :6], out[:, width:] = turned, moved
    return out


_NOWHERE = np.full(3, np.nan, dtype=np.float32)
_NOTHING = np.full(4, np.nan, dtype=np.float32)


_LEGS = tuple(
    tuple(side + bone for bone in ("UpperLeg", "LowerLeg", "Foot", "Toes"))
    for side in ("left", "right")
)
STANCE_M = 0.05
"""A foot less than this above where it rests holds the body that nobody captures; fading out to it."""
SLOW_M = 0.004
"""Of two low feet the one that slides less holds; this far a tick makes the difference."""
FURTHEST_M = 0.05
"""A foot that slid further within a tick did not stand."""


class Legs:
    """Where the feet are: forward kinematics from the hips down, in plain numbers, as for one tick.

    Args:
        offsets: where each of the humanoid's bones sits on its parent (55, 3), metres.
        joints: of the states, hips first.
        rest: a state (D,) in which one foot at least stands.

    Raises:
        BadInput: the states have no legs.
    """

    def __init__(self, offsets: Array, joints: Sequence[str], rest: Floats) -> None:
        """Find the legs; both end above the first joint that one of them lacks."""
        depth = min(len(list(takewhile(joints.__contains__, leg))) for leg in _LEGS)
        if depth < 2:
            raise BadInput("feet are found by upper and lower legs", then="use no legs")
        bones = [leg[:depth] for leg in _LEGS]
        # Each offset is turned by the bone above it; the first by the hips.
        self.turning = [[0, *(joints.index(bone) for bone in leg[:-1])] for leg in bones]
        self.offsets = [[tuple(offsets[BONE[bone]].tolist()) for bone in leg] for leg in bones]
        upright = from_six(rest[: 6 * len(joints)].reshape(-1, 6))
        self.stand = float(rest[-4]) + min(y for _, y, _ in self.below(upright))

    @classmethod
    def of(cls, offsets: Array, joints: Sequence[str], rest: Floats) -> Legs | None:
        """Return the legs of such states; None where they have none."""
        has = all(bone in joints for leg in _LEGS for bone in leg[:2])
        return cls(offsets, joints, rest) if has else None

    def below(self, rotations: Floats) -> list[tuple[float, float, float]]:
        """Return where the two feet are, metres from the hips, for rotations (J, 4), hips first."""
        turns = rotations.tolist()
        feet = []
        for turning, offsets in zip(self.turning, self.offsets, strict=True):
            x = y = z = 0.0
            for joint, offset in zip(reversed(turning), reversed(offsets), strict=True):
                # From the foot up: what is below a joint turns with it.
                x, y, z = turn_point(turns[joint], (offset[0] + x, offset[1] + y, offset[2] + z))
            feet.append((x, y, z))
        return feet


@dataclass
class PoseDecoder:
    """Turn states back into a body on the stage, integrating the root where it was not captured.

    A foot that stands does not slide: the body moves about it, as far as it stands.

    Attributes:
        root: where the hips are (3,), metres.
        heading: which way they face.
        legs: by which feet are found; without them the states' velocities alone move the root.
    """

    root: Floats = field(default_factory=lambda: np.zeros(3, dtype=np.float32))
    heading: Heading = AHEAD
    legs: Legs | None = None
    _feet: list[tuple[float, float, float]] | None = None
    _slip: tuple[float, float] = (0.0, 0.0)
    _cached_upright: tuple[Floats, Floats] | None = None

    def anchor(self, root: Floats, hips: Floats) -> None:
        """Take over a captured root (3,) and hips rotation (4,)."""
        self.root, self.heading = root, heading_of(hips)
        self.lift()

    def move(self, state: Floats) -> None:
        """Go on by a state's velocities, about the foot that stands."""
        self._cached_upright = None
        height, vx, vz, rate = state[-4:].tolist()
        sin, cos = self.heading
        x, _, z = self.root.tolist()
        x, z = x + (cos * vx + sin * vz) / TICK_HZ, z + (cos * vz - sin * vx) / TICK_HZ
        self.root = np.asarray([x, height, z], dtype=np.float32)
        s, c = math.sin(rate / TICK_HZ), math.cos(rate / TICK_HZ)
        self.heading = (sin * c + cos * s, cos * c - sin * s)
        if self.legs is not None:
            self._stand(self.legs, state)

    def lift(self) -> None:
        """Forget where the feet were: what comes next is no step from there."""
        self._feet, self._slip, self._cached_upright = None, (0.0, 0.0), None

    def _stand(self, legs: Legs, state: Floats) -> None:
        """Take back from the root what the foot that stands slid: it is low, and it slid least."""
        x, height, z = self.root.tolist()
        turned = self.upright(state, (len(state) - 4) // 6)
        self._cached_upright = state, turned
        below = legs.below(turned)
        feet = [(x + a, height + b, z + c) for a, b, c in below]
        if self._feet is not None:
            total, slid_x, slid_z = 1e-9, 0.0, 0.0
            for (ox, oy, oz), (nx, ny, nz) in zip(self._feet, feet, strict=True):
                contact = min(1.0, max(0.0, 2 - 2 * (max(oy, ny) - legs.stand) / STANCE_M))
                dx, dz = nx - ox, nz - oz
                weight = contact / (1 + (dx * dx + dz * dz) / SLOW_M**2)
                total += weight
                slid_x, slid_z = slid_x + weight * contact * dx, slid_z + weight * contact * dz
            slip_x = min(FURTHEST_M, max(-FURTHEST_M, slid_x / total))
            slip_z = min(FURTHEST_M, max(-FURTHEST_M, slid_z / total))
            self._slip = (self._slip[0] + slip_x) / 2, (self._slip[1] + slip_z) / 2
            slip_x, slip_z = self._slip
            self.root = np.asarray([x - slip_x, height, z - slip_z], dtype=np.float32)
            feet = [(fx - slip_x, fy, fz - slip_z) for fx, fy, fz in feet]
        self._feet = feet

    def upright(self, state: Floats, joints: int) -> Floats:
        """Return the rotations (J, 4) of a state, facing the way this placer does."""
        if self._cached_upright is not None and self._cached_upright[0] is state:
            return self._cached_upright[1]
        six = state[: 6 * joints].reshape(joints, 6).copy()
        sin, cos = self.heading
        a0, a1, a2, b0, b1, b2 = six[0].tolist()
        six[0] = (
            *(cos * a0 + sin * a2, a1, cos * a2 - sin * a0),
            *(cos * b0 + sin * b2, b1, cos * b2 - sin * b0),
        )
        return from_six(six)
