"""`list` and `show` of what a workspace has: `dataset`, `model`, `release` and `show`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from greenroom.cli.context import Context, answer, as_json, short
from greenroom.cli.show_export import export_command
from greenroom.errors import CheckFailed
from greenroom.services.shows import cut_off_shows, recover_cut_off

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]
_SINCE: _Decorator = click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Begun on this UTC day or later, such as 2026-11-30.",
)


def _unchanged(command: Callable[..., None]) -> Callable[..., None]:
    return command


def listing(group: click.Group, kind: str) -> click.Group:
    """Give a group of commands `list` and `show` of one kind of object; return it."""

    @group.command("list", help=f"List {kind}s in the order in which they came.")
    @click.option("--actor", default=None, help="Of this actor only.")
    @(_SINCE if kind == "show" else _unchanged)
    @as_json
    @click.pass_obj
    def list_command(
        context: Context, actor: str | None, as_json: bool, since: datetime | None = None
    ) -> None:
        from greenroom.services.listing import rows_of

        rows = rows_of(context.workspace, kind, actor, since and since.date())
        lines = [
            f"{short(row[kind])}  {row['date']}  {row['length']:>12}  {row['actor']:12}  {row['name']}"
            for row in rows
        ]
        answer(as_json, {f"{kind}s": rows}, "\n".join(lines) or f"no {kind}s yet: greenroom")
        if kind == "show" and (cut_off := cut_off_shows(context.workspace)):
            note = f"{cut_off} more cut off before its end; to keep it: greenroom show recover"
            click.echo(note, err=True)

    @group.command("show", help=f"Show a {kind}: its manifest, and what it was made from.")
    @click.argument(kind)
    @as_json
    @click.pass_obj
    def show_command(context: Context, /, as_json: bool, **name: str) -> None:
        from greenroom.manifests import to_json

        workspace = context.workspace
        object_hash = workspace.resolve(name[kind], kind)
        manifest = to_json(workspace.objects.read_any(object_hash))
        text = "\n".join([f"{kind} {object_hash}", *manifest_lines(manifest)])
        answer(as_json, {kind: object_hash, "manifest": manifest}, text)

    return group


def manifest_lines(manifest: dict[str, Any]) -> list[str]:
    """Return a manifest as people read it: a line per field, long values cut with their length."""
    lines = []
    for name, value in manifest.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > 100:
            count = f" ({len(value)} entries)" if isinstance(value, list | dict) else ""
            text = f"{text[:96]} …{count}"
        lines.append(f"  {name:16} {text}")
    return lines


def plain_words(value: Any) -> str:
    """Return a value of a manifest as people read it.

    >>> plain_words({"formats": {"body": "bvh"}, "people": ["Ada", "Ben"], "looped": False, "rig": None})
    'formats (body bvh), people Ada, Ben, looped no, rig none'
    """
    if isinstance(value, dict):
        return ", ".join(
            f"{key} ({plain_words(each)})"
            if isinstance(each, dict)
            else f"{key} {plain_words(each)}"
            for key, each in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(plain_words, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else str(value)


@click.group("model")
def model_group() -> None:
    """List and show models."""


@click.group("release")
def release_group() -> None:
    """List and show releases."""


@click.group("show")
def show_group() -> None:
    """List, show and export recorded shows."""


listing(model_group, "model")
listing(release_group, "release")
listing(show_group, "show")
show_group.add_command(export_command)


@show_group.command("recover")
@as_json
@click.pass_obj
def recover_command(context: Context, as_json: bool) -> None:
    """Finish shows and recorded takes that were cut off.

    The next show does the same when it starts.
    """
    shows, faults = recover_cut_off(context.workspace)
    lines = [f"{e.kind} {e.name}  {e.actor}, {e.frames:,} frames" for e in shows]
    result = {"recovered": [each.json() for each in shows], "faults": faults}
    answer(as_json, result, "\n".join([*lines, *faults]) or "nothing was cut off")
    if faults:
        raise CheckFailed(
            f"{len(faults)} could not be finished",
            then="the lines above say why; all that was recorded is still there",
        )
