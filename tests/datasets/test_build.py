import datetime
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from greenroom.capture.annotations import annotate, dataset_tiers, take_tiers
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.labels import Tiers
from greenroom.capture.readers import join_media, read_recording
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.consent.records import read_rights
from greenroom.datasets.build import build_dataset, load_bodies, read_heldout
from greenroom.errors import BadInput
from greenroom.manifests import Dataset
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

WHO = Attribution("mira", ("p",), (read_rights("MIT", "p"),))


def test_a_take_with_a_body_is_used_whatever_else_it_has(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = Workspace(tmp_path / "home")
    sound = read_recording(write_wav(np.full(12_000, 0.1, dtype=np.float32)), "w.wav")
    np.save(tmp_path / "f.npy", np.zeros((15, 1)))
    face = read_recording((tmp_path / "f.npy").read_bytes(), "f.npy", Mapping(channels=("jaw",)))
    np.save(tmp_path / "g.npy", np.ones((15, 1)))
    other_face = read_recording(
        (tmp_path / "g.npy").read_bytes(), "g.npy", Mapping(channels=("jaw",))
    )
    bodies = [read_recording(person(frames=15, seed=k), f"{k}.bvh") for k in range(3)]
    kept = [
        store_take(workspace, recording, WHO, "test", tiers={"style": "happy"})
        for recording in (
            bodies[0],
            join_media([bodies[1], sound]),
            join_media([face, sound, bodies[2]]),
            join_media([sound, other_face]),
            join_media([sound, face]),
            face,
        )
    ]
    built = build_dataset(workspace, "d", "mira", "test", datetime.date(2026, 1, 1))
    assert built.takes == sorted(kept[:4])  # a face with its voice too
    assert {row["take"]: row["reason"] for row in built.left_out} == {
        kept[4]: f"the same recording as {kept[2][:12]}",
        kept[5]: "it has no body, and no face with its voice",
    }
    dataset = workspace.objects.read(built.dataset, Dataset)
    found = [
        body for split in dataset.splits for body in load_bodies(workspace, dataset, split).values()
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
    splits = workspace.objects.read(built.dataset, Dataset).splits
    names = {
        split: [workspace.attributions.name(take, "mira") for take in takes]
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


DAY = datetime.date(2026, 1, 1)


def test_a_recording_that_is_there_twice_is_used_once(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = _bodies(tmp_path / "home", person, 4)
    data = person(frames=15, seed=0).replace(b"\n", b"\r\n")  # other bytes, the same movement
    twin = store_take(workspace, read_recording(data, "twin.bvh"), WHO, "test", tiers=HAPPY)
    built = build_dataset(workspace, "d", "mira", "test", DAY)
    assert twin in built.takes and len(built.takes) == 4  # the one that is labelled
    assert [row["reason"] for row in built.left_out] == [f"the same recording as {twin[:12]}"]


HAPPY: Tiers = {"style": "happy"}


def test_labels_make_no_other_take_and_a_dataset_names_those_that_it_uses(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = _bodies(tmp_path / "home", person, 3)
    (take, *_) = (row.object for row in workspace.catalog.find("take"))
    recording = read_recording(person(frames=15, seed=0), "walk_0.bvh")
    assert store_take(workspace, recording, WHO, "test", tiers=HAPPY) == take
    first = workspace.objects.read(
        build_dataset(workspace, "d", "mira", "test", DAY).dataset, Dataset
    )
    annotate(workspace, take, {"style": "sad"}, "test")
    second = workspace.objects.read(
        build_dataset(workspace, "d", "mira", "test", DAY).dataset, Dataset
    )
    assert first.parents.takes == second.parents.takes
    assert dataset_tiers(workspace, first)[take] == HAPPY  # what it was frozen with
    assert dataset_tiers(workspace, second)[take] == take_tiers(workspace, take) == {"style": "sad"}
    assert len(first.parents.annotations) == len(second.parents.annotations) == 1


def test_a_dataset_like_another_keeps_its_splits_and_its_joints(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = _bodies(tmp_path / "home", person, 5)

    def built(name: str, like: Dataset | None = None) -> Dataset:
        made = build_dataset(workspace, name, "mira", "test", DAY, like=like)
        return workspace.objects.read(made.dataset, Dataset)

    def with_joints(joints: list[str]) -> Dataset:
        features = msgspec.structs.replace(first.features, joints=joints)
        return msgspec.structs.replace(first, features=features)

    first = built("a")
    few = first.features.joints[:6]
    for k in range(5, 9):
        store_take(
            workspace, read_recording(person(frames=15, seed=k), f"new_{k}.bvh"), WHO, "test"
        )
    second = built("b", with_joints(few))
    assert second.features.joints == few
    for split, takes in first.splits.items():
        assert set(takes) < set(second.splits[split])
    apart = built("c", with_joints(["hips", "jaw"]))  # nobody has it: then what all have in common
    assert apart.features.joints == first.features.joints
