"""Say who stands behind a release: signed approvals, policies on how many it takes, and revocations.

An approval is an object: a statement (which release, by whom, when, until when) signed with the
approver's key; the log says when it was given. It counts only while nobody revoked the release after
it. A policy, itself an object signed by a named person, says who may approve for an actor and how many
must; without one, one named person is enough.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.registry.signing import key_path, make_key, sign, today, verify
from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace


def policy_ref(actor: str) -> str:
    """Return the name of an actor's policy ref."""
    return f"actors/{actor}/policy"


def set_policy(
    workspace: Workspace,
    actor: str,
    by: str,
    needed: int = 1,
    approvers: Sequence[str] = (),
    gates: Sequence[dict[str, Any]] = (),
) -> str:
    """Sign a policy for an actor and put it in force; return its hash.

    Args:
        workspace: where.
        actor: for whom.
        by: who signs it.
        needed: how many different people must approve.
        approvers: who may; nobody named means anybody.
        gates: what a model has to pass (see `greenroom.validation.gates`).

    Raises:
        BadInput: more approvals are needed than people may give.
    """
    if needed < 1 or (approvers and needed > len(set(approvers))):
        raise BadInput(f"{needed} approvals cannot come from {len(set(approvers))} approvers")
    rules = {"actor": actor, "needed": needed, "approvers": sorted(set(approvers))}
    rules["gates"] = list(gates)
    manifest = {"kind": "policy", "version": 1, "actor": actor, **_signed(workspace, by, rules)}
    name = workspace.publish(manifest, by=by)
    before = workspace.log.ref(policy_ref(actor))
    if before != name:
        workspace.log.move(policy_ref(actor), name, expect=before, by=by)
    return name


def policy_of(workspace: Workspace, actor: str) -> dict[str, Any]:
    """Return the rules in force for an actor, their signature verified.

    Raises:
        Refused: the policy's signature does not hold.
    """
    name = workspace.log.ref(policy_ref(actor))
    if name is None:
        return {"actor": actor, "needed": 1, "approvers": [], "gates": []}
    manifest = workspace.objects.manifest(name, "policy")
    try:
        verify(workspace, manifest)
    except Refused as error:
        raise Refused(
            f"the policy of {actor} does not count: {error.what}",
            then=f"set it again: greenroom policy {actor} --by NAME",
        ) from error
    rules: dict[str, Any] = manifest["statement"]
    if rules["actor"] != actor:
        raise Refused(f"the policy of {actor} was signed for {rules['actor']}")
    return rules


def _signed(workspace: Workspace, by: str, statement: dict[str, Any]) -> dict[str, Any]:
    if not by.strip():
        raise BadInput("a signature needs a name", then="give --by NAME")
    if not key_path(workspace, by).exists():
        make_key(workspace, by)
    return sign(workspace, by, {**statement, "by": by})


def give(workspace: Workspace, release: str, by: str, until: datetime.date | None = None) -> str:
    """Sign an approval of a release and enter it in the log; return the approval's hash.

    Somebody who approves for the first time gets a key.

    Raises:
        Refused: the policy does not name this person.
    """
    manifest = workspace.objects.manifest(release, "release")
    rules = policy_of(workspace, manifest["actor"])
    if rules["approvers"] and by not in rules["approvers"]:
        named = ", ".join(rules["approvers"])
        raise Refused(f"'{by}' may not approve for {manifest['actor']}", then=f"ask {named}")
    if by in approvers(workspace, release):
        entries = workspace.log.entries()
        return next(
            str(e.body["approval"])
            for e in reversed(entries)
            if e.event == "approve" and e.body["release"] == release and e.by == by
        )
    now = workspace.log.clock.utc_ns()
    statement = {
        "release": release,
        "at_ns": str(now),
        "until": None if until is None else until.isoformat(),
    }
    signed = _signed(workspace, by, statement)
    approval = {"kind": "approval", "version": 1, "parents": {"release": release}, **signed}
    name = workspace.publish(approval, by=by)
    enter(workspace, release, name, by)
    return name


def enter(workspace: Workspace, release: str, approval: str, by: str) -> None:
    """Record an approval that is in the store already."""
    workspace.log.append("approve", {"release": release, "approval": approval}, by=by)


def revoke(workspace: Workspace, release: str, by: str, reason: str) -> None:
    """Withdraw every approval that a release has."""
    workspace.objects.manifest(release, "release")
    workspace.log.append("revoke", {"release": release, "reason": reason}, by=by)


def approvers(workspace: Workspace, release: str) -> list[str]:
    """Return who approved a release, as far as it counts."""
    return _weigh(workspace, release)[0]


def _weigh(workspace: Workspace, release: str) -> tuple[list[str], list[str]]:
    """Return whose approvals count, and why the others do not."""
    given: dict[str, int] = {}
    seen: set[str] = set()
    revoked = ""
    for entry in workspace.log.entries():
        if entry.body.get("release") != release:
            continue
        if entry.event == "revoke":
            revoked = f"{entry.by} revoked it: {entry.body['reason']}"
            given.clear()
        elif entry.event == "approve":
            # What was given before a revocation is not given again by entering it again.
            approval = str(entry.body.get("approval"))
            if approval not in seen:
                given[approval] = entry.index
            elif revoked:
                revoked += "; an old approval was entered again"
            seen.add(approval)
    names: list[str] = []
    faults: list[str] = [revoked] if revoked and not given else []
    for approval in given:
        try:
            name = _check(workspace, release, approval)
        except GreenroomError as error:
            faults.append(error.what)
        else:
            if name not in names:
                names.append(name)
    return names, faults


def _check(workspace: Workspace, release: str, approval: str) -> str:
    if approval == "None":
        raise Refused("its approval is not signed")
    manifest: Manifest = workspace.objects.manifest(approval, "approval")
    key = verify(workspace, manifest)
    statement = manifest["statement"]
    if statement["release"] != release:
        raise Refused(f"the approval is of another release, {statement['release'][:12]}")
    if statement["by"] != key.owner:
        raise Refused(f"the approval says {statement['by']} but the key is {key.owner}'s")
    until = statement["until"]
    if until is not None and today(workspace) > datetime.date.fromisoformat(until):
        raise Refused(f"the approval of {key.owner} ended on {until}")
    return key.owner


def require_approved(workspace: Workspace, release: str, manifest: Manifest) -> list[str]:
    """Return who approved a release.

    Raises:
        Refused: not enough people did whose approval counts; the sentence says why.
    """
    rules = policy_of(workspace, manifest["actor"])
    names, faults = _weigh(workspace, release)
    counting = [n for n in names if not rules["approvers"] or n in rules["approvers"]]
    if len(counting) >= rules["needed"]:
        return counting
    model = manifest["parents"]["model"][:12]
    said = "; ".join(faults)
    if counting:
        what = f"has {len(counting)} of {rules['needed']} approvals ({', '.join(counting)})"
    else:
        what = "was approved by nobody" if not said else f"is not approved: {said}"
    raise Refused(
        f"release {release[:12]} {what}", then=f"run: greenroom approve {model} --by NAME"
    )
