"""Send frames to where they are seen: VMC Protocol over OSC, by a template filled in place.

Convention, ours → VMC (Unity): left-handed, +Y up, +Z forward, metres: positions (-x, y, z),
quaternions (x, -y, -z, w). Bones are Unity's HumanBodyBones names, local to the parent; face weights are
ARKit's names ("perfect sync"). Every datagram is an OSC bundle of at most 1472 bytes, which fits
into a packet of Ethernet. A face weight that is missing is not sent.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import ARKIT, BONES, HUMANOID, Array, Floats, Frame
from greenroom.plugins import host_port

DATAGRAM_LIMIT = 1472
"""Ethernet's 1500 bytes less the heads of IPv4 and UDP."""
_TEMPLATES = 8
"""Templates that are kept, each for one set of face weights."""
PORT = 39539
"""Of a Marionette."""
_FLIP = np.asarray([-1, 1, 1, 1, -1, -1, 1], dtype=np.float32)
_THUMBS = {"Metacarpal": "Proximal", "Proximal": "Intermediate"}


def unity_name(bone: str) -> str:
    """Return Unity's name of a VRM 1.0 bone.

    >>> unity_name("leftThumbMetacarpal"), unity_name("leftIndexProximal"), unity_name("hips")
    ('LeftThumbProximal', 'LeftIndexProximal', 'Hips')
    """
    for vrm_name, unity_thumb in _THUMBS.items():
        if bone.endswith(f"Thumb{vrm_name}"):
            bone = bone.removesuffix(vrm_name) + unity_thumb
            break
    return bone[0].upper() + bone[1:]


def _padded(text: str) -> bytes:
    raw = text.encode()
    return raw + b"\0" * (4 - len(raw) % 4)


