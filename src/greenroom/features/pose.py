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
from greenroom.frames import BONE, Array, Floats
from greenroom.rotations import from_six, multiply, rotate, to_six

ROOT_CHANNELS = ("height", "velocity_x", "velocity_z", "turn_rate")
Heading = tuple[float, float]
"""Sine and cosine of the angle about +Y by which the hips are turned from +Z."""
AHEAD: Heading = (0.0, 1.0)


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


class Legs:
    """Where the feet are: forward kinematics from the hips down, for both legs at once.

    Args:
        offsets: where each of the humanoid's bones sits on its parent (55, 3), metres.
        joints: of the states, hips first.
        rest: a state (D,) in which both feet stand.

    Raises:
        BadInput: the states have no legs.
    """

    def __init__(self, offsets: Array, joints: Sequence[str], rest: Floats) -> None:
        """Find the legs; both end above the first joint that one of them lacks."""
        depth = min(len(list(takewhile(joints.__contains__, leg))) for leg in _LEGS)
        if depth < 2:
            raise BadInput("feet are found by upper and lower legs", then="use no legs")
        self.index = np.asarray([[joints.index(bone) for bone in leg[:depth]] for leg in _LEGS])
        bones = [[BONE[bone] for bone in leg[:depth]] for leg in _LEGS]
        self.offsets = np.asarray(offsets, dtype=np.float32)[bones]
        six = rest[: 6 * len(joints)].reshape(-1, 6)
        self.stand = rest[-4] + self.below(from_six(six))[:, 1]

    @classmethod
    def of(cls, offsets: Array, joints: Sequence[str], rest: Floats) -> Legs | None:
        """Return the legs of such states; None where they have none."""
        has = all(bone in joints for leg in _LEGS for bone in leg[:2])
        return cls(offsets, joints, rest) if has else None

    def below(self, rotations: Floats) -> Floats:
        """Return where the feet are (2, 3), metres from the hips, for rotations (J, 4), hips first."""
        turn = np.repeat(rotations[:1], 2, axis=0)
        place: Floats = np.zeros((2, 3), dtype=np.float32)
        for level in range(self.index.shape[1]):
            place = place + rotate(turn, self.offsets[:, level]).astype(np.float32)
            turn = multiply(turn, rotations[self.index[:, level]])
        return place


@dataclass
class Placer:
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
    _feet: Floats | None = None
    _slip: Floats = field(default_factory=lambda: np.zeros(3, dtype=np.float32))

    def anchor(self, root: Floats, hips: Floats) -> None:
        """Take over a captured root (3,) and hips rotation (4,)."""
        self.root, self.heading = root, heading_of(hips)
        self._feet, self._slip = None, np.zeros(3, dtype=np.float32)

    def move(self, state: Floats) -> None:
        """Go on by a state's velocities, about the foot that stands."""
        height, vx, vz, rate = state[-4:].tolist()
        sin, cos = self.heading
        x, _, z = self.root.tolist()
        x, z = x + (cos * vx + sin * vz) / TICK_HZ, z + (cos * vz - sin * vx) / TICK_HZ
        self.root = np.asarray([x, height, z], dtype=np.float32)
        s, c = math.sin(rate / TICK_HZ), math.cos(rate / TICK_HZ)
        self.heading = (sin * c + cos * s, cos * c - sin * s)
        if self.legs is not None:
            self._stand(self.legs, state)

    def _stand(self, legs: Legs, state: Floats) -> None:
        """Take back from the root what the foot that stands slid: it is low, and it slid least."""
        feet = legs.below(self.upright(state, (len(state) - 4) // 6)) + self.root
        if self._feet is not None:
            above = np.maximum(self._feet[:, 1], feet[:, 1]) - legs.stand
            held = np.clip(2 - 2 * above / STANCE_M, 0, 1)
            slid = feet - self._feet
            slid[:, 1] = 0
            slow = held * np.exp(-np.hypot(slid[:, 0], slid[:, 2]) / SLOW_M) + 1e-9
            self._slip = (self._slip + (slow * held / slow.sum()) @ slid) / 2
            self.root, feet = self.root - self._slip, feet - self._slip
        self._feet = feet.astype(np.float32)
        self.root = self.root.astype(np.float32)

    def upright(self, state: Floats, joints: int) -> Floats:
        """Return the rotations (J, 4) of a state, facing the way this placer does."""
        six = state[: 6 * joints].reshape(joints, 6).copy()
        sin, cos = self.heading
        a0, a1, a2, b0, b1, b2 = six[0].tolist()
        six[0] = (
            *(cos * a0 + sin * a2, a1, cos * a2 - sin * a0),
            *(cos * b0 + sin * b2, b1, cos * b2 - sin * b0),
        )
        return from_six(six)
