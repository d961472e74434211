"""The trials of a search: each is trained and validated in a folder of its own, or pruned."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from greenroom.errors import BadInput
from greenroom.manifests import (
    CrossValidationParents,
    Dataset,
    Model,
    Search,
    SearchTrial,
    Validation,
)
from greenroom.store.objects import canonical, digest
from greenroom.store.workspace import Workspace
from greenroom.training.recipe import Recipe
from greenroom.training.train import TrainOptions, train
from greenroom.validation.evaluator import EvalScope, validate
from greenroom.validation.search_space import Opened, Report, SearchPlan
from greenroom.validation.sufficient_stats import read_stats

PARTS = 20
"""Reports of a trial's loss."""
WARM_UP = 5
"""Reports before a trial can be pruned."""
ENOUGH = 3
"""Comparable trials with a report of the same part, without which none is pruned."""
_CHANGES_LOSS = ("rollout", "kl", "every", "weights")
"""Losses of two trials can be compared only if these agree."""
_ENDED = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


@dataclass(frozen=True)
class TrialSetting:
    """What all trials of a study share.

    Attributes:
        workspace: where models and validations are published.
        dataset: hash of the dataset of the search.
        inner: hash of the dataset that trials use.
        by: name of who asks.
        opened: function that loads a model's graph.
        plan: of the search.
    """

    workspace: Workspace
    dataset: str
    inner: str
    by: str
    opened: Opened
    plan: SearchPlan


