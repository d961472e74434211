"""Signed rules for an actor: who may approve, how many must, and what a model has to pass.

The first policy of an actor is signed by the workspace's root. A later one is in force only when as many
people have signed or approved it as the policy before it asks for. So nobody undoes a two-person rule
alone. A policy counts as long as the key that signed it does; after that the root may sign another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from greenroom.errors import BadInput, CorruptObject, GreenroomError, Refused
from greenroom.manifests import (
    Approval,
    ApprovalParents,
    ApprovalStatement,
    AutoApproval,
    Gate,
    LearningRules,
    Policy,
    PolicyStatement,
    to_json,
)
from greenroom.registry.names import folded_name
from greenroom.registry.signing import DEMO, ROOT, Key, root_key, sign, verify
from greenroom.store.log import Entry
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class PolicyRules:
    """What a policy says.

    Attributes:
        needed: how many different people must approve.
        approvers: who may approve; nobody named means anybody with a key that counts.
        gates: what a model has to pass (see `greenroom.validation.gates`).
        auto_approval: what is approved automatically (see `greenroom.registry.auto_approval`); None
            for nothing.
        learning: when a model is retrained (see `greenroom.retraining.requests`); None for the defaults.
    """

    needed: int = 1
    approvers: Sequence[str] = ()
    gates: Sequence[Gate] = ()
    auto_approval: AutoApproval | None = None
    learning: LearningRules | None = None

    def statement(self, actor: str, by: str, previous: str | None) -> PolicyStatement:
        """Return the rules as they are signed.

        Args:
            actor: the actor that they are for.
            by: the person who signs them.
            previous: hash of the policy that they follow; None for the first.

        Raises:
            BadInput: more approvals are needed than people may give.
        """
        names = sorted(set(self.approvers))
        people = {folded_name(name) for name in names}
        if len(people) < len(names):
            raise BadInput("two names of approvers differ only by case or blanks")
        if self.needed < 1 or (names and self.needed > len(names)):
            raise BadInput(f"{self.needed} approvals cannot come from {len(names)} approvers")
        return PolicyStatement(
            actor=actor,
            by=by,
            needed=self.needed,
            approvers=names,
            gates=list(self.gates),
            auto_approval=self.auto_approval,
            learning=self.learning,
            previous=previous,
        )


def policy_ref(actor: str) -> str:
    """Return the name of an actor's policy ref."""
    return f"actors/{actor}/policy"


def set_policy(
    workspace: Workspace, actor: str, by: str, rules: PolicyRules = PolicyRules()
) -> str:
    """Sign a policy for an actor, and put it in force as soon as enough people approve; return its hash.

    Args:
        workspace: the workspace.
        actor: the actor that it is for.
        by: the person who signs it.
        rules: what it says.

    Raises:
        BadInput: more approvals are needed than people may give, or `by` has no key here.
        Refused: it is the actor's first, and `by` is not the workspace's root; or the policy in force
            does not let `by` approve.
    """
    previous = workspace.log.ref(policy_ref(actor))
    statement = rules.statement(actor, by, previous)
    if previous is not None and _in_force(workspace, actor)[0] == previous:
        before = workspace.objects.read(previous, Policy).statement
        if replace(statement, previous=before.previous) == before:
            return previous
    signed = sign(workspace, by, to_json(statement))
    _require_may_change(workspace, actor, verify(workspace, signed))
    policy = Policy(
        actor=actor, statement=statement, key=signed["key"], signature=signed["signature"]
    )
    name = workspace.publish(policy, by=by)
    _put_in_force(workspace, actor, name, by)
    return name


def approve_policy(workspace: Workspace, policy: str, by: str) -> bool:
    """Sign an approval of a policy that waits; return whether it is in force now.

    Raises:
        Refused: the policy in force does not let this person approve, or has changed meanwhile.
    """
    manifest = workspace.objects.read(policy, Policy)
    actor, previous = manifest.actor, manifest.statement.previous
    in_force = workspace.log.ref(policy_ref(actor))
    if in_force == policy:
        return True
    if in_force != previous:
        raise Refused(
            f"the policy of {actor} has changed since this one was written",
            then=f"write it again: greenroom policy {actor} --by NAME",
        )
    statement = ApprovalStatement(policy=policy, at_ns=str(workspace.log.clock.utc_ns()), by=by)
    signed = sign(workspace, by, to_json(statement))
    _require_may_change(workspace, actor, verify(workspace, signed))
    approval = Approval(
        statement=statement,
        parents=ApprovalParents(policy=policy),
        key=signed["key"],
        signature=signed["signature"],
    )
    name = workspace.publish(approval, by=by)
    workspace.log.append("approve-policy", {"policy": policy, "approval": name}, by=by)
    return _put_in_force(workspace, actor, policy, by)


def missing_approvals(workspace: Workspace, policy: str) -> tuple[list[str], int]:
    """Return who signed or approved a policy, and how many more it takes until it is in force."""
    statement = workspace.objects.read(policy, Policy).statement
    if workspace.log.ref(policy_ref(statement.actor)) == policy:
        return [statement.by], 0
    rules = _changeable_rules(workspace, statement.actor)
    names = _signers(workspace, policy, None)
    if rules is None:
        return names, 0
    names = [n for n in names if not rules.approvers or n in rules.approvers]
    return names, max(0, rules.needed - len(names))


def _put_in_force(workspace: Workspace, actor: str, policy: str, by: str) -> bool:
    if missing_approvals(workspace, policy)[1]:
        return False
    previous = workspace.objects.read(policy, Policy).statement.previous
    workspace.log.move(policy_ref(actor), policy, expect=previous, by=by)
    return True


