"""Talk between the processes of a show: a JSON object a line over a pipe, read without blocking."""

from __future__ import annotations

import os
import select
from typing import IO, Any

import msgspec

from greenroom.errors import GreenroomError


class MessageStream:
    """Read from a pipe.

    Args:
        source: its file descriptor.

    Attributes:
        closed: whether the other side has closed it.
    """

    def __init__(self, source: int) -> None:
        """Begin to read."""
        self.source, self.closed = source, False
        self._data, self._waiting = b"", list[dict[str, Any]]()
        os.set_blocking(source, False)

    def read(self) -> list[dict[str, Any]]:
        """Return what has come."""
        while not self.closed:
            try:
                data = os.read(self.source, 65536)
            except BlockingIOError:
                break
            self.closed = not data
            self._data += data
        *lines, self._data = self._data.split(b"\n")
        out = self._waiting + [msgspec.json.decode(line) for line in lines if line]
        self._waiting = []
        return out

    def wait(self, seconds: float | None = None) -> dict[str, Any]:
        """Return the next line, once it has come.

        Args:
            seconds: how long it may take; None for any time.

        Raises:
            GreenroomError: the other side closed the pipe first, or said nothing in time.
        """
        while not (lines := self.read()):
            if self.closed:
                raise GreenroomError("the other process of the show ended")
            ready, _, _ = select.select([self.source], [], [], seconds)
            if not ready:
                raise GreenroomError(f"the other process of the show said nothing for {seconds} s")
        first, *self._waiting = lines
        return first


def send(pipe: IO[bytes] | None, message: dict[str, Any]) -> None:
    """Write one line; a process that is gone hears nothing."""
    assert pipe is not None
    try:
        pipe.write(msgspec.json.encode(message) + b"\n")
        pipe.flush()
    except (BrokenPipeError, ValueError):
        pass
