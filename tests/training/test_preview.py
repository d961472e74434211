"""Clips of a run: they change no bit of it, nobody is shown who may not be, and none is told twice."""

import datetime
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from greenroom.manifests import Dataset, Rights
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.training.tracking import Journal

pytestmark = pytest.mark.train
MakeClips = Callable[[Path], tuple[Workspace, str]]


def shown_in(workspace: Workspace, dataset: str, face: bool = False) -> tuple[Any, Any]:
    from greenroom.features.pipeline import FeatureSpec
    from greenroom.networks.presets import MINI
    from greenroom.training.data_module import load_splits
    from greenroom.training.preview import PreviewSource, make_preview

    manifest = workspace.objects.read(dataset, Dataset)
    spec = FeatureSpec.load(manifest.features)
    found = load_splits(workspace, manifest, spec)["train"]
    channels = found.channels if face else ()
    shape = MINI.shape(len(spec.joints), spec.state_width, 43, len(channels))
    folder = workspace.home / "tracking" / "r.clips"
    source = PreviewSource(workspace, manifest, spec, shape, found)
    return shape, make_preview(source, folder, 8000)


def test_a_run_with_clips_ends_in_the_model_of_one_without(
    tmp_path: Path, four_clips: MakeClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greenroom.training import preview
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import train

    models = []
    for least in (2, 1000):
        monkeypatch.setattr(preview, "LEAST", least)
        home = tmp_path / str(least)
        workspace, dataset = four_clips(home)
        recipe = Recipe(steps=5, batch=2, rollout=4, windows=8)
        models.append(train(workspace, dataset, "test", recipe=recipe))
    assert models[0] == models[1]
    assert not list((tmp_path / "1000" / "tracking").glob("*.clips"))
    (journal,) = (tmp_path / "2" / "tracking").glob("*.jsonl")
    told = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
    files = [event["file"] for event in told if event["event"] == "clip"]
    assert files == [f"{journal.stem}.clips/{step:06d}.webp" for step in (2, 4)]
    with Image.open(journal.parent / files[0]) as clip:
        assert clip.is_animated and clip.width == 2 * preview._SIZE[0]  # type: ignore[attr-defined]


def test_drawing_leaves_chance_and_model_as_they_were(
    tmp_path: Path, four_clips: MakeClips
) -> None:
    import torch

    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import MINI

    shape, shown = shown_in(*four_clips(tmp_path))
    assert shown.epoch == 800 and shown.folder.name == "r.clips"
    model = build_network(shape, MINI)
    before, state = torch.get_rng_state(), {n: v.clone() for n, v in model.state_dict().items()}
    shown.keep(model, 799)
    assert not shown.folder.exists()
    shown.keep(model, 800)
    assert shown.path(800).exists() and model.training and model.trunk.training
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_who_may_not_leave_the_house_is_not_shown(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    from greenroom.capture.ingest import store_take
    from greenroom.capture.readers import read_recording
    from greenroom.consent.records import read_rights
    from greenroom.datasets.build import build_dataset

    workspace = Workspace(tmp_path)
    inside = Rights(
        participant="p",
        purposes=["train"],
        start="2026-01-01",
        expiry="2999-01-01",
        document_sha256="0" * 64,
    )
    for seed, (name, ticks, says) in enumerate(
        [
            ("long", 90, inside),
            ("short", 60, read_rights("MIT", "p")),
            ("c", 60, inside),
            ("d", 60, inside),
        ]
    ):
        body = read_recording(person(frames=ticks, seed=seed), f"{name}.bvh")
        store_take(workspace, body, Attribution("a", ("p",), (says,)), "test")
    day = datetime.date(2026, 6, 1)
    for held in (("long", "short"), ("long",)):
        dataset = build_dataset(
            workspace, "d", "a", "t", day, {"validation": held, "test": ("c",)}
        ).dataset
        shape, shown = shown_in(workspace, dataset)
        if len(held) == 2:
            assert len(shown.body) == shape.history + 1 + 60  # the shorter one may leave
        else:
            assert shown is None


def test_a_face_of_another_take_goes_under_the_body(studio: tuple[Workspace, str]) -> None:
    import torch

    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import MINI

    shape, shown = shown_in(*studio, face=True)
    assert shown.face.channels == ("jawOpen", "mouthFunnel", "someThing")
    assert shown.face.weights.shape == (70, 3)
    assert shown.face.speech.shape == (70, shape.speech, 43)
    model = build_network(shape, MINI)
    small, bare = shown_in(*studio)
    plain = bare.draw(build_network(small, MINI), "x")
    torch.nn.init.normal_(model.face.out.weight)
    with (
        Image.open(io.BytesIO(shown.draw(model, "x"))) as tall,
        Image.open(io.BytesIO(plain)) as low,
    ):
        assert tall.width == low.width and tall.height == low.height + 2 * 24 + 6


def test_a_clip_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "tracking" / "r.jsonl"
    for _ in range(2):
        journal = Journal(path)
        for step in (2, 4):
            journal.clip(step, path.parent / "r.clips" / f"{step}.webp", ())
        journal.close()
    lines = path.read_bytes().splitlines()
    assert [msgspec.json.decode(line)["file"] for line in lines] == [
        "r.clips/2.webp",
        "r.clips/4.webp",
    ]
