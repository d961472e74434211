"""Parts exchanged: the model that has another is another in that, and in nothing else to the bit."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs
from safetensors.numpy import load as load_tensors

from greenroom.adaptation.face_refit import adapt_face
from greenroom.adaptation.graph_adapter import predict_window
from greenroom.adaptation.style_refit import refit_style_head
from greenroom.capture.annotations import take_tiers
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import load_take, store_take
from greenroom.capture.readers import join_media, read_recording
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.cli import main
from greenroom.consent.records import read_rights
from greenroom.contracts import ModelShape, golden_clip
from greenroom.datasets.build import build_dataset, pose_states
from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import ARKIT, BONES
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import verify
from greenroom.live.show import perform
from greenroom.live.supervisor import ShowSpec
from greenroom.manifests import (
    Dataset,
    Model,
    ModelParents,
    ModelPart,
    PartParents,
    Rig,
    RigParents,
    Show,
    Take,
    Validation,
)
from greenroom.observers.model_drift import reference_rows
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import OnnxBackend, self_test
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_takes import load_eval_take
from greenroom.validation.evaluator import EvalScope, validate
from tests import examples
from tests.people import approve

pytestmark = pytest.mark.train
DAY = date(2026, 1, 1)
HELD = {
    "validation": ["body_2", "body_3", "voice_1"],
    "test": ["body_0", "body_1", "voice_0", "stiff_0"],
}
Person = Callable[..., bytes]


class Studio(NamedTuple):
    workspace: Workspace
    model: str
    first: str
    second: str
    """A dataset of the same takes and of a third style."""


def _ingest(workspace: Workspace, data: bytes, name: str, style: str, who: str = "mira") -> str:
    person = Attribution(who, ("p",), (read_rights("MIT", "p"),))
    return store_take(
        workspace, read_recording(data, f"{name}.bvh"), person, "t", tiers={"style": style}
    )


def _speak(
    workspace: Workspace, folder: Path, number: int, ticks: int = 75, opens: float = 1.0
) -> str:
    loud = np.repeat(np.random.default_rng(number).random(ticks), 800)
    sound = write_wav((loud * np.sin(np.arange(800 * ticks) / 20)).astype(np.float32) * 0.5)
    np.save(folder / "f.npy", np.stack([opens * loud[::800], 0.5 * loud[::800]], 1))
    mapping = Mapping(channels=("jawOpen", "someThing"))
    parts = [
        read_recording((folder / "f.npy").read_bytes(), f"voice_{number}.npy", mapping),
        read_recording(sound, f"voice_{number}.wav"),
    ]
    return store_take(
        workspace, join_media(parts), Attribution("mira", ("p",), (read_rights("MIT", "p"),)), "t"
    )


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, person: Person) -> Studio:
    """A model of bodies, two styles and faces, and takes of a third style."""
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import train

    folder = tmp_path_factory.mktemp("exchange")
    workspace = Workspace(folder / "home")
    for n in range(8):
        _ingest(workspace, person(frames=70, seed=n), f"body_{n}", ("calm", "wild")[n % 2])
    for n in range(4):
        _speak(workspace, folder, n)
    first = build_dataset(workspace, "first", "mira", "t", DAY, HELD).dataset
    model = train(workspace, first, "t", "mini", Recipe(steps=2, batch=4, rollout=8, windows=16))
    for n in range(4):
        data = person(frames=70, seed=20 + n, amplitude=3.0)
        _ingest(workspace, data, f"stiff_{n}", "stiff")
    return Studio(
        workspace, model, first, build_dataset(workspace, "second", "mira", "t", DAY, HELD).dataset
    )


@pytest.fixture(scope="module")
def exchanged(studio: Studio) -> str:
    return refit_style_head(studio.workspace, studio.model, studio.second, "t")


def _backend(workspace: Workspace, model: str) -> OnnxBackend:
    manifest = workspace.objects.read(model, Model)
    graph = workspace.objects.get(manifest.blobs.graph)
    return OnnxBackend(graph, ModelShape.load(manifest.shape))


def test_all_but_the_style_is_the_same_to_the_bit(studio: Studio, exchanged: str) -> None:
    workspace = studio.workspace
    before, after = (_backend(workspace, name) for name in (studio.model, exchanged))
    spec = FeatureSpec.load(workspace.objects.read_any(exchanged).features)
    takes = workspace.objects.read_any(studio.second).splits["test"]
    bodies = [load_take(workspace, take).body for take in takes]
    states = [pose_states(spec, body) for body in bodies if body is not None]
    pairs = [(before.run(tick), after.run(tick)) for tick in golden_clip(before.shape)]
    for rows in states:
        for at in range(0, len(rows) - 46):
            for lost in ((), (3, 4)):
                window = rows[at : at + 46]
                pairs.append(
                    (
                        predict_window(before, window, lost, 5),
                        predict_window(after, window, lost, 5),
                    )
                )
    assert len(pairs) > 100 and {"face", "forecast", "style"} < set(pairs[0][0])
    for ours, theirs in pairs:
        for name in set(ours) - {"style"}:
            np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours["style"].shape == (1, 2) and theirs["style"].shape == (1, 3)
        assert theirs["style"].sum() == pytest.approx(1, abs=1e-5)


def test_what_comes_out_is_a_part_and_a_model_that_may_perform(
    studio: Studio, exchanged: str
) -> None:
    workspace, objects = studio.workspace, studio.workspace.objects
    old, new = (objects.read(name, Model) for name in (studio.model, exchanged))
    assert new.parents == ModelParents(dataset=studio.second, start=studio.model)
    assert new.styles == ["calm", "stiff", "wild"] and new.shape.styles == 3
    assert new.parts["rig"] == old.parts["rig"]
    assert objects.read(new.parts["rig"], Rig).channels == new.rig
    assert new.blobs.weights == old.blobs.weights
    part = objects.read(new.parts["style"], ModelPart)
    assert part.parents == PartParents(dataset=studio.second) and part.styles == new.styles
    tensors = load_tensors(objects.get(part.blobs["tensors"]))
    assert {name: list(value.shape) for name, value in tensors.items()} == part.shape
    assert workspace.catalog.children(new.parts["style"]) == [exchanged]
    assert set(new.figures) == set(part.figures) and "style_doubt_at" in part.figures
    release = load_release(workspace, approve(workspace, exchanged, "tester"))
    self_test(OnnxBackend(release.graph, release.role.shape), release.golden)
    card = objects.get(release.manifest.blobs["card"]).decode()
    assert f"| part: style | `{new.parts['style']}` |" in card
    takes = reference_rows(workspace, release)
    assert len(takes) == 5 and sum(map(len, takes)) == sum(new.reference.blocks)
    joints = release.role.shape.joints
    for rows in takes:
        np.testing.assert_allclose(rows[:, 2 * joints :][:, :3].sum(axis=1), 1, atol=1e-4)
    assert workspace.fsck().bad == []
    assert refit_style_head(workspace, studio.model, studio.second, "t") == exchanged


def test_usual_is_what_the_new_graph_says_of_held_takes(studio: Studio, exchanged: str) -> None:
    workspace = studio.workspace
    release = load_release(workspace, approve(workspace, exchanged, "tester"))
    splits = workspace.objects.read_any(studio.second).splits
    backend, spec = _backend(workspace, exchanged), release.role.spec
    joints = release.role.shape.joints
    held = [load_take(workspace, take).body for take in splits["validation"] + splits["test"]]
    for body, rows in zip(
        [one for one in held if one is not None], reference_rows(workspace, release), strict=True
    ):
        states = pose_states(spec, body)[:40]  # the first ten ticks with a whole history
        inputs = {
            name: np.zeros((1, *size), np.float32) for name, size in backend.shape.inputs().items()
        }
        inputs["captured"][:], inputs["valid"][:] = 1, 1
        said = []
        for tick in range(30, 40):
            inputs["history"][0], inputs["state"][0] = states[tick - 30 : tick], states[tick]
            step = (states[tick] - states[tick - 1])[: 6 * joints]
            inputs["velocity"][0] = 30 * step
            out = backend.run(inputs)
            said.append(np.concatenate([out[n][0] for n in ("confidence", "sigma", "style")]))
        np.testing.assert_allclose(rows[0, : 2 * joints + 3], np.mean(said, axis=0), atol=1e-5)


def test_the_takes_it_was_trained_on_give_the_part_that_it_has(studio: Studio) -> None:
    with pytest.raises(BadInput, match="has this style part already"):
        refit_style_head(studio.workspace, studio.model, studio.first, "t")


def test_it_is_judged_alone_and_beside_the_rest(studio: Studio, exchanged: str) -> None:
    workspace, backend = studio.workspace, _backend(studio.workspace, exchanged)
    alone = validate(workspace, exchanged, backend, "t", EvalScope(tasks=("style",)))
    figures = workspace.objects.read(alone, Validation).figures
    assert set(figures) == {"style"} and figures["style"]["accuracy"].takes == 3


def test_a_dataset_without_faces_judges_all_but_the_face(studio: Studio, person: Person) -> None:
    workspace = Workspace(studio.workspace.home)
    held = {**HELD, "validation": ["body_2", "body_3", "voice_*"], "test": ["body_0", "stiff_0"]}
    silent = build_dataset(workspace, "silent", "mira", "t", DAY, held)
    model = refit_style_head(workspace, studio.model, silent.dataset, "t")
    found = validate(workspace, model, _backend(workspace, model), "t")
    figures = workspace.objects.read(found, Validation).figures
    assert set(figures) == {"infill", "forecast", "style"}
    with pytest.raises(BadInput, match="no recording to judge face on"):
        validate(workspace, model, _backend(workspace, model), "t", EvalScope(tasks=("face",)))


def test_the_command_makes_it(studio: Studio, exchanged: str) -> None:
    home = str(studio.workspace.home)
    words = ["--home", home, "part", "style", studio.model[:12], "second", "--json"]
    done = CliRunner().invoke(main, words)
    said = msgspec.json.decode(done.stdout)
    assert done.exit_code == 0 and said["model"] == exchanged
    done = CliRunner().invoke(main, ["--home", home, "part", "list", exchanged[:12], "--json"])
    assert msgspec.json.decode(done.stdout)["parts"]["style"] == said["part"]
    done = CliRunner().invoke(main, ["--home", home, "part", "style", studio.model[:12], "first"])
    assert done.exit_code == 2 and "has this style part already" in done.stderr


def test_a_mapped_face_performs_and_replays_to_the_bit(studio: Studio, tmp_path: Path) -> None:
    workspace, home = studio.workspace, ["--home", str(studio.workspace.home)]
    file = tmp_path / "rig.json"
    arkit = {"jawOpen": {"jawOpen": 0.5}, "someThing": {"jawOpen": 0.25, "mouthPucker": 1}}
    file.write_bytes(msgspec.json.encode({"name": "mapped", "arkit": arkit}))
    words = ["part", "rig", studio.model[:12], str(file), "--json"]
    done = CliRunner().invoke(main, [*home, *words])
    said = msgspec.json.decode(done.stdout)
    old, new = (workspace.objects.read(m, Model) for m in (studio.model, said["model"]))
    assert new.parts == {**old.parts, "rig": said["part"]} and new.blobs == old.blobs
    rig = workspace.objects.read(said["part"], Rig)
    assert rig.arkit == arkit and rig.parents == RigParents(rig=old.parts["rig"])
    voices = [
        row.object
        for row in workspace.catalog.find("take")
        if "audio" in workspace.objects.read(row.object, Take).media
    ]
    faces = []
    for model in (studio.model, said["model"]):
        release = load_release(workspace, approve(workspace, model, "tester"))
        show = perform(workspace, ShowSpec(release, voices[:1], 45), "t").show
        verdict = verify(workspace, show)
        assert (verdict.exact, verdict.first_difference) == (45, None)
        rows = read_ledger(workspace, workspace.objects.read(show, Show), release.role.shape)
        faces.append(np.stack([row["face"].copy() for row in rows]))
    plain, mapped = (
        {ARKIT[i] for i in np.flatnonzero(np.isfinite(face).all(axis=0))} for face in faces
    )
    assert plain == {"jawOpen"} and mapped == {"jawOpen", "mouthPucker"}
    assert np.isfinite(faces[1]).sum() == 2 * 45 and np.nanmax(faces[1]) > 0


def test_a_fitted_face_performs_and_replays_to_the_bit(studio: Studio, tmp_path: Path) -> None:
    workspace = studio.workspace
    shown, other = (_speak(workspace, tmp_path, n, 400, opens=0.2) for n in (50, 51))
    made = adapt_face(workspace, studio.model, shown, "t")
    scenes, values = {"other": load_eval_take(workspace, other)}, []
    for model in (studio.model, made):
        backend = _backend(workspace, model)
        found = validate(workspace, model, backend, "t", EvalScope(scenes, ("face",)))
        figures = workspace.objects.read(found, Validation).figures
        values.append(figures["face"]["r2w"].model)
    assert values[1] > values[0]
    release = load_release(workspace, approve(workspace, made, "tester"))
    self_test(OnnxBackend(release.graph, release.role.shape), release.golden)
    show = perform(workspace, ShowSpec(release, [other], 45), "t").show
    assert verify(workspace, show).exact == 45
    held = {**HELD, "test": [*HELD["test"], "voice_50"]}
    holds = build_dataset(workspace, "holds", "mira", "t", DAY, held).dataset
    with pytest.raises(BadInput, match="1 takes of the test split are among those"):
        refit_style_head(workspace, made, holds, "t")
    part = workspace.objects.read_any(made).parts["face"]
    card = workspace.objects.get(release.manifest.blobs["card"]).decode()
    assert f"| part: face | `{part}` |" in card


def _refused(studio: Studio, dataset: str, match: str, kind: type[GreenroomError]) -> None:
    before = studio.workspace.catalog.find("model"), studio.workspace.catalog.find("part")
    with pytest.raises(kind, match=match):
        refit_style_head(studio.workspace, studio.model, dataset, "t")
    now = studio.workspace.catalog.find("model"), studio.workspace.catalog.find("part")
    assert now == before


def test_what_could_not_be_judged_or_counted_is_refused(studio: Studio, person: Person) -> None:
    workspace, publish = studio.workspace, studio.workspace.publish
    frozen = workspace.objects.read(studio.second, Dataset)

    def like(name: str, **change: object) -> str:
        return publish(structs.replace(frozen, name=name, **change), by="t")

    _refused(studio, like("x", actor="else"), "is else's, not mira's", BadInput)
    splits = frozen.splits
    moved = {**splits, "test": [*splits["test"], splits["train"][0]], "train": splits["train"][1:]}
    _refused(studio, like("y", splits=moved), "1 takes of the test split are among", BadInput)
    calm = [take for take in splits["train"] if take_tiers(workspace, take) == {"style": "calm"}]
    one = like("z", splits={**splits, "train": calm})
    _refused(studio, one, "fewer than two styles", BadInput)
    rights = structs.replace(read_rights("MIT", "p"), start="2020-01-01", expiry="2025-12-31")
    over = Attribution("mira", ("p",), (rights,))
    recording = read_recording(person(frames=70, seed=99), "late.bvh")
    late = store_take(workspace, recording, over, "t", tiers={"style": "calm"})
    more = {**splits, "train": [*splits["train"], late]}
    takes = structs.replace(frozen.parents, takes=sorted([*frozen.parents.takes, late]))
    _refused(studio, like("w", splits=more, parents=takes), "expired on 2025-12-31", Refused)
    names = {bone: bone for bone in BONES} | {"leftToes": "thing"}
    short = _ingest(workspace, person(frames=70, seed=98, names=names), "short", "calm")
    lacking = {**splits, "train": [*splits["train"], short]}
    takes = structs.replace(frozen.parents, takes=sorted([*frozen.parents.takes, short]))
    lacks = like("v", splits=lacking, parents=takes)
    _refused(studio, lacks, "1 of 8 bodies lack a joint", BadInput)


def test_a_model_that_was_updated_online_is_refused_by_the_name_of_the_trained(
    studio: Studio,
) -> None:
    workspace = studio.workspace
    manifest = workspace.objects.read(studio.model, Model)
    parents = structs.replace(manifest.parents, start=studio.model)
    updated = structs.replace(manifest, update=examples.UPDATE, parents=parents)
    updated = workspace.publish(updated, by="t")
    with pytest.raises(BadInput, match=f"the model that was trained: {studio.model[:12]}"):
        refit_style_head(workspace, updated, studio.second, "t")


def test_a_model_without_styles_is_refused(studio: Studio) -> None:
    workspace = studio.workspace
    manifest = workspace.objects.read(studio.model, Model)
    shape = structs.replace(manifest.shape, styles=0)
    model = workspace.publish(structs.replace(manifest, styles=[], shape=shape), by="t")
    with pytest.raises(BadInput, match="has no head for styles"):
        refit_style_head(workspace, model, studio.second, "t")
