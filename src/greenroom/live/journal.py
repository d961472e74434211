"""Keep track of a show or take that is being recorded, in files that survive the death of every process.

A folder under HOME/recording: `record.json` says what it is, and each line of `segments.jsonl` names
one segment that is in the object store, with the totals up to it. A line is written after its segment,
so that what the journal names is there. Lines count up to the first that is damaged, such as one that
was cut off in the middle; the next one is written in its place.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from filelock import FileLock, Timeout

from greenroom.errors import GreenroomError
from greenroom.manifests import Show
from greenroom.manifests.base import Count, Hash, OptionalHash
from greenroom.manifests.codec import from_json
from greenroom.store.attribution import Attribution
from greenroom.store.objects import write_durably

FOLDER = "recording"
"""Under a workspace's home."""
RESERVE = "reserved"
"""File that holds the disk which the rest of the show will need."""
_RECORD, _SEGMENTS, _LOCK, _SUPERVISED = "record.json", "segments.jsonl", "lock", "supervised"
_BLOCK = 4096
_TRIES = 100
_TRY_S = 0.02


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded up to a frame.

    Attributes:
        frames: recorded.
        late: of them, emitted too late.
        missed: ticks without a frame.
        lost: frames that were overwritten before they were recorded.
        rungs: frames by source.
        digest: chained hash of the frames, hex; "" before the first.
        next_tick: one past the last frame's tick.
        next_number: the ring's number of the next frame.
    """

    frames: Count
    late: Count
    missed: Count
    lost: Count
    rungs: dict[str, Count]
    digest: OptionalHash
    next_tick: Count
    next_number: Count


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's hash, and the totals up to its end."""

    segment: Hash
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
    pid: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    final: bool = False


class RecordingJournal:
    """The journal in one folder.

    Args:
        folder: made by `open` or `supervise`.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self.folder = folder
        self.lock = FileLock(folder / _LOCK)
        """Held by the process that records."""
        self.supervision = FileLock(folder / _SUPERVISED)
        """Held by the process that supervises: while it lives, nobody else finishes the recording."""
        self._size: int | None = None  # bytes of the lines that are whole

    def open(self) -> None:
        """Make the folder, and lock it.

        Raises:
            filelock.Timeout: somebody else has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock.acquire(timeout=0)

    def supervise(self) -> None:
        """Make the folder, and hold it until `release`, also while one recorder replaces another.

        Raises:
            GreenroomError: it cannot be made.
        """
        for _ in range(_TRIES):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.supervision.acquire(timeout=0)
                if (self.folder / _SUPERVISED).exists():
                    return
                self.supervision.release(force=True)
            except (FileNotFoundError, Timeout):  # somebody tidies the empty folder away
                pass
            except OSError as error:
                raise _unwritable(self.folder, error) from error
            time.sleep(_TRY_S)
        raise GreenroomError("the folder of a recording is held", where=str(self.folder))

    def release(self) -> None:
        """Let others finish the recording."""
        with suppress(OSError):
            self.supervision.release(force=True)

    def describe(self, header: JournalHeader) -> None:
        """Write what is recorded; whoever reads sees the old text or the new one."""
        write_durably(self.folder / _RECORD, msgspec.json.encode(header))

    def header(self) -> JournalHeader | None:
        """Return what is recorded; None where nothing was written.

        Raises:
            GreenroomError: it cannot be read.
        """
        path = self.folder / _RECORD
        try:
            return msgspec.json.decode(path.read_bytes(), type=JournalHeader)
        except FileNotFoundError:
            if not self.lines():
                return None
            raise GreenroomError(
                "a recording has segments, and nothing says of what",
                where=str(self.folder),
                then="restore its record.json, or move its folder away to go on without it",
            ) from None
        except (OSError, msgspec.DecodeError) as error:
            raise GreenroomError(
                f"the journal of a recording cannot be read: {error}",
                where=str(path),
                then="move its folder away to go on without that recording",
            ) from error

    def reserve(self, size: int) -> None:
        """Take so many bytes of disk, which `give_back` frees bit by bit; twice is once.

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

    def give_back(self, size: int | None = None) -> None:
        """Free what was reserved: for so many bytes that are written next; None for all of it."""
        path = self.folder / RESERVE
        with suppress(OSError):
            if size is None:
                path.unlink()
            else:
                needed = -(-size // _BLOCK) * _BLOCK + 2 * _BLOCK  # its folder and its line, too
                os.truncate(path, max(0, path.stat().st_size - needed))

    def append(self, line: JournalLine) -> None:
        """Add a segment, durably.

        Raises:
            OSError: it could not be written, and is not there.
        """
        text = msgspec.json.encode(line) + b"\n"
        if self._size is None:
            self._size = self._read()[1]
        handle = os.open(self.folder / _SEGMENTS, os.O_WRONLY | os.O_CREAT, 0o644)
        with open(handle, "wb", buffering=0) as file:
            file.truncate(self._size)  # what was cut off, or could not be written whole
            file.seek(self._size)
            if file.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        self._size += len(text)

    def lines(self) -> list[JournalLine]:
        """Return the segments so far."""
        return self._read()[0]

    def _read(self) -> tuple[list[JournalLine], int]:
        """Return the lines before the first damaged one, and how many bytes they are."""
        path = self.folder / _SEGMENTS
        if not path.exists():
            return [], 0
        *texts, _ = path.read_bytes().split(b"\n")
        out, size = [], 0
        for text in texts:
            try:
                out.append(msgspec.json.decode(text, type=JournalLine))
            except msgspec.DecodeError:
                break
            size += len(text) + 1
        return out, size

    def remove(self) -> None:
        """What it names is published: let go of the folder."""
        self.lock.release(force=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def _unwritable(folder: Path, error: OSError) -> GreenroomError:
    return GreenroomError(
        f"a recording cannot be kept here: {error.strerror or error}",
        where=str(folder.parent),
        then="make it writable, or use --home on another disk",
    )


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
    """Return every journal of a workspace, oldest first; a folder of anything else is left alone."""
    found = []
    for path in (home / FOLDER).glob("*"):
        with suppress(OSError):  # whoever recorded it has just published it
            names = {entry.name for entry in path.iterdir()}
            if not names or names & {_RECORD, _SEGMENTS, _LOCK, _SUPERVISED}:
                found.append((path.stat().st_mtime, path))
    return [RecordingJournal(path) for _, path in sorted(found)]
