"""Receive body and face by the VMC Protocol (V2 and V3) from a Performer, as an Assistant does.

Convention, VMC (Unity, source) → ours: left-handed, +Y up, +Z forward, metres → right-handed: positions
(-x, y, z), quaternions (x, -y, -z, w). Bones are Unity's HumanBodyBones names, local to the parent. The
hips' place is Root/Pos with the hips' Bone/Pos in it. Face weights: ARKit's names ("perfect sync"), else
VRM 0 and VRM 1.0 expressions, mapped by eye. A frame counts when its time (T) has come; one
with a bad bone does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from greenroom.capture.receivers.datagrams import DatagramReceiver, ReceiverCounts, listen
from greenroom.capture.receivers.face_names import arkit_weights
from greenroom.capture.receivers.jitter_buffer import LOST, LiveFrame
from greenroom.capture.receivers.live_state import (
    NEVER,
    LiveBody,
    LiveFace,
    require_position,
    require_rotation,
)
from greenroom.capture.receivers.osc import Argument, parse_osc
from greenroom.clock import NS_PER_S
from greenroom.frames import BONES, Doubles
from greenroom.store.workspace import Workspace

PORT = 39540
"""Where a Performer sends to an Assistant."""
_FRAME_S = 1 / 30
_UNITY_THUMB = {"Metacarpal": "Proximal", "Proximal": "Intermediate", "Distal": "Distal"}


def _unity(bone: str) -> str:
    head, thumb, joint = bone.partition("Thumb")
    return (head + thumb + _UNITY_THUMB[joint] if thumb else bone).lower()


_BONES = {_unity(name): index for index, name in enumerate(BONES)}


def _floats(arguments: Sequence[Argument], first: int, count: int) -> list[float]:
    """Return numbers among a message's arguments; those that are too many are ignored."""
    numbers = arguments[first : first + count]
    if len(numbers) < count:
        raise ValueError("a message has too few arguments")
    out: list[float] = []
    for number in numbers:
        if type(number) is float:
            out.append(number)
        elif type(number) is int:
            out.append(float(number))
        else:
            raise ValueError("a message has text where a number belongs")
    return out


def _text(arguments: Sequence[Argument]) -> str:
    if not arguments or not isinstance(arguments[0], str):
        raise ValueError("a message has no name")
    return arguments[0]


