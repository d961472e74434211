from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.annotations import take_tiers
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import (
    IngestOptions,
    ingest,
    load_take,
    store_take,
)
from greenroom.capture.labels import Tiers, read_labels, read_pattern
from greenroom.capture.readers import read_recording
from greenroom.errors import BadInput
from greenroom.manifests import Medium, Rig, Take, TakeClock, to_json
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples

WHO = Attribution("mira")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path, person: Callable[..., bytes]) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    tone = np.sin(np.arange(24_000) / 9).astype(np.float32) / 2
    (folder / "set_walk_happy_1.bvh").write_bytes(person(frames=30))
    (folder / "set_walk_happy_1.wav").write_bytes(write_wav(tone))
    (folder / "set_run-off_sad_1.bvh").write_bytes(person(frames=30, seed=1))
    (folder / "talk.wav").write_bytes(write_wav(tone[::-1]))
    np.save(folder / "face_talk.npy", np.linspace(0, 1, 118, dtype=np.float32).reshape(59, 2))
    (folder / "channel_names.json").write_text('{"channels": ["jaw", "blink"], "rate": 60}')
    return folder


def manifests(workspace: Workspace, takes: list[str]) -> dict[str, Take]:
    return {workspace.attributions.name(take): workspace.objects.read(take, Take) for take in takes}


def tiers(workspace: Workspace, takes: list[str]) -> dict[str, Tiers]:
    return {workspace.attributions.name(take): take_tiers(workspace, take) for take in takes}


def test_a_takes_hash_is_of_its_recording_and_of_nothing_else(
    workspace: Workspace, person: Callable[..., bytes]
) -> None:
    data = person()
    take = store_take(workspace, read_recording(data, "a/walk.bvh"), WHO, "test")
    assert workspace.objects.read(take, Take) == Take(
        media={"body": Medium(format="bvh", blob=workspace.objects.put(data))},
        clock=TakeClock(ticks=12),
    )
    size = len(workspace.log.entries())
    other = Attribution("noor", ("p",), (examples.MIT,), session="monday", group="walks")
    renamed = read_recording(data, "stroll.bvh")
    assert store_take(workspace, renamed, other, "test", tiers={"style": "happy"}) == take
    assert store_take(workspace, renamed, other, "test", tiers={"style": "happy"}) == take
    added = [entry.event for entry in workspace.log.entries()[size:]]
    assert added == ["ingest", "publish", "annotate"]
    entry = workspace.log.entries()[size]
    assert entry.body == {
        "take": take,
        "actor": "noor",
        "name": "stroll",
        "participants": ["p"],
        "rights": [to_json(examples.MIT)],
        "session": "monday",
        "group": "walks",
    }
    assert workspace.attributions.of(take, "mira").name == "walk"
    assert workspace.attributions.of(take) == replace(other, name="stroll")


def test_what_lies_on_one_clock_is_kept_and_read_back_as_one(
    workspace: Workspace, folder: Path
) -> None:
    done = ingest(workspace, [folder], WHO, "test")
    assert not done.refused and not done.notes
    takes = manifests(workspace, done.takes)
    assert {name: "+".join(m.formats) for name, m in takes.items()} == {
        "set_walk_happy_1": "body+audio",
        "set_run-off_sad_1": "body",
        "talk": "face+audio",
    }
    assert takes["talk"].clock.ticks == 30 and takes["talk"].media["face"].rate == 60
    rig = workspace.objects.read(takes["talk"].rig, Rig)
    assert rig.channels == ["jaw", "blink"]
    for take, manifest in zip(done.takes, takes.values(), strict=True):
        recording = load_take(workspace, take)
        assert list(recording.originals) == list(manifest.formats)
        for medium in manifest.formats:
            assert list(load_take(workspace, take, [medium]).originals) == [medium]
        if recording.face is not None:
            assert recording.face.channels == ("jaw", "blink")
            wanted = np.linspace(0, 1, 118, dtype=np.float32).reshape(59, 2)[::2]
            np.testing.assert_array_equal(recording.face.weights, wanted)
            with pytest.raises(BadInput, match="has no body"):
                load_take(workspace, take, ["body"])
    assert workspace.fsck().bad == []
    assert ingest(workspace, [folder], WHO, "test") == done


