"""Say which actor's model is to be trained again now, by its alerts and its schedule."""

from __future__ import annotations

from greenroom.clock import NS_PER_S
from greenroom.errors import Refused
from greenroom.live.on_air import look
from greenroom.monitoring.alerts import Entered, entered, sentence
from greenroom.registry.policy import policy_ref
from greenroom.registry.promote import live_ref
from greenroom.retraining.requests import Rules, Run, ask, rules_of, runs, scheduled
from greenroom.store.workspace import Workspace


def attend(workspace: Workspace, by: str) -> list[Run]:
    """Ask for what alerts and schedules call for and the rules allow; return the new runs."""
    prefix, suffix = live_ref("\0").split("\0")
    out = []
    for name in workspace.log.refs(prefix):
        if name.endswith(suffix):
            run = _attend(workspace, name.removeprefix(prefix).removesuffix(suffix), by)
            out += [] if run is None else [run]
    return out


def _attend(workspace: Workspace, actor: str, by: str) -> Run | None:
    try:
        rules = rules_of(workspace, actor)
        alert = calling(workspace, actor, rules)
        if alert is not None:
            why = sentence(alert.alert)
            return ask(workspace, actor, why, by, "alert", alert.entry.index)
        if scheduled(rules, _since(workspace, actor), workspace.log.clock.utc_ns()):
            return ask(workspace, actor, f"nightly, {rules.nightly} {rules.zone}", by, "schedule")
    # A run goes on, or the rules allow none yet, or they are signed by nobody who counts: it is asked
    # again later, and other actors' runs do not wait for it.
    except Refused:
        pass
    return None


def calling(workspace: Workspace, actor: str, rules: Rules) -> Entered | None:
    """Return the first alert that no run has answered and that something can be learned from.

    While a show is on, it waits until there is something to learn from: `Rules.gather_s`.
    """
    known = runs(workspace.log, actor)
    # By their place in the log: a clock that was set back would hide what came after a run.
    since = max((run.index for run in known), default=-1)
    now = workspace.log.clock.utc_ns()
    for found in entered(workspace.log, actor):
        if found.entry.index <= since or found.alert.cause not in rules.causes:
            continue
        ripe = abs(now - found.entry.at_ns) >= rules.gather_s * NS_PER_S
        return found if ripe or look(workspace.home, actor) is None else None
    return None


def _since(workspace: Workspace, actor: str) -> int:
    """Return from when on the schedule counts: the last run, or the policy that set it.

    What a clock that was set back left more than a day ahead counts for nothing.
    """
    known = [run.asked_ns for run in runs(workspace.log, actor)]
    for entry in workspace.log.entries():
        if entry.event == "ref" and entry.body["name"] == policy_ref(actor):
            known.append(entry.at_ns)
    most = workspace.log.clock.utc_ns() + 86_400 * NS_PER_S
    return max((at for at in known if at <= most), default=0)
