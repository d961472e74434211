"""Decide how a frame is produced, and let no change of mind be seen as a jump.

Rungs, best first: `capture` (the performer's joints, completed by the model), `speech` (capture lost:
the model goes on by itself and, if it was trained to, by the voice), `previous` (the last release),
`hold` (the last pose, returning to rest). What is emitted is the target plus an offset that starts at
the difference to the last frame and dies away on a critically damped spring, velocity kept
(inertialisation; the spring's closed form is Juckett's, 2012). On `hold` the target is the rest pose
and the spring slow: that is the damped return.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.features.pose import AHEAD, Heading, PoseDecoder
from greenroom.frames import BONE, BONES, Floats, Frame
from greenroom.registry.release import PerformerSpec
from greenroom.rotations import from_vector, inverse, multiply, normalise, to_vector

CAPTURE, SPEECH, PREVIOUS, HOLD = "capture", "speech", "previous", "hold"
RUNGS = (CAPTURE, SPEECH, PREVIOUS, HOLD)

SWITCH_HALF_LIFE = 0.10
HOLD_HALF_LIFE = 1.2
"""Half-lives of the spring's two decays, seconds: of a jump from standstill 60 % are left after one,
a quarter after two."""
_DT = np.float32(1 / TICK_HZ)
_SETTLED = 1e-4


def rest_pose(role: PerformerSpec, heading: Heading = AHEAD) -> Floats:
    """Return the rotations (55, 4) of a release's rest pose, facing a way."""
    rotations = np.tile(np.asarray([0, 0, 0, 1], dtype=np.float32), (len(BONES), 1))
    joints = [BONE[name] for name in role.spec.joints]
    rotations[joints] = PoseDecoder(heading=heading).upright(role.rest, len(joints))
    return rotations


class Inertializer:
    """Ease from what was emitted to what is wanted.

    Args:
        rest: rotations (55, 4) that `hold` returns to.
    """

    def __init__(self, rest: Floats) -> None:
        """Start in the rest pose, with nothing to ease."""
        self.rest = rest
        self._last: tuple[Floats, Floats] | None = None
        self._before: tuple[Floats, Floats] | None = None
        self._offset: Floats = np.zeros((len(BONES) + 1, 3), dtype=np.float32)
        self._speed: Floats = np.zeros_like(self._offset)
        self._half_life = SWITCH_HALF_LIFE
        self._moving = False

    @property
    def last(self) -> tuple[Floats, Floats] | None:
        """Root (3,) and rotations (55, 4) of the last frame; None before the first."""
        return self._last

    def resume(self, frames: Sequence[Frame]) -> None:
        """Go on from the last two frames that somebody else emitted, or the last one."""
        self._before, self._last = [(f.root, f.rotations) for f in (frames[0], frames[-1])]

    def step(
        self, root: Floats, rotations: Floats, switched: bool, half_life: float
    ) -> tuple[Floats, Floats]:
        """Return what to emit: root (3,) and rotations (55, 4).

        Args:
            root: wanted, metres.
            rotations: wanted, unit quaternions.
            switched: whether the wanted pose comes from elsewhere than the last one did.
            half_life: of the easing that a switch starts, seconds.
        """
        if switched and self._last is not None:
            self._start(root, rotations, half_life)
        if self._moving:
            root, rotations = self._ease(root, rotations)
        self._before, self._last = self._last, (root, rotations)
        return root, rotations

    def _start(self, root: Floats, rotations: Floats, half_life: float) -> None:
        assert self._last is not None
        old_root, old = self._last
        before_root, before = self._before or self._last
        self._offset[:-1] = to_vector(multiply(old, inverse(rotations)))
        self._offset[-1] = old_root - root
        self._speed[:-1] = to_vector(multiply(old, inverse(before))) / _DT
        self._speed[-1] = (old_root - before_root) / _DT
        self._half_life = half_life
        self._moving = True

    def _ease(self, root: Floats, rotations: Floats) -> tuple[Floats, Floats]:
        # x(t) = (x0 + (v0 + y x0) t) e^(-y t), with y = 2 ln 2 / half-life
        y = np.float32(2 * math.log(2) / self._half_life)
        push = self._speed + y * self._offset
        fade = np.float32(math.exp(-float(y * _DT)))
        self._offset = (fade * (self._offset + push * _DT)).astype(np.float32)
        self._speed = (fade * (self._speed - y * push * _DT)).astype(np.float32)
        if float(np.abs(self._offset).max()) < _SETTLED and self._half_life < HOLD_HALF_LIFE:
            self._moving = False
        turned = multiply(from_vector(self._offset[:-1]), rotations)
        return root + self._offset[-1], normalise(turned).astype(np.float32)