def test_labels_beside_recordings_become_tiers(workspace: Workspace, folder: Path) -> None:
    (folder / "labels.csv").write_text(
        "take,start,end,style,phase\nset_walk_happy_1,,,happy,\n"
        "set_walk_happy_1,0,0.5,,rest\nface_talk.npy,,,calm,\nnobody,,,x,\n"
    )
    done = ingest(workspace, [folder], WHO, "test")
    labels = tiers(workspace, done.takes)
    assert labels["set_walk_happy_1"] == {"style": "happy", "phase": [(0, 15, "rest")]}
    assert labels["talk"] == {"style": "calm"} and labels["set_run-off_sad_1"] == {}
    (note,) = done.notes
    assert "nobody" in note and "labels.csv" in note


def test_labels_that_are_wrong_keep_nothing_unlabelled(workspace: Workspace, folder: Path) -> None:
    (folder / "labels.csv").write_text("take,start,end,phase\nset_walk_happy_1,5,6,rest\n")
    done = ingest(workspace, [folder], WHO, "test")
    (refusal,) = done.refused
    assert "set_walk_happy_1" in refusal.path and "labels.csv:2" in refusal.reason
    assert len(done.takes) == 2
    (folder / "labels.csv").write_text("take,phase\n,rest\n")
    done = ingest(workspace, [folder], WHO, "test")
    assert done.takes == [] and len(done.refused) == 3


def test_a_pattern_and_a_file_that_was_named(workspace: Workspace, folder: Path) -> None:
    labels = read_labels(b"take,style\nset_walk_happy_1,very happy\n", where="--labels")
    said = IngestOptions(labels=labels, pattern=read_pattern("set_{content}_{style}_{_}"))
    done = ingest(workspace, [folder], WHO, "test", said)
    takes = tiers(workspace, done.takes)
    assert takes["set_walk_happy_1"] == {"content": "walk", "style": "very happy"}
    assert takes["set_run-off_sad_1"] == {"content": "run-off", "style": "sad"}
    (note,) = done.notes
    assert "talk" in note
    assert ingest(workspace, [folder], WHO, "test").takes == done.takes
    assert tiers(workspace, done.takes) == takes  # without labels, those that there are stay


@pytest.mark.parametrize(
    "said",
    [
        IngestOptions(labels=read_labels(b"take,style\nnobody,happy\n", where="--labels")),
        IngestOptions(pattern=read_pattern("other_{style}")),
    ],
)
def test_labels_of_nothing_that_was_given_keep_nothing(
    workspace: Workspace, folder: Path, said: IngestOptions
) -> None:
    with pytest.raises(BadInput) as caught:
        ingest(workspace, [folder], WHO, "test", said)
    assert caught.value.then and not workspace.catalog.find("take")


def test_a_rate_by_mapping_is_kept(workspace: Workspace, folder: Path) -> None:
    said = IngestOptions(mapping=b'{"rate": 30, "channels": ["a", "b"]}')
    done = ingest(workspace, [folder / "face_talk.npy"], WHO, "test", said)
    face = load_take(workspace, done.takes[0]).face
    assert face is not None and len(face) == 59 and face.channels == ("a", "b")
    assert not workspace.objects.read(done.takes[0], Take).mapping


@pytest.mark.slow
def test_every_shared_style_is_read_from_its_name(workspace: Workspace, shared_data: Path) -> None:
    said = IngestOptions(pattern=read_pattern("dataset-2_{content}_{style}_{n}"))
    path = shared_data / "bandai_namco_motion_2" / "bvh.zip"
    done = ingest(workspace, [path], WHO, "test", said)
    found = [take_tiers(workspace, take) for take in done.takes]
    assert len(found) == 480 and len({t["style"] for t in found}) == 6
    assert len({t["content"] for t in found}) == 10
