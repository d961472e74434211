"""Decide how a frame is produced, and let no change of mind be seen as a jump.

Sources, best first: `capture` (the performer's joints, completed by the model), `speech` (capture lost,
driven by the voice), `previous` (the last release), `idle` (capture lost: the actor's own standing
idle), `free` (capture lost: the model alone, while it is sure of itself or on request), `hold` (the last
pose, returning to rest). What is emitted is the target plus an offset that starts at the difference to
the last frame and dies away on a critically damped spring, velocity kept (inertialisation; the spring's
closed form is Juckett's, 2012). The larger the difference, the slower the spring: nobody flies back to
where capture finds them. On `hold` the target is the rest pose and the spring slow: that is the damped
return.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from greenroom.clock import TICK_HZ
from greenroom.features.pose import AHEAD, Heading, PoseDecoder
from greenroom.frames import BONE, BONES, Floats, Frame
from greenroom.registry.release import PerformerSpec
from greenroom.rotations import from_vector, inverse, multiply, normalise, rotate, to_vector

SWITCH_HALF_LIFE = 0.10
IDLE_HALF_LIFE = 0.22
RETURN_HALF_LIFE = 0.35
HOLD_HALF_LIFE = 1.2
STAND_HALF_LIFE = 0.35
"""Half-lives of the spring's two decays, seconds: of a jump from standstill 60 % are left after one,
a quarter after two."""
ROOT_SPEED = 0.7
"""Metres a second at which an offset of the root dies away at most, from standstill."""
WALK_SPEED = 1.25
"""Metres a second of the root, its own and the offset's together: a brisk walk."""
SLOWEST_RETURN = 0.2
"""Metres a second at which an offset dies away at least, beside whoever walks by himself."""
SOFT = 4.0
"""How fast a root that is far away takes up speed: its difference falls to a third in 1/8 s."""
TURN_SPEED = 6.0
"""Radians a second at which an offset of a joint does."""
_DT = np.float32(1 / TICK_HZ)
_SETTLED, _BENT = 1e-4, 2e-3
_SMALL = np.float32(1e-6)


def rest_pose(role: PerformerSpec, heading: Heading = AHEAD) -> Floats:
    """Return the rotations (55, 4) of a release's rest pose, facing a way."""
    rotations = np.tile(np.asarray([0, 0, 0, 1], dtype=np.float32), (len(BONES), 1))
    joints = [BONE[name] for name in role.spec.joints]
    rotations[joints] = PoseDecoder(heading=heading).upright(role.rest, len(joints))
    return rotations


def rest_root(role: PerformerSpec, last: tuple[Floats, Floats] | None) -> Floats:
    """Return where the hips (3,) rest: over where they were in the last frame, as high as at rest."""
    x, z = (0.0, 0.0) if last is None else (last[0][0], last[0][2])
    return np.asarray([x, role.rest[6 * role.shape.joints], z], dtype=np.float32)


