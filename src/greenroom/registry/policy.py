"""Say who may approve for an actor, how many must, and what a model has to pass: a signed rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenroom.errors import BadInput, Refused
from greenroom.manifests import AutoApproval, Gate, LearningRules, Policy, PolicyStatement, to_json
from greenroom.registry.signing import key_path, make_key, sign, verify
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
    gates: Sequence[Gate] = (),
    standing: AutoApproval | None = None,
    learning: LearningRules | None = None,
) -> str:
    """Sign a policy for an actor and put it in force; return its hash.

    Args:
        workspace: where.
        actor: for whom.
        by: who signs it.
        needed: how many different people must approve.
        approvers: who may; nobody named means anybody.
        gates: what a model has to pass (see `greenroom.validation.gates`).
        standing: what is approved without asking (see `greenroom.registry.auto_approval`); None
            for nothing.
        learning: when a model is trained again (see `greenroom.retraining.requests`); None for the
            defaults.

    Raises:
        BadInput: more approvals are needed than people may give.
    """
    if needed < 1 or (approvers and needed > len(set(approvers))):
        raise BadInput(f"{needed} approvals cannot come from {len(set(approvers))} approvers")
    statement = PolicyStatement(
        actor=actor,
        by=by,
        needed=needed,
        approvers=sorted(set(approvers)),
        gates=list(gates),
        auto_approval=standing,
        learning=learning,
    )
    signed = sign_statement(workspace, by, to_json(statement))
    policy = Policy(
        actor=actor, statement=statement, key=signed["key"], signature=signed["signature"]
    )
    name = workspace.publish(policy, by=by)
    before = workspace.log.ref(policy_ref(actor))
    if before != name:
        workspace.log.move(policy_ref(actor), name, expect=before, by=by)
    return name


def policy_of(workspace: Workspace, actor: str) -> PolicyStatement:
    """Return the rules in force for an actor, their signature verified.

    Raises:
        Refused: the policy's signature does not hold.
    """
    name = workspace.log.ref(policy_ref(actor))
    if name is None:
        return PolicyStatement(actor=actor)
    return read_policy(workspace, name, actor)[0]


def read_policy(workspace: Workspace, name: str, actor: str) -> tuple[PolicyStatement, str]:
    """Return the rules of a policy and who signed it.

    Raises:
        Refused: its signature does not hold, or it is another actor's.
    """
    manifest = workspace.objects.read(name, Policy)
    try:
        key = verify(workspace, to_json(manifest))
    except Refused as error:
        raise Refused(
            f"the policy of {actor} does not count: {error.what}",
            then=f"set it again: greenroom policy {actor} --by NAME",
        ) from error
    rules = manifest.statement
    if rules.actor != actor:
        raise Refused(f"the policy of {actor} was signed for {rules.actor}")
    return rules, key.owner


def sign_statement(workspace: Workspace, by: str, statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement with somebody's signature; who signs for the first time gets a key.

    Raises:
        BadInput: nobody is named.
    """
    if not by.strip():
        raise BadInput("a signature needs a name", then="give --by NAME")
    if not key_path(workspace, by).exists():
        make_key(workspace, by)
    return sign(workspace, by, {**statement, "by": by})
