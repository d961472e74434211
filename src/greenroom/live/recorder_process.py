"""The recorder's process: it has no socket, reads the ring, and keeps a show or take second by second.

It outlives whoever supervises the show: when that is gone, it records what the watchdog still performs,
and publishes the show. If it is lost itself, another one goes on where the journal ends, for the ring
holds a minute.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from greenroom.contracts import ModelShape
from greenroom.errors import GreenroomError
from greenroom.live.ipc import MessageStream, send
from greenroom.live.journal import JournalHeader, RecordingJournal
from greenroom.live.recorder import Recorder
from greenroom.live.recovery import forget_ring, publish_recorded, recover_recording
from greenroom.live.ring import Ring
from greenroom.manifests import Shape
from greenroom.store import open_store
from greenroom.store.attribution import Attribution

_POLL_S = 0.02
_LONGEST_S = 1.2
"""After which frames are kept although they are less than a segment."""
QUIET_S = 1.0
"""Without a frame, after which a show that nobody supervises is over."""


class _Recording:
    """What one recorder's process does."""

    def __init__(self, order: dict[str, Any], warn: Callable[[str], None]) -> None:
        self.workspace = open_store(order["store"])
        self.order, self.warn = order, warn
        shape = ModelShape.load(msgspec.convert(order["room"], Shape))
        self.ring = Ring(Path(order["ring"]), shape)
        self.journal = RecordingJournal(Path(order["journal"]))
        self.journal.open()
        try:
            self.journal.reserve(order["reserve"])
        except GreenroomError:
            self.journal.remove()
            raise
        self.recorder = Recorder(self.workspace, warn, self.journal)
        self._at = self.recorder.resume()
        self._kept_s = self._heard_s = time.monotonic()
        self._undescribed: JournalHeader | None = None

    def look(self) -> bool:
        """Take the frames that came; tell whether there were any."""
        now = time.monotonic()
        rows, self._at, lost = self.ring.read(self._at)
        self.recorder.lost += lost
        if lost:
            self.warn(f"{lost} frames were performed and not recorded: the recorder stood still")
        for row in rows:
            self.recorder.take(row)
        if rows:
            self._heard_s = now
        if now - self._kept_s > _LONGEST_S:
            self.recorder.keep()
            self._note()
        if not self.recorder.pending:
            self._kept_s = now
        return bool(rows)

    def is_quiet(self) -> bool:
        """Tell whether no frame has come for a while."""
        return time.monotonic() - self._heard_s > QUIET_S

    def describe(self, record: dict[str, Any]) -> None:
        """Note what is recorded: a show's manifest, or whose a take is."""
        self._undescribed = JournalHeader(
            show=record.get("show"),
            take=msgspec.convert(record.get("take"), Attribution | None),
            by=self.order["by"],
            ring=self.order["ring"],
            room=self.order["room"],
            pid=self.order["pid"],
        )
        self._note()

    def _note(self) -> None:
        """Write what is recorded; where that fails, warn, and try again later."""
        try:
            self._describe()
        except (GreenroomError, OSError) as error:  # the show goes on
            self.warn(f"what is recorded is not being noted: {error}")

    def _describe(self) -> None:
        if self._undescribed is not None:
            self.journal.describe(self._undescribed)
            self._undescribed = None

    def finish(self, ticks: int | None) -> dict[str, Any]:
        """Publish what the header names; return its hash and what was counted."""
        self._describe()
        if ticks is not None:
            self.recorder.end_at(ticks)
        header = self.journal.header()
        assert header is not None
        name = publish_recorded(self.workspace, self.journal, self.recorder, header)
        return {"name": name, "totals": self.recorder.totals()}


def main() -> int:
    """Read the order, record until told to finish, or until nobody supervises and nobody performs."""
    lines = MessageStream(sys.stdin.fileno())
    order = lines.wait()

    def warn(what: str) -> None:
        with suppress(OSError):
            send(sys.stdout.buffer, {"warning": what})

    try:
        recording = _Recording(order, warn)
    except GreenroomError as error:
        send(sys.stdout.buffer, {"refused": [error.what, error.where, error.then]})
        return 1
    except OSError as error:  # the ring is gone, or the journal
        what = f"the recorder cannot start: {error.strerror or error}"
        send(sys.stdout.buffer, {"refused": [what, str(error.filename or ""), ""]})
        return 1
    send(sys.stdout.buffer, {"ready": True})
    finish: dict[str, Any] | None = None
    while True:
        for message in lines.read():
            if "record" in message:
                recording.describe(message["record"])
            finish = message if "finish" in message else finish
        heard = recording.look()
        if finish is not None and not heard:
            try:
                send(sys.stdout.buffer, recording.finish(finish["finish"]))
            except (GreenroomError, OSError) as error:
                send(sys.stdout.buffer, {"failed": str(error)})
            return 0
        if finish is None and lines.closed and recording.is_quiet():
            return _end_alone(recording)
        time.sleep(_POLL_S)


def _end_alone(recording: _Recording) -> int:
    """Finish the show of a supervisor that is gone."""
    recover_recording(recording.workspace, recording.journal, recording.ring)
    forget_ring(recording.ring.path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
