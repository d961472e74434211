"""Commands on models: `train`, `approve`, `promote`."""

from __future__ import annotations

import datetime

import click

from greenroom.cli.context import Context, answer, as_json, meter, short
from greenroom.errors import MissingExtra
from greenroom.registry.promote import promote
from greenroom.registry.release import approve


@click.command("train")
@click.argument("dataset")
@click.option("--preset", default="mini", show_default=True)
@click.option("--steps", default=1500, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--processes", default=1, show_default=True, type=click.IntRange(1), help="That share a batch."
)
@as_json
@click.pass_obj
def train_command(
    context: Context,
    dataset: str,
    preset: str,
    steps: int,
    seed: int,
    processes: int,
    as_json: bool,
) -> None:
    """Train a model on a dataset; needs the extra `train`. Interrupted, it goes on when run again."""
    try:
        from greenroom.training.rollout import Recipe
        from greenroom.training.train import train
    except ModuleNotFoundError as error:
        raise MissingExtra("greenroom train", "train") from error
    name = context.workspace.resolve(dataset, "dataset")
    show = meter("training", as_json)
    model = train(
        context.workspace,
        name,
        context.user,
        preset,
        Recipe(steps=steps, seed=seed),
        lambda step, total, figures: show(step, total),
        processes,
    )
    answer(
        as_json,
        {"model": model},
        f"model {model}\nnext: greenroom approve {short(model)} --by NAME",
    )


@click.command("approve")
@click.argument("model")
@click.option("--by", required=True, metavar="NAME", help="Who approves.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day on which it counts.")
@as_json
@click.pass_obj
def approve_command(
    context: Context, model: str, by: str, until: datetime.datetime | None, as_json: bool
) -> None:
    """Make a release of a model and sign its approval; who has no key yet gets one."""
    release = approve(
        context.workspace,
        context.workspace.resolve(model, "model"),
        by,
        None if until is None else until.date(),
    )
    answer(as_json, {"release": release}, f"release {release}, approved by {by}")


@click.command("promote")
@click.argument("actor")
@click.argument("release")
@as_json
@click.pass_obj
def promote_command(context: Context, actor: str, release: str, as_json: bool) -> None:
    """Put a release on stage for an actor."""
    name = context.workspace.resolve(release, "release")
    previous = promote(context.workspace, actor, name, context.user)
    result = {"actor": actor, "release": name, "previous": previous}
    answer(as_json, result, f"{actor} performs {short(name)}; before: {short(previous)}")


COMMANDS = (train_command, approve_command, promote_command)
