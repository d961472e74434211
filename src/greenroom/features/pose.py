"""Pose features of each tick: heading-free 6D rotations, root motion, velocities, and what is missing.

Convention: hips are split into heading (twist about +Y) and the rest; the root's velocity is in the
heading's frame, metres a second, and its turn rate in radians a second. Joint rotations are 6D. What
is missing is NaN here; nothing is filled in.

State (D = 6 J + 4): 6D of each joint in the specification's order (hips first, without heading), then
height, sideways and forward velocity, turn rate. Velocities (6 J) are differences of the 6D a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.frames import Array, Floats
from greenroom.rotations import from_six, multiply, to_six

ROOT_CHANNELS = ("height", "velocity_x", "velocity_z", "turn_rate")


def heading_of(hips: Array) -> Floats:
    """Return the heading (..., 4) of hips rotations: their twist about +Y (swing-twist split).

    Upside down the twist has no direction; then the heading is the identity.
    """
    y, w = hips[..., 1], hips[..., 3]
    length = np.sqrt(y * y + w * w)
    clear = length > 1e-4
    safe = np.where(clear, length, np.float32(1))
    # One sign: w ≥ 0, so that the heading does not depend on the quaternion's sign.
    scale = np.where(w < 0, np.float32(-1), np.float32(1)) / safe
    out = np.zeros(hips.shape, dtype=np.float32)
    out[..., 1] = np.where(clear, scale * y, np.float32(0))
    out[..., 3] = np.where(clear, scale * w, np.float32(1))
    return out


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
    old_root, old_hips = before or (_NOWHERE, _NOTHING)
    hips = np.concatenate([old_hips[None], rotations[:, 0]])
    places = np.concatenate([old_root[None], root])
    heading = heading_of(hips)
    y, w = heading[:, 1], heading[:, 3]
    local = rotations.astype(np.float32)
    local[:, 0] = _without_heading(y[1:], w[1:], hips[1:])
    out = np.empty((ticks, width + 4), dtype=np.float32)
    out[:, :width] = to_six(local).reshape(ticks, -1)
    out[:, width] = root[:, 1]
    y, w, next_y, next_w = y[:-1], w[:-1], y[1:], w[1:]
    sin, cos = 2 * y * w, w * w - y * y
    step = (places[1:] - places[:-1]) * np.float32(TICK_HZ)
    out[:, width + 1] = cos * step[:, 0] - sin * step[:, 2]
    out[:, width + 2] = sin * step[:, 0] + cos * step[:, 2]
    turn_y, turn_w = w * next_y - y * next_w, w * next_w + y * next_y
    sign = np.where(turn_w < 0, np.float32(-1), np.float32(1))
    out[:, width + 3] = np.arctan2(sign * turn_y, sign * turn_w) * np.float32(2 * TICK_HZ)
    missing = np.isnan(hips[:, 0])
    out[missing[:-1] | missing[1:], width + 1 :] = np.nan
    return out


_NOWHERE = np.full(3, np.nan, dtype=np.float32)
_NOTHING = np.full(4, np.nan, dtype=np.float32)


def _without_heading(y: Floats, w: Floats, q: Floats) -> Floats:
    """Return (0, y, 0, w)⁻¹ ⊗ q, shape (T, 4)."""
    out = np.empty_like(q)
    out[:, 0] = w * q[:, 0] - y * q[:, 2]
    out[:, 1] = w * q[:, 1] - y * q[:, 3]
    out[:, 2] = w * q[:, 2] + y * q[:, 0]
    out[:, 3] = w * q[:, 3] + y * q[:, 1]
    return out


def _turn(heading: Floats) -> tuple[Floats, Floats]:
    """Return sine and cosine of the heading's angle about +Y."""
    y, w = heading[..., 1], heading[..., 3]
    return 2 * y * w, w * w - y * y


@dataclass
class Placer:
    """Turn states back into a body on the stage, integrating the root where it was not captured.

    Attributes:
        root: where the hips are (3,), metres.
        heading: which way they face (4,).
    """

    root: Floats
    heading: Floats

    @classmethod
    def at_origin(cls) -> Placer:
        """Return a placer at the middle of the stage, facing +Z."""
        return cls(np.zeros(3, dtype=np.float32), np.asarray([0, 0, 0, 1], dtype=np.float32))

    def anchor(self, root: Floats, hips: Floats) -> None:
        """Take over a captured root (3,) and hips rotation (4,)."""
        self.root = root.astype(np.float32)
        self.heading = heading_of(hips)

    def place(self, state: Floats, joints: int) -> tuple[Floats, Floats]:
        """Return root (3,) and rotations (J, 4) of a state, moving on by its velocities."""
        height, vx, vz, rate = state[6 * joints :]
        sin, cos = _turn(self.heading)
        half = np.float32(rate / (2 * TICK_HZ))
        root = np.empty(3, dtype=np.float32)
        root[0] = self.root[0] + (cos * vx + sin * vz) / TICK_HZ
        root[1] = height
        root[2] = self.root[2] + (-sin * vx + cos * vz) / TICK_HZ
        turn = np.asarray([0, np.sin(half), 0, np.cos(half)], dtype=np.float32)
        self.root = root
        self.heading = multiply(self.heading, turn).astype(np.float32)
        return self.upright(state, joints)

    def upright(self, state: Floats, joints: int) -> tuple[Floats, Floats]:
        """Return root and rotations of a state where this placer stands, without moving on."""
        rotations = from_six(state[: 6 * joints].reshape(joints, 6)).astype(np.float32)
        rotations[0] = multiply(self.heading, rotations[0])
        return self.root, rotations
