"""Commands on the store: `fsck`."""

from __future__ import annotations

import click

from greenroom.cli.context import Context, Heavy, answer, as_json


@click.command("fsck", cls=Heavy)
@as_json
@click.pass_context
def fsck_command(ctx: click.Context, as_json: bool) -> None:
    """Hash every object again, check the log, and compare every ref with it."""
    context: Context = ctx.obj
    found = context.workspace.fsck()
    bad = [{"what": f.what, "name": f.name, "reason": f.reason} for f in found.bad]
    lines = [f"{found.objects} objects, {found.entries} log entries, {found.refs} refs"]
    lines += [f"  bad {b['what']} {b['name']}: {b['reason']}" for b in bad] or ["  all sound"]
    answer(as_json, {"objects": found.objects, "bad": bad}, "\n".join(lines))
    if bad:
        ctx.exit(1)


COMMANDS = (fsck_command,)
