"""Keep track of a show or take that is being recorded, in files that survive the death of every process.

A folder under HOME/recording: `record.json` says what it is, and each line of `segments.jsonl` names
one segment that is in the object store, with the totals up to it. A line is written after its segment,
so that what the journal names is there. A last line that was cut off in the middle is ignored.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from greenroom.errors import GreenroomError
from greenroom.manifests import Show
from greenroom.manifests.codec import from_json
from greenroom.store.attribution import Attribution
from greenroom.store.objects import write_durably

FOLDER = "recording"
"""Under a workspace's home."""
RESERVE = "reserved"
"""File that holds the disk which the rest of the show will need."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded up to a frame.

    Attributes:
        frames: recorded.
        late: of them, emitted too late.
        missed: ticks without a frame.
        lost: frames that were overwritten before they were recorded.
        rungs: frames by source.
        digest: chained hash of the frames, hex.
        next_tick: one past the last frame's tick.
        next_number: the ring's number of the next frame.
    """

    frames: int
    late: int
    missed: int
    lost: int
    rungs: dict[str, int]
    digest: str
    next_tick: int
    next_number: int


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's hash, and the totals up to its end."""

    segment: str
    totals: Totals


class JournalHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded, as far as it is known.

    Attributes:
        show: a show's manifest as JSON; what the recorder counts is 0 until the show is `final`.
        take: whose a take is; None for a show.
        by: who records it, for the log.
        ring: path of the shared memory through which frames pass.
        room: shape of the model that opened the show, which lays out the ring.
        pid: of the process that supervises it.
        final: whether the show's manifest only waits to be published.
    """

    show: dict[str, Any] | None = None
    take: Attribution | None = None
    by: str
    ring: str
    room: dict[str, Any]
    pid: int
    final: bool = False


class RecordingJournal:
    """The journal in one folder.

    Args:
        folder: made by the first `describe`.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self.folder = folder
        self.lock = FileLock(folder / "lock")
        """Held by the process that records."""

    def open(self) -> None:
        """Make the folder, and lock it.

        Raises:
            filelock.Timeout: somebody else has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock.acquire(timeout=0)

    def describe(self, header: JournalHeader) -> None:
        """Write what is recorded; whoever reads sees the old text or the new one."""
        write_durably(self.folder / "record.json", msgspec.json.encode(header))

    def header(self) -> JournalHeader | None:
        """Return what is recorded; None where nothing was written.

        Raises:
            GreenroomError: it cannot be read.
        """
        path = self.folder / "record.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=JournalHeader)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise GreenroomError(
                f"the journal of a recording cannot be read: {error}",
                where=str(path),
                then="move its folder away to go on without that recording",
            ) from error

    def reserve(self, size: int) -> None:
        """Take so many bytes of disk, which `append` gives back bit by bit; twice is once.

        Raises:
            GreenroomError: there is less.
        """
        path = self.folder / RESERVE
        if path.exists() or not size:
            return
        free = shutil.disk_usage(self.folder).free
        try:
            if free < size:
                raise OSError(errno.ENOSPC, f"{free / 1e9:.1f} GB are free")
            with path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise GreenroomError(
                f"recording this needs {size / 1e9:.1f} GB of disk: {error.strerror}",
                where=str(self.folder.parent),
                then="free some, give fewer --seconds, or use --home on a larger disk",
            ) from error

    def append(self, line: JournalLine, size: int = 0) -> None:
        """Add a segment, durably, and give back what was reserved for it.

        Args:
            line: the segment and the totals.
            size: bytes of the segment.
        """
        with suppress(OSError):
            path = self.folder / RESERVE
            os.truncate(path, max(0, path.stat().st_size - size))
        with (self.folder / "segments.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[JournalLine]:
        """Return the segments so far."""
        path = self.folder / "segments.jsonl"
        if not path.exists():
            return []
        *whole, _ = path.read_bytes().split(b"\n")
        out = []
        for text in whole:
            try:
                out.append(msgspec.json.decode(text, type=JournalLine))
            except msgspec.DecodeError:  # cut off, and written after since
                continue
        return out

    def remove(self) -> None:
        """What it names is published: let go of the folder."""
        self.lock.release(force=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def show_of(header: JournalHeader) -> Show:
    """Return the manifest of a show's header.

    Raises:
        GreenroomError: it is of something else.
    """
    show = from_json(header.show or {})
    if not isinstance(show, Show):
        raise GreenroomError("the journal of a show names something else")
    return show


def journals(home: Path) -> list[RecordingJournal]:
    """Return every journal of a workspace, oldest first."""
    folders = [path for path in (home / FOLDER).glob("*") if path.is_dir()]
    return [
        RecordingJournal(path) for path in sorted(folders, key=lambda path: path.stat().st_mtime)
    ]
