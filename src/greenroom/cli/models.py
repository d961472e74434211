"""Commands on models: `train`, `track`, `validate`, `model_card`, `approve`, `promote`."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from greenroom.cli.context import ActorName, Context, Heavy, answer, as_json, meter, short
from greenroom.cli.experiments import table
from greenroom.cli.training_progress import TrainingProgress
from greenroom.registry.promote import promote, rollback
from greenroom.services.models import (
    EvalRequest,
    PolicyApproval,
    TrainingHooks,
    TrainRequest,
    approve_object,
    mirror_runs,
    release_card,
    train_model,
    validate_model,
)
from greenroom.validation.eval_model import TASKS
from greenroom.validation.ratings import lines_of


@click.command("train", cls=Heavy)
@click.argument("dataset")
@click.option("--preset", default="mini", show_default=True, help="tokens, mini or small.")
@click.option("--steps", type=click.IntRange(1), help="Default: the preset's.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--processes", default=1, show_default=True, type=click.IntRange(1), help="That share a batch."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="To train on; auto is CUDA where there is one.",
)
@click.option("--search", metavar="SEARCH", help="Train with its best recipe.")
@click.option("--start", metavar="MODEL", help="Begin with what this model has learned.")
@click.option(
    "--track",
    multiple=True,
    metavar="TRACKER",
    help="mlflow, mlflow:URL, wandb or tensorboard.",
)
@as_json
@click.pass_obj
def train_command(
    context: Context,
    dataset: str,
    preset: str,
    steps: int | None,
    seed: int,
    processes: int,
    device: str,
    search: str | None,
    start: str | None,
    track: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train a model on a dataset; needs `train`.

    Interrupted, it goes on from its last checkpoint when run again.
    """
    request = TrainRequest(
        dataset,
        preset,
        steps=steps,
        seed=seed,
        processes=processes,
        device=device,
        search=search,
        start=start,
        trackers=track,
    )
    show = TrainingProgress(as_json)
    model = train_model(
        context.workspace, request, context.user, TrainingHooks(show.step, show.phase, _warn)
    )
    answer(
        as_json,
        {"model": model},
        f"model {model}\nnext: greenroom validate {short(model)}",
    )


def _warn(message: str) -> None:
    """Print what went wrong while a training continues."""
    click.echo(f"greenroom: {message}", err=True)


@click.command("track")
@click.option(
    "--to", required=True, metavar="TRACKER", help="mlflow, mlflow:URL, wandb, tensorboard."
)
@as_json
@click.pass_obj
def track_command(context: Context, to: str, as_json: bool) -> None:
    """Mirror runs to MLflow, W&B or TensorBoard.

    Only what the tracker has not got yet is sent.
    """
    sent = mirror_runs(context.workspace, to)
    lines = [f"{run}  {count} events" for run, count in sent.items() if count]
    answer(as_json, {"sent": sent}, "\n".join(lines) or "nothing is waiting")


@click.command("validate", cls=Heavy)
@click.argument("model")
@click.option(
    "--on",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Recordings; default its test split.",
)
@click.option("--task", multiple=True, type=click.Choice(TASKS), help="Default all it can.")
@click.option("--label-pattern", metavar="PATTERN", help="Styles in file names: 'x_{style}_{n}'.")
@click.option(
    "--ratings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="What people said of it: clip, rater, condition, rating (1 to 5).",
)
@click.option(
    "--free-run",
    default=0,
    type=click.IntRange(0, 120),
    metavar="MINUTES",
    help="Let it go on with nothing captured for so long as well; 10 is a fair trial.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it as HTML.",
)
@as_json
@click.pass_obj
def validate_command(
    context: Context,
    model: str,
    on: tuple[Path, ...],
    task: tuple[str, ...],
    label_pattern: str | None,
    ratings: Path | None,
    free_run: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Judge a model on whole takes, beside baselines.

    The baselines are fitted on its own training takes.
    """
    request = EvalRequest(
        model,
        on,
        tasks=task,
        label_pattern=label_pattern,
        ratings=ratings,
        free_run_minutes=free_run,
        report=report,
    )
    judged = validate_model(
        context.workspace,
        request,
        context.user,
        progress=meter("judging", as_json),
        warn=lambda line: click.echo(line, err=True),
    )
    lines = table(judged.figures)
    result: dict[str, Any] = dict(judged.figures)
    if judged.study is not None:
        result, lines = {**result, "study": judged.study}, [*lines, *lines_of(judged.study)]
    lines.append(f"validation {judged.validation}")
    if not on:
        lines.append(f"next: greenroom approve {short(judged.model)} --by NAME")
    answer(as_json, result, "\n".join(lines))


@click.command("approve")
@click.argument("name", metavar="MODEL|RELEASE|POLICY")
@click.option("--by", required=True, metavar="NAME", help="Who approves.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day on which it counts.")
@as_json
@click.pass_obj
def approve_command(
    context: Context, name: str, by: str, until: datetime.datetime | None, as_json: bool
) -> None:
    """Sign an approval of a model, release or policy.

    Approving a model makes a release of it.

    It takes a key: greenroom key new NAME.
    """
    approved = approve_object(context.workspace, name, by, None if until is None else until.date())
    if isinstance(approved, PolicyApproval):
        names, missing = ", ".join(approved.approved_by), approved.missing
        text = "in force" if approved.in_force else f"not in force yet: {missing} more must approve"
        headline = f"policy {short(approved.policy)}, approved by {names}: {text}"
        answer(as_json, msgspec.structs.asdict(approved), headline)
        return
    release, missing = approved.release, approved.missing
    then = f"promote {approved.actor} {short(release)}"
    if missing:
        then = f"approve {short(release)} --by NAME  ({missing} more must)"
    answer(
        as_json,
        {"release": release, "approvers": approved.approvers, "missing": missing},
        f"release {release}, approved by {by}\nnext: greenroom {then}",
    )


@click.command("card")
@click.argument("release")
@as_json
@click.pass_obj
def card_command(context: Context, release: str, as_json: bool) -> None:
    """Print a release's card."""
    name = context.workspace.resolve(release, "release")
    text = release_card(context.workspace, name)
    answer(as_json, {"release": name, "card": text}, text.rstrip())


@click.command("promote")
@click.argument("actor", type=ActorName())
@click.argument("release")
@as_json
@click.pass_obj
def promote_command(context: Context, actor: str, release: str, as_json: bool) -> None:
    """Put a release on stage for an actor."""
    name = context.workspace.resolve(release, "release")
    previous = promote(context.workspace, actor, name, context.user)
    result = {"actor": actor, "release": name, "previous": previous}
    headline = f"{actor} performs {short(name)}; before: {short(previous)}"
    answer(as_json, result, f"{headline}\nnext: greenroom perform {actor} --in take:TAKE")


@click.command("rollback")
@click.argument("actor", type=ActorName())
@as_json
@click.pass_obj
def rollback_command(context: Context, actor: str, as_json: bool) -> None:
    """Put the release before the one on stage back.

    A running show follows at once.
    """
    back, left = rollback(context.workspace, actor, context.user)
    result = {"actor": actor, "release": back, "left": left}
    answer(as_json, result, f"{actor} performs {short(back)} again; {short(left)} left the stage")


COMMANDS = (
    train_command,
    track_command,
    validate_command,
    card_command,
    approve_command,
    promote_command,
    rollback_command,
)
