"""A face fitted to one person: better on what follows, the rest of the model untouched, else refused."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs

from greenroom.adaptation.face_refit import adapt_face, carry_face_adaptation
from greenroom.adaptation.graph_adapter import golden_outputs
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import load_take, store_take
from greenroom.capture.readers import join_media, read_recording
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.cli import main
from greenroom.consent.records import read_rights
from greenroom.contracts import LOOK_AHEAD, ModelShape, golden_clip
from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.features.speech import extract_speech
from greenroom.manifests import Model, ModelBlobs, ModelPart
from greenroom.registry.lineage import splits_behind
from greenroom.serving.onnx_backend import PORTABLE_OPERATIONS, OnnxBackend
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation.face_evaluator import predict_face, speech_windows
from tests import examples

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(find_spec("onnx") is None, reason="needs the train extra"),
]
CHANNELS = ("jawOpen", "someThing", "stays")
SHAPE = ModelShape(2, 16, 43, history=30, speech=12, horizons=(1, 6, 15), face=3)


def _graph() -> bytes:
    """Return a graph that opens the jaw as loud as the tick is, and else says noughts."""
    from onnx import TensorProto, helper, numpy_helper

    to_face = np.zeros((43, 3), dtype=np.float32)
    to_face[40, :2] = 0.03, 0.005  # the level's channel
    numbers = {
        "to_face": to_face,
        "one": np.float32(1),
        "low": np.float32(0),
        "high": np.float32(1),
    }
    numbers |= {"tick": np.int64(SHAPE.speech - 1 - LOOK_AHEAD)}
    nodes = [
        helper.make_node("Gather", ["speech", "tick"], ["now"], axis=1),
        helper.make_node("MatMul", ["now", "to_face"], ["opened"]),
        helper.make_node("Add", ["opened", "one"], ["raised"]),
        helper.make_node("Clip", ["raised", "low", "high"], ["face"]),
    ]
    for name, size in SHAPE.outputs().items():
        if name != "face":
            numbers[f"{name}_0"] = np.zeros((1, *size), dtype=np.float32)
            nodes.append(helper.make_node("Identity", [f"{name}_0"], [name]))

    def values(sizes: dict[str, tuple[int, ...]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *size))
            for name, size in sizes.items()
        ]

    graph = helper.make_graph(
        nodes,
        "tiny",
        values(SHAPE.inputs()),
        values(SHAPE.outputs()),
        [numpy_helper.from_array(np.asarray(v), name) for name, v in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    out: bytes = model.SerializeToString()
    return out


def _take(
    workspace: Workspace,
    folder: Path,
    seed: int,
    seconds: float = 30.0,
    turns: bool = False,
    **who: Any,
) -> str:
    """Keep a voice of random loudness and a face that uses `someThing` where the model opens the jaw.

    With `turns` its second half does what the model says.
    """
    random, ticks = np.random.default_rng(seed), int(30 * seconds)
    loud = np.repeat(random.random(-(-ticks // 5)), 5)[:ticks]
    sound = np.repeat(loud, 1600) * np.sin(np.arange(ticks * 1600) / 20) * 0.5
    level = extract_speech(sound.astype(np.float32))[:ticks, 40]
    face = np.full((ticks, 3), 0.1)
    face[:, 1] = np.clip(1 + 0.03 * level, 0, 1)
    if turns:
        face[ticks // 2 :, :2] = np.clip(1 + level[ticks // 2 :, None] * [0.03, 0.005], 0, 1)
    np.save(folder / "f.npy", face)
    mapping = Mapping(channels=who.pop("channels", CHANNELS))
    recording = [
        read_recording((folder / "f.npy").read_bytes(), f"voice_{seed}.npy", mapping),
        read_recording(write_wav(sound.astype(np.float32)), f"voice_{seed}.wav"),
    ]
    rights = structs.replace(read_rights("MIT", "p"), **who.pop("rights", {}))
    return store_take(
        workspace,
        join_media(recording),
        Attribution(who.pop("actor", "mira"), ("p",), (rights,)),
        "t",
    )


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def _model(workspace: Workspace, test: tuple[str, ...] = (), **more: Any) -> str:
    splits = {"train": [], "validation": [], "test": list(test)}
    dataset = workspace.publish(examples.dataset(list(test), splits), by="t")
    graph = _graph()
    blobs = ModelBlobs(
        graph=workspace.objects.put(graph),
        golden=workspace.objects.put(golden_outputs(graph, SHAPE)),
    )
    model = examples.model(workspace, dataset, rig=list(CHANNELS), blobs=blobs)
    fields = {"parameters": 129, "shape": SHAPE.manifest(), "figures": {"gain": 1.0}, **more}
    return workspace.publish(structs.replace(model, **fields), by="t")


def test_half_a_minute_makes_what_follows_better_and_nothing_else_other(
    home: Workspace, tmp_path: Path
) -> None:
    model, take = _model(home), _take(home, tmp_path, 1, 32)
    made = adapt_face(home, model, take, "t")
    assert made == adapt_face(home, model, take, "t")
    old, new = (home.objects.read(name, Model) for name in (model, made))
    part = home.objects.read(new.parts["face"], ModelPart)
    assert part.ticks == 900 and part.figures["r2_before"] < 0.2
    assert part.figures["r2_after"] > 0.9
    assert new.parents == structs.replace(old.parents, start=model, takes=[take])
    assert new.rights == part.rights == list(home.attributions.of(take).rights)
    assert new.parameters == 129 + 3 * 3 + 3 and new.figures == {}
    assert set(new.operations) <= PORTABLE_OPERATIONS
    assert take in next(splits_behind(home, made))["train"]
    graphs = [home.objects.get(manifest.blobs.graph) for manifest in (old, new)]
    assert home.objects.get(new.blobs.golden) == golden_outputs(graphs[1], SHAPE)
    before, after = (OnnxBackend(graph, SHAPE) for graph in graphs)
    for tick in golden_clip(SHAPE):
        ours, theirs = before.run(tick), after.run(tick)
        assert list(ours) == list(theirs)
        for name in set(ours) - {"face"}:
            np.testing.assert_array_equal(ours[name], theirs[name])
    other = load_take(home, _take(home, tmp_path, 2, 12))
    assert other.face is not None and other.audio is not None
    truth = other.face.weights[:-2]
    speech = speech_windows(extract_speech(other.audio.samples), SHAPE.speech, len(truth))
    errors = [
        np.abs(predict_face(backend, SHAPE, speech) - truth).mean(axis=0)
        for backend in (before, after)
    ]
    assert (errors[1] < 0.05).all() and errors[0].min() > 0.1
    assert home.fsck().bad == []


def test_a_face_is_fitted_again_after_a_training(home: Workspace, tmp_path: Path) -> None:
    model, take = _model(home), _take(home, tmp_path, 1)
    made = adapt_face(home, model, take, "t")
    trained = _model(home, parameters=130)
    assert carry_face_adaptation(home, model, trained, "t") == trained  # whose start had none
    again = home.objects.read_any(carry_face_adaptation(home, made, trained, "t"))
    assert again.parents.start == trained and again.parents.takes == [take]
    assert again.parameters == 130 + 12 and "face" in again.parts
    judged = _model(home, test=(take,), parameters=131)
    assert (
        carry_face_adaptation(home, made, judged, "t") == judged
    )  # where it may not, it is as it was trained


def test_values_stay_between_nought_and_one(home: Workspace, tmp_path: Path) -> None:
    made = adapt_face(home, _model(home), _take(home, tmp_path, 1), "t")
    graph = home.objects.get(home.objects.read_any(made).blobs.graph)
    inputs = {n: np.zeros((1, *size), np.float32) for n, size in SHAPE.inputs().items()}
    for level in (-1e4, 1e4):
        inputs["speech"][:] = level
        face = OnnxBackend(graph, SHAPE).run(inputs)["face"]
        assert face.min() >= 0 and face.max() <= 1


def test_the_command_says_what_it_gained(home: Workspace, tmp_path: Path) -> None:
    model, take = _model(home), _take(home, tmp_path, 1)
    words = ["--home", str(home.home), "part", "face", model[:12], take[:12]]
    done = CliRunner().invoke(main, [*words, "--json"])
    said = msgspec.json.decode(done.stdout)
    assert done.exit_code == 0 and said["figures"]["r2_after"] > 0.9
    assert home.objects.read_any(said["model"]).parts["face"] == said["part"]
    text = CliRunner().invoke(main, words).stdout
    assert f"r2_after {said['figures']['r2_after']}" in text
    assert f"--home {home.home} validate {said['model'][:12]} --task face" in text


def _refused(
    home: Workspace, model: str, take: str, match: str, kind: type[GreenroomError] = BadInput
) -> None:
    before = home.catalog.find("model"), home.catalog.find("part")
    with pytest.raises(kind, match=match):
        adapt_face(home, model, take, "t")
    assert (home.catalog.find("model"), home.catalog.find("part")) == before


def test_what_cannot_be_fitted_or_counted_is_refused(home: Workspace, tmp_path: Path) -> None:
    take = _take(home, tmp_path, 1)
    model = _model(home)
    _refused(home, model, _take(home, tmp_path, 3, 9), "for 9.0 s, which is too short")
    _refused(home, model, _take(home, tmp_path, 4, turns=True), "no better: R²", Refused)
    _refused(home, model, _take(home, tmp_path, 5, actor="else"), "is else's, not mira's")
    renamed = _take(home, tmp_path, 6, channels=(*CHANNELS[:2], "other"))
    _refused(home, model, renamed, "channels of another rig")
    over = {"start": "2020-01-01", "expiry": "2025-12-31"}
    expired = _take(home, tmp_path, 7, rights=over)
    _refused(home, model, expired, "expired on 2025-12-31", Refused)
    sound = read_recording(write_wav(np.zeros(60_000, dtype=np.float32)), "only.wav")
    alone = store_take(home, sound, Attribution("mira", ("p",), (read_rights("MIT", "p"),)), "t")
    _refused(home, model, alone, "no face with its voice")
    _refused(home, _model(home, test=(take,)), take, "is held out to judge")
    _refused(home, _model(home, test=(expired,)), take, "expired on 2025-12-31", Refused)
    manifest = home.objects.read(model, Model)
    faceless = home.publish(structs.replace(manifest, rig=[]), by="t")
    _refused(home, faceless, take, "drives no face")
    parents = structs.replace(manifest.parents, start=model)
    updated = structs.replace(manifest, update=examples.UPDATE, parents=parents)
    updated = home.publish(updated, by="t")
    _refused(home, updated, take, "was updated online")
    fitted = adapt_face(home, model, take, "t")
    with pytest.raises(BadInput) as told:
        adapt_face(home, fitted, _take(home, tmp_path, 8), "t")
    assert f"the model that it was made of, {model[:12]}" in told.value.then
