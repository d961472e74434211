"""Two models on the same takes and the same show: pairs, verdicts, refusals, the page, the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs

from greenroom import embedded
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.cli import main
from greenroom.consent.records import read_rights
from greenroom.errors import BadInput, Refused
from greenroom.frames import Floats
from greenroom.live.replay import performed_motion
from greenroom.live.show import perform
from greenroom.live.supervisor import ShowSpec
from greenroom.manifests import Model, ModelParents, Sandbox, SandboxParents, to_json
from greenroom.metrics.sequences import OPEN, WORSE
from greenroom.registry.release import Release, load_release
from greenroom.rehearsal import sandbox
from greenroom.rehearsal.report import comparison_report
from greenroom.rehearsal.rerun import live_error_stats, rerun_show
from greenroom.rehearsal.sandbox import SandboxScope, compare
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation import evaluator

SHAKY = b"\x32\x05shaky"  # a graph's remark, by which the stand-in knows it
TICKS = 75


class Shaky(OnnxBackend):
    """A model whose body trembles where its graph says so; else the model as it is."""

    def __init__(self, graph: bytes, *rest: Any) -> None:
        super().__init__(graph, *rest)
        self.shaky, self.asked = graph.endswith(SHAKY), 0

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        said = super().run(inputs)
        if self.shaky:
            self.asked += 1
            width = said["pose"].shape[1]
            said["pose"] = said["pose"] + np.float32(0.2) * np.sin(
                self.asked * 2.0 + np.arange(width, dtype=np.float32)
            ).astype(np.float32)
        return said


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    embedded.install(workspace)
    return workspace


@pytest.fixture(scope="module")
def release(home: Workspace) -> Release:
    return load_release(home, embedded.install(home))


@pytest.fixture(scope="module")
def champion(release: Release) -> str:
    return str(release.manifest.parents.model)


@pytest.fixture(scope="module")
def challenger(home: Workspace, champion: str) -> str:
    """The champion's graph, but for a remark; with `Shaky` in its place a worse model."""
    model = home.objects.read(champion, Model)
    graph = home.objects.put(home.objects.get(model.blobs.graph) + SHAKY)
    blobs = structs.replace(model.blobs, graph=graph)
    return home.publish(structs.replace(model, blobs=blobs), by="test")


@pytest.fixture(scope="module")
def show(home: Workspace, release: Release, person: Any) -> str:
    recording = read_recording(person(TICKS), "walk.bvh")
    take = store_take(
        home, recording, Attribution("mira", ("p",), (read_rights("MIT", "p"),)), "test"
    )
    return perform(home, ShowSpec(release, [take], TICKS, cuts=[(30, 60)]), "test").show


