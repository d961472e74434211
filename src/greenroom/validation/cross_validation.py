"""Cross-validate how a model is trained: every take is judged once, by a model that never saw it.

Folds are scikit-learn's `GroupKFold`: whoever is in a take is in one fold only, so that a figure says
how the model will do on people it has not seen; where there are too few participants, a take is in one
fold only, and the answer says so. Each fold is a dataset, a model and a validation in the store like any
other, so a run that was cut off goes on with the folds that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import structs

from greenroom.contracts import Backend
from greenroom.errors import BadInput
from greenroom.extras import require
from greenroom.manifests import (
    CrossValidation,
    CrossValidationParents,
    Dataset,
    Fold,
    FoldParents,
    Model,
    Validation,
)
from greenroom.store.workspace import Workspace
from greenroom.validation.evaluator import validate
from greenroom.validation.sufficient_stats import StatsByTask, aggregate_figures, read_stats

Report = Callable[[int, int], None]
"""Called with (done, total), in thousandths of all folds."""
Opened = Callable[[Model], Backend]
"""Makes a model's graph run."""


@dataclass(frozen=True)
class FoldPlan:
    """What is done.

    Attributes:
        folds: how many, 2 at least.
        preset: the models' size.
        steps: optimiser steps of each.
        seed: of the folds and of each training.
    """

    folds: int = 5
    preset: str = "mini"
    steps: int = 1500
    seed: int = 0


Grouping = Literal["participant", "take"]


