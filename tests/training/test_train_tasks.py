"""Training of every task, and of datasets that are too small."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.records import read_rights
from greenroom.contracts import ModelShape
from greenroom.datasets.build import build_dataset
from greenroom.errors import BadInput
from greenroom.frames import ARKIT
from greenroom.manifests import Model, Validation
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import PORTABLE_OPERATIONS, OnnxBackend
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import EvalModel
from greenroom.validation.evaluator import validate
from greenroom.validation.report import validation_report
from tests.people import approve

pytestmark = pytest.mark.train


@pytest.mark.parametrize("preset", ["mini", "small"])
def test_one_model_does_every_task_and_is_judged_on_it(
    studio: tuple[Workspace, str], preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import TrainOptions, train

    workspace, dataset = studio
    recipe = Recipe(steps=3, batch=4, rollout=8, windows=16, every=2, weights="learned")
    said: dict[str, float] = {}
    options = TrainOptions(progress=lambda step, steps, figures: said.update(figures))
    model = train(workspace, dataset, "t", preset, recipe, options)
    assert set(said) == {"loss", "loss_performing", "loss_gaps", "loss_face"}
    manifest = workspace.objects.read(model, Model)
    assert set(manifest.operations) <= PORTABLE_OPERATIONS
    assert manifest.styles == ["calm", "wild"] and manifest.rig[0] == "jawOpen"
    shape = ModelShape.load(manifest.shape)
    assert (shape.face, shape.styles, shape.horizons) == (3, 2, (1, 3, 6, 10, 15))
    backend = OnnxBackend(workspace.objects.get(manifest.blobs.graph), shape)
    asked: list[int] = []
    forecast = EvalModel.forecast
    monkeypatch.setattr(
        EvalModel, "forecast", lambda self, past: asked.append(len(past)) or forecast(self, past)
    )
    found = workspace.objects.read(validate(workspace, model, backend, "t"), Validation)
    figures = found.figures
    assert set(figures) == {"infill", "forecast", "face", "style"}
    assert asked and set(asked) == {shape.history}  # its own forecasts are judged, no roll-out
    # There is one test take of two seconds and a half: a single stretch, and its rig rounds the lips.
    assert set(figures["face"]) == {"r2w", "opening_r", "rounding_r"}
    assert "r2w_adapted" not in figures["face"]  # that is too short to adapt
    assert set(figures["style"]) == {"accuracy", "ece"}  # and there is no style it never saw
    assert "style" in validation_report("0" * 64, found)
    release = load_release(workspace, approve(workspace, model, "tester"))
    assert release.role.rig[1] == "mouthFunnel" and "jawOpen" in ARKIT
    assert workspace.fsck().bad == []


def test_a_preset_that_is_not_there_and_takes_that_are_too_short_are_said(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import train

    workspace = Workspace(tmp_path)
    who = Attribution("mira", ("p",), (read_rights("MIT", "p"),))
    for k in range(4):
        store_take(workspace, read_recording(person(frames=14, seed=k), f"{k}.bvh"), who, "test")
    dataset = build_dataset(workspace, "d", "mira", "t", datetime.date(2026, 1, 1)).dataset
    with pytest.raises(BadInput, match="no preset 'huge'; use one of tokens, mini, small"):
        train(workspace, dataset, "t", "huge")
    with pytest.raises(BadInput, match="the test split has no body of 0.6 s"):
        train(workspace, dataset, "t", "mini", Recipe(steps=2))
