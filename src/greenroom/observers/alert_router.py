"""Tell everybody who should know what is seen of a show: the log, Prometheus, the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from greenroom.contracts import Alert
from greenroom.errors import GreenroomError
from greenroom.monitoring.alerts import AlertOrigin, alert_sentence, record_alert
from greenroom.monitoring.exporter import Metrics
from greenroom.observers.hub import Hub
from greenroom.observers.page import swap_message
from greenroom.registry.release import Release
from greenroom.store.workspace import Workspace


class AlertRouter:
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
            self.hub.publish("swap", swap_message(release, tick))
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
                record_alert(
                    log,
                    alert,
                    AlertOrigin(actor, key=key, source="chart", release=release),
                    by=self.by,
                )
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
            text=alert_sentence(alert),
            active=begins,
        )

    def _publish(self, kind: str, **message: Any) -> None:
        self.hub.publish(kind, msgspec.json.encode({"type": kind, **message}))
