"""Receive a face from Live Link Face (the iPhone application, UDP, Unreal's protocol, version 6).

Convention (source → ours): big-endian; 52 ARKit weights in [0, 1] in ARKit's order, as ours; nine head
and eye angles follow and are not used. Time is frame + subframe at fps / denominator. Without a face
the packet ends after its head.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from greenroom.capture.receivers.datagrams import DatagramReceiver, ReceiverCounts, listen
from greenroom.capture.receivers.jitter_buffer import LOST, LiveFrame
from greenroom.frames import ARKIT, Floats
from greenroom.store.workspace import Workspace

PORT = 11111
VERSION = 6
_LONGEST_NAME = 256
_BACK = 5
"""Frames; some senders count them within the second, and begin again at 0."""
_TIME = struct.Struct(">ifii")
_VALUES = len(ARKIT) + 9


def _name_end(data: bytes, offset: int) -> int:
    """Return where a length-prefixed name ends."""
    if offset + 4 > len(data):
        raise ValueError("a packet is cut short")
    length = int.from_bytes(data[offset : offset + 4], "big", signed=True)
    if not 0 <= length <= _LONGEST_NAME or offset + 4 + length > len(data):
        raise ValueError("a name is cut short")
    return offset + 4 + length


def _read_face(weights: Sequence[float]) -> Floats:
    return np.clip(np.asarray(weights, dtype=np.float32), np.float32(0), np.float32(1))


class LiveLinkDecoder:
    """Decode Live Link Face.

    Args:
        counts: of the receiver.
    """

    gives: tuple[str, ...] = ("face",)

    def __init__(self, counts: ReceiverCounts) -> None:
        """Begin with nothing."""
        self.counts = counts
        self._frames: list[LiveFrame] = []

    def feed(self, data: bytes, arrival_ns: int) -> None:
        """Take one datagram.

        Raises:
            ValueError: it is no packet of version 6, or its numbers are no face's.
        """
        if data[:1] != bytes([VERSION]):
            raise ValueError("not version 6")
        offset = _name_end(data, _name_end(data, 1))
        if offset + _TIME.size > len(data):
            raise ValueError("a packet is cut short")
        frame, subframe, fps, denominator = _TIME.unpack_from(data, offset)
        offset += _TIME.size
        if not (0 < fps <= 1000 and 0 < denominator <= 100_000 and math.isfinite(subframe)):
            raise ValueError("a packet's rate is absurd")
        weights: tuple[float, ...] = ()
        if offset < len(data):
            count = data[offset]
            if count < len(ARKIT) or offset + 1 + 4 * count > len(data) or count > 2 * _VALUES:
                raise ValueError("a packet's weights are cut short")
            weights = struct.unpack_from(f">{len(ARKIT)}f", data, offset + 1)
            if not all(-1 <= weight <= 2 for weight in weights):  # false for NaN
                raise ValueError("a weight is absurd")
        is_reordered = not self.counts.accept(frame, back=_BACK)
        sent_s = (frame + subframe) * denominator / fps
        face = _read_face(weights) if weights else LOST
        self._frames.append(LiveFrame(arrival_ns, sent_s, face=face, is_reordered=is_reordered))

    def frames(self, now_ns: int) -> list[LiveFrame]:
        """Return the frames that were read since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return nothing: the telephone sends unasked."""
        return ()


def open_live_link(url: str, *, workspace: Workspace, first: int) -> DatagramReceiver:
    """Return the receiver of livelink://[HOST]:11111.

    Args:
        url: with ?allow=NETWORK where HOST is not this machine alone, and ?buffer=MS.
        workspace: not needed.
        first: not needed.

    Raises:
        BadInput: the address or an option cannot be used.
    """
    return listen(url, PORT, LiveLinkDecoder)
