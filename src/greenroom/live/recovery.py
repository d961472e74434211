"""Finish the record of a show whose processes were killed, from its journal and from shared memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import Timeout

from greenroom.contracts import ModelShape
from greenroom.errors import GreenroomError
from greenroom.live.journal import JournalHeader, ShowJournal, journals, show_of
from greenroom.live.recorder import Recorder
from greenroom.live.ring import Ring
from greenroom.manifests import Shape
from greenroom.manifests.codec import to_json
from greenroom.store.workspace import Workspace

_PATIENCE_S = 6.0
"""In which a recorder that outlived its show is done: 3 s of easing to rest, and the last segment."""


@dataclass(frozen=True)
class RecoveredShow:
    """A show that was cut off, as it was kept.

    Attributes:
        show: its hash.
        actor: who performed.
        frames: how many were kept.
    """

    show: str
    actor: str
    frames: int


def publish_recorded(
    workspace: Workspace, journal: ShowJournal, recorder: Recorder, header: JournalHeader
) -> str:
    """Publish a show and remove its journal; after a crash in between, the same show is published.

    Args:
        workspace: where it goes.
        journal: of the show.
        recorder: which took its frames.
        header: of the journal.

    Raises:
        GreenroomError: it cannot be written; journal and segments stay.
    """
    if not header.final:
        show = to_json(recorder.recorded(show_of(header)))
        header = msgspec.structs.replace(header, show=show, final=True)
        journal.describe(header)
    name = workspace.publish(show_of(header), by=header.by)
    journal.remove()
    return name


def recover_shows(
    workspace: Workspace, warn: Callable[[str], None] = lambda what: None
) -> list[RecoveredShow]:
    """Finish what was left by shows whose processes are all gone; return what was kept.

    Where the process that supervised a show is gone and its recorder is not yet, this waits for it.

    Args:
        workspace: where the journals are.
        warn: called for each show that cannot be finished.
    """
    out = []
    for journal in journals(workspace.home):
        try:
            with suppress(Timeout):
                recovered = recover_show(workspace, journal)
                out += [] if recovered is None else [recovered]
        except (GreenroomError, OSError) as error:
            warn(f"a show that was cut off cannot be finished: {error}")
    return out


def recover_show(
    workspace: Workspace, journal: ShowJournal, ring: Ring | None = None
) -> RecoveredShow | None:
    """Finish one show; return None where nothing was performed, or somebody else has finished it.

    Args:
        workspace: where it goes.
        journal: of the show.
        ring: its frames in memory; None to look whether they are still there.

    Raises:
        filelock.Timeout: somebody records it.
        GreenroomError: the journal cannot be read, or the show cannot be written; both stay.
    """
    header = journal.header()
    ending = header is not None and not _is_alive(header.pid)
    journal.lock.acquire(timeout=_PATIENCE_S if ending else 0)
    header = journal.header()  # whoever had the lock may have published it
    if header is None:
        journal.remove()
        return None
    recorder = Recorder(workspace, journal=journal)
    at = recorder.resume()
    if not header.final:
        header = msgspec.structs.replace(header, show=header.show | {"recovered": True})
        with suppress(OSError, ValueError):  # the memory is gone
            rows, _, recorder.lost = (ring or _open_ring(header)).read(at)
            for row in rows:
                recorder.take(row)
    show, kept = show_of(header), None
    if header.final or recorder.frames:
        name = publish_recorded(workspace, journal, recorder, header)
        kept = RecoveredShow(name, show.actor, recorder.frames)
    else:
        journal.remove()
    forget_ring(Path(header.ring))
    return kept


def is_cut_off(journal: ShowJournal) -> bool:
    """Tell whether the process that supervised a show is gone, and its record is not finished."""
    try:
        header = journal.header()
    except GreenroomError:  # whoever recovers it says why
        return True
    return header is not None and not _is_alive(header.pid)


def _open_ring(header: JournalHeader) -> Ring:
    return Ring(Path(header.ring), ModelShape.load(msgspec.convert(header.room, Shape)))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def forget_ring(ring: Path) -> None:
    """Remove what a show has left in shared memory."""
    for path in (ring, ring.with_suffix(".conditioning")):
        with suppress(OSError):
            path.unlink()
