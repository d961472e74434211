"""Show the crew how the retraining beside a show gets on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from greenroom.observers.hub import Hub
from greenroom.retraining.requests import runs
from greenroom.services.jobs import Progress
from greenroom.store.workspace import Workspace

_EVERY = 15
"""Ticks from one look at the runs to the next."""


class RetrainingStatus:
    """Observe a show, and tell the page how the learning loop gets on beside it.

    Args:
        workspace: whose runs.
        hub: of the viewers.
        actor: whose model learns.
        folder: of the job that works, with its progress.
    """

    def __init__(self, workspace: Workspace, hub: Hub, actor: str, folder: Path) -> None:
        """Nothing is told yet."""
        self.workspace, self.hub, self.actor, self.folder = workspace, hub, actor, folder
        self._last_message: dict[str, Any] | None = None
        self._frames = 0

    def frame(self, row: Any, outputs: dict[str, Any]) -> None:
        """See one frame; look from time to time."""
        self._frames += 1
        if self._frames % _EVERY == 0:
            self.look()

    def look(self) -> None:
        """Tell what has changed."""
        actor_runs = runs(self.workspace.log, self.actor)
        if not actor_runs:
            return
        run = actor_runs[-1]
        step, done = "pull", None
        progress = Progress.read(self.folder)
        if progress is not None:
            name, _, step_name = progress.label.partition(" ")
            if name == run.name:
                step, done = step_name, progress.share
        state = {"": "running", "held": "rejected"}.get(run.outcome, run.outcome)
        text = (
            run.reason or "It learns from what is captured now, and is judged before it may go on."
        )
        message = {
            "run": run.name,
            "why": run.why,
            "step": step,
            "done": done,
            "state": state,
            "text": text,
        }
        if message != self._last_message:
            self._last_message = message
            self.hub.publish("run", msgspec.json.encode({"type": "run", **message}))
