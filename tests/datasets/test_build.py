import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import Attribution, store_take
from greenroom.capture.readers import join_media, read_recording
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.consent.records import read_rights
from greenroom.datasets.build import build_dataset, load_bodies, read_heldout
from greenroom.errors import BadInput
from greenroom.store.workspace import Workspace

WHO = Attribution("mira", "p", read_rights("MIT", "p"))


def test_a_take_with_a_body_is_used_whatever_else_it_has(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = Workspace(tmp_path / "home")
    sound = read_recording(write_wav(np.full(12_000, 0.1, dtype=np.float32)), "w.wav")
    np.save(tmp_path / "f.npy", np.zeros((15, 1)))
    face = read_recording((tmp_path / "f.npy").read_bytes(), "f.npy", Mapping(channels=("jaw",)))
    bodies = [read_recording(person(frames=15, seed=k), f"{k}.bvh") for k in range(3)]
    kept = [
        store_take(workspace, recording, WHO, "test", tiers={"style": "happy"})
        for recording in (
            bodies[0],
            join_media([bodies[1], sound]),
            join_media([face, sound, bodies[2]]),
            join_media([sound, face]),
            face,
        )
    ]
    built = build_dataset(workspace, "d", "mira", "test", datetime.date(2026, 1, 1))
    assert built.takes == sorted(kept[:4])  # a face with its voice too
    reason = "it has no body, and no face with its voice"
    assert built.left_out == [{"take": kept[4], "reason": reason}]
    dataset = workspace.objects.manifest(built.dataset, "dataset")
    found = [
        body
        for split in dataset["splits"]
        for body in load_bodies(workspace, dataset, split).values()
    ]
    assert [len(body) for body in found] == [15] * 3


def _bodies(home: Path, person: Callable[..., bytes], count: int) -> Workspace:
    workspace = Workspace(home)
    for k in range(count):
        store_take(
            workspace, read_recording(person(frames=15, seed=k), f"walk_{k}.bvh"), WHO, "test"
        )
    return workspace


def test_what_is_held_out_is_said_by_patterns(tmp_path: Path, person: Callable[..., bytes]) -> None:
    workspace = _bodies(tmp_path / "home", person, 5)
    day = datetime.date(2026, 1, 1)
    held = read_heldout(b'{"validation": ["walk_[123]"], "test": ["walk_[23]"]}', where="held.json")
    built = build_dataset(workspace, "d", "mira", "test", day, held)
    splits = workspace.objects.manifest(built.dataset, "dataset")["splits"]
    names = {
        split: [workspace.objects.manifest(take, "take")["name"] for take in takes]
        for split, takes in splits.items()
    }
    assert names == {
        "train": ["walk_0", "walk_4"],
        "validation": ["walk_1"],
        "test": ["walk_2", "walk_3"],
    }
    with pytest.raises(BadInput, match="no take is left for test"):
        build_dataset(
            workspace, "d", "mira", "t", day, {"test": ["run*"], "validation": ["walk_1"]}
        )
    for wrong in (b"[]", b"{", b'{"test": ["a"]}', b'{"test": 1, "validation": []}'):
        with pytest.raises(BadInput, match="held.json"):
            read_heldout(wrong, where="held.json")


def test_a_recording_that_is_there_twice_is_used_once(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = _bodies(tmp_path / "home", person, 4)
    again = read_recording(person(frames=15, seed=0), "walk_0.bvh")
    labelled = store_take(workspace, again, WHO, "test", tiers={"style": "happy"})
    built = build_dataset(workspace, "d", "mira", "test", datetime.date(2026, 1, 1))
    assert labelled in built.takes and len(built.takes) == 4
    assert [row["reason"] for row in built.left_out] == [f"the same recording as {labelled[:12]}"]


def test_a_dataset_like_another_keeps_its_splits_and_its_joints(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = _bodies(tmp_path / "home", person, 5)
    day = datetime.date(2026, 1, 1)
    first = workspace.objects.manifest(build_dataset(workspace, "a", "mira", "test", day).dataset)
    fewer = {**first, "features": {**first["features"]}}
    fewer["features"]["joints"] = first["features"]["joints"][:6]
    for k in range(5, 9):
        store_take(
            workspace, read_recording(person(frames=15, seed=k), f"new_{k}.bvh"), WHO, "test"
        )
    built = build_dataset(workspace, "b", "mira", "test", day, like=fewer)
    second = workspace.objects.manifest(built.dataset)
    assert second["features"]["joints"] == first["features"]["joints"][:6]
    for split, takes in first["splits"].items():
        assert set(takes) < set(second["splits"][split])
    fewer["features"]["joints"] = ["hips", "jaw"]  # nobody has it: then what all have in common
    apart = workspace.objects.manifest(
        build_dataset(workspace, "c", "mira", "test", day, like=fewer).dataset
    )
    assert apart["features"]["joints"] == first["features"]["joints"]
