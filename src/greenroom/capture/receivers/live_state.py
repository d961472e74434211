"""Keep the newest pose and face that a live source sent, bone by bone and weight by weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.receivers.jitter_buffer import Pose
from greenroom.frames import ARKIT, BONE, BONES, PARENTS, Doubles, Floats
from greenroom.rotations import multiply, normalise, rotate

FRESH_NS = 500_000_000
"""How long a bone or a weight counts that was not sent again."""
NEVER = -(1 << 62)
FARTHEST = 100.0
"""Metres from the middle of the stage; farther off is a fault."""
_OPTIONAL = ("chest", "upperChest", "neck", "leftShoulder", "rightShoulder")
"""Bones that a source may lack between those that it has: then they do not turn."""
_IDENTITY = np.asarray([0, 0, 0, 1], dtype=np.float64)
_NAN = np.float32(np.nan)


def require_position(numbers: Sequence[float]) -> tuple[float, ...]:
    """Return a position in metres.

    Raises:
        ValueError: it is not a place on a stage.
    """
    x, y, z = numbers
    near = abs(x) <= FARTHEST and abs(y) <= FARTHEST and abs(z) <= FARTHEST
    if not near:  # NaN is not
        raise ValueError("a position is absurd")
    return tuple(numbers)


def require_rotation(numbers: Sequence[float]) -> tuple[float, ...]:
    """Return a quaternion xyzw of length 1.

    Raises:
        ValueError: it is nearly none.
    """
    x, y, z, w = numbers
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if not 0.5 < length < 2:  # false for NaN
        raise ValueError("a rotation is no unit quaternion")
    return x / length, y / length, z / length, w / length


Transform = tuple[tuple[float, ...], tuple[float, ...]]
"""A position (3,) in metres, and a rotation (4,) xyzw."""
STILL: Transform = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
_MISSING_CHAIN = tuple(
    (BONE[name], [j for j, parent in enumerate(PARENTS) if parent == BONE[name]])
    for name in reversed(_OPTIONAL)
)
"""Each optional bone with its children, children first."""


def make_pose(
    rotations: Doubles,
    valid: NDArray[np.bool_],
    hips: Sequence[float] | None,
    origin: Transform = STILL,
) -> Pose:
    """Return a pose from local rotations; optional bones between those that are there do not turn.

    Args:
        rotations: (55, 4), xyzw; written to.
        valid: (55,), whether each is there; written to.
        hips: position (3,) within the source's root, metres; None where it is not known.
        origin: where the source's root stands, and how it is turned.
    """
    for bone, children in _MISSING_CHAIN:
        if not valid[bone] and valid[children].any():
            rotations[bone], valid[bone] = _IDENTITY, True
    root = np.full(3, _NAN)
    if hips is not None and valid[0]:
        place, turn = (np.asarray(part) for part in origin)
        root = (place + rotate(turn, np.asarray(hips))).astype(np.float32)
        rotations[0] = multiply(turn, rotations[0])
    turned = normalise(rotations).astype(np.float32)
    turned[~valid] = _NAN
    return Pose(root, turned, valid.astype(np.float32))


class LiveBody:
    """The newest rotation of each bone, in our convention, and the place of the hips."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rotations = np.tile(_IDENTITY, (len(BONES), 1))
        self._times = np.full(len(BONES), NEVER, dtype=np.int64)
        self._hips: tuple[float, ...] | None = None
        self._origin = STILL

    def put(self, bones: Mapping[int, Sequence[float]], now_ns: int) -> None:
        """Take rotations by index of the bone, unit quaternions xyzw."""
        for bone, rotation in bones.items():
            self._rotations[bone] = rotation
            self._times[bone] = now_ns

    def put_hips(self, position: tuple[float, ...]) -> None:
        """Take the hips' position within the source's root, metres."""
        self._hips = position

    def put_origin(self, position: tuple[float, ...], rotation: tuple[float, ...]) -> None:
        """Take where the source's root stands and how it is turned."""
        self._origin = position, rotation

    def forget(self) -> None:
        """Drop the pose: the source says that it tracks nobody."""
        self._times[:] = NEVER

    def pose(self, now_ns: int) -> Callable[[], Pose]:
        """Return what computes the pose as it is known now."""
        valid: Any = now_ns - self._times <= FRESH_NS
        rotations = self._rotations.copy()
        return partial(make_pose, rotations, valid, hips=self._hips, origin=self._origin)


class LiveFace:
    """The newest value of each face weight."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._weights = np.zeros(len(ARKIT), dtype=np.float32)
        self._times = np.full(len(ARKIT), NEVER, dtype=np.int64)
        self._last_ns = NEVER

    def put(self, weights: Iterable[tuple[int, float]], now_ns: int) -> None:
        """Take weights by index, each in about [0, 1]."""
        for index, weight in weights:
            self._weights[index] = min(1.0, max(0.0, weight))
            self._times[index] = now_ns
            self._last_ns = now_ns

    def forget(self) -> None:
        """Drop the face: the source says that it sees none."""
        self._last_ns = NEVER
        self._times[:] = NEVER

    def sample(self, now_ns: int) -> Floats | None:
        """Return the weights (52,), NaN where missing; None where none came within `FRESH_NS`."""
        if now_ns - self._last_ns > FRESH_NS:
            return None
        return np.where(now_ns - self._times <= FRESH_NS, self._weights, _NAN)