class Trials:
    """The trials of one study, one after the other.

    Args:
        setting: of the study.
        study: Optuna's.
        folder: of the trials.
    """

    def __init__(self, setting: TrialSetting, study: Any, folder: Path) -> None:
        """Set the study's pruner."""
        self.setting, self.study, self.folder = setting, study, folder
        study.pruner = ComparablePruner()

    def _ended(self) -> list[Any]:
        return list(self.study.get_trials(deepcopy=False, states=_ENDED))

    def run(self, report: Report) -> None:
        """Run until there are as many as were asked for; interrupted ones first."""
        state = optuna.trial.TrialState
        for trial in self.study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            # Its process is gone: this one holds the lock. What it tried is proposed again.
            self.study.tell(trial.number, state=state.FAIL)
        while (done := len(self._ended())) < self.setting.plan.trials:
            total = self.setting.plan.trials

            def part(thousandths: int, done: int = done, total: int = total) -> None:
                report(1000 * done + thousandths, 1000 * total)

            self.study.sampler = optuna.samplers.TPESampler(
                seed=1000 * self.setting.plan.seed + done
            )
            trial = self.study.ask()
            recipe, preset = self._recipe(trial)
            folder = self.folder / digest(canonical({**recipe.manifest(), "preset": preset}))[:16]
            try:
                value = self._run_trial(trial, recipe, preset, folder, part=part)
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
            (self.setting.workspace.home / "tracking").mkdir(exist_ok=True)
            shutil.move(journal, self.setting.workspace.home / "tracking" / journal.name)
        shutil.rmtree(folder, ignore_errors=True)

    def _recipe(self, trial: Any) -> tuple[Recipe, str]:
        """Return a trial's recipe and preset."""
        values: dict[str, Any] = {"steps": self.setting.plan.steps, "seed": self.setting.plan.seed}
        for name, choice in sorted(self.setting.plan.space.items()):
            if choice.values:
                values[name] = trial.suggest_categorical(name, list(choice.values))
            elif isinstance(choice.low, float):
                values[name] = trial.suggest_float(name, choice.low, choice.high, log=choice.log)
            else:
                values[name] = trial.suggest_int(
                    name, choice.low, choice.high, step=choice.step, log=choice.log
                )
        preset = str(values.pop("preset", self.setting.plan.preset))
        return Recipe(**values), preset

    def _run_trial(
        self, trial: Any, recipe: Recipe, preset: str, folder: Path, part: Callable[[int], None]
    ) -> float:
        """Train, validate, and return the metric, its sign so that less is better."""
        setting = self.setting
        # Its checkpoints and journal lie in its own folder; objects and log are the workspace's.
        own = copy.copy(setting.workspace)
        own.home = folder
        loss = LossReporter(trial, part)
        model = train(
            own,
            setting.inner,
            setting.by,
            preset,
            recipe=recipe,
            options=TrainOptions(progress=loss.step),
        )
        task, _, metric = setting.plan.metric.partition(".")
        validation = validate(
            setting.workspace,
            model,
            setting.opened(setting.workspace.objects.read(model, Model)),
            setting.by,
            scope=EvalScope(tasks=[task]),
            progress=lambda done, total: part(900 + 100 * done // max(total, 1)),
        )
        trial.set_user_attr("model", model)
        trial.set_user_attr("validation", validation)
        validation_manifest = setting.workspace.objects.read(validation, Validation)
        figure = validation_manifest.figures.get(task, {}).get(metric)
        if figure is None:
            raise BadInput(
                f"'{self.setting.plan.metric}' is no metric", then="like infill.limb_deg"
            )
        rows = read_stats(validation_manifest).get(task, {}).get(metric, {})
        higher = any(tally.kind == "skill" for tally in rows.values())
        trial.set_user_attr("higher", higher)
        return -figure.model if higher else figure.model

    def manifest(self, request: dict[str, Any]) -> Search:
        """Return the search as an object: every trial, and the best."""
        ended = self._ended()[: self.setting.plan.trials]
        trials = [_search_trial(trial) for trial in ended]
        completed = [n for n, trial in enumerate(ended) if trial.state.name == "COMPLETE"]
        best = min(completed, key=lambda n: float(ended[n].value)) if completed else None
        higher = bool(completed and ended[completed[0]].user_attrs["higher"])
        dataset = self.setting.dataset
        return Search(
            actor=self.setting.workspace.objects.read(dataset, Dataset).actor,
            **{key: value for key, value in request.items() if key != "dataset"},
            better="higher" if higher else "lower",
            trials=trials,
            best=best,
            parents=CrossValidationParents(
                dataset=dataset,
                validations=[trial.validation for trial in trials if trial.validation],
            ),
        )


def _search_trial(trial: Any) -> SearchTrial:
    """Return the record of an ended Optuna trial."""
    complete = trial.state.name == "COMPLETE"
    value = None
    if complete:
        value = (-1 if trial.user_attrs["higher"] else 1) * float(trial.value)
    losses = sorted(trial.intermediate_values.items())
    return SearchTrial(
        recipe={name: trial.params[name] for name in sorted(trial.params)},
        state=trial.state.name.lower(),
        losses={str(step): round(loss, 6) for step, loss in losses},
        value=value,
        model=trial.user_attrs["model"] if complete else "",
        validation=trial.user_attrs["validation"] if complete else "",
    )


class LossReporter:
    """Report a trial's smoothed loss, and prune the trial where the study's pruner says so.

    Args:
        trial: Optuna's.
        part: called with thousandths of the trial.
    """

    def __init__(self, trial: Any, part: Callable[[int], None]) -> None:
        """Start before the first step."""
        self.trial, self.part = trial, part
        self.loss: float | None = None
        self.reached = 0

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Take the figures of a step; the loss is smoothed over a part.

        Raises:
            optuna.TrialPruned: the trial is pruned.
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
        self.trial.report(self.loss, part)
        if part < PARTS and self.trial.should_prune():
            raise optuna.TrialPruned


class ComparablePruner(optuna.pruners.MedianPruner):  # type: ignore[misc]  # an extra, seen as Any
    """Optuna's median pruner, among the ended trials whose losses can be compared."""

    def __init__(self) -> None:
        """Prune from the sixth part on, beside three trials at least."""
        super().__init__(n_startup_trials=ENOUGH, n_warmup_steps=WARM_UP, n_min_trials=ENOUGH)

    def prune(self, study: Any, trial: Any) -> bool:
        """Tell whether a trial's best loss is above the median of comparable ones at its step."""
        return bool(super().prune(_ComparableStudy(study, trial), trial))


class _ComparableStudy:
    """A study as the pruner reads it: comparable trials that ended, pruned ones included."""

    def __init__(self, study: Any, trial: Any) -> None:
        self.direction = study.direction
        self._trials = [
            other
            for other in study.get_trials(deepcopy=False, states=_ENDED)
            if all(other.params.get(n) == trial.params.get(n) for n in _CHANGES_LOSS)
        ]

    def get_trials(self, deepcopy: bool = True, states: Sequence[Any] | None = None) -> list[Any]:
        """Return the comparable trials, whatever states are asked for."""
        return self._trials
