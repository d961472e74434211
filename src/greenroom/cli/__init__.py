"""The `greenroom` command; a file per room."""

from __future__ import annotations

import sys
from typing import Any

import click

from greenroom import __version__
from greenroom.cli import (
    approvals,
    experiments,
    jobs,
    learning,
    models,
    parts,
    rehearsals,
    shows,
    store,
    takes,
    watching,
)
from greenroom.cli.context import Context, answer
from greenroom.config import home
from greenroom.errors import GreenroomError


class _Group(click.Group):
    """Format every error as one line that says what to do next; the only place that does."""

    def main(self, args: Any = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]  # click's has overloads
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            what = " ".join(error.format_message().split()).rstrip(".")
            at = getattr(error, "ctx", None)
            then = f"{at.command_path if at else 'greenroom'} --help"
            click.echo(f"greenroom: {what}; see: {then}", err=True)
            sys.exit(error.exit_code)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        ctx.meta["rest"] = list(ctx.args)  # what comes after the command's name
        try:
            return super().invoke(ctx)
        except GreenroomError as error:
            click.echo(f"greenroom: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("greenroom: interrupted; what was finished is kept", err=True)
            ctx.exit(130)
        except OSError as error:
            click.echo(f"greenroom: {error.filename or ''}: {error.strerror or error}", err=True)
            ctx.exit(1)


@click.group("greenroom", cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option(
    "--home", "folder", metavar="DIR", help="The workspace [GREENROOM_HOME, ~/.greenroom]."
)
@click.option(
    "--detach", is_flag=True, help="Run the command by itself; see it with `greenroom jobs`."
)
@click.pass_context
def main(ctx: click.Context, folder: str | None, detach: bool) -> None:
    """Keep a live virtual performer's model in shape."""
    ctx.obj = Context(home(folder))
    if detach:
        assert ctx.invoked_subcommand is not None
        name = jobs.detach(ctx.obj.workspace.home, [ctx.invoked_subcommand, *ctx.meta["rest"]])
        as_json = "--json" in ctx.meta["rest"]
        answer(as_json, {"job": name}, f"job {name}\nnext: greenroom jobs {name}")
        ctx.exit(0)


ROOMS = (
    takes,
    models,
    parts,
    experiments,
    rehearsals,
    approvals,
    learning,
    shows,
    watching,
    store,
    jobs,
)
for command in (command for room in ROOMS for command in room.COMMANDS):
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
