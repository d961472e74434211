"""Judging the embedded model on the published clips: figures, tasks, gates, the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import Clip
from greenroom.errors import BadInput, Refused
from greenroom.frames import Body
from greenroom.manifests import Figure, Model, TakeStats, Validation
from greenroom.metrics.motion import SufficientStats, aggregate
from greenroom.registry.promote import live_release, promote
from greenroom.registry.release import Release, load_release
from greenroom.registry.signing import root_key
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import FLOOR
from greenroom.validation.eval_takes import EvalTake
from greenroom.validation.evaluator import EvalScope, eval_windows, validate
from greenroom.validation.gates import decide_gates, evaluate_gates, read_gates
from greenroom.validation.report import WORDS, validation_report
from greenroom.validation.sufficient_stats import aggregate_figures, read_stats, stats_manifest
from tests import examples
from tests.people import approve, set_policy, with_key


@pytest.fixture(scope="module")
def release(home: Workspace) -> Release:
    return load_release(home, live_release(home, "mira"))


def model_of(release: Release) -> str:
    return str(release.manifest.parents.model)


def backend(release: Release) -> OnnxBackend:
    return OnnxBackend(release.graph, release.role.shape)


@pytest.fixture(scope="module")
def validation(home: Workspace, release: Release) -> tuple[str, Validation]:
    name = validate(home, model_of(release), backend(release), "test")
    return name, home.objects.read(name, Validation)


def test_the_figures_agree_with_those_of_training(
    release: Release, validation: tuple[str, Validation]
) -> None:
    found = validation[1].figures
    limb = found["infill"]["limb_deg"]
    said = release.model.figures
    # Other windows and limbs in turn: near, not equal.
    assert limb.model == pytest.approx(said["test_limb_model_degrees"], rel=0.05)
    assert limb.baselines["hold"] == pytest.approx(said["test_limb_hold_degrees"], rel=0.05)
    assert limb.ci[0] < limb.model < limb.ci[1] and limb.takes == 4
    assert set(found["forecast"]) == {"skill_33", "skill_200", "skill_500"}
    for metric in found["forecast"].values():
        assert metric.baselines["hold"] == 0  # skill against itself
        assert metric.baseline == metric.baselines[FLOOR["forecast"]]


def test_the_same_judgement_is_the_same_object(
    home: Workspace, release: Release, validation: tuple[str, Validation]
) -> None:
    assert validate(home, model_of(release), backend(release), "again") == validation[0]
    assert aggregate_figures(read_stats(validation[1])) == validation[1].figures


def test_on_recordings_that_it_never_saw_and_with_one_task(
    home: Workspace, release: Release, published: list[Clip]
) -> None:
    clip = next(c for c in published if c.name == "humanoid3d_kick")
    body = read_recording(clip.data, clip.path).body
    assert body is not None
    name = validate(
        home,
        model_of(release),
        backend(release),
        "test",
        EvalScope({"kick": EvalTake(body, labels={"style": "fierce"})}, ["infill"], minutes=1),
    )
    manifest = home.objects.read(name, Validation)
    assert (manifest.on, set(manifest.figures)) == ("recordings", {"infill", "free_run"})
    assert manifest.labels == {"kick": {"style": "fierce"}}
    assert manifest.figures["free_run"]["jerk"].takes == 1
    assert "free_run" in validation_report(name, manifest)
    (tally,) = read_stats(manifest)["infill"]["limb_deg"].values()
    assert 0 < aggregate([tally], "model") < 90 and tally.weight > 0


def test_what_cannot_be_judged_is_said(home: Workspace, release: Release) -> None:
    with pytest.raises(BadInput, match="no head for the task 'face'; it has infill, forecast"):
        validate(home, model_of(release), backend(release), "test", EvalScope(tasks=["face"]))
    still = np.tile(np.asarray([0, 0, 0, 1], np.float32), (5, 55, 1))
    short = Body(
        release.skeleton, np.zeros((5, 3), np.float32), still, np.ones((5, 55), np.float32)
    )
    with pytest.raises(
        BadInput, match="there is no recording to judge it on; a body takes 17 ticks"
    ):
        validate(
            home, model_of(release), backend(release), "test", EvalScope({"short": EvalTake(short)})
        )


def test_windows_lie_evenly_and_inside() -> None:
    take = np.arange(400, dtype=np.float32)[:, None]
    found = list(eval_windows(take, 16))
    assert len(found) == 40 and all(len(window) == 31 for window in found)
    assert found[-1][-1, 0] == 399 and found[0][0, 0] == 0
    assert len(list(eval_windows(take[:17], 16))) == 1 and list(eval_windows(take[:16], 16)) == []


def test_the_report_is_one_file_that_needs_nothing(validation: tuple[str, Validation]) -> None:
    gates = read_gates([{"metric": "infill.limb_deg", "margin": -50}], "g")
    page = validation_report(*validation, evaluate_gates(gates, validation[1], None))
    assert page.count("<svg") == 5 and "gaussian (baseline)" in page and "passed" in page
    assert "http" not in page and "<script" not in page
    aggregate_figures = validation[1].figures
    for task, metrics in aggregate_figures.items():
        for metric, found in metrics.items():
            low, high = found.gain
            said = "▲ better" if low > 0 else "▼ worse" if high < 0 else "no significant difference"
            row = next(r for r in page.split("<tr>") if f'href="#{task}.{metric}"' in r)
            assert said in row and f"<td>{found.model:.3f}</td>" in row
            assert f'id="{task}.{metric}"' in page and f"{task}.{metric}" in WORDS


def test_the_report_tells_one_take_and_minutes_alone_from_a_contest() -> None:
    one = Figure(
        model=0.5,
        baseline=0.25,
        ci=(0.5, 0.5),
        gain=(0.1, 0.1),
        takes=1,
        baselines={"ridge": 0.25},
    )
    minutes = structs.replace(one, takes=10, baselines={"recordings": 0.25})
    figures = {"face": {"r2w": one}, "free_run": {"jerk": minutes}}
    manifest = examples.validation(examples.NOTHING, figures=figures)
    page = validation_report("0" * 64, manifest)
    assert "one take: no interval" in page and "▲" not in page
    assert "2.00 times as much" in page and "the nearer to the recordings" in page


GATE: dict[str, Any] = {"metric": "infill.limb_deg"}


@pytest.mark.parametrize(
    ("gates", "why"),
    [
        ({}, "a list"),
        (["infill"], "gate 1: a gate has"),
        ([{}], "a gate has"),
        ([{**GATE, "more": 1}], "a gate has"),
        ([GATE, {"metric": "beauty"}], "gate 2: 'beauty' is no metric; like infill.limb_deg"),
        ([{**GATE, "against": "nobody"}], "against baseline or champion"),
        ([{**GATE, "margin": "0"}], "margin is a number"),
        ([{**GATE, "level": 1}], "level 1 is outside"),
        ([{**GATE, "level": True}], "level is a number"),
    ],
)
def test_what_is_no_gate_is_refused_with_its_number(gates: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_gates(gates, "gates.json")


def test_gates_pass_by_the_lower_bound_and_say_why(validation: tuple[str, Validation]) -> None:
    manifest = validation[1]
    low = manifest.figures["infill"]["limb_deg"].gain[0]
    easy, hard, absent, worst = evaluate_gates(
        read_gates(
            [
                {**GATE, "margin": low - 1, "level": 0.975},
                {**GATE, "margin": low + 1, "level": 0.975},
                {"metric": "infill.beauty"},
                {**GATE, "margin": low + 1, "worst": True},
            ],
            "g",
        ),
        manifest,
        None,
    )
    assert easy.passed and not hard.passed and "not above" in hard.why
    assert easy.gain[0] == pytest.approx(low, abs=1e-3)
    assert not absent.passed and "was not measured" in absent.why
    each = [
        aggregate([t], "gaussian") - aggregate([t], "model")
        for t in read_stats(manifest)["infill"]["limb_deg"].values()
    ]
    assert worst.gain[0] == pytest.approx(min(each), abs=1e-5)


def test_approval_asks_the_gates_and_the_release_carries_the_evidence(
    home: Workspace, release: Release, validation: tuple[str, Validation]
) -> None:
    model = model_of(release)
    assert decide_gates(home, model) == (validation[0], [])
    set_policy(home, "mira", "Dir", gates=read_gates([{**GATE, "margin": 90}], "g"))
    with pytest.raises(Refused, match="does not pass 1 of 1 gates: infill.limb_deg"):
        decide_gates(home, model)
    champion = {**GATE, "against": "champion", "margin": -1}
    set_policy(home, "mira", "Dir", gates=read_gates([{**GATE, "margin": -9}, champion], "g"))
    other = home.publish(examples.noted(home.objects.read(model, Model), "challenger"), by="test")
    with pytest.raises(Refused, match="was not validated; run: greenroom validate"):
        decide_gates(home, other)
    name = validate(home, other, backend(release), "test")
    validate(
        home, other, backend(release), "test", EvalScope(tasks=["forecast"])
    )  # takes nothing away
    evidence, decisions = decide_gates(home, other)
    assert evidence == name and [d.passed for d in decisions] == [True, True]
    assert decisions[1].gain == (0, 0)  # the same graph
    made = approve(home, other, "Ada", None, evidence, decisions)
    manifest = home.objects.read_any(made)
    assert manifest.parents.validation == name and manifest.gates == decisions
    assert promote(home, "mira", made, "test") == release.name
    set_policy(home, "mira", "Dir")


def test_two_people_approve_one_release_and_the_second_is_told_which(
    home: Workspace, release: Release, validation: tuple[str, Validation]
) -> None:
    from click.testing import CliRunner

    from greenroom.cli import main

    def said(*args: str) -> str:
        done = CliRunner().invoke(main, ["--home", str(home.home), *args])
        assert done.exit_code == 0, done.output
        return done.stdout

    manifest = structs.replace(home.objects.read(model_of(release), Model), actor="twin")
    model = home.publish(manifest, by="test")
    for name in ("Dir", "Ada", "Ben"):
        with_key(home, name)
    set_policy(home, "twin", next(k.owner for k in [root_key(home)] if k), needed=2)
    greenroom = f"greenroom --home {home.home}"
    first = said("approve", model, "--by", "Ada")
    made = first.split()[1].rstrip(",")
    assert f"next: {greenroom} approve {made[:12]} --by NAME  (1 more must)" in first
    with pytest.raises(Refused, match=f"1 of 2 .*run: greenroom approve {made[:12]} --by NAME"):
        promote(home, "twin", made, "test")
    validate(home, model, backend(release), "test")  # meanwhile: another approval would differ
    second = said("approve", made[:12], "--by", "Ben")
    assert made in second and f"next: {greenroom} promote twin {made[:12]}" in second
    assert f"next: {greenroom} perform twin" in said("promote", "twin", made)
    text = said("approve", model, "--by", "Ada")
    assert made not in text and "1 more must" in text


def test_who_never_moves_has_no_skill_and_no_figure_that_is_none(
    home: Workspace, release: Release
) -> None:
    ticks = 90
    still = np.tile(np.asarray([0, 0, 0, 1], np.float32), (ticks, 55, 1))
    root = np.tile(np.asarray([0, 0.9, 0], np.float32), (ticks, 1))
    frozen = Body(release.skeleton, root, still, np.ones((ticks, 55), np.float32))
    name = validate(
        home, model_of(release), backend(release), "test", EvalScope({"t-pose": EvalTake(frozen)})
    )
    found = home.objects.read(name, Validation).figures
    assert found["forecast"] == {} and "limb_deg" in found["infill"]
    rows = {
        "still": SufficientStats("skill", {"model": 0.0, "ridge": 0.0}, 0.0),
        "lively": SufficientStats("skill", {"model": 1.0, "ridge": 2.0}, 4.0),
    }
    labels = {"still": {"style": "calm"}, "lively": {"style": "wild"}}
    row = aggregate_figures({"forecast": {"skill_200": rows}}, labels)["forecast"]["skill_200"]
    assert row.model == 0.75 and set(row.groups["style"]) == {"wild"}
    gates = read_gates([{"metric": "forecast.skill_200"}], "g")
    kept = {"forecast": {"skill_200": {"still": TakeStats(kind="skill", sums={}, weight=0.0)}}}
    nothing = examples.validation(examples.NOTHING, stats=kept)
    (decision,) = evaluate_gates(gates, nothing, None)
    assert not decision.passed and "was not measured" in decision.why


def test_a_champion_judged_on_other_takes_cannot_be_compared(
    home: Workspace, validation: tuple[str, Validation]
) -> None:
    takes = validation[1].stats["infill"]["limb_deg"]
    one = dict(list(takes.items())[:1])
    fewer = structs.replace(validation[1], stats={"infill": {"limb_deg": one}})
    gate = read_gates([{**GATE, "against": "champion"}], "g")
    (decision,) = evaluate_gates(gate, validation[1], fewer)
    assert not decision.passed and "3 differ" in decision.why
    (first,) = evaluate_gates(gate, validation[1], None)
    assert first.passed and first.why == "there is no champion yet"


def test_the_command_prints_the_table_and_writes_the_report(
    home: Workspace, release: Release, tmp_path: Path
) -> None:
    from click.testing import CliRunner

    from greenroom.cli import main

    page = tmp_path / "report.html"
    args = ["--home", str(home.home), "validate", model_of(release), "--report", str(page)]
    done = CliRunner().invoke(main, [*args, "--task", "infill"])
    assert done.exit_code == 0 and "infill.limb_deg" in done.stdout
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "data:image/webp;base64," in text
    assert "prefers-reduced-motion" in text


def test_groups_of_takes_have_figures_and_a_gate_can_ask_the_worst_of_them() -> None:
    labels = {f"t{i}": {"style": "calm" if i % 2 else "wild", "n": str(i)} for i in range(40)}
    labels["t0"] = {}
    takes = {
        name: SufficientStats(
            "mean", {"model": 1.0 if said.get("style") == "calm" else 3.0, "gaussian": 2.0}, 1
        )
        for name, said in labels.items()
    }
    tallies = {"infill": {"limb_deg": takes}}
    found = aggregate_figures(tallies, labels)["infill"]["limb_deg"]
    assert set(found.groups) == {"style"}  # a number of its own makes no group
    groups = found.groups["style"]
    assert {value: row.takes for value, row in groups.items()} == {"": 1, "calm": 20, "wild": 19}
    assert groups["calm"].gain == (1, 1) and groups["wild"].gain == (-1, -1)
    validation = examples.validation(
        examples.NOTHING,
        stats=stats_manifest(tallies),
        labels={name: said for name, said in labels.items() if said},
    )
    gates = read_gates(
        [
            {"metric": "infill.limb_deg", "margin": -0.5},
            {"metric": "infill.limb_deg", "margin": -0.5, "worst": "style"},
            {"metric": "infill.limb_deg", "margin": -1.5, "worst": "style"},
            {"metric": "infill.limb_deg", "worst": "weather"},
        ],
        "here",
    )
    passed = [d.passed for d in evaluate_gates(gates, validation, None)]
    assert passed == [True, False, True, False]
