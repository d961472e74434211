"""Receive a face from Live Link Face (the iPhone application, UDP, Unreal's protocol, version 6).

Convention (source → ours): big-endian; 52 ARKit weights in [0, 1] in ARKit's order, as ours; nine head
and eye angles follow and are not used. Time is frame + subframe at fps / denominator. Without a face
the packet ends after its head.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from greenroom.capture.receivers.datagrams import (
    DatagramReceiver,
    LiveSample,
    ReceiverCounts,
    listen,
)
from greenroom.capture.receivers.live_state import LiveFace
from greenroom.frames import ARKIT
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


class LiveLinkDecoder:
    """Decode Live Link Face.

    Args:
        counts: of the receiver.
    """

    gives: tuple[str, ...] = ("face",)

    def __init__(self, counts: ReceiverCounts) -> None:
        """Begin with nothing."""
        self.counts = counts
        self._face = LiveFace()

    def feed(self, data: bytes, now_ns: int) -> None:
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
        if not self.counts.accept(frame, back=_BACK):
            return
        self.counts.clocked(now_ns, (frame + subframe) * denominator / fps)
        if weights:
            self._face.put(enumerate(weights), now_ns)
        else:
            self._face.forget()

    def sample(self, now_ns: int) -> LiveSample:
        """Return the newest face."""
        return LiveSample(weights=self._face.sample(now_ns))

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return nothing: the telephone sends unasked."""
        return ()


def open_live_link(url: str, *, workspace: Workspace, first: int) -> DatagramReceiver:
    """Return the receiver of livelink://[HOST]:11111.

    Args:
        url: with ?allow=NETWORK where HOST is not this machine alone.
        workspace: not needed.
        first: not needed.

    Raises:
        BadInput: the address or an option cannot be used.
    """
    return listen(url, PORT, LiveLinkDecoder)
