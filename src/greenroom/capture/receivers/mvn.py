"""Receive a body from Xsens MVN's network streamer: pose data with quaternions (MXTP02).

Convention (source → ours): right-handed, Z up, X forward, metres, quaternions (w, x, y, z) of each
segment in the world → +Y up, facing +Z: (x, y, z) = (their y, z, x), and local rotations between the
segments that have a bone of ours. L5 has none. Legs and trunk are unrotated in the T-pose. Arms are
so in a pose with hanging arms, as MVN's own files have it, or in the T-pose: which one, the places of
elbows tell.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.receivers.datagrams import DatagramReceiver, ReceiverCounts, listen
from greenroom.capture.receivers.jitter_buffer import LiveFrame, Pose
from greenroom.capture.receivers.live_state import FARTHEST, FRESH_NS, NEVER, make_pose
from greenroom.frames import BONE, BONES, PARENTS, Doubles
from greenroom.rotations import inverse, multiply, rotate
from greenroom.store.workspace import Workspace

PORT = 9763
HEADER = struct.Struct(">6sIBBIBBBBHH")
_ITEM = np.dtype([("segment", ">u4"), ("place", ">f4", 3), ("turn", ">f4", 4)])
SEGMENTS: tuple[str, ...] = (
    *("hips", "", "spine", "chest", "upperChest", "neck", "head"),
    *("rightShoulder", "rightUpperArm", "rightLowerArm", "rightHand"),
    *("leftShoulder", "leftUpperArm", "leftLowerArm", "leftHand"),
    *("rightUpperLeg", "rightLowerLeg", "rightFoot", "rightToes"),
    *("leftUpperLeg", "leftLowerLeg", "leftFoot", "leftToes"),
)
"""MVN's 23 segments in their order, by our names; "" for L5, which has no bone of ours."""
_LAST = 0x80
_MOST_PARTS = 64
_BODY = {BONE[name]: index for index, name in enumerate(SEGMENTS) if name}
_HALF = math.sqrt(0.5)
_T_POSE: dict[int, tuple[float, float, float, float]] = {
    **{BONE["rightUpperArm"]: (0, 0, -_HALF, _HALF), BONE["leftUpperArm"]: (0, 0, _HALF, _HALF)},
    **{BONE[f"right{part}"]: (0.5, 0.5, -0.5, 0.5) for part in ("LowerArm", "Hand")},
    **{BONE[f"left{part}"]: (0.5, -0.5, 0.5, 0.5) for part in ("LowerArm", "Hand")},
}
"""Rotations of the T-pose of segments that are unrotated in hanging arms, ours."""
_ARM_ROWS = [_BODY[bone] for bone in _T_POSE]
_ARM_UNDO = inverse(np.asarray(list(_T_POSE.values())))
_PLACE_AXES, _TURN_AXES = [1, 2, 0], [2, 3, 1, 0]
"""Their x, y, z and w, x, y, z → ours."""
_DOWN = 0.7


class _Segments:
    """Places (23, 3), unit rotations (23, 4), and when each was sent last."""

    def __init__(self) -> None:
        self.places = np.zeros((len(SEGMENTS), 3))
        self.turns = np.tile(np.asarray([0.0, 0, 0, 1]), (len(SEGMENTS), 1))
        self.times = np.full(len(SEGMENTS), NEVER, dtype=np.int64)

    def put(self, items: _Items, now_ns: int) -> None:
        rows, places, turns = items
        self.places[rows], self.turns[rows], self.times[rows] = places, turns, now_ns

    def frame(self, now_ns: int, sent_s: float, is_reordered: bool = False) -> LiveFrame:
        there = now_ns - self.times <= FRESH_NS
        body = partial(_make_pose, self.places.copy(), self.turns.copy(), there)
        return LiveFrame(now_ns, sent_s, body, is_reordered=is_reordered)


_Items = tuple[NDArray[np.intp], Doubles, Doubles]


def _read_items(data: bytes, count: int) -> _Items:
    """Return the segments of a datagram, their places and rotations in our axes.

    Raises:
        ValueError: it is cut short, or its numbers are no body's.
    """
    if HEADER.size + count * _ITEM.itemsize > len(data):
        raise ValueError("a packet is cut short")
    items = np.frombuffer(data, _ITEM, count=count, offset=HEADER.size)
    rows = items["segment"].astype(np.intp) - 1
    is_known = (rows >= 0) & (rows < len(SEGMENTS))
    with np.errstate(invalid="ignore"):
        places = items["place"][is_known][:, _PLACE_AXES].astype(np.float64)
        turns = items["turn"][is_known][:, _TURN_AXES].astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", turns, turns))
    if not (np.abs(places) <= FARTHEST).all():  # NaN is not
        raise ValueError("a position is absurd")
    if not ((lengths > 0.5) & (lengths < 2)).all():
        raise ValueError("a rotation is no unit quaternion")
    return rows[is_known], places, turns / lengths[:, None]