@pytest.fixture(scope="module")
def clips(home: Workspace, published: object) -> dict[str, str]:
    return embedded.ingest_clips(home, "test")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four windows a take, where forty would take a minute."""
    monkeypatch.setattr(evaluator, "WINDOWS", 4)


@pytest.fixture
def shaky(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.serving.onnx_backend.OnnxBackend", Shaky)


def test_the_champion_performs_a_recorded_show_as_it_did(
    home: Workspace, release: Release, show: str
) -> None:
    again = rerun_show(home, show, release.role, OnnxBackend(release.graph, release.role.shape))
    before = performed_motion(home, show)
    manifest = home.objects.read_any(show)
    assert {rung: again.rungs.count(rung) for rung in set(again.rungs)} == {
        rung: count for rung, count in manifest.rungs.items() if count
    }
    np.testing.assert_array_equal([f.rotations for f in again.frames], before.rotations)
    np.testing.assert_array_equal([f.root for f in again.frames], before.root)
    assert np.isnan(again.captured[30:60]).all() and np.isfinite(again.captured[:30, 0]).all()


def test_a_show_s_errors_are_nought_where_nothing_was_lost(
    home: Workspace, release: Release, person: Any
) -> None:
    recording = read_recording(person(40, seed=3), "whole.bvh")
    take = store_take(
        home, recording, Attribution("mira", ("p",), (read_rights("MIT", "p"),)), "test"
    )
    whole = perform(home, ShowSpec(release, [take], 40), "test").show
    staged = rerun_show(home, whole, release.role, OnnxBackend(release.graph, release.role.shape))
    found = live_error_stats(home, whole, staged, release.role, release.role)
    assert "lost_deg" not in found  # nothing was
    assert found["hold"].sums["model"] == staged.rungs.count("hold")
    assert found["jerk"].sums["model"] < 1 and found["hold"].weight == 40


def test_on_a_show_a_trembling_model_is_further_off(
    home: Workspace, challenger: str, champion: str, show: str, shaky: None
) -> None:
    name = compare(home, challenger, champion, "test", scope=SandboxScope(on=[show]))
    found = home.objects.read(name, Sandbox)
    live = found.figures["live"]
    assert live["jerk"].challenger > live["jerk"].champion
    assert live["lost_deg"].challenger > live["lost_deg"].champion > 0
    assert live["jerk"].gain < 0 and live["jerk"].verdict == OPEN  # one show tells nothing
    assert found.parents.shows == [show] and found.parents.takes == []


def test_on_held_takes_a_model_is_no_better_than_itself_and_worse_when_it_trembles(
    home: Workspace,
    challenger: str,
    champion: str,
    clips: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = compare(home, challenger, champion, "test", scope=SandboxScope(tasks=["infill"]))
    same = home.objects.read(name, Sandbox)
    assert same.figures["infill"]["limb_deg"].gain == 0
    assert same.figures["infill"]["limb_deg"].verdict == OPEN
    assert sorted(same.parents.takes) == sorted(clips[clip] for clip in embedded.TEST)
    # The same comparison is the same object: there is no time in it.
    assert (
        compare(home, challenger, champion, "again", scope=SandboxScope(tasks=["infill"])) == name
    )
    monkeypatch.setattr("greenroom.serving.onnx_backend.OnnxBackend", Shaky)
    worse = home.objects.read_any(
        compare(home, challenger, champion, "test", scope=SandboxScope(tasks=["infill"]))
    )
    row = worse.figures["infill"]["limb_deg"]
    assert row.challenger > row.champion and row.gain < 0 and row.takes == 4
    course = worse.sequences["infill"]["limb_deg"]
    assert len(course.gain) == 4 and course.takes == sorted(course.takes)


def test_what_either_was_trained_on_is_left_out_and_said(
    home: Workspace, challenger: str, champion: str, clips: dict[str, str]
) -> None:
    trained = clips["humanoid3d_run"]
    held = clips["humanoid3d_kick"]
    name = compare(
        home, challenger, champion, "test", scope=SandboxScope(on=[trained, held], tasks=["infill"])
    )
    found = home.objects.read_any(name)
    assert found.parents.takes == [held]
    assert found.left_out == {trained: "the challenger was trained on it or chosen by it"}
    with pytest.raises(Refused, match="nothing to compare them on: the challenger was trained"):
        compare(home, challenger, champion, "test", scope=SandboxScope(on=[trained]))


def test_what_a_model_started_from_was_trained_on_is_left_out_too(
    home: Workspace, champion: str, clips: dict[str, str]
) -> None:
    model = home.objects.read_any(champion)
    dataset = home.objects.read_any(model.parents.dataset)
    held, trained = clips["humanoid3d_kick"], clips["humanoid3d_run"]
    train = [take for take in dataset.splits["train"] if take != trained]
    forgets = structs.replace(dataset, splits={**dataset.splits, "train": train})
    parents = ModelParents(dataset=home.publish(forgets, by="test"), start=champion)
    later = home.publish(structs.replace(model, parents=parents), by="test")
    name = compare(
        home, later, later, "test", scope=SandboxScope(on=[trained, held], tasks=["infill"])
    )
    found = home.objects.read_any(name)
    assert found.parents.takes == [held]
    assert found.left_out == {trained: "the challenger was trained on it or chosen by it"}


def test_a_take_whose_rights_do_not_cover_it_is_left_out(
    home: Workspace, challenger: str, champion: str, show: str, person: Any
) -> None:
    recording = read_recording(person(40, seed=5), "nobody.bvh")
    take = store_take(home, recording, Attribution("mira"), "test")
    name = compare(home, challenger, champion, "test", scope=SandboxScope(on=[take, show]))
    assert "quarantined" in home.objects.read_any(name).left_out[take]


def test_frames_are_no_samples(home: Workspace, challenger: str, champion: str) -> None:
    with pytest.raises(Refused, match="frames of one take are not independent"):
        compare(home, challenger, champion, "test", scope=SandboxScope(unit="frame"))


def test_models_of_other_joints_are_not_compared(home: Workspace, champion: str) -> None:
    model = home.objects.read_any(champion)
    fewer = structs.replace(model.features, joints=model.features.joints[:-1])
    other = home.publish(structs.replace(model, features=fewer), by="test")
    with pytest.raises(BadInput, match="do not drive the same joints"):
        compare(home, other, champion, "test")
    with pytest.raises(BadInput, match="is a dataset; give a model or a release"):
        compare(home, model.parents.dataset, champion, "test")


def made_up(count: int, gain: float) -> Sandbox:
    from greenroom.metrics.motion import SufficientStats

    rng = np.random.default_rng(0)
    theirs = rng.uniform(5, 9, count)
    ours = theirs * (1 - gain) / (1 + gain) * rng.uniform(0.95, 1.05, count)
    rows = {
        f"{n:064x}": (
            SufficientStats("mean", {"model": a}, 1.0),
            SufficientStats("mean", {"model": b}, 1.0),
        )
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True))
    }
    figure, course = sandbox._compare_pairs(rows)
    return Sandbox(
        actor="mira",
        unit="take",
        level=0.95,
        left_out={"f" * 64: "the <champion> was trained on it"},
        figures={"infill": {"limb_deg": figure}},
        sequences={"infill": {"limb_deg": course}},
        parents=SandboxParents(challenger="a" * 64, champion="b" * 64, takes=list(rows)),
    )


@pytest.mark.parametrize(
    ("count", "gain", "verdict"), [(60, 0.2, "better"), (60, -0.2, WORSE), (1, 0.2, OPEN)]
)
def test_the_page_shows_the_running_interval_and_when_it_was_told(
    count: int, gain: float, verdict: str
) -> None:
    found = made_up(count, gain)
    row = found.figures["infill"]["limb_deg"]
    assert row.verdict == verdict
    text = comparison_report("c" * 64, found)
    assert "http" not in text and "<script" not in text and text.count("<svg") == 1
    assert "&lt;champion&gt;" in text and verdict in text
    assert ("stroke-dasharray" in text) == (verdict != OPEN)
    points = text.split('<polygon points="')[1].split('"')[0].split()
    assert len(points) == 2 * (count + 1)


def test_the_command_prints_writes_and_refuses(
    home: Workspace, challenger: str, show: str, tmp_path: Path, release: Release
) -> None:
    args = ["--home", str(home.home), "sandbox", challenger[:12], release.name[:12]]
    file = tmp_path / "sandbox.html"
    done = CliRunner().invoke(main, [*args, "--on", show[:12], "--report", str(file), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    kept = home.objects.read(told["sandbox"], Sandbox)
    assert kept.parents.champion == release.name and told["figures"] == to_json(kept)["figures"]
    assert file.read_text().startswith("<!doctype html>")
    words = CliRunner().invoke(main, [*args, "--on", show[:12]])
    assert "live.jerk" in words.stdout and "undecided, 1 pairs" in words.stdout
    for extra, why in (
        (["--on", "nothing"], "there is no show or take 'nothing'"),
        (["--unit", "frame"], "frames of one take are not independent"),
    ):
        bad = CliRunner().invoke(main, [*args, *extra])
        assert bad.exit_code == 2 and why in bad.output
