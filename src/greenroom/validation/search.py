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

import copy
import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.contracts import Backend
from greenroom.errors import BadInput, MissingExtra
from greenroom.store.objects import Manifest, canonical, digest
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import TASKS
from greenroom.validation.evaluator import validate
from greenroom.validation.search_space import SPACE, Space
from greenroom.validation.sufficient_stats import read_stats

PARTS = 20
"""How often a trial says how it is doing."""
LEARN = 5
"""So many of these parts pass before a trial can be ended."""
ENOUGH = 3
"""So many trials must have come as far."""

Report = Callable[[int, int], None]
"""Told (done, of all), in thousandths of all trials."""
Opened = Callable[[Manifest], Backend]


_CHANGES_LOSS = ("rollout", "kl", "every", "weights")
"""Two trials' losses are of one kind only if these agree."""


@dataclass(frozen=True)
class SearchPlan:
    """What is asked.

    Attributes:
        trials: how many in all; a study that has them is finished.
        metric: task.metric of the validation that is made better.
        preset: the models' size, where the space does not choose it.
        steps: optimiser steps of each trial, where the space does not choose it.
        seed: of trainings and sampler.
        space: what is chosen.
    """

    trials: int
    metric: str = "infill.limb_deg"
    preset: str = "mini"
    steps: int = 500
    seed: int = 0
    space: Space = field(default_factory=lambda: dict(SPACE))


def search(
    workspace: Workspace,
    dataset: str,
    by: str,
    opened: Opened,
    plan: SearchPlan,
    report: Report = lambda done, total: None,
) -> str:
    """Run what trials are missing; publish the search; return its hash.

    Args:
        workspace: where the dataset is; models and validations of the trials are kept in it.
        dataset: its hash.
        by: who asks.
        opened: makes a model's graph run.
        plan: what is asked.
        report: told how far it is.

    Raises:
        BadInput: the metric is none, or the same search runs elsewhere.
        MissingExtra: the extra `train` is not installed.
        Refused: a take's rights do not cover training today.
    """
    if plan.metric.partition(".")[0] not in TASKS:
        raise BadInput(f"'{plan.metric}' is no metric", then="like infill.limb_deg")
    try:
        import optuna

        from greenroom.training.recipe import Recipe, code_version
    except ModuleNotFoundError as error:
        raise MissingExtra("greenroom search", "train") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    request = {
        "dataset": dataset,
        "space": {name: choice.manifest() for name, choice in plan.space.items()},
        "metric": plan.metric,
        "preset": plan.preset,
        "recipe": Recipe(steps=plan.steps, seed=plan.seed).manifest(),
        "code": code_version(),
    }
    name = digest(canonical(request))[:16]
    folder = workspace.home / "search"
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive_lock(folder / f"{name}.lock"):
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.sqlite'}")
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            load_if_exists=True,
            direction="minimize",
        )
        trials = _Trials(workspace, dataset, by, opened, plan, study, folder / name)
        try:
            trials.run(report)
            return workspace.publish(trials.manifest(request), by=by)
        finally:
            storage.engine.dispose()


def inner_of(workspace: Workspace, dataset: str) -> Manifest:
    """Return the dataset that trials work on: the test split left out, the validation split as test.

    A tenth of the training split, the first of it by hash, becomes what is chosen with.

    Raises:
        BadInput: there is too little to train on.
    """
    manifest = workspace.objects.manifest(dataset, "dataset")
    train = sorted(manifest["splits"]["train"])
    tenth = max(1, round(len(train) / 10))
    if len(train) <= tenth:
        raise BadInput(
            f"a search needs two takes to train on; dataset {dataset[:12]} has {len(train)}",
            then="ingest more takes",
        )
    splits = {
        "test": manifest["splits"]["validation"],
        "validation": train[:tenth],
        "train": train[tenth:],
    }
    used = sorted(take for takes in splits.values() for take in takes)
    return {
        **manifest,
        "name": f"{manifest['name']} for a search",
        "splits": splits,
        "parents": {**manifest["parents"], "takes": used, "dataset": dataset},
    }


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a lock that goes with the process."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput("this search runs already", where=str(path)) from None
        yield


def best_of(search: Manifest) -> dict[str, Any]:
    """Return the hyperparameters of a search's best trial, by name; `preset` may be one of them.

    Raises:
        BadInput: no trial of it came to its end.
    """
    if search["best"] is None:
        raise BadInput(
            "no trial of this search came to its end", then="run it again with more --trials"
        )
    return dict(search["trials"][search["best"]]["recipe"])