def _make_pose(places: Doubles, turns: Doubles, there: NDArray[np.bool_]) -> Pose:
    """Return the pose of local rotations of segments, (23, 3) and (23, 4) in the world."""
    turns = _from_tpose(places, turns, there)
    rotations = np.tile(np.asarray([0.0, 0, 0, 1]), (len(BONES), 1))
    valid = np.zeros(len(BONES), dtype=np.bool_)
    bones, above = _tree(there)
    if bones:
        own = turns[[_BODY[bone] for bone in bones]]
        parents = np.concatenate([turns, np.asarray([[0.0, 0, 0, 1]])])[above]
        rotations[bones], valid[bones] = multiply(inverse(parents), own), True
    return make_pose(rotations, valid, places[0] if there[0] else None)


def _from_tpose(places: Doubles, turns: Doubles, there: NDArray[np.bool_]) -> Doubles:
    """Return the segments' rotations (23, 4) relative to the T-pose."""
    turns = turns.copy()
    if _hangs(places, turns, there):
        turns[_ARM_ROWS] = multiply(turns[_ARM_ROWS], _ARM_UNDO)
    return turns


def _tree(there: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Return the bones that are there, and the segment above each; -1 above the hips."""
    bones = [bone for bone, row in _BODY.items() if there[row]]
    above: list[int] = []
    for bone in bones:
        parent = PARENTS[bone]
        while parent >= 0 and not (parent in _BODY and there[_BODY[parent]]):
            parent = PARENTS[parent]
        above.append(_BODY[parent] if parent >= 0 else -1)
    return bones, above


def _hangs(places: Doubles, turns: Doubles, there: NDArray[np.bool_]) -> bool:
    """Tell whether the arms' segments are unrotated in hanging arms, and not in the T-pose."""
    for side in ("right", "left"):
        upper, lower = (_BODY[BONE[f"{side}{part}Arm"]] for part in ("Upper", "Lower"))
        if not (there[upper] and there[lower]):
            return False
        along = rotate(inverse(turns[upper]), places[lower] - places[upper])
        if not along[1] < -_DOWN * math.sqrt(sum(x * x for x in along.tolist())):
            return False
    return True


class MvnDecoder:
    """Decode MVN's pose data.

    Args:
        counts: of the receiver.
    """

    gives: tuple[str, ...] = ("body", "root")

    def __init__(self, counts: ReceiverCounts) -> None:
        """Begin with nothing."""
        self.counts = counts
        self._frames: list[LiveFrame] = []
        self._latest = _Segments()
        self._sample = -1
        self._parts: set[int] = set()

    def feed(self, data: bytes, arrival_ns: int) -> None:
        """Take one datagram; other messages of MVN than poses are passed over.

        Raises:
            ValueError: it is none of MVN's, cut short, or its numbers are no body's.
        """
        if data[:4] != b"MXTP" or len(data) < HEADER.size:
            raise ValueError("not a packet of MVN")
        if data[4:6] != b"02":
            return
        _, sample, part, count, time_ms, *_ = HEADER.unpack_from(data)
        items = _read_items(data, count)
        if sample == self._sample and part not in self._parts and len(self._parts) < _MOST_PARTS:
            self._parts.add(part)
        elif self.counts.accept(sample):
            self._sample, self._parts = sample, {part}
        else:
            if part == _LAST:  # whole in one datagram
                late = _Segments()
                late.put(items, arrival_ns)
                self._frames.append(late.frame(arrival_ns, time_ms / 1000, is_reordered=True))
            return
        self._latest.put(items, arrival_ns)
        if part & _LAST:
            self._frames.append(self._latest.frame(arrival_ns, time_ms / 1000))

    def frames(self, now_ns: int) -> list[LiveFrame]:
        """Return the frames that were read since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def offsets(self) -> Doubles:
        """Return the bones in their parents' axes (55, 3), metres; NaN where nothing was sent."""
        out = np.full((len(BONES), 3), np.nan)
        places, there = self._latest.places, self._latest.times > NEVER
        turns = _from_tpose(places, self._latest.turns, there)
        for bone, parent in zip(*_tree(there), strict=True):
            if parent >= 0:
                away = places[_BODY[bone]] - places[parent]
                out[bone] = rotate(inverse(turns[parent]), away)
        return out

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return nothing: MVN sends unasked."""
        return ()


def open_mvn(url: str, *, workspace: Workspace, first: int) -> DatagramReceiver:
    """Return the receiver of mvn://[HOST]:9763.

    Args:
        url: with ?allow=NETWORK where HOST is not this machine alone, and ?buffer=MS.
        workspace: not needed.
        first: not needed.

    Raises:
        BadInput: the address or an option cannot be used.
    """
    return listen(url, PORT, MvnDecoder)
