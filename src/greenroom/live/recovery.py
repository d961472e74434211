"""Finish what was recorded where processes were killed, from its journal and from shared memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import Timeout

from greenroom.contracts import ModelShape
from greenroom.errors import GreenroomError
from greenroom.live.journal import JournalHeader, RecordingJournal, journals, show_of
from greenroom.live.recorder import Recorder, read_segments
from greenroom.live.ring import RING_PREFIX, Ring, sweep_shared_memory
from greenroom.live.take_recording import NO_MODEL, store_recording
from greenroom.manifests import Shape
from greenroom.manifests.codec import to_json
from greenroom.platform import is_alive
from greenroom.store.workspace import Workspace

_PATIENCE_S = 6.0
"""In which a recorder that outlived its show is done: 3 s of easing to rest, and the last segment."""


@dataclass(frozen=True)
class Recovered:
    """A show or a take that was cut off, as it was kept.

    Attributes:
        kind: "show" or "take".
        name: its hash.
        actor: whose it is.
        frames: how many were kept.
    """

    kind: str
    name: str
    actor: str
    frames: int

    def json(self) -> dict[str, Any]:
        """Return it as scripts read it: its hash stands under its kind."""
        return {self.kind: self.name, "actor": self.actor, "frames": self.frames}


def publish_recorded(
    workspace: Workspace, journal: RecordingJournal, recorder: Recorder, header: JournalHeader
) -> str:
    """Publish a show or a take, and remove its journal.

    After a crash in between, the same is published once more, which adds nothing.

    Args:
        workspace: where it goes.
        journal: of the recording.
        recorder: which took its frames.
        header: of the journal.

    Returns:
        Its hash; "" for a take for which nothing arrived.

    Raises:
        GreenroomError: it cannot be written; journal and segments stay.
    """
    recorder.flush()
    journal.give_back()
    if header.take is not None:
        rows = read_segments(workspace, recorder.flush(), NO_MODEL)
        name = store_recording(workspace, rows, header.take, header.by)
    else:
        if not header.final:
            show = to_json(recorder.recorded(show_of(header)))
            header = msgspec.structs.replace(header, show=show, final=True)
            journal.describe(header)
        name = workspace.publish(show_of(header), by=header.by)
    journal.remove()
    return name


def recover_recordings(
    workspace: Workspace, warn: Callable[[str], None] = lambda what: None
) -> list[Recovered]:
    """Finish what was left by shows and recordings whose processes are gone; return what was kept.

    Where the process that supervised one is gone and its recorder is not yet, this waits for it.

    Args:
        workspace: where the journals are.
        warn: called for each that cannot be finished.
    """
    out = []
    for journal in journals(workspace.home):
        try:
            with suppress(Timeout):
                recovered = recover_recording(workspace, journal)
                out += [] if recovered is None else [recovered]
        except Exception as error:  # a damaged journal must not keep the next show from its stage
            where = "" if isinstance(error, GreenroomError) else f"{journal.folder}: "
            warn(f"what was cut off cannot be finished: {where}{error}")
    return out


def clean_up(workspace: Workspace, warn: Callable[[str], None]) -> None:
    """Finish what was cut off, and free what it left in memory; say so.

    Args:
        workspace: where the journals are.
        warn: called with a line for each.
    """
    for kept in recover_recordings(workspace, warn):
        frames = f"its {kept.frames} frames are kept"
        warn(f"a {kept.kind} of {kept.actor} was cut off; {frames}: {kept.name}")
    for pid in sweep_shared_memory():
        warn(f"process {pid} was cut off; what it left in shared memory is freed")


def recover_recording(
    workspace: Workspace, journal: RecordingJournal, ring: Ring | None = None
) -> Recovered | None:
    """Finish one; return None where there was no frame, or somebody else has finished it.

    Args:
        workspace: where it goes.
        journal: of the recording.
        ring: its frames in memory; None to look whether they are still there.

    Raises:
        filelock.Timeout: somebody records or supervises it.
        GreenroomError: the journal cannot be read, or the result cannot be written; both stay.
    """
    if ring is None:  # while the recorder of a living show is replaced, the show is not over
        journal.supervision.acquire(timeout=0)
    try:
        return _finish(workspace, journal, ring)
    finally:
        journal.lock.release(force=True)
        journal.release()


def _finish(workspace: Workspace, journal: RecordingJournal, ring: Ring | None) -> Recovered | None:
    header = journal.header()
    ending = header is not None and not is_alive(header.pid)
    journal.lock.acquire(timeout=_PATIENCE_S if ending else 0)
    header = journal.header()  # whoever had the lock may have published it
    if header is None:
        journal.remove()
        return None
    recorder = Recorder(workspace, journal=journal)
    at = recorder.resume()
    if not header.final:
        if header.show is not None:
            header = msgspec.structs.replace(header, show=header.show | {"recovered": True})
        with suppress(OSError, ValueError):  # the memory is gone
            rows, _, lost = (ring or _open_ring(header)).read(at)
            recorder.lost += lost
            for row in rows:
                recorder.take(row)
    kept = None
    if header.final or recorder.frames:
        name = publish_recorded(workspace, journal, recorder, header)
        kind, actor = _what(header)
        kept = Recovered(kind, name, actor, recorder.frames) if name else None
    else:
        journal.remove()
    if _names_ring(header):  # whatever else a damaged journal names, stays
        forget_ring(Path(header.ring))
    return kept


def _what(header: JournalHeader) -> tuple[str, str]:
    """Return what is recorded, "show" or "take", and for which actor."""
    if header.take is not None:
        return "take", header.take.actor
    return "show", show_of(header).actor


def is_cut_off(journal: RecordingJournal) -> bool:
    """Tell whether the process that supervised a recording is gone, and it is not finished."""
    try:
        header = journal.header()
    except GreenroomError:  # whoever recovers it says why
        return True
    if header is None:
        return False
    try:
        journal.supervision.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    journal.release()
    return True


def _names_ring(header: JournalHeader) -> bool:
    """Tell whether a journal names a ring, and not, being damaged, somebody's file."""
    return Path(header.ring).name.startswith(RING_PREFIX)


def _open_ring(header: JournalHeader) -> Ring:
    if not _names_ring(header):
        raise FileNotFoundError(header.ring)
    return Ring(Path(header.ring), ModelShape.load(msgspec.convert(header.room, Shape)))


def forget_ring(ring: Path) -> None:
    """Remove what a show has left in shared memory."""
    for path in (ring, ring.with_suffix(".conditioning")):
        with suppress(OSError):
            path.unlink()
