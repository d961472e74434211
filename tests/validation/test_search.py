"""A search over a made-up training of which the best recipe is known, and one over a real one."""

import json
import math
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from greenroom.capture.sample_data import Clip
from greenroom.errors import BadInput
from greenroom.manifests import Model, Search, Validation
from greenroom.metrics.motion import SufficientStats
from greenroom.store.workspace import Workspace
from greenroom.validation.search import best_of, search
from greenroom.validation.search_report import search_report
from greenroom.validation.search_space import SPACE, Choice, SearchPlan, read_space
from greenroom.validation.sufficient_stats import StatsByTask, aggregate_figures, stats_manifest
from tests import examples
from tests.validation.test_cross_validation import workspace_of

KNOWN = {"rate": 1e-3, "batch": 32, "rollout": 24, "preset": "mini", "steps": 500, "seed": 0}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "a space is an object"),
        ({}, "a space is an object"),
        ({"beauty": {"low": 1, "high": 2}}, "no hyperparameter; there are batch, preset"),
        ({"seed": {"choices": [1]}}, "no hyperparameter"),
        ({"rate": {"low": 1}}, 'give "choices", or "low" and "high"'),
        ({"rate": {"choices": []}}, "a list of values"),
        ({"rate": {"low": 2, "high": 1}}, "2.0 to 1.0 is no range"),
        ({"rate": {"low": 0, "high": 1, "log": True}}, "no positive float"),
        ({"rate": {"low": 1, "high": 2, "step": 1}}, "a step is for whole numbers"),
        ({"batch": {"low": 1.5, "high": 2}}, "1.5 is no positive int"),
        ({"batch": {"low": True, "high": 2}}, "True is no positive int"),
        ({"batch": {"low": 1, "high": 2, "step": 0}}, "step is a whole number"),
        ({"preset": {"low": "a", "high": "b"}}, "of numbers"),
    ],
)
def test_what_is_no_space_is_refused_by_name(found: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_space(found, "space.json", KNOWN)


def test_a_space_is_read_as_it_is_written() -> None:
    found = {
        "rate": {"low": 1e-4, "high": 0.01, "log": True},
        "batch": {"choices": [16, 32]},
        "rollout": {"low": 8, "high": 40, "step": 8},
        "preset": {"choices": ["mini"]},
    }
    space = read_space(found, "f", KNOWN)
    assert space["rate"] == Choice(low=1e-4, high=0.01, log=True)
    assert {name: choice.manifest() for name, choice in space.items()} == found


@pytest.mark.train
def test_a_trial_is_pruned_beside_comparable_ones_and_not_before() -> None:
    import optuna

    from greenroom.validation.search_trials import ENOUGH, PARTS, WARM_UP, ComparablePruner

    kinds = optuna.distributions.CategoricalDistribution((8, 24))

    def study_of(count: int, rollout: int) -> Any:
        study = optuna.create_study(direction="minimize", pruner=ComparablePruner())
        for n in range(count):
            values = {part: 1.0 + n for part in range(1, PARTS + 1)}
            state = optuna.trial.TrialState.PRUNED if n else optuna.trial.TrialState.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=1.0,
                    params={"rollout": rollout},
                    distributions={"rollout": kinds},
                    intermediate_values=values,
                )
            )
        return study

    def is_pruned(study: Any, loss: float, part: int) -> bool:
        study.enqueue_trial({"rollout": 24})
        trial = study.ask({"rollout": kinds})
        assert trial.params == {"rollout": 24}
        trial.report(loss, part)
        return bool(trial.should_prune())

    for rollout, prunes in ((24, True), (8, False)):
        study = study_of(ENOUGH, rollout)
        assert is_pruned(study, 9.0, WARM_UP) is prunes
        assert not is_pruned(study, 9.0, WARM_UP - 1)
        assert not is_pruned(study, 1.5, WARM_UP)
    few = study_of(ENOUGH - 1, 24)
    assert not is_pruned(few, 9.0, WARM_UP)


@pytest.mark.train
def test_a_loss_is_reported_once_a_part_and_smoothed() -> None:
    from greenroom.validation.search_trials import LossReporter

    class Trial:
        reports: list[tuple[float, int]] = []

        def report(self, loss: float, part: int) -> None:
            self.reports.append((loss, part))

        def should_prune(self) -> bool:
            return False

    reporter = LossReporter(Trial(), lambda thousandths: None)
    for step in range(1, 101):
        reporter.step(step, 100, {"loss": 1 / step})
    reports = Trial.reports
    assert [part for _, part in reports] == list(range(1, 21)) and reports[-1][0] < reports[0][0]


