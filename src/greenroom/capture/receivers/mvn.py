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

import numpy as np

from greenroom.capture.receivers.datagrams import (
    DatagramReceiver,
    LiveSample,
    ReceiverCounts,
    listen,
)
from greenroom.capture.receivers.live_state import LiveBody, require_position, require_rotation
from greenroom.frames import BONE, PARENTS
from greenroom.rotations import inverse, multiply, rotate
from greenroom.store.workspace import Workspace

PORT = 9763
HEADER = struct.Struct(">6sIBBIBBBBHH")
ITEM = struct.Struct(">I3f4f")
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
_DOWN = 0.7


class MvnDecoder:
    """Decode MVN's pose data.

    Args:
        counts: of the receiver.
    """

    gives: tuple[str, ...] = ("body", "root")

    def __init__(self, counts: ReceiverCounts) -> None:
        """Begin with nothing."""
        self.counts = counts
        self._body = LiveBody()
        self._sample = -1
        self._parts: set[int] = set()
        self._segments: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {}

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take one datagram; other messages of MVN than poses are passed over.

        Raises:
            ValueError: it is none of MVN's, cut short, or its numbers are no body's.
        """
        if data[:4] != b"MXTP" or len(data) < HEADER.size:
            raise ValueError("not a packet of MVN")
        if data[4:6] != b"02":
            return
        _, sample, part, items, time_ms, *_ = HEADER.unpack_from(data)
        if HEADER.size + items * ITEM.size > len(data):
            raise ValueError("a packet is cut short")
        segments = {}
        for number in range(items):
            segment, px, py, pz, qw, qx, qy, qz = ITEM.unpack_from(
                data, HEADER.size + number * ITEM.size
            )
            if 1 <= segment <= len(SEGMENTS):
                place = require_position((py, pz, px))
                segments[segment - 1] = place, require_rotation((qy, qz, qx, qw))
        if sample == self._sample and part not in self._parts and len(self._parts) < _MOST_PARTS:
            self._parts.add(part)
        elif self.counts.accept(sample):
            if sample != self._sample:
                self.counts.clocked(now_ns, time_ms / 1000)
            self._sample, self._parts, self._segments = sample, {part}, {}
        else:
            return
        self._segments.update(segments)
        if part & _LAST:
            self._commit(now_ns)

    def _commit(self, now_ns: int) -> None:
        """Take the sample as a pose of local rotations."""
        segments = self._segments
        turns = {b: np.asarray(segments[i][1]) for b, i in _BODY.items() if i in segments}
        if self._hangs():
            for bone in turns.keys() & _T_POSE.keys():
                turns[bone] = multiply(turns[bone], inverse(np.asarray(_T_POSE[bone])))
        local: dict[int, list[float]] = {}
        for bone, turn in turns.items():
            parent = PARENTS[bone]
            while parent >= 0 and parent not in turns:
                parent = PARENTS[parent]
            turned = turn if parent < 0 else multiply(inverse(turns[parent]), turn)
            local[bone] = turned.tolist()
        self._body.put(local, now_ns)
        if 0 in segments:
            self._body.put_hips(segments[0][0])

    def _hangs(self) -> bool:
        """Tell whether the arms' segments are unrotated in hanging arms, and not in the T-pose."""
        for side in ("right", "left"):
            upper, lower = (_BODY[BONE[f"{side}{part}Arm"]] for part in ("Upper", "Lower"))
            if upper not in self._segments or lower not in self._segments:
                return False
            (begin, turn), (end, _) = self._segments[upper], self._segments[lower]
            along = rotate(inverse(np.asarray(turn)), np.subtract(end, begin))
            if not along[1] < -_DOWN * math.sqrt(sum(x * x for x in along.tolist())):
                return False
        return True

    def sample(self, now_ns: int) -> LiveSample:
        """Return the newest pose."""
        return self._body.sample(now_ns)

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return nothing: MVN sends unasked."""
        return ()


def open_mvn(url: str, *, workspace: Workspace, first: int) -> DatagramReceiver:
    """Return the receiver of mvn://[HOST]:9763.

    Args:
        url: with ?allow=NETWORK where HOST is not this machine alone.
        workspace: not needed.
        first: not needed.

    Raises:
        BadInput: the address or an option cannot be used.
    """
    return listen(url, PORT, MvnDecoder)
