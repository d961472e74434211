"""What a model carries as usual is what it says in a show: the same takes, performed live."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.ingest import load_take
from greenroom.capture.packets import encode_body
from greenroom.contracts import REFERENCE_TICKS, Packet, get_tensors
from greenroom.frames import BONES, HUMANOID, Body
from greenroom.live.performer import Performer
from greenroom.live.ring import slot_type
from greenroom.manifests import Dataset
from greenroom.metrics.motion import AHEAD
from greenroom.observers.model_drift import reference_rows
from greenroom.observers.model_health import ModelHealth
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace
from tests.people import approve

pytestmark = pytest.mark.train


def test_what_is_usual_is_what_the_performer_is_told(
    tmp_path: Path, four_clips: Callable[[Path], tuple[Workspace, str]]
) -> None:
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import train

    workspace, dataset = four_clips(tmp_path)
    recipe = Recipe(steps=3, batch=4, rollout=8)
    model = train(workspace, dataset, "test", "mini", recipe)
    release = load_release(workspace, approve(workspace, model, "tester"))
    splits = workspace.objects.read(dataset, Dataset).splits
    held = [*splits["validation"], *splits["test"]]
    role, takes = release.role, reference_rows(workspace, release)
    assert len(takes) == len(held) == 2
    for take, rows in zip(held, takes, strict=True):
        body = load_take(workspace, take, ("body",)).body
        assert body is not None
        performer = Performer(role, OnnxBackend(release.graph, role.shape), 0)
        said, sight = [], ModelHealth(role.shape)
        for at in range(len(body)):
            data = encode_body(at, body.root[at], body.rotations[at], body.validity[at], 0)
            outcome = performer.step(at, [Packet(0, data)], late=False)
            assert outcome.outputs is not None
            outputs = get_tensors(outcome.outputs, role.shape.outputs())
            row = np.zeros((), slot_type(role.shape))
            row["asked"], row["inputs"][: len(outcome.inputs)] = 1, outcome.inputs
            off = sight.read(row, outputs).forecast_error if at else np.nan
            said.append(np.concatenate([outputs["confidence"][0], outputs["sigma"][0], [off]]))
        live = np.stack(said)[role.shape.history + 1 :]  # a state has the tick before it
        count = len(live) // REFERENCE_TICKS
        live[:AHEAD, -1] = np.nan  # forecasts from before a whole history
        means = np.nanmean(
            live[: count * REFERENCE_TICKS].reshape(count, REFERENCE_TICKS, -1), axis=1
        )
        assert len(rows) == count
        np.testing.assert_allclose(rows, means, rtol=2e-3, atol=2e-3)
    base = release.manifest.reference.confidence_mean
    assert base == pytest.approx(
        np.mean([t[:, : role.shape.joints].mean() for t in takes]), abs=0.02
    )


def test_a_style_that_is_held_out_whole_is_nothing_usual() -> None:
    from greenroom.training.data_module import SplitData
    from greenroom.training.train import _in_control

    def found(styles: list[str], ticks: int = 90) -> SplitData:
        still = np.tile(np.asarray([0, 0, 0, 1], np.float32), (ticks, len(BONES), 1))
        root, there = np.zeros((ticks, 3), np.float32), np.ones((ticks, len(BONES)), np.float32)
        bodies = [Body(HUMANOID, root, still, there) for _ in styles]
        n = len(styles)
        return SplitData(bodies, styles, [""] * n, [1.0] * n, [], (), [{}] * n, [])

    taught, held = found(["calm", "glad"]), found(["glad", "old", ""])
    splits = {"train": taught, "validation": held, "test": found(["old", "calm"])}
    kept = _in_control(splits)
    wanted = [held.bodies[0], held.bodies[2], splits["test"].bodies[1]]
    assert [id(body) for body in kept] == [id(body) for body in wanted]
    unlabelled = {**splits, "train": found(["", ""])}
    assert len(_in_control(unlabelled)) == 5
    nothing_known = {**splits, "validation": found(["old"]), "test": found(["old"])}
    assert len(_in_control(nothing_known)) == 2
