"""Say which actor's model is to be trained again now, by its alerts and its schedule."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from greenroom.clock import NS_PER_S
from greenroom.errors import GreenroomError, Refused
from greenroom.live.show_notice import find_show
from greenroom.manifests import Model, ReleaseManifest
from greenroom.monitoring.alerts import LoggedAlert, alert_sentence, alerts_in
from greenroom.monitoring.detectors.prevalence import SPIKE
from greenroom.registry.auto_approval import IN_A_ROW, ONLINE
from greenroom.registry.policy import policy_of, policy_ref
from greenroom.registry.promote import live_ref
from greenroom.retraining.requests import (
    Rules,
    Run,
    RunCause,
    request_run,
    rules_of,
    runs,
    scheduled,
)
from greenroom.store.log import Entry
from greenroom.store.workspace import Workspace


def evaluate_triggers(workspace: Workspace, by: str) -> list[Run]:
    """Ask for what alerts and schedules call for and the rules allow; return the new runs."""
    prefix, suffix = live_ref("\0").split("\0")
    out = []
    for name in workspace.log.refs(prefix):
        if name.endswith(suffix):
            run = _attend(workspace, name.removeprefix(prefix).removesuffix(suffix), by)
            out += [] if run is None else [run]
    return out


def _attend(workspace: Workspace, actor: str, by: str) -> Run | None:
    # Where the rules are signed by nobody who counts, other actors' runs do not wait for them.
    with suppress(Refused):
        rules = rules_of(workspace, actor)
        for alert in pending_alerts(workspace, actor, rules):
            # A run goes on, or the rules allow none of its kind yet: it is asked for again later, and
            # what calls for the other kind does not wait for it.
            with suppress(Refused):
                why, job = alert_sentence(alert.alert), job_for_alert(workspace, alert)
                cause = RunCause("alert", alert.entry.index)
                return request_run(workspace, actor, why, by, cause=cause, job=job)
        if scheduled(rules, _since(workspace, actor), workspace.log.clock.utc_ns()):
            why = f"nightly, {rules.nightly} {rules.zone}"
            return request_run(workspace, actor, why, by, cause=RunCause("schedule"))
    return None


def pending_alerts(workspace: Workspace, actor: str, rules: Rules) -> list[LoggedAlert]:
    """Return the first alerts that no run has answered: for a training and for an online update.

    A run answers the alerts that were raised before it was asked for; those raised while it went on only
    if they repeat the one that asked: of the same cause, about the release that was on stage then. Once
    what it made came on stage, repeats about the release before, which a show may perform on, are
    answered too. An alert that names no release is about the one that was on stage.

    An online update answers spikes alone: what is new is to be learned thoroughly too.

    While a show is on, it waits until there is something to learn from: `Rules.gather_s`, and
    `Rules.spike_s` before an online update.
    """
    newest_runs = runs(workspace.log, actor)[::-1]
    past = _Past(workspace.log.entries(), actor)
    now = workspace.log.clock.utc_ns()
    out: dict[bool, LoggedAlert] = {}
    for alert in alerts_in(past.entries, actor):
        if alert.alert.cause not in rules.causes or any(
            past.answers(run, alert) for run in newest_runs
        ):
            continue
        job = job_for_alert(workspace, alert)
        ripe = abs(now - alert.entry.at_ns) >= (rules.spike_s if job else rules.gather_s) * NS_PER_S
        if ripe or find_show(workspace.home, actor) is None:
            out.setdefault(bool(job), alert)
        if len(out) == 2:
            break
    return list(out.values())


def job_for_alert(workspace: Workspace, alert: LoggedAlert) -> dict[str, Any]:
    """Return what a run is to do about an alert: an online update where a spike may have one.

    It may where the actor's policy approves such updates without asking, today, and the champion has
    not had as many in a row as that allows; else it is a training's to learn.
    """
    if not _is_spike(alert):
        return {}
    approves = policy_of(workspace, alert.actor).auto_approval
    if approves is None or ONLINE not in approves.kinds:
        return {}
    if approves.until < workspace.today().isoformat():
        return {}
    most = approves.bounds.get("in_a_row", IN_A_ROW)
    spent = _in_a_row(workspace, alert.actor) >= most
    return {} if spent else {"online": True}


def _in_a_row(workspace: Workspace, actor: str) -> int:
    """Return how many updates the champion has had since its training."""
    try:
        champion = workspace.objects.read(str(workspace.log.ref(live_ref(actor))), ReleaseManifest)
        model = workspace.objects.read(champion.parents.model, Model)
    except GreenroomError:  # the run will say so
        return 0
    return model.update.in_a_row if model.update is not None else 0


def _is_spike(alert: LoggedAlert) -> bool:
    return alert.alert.signal.startswith(SPIKE)


class _Past:
    """What the log says of alerts and stage.

    Order is by place in the log: a clock that was set back would hide what came after a run.
    """

    def __init__(self, entries: Sequence[Entry], actor: str) -> None:
        self.entries = entries
        self.stage = [
            (entry.index, str(entry.body["new"]))
            for entry in entries
            if entry.event == "ref" and entry.body["name"] == live_ref(actor)
        ]

    def on_stage(self, at: int) -> str:
        """Return the release that was on stage before an entry."""
        return next((name for index, name in reversed(self.stage) if index < at), "")

    def answers(self, run: Run, alert: LoggedAlert) -> bool:
        index = alert.entry.index
        if run.job.get("online") and not _is_spike(alert):
            return False
        if index < run.first:
            return True
        alert_release, now = alert.release or self.on_stage(index), self.on_stage(index)
        if run.alert < 0 or alert_release != self.on_stage(run.first):
            return False
        if self.entries[run.alert].body["alert"]["cause"] != alert.alert.cause:
            return False
        relieved = alert_release != now and (run.release in [n for i, n in self.stage if i < index])
        return not run.outcome or index < run.index or relieved


def _since(workspace: Workspace, actor: str) -> int:
    """Return from when on the schedule counts: the last training, or the policy that set it.

    What a clock that was set back left more than a day ahead counts for nothing.
    """
    times_ns = [run.asked_ns for run in runs(workspace.log, actor) if not run.job.get("online")]
    for entry in workspace.log.entries():
        if entry.event == "ref" and entry.body["name"] == policy_ref(actor):
            times_ns.append(entry.at_ns)
    most = workspace.log.clock.utc_ns() + 86_400 * NS_PER_S
    return max((at for at in times_ns if at <= most), default=0)
