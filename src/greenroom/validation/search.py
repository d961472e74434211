"""Search for a better recipe with Optuna, trial after trial, resumable and without telling anybody.

A study is what was asked: dataset, space, metric, preset, steps, seed, code. Asking the same again goes
on with it. Trials work on a dataset of their own, without the test split: they are judged on the whole
takes of what was the validation split, beside the floors, and choose with a tenth of what was the
training split. So nothing that a trial is judged on has chosen anything in it, and the winner can still
be judged on the test split. The sampler draws by how many trials have ended, not by what was drawn
before: a search that was cut off proposes what it would have proposed.

Optuna keeps the study in `search/optuna.sqlite` of the workspace. A trial works in a folder of its own,
named by its recipe, and goes on from its last checkpoint if it was cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from msgspec import structs

from greenroom.errors import BadInput
from greenroom.extras import require
from greenroom.manifests import Dataset, Search
from greenroom.store.objects import canonical, digest
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import TASKS
from greenroom.validation.search_space import Opened, Report, SearchPlan


def search(
    workspace: Workspace,
    dataset: str,
    by: str,
    opened: Opened,
    plan: SearchPlan,
    report: Report = lambda done, total: None,
) -> str:
    """Run the missing trials of a search, publish it, and return its hash.

    Args:
        workspace: where all is published.
        dataset: its hash.
        by: name of who asks.
        opened: function that loads a model's graph.
        plan: of the search.
        report: called with (done, total), in thousandths of trials.

    Raises:
        BadInput: the metric is none, or the same search runs elsewhere.
        MissingExtra: the extra `train` is not installed.
        Refused: a take's rights do not cover training today.
    """
    if plan.metric.partition(".")[0] not in TASKS:
        raise BadInput(f"'{plan.metric}' is no metric", then="like infill.limb_deg")
    optuna = require("optuna", "train", "greenroom search")
    from greenroom.training.recipe import Recipe, code_version
    from greenroom.validation.search_trials import Trials, TrialSetting

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recipe = Recipe(steps=plan.steps, seed=plan.seed)
    request = _request(dataset, plan, recipe.manifest(), code_version())
    name, folder = digest(canonical(request))[:16], workspace.home / "search"
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive_lock(folder / f"{name}.lock"):
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.sqlite'}")
        study = optuna.create_study(
            study_name=name, storage=storage, load_if_exists=True, direction="minimize"
        )
        inner = workspace.publish(inner_of(workspace, dataset), by=by)
        setting = TrialSetting(workspace, dataset, inner, by, opened=opened, plan=plan)
        trials = Trials(setting, study, folder / name)
        try:
            trials.run(report)
            return workspace.publish(trials.manifest(request), by=by)
        finally:
            storage.engine.dispose()


def _request(dataset: str, plan: SearchPlan, recipe: dict[str, Any], code: str) -> dict[str, Any]:
    """Return what a study searches, by whose hash it is named."""
    return {
        "dataset": dataset,
        "space": {name: choice.manifest() for name, choice in plan.space.items()},
        "metric": plan.metric,
        "preset": plan.preset,
        "recipe": recipe,
        "recipe_version": code,
    }


def inner_of(workspace: Workspace, dataset: str) -> Dataset:
    """Return the dataset that trials work on: the test split left out, the validation split as test.

    A tenth of the training split, the first of it by hash, becomes what is chosen with.

    Raises:
        BadInput: there is too little to train on.
    """
    manifest = workspace.objects.read(dataset, Dataset)
    train = sorted(manifest.splits["train"])
    tenth = max(1, round(len(train) / 10))
    if len(train) <= tenth:
        raise BadInput(
            f"a search needs two takes to train on; dataset {dataset[:12]} has {len(train)}",
            then="ingest more takes",
        )
    splits = {
        "test": manifest.splits["validation"],
        "validation": train[:tenth],
        "train": train[tenth:],
    }
    used = sorted(take for takes in splits.values() for take in takes)
    return structs.replace(
        manifest,
        name=f"{manifest.name} for a search",
        splits=splits,
        parents=structs.replace(manifest.parents, takes=used, dataset=dataset),
    )


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a lock that goes with the process."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BadInput("this search runs already", where=str(path)) from None
    try:
        yield
    finally:
        lock.release()


def best_of(search: Search) -> dict[str, Any]:
    """Return the hyperparameters of a search's best trial, by name; `preset` may be one of them.

    Raises:
        BadInput: no trial of it came to its end.
    """
    if search.best is None:
        raise BadInput(
            "no trial of this search came to its end", then="run it again with more --trials"
        )
    return dict(search.trials[search.best].recipe)
