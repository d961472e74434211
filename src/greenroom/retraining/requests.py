"""Ask for a model to be trained again, so that a storm of alerts starts one run, a bad day none.

A request and its end are entries of the log; what may be asked is decided from the log alone, while
nobody else can append. So two processes never start two runs, and a crash loses no decision.
"""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import msgspec
from cronsim import CronSim, CronSimError

from greenroom.clock import NS_PER_S
from greenroom.contracts import CAUSES
from greenroom.errors import BadInput, Refused
from greenroom.manifests import LearningRules
from greenroom.registry.policy import policy_of
from greenroom.store.log import Entry, Log
from greenroom.store.workspace import Workspace

ASKED, ENDED = "retrain", "retrained"
"""Events of the log."""
PROMOTED, REJECTED, FAILED, HELD = "promoted", "rejected", "failed", "held"
"""How a run ends: on stage; not good enough; broken; good, but waiting for somebody's approval."""
NOTHING_NEW = "no take that may be learned from is new"
"""A rejection that says nothing of how good anything is: it freezes nothing."""
_DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True)
class Rules:
    """When a model is trained again; part of an actor's signed policy.

    Attributes:
        causes: of alerts that ask for it; a fault of the capture never does.
        cool_down_s: seconds between the end of a run and the next that no person asked for.
        per_day: runs in 24 hours, those that people asked for counted, those without a new take not.
        freeze_after: rejections or failures in a row, after which only a person may ask. These three
            count trainings and online updates apart.
        nightly: a cron expression of five fields; "" for no schedule.
        zone: the time zone that it is read in.
        preset: of what is trained.
        steps: of the training; 0 for the preset's.
        canary_s: seconds under guard before a new release is the champion.
        gather_s: seconds of capture that are kept after an alert before a run begins.
        spike_s: the same before an online update.
    """

    causes: tuple[str, ...] = ("new style",)
    cool_down_s: float = 3600.0
    per_day: int = 4
    freeze_after: int = 3
    nightly: str = ""
    zone: str = "UTC"
    preset: str = "mini"
    steps: int = 0
    canary_s: float = 60.0
    gather_s: float = 60.0
    spike_s: float = 10.0

    def manifest(self) -> LearningRules:
        """Return the rules as a policy has them."""
        numbers = {
            each.name: float(getattr(self, each.name))
            for each in fields(self)
            if each.name.endswith("_s")
        }
        return LearningRules(**{**asdict(self), **numbers, "causes": list(self.causes)})