def _may_begin(key: Key) -> bool:
    """Tell whether a key may sign a policy where none counts."""
    return key.trust in (ROOT, DEMO)


def _changeable_rules(workspace: Workspace, actor: str) -> PolicyStatement | None:
    """Return the rules by which the policy may be changed today; None where none counts."""
    policy, _ = _in_force(workspace, actor)
    if policy is None or not _signer_counts(workspace, policy, None):
        return None
    return workspace.objects.read(policy, Policy).statement


def _require_may_change(workspace: Workspace, actor: str, key: Key) -> None:
    """Pass, or raise where a person may neither sign nor approve the next policy of an actor."""
    rules = _changeable_rules(workspace, actor)
    if rules is None and not _may_begin(key):
        root = root_key(workspace)
        first = workspace.log.ref(policy_ref(actor)) is None
        which = "first policy" if first else "policy after one that counts no more"
        raise Refused(
            f"the {which} of {actor} is signed by the workspace's root, not by {key.owner}",
            then=f"run it with --by '{root.owner}'" if root else "greenroom key new NAME",
        )
    if rules is not None and rules.approvers and key.owner not in rules.approvers:
        names = ", ".join(rules.approvers)
        raise Refused(f"'{key.owner}' may not change the policy of {actor}", then=f"ask {names}")


def _signer_counts(workspace: Workspace, policy: str, at: Entry | None) -> bool:
    try:
        verify(workspace, to_json(workspace.objects.read(policy, Policy)), at)
    except GreenroomError:
        return False
    return True


def _signers(workspace: Workspace, policy: str, at: Entry | None) -> list[str]:
    """Return who signed or approved a policy with a key that counted, each once."""
    names = [verify(workspace, to_json(workspace.objects.read(policy, Policy)), at).owner]
    for entry in workspace.log.entries()[: None if at is None else at.index]:
        if entry.event != "approve-policy" or entry.body.get("policy") != policy:
            continue
        try:
            approval = workspace.objects.read(str(entry.body["approval"]), Approval)
            key = verify(workspace, to_json(approval), at)
        except GreenroomError:
            continue
        statement = approval.statement
        signed_by_owner = statement.policy == policy and statement.by == key.owner
        if signed_by_owner and folded_name(key.owner) not in map(folded_name, names):
            names.append(key.owner)
    return names


def policy_of(workspace: Workspace, actor: str) -> PolicyStatement:
    """Return the rules in force for an actor, verified.

    Raises:
        Refused: the policy's signature does not hold, or it was not put in force by its rules.
    """
    name = workspace.log.ref(policy_ref(actor))
    if name is None:
        return PolicyStatement(actor=actor)
    return read_policy(workspace, name, actor)[0]


def read_policy(
    workspace: Workspace, name: str, actor: str, before: int | None = None
) -> tuple[PolicyStatement, str]:
    """Return the rules of the policy that is in force, and who signed it.

    Args:
        workspace: the workspace.
        name: hash of the policy.
        actor: the actor.
        before: index of the entry of the log before which it was in force; None for now.

    Raises:
        Refused: it is not in force, a signature does not hold, or it was put in force against the
            rules of the policy before it.
    """
    try:
        manifest = workspace.objects.read(name, Policy)
        rules = manifest.statement
        if rules.actor != actor:
            raise Refused(f"it was signed for {rules.actor}")
        key = verify(workspace, to_json(manifest))
        policy, fault = _in_force(workspace, actor, before)
        if policy != name:
            raise Refused(fault or "it is not in force")
    except CorruptObject:
        raise
    except GreenroomError as error:
        raise Refused(
            f"the policy of {actor} does not count: {error.what}",
            then=error.then
            or f"who may change it can sign another: greenroom policy {actor} --by NAME",
        ) from error
    return rules, key.owner


def _in_force(
    workspace: Workspace, actor: str, before: int | None = None
) -> tuple[str | None, str]:
    """Return the policy that the log put in force by the rules, and the fault where there is none."""
    policy: str | None = None
    ref: str | None = None
    fault = ""
    for entry in workspace.log.entries()[:before]:
        if entry.event != "ref" or entry.body.get("name") != policy_ref(actor):
            continue
        try:
            if entry.body["old"] != ref:
                raise Refused("a policy was put in force past the log's own ref")
            _check_move(workspace, actor, policy, entry)
        except GreenroomError as error:  # the policy before stays in force; the ref says another
            fault = error.what
        else:
            policy, fault = entry.body["new"], ""
        ref = entry.body["new"]
    return policy, fault


def _check_move(workspace: Workspace, actor: str, before: str | None, move: Entry) -> None:
    """Pass, or raise where an entry of the log put a policy in force against the rules.

    Args:
        workspace: the workspace.
        actor: the actor.
        before: the policy that was in force until then; None where none was.
        move: the entry.
    """
    name = move.body["new"]
    manifest = workspace.objects.read(name, Policy)
    statement = manifest.statement
    key = verify(workspace, to_json(manifest), move)
    if statement.actor != actor or statement.by != key.owner:
        raise Refused("a policy was put in force that is another's")
    if statement.previous != move.body["old"]:
        raise Refused("an earlier policy was put in force again, past the rules")
    if before is None or not _signer_counts(workspace, before, move):
        if not _may_begin(key):
            raise Refused(f"{key.owner} is not the workspace's root")
        return
    rules = workspace.objects.read(before, Policy).statement
    names = _signers(workspace, name, move)
    count = sum(not rules.approvers or n in rules.approvers for n in names)
    if count < rules.needed:
        raise Refused(f"it has {count} of the {rules.needed} approvals that a change needs")
