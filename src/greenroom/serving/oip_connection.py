"""One HTTP connection that stays open, whose every exchange ends at a deadline.

`http.client` writes and reads the messages; it follows no redirect and asks no proxy. Its own time limit
is for each read, so that a server that sends byte after byte could stall a show: here all reads and
writes of an exchange share one.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

_SHORTEST_S = 1e-3
"""What is left for a call that comes at its deadline; 0 would mean not to wait at all."""


class HttpAnswer(NamedTuple):
    """What a server answered.

    Attributes:
        status: HTTP's number.
        headers: of the answer.
        body: whole.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class _Deadline:
    """The time at which an exchange ends."""

    def __init__(self) -> None:
        self.end_s = 0.0

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are.
        """
        left_s = self.end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no answer within its time")
        return max(left_s, _SHORTEST_S)


class _Reader(io.RawIOBase):
    """Read from a socket until its deadline."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket, self._deadline = connected, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv_into(buffer)


class _DeadlineSocket:
    """As much of a socket as `http.client` uses, with a deadline; a request leaves in one piece."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket, self._deadline = connected, deadline
        self._request = bytearray()

    def sendall(self, data: bytes) -> None:
        self._request += data

    def makefile(self, mode: str) -> io.BufferedReader:
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(self._request)
        self._request.clear()
        return io.BufferedReader(_Reader(self._socket, self._deadline))

    def close(self) -> None:
        self._socket.close()


class DeadlineConnection(http.client.HTTPConnection):
    """A connection to one address, made again where the server closed it.

    Args:
        host: name or address, resolved once.
        port: of TCP.
        token: sent as `Authorization: Bearer`; None for none.

    Raises:
        OSError: the name has no address.
    """

    def __init__(self, host: str, port: int, token: bytes | None = None) -> None:
        """Resolve the name; nothing is connected yet."""
        super().__init__(host, port)
        self._addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._deadline = _Deadline()
        self._headers = {} if token is None else {"Authorization": f"Bearer {token.decode()}"}

    def connect(self) -> None:
        """Connect to the first address that answers; it stays the only one."""
        for address in list(self._addresses):
            connected = socket.socket(address[0], socket.SOCK_STREAM)
            try:
                connected.settimeout(self._deadline.left())
                connected.connect(address[4])
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                connected.close()
                if address is self._addresses[-1]:
                    raise
                continue
            self._addresses = [address]
            self.sock: Any = _DeadlineSocket(connected, self._deadline)
            return

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int,
        timeout_s: float,
    ) -> HttpAnswer:
        """Send a request and return the answer, all within a time; once more where it was cut off.

        Raises:
            OSError: no answer within that time; the connection is closed, and made again next time.
            http.client.HTTPException: the answer is no HTTP, or larger than `limit` bytes.
        """
        self._deadline.end_s = time.monotonic() + timeout_s
        everything = {**self._headers, **(headers or {})}
        was_open = self.sock is not None
        try:
            try:
                self.request(method, path, body, everything)
                return self._read(limit)
            except ConnectionError:  # an idle connection may be closed by the server at any time
                self.close()
                if not was_open:
                    raise
                self.request(method, path, body, everything)
                return self._read(limit)
        except BaseException:
            self.close()  # what is still to come would be taken for the next answer
            raise

    def _read(self, limit: int) -> HttpAnswer:
        response = self.getresponse()
        body = response.read(limit + 1)
        if len(body) > limit:
            raise http.client.HTTPException(f"the answer has more than {limit} bytes")
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        response.close()
        return HttpAnswer(response.status, response.headers, body)
