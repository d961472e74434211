"""Leave a show's messages in a file, so that a page served by another process can show them too.

The file holds what a page is told except for frames, which pass through the ring: a line each, first one
about the show itself. It is there from the show's first frame on, and stays until the next show.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

_ENDING = ".messages"
_ELSEWHERE = ("frame", "swap")  # whoever reads the ring sees both


class ShowHead(msgspec.Struct, frozen=True):
    """What a page's server has to know of a show beside its messages.

    Attributes:
        show: what tells this show from another.
        pid: of the process that performs.
        clips: (first tick, name, whether a repeat) of what plays.
        avatar: VRM file of the show; None for the mannequin.
    """

    show: str
    pid: int
    clips: tuple[tuple[int, str, bool], ...]
    avatar: str | None = None


def message_path(home: Path, actor: str) -> Path:
    """Return where an actor's show leaves its messages."""
    return home / "on-air" / f"{actor}{_ENDING}"


def actors_with_messages(home: Path) -> list[str]:
    """Return the actors of whom a show has left messages."""
    return sorted(path.name.removesuffix(_ENDING) for path in (home / "on-air").glob(f"*{_ENDING}"))


class MessageFile:
    """Writes the messages of one show.

    Args:
        path: its file.
        head: about the show.
    """

    def __init__(self, path: Path, head: ShowHead) -> None:
        """Write nothing yet: another show may be on, and its messages are there."""
        self.path, self.head = path, head
        self._lines: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    def __call__(self, kind: str, message: bytes) -> None:
        """Write a message, or keep it until :meth:`begin`; a full disk does not end a show."""
        if kind in _ELSEWHERE:
            return
        with self._lock:
            self._lines.append(message)
            if self._file is not None:
                self._write()

    def name_avatar(self, path: Path) -> None:
        """Say which VRM file the show's page shows, before the show begins."""
        self.head = msgspec.structs.replace(self.head, avatar=str(path.resolve()))

    def begin(self) -> None:
        """Take the place of the last show's messages; the stage is this show's by now."""
        with self._lock, suppress(OSError):
            if self._file is not None:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_suffix(f".{os.getpid()}")
            self._file = open(new, "wb", buffering=0)
            self._lines.insert(0, msgspec.json.encode(self.head))
            self._write()
            os.replace(new, self.path)

    def __enter__(self) -> MessageFile:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self) -> None:
        assert self._file is not None
        with suppress(OSError):
            self._file.write(b"".join(line + b"\n" for line in self._lines))
        self._lines = []


@dataclass(frozen=True)
class MessageBatch:
    """What a reader finds.

    Attributes:
        head: of the show, where a new one has taken the file's place; else None.
        lines: messages, oldest first.
    """

    head: ShowHead | None
    lines: list[bytes]


class MessageReader:
    """Reads the messages of an actor's shows as they come.

    Args:
        path: their file.
    """

    def __init__(self, path: Path) -> None:
        """Start at the beginning of whatever is there."""
        self.path = path
        self._inode, self._offset = -1, 0

    def read(self) -> MessageBatch:
        """Return what is new; nothing where there is no file."""
        nothing = MessageBatch(None, [])
        try:
            status = self.path.stat()
            if (status.st_ino, status.st_size) == (self._inode, self._offset):
                return nothing
            with open(self.path, "rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                new = inode != self._inode
                file.seek(0 if new else self._offset)
                whole = file.read().rpartition(b"\n")[0]
                lines = whole.split(b"\n") if whole else []
                head = msgspec.json.decode(lines[0], type=ShowHead) if new and lines else None
        except (OSError, msgspec.DecodeError):  # gone meanwhile, or of another version
            return nothing
        if new and head is None:  # the first line is on its way
            return nothing
        self._inode = inode
        self._offset = (0 if new else self._offset) + (len(whole) + 1 if lines else 0)
        return MessageBatch(head, lines[1:] if new else lines)
