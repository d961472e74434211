"""`greenroom doctor`: go or no-go in one screen before a show."""

from __future__ import annotations

import sys
from typing import Any

import click

from greenroom.cli.context import ActorName, Context, FiniteRange, answer, as_json
from greenroom.services.doctor import (
    DoctorRequest,
    diagnosis_json,
    examine,
    lines_of,
)


@click.command("doctor")
@click.argument("actor", type=ActorName())
@click.option(
    "--in",
    "inputs",
    multiple=True,
    metavar="URL",
    help="A live input as perform is to have it; its sender is listened for.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="NETWORK",
    help="Who may send to a live input, as perform is to have it; repeatable.",
)
@click.option("--out", "outputs", multiple=True, metavar="URL", help="An output of the show.")
@click.option(
    "--hours",
    default=3.0,
    show_default=True,
    type=FiniteRange(0.01, 100),
    help="Length of the evening, for the disk.",
)
@as_json
@click.pass_context
def doctor_command(ctx: click.Context, /, actor: str, as_json: bool, **asked: Any) -> None:
    """Check this machine before a show: go or no-go.

    Each check has a limit and says what to do. A no ends with exit status 1.
    """
    context: Context = ctx.obj
    request = DoctorRequest(actor, **asked)

    def show(name: str) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"\r\x1b[Kchecking {name} …", err=True, nl=False)

    diagnosis = examine(context.workspace, request, show)
    if not as_json and sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    answer(as_json, diagnosis_json(diagnosis), "\n".join(lines_of(diagnosis)))
    if not diagnosis.go:
        ctx.exit(1)


COMMANDS = (doctor_command,)