def read_rules(settings: Any, where: str) -> Rules:
    """Return rules as somebody wrote them, checked; what is not said is the default.

    Raises:
        BadInput: a name or a value is none.
    """
    fields_by_name = {each.name: each for each in fields(Rules)}
    if not isinstance(settings, dict) or set(settings) - set(fields_by_name):
        raise BadInput(f"rules of learning say some of {', '.join(fields_by_name)}", where=where)
    causes = settings.get("causes", Rules.causes)
    if not isinstance(causes, list | tuple):
        raise BadInput("causes are a list", where=where, then=f"some of {', '.join(CAUSES[2:])}")
    causes = tuple(causes)
    unknown = [cause for cause in causes if cause not in CAUSES[2:]]
    if unknown:
        raise BadInput(
            f"nothing is learned from {', '.join(sorted(map(str, unknown)))}",
            where=where,
            then=f"causes are {', '.join(CAUSES[2:])}",
        )
    try:
        rules = Rules(**{**settings, "causes": causes})
        _check_kinds(rules)
        if rules.nightly and next(CronSim(rules.nightly, _SOME_DAY), None) is None:
            raise ValueError(f"'{rules.nightly}' never comes")
        zoneinfo.ZoneInfo(rules.zone)
    except (TypeError, ValueError, OSError, CronSimError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise BadInput(f"these rules cannot be used: {error}", where=where) from error
    return rules


_SOME_DAY = datetime.datetime(2026, 1, 1)


def _check_kinds(rules: Rules) -> None:
    for each in fields(Rules):
        value = getattr(rules, each.name)
        if isinstance(each.default, str):
            if not isinstance(value, str):
                raise ValueError(f"{each.name} is text")
        elif isinstance(each.default, int | float):
            is_integer = isinstance(each.default, int)
            kinds = int if is_integer else int | float
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < 1e9:
                raise ValueError(
                    f"{each.name} is a{' whole' if is_integer else ''} number from 0 on"
                )


def rules_of(workspace: Workspace, actor: str) -> Rules:
    """Return the rules in force for an actor: its policy's, else the defaults.

    Raises:
        Refused: the policy's signature does not hold.
    """
    learning = policy_of(workspace, actor).learning
    settings = {} if learning is None else msgspec.structs.asdict(learning)
    return read_rules(settings, f"the policy of {actor}")


@dataclass(frozen=True)
class Run:
    """One request and what became of it.

    Attributes:
        name: which it is.
        actor: whose model.
        why: a sentence.
        kind: "alert", "schedule" or "person".
        by: who asked.
        asked_ns: when, UTC.
        ended_ns: when it ended; 0 while it goes on.
        outcome: "" while it goes on.
        reason: for the outcome.
        release: that it made; "" for none.
        alert: index in the log of the alert that asked; -1 for none.
        job: what the run was to do, beyond the rules.
        first: index of its first entry in the log.
        index: of its last.
    """

    name: str
    actor: str
    why: str
    kind: str
    by: str
    asked_ns: int
    ended_ns: int = 0
    outcome: str = ""
    reason: str = ""
    release: str = ""
    alert: int = -1
    job: dict[str, Any] = field(default_factory=dict)
    first: int = -1
    index: int = -1


def runs(log: Log, actor: str | None = None) -> list[Run]:
    """Return every run in the log, oldest first; of one actor if named."""
    return [run for run in _runs(log.entries()) if actor in (None, run.actor)]


def _runs(entries: Sequence[Entry]) -> list[Run]:
    runs_by_name: dict[str, Run] = {}
    for entry in entries:
        body = entry.body
        if entry.event == ASKED:
            entry_fields = {name: body[name] for name in ("actor", "why", "kind", "alert", "job")}
            entry_fields |= {"by": entry.by, "first": entry.index, "index": entry.index}
            runs_by_name[body["run"]] = Run(body["run"], asked_ns=entry.at_ns, **entry_fields)
        elif entry.event == ENDED and body["run"] in runs_by_name:
            entry_fields = {name: body[name] for name in ("outcome", "reason", "release")}
            run = runs_by_name[body["run"]]
            if not run.outcome:
                runs_by_name[run.name] = replace(
                    run, ended_ns=entry.at_ns, index=entry.index, **entry_fields
                )
    return list(runs_by_name.values())


@dataclass(frozen=True)
class RunCause:
    """What a run is asked for by.

    Attributes:
        kind: "alert", "schedule" or "person".
        alert: index of the alert in the log; -1 for none.
    """

    kind: str = "person"
    alert: int = -1


def request_run(
    workspace: Workspace,
    actor: str,
    why: str,
    by: str,
    cause: RunCause = RunCause(),
    job: dict[str, Any] | None = None,
) -> Run:
    """Ask for a run; return it.

    Args:
        workspace: where.
        actor: whose model.
        why: a sentence.
        by: who asks.
        cause: an alert, the schedule or a person.
        job: settings beyond the rules.

    Raises:
        Refused: a run goes on, or the rules allow none now; nothing was recorded.
    """
    rules = rules_of(workspace, actor)
    now = workspace.log.clock.utc_ns()
    # Named by what came before it: the same log asks for the same run.
    name = f"{actor}-{len(runs(workspace.log, actor)) + 1:04d}"

    def allowed(entries: Sequence[Entry]) -> None:
        actor_runs = [run for run in _runs(entries) if run.actor == actor]
        online = bool(job and job.get("online"))
        refuse = _objection(actor_runs, rules, cause.kind, now, online=online)
        if refuse is None and name in {run.name for run in actor_runs}:
            refuse = Refused(f"run {name} was asked for at the same moment")
        if refuse is not None:
            raise refuse

    body = {"run": name, "actor": actor, "why": why, **asdict(cause), "job": job or {}}
    return _runs([workspace.log.append(ASKED, body, by=by, unless=allowed)])[0]


def _objection(
    actor_runs: Sequence[Run], rules: Rules, kind: str, now: int, online: bool
) -> Refused | None:
    """Return why no run may begin now; None where it may.

    One run goes on at a time; else trainings do not stand in the way of online updates, nor these in
    theirs.

    Times are compared without their sign: a clock that jumped ahead and was set back may leave entries
    from the future, which must not forbid everything until then.
    """
    going = [run for run in actor_runs if not run.outcome]
    if going:
        return Refused(
            f"run {going[-1].name} goes on",
            then=f"see it: greenroom run show {going[-1].name}",
        )
    actor_runs = [run for run in actor_runs if bool(run.job.get("online")) == online]
    trained = [run for run in actor_runs if run.reason != NOTHING_NEW]
    if sum(abs(now - run.asked_ns) < _DAY_NS for run in trained) >= rules.per_day:
        return Refused(
            f"{rules.per_day} runs in 24 hours are what the rules allow",
            then="change the policy, or wait",
        )
    if kind == "person":
        return None
    if actor_runs and abs(now - actor_runs[-1].ended_ns) < rules.cool_down_s * NS_PER_S:
        return Refused(f"the last run ended less than {rules.cool_down_s:g} s ago")
    judged = [run.outcome for run in actor_runs if run.reason != NOTHING_NEW]
    last = judged[-rules.freeze_after :] if rules.freeze_after else []
    if len(last) == rules.freeze_after and last and not set(last) - {REJECTED, FAILED}:
        return Refused(
            f"the last {len(last)} runs were not good enough: learning is frozen",
            then="look why, then ask by hand: greenroom retrain",
        )
    return None


def record_outcome(
    log: Log, run: str, outcome: str, reason: str, by: str, release: str = ""
) -> None:
    """Record how a run ended; once recorded it stands."""

    def existing_end(entries: Sequence[Entry]) -> Entry | None:
        return next((e for e in entries if e.event == ENDED and e.body["run"] == run), None)

    body = {"run": run, "outcome": outcome, "reason": reason, "release": release}
    log.append(ENDED, body, by=by, unless=existing_end)


def scheduled(rules: Rules, since_ns: int, now_ns: int) -> bool:
    """Tell whether the schedule's time came after `since_ns` and not after `now_ns`, UTC.

    Nights that nobody was there for are one run, not many.

    >>> rules = Rules(nightly="0 3 * * *", zone="Europe/Paris")
    >>> at = lambda text: int(datetime.datetime.fromisoformat(text).timestamp()) * NS_PER_S
    >>> scheduled(rules, at("2026-11-26T01:59:00+00:00"), at("2026-11-26T02:01:00+00:00"))
    True
    >>> scheduled(rules, at("2026-11-26T02:01:00+00:00"), at("2026-11-27T01:59:00+00:00"))
    False
    """
    if not rules.nightly:
        return False
    zone = zoneinfo.ZoneInfo(rules.zone)
    since = datetime.datetime.fromtimestamp(since_ns / NS_PER_S, zone)
    following = next(CronSim(rules.nightly, since), None)
    return following is not None and following.timestamp() * NS_PER_S <= now_ns
