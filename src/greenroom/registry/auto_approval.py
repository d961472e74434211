"""Automatic approval within the bounds of a signed policy.

A policy may have `auto_approval`: until when, how often a day, for which kinds of change, and the
bounds of each. An approval by it carries no signature of its own. It counts because the policy is
signed, was in force when the approval was recorded, and the release itself shows that it keeps them.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, cast

from greenroom.clock import NS_PER_S
from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.manifests import (
    Approval,
    ApprovalParents,
    ApprovalStatement,
    AutoApproval,
    Change,
    Model,
    PolicyStatement,
    ReleaseManifest,
    gate_of,
)
from greenroom.registry.policy import policy_ref, read_policy
from greenroom.store.log import Entry
from greenroom.store.workspace import Workspace

RETRAIN, ONLINE = "retrain", "online"
IN_A_ROW = 3
"""Online updates one after another without a training, unless the policy says another number."""
BOUNDS = ("norm", "replay_loss", "seconds", "in_a_row")
"""Of an online update: the largest norm of what it moved, by how much the loss on the replayed past may
rise (a share of what it was), how long it may take, and how many may follow one another, for their
losses add up."""


def read_auto_approval(document: Any, where: str) -> AutoApproval:
    """Return what a policy approves automatically, checked.

    Args:
        document: `{"until": "2027-01-31", "per_day": 4, "kinds": ["retrain", "online"], "bounds":
            {"norm": 0.5, "replay_loss": 0.02, "seconds": 60}}`; bounds are for online updates only.
        where: it was read from.

    Raises:
        BadInput: it says something else.
    """
    if not isinstance(document, dict) or set(document) - {"until", "per_day", "kinds", "bounds"}:
        raise BadInput("automatic approval has until, per_day, kinds and bounds", where=where)
    kinds, bounds = document.get("kinds", [RETRAIN]), document.get("bounds", {})
    if not isinstance(kinds, list) or not isinstance(bounds, dict):
        raise BadInput("kinds are a list, bounds an object", where=where)
    if ONLINE in kinds:
        bounds = {"in_a_row": IN_A_ROW, **bounds}
    try:
        until = datetime.date.fromisoformat(str(document["until"]))
    except (KeyError, ValueError):
        raise BadInput("automatic approval has an end: until, a date", where=where) from None
    per_day = document.get("per_day", 1)
    is_integer = isinstance(per_day, int) and not isinstance(per_day, bool)
    if not is_integer or per_day < 1 or not kinds or any(k not in (RETRAIN, ONLINE) for k in kinds):
        raise BadInput(f"kinds are {RETRAIN} and {ONLINE}, per_day is 1 at least", where=where)
    numbers = all(
        isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds.values()
    )
    complete = not set(BOUNDS) - set(bounds) or ONLINE not in kinds
    if set(bounds) - set(BOUNDS) or not numbers or not complete:
        raise BadInput(f"online updates have the bounds {', '.join(BOUNDS)}", where=where)
    return AutoApproval(
        until=until.isoformat(),
        per_day=per_day,
        kinds=sorted(set(kinds)),
        bounds={name: float(bounds[name]) for name in sorted(bounds)},
    )


def auto_approve(workspace: Workspace, release: str, kind: str, by: str) -> str:
    """Approve a release automatically, by its actor's policy, and record it; return the approval's hash.

    Args:
        workspace: where.
        release: its hash.
        kind: of change: "retrain" or "online".
        by: who enters it.

    Raises:
        Refused: there is no such policy, it is over or spent for today, or the release breaks a bound.
        CheckFailed: the log's newest time is from the future (see `Log.require_clock`).
    """
    workspace.log.require_clock()
    manifest = workspace.objects.read(release, ReleaseManifest)
    policy = workspace.log.ref(policy_ref(manifest.actor))
    if policy is None:
        raise Refused(
            f"no policy of {manifest.actor} approves automatically",
            then=f"approve it by name: greenroom approve {release[:12]} --by NAME",
        )
    entries = workspace.log.entries()
    now = max(workspace.log.clock.utc_ns(), entries[-1].latest_ns)
    approval = Approval(
        statement=ApprovalStatement(
            release=release, at_ns=str(now), change=cast(Change, kind), policy=policy
        ),
        parents=ApprovalParents(release=release, policy=policy),
    )
    rules, _ = read_policy(workspace, policy, manifest.actor)
    _never_revoked(workspace, entries, release)
    bounds = _judge(workspace, manifest, rules=rules, kind=kind, at_ns=now)
    spent = _given_on(workspace, manifest.actor, now, len(entries))
    if spent >= bounds.per_day:
        raise Refused(f"the policy approves {spent} a day automatically, and did so today")
    name = workspace.publish(approval, by=by)
    workspace.log.append("approve", {"release": release, "approval": name}, by=by)
    return name


def verify_auto_approval(workspace: Workspace, release: str, approval: Approval, index: int) -> str:
    """Return who signed the policy by which a release was approved automatically.

    Args:
        workspace: where.
        release: its hash.
        approval: the manifest.
        index: of the entry of the log that gave it.

    Raises:
        Refused: it does not count; the sentence says why.
    """
    statement = approval.statement
    if statement.release != release:
        raise Refused(f"the approval is of another release, {statement.release[:12]}")
    manifest = workspace.objects.read(release, ReleaseManifest)
    entries = workspace.log.entries()
    _never_revoked(workspace, entries[:index], release)
    in_force = None
    for entry in entries[:index]:
        if entry.event == "ref" and entry.body["name"] == policy_ref(manifest.actor):
            in_force = entry.body["new"]
    if in_force is None or in_force != statement.policy:
        raise Refused("the policy that approved it was not in force then")
    rules, owner = read_policy(workspace, in_force, manifest.actor, index)
    at_ns = entries[index].latest_ns
    bounds = _judge(workspace, manifest, rules=rules, kind=statement.change, at_ns=at_ns)
    if _given_on(workspace, manifest.actor, at_ns, index) >= bounds.per_day:
        raise Refused("the policy had approved as many as it may on that day")
    return owner


def _never_revoked(workspace: Workspace, entries: Sequence[Entry], release: str) -> None:
    """Pass, or raise: what a person withdrew, or its model, only a person gives back."""
    model = workspace.objects.read(release, ReleaseManifest).parents.model
    for entry in entries:
        if entry.event == "revoke" and model_of(workspace, entry.body.get("release")) == model:
            raise Refused(f"{entry.by} revoked it: {entry.body.get('reason')}")


def model_of(workspace: Workspace, release: object) -> str | None:
    """Return the model of a release that an entry of the log names; None where it is none here."""
    try:
        return workspace.objects.read(str(release), ReleaseManifest).parents.model
    except GreenroomError:
        return None


def _judge(
    workspace: Workspace, release: ReleaseManifest, rules: PolicyStatement, kind: str, at_ns: int
) -> AutoApproval:
    """Return the bounds under which a release is approved automatically, or raise."""
    allowed = rules.auto_approval
    if allowed is None or kind not in allowed.kinds:
        raise Refused(f"the policy of {release.actor} approves no {kind} automatically")
    day = workspace.day_of(at_ns)
    if day > datetime.date.fromisoformat(allowed.until):
        raise Refused(f"the automatic approval of {release.actor} ended on {allowed.until}")
    if kind == ONLINE:
        _within(workspace, release, allowed.bounds)
        return allowed
    missed = [
        gate.metric
        for gate in rules.gates
        if not any(each.passed and gate_of(each) == gate for each in release.gates)
    ]
    if missed or not rules.gates:
        reason = f"gates not passed: {', '.join(missed)}" if missed else "the policy has no gates"
        raise Refused(f"nothing is approved automatically where {reason}")
    return allowed


def _within(workspace: Workspace, release: ReleaseManifest, bounds: dict[str, float]) -> None:
    update = workspace.objects.read(release.parents.model, Model).update
    if update is None:
        raise Refused("this model says nothing of an online update")
    for name, most in bounds.items():
        try:
            actual = float(getattr(update, name))
        except (AttributeError, TypeError, ValueError):
            raise Refused(f"the update says nothing of its {name}") from None
        if not actual <= most:
            raise Refused(f"the update's {name} is {actual:g}, more than {most:g}")


def _given_on(workspace: Workspace, actor: str, at_ns: int, before: int) -> int:
    """Return how many automatic approvals a policy gave for an actor on a day, before an entry."""
    day = at_ns // (86_400 * NS_PER_S)
    count = 0
    for entry in workspace.log.entries()[:before]:
        if entry.event != "approve" or entry.latest_ns // (86_400 * NS_PER_S) != day:
            continue
        try:
            approval = workspace.objects.read(str(entry.body["approval"]), Approval)
            release = workspace.objects.read(str(entry.body["release"]), ReleaseManifest)
        except GreenroomError:  # what is not there approves nothing
            continue
        count += bool(approval.parents.policy) and release.actor == actor
    return count
