"""Commands on who stands behind what: `key`, `policy`, `revoke`."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from greenroom.cli.context import ActorName, Context, answer, as_json, short
from greenroom.registry.approval import revoke
from greenroom.registry.auto_approval import read_auto_approval
from greenroom.registry.policy import PolicyRules, missing_approvals, set_policy
from greenroom.registry.signing import ROOT, keys_of, make_key, private_keys, revoke_key, sign_key
from greenroom.retraining.requests import read_rules
from greenroom.store.objects import read_json_file
from greenroom.validation.gates import read_gates

_TRUST = {ROOT: ", the root", "None": ", not signed by the root: it does not count"}
DAY = click.DateTime(["%Y-%m-%d"])


@click.group("key")
def key_group() -> None:
    """Make, list, sign and revoke keys."""


@key_group.command("new")
@click.argument("name")
@click.option("--expires", type=DAY, help="Last day on which it counts, YYYY-MM-DD.")
@as_json
@click.pass_obj
def new_command(
    context: Context, name: str, expires: datetime.datetime | None, as_json: bool
) -> None:
    """Make a person's key; its private half stays under HOME/keys.

    The first key becomes the root of the workspace: it signs later keys, revocations of keys, and the
    first policy of each actor.
    """
    key = make_key(context.begin(), name, None if expires is None else expires.date())
    path = private_keys(context.workspace, name)[-1]
    others = [
        other
        for other in keys_of(context.workspace).values()
        if other.owner == name and other.trust and not other.revoked and other != key
    ]
    text = f"key {short(key.public)} in {path}"
    if key.trust == ROOT:
        text += "\nit is the root of this workspace: keep a copy of the file where others are not"
    elif not key.trust:
        text += "\nit does not count yet; where the root's private key is, run: "
        text += f"greenroom key sign {short(key.public)}"
    if others:
        text += f"\n{name} has {len(others) + 1} keys now: they count as one approver, "
        text += "and key revoke withdraws them all"
    result = {"key": key.public, "file": str(path), "trust": key.trust or None}
    answer(as_json, result, text)


@key_group.command("sign")
@click.argument("key")
@as_json
@click.pass_obj
def sign_command(context: Context, key: str, as_json: bool) -> None:
    """Let a key count that was made elsewhere; needs the root's private key."""
    signed = sign_key(context.workspace, key)
    answer(
        as_json,
        {"key": signed.public, "owner": signed.owner, "trust": signed.trust},
        f"key {short(signed.public)} of {signed.owner} counts now",
    )


@key_group.command("list")
@as_json
@click.pass_obj
def list_command(context: Context, as_json: bool) -> None:
    """List every key of the log, and why it counts."""
    rows = [
        {
            "key": key.public,
            "owner": key.owner,
            "expires": None if key.expires is None else key.expires.isoformat(),
            "revoked": key.revoked,
            "trust": key.trust or None,
        }
        for key in keys_of(context.workspace).values()
    ]
    lines = [
        f"{short(str(r['key']))}  {r['owner']}"
        + (f", until {r['expires']}" if r["expires"] else "")
        + (", revoked" if r["revoked"] else "")
        + _TRUST.get(str(r["trust"]), "")
        for r in rows
    ]
    answer(as_json, {"keys": rows}, "\n".join(lines) or "no keys")


@key_group.command("revoke")
@click.argument("name")
@as_json
@click.pass_obj
def revoke_key_command(context: Context, name: str, as_json: bool) -> None:
    """Withdraw somebody's key: what it signed counts no more."""
    revoked_keys = revoke_key(context.workspace, name, context.user)
    answer(as_json, {"revoked": revoked_keys}, f"revoked {len(revoked_keys)} of {name}")


@click.command("policy")
@click.argument("actor", type=ActorName())
@click.option("--by", required=True, metavar="NAME", help="Who signs it.")
@click.option("--needed", default=1, show_default=True, type=click.IntRange(1), help="Approvals.")
@click.option("--approver", multiple=True, metavar="NAME", help="Who may approve; default anybody.")
@click.option(
    "--gates", type=click.Path(path_type=Path), metavar="FILE", help="JSON: what a model must pass."
)
@click.option(
    "--auto-approval",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON: what is approved automatically, until when and within which bounds.",
)
@click.option(
    "--learning",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON: when a model is trained again.",
)
@as_json
@click.pass_obj
def policy_command(
    context: Context,
    actor: str,
    by: str,
    needed: int,
    approver: tuple[str, ...],
    gates: Path | None,
    auto_approval: Path | None,
    learning: Path | None,
    as_json: bool,
) -> None:
    """Sign who approves, and what a model has to pass.

    The first policy of an actor is signed by the root of the workspace. A later one is in force when as
    many people have approved it as the policy before it asks for.
    """
    rules = PolicyRules(
        needed,
        approver,
        gates=[] if gates is None else read_gates(read_json_file(gates), str(gates)),
        auto_approval=None
        if auto_approval is None
        else read_auto_approval(read_json_file(auto_approval), str(auto_approval)),
        learning=None
        if learning is None
        else read_rules(read_json_file(learning), str(learning)).manifest(),
    )
    name = set_policy(context.workspace, actor, by, rules)
    names, missing = missing_approvals(context.workspace, name)
    result = {"policy": name, "in_force": not missing, "approved_by": names, "missing": missing}
    text = f"policy {short(name)}: {needed} of {', '.join(approver) or 'anybody'}"
    if missing:
        text += f"\nnot in force: the policy before it asks for {missing} more\n"
        text += f"next, as another approver: greenroom approve {short(name)} --by NAME"
    answer(as_json, result, text)


@click.command("revoke")
@click.argument("release")
@click.option("--reason", required=True)
@as_json
@click.pass_obj
def revoke_command(context: Context, release: str, reason: str, as_json: bool) -> None:
    """Withdraw a release's approvals.

    It can be performed no more.
    """
    name = context.workspace.resolve(release, "release")
    revoke(context.workspace, name, context.user, reason)
    answer(as_json, {"release": name}, f"release {short(name)} is revoked")


COMMANDS = (key_group, policy_command, revoke_command)