def _decay_of(half_life: float) -> np.float32:
    return np.float32(2 * math.log(2) / half_life)


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
        self._decay: Floats = np.ones_like(self._offset)
        self._fade: Floats = np.ones_like(self._offset)
        self._targets: tuple[Floats, Floats] | None = None
        self._moving = self._holding = self._first = False
        self._most = ROOT_SPEED

    @property
    def last(self) -> tuple[Floats, Floats] | None:
        """Root (3,) and rotations (55, 4) of the last frame; None before the first."""
        return self._last

    @property
    def recent(self) -> list[tuple[Floats, Floats]]:
        """The last two frames, oldest first; fewer at the start."""
        return [pose for pose in (self._before, self._last) if pose is not None]

    @property
    def bending(self) -> bool:
        """Whether an offset of a joint or of the height is dying away; a slide is none."""
        if not self._moving:
            return False
        offset = self._offset
        return bool(np.abs(offset[:-1]).max() > _BENT or abs(offset[-1, 1]) > _BENT)

    def correct(self, root: Floats, rotations: Floats) -> None:
        """Note that something else than `step` returned was emitted."""
        self._last = root, rotations

    def ease_bones(self, rotations: Floats, changed: NDArray[np.bool_]) -> None:
        """Ease into bones that come from elsewhere than a frame before.

        Args:
            rotations: wanted (55, 4).
            changed: which bones (55,).
        """
        if self._last is None or not changed.any():
            return
        if not self._moving:
            self._offset[:], self._speed[:] = 0, 0
        rows = np.flatnonzero(changed)
        off = to_vector(multiply(self._last[1][rows], inverse(rotations[rows])))
        self._offset[rows], self._speed[rows] = off, 0
        self._spring(rows, np.sqrt(np.einsum("ji,ji->j", off, off)), SWITCH_HALF_LIFE)
        self._moving = True

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
            self._first = True
        elif self._moving and self._targets is not None:
            self._follow(root, rotations, *self._targets)
            self._first = False
        self._targets = root, rotations
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
        sizes = np.sqrt(np.einsum("ji,ji->j", self._offset[:-1], self._offset[:-1]))
        self._spring(np.arange(len(BONES)), sizes, half_life)
        # Over the floor nobody slides for longer than it takes to stand.
        self._decay[-1] = _decay_of(half_life)
        self._decay[-1, ::2] = _decay_of(min(half_life, STAND_HALF_LIFE))
        self._fade[-1] = [math.exp(-y / TICK_HZ) for y in self._decay[-1].tolist()]
        self._most = ROOT_SPEED
        self._holding = half_life >= HOLD_HALF_LIFE
        self._moving = True

    def _spring(self, rows: NDArray[np.intp], sizes: Floats, half_life: float) -> None:
        """Set the springs of bones whose offsets have these sizes, radians."""
        # From standstill an offset's fastest is y x0 / e.
        fastest = np.float32(math.e * TURN_SPEED) / np.maximum(sizes, _SMALL)
        decays = np.minimum(_decay_of(half_life), fastest)
        self._decay[rows] = decays[:, None]
        # One number after the other: an exponential of an array rounds differently elsewhere.
        fades = [math.exp(-y / TICK_HZ) for y in decays.tolist()]
        self._fade[rows] = np.asarray(fades, dtype=np.float32)[:, None]

    def _follow(
        self, root: Floats, rotations: Floats, root_before: Floats, rotations_before: Floats
    ) -> None:
        """Take the target's own speed, known from its second frame on, out of the offset's.

        The root's offset dies away the slower the faster its target goes.
        """
        moved = (root - root_before) / _DT
        if self._first:
            turning = to_vector(multiply(rotations, inverse(rotations_before))) / _DT
            self._speed[:-1] -= rotate(from_vector(self._offset[:-1]), turning)
            self._speed[-1] -= moved
        speed = math.hypot(float(moved[0]), float(moved[2]))
        self._most = min(ROOT_SPEED, max(SLOWEST_RETURN, WALK_SPEED - speed))

    def _ease(self, root: Floats, rotations: Floats) -> tuple[Floats, Floats]:
        # x(t) = (x0 + (v0 + y x0) t) e^(-y t), that is x'' = -2 y (x' - u) with u = -y x / 2
        y = self._decay
        push = self._speed + y * self._offset
        fade = self._fade
        offset = (fade * (self._offset + push * _DT)).astype(np.float32)
        speed = (fade * (self._speed - y * push * _DT)).astype(np.float32)
        distance = math.sqrt(sum(x * x for x in self._offset[-1].tolist()))
        # Far away u is no faster than that; on `hold` nobody goes anywhere.
        if not self._holding and distance * float(y[-1, 0]) > 2 * self._most:
            back = self._offset[-1] * np.float32(-self._most / distance)
            calm = np.float32(math.exp(-2 * min(float(y[-1, 0]), SOFT) / TICK_HZ))
            speed[-1] = back + (self._speed[-1] - back) * calm
            offset[-1] = self._offset[-1] + speed[-1] * _DT
        self._offset, self._speed = offset, speed
        if float(np.abs(self._offset).max()) < _SETTLED and not self._holding:
            self._moving = False
        turned = normalise(multiply(from_vector(self._offset[:-1]), rotations)).astype(np.float32)
        eased = np.any(self._offset[:-1] != 0, axis=1, keepdims=True)  # the others stay, to the bit
        return root + self._offset[-1], np.where(eased, turned, rotations)