def _pose(arguments: Sequence[Argument]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return position and rotation of a message, in our convention."""
    px, py, pz, qx, qy, qz, qw = _floats(arguments, 1, 7)
    return require_position((-px, py, pz)), require_rotation((qx, -qy, -qz, qw))


class VmcDecoder:
    """Decode what a VMC Performer sends.

    Args:
        counts: of the receiver.
    """

    gives: tuple[str, ...] = ("body", "root", "face")

    def __init__(self, counts: ReceiverCounts) -> None:
        """Begin with nothing."""
        self.counts = counts
        self._body, self._face = LiveBody(), LiveFace()
        self._bones: dict[int, tuple[float, ...]] = {}
        self._hips: tuple[float, ...] | None = None
        self._offsets: dict[int, tuple[float, ...]] = {}
        self._expressions: dict[str, float] = {}
        self._frames: list[LiveFrame] = []
        self._timed_ns = self._fed_ns = NEVER
        self._waited = self._is_spoilt = self._has_face = False
        self._is_loaded = self._is_tracked = True
        self._handlers: dict[str, Callable[[list[Argument], int], None]] = {
            "/VMC/Ext/Bone/Pos": self._on_bone,
            "/VMC/Ext/Root/Pos": self._on_root,
            "/VMC/Ext/Blend/Val": self._on_expression,
            "/VMC/Ext/Blend/Apply": self._on_apply,
            "/VMC/Ext/OK": self._on_status,
            "/VMC/Ext/T": self._on_time,
        }

    def feed(self, data: bytes, arrival_ns: int) -> None:
        """Take one datagram; unknown addresses are passed over.

        Raises:
            ValueError: it is no OSC packet, or a message in it cannot be used; the others are taken.
        """
        problem: ValueError | None = None
        self._fed_ns = arrival_ns
        for address, arguments in parse_osc(data):
            handler = self._handlers.get(address)
            if handler is None:
                continue
            try:
                handler(arguments, arrival_ns)
            except ValueError as error:
                problem = error
        if problem is not None:
            raise problem

    def _on_bone(self, arguments: list[Argument], now_ns: int) -> None:
        bone = _BONES.get(_text(arguments).lower())
        if bone is None or self._is_spoilt:
            return
        try:
            position, rotation = _pose(arguments)
        except ValueError:
            self._bones, self._hips, self._is_spoilt = {}, None, True  # until the next time
            raise
        self._bones[bone] = rotation
        self._offsets[bone] = position
        if bone == 0:
            self._hips = position

    def _on_root(self, arguments: list[Argument], now_ns: int) -> None:
        self._body.put_origin(*_pose(arguments))

    def _on_expression(self, arguments: list[Argument], now_ns: int) -> None:
        [value] = _floats(arguments, 1, 1)
        if not -1 <= value <= 2:
            raise ValueError("a weight is absurd")
        self._expressions[_text(arguments)] = value

    def _on_apply(self, arguments: list[Argument], now_ns: int) -> None:
        self._face.put(arkit_weights(self._expressions).items(), now_ns)
        self._expressions, self._has_face = {}, True

    def _on_status(self, arguments: list[Argument], now_ns: int) -> None:
        self._is_loaded = _floats(arguments, 0, 1)[0] != 0
        self._is_tracked = len(arguments) < 4 or _floats(arguments, 3, 1)[0] != 0

    def _on_time(self, arguments: list[Argument], now_ns: int) -> None:
        [seconds] = _floats(arguments, 0, 1)
        if not abs(seconds) < 1e9:
            raise ValueError("a time is absurd")
        self._timed_ns = now_ns
        before = self.counts.reordered
        self.counts.accept(seconds, _FRAME_S, counted=False)
        if self.counts.reordered > before:
            self._bones, self._hips, self._is_spoilt = {}, None, False
            return
        self._commit(now_ns, seconds)

    def _commit(self, now_ns: int, sent_s: float | None) -> None:
        """Take what came as a frame."""
        frame = LiveFrame(now_ns, sent_s)
        if self._bones:
            self._body.put(self._bones, now_ns)
            if self._hips is not None:
                self._body.put_hips(self._hips)
            frame.body = self._body.pose(now_ns)
        if self._has_face:
            frame.face = self._face.sample(now_ns)
        self._frames.append(frame)
        self._bones, self._hips, self._waited, self._has_face = {}, None, False, False
        self._is_spoilt = False

    def frames(self, now_ns: int) -> list[LiveFrame]:
        """Return the frames since the last call; one whose time is late is waited for, one tick long."""
        is_untimed = now_ns - self._timed_ns > NS_PER_S
        if is_untimed:
            self._is_spoilt = False  # each tick is a pose where no time is sent
        if self._bones or self._has_face:
            if self._waited or is_untimed:
                self._commit(self._fed_ns, None)
            else:
                self._waited = True
        frames, self._frames = self._frames, []
        if not self._is_loaded:
            self._body.forget()
            self._face.forget()
            return [LiveFrame(now_ns, body=LOST, face=LOST)]
        if not self._is_tracked:
            self._body.forget()
            frames = [replace(frame, body=None) for frame in frames]
            return [*frames, LiveFrame(now_ns, body=LOST)]
        return frames

    def offsets(self) -> Doubles:
        """Return the bones in their parents' axes (55, 3), metres; NaN where nothing was sent."""
        out = np.full((len(BONES), 3), np.nan)
        for bone, position in self._offsets.items():
            if bone and any(position):  # a sender that leaves places out sends zeros
                out[bone] = position
        return out

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return nothing: a Performer sends unasked."""
        return ()


def open_vmc_receiver(url: str, *, workspace: Workspace, first: int) -> DatagramReceiver:
    """Return the receiver of vmc://[HOST]:39540.

    Args:
        url: with ?allow=NETWORK where HOST is not this machine alone, and ?buffer=MS.
        workspace: not needed.
        first: not needed.

    Raises:
        BadInput: the address or an option cannot be used.
    """
    return listen(url, PORT, VmcDecoder)
