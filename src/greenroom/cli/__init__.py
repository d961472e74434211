"""The `greenroom` command: a file per noun, each imported when its command is first asked for."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from greenroom import __version__
from greenroom.cli.context import Context, answer, with_home
from greenroom.config import home
from greenroom.errors import GreenroomError


class Lazy(NamedTuple):
    """Where a command is, and its help, so that `--help` imports none of them.

    Attributes:
        module: of `greenroom.cli`.
        attribute: the command in it.
        summary: what the command's own help begins with.
    """

    module: str
    attribute: str
    summary: str


SECTIONS: dict[str, dict[str, Lazy]] = {
    "Record": {
        "ingest": Lazy(
            "takes", "ingest_command", "Keep recordings (files, folders, archives) as takes."
        ),
        "record": Lazy(
            "record", "record_command", "Record live inputs as a take, until Ctrl-C or for an hour."
        ),
        "take": Lazy("takes", "take_group", "List, show and export takes."),
        "dataset": Lazy(
            "takes", "dataset_group", "Freeze takes into datasets; list and show them."
        ),
    },
    "Train": {
        "train": Lazy("models", "train_command", "Train a model on a dataset; needs `train`."),
        "validate": Lazy(
            "models", "validate_command", "Judge a model on whole takes, beside baselines."
        ),
        "crossval": Lazy("experiments", "crossval_command", "Cross-validate a training."),
        "search": Lazy("experiments", "search_command", "Search for better hyperparameters."),
        "model": Lazy("listing", "model_group", "List and show models."),
        "part": Lazy("parts", "part_group", "Fit, list and exchange parts of a model."),
        "track": Lazy("models", "track_command", "Mirror runs to MLflow, W&B or TensorBoard."),
        "ratings": Lazy("experiments", "ratings_command", "Summarise people's ratings of clips."),
    },
    "Release": {
        "sandbox": Lazy(
            "rehearsals", "sandbox_command", "Compare two models on the same shows and takes."
        ),
        "release": Lazy("listing", "release_group", "List and show releases."),
        "card": Lazy("models", "card_command", "Print a release's card."),
        "key": Lazy("approvals", "key_group", "Make, list, sign and revoke keys."),
        "policy": Lazy(
            "approvals", "policy_command", "Sign who approves, and what a model has to pass."
        ),
        "approve": Lazy(
            "models", "approve_command", "Sign an approval of a model, release or policy."
        ),
        "revoke": Lazy("approvals", "revoke_command", "Withdraw a release's approvals."),
        "promote": Lazy("models", "promote_command", "Put a release on stage for an actor."),
        "rollback": Lazy(
            "models", "rollback_command", "Put the release before the one on stage back."
        ),
    },
    "Perform": {
        "doctor": Lazy(
            "doctor", "doctor_command", "Check this machine before a show: go or no-go."
        ),
        "calibrate": Lazy(
            "calibrate",
            "calibrate_command",
            "Fit a live body to an actor by a T-pose of three seconds.",
        ),
        "demo": Lazy(
            "shows",
            "demo_command",
            "Perform the embedded release, lose the capture, replay the show.",
        ),
        "perform": Lazy("shows", "perform_command", "Perform live at 30 fps and record the show."),
        "control": Lazy(
            "shows", "control_command", "Hold or cut a running show, within two frames."
        ),
        "show": Lazy("listing", "show_group", "List, show and export recorded shows."),
        "replay": Lazy("shows", "replay_command", "Replay a show bit for bit, or export it."),
        "serve": Lazy("shows", "serve_command", "Serve page, API and metrics over this workspace."),
        "serve-model": Lazy(
            "serve_model",
            "serve_model_command",
            "Serve a release's model to other machines' shows.",
        ),
    },
    "Watch": {
        "alerts": Lazy("watching", "alerts_command", "List the alerts of shows."),
        "monitor": Lazy("monitor", "monitor_group", "Look at a show's statistics."),
        "satisfaction": Lazy("watching", "satisfaction_command", "Keep a survey of an audience."),
        "retrain": Lazy(
            "learning", "retrain_command", "Retrain an actor's model and bring it on stage."
        ),
        "run": Lazy("learning", "run_group", "Runs of the retraining pipeline."),
    },
    "Workspace": {
        "fsck": Lazy("store", "fsck_command", "Check every object, the log and every ref."),
        "jobs": Lazy("jobs", "jobs_command", "List what `--detach` started."),
        "completion": Lazy(
            "completion", "completion_command", "Print a shell's completion script."
        ),
    },
}
"""The commands by what they are for, in the order in which a newcomer meets them."""
COMMANDS = {name: lazy for commands in SECTIONS.values() for name, lazy in commands.items()}

BEGINNING = ("ingest", "demo", "key")
"""What may begin a workspace; every other command needs one that is there."""


def split_home(args: Sequence[str]) -> tuple[list[str], str | None]:
    """Return arguments without `--home DIR`, and DIR: it may stand before or after the command.

    >>> split_home(["take", "list", "--home", "x"]), split_home(["--home=y", "fsck", "--", "--home"])
    ((['take', 'list'], 'x'), (['fsck', '--', '--home'], 'y'))
    """
    rest: list[str] = []
    folder = None
    pending = list(args)
    while pending:
        word = pending.pop(0)
        if word == "--":
            return [*rest, word, *pending], folder
        if word == "--home" and pending:
            folder = pending.pop(0)
        elif word.startswith("--home="):
            folder = word.removeprefix("--home=")
        else:
            rest.append(word)
    return rest, folder


class _Group(click.Group):
    """Import commands when they are asked for, and print every error as one line: what, where, then."""

    def main(self, args: Any = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]  # click's has overloads
        rest, folder = split_home(sys.argv[1:] if args is None else list(args))
        args = rest if folder is None else ["--home", folder, *rest]
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            message = " ".join(error.format_message().split()).rstrip(".")
            at = getattr(error, "ctx", None)
            then = f"{at.command_path if at else 'greenroom'} --help"
            click.echo(f"greenroom: {message}; see: {then}", err=True)
            sys.exit(error.exit_code)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        ctx.meta["rest"] = list(ctx.args)  # what comes after the command's name
        try:
            return super().invoke(ctx)
        except GreenroomError as error:
            click.echo(f"greenroom: {with_home(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as error:
            message = str(error) or "interrupted; what was finished is kept"
            click.echo(f"greenroom: {message}", err=True)
            ctx.exit(130)
        except OSError as error:
            click.echo(f"greenroom: {error.filename or ''}: {error.strerror or error}", err=True)
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module = importlib.import_module(f"greenroom.cli.{lazy.module}")
        command: click.Command = getattr(module, lazy.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f", did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"there is no command '{args[0]}'{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, lazy.summary) for name, lazy in commands.items()])


@click.group(
    "greenroom",
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__)
@click.option(
    "--home",
    "folder",
    metavar="DIR",
    help="The workspace, before or after the command [GREENROOM_HOME, ~/.greenroom].",
)
@click.option(
    "--detach", is_flag=True, help="Run the command by itself; see it with `greenroom jobs`."
)
@click.pass_context
def main(ctx: click.Context, folder: str | None, detach: bool) -> None:
    """Keep a live virtual performer's model in shape.

    Alone, it says what this workspace has and what to do next.
    """
    ctx.obj = Context(home(folder))
    if ctx.invoked_subcommand is None:
        from greenroom.services.overview import overview

        click.echo(with_home(overview(ctx.obj.begin())))
    elif detach:
        if ctx.invoked_subcommand not in BEGINNING:
            _ = ctx.obj.workspace  # has to be there; the job's folder would begin one
        from greenroom.services.jobs import detach as start_job

        name = start_job(ctx.obj.home, [ctx.invoked_subcommand, *ctx.meta["rest"]])
        as_json = "--json" in ctx.meta["rest"]
        answer(as_json, {"job": name}, f"job {name}\nnext: greenroom jobs {name}")
        ctx.exit(0)


if __name__ == "__main__":
    sys.exit(main())
