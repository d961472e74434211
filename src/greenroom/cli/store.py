"""Commands on the store: `fsck`."""

from __future__ import annotations

import click

from greenroom.cli.context import Context, Heavy, answer, as_json


@click.command("fsck", cls=Heavy)
@as_json
@click.pass_context
def fsck_command(ctx: click.Context, as_json: bool) -> None:
    """Check every object, the log and every ref."""
    context: Context = ctx.obj
    fsck_report = context.workspace.fsck()
    corrupt = [{"what": f.what, "name": f.name, "reason": f.reason} for f in fsck_report.bad]
    lines = [
        f"{fsck_report.objects} objects, {fsck_report.entries} log entries, {fsck_report.refs} refs"
    ]
    lines += [f"  bad {b['what']} {b['name']}: {b['reason']}" for b in corrupt] or ["  all sound"]
    answer(as_json, {"objects": fsck_report.objects, "bad": corrupt}, "\n".join(lines))
    if corrupt:
        ctx.exit(1)


COMMANDS = (fsck_command,)
