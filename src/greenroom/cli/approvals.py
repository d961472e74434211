"""Commands on who stands behind what: `key`, `policy`, `revoke`."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from greenroom.cli.context import Context, answer, as_json, short
from greenroom.errors import BadInput
from greenroom.registry.approval import revoke
from greenroom.registry.auto_approval import read_auto_approval
from greenroom.registry.policy import set_policy
from greenroom.registry.signing import key_path, keys_of, make_key, revoke_key
from greenroom.retraining.requests import read_rules
from greenroom.validation.gates import read_gates

DAY = click.DateTime(["%Y-%m-%d"])


@click.group("key")
def key_group() -> None:
    """Make, list and revoke the keys that approvals are signed with."""


@key_group.command("new")
@click.argument("name")
@click.option("--expires", type=DAY, help="Last day on which it counts, YYYY-MM-DD.")
@as_json
@click.pass_obj
def new_command(
    context: Context, name: str, expires: datetime.datetime | None, as_json: bool
) -> None:
    """Make somebody's key; its private half stays under HOME/keys."""
    key = make_key(context.workspace, name, None if expires is None else expires.date())
    path = key_path(context.workspace, name)
    answer(as_json, {"key": key.public, "file": str(path)}, f"key {short(key.public)} in {path}")


@key_group.command("list")
@as_json
@click.pass_obj
def list_command(context: Context, as_json: bool) -> None:
    """List every key that was ever known."""
    rows = [
        {
            "key": key.public,
            "owner": key.owner,
            "expires": None if key.expires is None else key.expires.isoformat(),
            "revoked": key.revoked,
        }
        for key in keys_of(context.workspace).values()
    ]
    lines = [
        f"{short(str(r['key']))}  {r['owner']}"
        + (f", until {r['expires']}" if r["expires"] else "")
        + (", revoked" if r["revoked"] else "")
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


def _json(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, RecursionError, msgspec.DecodeError) as error:
        raise BadInput(f"not readable as JSON: {error}", where=str(path)) from error


@click.command("policy")
@click.argument("actor")
@click.option("--by", required=True, metavar="NAME", help="Who signs it.")
@click.option("--needed", default=1, show_default=True, type=click.IntRange(1), help="Approvals.")
@click.option("--approver", multiple=True, metavar="NAME", help="Who may approve; default anybody.")
@click.option(
    "--gates", type=click.Path(path_type=Path), metavar="FILE", help="JSON: what a model must pass."
)
@click.option(
    "--standing",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON: what is approved without asking, until when and within which bounds.",
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
    standing: Path | None,
    learning: Path | None,
    as_json: bool,
) -> None:
    """Say who may approve releases of an actor, how many must, and what a model has to pass."""
    rules = [] if gates is None else read_gates(_json(gates), str(gates))
    bounded = None if standing is None else read_auto_approval(_json(standing), str(standing))
    when = None if learning is None else read_rules(_json(learning), str(learning)).manifest()
    name = set_policy(context.workspace, actor, by, needed, approver, rules, bounded, when)
    approvers = ", ".join(approver) or "anybody"
    answer(as_json, {"policy": name}, f"policy {short(name)}: {needed} of {approvers}")


@click.command("revoke")
@click.argument("release")
@click.option("--reason", required=True)
@as_json
@click.pass_obj
def revoke_command(context: Context, release: str, reason: str, as_json: bool) -> None:
    """Withdraw a release's approvals: it can be performed no more."""
    name = context.workspace.resolve(release, "release")
    revoke(context.workspace, name, context.user, reason)
    answer(as_json, {"release": name}, f"release {short(name)} is revoked")


COMMANDS = (key_group, policy_command, revoke_command)
