"""Tell everybody who should know what is seen of a show: the log, Prometheus, the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from greenroom.contracts import Alert
from greenroom.errors import GreenroomError
from greenroom.monitoring.alerts import enter, sentence
from greenroom.monitoring.exporter import Metrics
from greenroom.registry.release import Release
from greenroom.retraining.requests import runs
from greenroom.stage.hub import Hub
from greenroom.store.workspace import Workspace

_EVERY = 15
"""Ticks from one look at the runs to the next."""


class Teller:
    """Pass on alerts and changes of release.

    Args:
        workspace: whose log alerts are entered in.
        hub: of the viewers.
        metrics: for Prometheus; None where nobody scrapes.
        show: what tells this show's alerts from another's.
        by: who enters them.
        warn: told what could not be entered.
    """

    def __init__(
        self,
        workspace: Workspace,
        hub: Hub,
        metrics: Metrics | None,
        show: str,
        by: str,
        warn: Callable[[str], None] = lambda what: None,
    ) -> None:
        """Keep them; nobody is on stage yet."""
        self.workspace, self.hub, self.metrics = workspace, hub, metrics
        self.show, self.by, self.warn = show, by, warn
        self.release: Release | None = None
        self.alerts: list[Alert] = []

    def staged(self, release: Release, tick: int) -> None:
        """A release comes on stage; the first one was in the greeting."""
        if self.release is not None:
            self._publish(
                "swap",
                tick=tick,
                release=release.name,
                joints=list(release.role.spec.joints),
                confidence_base=release.manifest["baselines"]["confidence_mean"],
                lookahead_ms=release.role.look_ahead_ms,
            )
        self.release = release

    def alert(self, alert: Alert, begins: bool) -> None:
        """An alert begins or has ended."""
        assert self.release is not None
        if begins:
            self.alerts.append(alert)
            key = f"{self.show}:{alert.tick}:{alert.signal}"
            actor, release = self.release.actor, self.release.name
            log = self.workspace.log
            try:
                enter(log, actor, alert, key=key, source="chart", by=self.by, release=release)
            except (GreenroomError, OSError) as error:  # a full disk: people are told all the same
                self.warn(f"an alert is not in the log: {error}")
        if self.metrics is not None:
            self.metrics.alert(alert, begins)
        self._publish(
            "alert",
            name=alert.signal,
            signal=alert.signal,
            cause=alert.cause,
            since_tick=alert.began if begins else alert.tick,
            text=sentence(alert),
            active=begins,
        )

    def _publish(self, kind: str, **message: Any) -> None:
        self.hub.publish(kind, msgspec.json.encode({"type": kind, **message}))


class Learning:
    """Observe a show, and tell the page how the learning loop gets on beside it.

    Args:
        workspace: whose runs.
        hub: of the viewers.
        actor: whose model learns.
        progress: a file in which whoever works says how far it is.
    """

    def __init__(self, workspace: Workspace, hub: Hub, actor: str, progress: Path) -> None:
        """Nothing is told yet."""
        self.workspace, self.hub, self.actor, self.progress = workspace, hub, actor, progress
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
        try:
            progress = json.loads(self.progress.read_bytes())
            name, _, step_name = str(progress["label"]).partition(" ")
            if name == run.name:
                step, done = step_name, min(1.0, progress["done"] / max(1, progress["total"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # nobody has said anything yet
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
