"""Own formats pass the published suite, and one bad file does not stop the rest."""

import io
import json
import zipfile

import numpy as np
import pytest

from greenroom.capture.discovery import open_recordings
from greenroom.capture.formats.pose_stream import write_pose_stream
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.packets import BodySample
from greenroom.capture.readers import FORMATS, Recording, Refusal, find_reader
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.frames import BONES
from greenroom.testing import check_format

MAPPING = Mapping(channels=("jawOpen", "blink"))
REST = [0.0, 0.9, 0.0] + [1.0, 0, 0, 0] * 4 + [0.0] + [1.0, 0, 0, 0] * 2 + [0.0]
REST += [1.0, 0, 0, 0] + [0.0] + [1.0, 0, 0, 0] * 2 + [0.0]


@pytest.fixture(scope="session")
def samples(person) -> dict[str, bytes]:
    frames = [[1 / 30, *REST], [1 / 30, *REST], [0.0, *REST]]
    weights = io.BytesIO()
    np.save(weights, np.float32([[0.0, 0.5], [np.nan, 1.0]]))
    turns = np.tile(np.float32([0, 0, 0, 1]), (len(BONES), 1))
    whole = np.ones(len(BONES), dtype=np.float32)
    pose = BodySample(0, False, np.float32([0, 1, 0]), turns, whole)
    tone = np.sin(np.arange(2400) / 10).astype(np.float32) / 2
    return {
        "bvh": person(frames=4),
        "deepmimic": json.dumps({"Loop": "none", "Frames": frames}).encode(),
        "audio": write_wav(tone),
        "npy": weights.getvalue(),
        "poses": write_pose_stream([(0, pose), (2, pose)]),
    }


@pytest.mark.parametrize("name", FORMATS.built_in)
def test_own_formats_pass_the_published_suite(name, samples):
    reader = FORMATS.get(name)()
    foreign = {other: data for other, data in samples.items() if other != name}
    check_format(reader, samples[name], mapping=MAPPING, foreign=foreign)


def test_each_sample_is_read_by_its_own_reader(samples):
    for name, data in samples.items():
        reader = find_reader(data, "take.bin" if name != "deepmimic" else "take.json")
        assert reader is not None and reader.name == name


def test_one_bad_file_does_not_stop_the_rest(tmp_path, samples):
    (tmp_path / "a.bvh").write_bytes(samples["bvh"][:-50])
    (tmp_path / "b.wav").write_bytes(samples["audio"])
    (tmp_path / "notes.txt").write_text("nothing of ours")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("x/bad.bvh", b"HIERARCHY")
        archive.writestr("x/clip.txt", samples["deepmimic"])
        archive.writestr("README.md", b"hello")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("../x.bvh", samples["bvh"])
    got = list(open_recordings(tmp_path))
    names = [(type(one).__name__, one.path.removeprefix(f"{tmp_path}/")) for one in got]
    assert names == [
        ("Refusal", "a.bvh"),
        ("Recording", "b.wav"),
        ("Refusal", "c.zip/x/bad.bvh"),
        ("Recording", "c.zip/x/clip.txt"),
        ("Refusal", "d.zip"),
    ]


def test_a_file_by_name_is_taken_or_refused(tmp_path, samples):
    (tmp_path / "walk.dat").write_bytes(samples["bvh"])
    (tmp_path / "notes.txt").write_text("nothing of ours")
    (one,) = open_recordings(tmp_path / "walk.dat")
    assert isinstance(one, Recording)
    for name in ("notes.txt", "nowhere.bvh"):
        (one,) = open_recordings(tmp_path / name)
        assert isinstance(one, Refusal) and name in one.reason


@pytest.mark.slow
def test_every_shared_bvh_is_taken(shared_data):
    got = list(open_recordings(shared_data / "bandai_namco_motion_1" / "bvh.zip"))
    assert len(got) == 127 and all(isinstance(one, Recording) for one in got)
