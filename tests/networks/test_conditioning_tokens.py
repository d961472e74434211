"""Phonemes and context: what only they tell is learned from them, and a model does as well without."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.labels import Tiers
from greenroom.capture.readers import join_media, read_recording
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.consent.records import read_rights
from greenroom.contracts import ModelShape, get_tensors
from greenroom.datasets.build import build_dataset
from greenroom.features.conditioning import Vocabulary
from greenroom.live.playlist import open_playlist, show_conditioning
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import verify
from greenroom.live.show import perform
from greenroom.live.supervisor import ShowSpec
from greenroom.manifests import Dataset, Model, Show, Validation
from greenroom.monitoring.script import ScriptScene
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import PORTABLE_OPERATIONS, OnnxBackend, self_test
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation.evaluator import validate
from tests.people import approve

pytestmark = pytest.mark.train
JOINTS = ("hips", "spine", "leftUpperArm", "leftLowerArm", "rightUpperLeg", "rightLowerLeg")
ELBOW = slice(18, 24)
PHONEMES, CONTEXT = 3, 2


class Take(NamedTuple):
    """Tensors of T ticks: states, what is known, a voice, and a face."""

    states: Any
    words: Any
    speech: Any
    face: Any


def take(seed: int, ticks: int = 120) -> Take:
    """Return a take whose lips follow the phoneme and whose left elbow the emotion, not the voice."""
    import torch

    random = np.random.default_rng(seed)
    t, phase = np.arange(ticks) / 30, random.uniform(0, 6.28)
    emotion = random.integers(0, CONTEXT, -(-ticks // 30)).repeat(30)[:ticks]  # a beat's own
    beat = np.clip((t % 1 - 0.45) * 4, 0, 1) * np.clip((1 - t % 1) * 8, 0, 1)
    states = np.zeros((ticks, 6 * len(JOINTS) + 4), np.float32)
    for j in range(len(JOINTS)):
        angle = 0.2 * np.sin(1.4 * np.pi * t + phase + j)
        angle = angle + (1.6 * emotion - 0.8) * beat * (6 * j == ELBOW.start)
        states[:, 6 * j : 6 * j + 2] = np.stack([np.cos(angle), np.sin(angle)], 1)
        states[:, 6 * j + 3 : 6 * j + 5] = np.stack([-np.sin(angle), np.cos(angle)], 1)
    states[:, -4] = 1
    states += 0.002 * random.standard_normal(states.shape).astype(np.float32)
    said = random.integers(0, PHONEMES, ticks // 6).repeat(6)
    words = np.zeros((ticks, PHONEMES + CONTEXT), np.float32)
    words[np.arange(ticks), said], words[np.arange(ticks), PHONEMES + emotion] = 1, 1
    speech = 0.3 * random.standard_normal((ticks, 43)).astype(np.float32)
    face = 0.8 * np.stack([said == 0, said == 1], 1).astype(np.float32)
    return Take(*(torch.from_numpy(values) for values in (states, words, speech, face)))


LABEL_LAYERS = ("conditioning.phonemes", "conditioning.context", "face.conditioning")


def trained(takes: list[Take], held: list[Take], shape: ModelShape, steps: int) -> Any:
    from greenroom.networks.presets import MINI
    from greenroom.training.fit import FitData, fit
    from greenroom.training.recipe import Recipe
    from greenroom.training.training_data import TrainingData

    rows = [one.words for one in takes]
    words = {"streams": rows, "takes": rows, "faces": rows} if shape.phonemes else {}
    states = [one.states for one in takes]
    faces = [(t.speech, t.face) for t in takes]
    material = TrainingData(states, states, faces, conditioning=words)
    recipe = Recipe(steps=steps, windows=64, batch=8, rollout=8)
    both = ([one.states.numpy() for one in part] for part in (takes, held))
    return fit(FitData(material, *both, JOINTS), shape, MINI, recipe)[0]


def errors(model: Any, held: list[Take], told: bool) -> tuple[float, float]:
    """Return the squared error of the face, and of the elbow that is lost for half a second."""
    import torch

    from greenroom.networks.face import face_windows
    from greenroom.networks.input_batch import conditioning_inputs
    from greenroom.training.rollout import roll_out

    k, faces, elbows = model.shape.history, [], []
    lost = torch.ones(1, 15, len(JOINTS))
    lost[:, :, ELBOW.start // 6] = 0
    for one in held:
        heard, face = face_windows(one.face, one.speech, model.shape.speech)
        words = face_windows(one.face, one.words, model.shape.speech)[0] if told else None
        with torch.no_grad():
            said = model.face(
                model.normalise_speech(heard), conditioning_inputs(model.shape, words, len(heard))
            )
        faces.append(float(((said - face) ** 2).mean()))
        for at in range(0, len(one.states) - k - 15, 3):
            window, known = (rows[None, at : at + k + 15] for rows in (one.states, one.words))
            with torch.no_grad():
                done = roll_out(model, window, lost, conditioning=known if told else None)
            elbows.append(float(((done.pose - window[:, k:])[..., ELBOW] ** 2).mean()))
    return float(np.mean(faces)), float(np.mean(elbows))


def test_what_only_words_tell_is_learned_from_them_and_a_model_does_as_well_without() -> None:
    import torch

    from greenroom.networks.presets import MINI

    torch.set_num_threads(1)
    takes, held = [take(k) for k in range(16)], [take(100 + k) for k in range(4)]
    plain = MINI.shape(len(JOINTS), 6 * len(JOINTS) + 4, 43, face=2)
    model = trained(takes, held, replace(plain, phonemes=PHONEMES, context=CONTEXT), 400)
    face, elbow = errors(model, held, told=True)
    deaf_face, deaf_elbow = errors(model, held, told=False)
    other_face, other_elbow = errors(trained(takes, held, plain, 400), held, told=False)
    assert face < 0.4 * deaf_face and elbow < 0.75 * deaf_elbow
    assert deaf_face < 1.1 * other_face and deaf_elbow < 1.1 * other_elbow


@pytest.mark.parametrize(
    ("preset", "phonemes", "context"),
    [("tokens", 3, 2), ("mini", 3, 0), ("mini", 0, 2), ("mini", 3, 2)],
)
def test_a_graph_with_words_does_what_the_network_does(
    preset: str, phonemes: int, context: int
) -> None:
    import torch

    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import PRESETS
    from greenroom.training.export import check_parity, export, golden

    torch.manual_seed(0)
    size = PRESETS[preset]
    shape = size.shape(len(JOINTS), 6 * len(JOINTS) + 4, 43, face=2 if size.trunk else 0)
    shape = replace(shape, phonemes=phonemes, context=context)
    assert ModelShape.load(shape.manifest()) == shape
    model = build_network(shape, size).eval()
    for name in ("std", "high"):
        getattr(model.core, name).fill_(9.0 if name == "high" else 1.0)
    model.core.low.fill_(-9.0)
    for layer in (model.joint_out, *([model.face.out] if size.trunk else ())):
        torch.nn.init.normal_(layer.weight, std=0.3)
    graph, operations = export(model)
    assert set(operations) <= PORTABLE_OPERATIONS
    check_parity(model, graph, [take(0).states.numpy()])
    backend = OnnxBackend(graph, shape)
    self_test(backend, golden(graph, shape))
    inputs = {n: np.zeros((1, *size), np.float32) for n, size in shape.inputs().items()}
    silent = backend.run(inputs)
    for name in ("phonemes", "context"):
        if name in inputs:
            inputs[name][..., 1] = 1
            told = backend.run(inputs)
            assert not np.array_equal(told["pose"], silent["pose"])
            inputs[name][:] = 0
    assert np.array_equal(backend.run(inputs)["pose"], silent["pose"])


def test_nothing_told_is_shut_out() -> None:
    import torch

    from greenroom.networks.conditioning_tokens import ConditioningTokens
    from greenroom.networks.input_batch import conditioning_inputs
    from greenroom.training.objectives import conditioning_dropout

    shape = ModelShape(2, 16, 43, phonemes=4, context=3)
    words = torch.zeros(2, 20, 7)
    words[0, -3, 1], words[1, :, 5] = 1, 1
    tokens, shut = ConditioningTokens(shape, 8)(conditioning_inputs(shape, words, 2))
    assert tokens.shape == (2, shape.speech // 2 + 1, 8)
    assert shut[0].tolist() == [-1e4, -1e4, 0, -1e4, -1e4]
    assert shut[1].tolist() == [-1e4, -1e4, -1e4, -1e4, 0]
    assert all((one == 0).all() for one in conditioning_inputs(shape, None, 2))
    assert conditioning_inputs(ModelShape(2, 16, 43), None, 2) == ()
    random = torch.Generator().manual_seed(0)
    drawn = conditioning_dropout(shape, torch.ones(4000, 20, 7), random)
    assert (drawn == drawn[:, :1]).all()
    share = drawn[:, 0].mean(0)
    assert (
        torch.allclose(share[:4], torch.tensor(0.7), atol=0.03)
        and len(set(share[:4].tolist())) == 1
    )
    assert torch.allclose(share[4:], torch.tensor(0.7 * 0.8), atol=0.03)
    state = random.get_state()
    assert conditioning_dropout(ModelShape(2, 16, 43), torch.ones(2, 5, 0), random).shape == (
        2,
        5,
        0,
    )
    assert torch.equal(random.get_state(), state)


@pytest.fixture
def told_takes(tmp_path: Path, person: Callable[..., bytes]) -> tuple[Workspace, str]:
    """Bodies of two emotions, and voices with faces and phonemes."""
    workspace = Workspace(tmp_path / "home")
    who = Attribution("mira", ("p",), (read_rights("MIT", "p"),))
    for k in range(6):
        tiers: Tiers = {"emotion": ("happy", "sad")[k % 2], "language": "en"}
        store_take(
            workspace,
            read_recording(person(frames=70, seed=k), f"body_{k}.bvh"),
            who,
            "t",
            tiers=tiers,
        )
    random = np.random.default_rng(0)
    for k in range(4):
        loud = np.repeat(random.random(75), 800)
        sound = write_wav((loud * np.sin(np.arange(60_000) / 20)).astype(np.float32) * 0.5)
        np.save(tmp_path / "f.npy", np.stack([loud[::800], 0.5 * loud[::800]], 1))
        mapping = Mapping(channels=("jawOpen", "mouthFunnel"))
        parts = [
            read_recording((tmp_path / "f.npy").read_bytes(), f"voice_{k}.npy", mapping),
            read_recording(sound, f"voice_{k}.wav"),
        ]
        said = [(n, n + 5, "AMT"[(n + k) % 3]) for n in range(0, 75, 5)]
        store_take(
            workspace, join_media(parts), who, "t", tiers={"phonemes": said, "emotion": "happy"}
        )
    held = {"validation": ["body_2", "body_3", "voice_1"], "test": ["body_0", "body_1", "voice_0"]}
    return workspace, build_dataset(
        workspace, "d", "mira", "t", datetime.date(2026, 1, 1), held
    ).dataset


def test_from_labels_to_a_show_that_is_told_and_replays(
    told_takes: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from greenroom.training import preview
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import initial_weights, train

    workspace, dataset = told_takes
    monkeypatch.setattr(preview, "LEAST", 2)  # what is told is drawn, too
    model = train(
        workspace, dataset, "t", "mini", Recipe(3, batch=4, rollout=8, windows=16, every=2)
    )
    manifest = workspace.objects.read(model, Model)
    assert list((workspace.home / "tracking").rglob("*.webp"))
    assert manifest.vocabulary == {"phonemes": ["A", "M", "T"], "emotion": ["happy", "sad"]}
    shape = ModelShape.load(manifest.shape)
    assert (shape.phonemes, shape.context) == (3, 2)
    learned = {f"{n}.weight" for n in LABEL_LAYERS}
    assert learned <= initial_weights(workspace, model, Vocabulary.load(manifest.vocabulary)).keys()
    others = Vocabulary(("A", "M", "N"), (("emotion", "happy"), ("emotion", "sad")))
    assert not learned & initial_weights(workspace, model, others).keys()
    backend = OnnxBackend(workspace.objects.get(manifest.blobs.graph), shape)
    judged = workspace.objects.read(validate(workspace, model, backend, "t"), Validation)
    assert "conditioned" in judged.figures["face"]["r2w"].baselines
    assert "conditioned" in judged.figures["infill"]["limb_deg"].baselines
    release = load_release(workspace, approve(workspace, model, "tester"))
    splits = workspace.objects.read(dataset, Dataset).splits
    script = [ScriptScene(0, 30, "walk", (("emotion", "sad"),))]
    told = show_conditioning(open_playlist(workspace, splits["test"], 60), script)
    done = perform(
        workspace, ShowSpec(release, splits["test"], 60, cuts=[(20, 40)], conditioning=told), "t"
    )
    show = workspace.objects.read(done.show, Show)
    assert show.conditioning["emotion"] == [(0, 30, "sad")] and show.conditioning["phonemes"]
    rows = list(read_ledger(workspace, show, shape))
    inputs = [get_tensors(row["inputs"], shape.inputs()) for row in rows]
    assert inputs[10]["context"][0].tolist() == [0, 1] and not inputs[35]["context"].any()
    assert (inputs[35]["phonemes"][0].sum(axis=1) == 1).all()
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (60, None)
