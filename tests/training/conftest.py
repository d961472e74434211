"""What the tests of training share: four published clips, and a studio of made-up takes, as datasets."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import join_media, read_recording
from greenroom.capture.sample_data import Clip
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.consent.records import read_rights
from greenroom.datasets.build import build_dataset
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

CLIPS = ("walk", "run", "jump", "dance_a")


@pytest.fixture
def four_clips(published: list[Clip]) -> Callable[[Path], tuple[Workspace, str]]:
    """Ingest four clips into a workspace, and build a dataset of them; return both."""

    def make(home: Path) -> tuple[Workspace, str]:
        workspace = Workspace(home)
        for clip in published:
            if clip.name.removeprefix("humanoid3d_") in CLIPS:
                who = Attribution("a", ("p",), (read_rights(clip.licence, "p"),))
                store_take(workspace, read_recording(clip.data, clip.path), who, "test")
        held = {"test": ("humanoid3d_dance_a",), "validation": ("humanoid3d_jump",)}
        return workspace, build_dataset(
            workspace, "d", "a", "test", datetime.date.today(), held
        ).dataset

    return make


@pytest.fixture
def studio(tmp_path: Path, person: Callable[..., bytes]) -> tuple[Workspace, str]:
    """Bodies of two styles and voices with faces on a rig of three weights."""
    workspace = Workspace(tmp_path / "home")
    who = Attribution("mira", ("p",), (read_rights("MIT", "p"),))
    for k in range(8):
        tiers = {"style": ("calm", "wild")[k % 2]}
        body = read_recording(person(frames=70, seed=k), f"body_{k}.bvh")
        store_take(workspace, body, who, "test", tiers=tiers)
    random = np.random.default_rng(0)
    for k in range(4):
        loud = np.repeat(random.random(75), 800)
        sound = write_wav((loud * np.sin(np.arange(60_000) / 20)).astype(np.float32) * 0.5)
        face = np.stack([loud[::800], 0.5 * loud[::800], np.zeros(75)], 1)
        np.save(tmp_path / "f.npy", face)
        mapping = Mapping(channels=("jawOpen", "mouthFunnel", "someThing"))
        parts = [
            read_recording((tmp_path / "f.npy").read_bytes(), f"voice_{k}.npy", mapping),
            read_recording(sound, f"voice_{k}.wav"),
        ]
        store_take(workspace, join_media(parts), who, "test")
    held = {
        "validation": ["body_2", "body_3", "voice_1"],
        "test": ["body_0", "body_1", "voice_0"],
    }
    built = build_dataset(workspace, "d", "mira", "test", datetime.date(2026, 1, 1), held)
    return workspace, built.dataset