class _Trials:
    """One study's trials, run one after the other.

    Args:
        workspace: where.
        dataset: hash.
        by: who.
        opened: makes a graph run.
        plan: what is asked.
        study: Optuna's.
        folder: the trials' own.
    """

    def __init__(
        self,
        workspace: Workspace,
        dataset: str,
        by: str,
        opened: Opened,
        plan: SearchPlan,
        study: Any,
        folder: Path,
    ) -> None:
        self.workspace, self.dataset, self.by = workspace, dataset, by
        self.opened, self.plan, self.study, self.folder = opened, plan, study, folder
        self.inner = workspace.publish(inner_of(workspace, dataset), by=by)

    def _of(self, *states: str) -> list[Any]:
        return [
            trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name in states
        ]

    def run(self, report: Report) -> None:
        """Run until there are as many as were asked for; what was cut off goes first."""
        import optuna

        state = optuna.trial.TrialState
        for trial in self._of("RUNNING"):
            # Its process is gone: this one holds the lock. What it tried is proposed again.
            self.study.tell(trial.number, state=state.FAIL)
        while (done := len(self._of("COMPLETE", "PRUNED"))) < self.plan.trials:
            total = self.plan.trials

            def part(thousandths: int, done: int = done, total: int = total) -> None:
                report(1000 * done + thousandths, 1000 * total)

            self.study.sampler = optuna.samplers.TPESampler(seed=1000 * self.plan.seed + done)
            trial = self.study.ask()
            recipe, preset = self._recipe(trial)
            folder = self.folder / digest(canonical({**recipe.manifest(), "preset": preset}))[:16]
            try:
                value = self._run_trial(trial, recipe, preset, folder, part)
            except optuna.TrialPruned:
                self.study.tell(trial, state=state.PRUNED)
            else:
                self.study.tell(trial, value)
            self._clear(folder)
            part(1000)
        with suppress(OSError):  # what was cut off and never proposed again stays
            self.folder.rmdir()

    def _clear(self, folder: Path) -> None:
        """Remove a trial's folder; what trackers may be told of it stays in the workspace."""
        for journal in (folder / "tracking").glob("*.jsonl"):
            (self.workspace.home / "tracking").mkdir(exist_ok=True)
            shutil.move(journal, self.workspace.home / "tracking" / journal.name)
        shutil.rmtree(folder, ignore_errors=True)

    def _recipe(self, trial: Any) -> tuple[Any, str]:
        """Return a trial's recipe and preset."""
        from greenroom.training.recipe import Recipe

        values: dict[str, Any] = {"steps": self.plan.steps, "seed": self.plan.seed}
        for name, choice in sorted(self.plan.space.items()):
            if choice.values:
                values[name] = trial.suggest_categorical(name, list(choice.values))
            elif isinstance(choice.low, float):
                values[name] = trial.suggest_float(name, choice.low, choice.high, log=choice.log)
            else:
                values[name] = trial.suggest_int(
                    name, choice.low, choice.high, step=choice.step, log=choice.log
                )
        preset = str(values.pop("preset", self.plan.preset))
        return Recipe(**values), preset

    def _run_trial(
        self, trial: Any, recipe: Any, preset: str, folder: Path, part: Callable[[int], None]
    ) -> float:
        """Train, judge, and return the metric, its sign so that less is better."""
        from greenroom.training.train import TrainOptions, train

        # Its checkpoints and journal lie in its own folder; objects and log are the workspace's.
        own = copy.copy(self.workspace)
        own.home = folder
        watch = MedianStopping(self._earlier(trial), trial.report, part)
        model = train(
            own,
            self.inner,
            self.by,
            preset,
            recipe=recipe,
            options=TrainOptions(progress=watch.step),
        )
        task, _, metric = self.plan.metric.partition(".")
        validation = validate(
            self.workspace,
            model,
            self.opened(self.workspace.objects.manifest(model, "model")),
            self.by,
            tasks=[task],
            progress=lambda done, total: part(900 + 100 * done // max(total, 1)),
        )
        trial.set_user_attr("model", model)
        trial.set_user_attr("validation", validation)
        validation_manifest = self.workspace.objects.manifest(validation, "validation")
        value = validation_manifest["figures"].get(task, {}).get(metric, {}).get("model")
        if value is None:
            raise BadInput(f"'{self.plan.metric}' is no metric", then="like infill.limb_deg")
        rows = read_stats(validation_manifest).get(task, {}).get(metric, {})
        higher = any(tally.kind == "skill" for tally in rows.values())
        trial.set_user_attr("higher", higher)
        return -float(value) if higher else float(value)

    def _earlier(self, trial: Any) -> list[dict[int, float]]:
        """Return the losses, by part, of the trials whose losses can be compared with this one's."""

        def kind(params: Mapping[str, Any]) -> list[Any]:
            return [params.get(name) for name in _CHANGES_LOSS]

        return [
            dict(other.intermediate_values)
            for other in self._of("COMPLETE", "PRUNED")
            if kind(other.params) == kind(trial.params)
        ]

    def manifest(self, request: dict[str, Any]) -> Manifest:
        """Return the search as an object: every trial, and the best."""
        ended = self._of("COMPLETE", "PRUNED")[: self.plan.trials]
        rows = []
        for trial in ended:
            row: dict[str, Any] = {
                "recipe": {name: trial.params[name] for name in sorted(trial.params)},
                "state": trial.state.name.lower(),
                "losses": {
                    str(step): round(loss, 6)
                    for step, loss in sorted(trial.intermediate_values.items())
                },
            }
            if trial.state.name == "COMPLETE":
                sign = -1 if trial.user_attrs["higher"] else 1
                row["value"] = sign * float(trial.value)
                row["model"] = trial.user_attrs["model"]
                row["validation"] = trial.user_attrs["validation"]
            rows.append(row)
        completed = [n for n, trial in enumerate(ended) if trial.state.name == "COMPLETE"]
        best = min(completed, key=lambda n: float(ended[n].value)) if completed else None
        higher = bool(completed and ended[completed[0]].user_attrs["higher"])
        actor = self.workspace.objects.manifest(self.dataset, "dataset")["actor"]
        return {
            "kind": "search",
            "version": 1,
            "actor": actor,
            **{key: value for key, value in request.items() if key != "dataset"},
            "better": "higher" if higher else "lower",
            "trials": rows,
            "best": best,
            "parents": {
                "dataset": self.dataset,
                "validations": [row["validation"] for row in rows if "validation" in row],
            },
        }


class MedianStopping:
    """Follow a trial's loss and end it where it is behind.

    It is ended where its smoothed loss at some part of its way is above the median of the best that
    comparable trials had seen by then: the median stopping rule of Golovin et al. 2017, "Google Vizier",
    section 3.2.

    Args:
        earlier: {part: loss} of each comparable trial.
        note: keeps (loss, part).
        part: told thousandths of the trial.
    """

    def __init__(
        self,
        earlier: Sequence[Mapping[int, float]],
        note: Callable[[float, int], None],
        part: Callable[[int], None],
    ) -> None:
        """Begin before the first step."""
        self.earlier, self.note, self.part = earlier, note, part
        self.loss: float | None = None
        self.best = float("inf")
        self.reached = 0

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Take the figures of a step; the loss is smoothed over a part.

        Raises:
            optuna.TrialPruned: it is behind.
        """
        now = figures.get("loss")
        if now is not None:
            weight = min(1.0, 2 * PARTS / max(steps, 1))
            self.loss = now if self.loss is None else self.loss + weight * (now - self.loss)
        self.part(900 * step // max(steps, 1))
        part = PARTS * step // max(steps, 1)
        if self.loss is None or part <= self.reached:
            return
        self.reached = part
        self.note(self.loss, part)
        self.best = min(self.best, self.loss)
        if part < PARTS and behind(self.best, part, self.earlier):
            import optuna

            raise optuna.TrialPruned


def behind(best: float, step: int, earlier: Sequence[Mapping[int, float]]) -> bool:
    """Tell whether the best loss so far is above the median of others' best by the same part.

    >>> behind(5.0, 6, [{5: 1.0, 6: 2.0}, {6: 3.0}, {6: 4.0}])
    True
    >>> behind(2.5, 6, [{5: 1.0, 6: 2.0}, {6: 3.0}, {6: 4.0}])
    False
    """
    if step < LEARN:
        return False
    others = sorted(
        min(loss for part, loss in losses.items() if part <= step)
        for losses in earlier
        if step in losses
    )
    if len(others) < ENOUGH:
        return False
    middle = len(others) // 2
    median = others[middle] if len(others) % 2 else (others[middle - 1] + others[middle]) / 2
    return best > median
