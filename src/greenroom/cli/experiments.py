"""Commands that try things out: `crossval`, `search`, `ratings`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from greenroom.cli.context import (
    Context,
    Heavy,
    TrainingChoice,
    answer,
    as_json,
    meter,
    short,
    training_options,
)
from greenroom.manifests import CrossValidation, Figure, Search
from greenroom.serving.onnx_backend import open_model
from greenroom.store.objects import write_durably
from greenroom.validation.cross_validation import FoldPlan, cross_validate
from greenroom.validation.ratings import lines_of, read_ratings, summary
from greenroom.validation.search import search
from greenroom.validation.search_report import search_report
from greenroom.validation.search_space import SearchPlan, load_space


def table(figures: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    """Return the lines of a validation's figures."""
    lines = [f"{'':24}{'model':>9}{'baseline':>9}   95 % interval     gain over the baseline"]
    for of, metrics in figures.items():
        for metric, row in metrics.items():
            ci, gain = ("{:8.3f} … {:<8.3f}".format(*ends) for ends in (row.ci, row.gain))
            label = f"{of}.{metric}"
            lines.append(f"{label:24}{row.model:9.3f}{row.baseline:9.3f}   {ci}{gain}")
    return lines


@click.command("crossval", cls=Heavy)
@click.argument("dataset")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), metavar="K")
@training_options(steps=1500)
@as_json
@click.pass_obj
def crossval_command(
    context: Context, dataset: str, folds: int, training: TrainingChoice, as_json: bool
) -> None:
    """Cross-validate a training.

    A model is trained and judged per fold, so that every take is judged by one that never saw it.

    Needs the extra `train`. Interrupted, it goes on when run again.
    """
    workspace = context.workspace
    name = workspace.resolve(dataset, "dataset")
    crossval = cross_validate(
        workspace,
        name,
        by=context.user,
        opened=partial(open_model, workspace),
        plan=FoldPlan(folds, training.preset, training.steps, training.seed),
        report=meter("folds, in thousandths", as_json),
    )
    manifest = workspace.objects.read(crossval, CrossValidation)
    result = {
        "crossval": crossval,
        "grouped_by": manifest.grouped_by,
        "folds": manifest.folds,
        "figures": manifest.figures,
    }
    headline = f"{folds} folds, no {manifest.grouped_by} in two of them"
    answer(as_json, result, "\n".join([headline, *table(manifest.figures), f"crossval {crossval}"]))


@click.command("search", cls=Heavy)
@click.argument("dataset")
@click.option("--trials", required=True, type=click.IntRange(1), metavar="N", help="In all.")
@click.option(
    "--space",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="What may be chosen, as JSON.",
)
@click.option("--metric", default="infill.limb_deg", show_default=True)
@training_options(steps=500)
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write it as HTML.")
@as_json
@click.pass_obj
def search_command(
    context: Context,
    dataset: str,
    trials: int,
    space: Path | None,
    metric: str,
    training: TrainingChoice,
    report: Path | None,
    as_json: bool,
) -> None:
    """Search for better hyperparameters.

    Each trial is judged on the validation split.

    Needs the extra `train`. Interrupted, or asked for more trials, it goes on when run again.
    """
    workspace = context.workspace
    name = workspace.resolve(dataset, "dataset")
    plan = SearchPlan(
        trials,
        metric,
        preset=training.preset,
        steps=training.steps,
        seed=training.seed,
        space=load_space(space),
    )
    show = meter("trials, in thousandths", as_json)
    search_hash = search(
        workspace,
        name,
        by=context.user,
        opened=partial(open_model, workspace),
        plan=plan,
        report=show,
    )
    manifest = workspace.objects.read(search_hash, Search)
    if report is not None:
        write_durably(report, search_report(search_hash, manifest).encode())
    best = None if manifest.best is None else manifest.trials[manifest.best]
    result = {"search": search_hash, "best": best, "trials": manifest.trials, "metric": metric}
    completed = sum(trial.value is not None for trial in manifest.trials)
    lines = [
        f"{len(manifest.trials)} trials, {len(manifest.trials) - completed} of them ended early"
    ]
    if best is not None:
        lines.append(f"best {metric} {best.value:.4g}: {_recipe_text(best.recipe)}")
        lines.append(f"next: greenroom train {short(name)} --search {short(search_hash)}")
    answer(as_json, result, "\n".join([*lines, f"search {search_hash}"]))


def _recipe_text(recipe: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in recipe.items()
    )


@click.command("ratings")
@click.argument("csv", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
def ratings_command(csv: Path, as_json: bool) -> None:
    """Summarise people's ratings of clips.

    Mean opinion scores with intervals, and how far the raters agree.
    """
    study = summary(read_ratings(csv.read_bytes(), str(csv)))
    answer(as_json, study, "\n".join(lines_of(study)))


COMMANDS = (crossval_command, search_command, ratings_command)