@pytest.fixture
def made_up(tmp_path: Path, published: list[Clip], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A training whose error is least at rate 1e-3, batch 32; returns (workspace, dataset, trained)."""
    from greenroom.validation import search_trials as module

    workspace, dataset = workspace_of(tmp_path, published, 3)
    trained: list[dict[str, Any]] = []

    def train(own: Workspace, data: str, by: str, preset: str, recipe: Any, options: Any) -> str:
        trained.append(recipe.manifest())
        error = 10 + abs(math.log10(recipe.rate / 1e-3)) + (recipe.batch != 32)
        for step in range(1, 41):
            if len(trained) == trained[0].get("cut") and step == 8:
                raise KeyboardInterrupt
            options.progress(step, 40, {"loss": error + 1 / step})
        made = examples.model(own, data)
        return own.publish(examples.noted(made, str(round(error, 6))), by=by)

    def validate(where: Workspace, model: str, *args: Any, **more: Any) -> str:
        error = float(where.objects.read(model, Model).recipe["note"])
        tally = SufficientStats("mean", {"model": error, "gaussian": 1.0}, 1.0)
        stats: StatsByTask = {"infill": {"limb_deg": {"t": tally}}}
        judged = examples.validation(
            model, stats=stats_manifest(stats), figures=aggregate_figures(stats)
        )
        return where.publish(judged, by="test")

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "validate", validate)
    return workspace, dataset, trained


def opened(model: Any) -> Any:
    return None


@pytest.mark.train
def test_it_finds_the_best_and_is_the_same_when_cut_off(made_up: Any, tmp_path: Path) -> None:
    workspace, dataset, trained = made_up
    space = {**SPACE, "rollout": Choice(values=(24,))}
    plan = SearchPlan(trials=14, steps=40, space=space)
    found = search(workspace, dataset, "test", opened, plan)
    whole = workspace.objects.read(found, Search)
    assert whole.best is not None
    best = whole.trials[whole.best]
    assert len(whole.trials) == 14 and whole.better == "lower"
    assert best.value is not None and best.value < 10.5 and best.recipe["batch"] == 32
    assert best.value == min(t.value for t in whole.trials if t.value is not None)
    pruned = [t for t in whole.trials if t.state == "pruned"]
    assert pruned and all(len(t.losses) < 20 and t.value is None for t in pruned)
    # Again: nothing is trained. Cut off in the fifth trial: the same fourteen in the end.
    count = len(trained)
    assert search(workspace, dataset, "again", opened, plan) == found and len(trained) == count
    (workspace.home / "search" / "optuna.sqlite").unlink()
    first = dict(trained[0])
    trained.clear()
    trained.append({**first, "cut": 6})  # a place taken, so that the fifth is the sixth
    with pytest.raises(KeyboardInterrupt):
        search(workspace, dataset, "test", opened, plan)
    trained[0].pop("cut")
    assert search(workspace, dataset, "test", opened, plan) == found
    # More of them go on from those.
    count = len(trained)
    more = search(workspace, dataset, "test", opened, replace(plan, trials=16))
    assert len(trained) == count + 2
    assert workspace.objects.read(more, Search).trials[:14] == whole.trials
    assert best_of(whole) == best.recipe
    with pytest.raises(BadInput, match="came to its end"):
        best_of(structs.replace(whole, best=None))
    shown = search_report(found, whole)
    assert shown.count("<svg") == 5 and "http" not in shown and "<script" not in shown
    assert "ended early" in shown and f"trial {whole.best}" in shown


@pytest.mark.train
def test_a_metric_that_is_none_and_a_second_search_are_refused(made_up: Any) -> None:
    import fcntl

    workspace, dataset, trained = made_up
    with pytest.raises(BadInput, match="'beauty' is no metric"):
        search(workspace, dataset, "test", opened, SearchPlan(1, metric="beauty"))
    search(workspace, dataset, "test", opened, SearchPlan(1))
    (lock,) = (workspace.home / "search").glob("*.lock")
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="runs already"):
            search(workspace, dataset, "test", opened, SearchPlan(1))
    assert len(trained) == 1


@pytest.mark.train
def test_the_command_searches_for_real_and_contacts_nobody(
    tmp_path: Path, published: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from greenroom.cli import main

    workspace, dataset = workspace_of(tmp_path / "home", published, 3)

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError(f"it connects to {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    space, shown = tmp_path / "space.json", tmp_path / "search.html"
    space.write_text(
        '{"rate": {"low": 1e-4, "high": 1e-2, "log": true}, "batch": {"choices": [4]}}'
    )
    args = ["--home", str(workspace.home), "search", dataset, "--trials", "1", "--steps", "2"]
    args += ["--space", str(space), "--report", str(shown), "--json"]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert 1e-4 <= said["best"]["recipe"]["rate"] <= 1e-2 and 0 < said["best"]["value"] < 90
    model = workspace.objects.read(said["best"]["model"], Model)
    assert model.recipe["batch"] == 4 and model.recipe["steps"] == 2
    on = workspace.objects.read(said["best"]["validation"], Validation)
    splits = workspace.objects.read_any(dataset).splits
    assert set(on.stats["infill"]["limb_deg"]) == set(splits["validation"])
    inner = workspace.objects.read_any(model.parents.dataset)
    assert not set(inner.parents.takes) & set(splits["test"])
    assert set(inner.splits["train"]) < set(splits["train"])
    assert shown.read_text().startswith("<!doctype html>")
    assert list((workspace.home / "tracking").glob("*.jsonl"))
    assert not [path for path in (workspace.home / "search").iterdir() if path.is_dir()]
    assert workspace.fsck().bad == []
    space.write_text("{")
    failed = CliRunner().invoke(main, args)
    assert failed.exit_code == 2 and "space.json: not readable as JSON" in failed.stderr
