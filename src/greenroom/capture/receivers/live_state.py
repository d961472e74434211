"""Keep the newest pose and face that a live source sent, bone by bone and weight by weight."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from greenroom.capture.receivers.datagrams import FRESH_NS, HOLD_NS, LiveSample
from greenroom.frames import ARKIT, BONE, BONES, PARENTS, Floats
from greenroom.rotations import multiply, normalise, rotate

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


class LiveBody:
    """The newest rotation of each bone, in our convention, and the place of the hips."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rotations = np.tile(_IDENTITY, (len(BONES), 1))
        self._times = np.full(len(BONES), NEVER, dtype=np.int64)
        self._hips: tuple[float, ...] | None = None
        self._origin = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        self._last_ns = NEVER
        self.missing_chain: tuple[int, ...] = tuple(BONE[name] for name in _OPTIONAL)

    def put(self, bones: Mapping[int, Sequence[float]], now_ns: int) -> None:
        """Take rotations by index of the bone, unit quaternions xyzw."""
        for bone, rotation in bones.items():
            self._rotations[bone] = rotation
            self._times[bone] = now_ns
        if bones:
            self._last_ns = now_ns

    def put_hips(self, position: tuple[float, ...]) -> None:
        """Take the hips' position within the source's root, metres."""
        self._hips = position

    def put_origin(self, position: tuple[float, ...], rotation: tuple[float, ...]) -> None:
        """Take where the source's root stands and how it is turned."""
        self._origin = position, rotation  # type: ignore[assignment]

    def forget(self) -> None:
        """Drop the pose: the source says that it tracks nobody."""
        self._last_ns = NEVER
        self._times[:] = NEVER

    def sample(self, now_ns: int) -> LiveSample:
        """Return the pose; nothing where no bone came within `HOLD_NS`."""
        if now_ns - self._last_ns > HOLD_NS:
            return LiveSample()
        valid = now_ns - self._times <= FRESH_NS
        rotations = self._rotations.copy()
        for bone in reversed(self.missing_chain):
            children = [j for j, parent in enumerate(PARENTS) if parent == bone]
            if not valid[bone] and valid[children].any():
                rotations[bone], valid[bone] = _IDENTITY, True
        root = np.full(3, _NAN)
        if self._hips is not None and valid[0]:
            place, turn = (np.asarray(part) for part in self._origin)
            root = (place + rotate(turn, np.asarray(self._hips))).astype(np.float32)
            rotations[0] = multiply(turn, rotations[0])
        turned = normalise(rotations).astype(np.float32)
        turned[~valid] = _NAN
        return LiveSample(root, turned, valid.astype(np.float32))


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
        """Return the weights (52,), NaN where missing; None where none came within `HOLD_NS`."""
        if now_ns - self._last_ns > HOLD_NS:
            return None
        return np.where(now_ns - self._times <= FRESH_NS, self._weights, _NAN)