class VmcTemplate:
    """All datagrams of a frame, laid out once; `fill` writes the numbers into place.

    Args:
        offsets: (55, 3), metres: where each bone sits on its parent.
        face: names of the face weights.
    """

    def __init__(self, offsets: Array, face: Sequence[str] = ARKIT) -> None:
        """Lay out the datagrams."""
        root = ("/VMC/Ext/Root/Pos", ",sfffffff", "root", 7)
        bones = [("/VMC/Ext/Bone/Pos", ",sfffffff", unity_name(bone), 7) for bone in BONES]
        weights = [("/VMC/Ext/Blend/Val", ",sf", name, 1) for name in face]
        layout: list[bytearray] = []
        places: list[tuple[int, int]] = []  # (datagram, offset) of every number
        for message in (root, *bones, *weights):
            _lay(layout, places, *message)
        _lay(layout, [], address="/VMC/Ext/Blend/Apply", tags=",", text=None, numbers=0)
        _lay(layout, [], address="/VMC/Ext/OK", tags=",i", text=None, numbers=1)
        layout[-1][-4:] = struct.pack(">i", 1)
        _lay(layout, places, address="/VMC/Ext/T", tags=",f", text=None, numbers=1)
        starts = np.cumsum([0, *(len(datagram) for datagram in layout)])
        self._bytes = bytearray(b"".join(layout))
        self.datagrams = [
            memoryview(self._bytes)[a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)
        ]
        # OSC keeps everything on four bytes, so all numbers of all datagrams are one array's.
        self._numbers = np.frombuffer(self._bytes, dtype=">f4")
        self._places = np.asarray([(starts[i] + offset) // 4 for i, offset in places])
        self._values = np.zeros(len(places), dtype=np.float32)
        # The root stands at the origin: the hips carry the movement.
        poses = self._values[: 7 * (len(BONES) + 1)].reshape(-1, 7)
        poses[1:, :3] = offsets * _FLIP[:3]
        poses[0, 6] = 1
        self._hips, self._turns = poses[1, :3], poses[1:, 3:]
        self._face = self._values[poses.size : -1]
        self._weights = np.asarray([ARKIT.index(name) for name in face], dtype=np.intp)

    def fill(self, frame: Frame, seconds: float) -> list[memoryview]:
        """Return the datagrams of a frame; the same buffers each time.

        Args:
            frame: what to send; a NaN among the template's face weights is sent as 0.
            seconds: the sender's time.
        """
        values = self._values
        np.multiply(frame.root, _FLIP[:3], out=self._hips)
        np.multiply(frame.rotations, _FLIP[3:], out=self._turns)
        np.fmax(frame.face[self._weights], 0, out=self._face)
        values[-1] = seconds
        values += 0  # no negative zero
        self._numbers[self._places] = values
        return self.datagrams


def _lay(
    layout: list[bytearray],
    places: list[tuple[int, int]],
    address: str,
    tags: str,
    text: str | None,
    numbers: int,
) -> None:
    """Append a message to the last datagram that has room, and note where its numbers are."""
    body = _padded(address) + _padded(tags) + (b"" if text is None else _padded(text))
    length = len(body) + 4 * numbers
    if not layout or len(layout[-1]) + 4 + length > DATAGRAM_LIMIT:
        # "#bundle", time tag "immediately"
        layout.append(bytearray(b"#bundle\0" + struct.pack(">Q", 1)))
    datagram = layout[-1]
    datagram += struct.pack(">i", length) + body
    places += [(len(layout) - 1, len(datagram) + 4 * i) for i in range(numbers)]
    datagram += bytes(4 * numbers)


def resolve(host: str, port: int) -> tuple[str, int]:
    """Return a host's address and the port, so that nobody asks for them during a show.

    Raises:
        BadInput: it has no address.
    """
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4]
    except (OSError, OverflowError, UnicodeError) as error:
        raise BadInput(
            f"vmc://{host}:{port} cannot be reached: {error}", then="check the host and the port"
        ) from error
    return str(address[0]), int(address[1])


def open_vmc(url: str, *, offsets: Array) -> VmcSink:
    """Return the sink of a URL.

    Args:
        url: vmc://HOST:PORT.
        offsets: (55, 3), metres.

    Raises:
        BadInput: the host has no address, or the port is none.
    """
    host, port = host_port(url, PORT)
    if not port:
        raise BadInput(f"'{url}' has no usable port", then="give the receiver's, 1 to 65535")
    return VmcSink(host, port, offsets)


class VmcSink:
    """Send frames to a VMC Marionette or Assistant.

    Args:
        host: an address or name, resolved once.
        port: 39539 for a Marionette.
        offsets: (55, 3), metres.

    Attributes:
        url: its address and port.
        sent: datagrams that the network took.
        lost: those that it did not take at once.
    """

    def __init__(self, host: str, port: int, offsets: Array = HUMANOID.offsets) -> None:
        """Resolve the host and open the sockets."""
        self._address = resolve(host, port)
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._offsets = offsets
        self._templates = {np.ones(len(ARKIT), dtype=bool).tobytes(): VmcTemplate(offsets)}
        self._mirror = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mirror.bind(("127.0.0.1", 0))
        self._mirror.setblocking(False)
        self._here = self._mirror.getsockname()
        host, port = self._address
        self.url = f"vmc://[{host}]:{port}" if ":" in host else f"vmc://{host}:{port}"
        self.sent = self.lost = 0

    def send(self, frame: Frame) -> None:
        """Send every datagram; what the network does not take at once is counted as lost."""
        for datagram in self._fill(frame):
            try:
                self._socket.sendto(datagram, self._address)
                self.sent += 1
            except OSError:
                self.lost += 1

    def _fill(self, frame: Frame) -> list[memoryview]:
        """Return the datagrams of a frame, without the face weights that are missing."""
        present = np.isfinite(frame.face)
        key = present.tobytes()
        if key not in self._templates:
            if len(self._templates) >= _TEMPLATES:
                del self._templates[next(iter(self._templates))]
            names = [name for name, is_there in zip(ARKIT, present, strict=True) if is_there]
            self._templates[key] = VmcTemplate(self._offsets, names)
        return self._templates[key].fill(frame, frame.tick / 30)

    def rehearse(self, frame: Frame) -> None:
        """Send every datagram to a socket of this sink's own, and take it back."""
        for datagram in self._fill(frame):
            with suppress(OSError):
                self._mirror.sendto(datagram, self._here)
                self._mirror.recv(DATAGRAM_LIMIT)

    def close(self) -> None:
        """Close the sockets."""
        self._socket.close()
        self._mirror.close()


def no_face() -> Floats:
    """Return 52 missing weights: always the same array, which nobody can write into."""
    return _NO_FACE


_NO_FACE = np.full(len(ARKIT), np.nan, dtype=np.float32)
_NO_FACE.setflags(write=False)
