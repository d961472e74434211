"""A disk that fails when it is told to: full, cut off in the middle of a line, or with the machine.

It comes between the store and the operating system while a simulation runs; the store is as shipped.
What it cannot show is a rename that the disk forgot: files that were renamed stay so.
"""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from greenroom.store import log, objects


class Crash(BaseException):
    """The machine went off: nothing that was in memory is left."""


class Disk:
    """What the store finds where it looks for `os` and `open`.

    Attributes:
        full: whether there is no room.
        left: operations until the machine goes off; -1 for never.
        torn: whether the last write before that is cut in half, or not begun.
        crashes: how often it went off.
    """

    def __init__(self) -> None:
        """All is well."""
        self.full, self.left, self.torn, self.crashes = False, -1, False, 0

    def __getattr__(self, name: str) -> Any:
        """Return what the operating system has, for all that is not here."""
        return getattr(os, name)

    def _step(self) -> bool:
        """Count an operation; tell whether the machine goes off in it."""
        if self.left > 0:
            self.left -= 1
        return self.left == 0

    def off(self) -> None:
        """Let the machine go off."""
        self.left = -1
        self.crashes += 1
        raise Crash

    def fsync(self, handle: int) -> None:
        """Be durable at once: no power fails here but between operations."""
        if self._step():
            self.off()

    def replace(self, old: Any, new: Any) -> None:
        """Rename a file."""
        if self._step():
            self.off()
        os.replace(old, new)

    def fdopen(self, handle: int, mode: str) -> Any:
        """Return a file that this disk writes."""
        return _File(self, os.fdopen(handle, mode))

    def open_file(self, path: Any, mode: str = "r") -> Any:
        """Return a file that this disk writes; locks are opened to append, and hold nothing."""
        file = builtins.open(path, mode)
        return file if mode in ("a", "rb") else _File(self, file)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Be the disk of the store's log and objects."""
        modules: tuple[Any, ...] = (log, objects)
        for module in modules:
            module.os = self
        log.open = self.open_file  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module in modules:
                module.os = os
            del log.open  # type: ignore[attr-defined]


class _File:
    def __init__(self, disk: Disk, file: Any) -> None:
        self.disk, self.file = disk, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *failed: Any) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        if self.disk.full:
            self.file.write(data[: len(data) // 3])  # there was a little room left
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.disk._step():
            if self.disk.torn:
                self.file.write(data[: len(data) // 2])
                self.file.flush()
            self.disk.off()
        return int(self.file.write(data))