def take_groups(
    workspace: Workspace, takes: list[str], folds: int
) -> tuple[Grouping, dict[str, str]]:
    """Return what takes are grouped by, "participant" or "take", and {take: its group}.

    Participants, if there are enough for so many folds and each leaves two at least, one to train on and
    one to choose with; else each take is a group.
    """
    people = {
        take: ", ".join(sorted(workspace.attributions.of(take).participants)) for take in takes
    }
    number = len(set(people.values()))
    if number >= folds and number - -(-number // folds) >= 2:
        return "participant", people
    return "take", {take: take for take in takes}


def make_folds(
    groups: dict[str, str], folds: int, seed: int = 0
) -> list[tuple[list[str], list[str], list[str]]]:
    """Return (training, validation, test) takes of each fold; the tests are disjoint and are all takes.

    What chooses within a training is about a tenth of the rest, by whole groups too. Source:
    scikit-learn's `GroupKFold`, shuffled, once for the tests and once within each rest.

    Args:
        groups: {take: its group}.
        folds: how many, 2 at least.
        seed: of the shuffles.

    Raises:
        BadInput: too few groups.
        MissingExtra: scikit-learn is not installed.
    """
    model_selection = require("sklearn.model_selection", "train", "greenroom crossval")

    def split(takes: list[str], parts: int) -> list[list[str]]:
        number = len({groups[take] for take in takes})
        if not 2 <= parts <= number:
            group_count = len(set(groups.values()))
            raise BadInput(
                f"{folds} folds need more groups of takes than the {group_count} there are",
                then="fewer --folds, or ingest more takes",
            )
        splitter = model_selection.GroupKFold(parts, shuffle=True, random_state=seed)
        splits = splitter.split(takes, groups=[groups[take] for take in takes])
        return [[takes[i] for i in test] for _, test in splits]

    takes = sorted(groups)
    out = []
    for test in split(takes, folds):
        rest = [take for take in takes if take not in set(test)]
        validation_takes = split(rest, min(10, len({groups[take] for take in rest})))[0]
        out.append(
            ([take for take in rest if take not in set(validation_takes)], validation_takes, test)
        )
    return out


def cross_validate(
    workspace: Workspace,
    dataset: str,
    by: str,
    opened: Opened,
    plan: FoldPlan,
    report: Report = lambda done, total: None,
) -> str:
    """Train and judge a model a fold; publish the folds and their pooled figures; return the hash.

    The figures are of the sums over all takes, not averages over folds; intervals are over takes.

    Args:
        workspace: where all is published.
        dataset: its hash; all its takes are used, whatever its own splits.
        by: name of who asks.
        opened: function that loads a model's graph.
        plan: folds and training settings.
        report: called with thousandths of all folds.

    Raises:
        BadInput: too few groups of takes.
    """
    manifest = workspace.objects.read(dataset, Dataset)
    takes = sorted(take for split in manifest.splits.values() for take in split)
    grouped, groups = take_groups(workspace, takes, plan.folds)
    done: list[FoldParents] = []
    for n, splits in enumerate(make_folds(groups, plan.folds, plan.seed)):
        fold_name = f"fold {n + 1} of {plan.folds}"
        fold_dataset = _fold_dataset(manifest, dataset, fold_name, splits)
        name = workspace.publish(fold_dataset, by=by)

        def report_fold(thousandths: int, n: int = n) -> None:
            report(1000 * n + thousandths, 1000 * plan.folds)

        done.append(_fold(workspace, name, by, opened, plan=plan, report_fold=report_fold))
        report_fold(1000)
    cross_validation = CrossValidation(
        actor=manifest.actor,
        folds=done,
        grouped_by=grouped,
        preset=plan.preset,
        steps=plan.steps,
        seed=plan.seed,
        figures=aggregate_figures(_pooled(workspace, done)),
        parents=CrossValidationParents(
            dataset=dataset, validations=[fold.validation for fold in done]
        ),
    )
    return workspace.publish(cross_validation, by=by)


def _fold_dataset(
    manifest: Dataset, dataset: str, name: str, splits: tuple[list[str], list[str], list[str]]
) -> Dataset:
    """Return the dataset of a fold.

    Args:
        manifest: of the dataset that is split.
        dataset: its hash.
        name: of the fold.
        splits: training, validation and test takes.
    """
    train, validation, test = splits
    return structs.replace(
        manifest,
        name=f"{manifest.name} {name}",
        splits={"test": test, "validation": validation, "train": train},
        parents=structs.replace(manifest.parents, dataset=dataset),
    )


def _pooled(workspace: Workspace, folds: Sequence[FoldParents]) -> StatsByTask:
    """Return the sums of all takes of all folds."""
    pooled: StatsByTask = {}
    for fold in folds:
        stats = read_stats(workspace.objects.read(fold.validation, Validation))
        for task, metrics in stats.items():
            for metric, rows in metrics.items():
                pooled.setdefault(task, {}).setdefault(metric, {}).update(rows)
    return pooled


def _fold(
    workspace: Workspace,
    dataset: str,
    by: str,
    opened: Opened,
    plan: FoldPlan,
    report_fold: Callable[[int], None],
) -> FoldParents:
    """Return a fold, as it is in the store or made now."""
    require("lightning", "train", "greenroom crossval")
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import TrainOptions, train

    recipe = Recipe(steps=plan.steps, seed=plan.seed)
    model = find_trained_model(workspace, dataset, plan.preset, recipe.manifest())
    if model is None:
        model = train(
            workspace,
            dataset,
            by,
            preset=plan.preset,
            recipe=recipe,
            options=TrainOptions(
                progress=lambda step, total, values: report_fold(800 * step // max(total, 1))
            ),
        )
    existing = _existing_fold(workspace, model)
    if existing is None:
        validation = validate(
            workspace,
            model,
            opened(workspace.objects.read(model, Model)),
            by,
            progress=lambda done, total: report_fold(800 + 200 * done // max(total, 1)),
        )
        existing = FoldParents(dataset=dataset, model=model, validation=validation)
        workspace.publish(Fold(parents=existing), by=by)
    return existing


def _existing_fold(workspace: Workspace, model: str) -> FoldParents | None:
    """Return the fold of a model if it was judged on all that it can do; None else."""
    for name in workspace.catalog.children(model):
        manifest = workspace.objects.read_any(name)
        if isinstance(manifest, Fold):
            return manifest.parents
    return None


def find_trained_model(
    workspace: Workspace, dataset: str, preset: str, recipe: dict[str, Any]
) -> str | None:
    """Return the model that was trained on a dataset so, by the code of today; None where there is none.

    Args:
        workspace: where it would be.
        dataset: its hash.
        preset: its size.
        recipe: hyperparameters, all of which must be the same.
    """
    from greenroom.training.recipe import code_version

    for name in workspace.catalog.children(dataset):
        manifest = workspace.objects.read_any(name)
        if not isinstance(manifest, Model) or manifest.preset != preset:
            continue
        same = recipe.items() <= manifest.recipe.items()
        if same and manifest.recipe.get("processes", 1) == 1:
            if manifest.recipe_version == code_version():
                return str(name)
    return None
