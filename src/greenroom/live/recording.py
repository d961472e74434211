"""Keep a recorder's process at work, and start another one where it is lost."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from greenroom.errors import GreenroomError
from greenroom.live.ipc import send
from greenroom.live.journal import FOLDER, RecordingJournal, Totals
from greenroom.live.processes import end_process, start_process
from greenroom.live.ring import Ring
from greenroom.manifests import Show
from greenroom.manifests.codec import to_json
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

_FINISH_S = 120.0
"""In which a recorder has to publish a show."""
_MOST_STARTS = 5
"""Of recorders in a row that end without a message: a restart does not mend what is wrong then."""


class RecorderHandle:
    """The recorder's process of one show or take.

    Args:
        workspace: where it goes.
        ring: its frames.
        by: who records it, for the log.
        warn: called with what went wrong.
        reserve: bytes of disk that the rest will need; 0 where its length is not known.
    """

    def __init__(
        self,
        workspace: Workspace,
        ring: Ring,
        by: str,
        warn: Callable[[str], None],
        reserve: int = 0,
    ) -> None:
        """Start the process; it reads from the ring's first frame.

        Raises:
            GreenroomError: nothing can be written there.
        """
        self.warn, self._ring = warn, ring
        self.journal = RecordingJournal(workspace.home / FOLDER / uuid.uuid4().hex)
        try:
            self.journal.supervise()
        except GreenroomError:
            ring.close()
            raise
        self._order = {
            "store": str(workspace.home),
            "journal": str(self.journal.folder),
            "ring": str(ring.path),
            "room": ring.shape.manifest(),
            "by": by,
            "pid": os.getpid(),
            "reserve": reserve,
        }
        self._record: dict[str, Any] | None = None
        self._starts = 0
        self._start()

    def _start(self) -> None:
        self._starts += 1
        self._process, self._lines = start_process("recorder_process", self._order)
        if self._record is not None:
            send(self._process.stdin, {"record": self._record})

    def describe(self, what: Show | Attribution) -> None:
        """Tell the recorder what the show is, as far as it is known, or whose a take is."""
        record = {"show": to_json(what)} if isinstance(what, Show) else {"take": what}
        self._record = msgspec.to_builtins(record)
        send(self._process.stdin, {"record": self._record})

    def wait_ready(self) -> None:
        """Wait until the disk is reserved.

        Raises:
            GreenroomError: there is too little of it, or the recorder does not start.
        """
        message = self._lines.wait(_FINISH_S)
        if "refused" in message:
            what, where, then = message["refused"]
            raise GreenroomError(what, where=where, then=then)

    def check(self) -> None:
        """Replace a recorder that is gone; the ring holds a minute of frames for the next one."""
        for message in self._lines.read():
            if "refused" in message:
                self.warn(f"the recorder cannot go on: {message['refused'][0]}")
                continue
            self._starts = 0
            if "warning" in message:
                self.warn(message["warning"])
        status = self._process.poll()
        if status is not None and self._starts < _MOST_STARTS:
            self.warn(f"the recorder ended with status {status}; another goes on where it was")
            end_process(self._process)
            self._start()
            if self._starts == _MOST_STARTS:
                self.warn("the recorder cannot stay up; this goes on, and may not be kept")

    def finish(self, what: Show | Attribution, ticks: int | None) -> tuple[str, Totals]:
        """Return the hash of the published show or take, and what was counted.

        Args:
            what: the show's manifest, but for what is counted, or whose the take is.
            ticks: its length, so that ticks without a frame up to there are missed; None for a show
                that was ended early.

        Raises:
            GreenroomError: it cannot be published; what was recorded stays, for `show recover`.
        """
        self.describe(what)
        failure = "the recorder ended"
        for _ in range(_MOST_STARTS):
            send(self._process.stdin, {"finish": ticks})
            try:
                message = self._lines.wait(_FINISH_S)
                while "name" not in message and "failed" not in message:
                    if "warning" in message:
                        self.warn(message["warning"])
                    message = self._lines.wait(_FINISH_S)
            except GreenroomError as error:  # it was lost
                failure = error.what
            else:
                if "name" in message:
                    self.close()
                    return message["name"], msgspec.convert(message["totals"], Totals)
                failure = message["failed"]
                break
            end_process(self._process)
            self._start()
        self.close()
        raise GreenroomError(
            f"what was recorded could not be published yet: {failure}",
            then="make room on the disk, then: greenroom show recover",
        )

    def abandon(self) -> None:
        """Let the recorder finish by itself, as after a crash; what was not begun leaves nothing."""
        if self._record is None:
            self.close()
            self.journal.remove()
            self._ring.close()
            return
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self.journal.release()

    def close(self) -> None:
        """End the process; what it has written stays."""
        end_process(self._process)
        self.journal.release()
