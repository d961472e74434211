"""An update: a model of its own, within its bounds or refused, and better at what is new."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from greenroom import embedded
from greenroom.adaptation.replay_reservoir import Reservoir
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.records import read_rights
from greenroom.contracts import ModelShape
from greenroom.datasets.build import build_dataset
from greenroom.errors import BadInput, Refused
from greenroom.manifests import Model, ModelParents, ModelPart
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import OnnxBackend, self_test
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests.people import approve

pytestmark = pytest.mark.train


class Studio(NamedTuple):
    workspace: Workspace
    model: str
    new: list[str]
    others: list[str]
    replay: str


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, person: Callable[..., bytes]) -> Studio:
    """A model of two styles, and takes of a wide movement of one of them that it never saw."""
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import train

    workspace = Workspace(tmp_path_factory.mktemp("online") / "home")
    who = Attribution("mira", ("p",), (read_rights("MIT", "p"),))

    def ingest(name: str, movement: int, style: str, amplitude: float) -> str:
        data = person(frames=160, seed=movement, amplitude=amplitude)
        recording = read_recording(data, f"{name}.bvh")
        return store_take(workspace, recording, who, "test", tiers={"style": style})

    for n in range(12):
        ingest(f"body_{n}", n % 2, ("calm", "wild")[n % 2], 15.0 + n)
    held = {"validation": ["body_2", "body_3"], "test": ["body_0", "body_1"]}
    dataset = build_dataset(workspace, "d", "mira", "test", date(2026, 1, 1), held).dataset
    recipe = Recipe(steps=6, batch=4, rollout=8, windows=16)
    model = train(workspace, dataset, "test", "mini", recipe)
    kept = Reservoir()
    for take in workspace.objects.read_any(dataset).splits["train"]:
        kept.offer_take(workspace, take, date(2026, 1, 1))
    replay = kept.save(workspace, "mira", "test")
    more = [ingest(f"new_{n}", 9, "wild", 40.0 + n) for n in range(6)]
    return Studio(workspace, model, more[:4], more[4:], replay)


def test_an_update_is_a_model_of_its_own_that_may_perform(studio: Studio) -> None:
    import onnx

    from greenroom.adaptation.online_update import (
        UpdateRequest,
        online_update,
        online_update_subprocess,
    )

    workspace, objects = studio.workspace, studio.workspace.objects
    made = online_update(workspace, UpdateRequest(studio.model, studio.new, studio.replay), "test")
    first, second = (objects.read(name, Model) for name in (studio.model, made))
    said = second.update
    assert said.style == "wild" and said.in_a_row == 1
    assert 0 < said.norm <= said.bounds["norm"] and said.replay_loss <= said.bounds["replay_loss"]
    assert said.seconds == 60 and said.gain > 0 and said.loss_after != said.loss_before
    assert second.parents == ModelParents(
        dataset=first.parents.dataset,
        start=studio.model,
        takes=sorted(studio.new),
        replay=studio.replay,
    )
    before, after = (
        {
            one.name: onnx.numpy_helper.to_array(one)
            for one in onnx.load_from_string(objects.get(m.blobs.graph)).graph.initializer
        }
        for m in (first, second)
    )
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved and moved <= {
        *(f"trunk.{layer}.{part}" for layer in ("ahead", "fill") for part in ("weight", "bias")),
        "style.centres",
    }
    from safetensors.numpy import load

    learned = load(objects.get(second.blobs.weights))
    for name in moved & set(learned):
        assert np.array_equal(learned[name], after[name])
    parts = [objects.read(m.parts["style"], ModelPart) for m in (first, second)]
    assert parts[1].parents.start == first.parts["style"]
    for part, centres in zip(parts, (before, after), strict=True):
        tensors = load(objects.get(part.blobs["tensors"]))
        assert np.array_equal(tensors["centres"], centres["style.centres"])
    release = load_release(workspace, approve(workspace, made, "tester"))
    self_test(OnnxBackend(release.graph, release.role.shape), release.golden)
    assert workspace.fsck().bad == []
    again = online_update_subprocess(
        workspace.home, UpdateRequest(studio.model, studio.new, studio.replay), "test"
    )
    assert again == made


def test_it_is_better_at_takes_that_it_never_saw(studio: Studio) -> None:
    from greenroom.adaptation.graph_adapter import Adapter
    from greenroom.adaptation.online_update import UpdateRequest, online_update
    from greenroom.adaptation.replay_reservoir import concatenate_moments, take_moments
    from greenroom.adaptation.update_step import UpdateBounds, losses
    from greenroom.features.pipeline import FeatureSpec

    workspace = studio.workspace
    # After six steps of training the layers are next to nought, and so is a share of their norm.
    far = UpdateBounds(norm=1e4)
    made = online_update(
        workspace, UpdateRequest(studio.model, studio.new, studio.replay, bounds=far), "test"
    )
    found = []
    for name in (studio.model, made):
        manifest = workspace.objects.read_any(name)
        spec, shape = FeatureSpec.load(manifest.features), ModelShape.load(manifest.shape)
        graph = workspace.objects.get(manifest.blobs.graph)
        adapter = Adapter(graph, shape, spec.joints)
        moments = concatenate_moments(
            [take_moments(workspace, spec, take, 7) for take in studio.others]
        )
        found.append(losses(adapter, adapter.predict(moments, 5), manifest.styles))
    before, after = found
    assert after["forecast_6"] < 0.98 * before["forecast_6"]
    assert after["forecast_15"] < 0.98 * before["forecast_15"]


def _uneven(graph: bytes, shape: ModelShape, joints: Sequence[str]) -> bytes:
    """Return a trained graph that gives its additions by size of movement, and whole in gaps."""
    import torch

    from greenroom.adaptation.graph_adapter import Adapter
    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import MINI
    from greenroom.training.export import export

    trained, model = Adapter(graph, shape, joints), build_network(shape, MINI).eval()
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if name in trained.weights:
                value.copy_(torch.from_numpy(trained.weights[name].copy()))
        model.residual.fill_(1.0)
        model.trunk.reference_amplitude.fill_(0.5)
        kinds = len(shape.horizons)
        model.trunk.forecast_gain.copy_(torch.linspace(0.02, 1, 6 * kinds).reshape(6, kinds).T)
    return export(model)[0]


def test_what_the_layers_read_foretells_what_moving_them_does(studio: Studio) -> None:
    from greenroom.adaptation.graph_adapter import AHEAD, FILL, Adapter, limb_columns
    from greenroom.adaptation.replay_reservoir import concatenate_moments, take_moments
    from greenroom.features.pipeline import FeatureSpec

    manifest = studio.workspace.objects.read_any(studio.model)
    graph = studio.workspace.objects.get(manifest.blobs.graph)
    shape, spec = ModelShape.load(manifest.shape), FeatureSpec.load(manifest.features)
    adapter = Adapter(_uneven(graph, shape, spec.joints), shape, spec.joints)
    lively = take_moments(studio.workspace, spec, studio.new[0], 7)
    first = lively.states[:, :1]
    moments = concatenate_moments(
        [lively, replace(lively, states=first + 0.1 * (lively.states - first))]
    )
    random = np.random.default_rng(0)
    turns = {
        layer: (2e-4 * random.normal(size=adapter.weights[f"{layer}.weight"].shape)).astype("f4")
        for layer in (AHEAD, FILL)
    }
    moved = {f"{n}.weight": adapter.weights[f"{n}.weight"] + t for n, t in turns.items()}
    before = adapter.predict(moments, 3, single=True)
    after = adapter.predict(moments, 3, adapter.one_sided(moved))
    given = before.gains
    kinds = len(shape.horizons)
    assert given.shape == (len(moments), kinds) and len(after.gains) == 0
    some = len(lively)
    assert (np.median(given[:some], axis=0) > 1.5 * np.median(given[some:], axis=0)).all()
    scale = adapter.forecast_scale().ravel()
    foretold = (
        np.repeat(given, len(scale) // kinds, axis=1) * scale * (before.hidden @ turns[AHEAD].T)
    )
    np.testing.assert_allclose(before.ahead - after.ahead, foretold, atol=2e-5)
    assert np.abs(foretold).max() > 2e-3
    reach = adapter.pose_response(moments)
    for limb, (_, ours, off), (_, _, then) in zip(
        adapter.limbs, before.gaps, after.gaps, strict=True
    ):
        columns = limb_columns(limb)
        foretold = reach[columns] * (ours @ turns[FILL].T[:, columns])
        did = off - then
        inside = np.abs(did) > 1e-7  # what is clamped does not move, and an old gap's moves less
        assert inside.sum() > 100 and np.abs(did).max() > 2e-3
        assert np.corrcoef(did[inside], foretold[inside])[0, 1] > 0.99


def test_a_bound_that_nothing_keeps_refuses_and_leaves_nothing(studio: Studio) -> None:
    from greenroom.adaptation.online_update import (
        UpdateRequest,
        online_update,
        online_update_subprocess,
    )
    from greenroom.adaptation.update_step import UpdateBounds

    workspace = studio.workspace
    before = workspace.catalog.find("model")
    tight = UpdateBounds(norm=1e-9)
    request = UpdateRequest(studio.model, studio.new, studio.replay, style="", bounds=tight)
    with pytest.raises(Refused, match=r"norm 1e-09.*forecast_6 0\.\d"):
        online_update(workspace, request, "test")
    with pytest.raises(Refused, match="norm 1e-09"):
        online_update_subprocess(workspace.home, request, "test")
    for do, where in ((online_update, workspace), (online_update_subprocess, workspace.home)):
        with pytest.raises(Refused, match="took"):
            late = UpdateBounds(seconds=0.01)
            request = UpdateRequest(studio.model, studio.new, studio.replay, bounds=late)
            do(where, request, "test")  # type: ignore[operator]
    assert workspace.catalog.find("model") == before
    with pytest.raises(BadInput, match="bounds are above nought"):
        UpdateBounds(replay_loss=0.0)


def test_rights_actors_and_models_that_do_not_fit_are_refused(
    studio: Studio, tmp_path: Path, person: Callable[..., bytes]
) -> None:
    from greenroom.adaptation.online_update import UpdateRequest, online_update

    workspace = studio.workspace
    recording = read_recording(person(frames=100, seed=77), "x.bvh")
    nobody = store_take(workspace, recording, Attribution("mira"), "test")
    with pytest.raises(Refused, match="quarantined"):
        online_update(workspace, UpdateRequest(studio.model, [nobody], studio.replay), "test")
    # The same recording would be the same take, and mira's too.
    another = read_recording(person(frames=100, seed=78), "x.bvh")
    other = store_take(
        workspace, another, Attribution("else", ("p",), (read_rights("MIT", "p"),)), "test"
    )
    with pytest.raises(BadInput, match="is else's, not mira's"):
        online_update(workspace, UpdateRequest(studio.model, [other], studio.replay), "test")
    with pytest.raises(BadInput, match="without takes"):
        online_update(workspace, UpdateRequest(studio.model, [], studio.replay), "test")
    elsewhere = Workspace(tmp_path / "home")
    release = embedded.install(elsewhere)
    actor = elsewhere.objects.read_any(release).actor
    who = Attribution(actor, ("p",), (read_rights("MIT", "p"),))
    take = store_take(elsewhere, recording, who, "test")
    kept = Reservoir()
    kept.offer_take(elsewhere, take, date(2026, 1, 1))
    with pytest.raises(BadInput, match="no layer that an update may move"):
        request = UpdateRequest(release, [take], kept.save(elsewhere, actor, "test"))
        online_update(elsewhere, request, "test")
