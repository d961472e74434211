"""Keep a recorder's process at work for a show, and start another one where it is lost."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress

import msgspec

from greenroom.errors import GreenroomError
from greenroom.live.ipc import send
from greenroom.live.journal import FOLDER, Totals
from greenroom.live.processes import end_process, start_process
from greenroom.live.ring import Ring
from greenroom.manifests import Show
from greenroom.manifests.codec import to_json
from greenroom.store.workspace import Workspace

_FINISH_S = 120.0
"""In which a recorder has to publish a show."""
_MOST_STARTS = 5
"""Of recorders in a row that end without a message: a restart does not mend what is wrong then."""


class ShowRecording:
    """The recorder's process of one show.

    Args:
        workspace: where the show goes.
        ring: its frames.
        by: who performs it, for the log.
        warn: called with what went wrong.
    """

    def __init__(
        self, workspace: Workspace, ring: Ring, by: str, warn: Callable[[str], None]
    ) -> None:
        """Start the process; it reads from the ring's first frame."""
        self.warn = warn
        journal = workspace.home / FOLDER / f"show-{uuid.uuid4().hex}"
        self._order = {
            "store": str(workspace.home),
            "journal": str(journal),
            "ring": str(ring.path),
            "room": ring.shape.manifest(),
            "by": by,
            "pid": os.getpid(),
        }
        self._show: Show | None = None
        self._starts = 0
        self._start()

    def _start(self) -> None:
        self._starts += 1
        self._process, self._lines = start_process("recorder_process", self._order)
        if self._show is not None:
            send(self._process.stdin, {"show": to_json(self._show)})

    def describe(self, show: Show) -> None:
        """Tell the recorder what the show is, as far as it is known."""
        self._show = show
        send(self._process.stdin, {"show": to_json(show)})

    def check(self) -> None:
        """Replace a recorder that is gone; the ring holds a minute of frames for the next one."""
        for message in self._lines.read():
            self._starts = 0
            self.warn(message.get("warning", message.get("failed", "")))
        status = self._process.poll()
        if status is not None and self._starts < _MOST_STARTS:
            self.warn(f"the recorder ended with status {status}; another goes on where it was")
            end_process(self._process)
            self._start()
            if self._starts == _MOST_STARTS:
                self.warn("the recorder cannot stay up; the show goes on, and may not be kept")

    def finish(self, show: Show, ticks: int | None) -> tuple[str, Totals]:
        """Return the published show's hash, and what was recorded.

        Args:
            show: its manifest, but for what is counted.
            ticks: its length, so that ticks without a frame up to there are missed; None for a show
                that was ended early.

        Raises:
            GreenroomError: it cannot be published; what was recorded stays, for `show recover`.
        """
        self.describe(show)
        failure = "the recorder ended"
        for _ in range(_MOST_STARTS):
            send(self._process.stdin, {"finish": ticks})
            try:
                message = self._lines.wait(_FINISH_S)
                while "warning" in message:
                    self.warn(message["warning"])
                    message = self._lines.wait(_FINISH_S)
            except GreenroomError as error:  # it was lost
                failure = error.what
            else:
                if "show" in message:
                    self.close()
                    return message["show"], msgspec.convert(message["totals"], Totals)
                failure = message["failed"]
                break
            end_process(self._process)
            self._start()
        self.close()
        raise GreenroomError(
            f"the show could not be kept yet: {failure}",
            then="make room on the disk, then: greenroom show recover",
        )

    def abandon(self) -> None:
        """Let the recorder finish the show by itself, as after a crash."""
        if self._show is None:
            self.close()
            return
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def close(self) -> None:
        """End the process; what it has written stays."""
        end_process(self._process)
