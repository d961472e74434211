"""What every reader owes: it knows its own, gives the same bits, and fails only as BadInput."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenroom.capture.discovery import open_recordings
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.readers import MEDIA, READERS, Recording, Refusal, find_reader
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.errors import BadInput

SAID = Mapping(channels=("jawOpen", "blink"))
REST = [0.0, 0.9, 0.0] + [1.0, 0, 0, 0] * 4 + [0.0] + [1.0, 0, 0, 0] * 2 + [0.0]
REST += [1.0, 0, 0, 0] + [0.0] + [1.0, 0, 0, 0] * 2 + [0.0]


@pytest.fixture(scope="session")
def samples(person) -> dict[str, bytes]:
    frames = [[1 / 30, *REST], [1 / 30, *REST], [0.0, *REST]]
    weights = io.BytesIO()
    np.save(weights, np.float32([[0.0, 0.5], [np.nan, 1.0]]))
    tone = np.sin(np.arange(2400) / 10).astype(np.float32) / 2
    return {
        "bvh": person(frames=4),
        "deepmimic": json.dumps({"Loop": "none", "Frames": frames}).encode(),
        "audio": write_wav(tone),
        "npy": weights.getvalue(),
    }


each = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)


@each
def test_it_says_source_to_ours(reader):
    assert "source → ours" in (type(reader).__doc__ or "")


@each
def test_it_knows_its_own_and_nobody_elses(reader, samples):
    for name, data in samples.items():
        path = f"take{reader.suffixes[0]}" if name == reader.name else "take.bin"
        found = find_reader(data, path)
        assert (found is reader) == (name == reader.name)


@each
def test_it_keeps_the_original_and_gives_the_same_bits(reader, samples):
    data = samples[reader.name]
    first, second = (reader.read(data, "x", SAID) for _ in range(2))
    ((medium, original),) = first.originals.items()
    assert original.data == data and original.format == reader.name and first.facts == second.facts
    if medium == "body":
        assert first.motion is not None and first.body is not None and second.body is not None
        assert first.body.rotations.tobytes() == second.body.rotations.tobytes()
        assert first.body.rotations.dtype == first.body.root.dtype == np.float32
        had = first.body.validity > 0
        assert np.isfinite(first.body.rotations[had]).all()
        assert np.isnan(first.body.rotations[~had]).all()
        lengths = np.linalg.norm(first.body.rotations[had], axis=-1)
        np.testing.assert_allclose(lengths, 1.0, atol=1e-5)
    elif medium == "face":
        assert first.face is not None and second.face is not None
        assert first.face.weights.tobytes() == second.face.weights.tobytes()
        assert (np.isnan(first.face.weights) == (first.face.validity == 0)).all()
    else:
        assert first.audio is not None and second.audio is not None
        assert first.audio.samples.tobytes() == second.audio.samples.tobytes()


@each
@pytest.mark.parametrize("junk", [b"", b"\0" * 5000, b"HIERARCHY", b"{}", b"RIFF", b"[" * 9999])
def test_it_fails_only_as_bad_input(reader, junk):
    with pytest.raises(BadInput) as caught:
        reader.read(junk, "x", SAID)
    assert caught.value.then


@each
@settings(
    max_examples=60, deadline=3000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutilated_it_is_a_recording_or_bad_input(reader, samples, data):
    raw = bytearray(samples[reader.name])
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 200))] = data.draw(st.binary(max_size=20))
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw))) :]
    try:
        recording = reader.read(bytes(raw), "x", SAID)
    except BadInput:
        return
    assert set(recording.originals) < set(MEDIA) and recording.seconds >= 0


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
