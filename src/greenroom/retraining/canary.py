"""Watch a release on trial in the show that is on, and say whether it has to leave."""

from __future__ import annotations

import time
from collections.abc import Callable

from greenroom.clock import TICK_HZ
from greenroom.contracts import Alert, get_tensors
from greenroom.errors import GreenroomError
from greenroom.live.ring import rung_of
from greenroom.live.show_notice import ShowView, find_show
from greenroom.monitoring.alerts import alerts_in
from greenroom.observers.model_health import ModelHealth, TickHealth
from greenroom.registry.release import load_release
from greenroom.retraining.guard import BACK, KEEP, LEAST, Guard
from greenroom.store.workspace import Workspace

BEFORE_S = 20
"""Seconds before the swap that tell what is normal."""
COMES_S = 120.0
"""In which a release has to come on stage."""
_SILENT_S = 10.0
_ON_ITS_FEET = ("capture", "speech", "idle", "free")


class CanaryInterrupted(GreenroomError):
    """The show ended before a trial was over: nothing is known for or against the release."""


def watch_canary(
    workspace: Workspace, actor: str, release: str, seconds: float, begin: Callable[[], None]
) -> str | None:
    """Bring a release on stage and watch it; return why it has to leave, or "" where it may stay.

    None where no show is on: then it is not brought on stage.

    Args:
        workspace: whose show is watched.
        actor: who performs.
        release: the hash of what is on trial.
        seconds: of the trial.
        begin: moves the ref, once enough was seen of what was there before.

    Raises:
        CutShort: the show ended meanwhile.
    """
    on = find_show(workspace.home, actor)
    if on is None:
        return None
    watched = _Watched(workspace, actor, release, seconds, on=on)
    return watched.run(begin)


class _Watched:
    def __init__(
        self, workspace: Workspace, actor: str, release: str, seconds: float, on: ShowView
    ) -> None:
        self.workspace, self.actor, self.release, self.on = workspace, actor, release, on
        self.guard = Guard(max(TICK_HZ, round(seconds * TICK_HZ)))
        self.position = max(0, on.ring.end() - BEFORE_S * TICK_HZ)
        self.started_s = 0.0
        self.on_stage = False
        self._entries = len(workspace.log.entries())
        self.sights: dict[str, ModelHealth] = {}
        self.frames = 0

    def run(self, begin: Callable[[], None]) -> str:
        last = time.monotonic()
        while True:
            rows, self.position, _ = self.on.ring.read(self.position)
            for row in rows:
                reason = self._frame(row)
                if reason is not None:
                    return reason
            now = time.monotonic()
            if rows:
                last = now
            elif now > last + _SILENT_S:
                raise CanaryInterrupted("the show ended before the trial was over")
            if not self.started_s and self.frames > (LEAST + 1) * TICK_HZ:
                self.started_s = now
                begin()
            if self.started_s and not self.on_stage and now > self.started_s + COMES_S:
                return "it did not come on stage"
            time.sleep(0.1)

    def _frame(self, row: object) -> str | None:
        """See a frame; return the verdict once there is one."""
        name = self._performs(row)
        if name == self.release and not self.started_s:
            return None  # the end of a trial that a crash cut off
        if name == self.release and not self.on_stage:
            self.on_stage = True
            self.guard.swap()
        if self.on_stage and name != self.release:
            return "it left the stage: its engine was lost, or somebody went back"
        alerts = self._new_alerts() if self.frames % TICK_HZ == 0 else []
        self.guard.update(self._figures(row, name), alerts)
        self.frames += 1
        verdict = self.guard.verdict
        if self.on_stage and verdict.decision == BACK:
            return verdict.reason
        return "" if verdict.decision == KEEP else None

    def _performs(self, row: object) -> str:
        index = int(row["release"])  # type: ignore[index]  # a record of the ring
        if index >= len(self.on.releases):
            self.on = find_show(self.workspace.home, self.actor) or self.on
        return self.on.releases[index] if index < len(self.on.releases) else self.release

    def _figures(self, row: object, name: str) -> TickHealth:
        if name not in self.sights:
            self.sights[name] = ModelHealth(load_release(self.workspace, name).role.shape)
        sight = self.sights[name]
        outputs = get_tensors(row["outputs"], sight.shape.outputs())  # type: ignore[index]
        tick_health = sight.read(row, outputs)  # type: ignore[arg-type]
        fell_back = rung_of(row) not in _ON_ITS_FEET and bool(row["asked"])  # type: ignore[arg-type,index]
        return TickHealth(
            tick_health.confidence, tick_health.finite and not fell_back, tick_health.forecast_error
        )

    def _new_alerts(self) -> list[Alert]:
        """Return the charts' alerts that came since the last look, of this release."""
        entries = self.workspace.log.entries()
        new, self._entries = entries[self._entries :], len(entries)
        alerts = alerts_in(new, self.actor)
        return [entered.alert for entered in alerts if entered.release == self.release]
