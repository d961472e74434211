"""A UDP port of this machine: who may send, and when each datagram arrived.

Where the system stamps datagrams (Linux), arrival is the kernel's; elsewhere it is the time of the poll
that found the datagram, up to a tick later.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import NamedTuple

from greenroom.capture.receivers.addresses import ListenAddress
from greenroom.clock import NS_PER_S
from greenroom.errors import BadInput

MOST_DATAGRAMS = 256
"""Read in one poll; the others wait for the next one."""
_LONGEST = 65_536
_RETRY_NS = NS_PER_S
_RECEIVE_BUFFER = 1 << 20
_STAMP_OPTION = 35
"""SO_TIMESTAMPNS of Linux, which Python's socket module does not name."""
_STAMP = struct.Struct("@qq")


Notes = list[tuple[int, int, bytes]]


class Datagram(NamedTuple):
    """What arrived, and when: nanoseconds of the clock by which the port is polled."""

    data: bytes
    arrival_ns: int


class UdpPort:
    """Listen at an address, from the first read on.

    Args:
        address: where, and to whom.

    Attributes:
        refused: datagrams from senders that are not allowed.
        is_stamped: whether the kernel is asked when each datagram arrived.
    """

    def __init__(self, address: ListenAddress) -> None:
        """Store the address; the port is bound when it is first read."""
        self.address = address
        self.refused = 0
        self.is_stamped = sys.platform == "linux"
        self._socket: socket.socket | None = None
        self._next_try_ns = -(1 << 62)
        self._is_closed = False

    def try_open(self, url: str) -> None:
        """Bind the port for a moment, alone.

        Raises:
            BadInput: somebody has it, or the address is not this machine's.
        """
        try:
            self._bind(shared=False).close()
        except (OSError, OverflowError, UnicodeError) as error:
            what = getattr(error, "strerror", None) or str(error)
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                what = "it is in use"
            raise BadInput(
                f"{self.address.host}:{self.address.port} cannot be listened at: {what}",
                where=url,
                then="end the program that has the port, or give another host or port",
            ) from error

    def _bind(self, shared: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if shared:  # the engine that leaves may not have closed it yet
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            if self.is_stamped:
                with suppress(OSError):
                    opened.setsockopt(socket.SOL_SOCKET, _STAMP_OPTION, 1)
            opened.bind((self.address.host, self.address.port))
            opened.setblocking(False)
        except BaseException:
            opened.close()
            raise
        return opened

    def read(self, now_ns: int) -> list[Datagram]:
        """Return what arrived since the last read from allowed senders, `MOST_DATAGRAMS` at most.

        Args:
            now_ns: of any clock; arrival is given by the same one, at most `now_ns`.
        """
        opened = self._opened(now_ns)
        if opened is None:
            return []
        datagrams: list[Datagram] = []
        utc_ns = time.time_ns()
        for _ in range(MOST_DATAGRAMS):
            try:
                data, notes, sender = self._receive(opened)
            except BlockingIOError:
                break
            except OSError:  # such as an answer that nobody was there
                continue
            if self._is_allowed(str(sender[0])):
                datagrams.append(Datagram(data, now_ns - _age_ns(notes, utc_ns)))
            else:
                self.refused += 1
        return datagrams

    def _opened(self, now_ns: int) -> socket.socket | None:
        if self._socket is None and not self._is_closed and now_ns >= self._next_try_ns:
            try:
                self._socket = self._bind(shared=True)
            except OSError:  # tried before the show; it may come back
                self._next_try_ns = now_ns + _RETRY_NS
        return self._socket

    def _receive(self, opened: socket.socket) -> tuple[bytes, Notes, tuple[str, int]]:
        if not self.is_stamped:
            data, sender = opened.recvfrom(_LONGEST)
            return data, [], sender
        data, notes, _, sender = opened.recvmsg(_LONGEST, 64)
        return data, notes, sender

    def _is_allowed(self, host: str) -> bool:
        if not self.address.allowed:
            return True  # the socket is bound to this machine alone
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.address.allowed)

    def send(self, data: bytes) -> None:
        """Send a datagram to the peer, where there is one."""
        if self._socket is not None and self.address.peer is not None:
            with suppress(OSError):
                self._socket.sendto(data, self.address.peer)

    def close(self) -> None:
        """Let go of the port; nothing is received afterwards."""
        self._is_closed = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _age_ns(notes: Notes, utc_ns: int) -> int:
    """Return how long ago the kernel stamped a datagram, at most a second; 0 where it did not.

    It begins to stamp a moment after a port was bound; until then the stamp is that of the reading.
    """
    for level, kind, value in notes:
        if (level, kind) == (socket.SOL_SOCKET, _STAMP_OPTION) and len(value) == _STAMP.size:
            seconds, nanoseconds = _STAMP.unpack(value)
            stamp_ns = int(seconds) * NS_PER_S + int(nanoseconds)
            return min(NS_PER_S, max(0, utc_ns - stamp_ns))
    return 0
