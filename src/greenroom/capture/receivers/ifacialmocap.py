"""Receive a face from iFacialMocap (a telephone that is greeted, and then sends text over UDP).

Convention (source → ours): weights by ARKit's names with _L and _R for the sides, whole numbers 0 to
100 → [0, 1], in any order; head and eye angles follow and are not used. Version 1 separates name and
value by "-", version 2 by "&". There is no time in it: the arrival
counts. The same text twice means that
the telephone has lost the face.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from greenroom.capture.receivers.addresses import ListenAddress
from greenroom.capture.receivers.datagrams import (
    DatagramReceiver,
    ReceiverCounts,
    read_buffer,
)
from greenroom.capture.receivers.face_names import arkit_index
from greenroom.capture.receivers.jitter_buffer import LiveFrame
from greenroom.capture.receivers.live_state import NEVER, LiveFace
from greenroom.capture.receivers.udp_port import UdpPort
from greenroom.clock import NS_PER_S
from greenroom.errors import BadInput
from greenroom.plugins import options_of
from greenroom.store.workspace import Workspace

PORT = 49983
HELLO = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719|sendDataVersion=v2"
AGAIN_NS = NS_PER_S
"""How long nothing comes until the telephone is greeted again."""
_LEAST = 5
"""Weights that a packet has at least; fewer is something else."""


def _read_weights(text: str) -> dict[int, float]:
    """Return the weights of one packet by index.

    Raises:
        ValueError: a value is no number, or too few have a known name.
    """
    out: dict[int, float] = {}
    for entry in text.partition("=head")[0].split("|"):
        name, mark, value = entry.partition("&")
        if not mark:
            name, mark, value = entry.partition("-")
        index = arkit_index(name.strip())
        if not mark or index is None:
            continue
        weight = float(value) / 100
        if not (math.isfinite(weight) and -1 <= weight <= 2):
            raise ValueError("a weight is absurd")
        out[index] = weight
    if len(out) < _LEAST:
        raise ValueError("not a packet of iFacialMocap")
    return out


class FacialMocapDecoder:
    """Decode iFacialMocap.

    Args:
        counts: of the receiver.
    """

    gives: tuple[str, ...] = ("face",)

    def __init__(self, counts: ReceiverCounts) -> None:
        """Begin with nothing."""
        self.counts = counts
        self._face = LiveFace()
        self._frames: list[LiveFrame] = []
        self._last = b""
        self._last_ns = self._greeted_ns = NEVER

    def feed(self, data: bytes, arrival_ns: int) -> None:
        """Take one datagram.

        Raises:
            ValueError: it is no text of iFacialMocap.
        """
        if data == self._last:
            self.counts.duplicated += 1
            return
        weights = _read_weights(data.decode())
        self._last, self._last_ns = data, arrival_ns
        self._face.put(weights.items(), arrival_ns)
        self._frames.append(LiveFrame(arrival_ns, face=self._face.sample(arrival_ns)))

    def frames(self, now_ns: int) -> list[LiveFrame]:
        """Return the frames that were read since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return the greeting at the start, and each second in which nothing came."""
        if now_ns - max(self._last_ns, self._greeted_ns) < AGAIN_NS:
            return ()
        self._greeted_ns = now_ns
        return (HELLO,)


def open_ifacialmocap(url: str, *, workspace: Workspace, first: int) -> DatagramReceiver:
    """Return the receiver of ifacialmocap://PHONE[:49983]; nobody but the telephone is heard.

    Args:
        url: with ?listen=PORT where the telephone answers to another port than 49983, and
            ?buffer=MS.
        workspace: not needed.
        first: not needed.

    Raises:
        BadInput: there is no telephone in it, or an option cannot be used.
    """
    parts, options = options_of(url, {"listen": int, "buffer": float})
    try:
        port = PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    listen = options.get("listen", PORT)
    if not (port and 0 < listen < 65536):
        raise BadInput(f"'{url}' has no usable port", then=f"leave it out for {PORT}")
    if not parts.hostname:
        raise BadInput(
            f"'{url}' does not say which telephone", then="like ifacialmocap://192.168.1.20"
        )
    phone = _resolve(urlsplit(url).hostname or "", port)
    network = ipaddress.ip_network(phone)
    host = "127.0.0.1" if network.is_loopback else ("::" if network.version == 6 else "0.0.0.0")
    address = ListenAddress(host, listen, (network,), (phone, port))
    buffer_ms, counts = read_buffer(options, url), ReceiverCounts()
    decoder = FacialMocapDecoder(counts)
    return DatagramReceiver(url, UdpPort(address), decoder, counts=counts, buffer_ms=buffer_ms)


def resolve_phone(url: str) -> str:
    """Return the URL with the telephone's address in place of its name; as it is where it has none.

    Raises:
        BadInput: the name has no address.

    >>> resolve_phone("ifacialmocap://127.0.0.1:49983?use=face")
    'ifacialmocap://127.0.0.1:49983?use=face'
    """
    parts = urlsplit(url)
    if not parts.hostname:
        return url
    address = _resolve(parts.hostname, PORT)
    host = f"[{address}]" if ":" in address else address
    _, colon, port = parts.netloc.rpartition("]")[2].partition(":")
    return parts._replace(netloc=f"{host}{colon}{port}").geturl()


def _resolve(host: str, port: int) -> str:
    try:
        return str(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise BadInput(f"the telephone '{host}' has no address", then="give its address") from error
