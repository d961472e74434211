import dataclasses
import hashlib
import subprocess
import zipfile

import pytest

from greenroom.capture import sample_data
from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import PYBULLET, Wheel, clips, fetch, fetched
from greenroom.errors import BadInput


@pytest.fixture
def wheel(tmp_path) -> tuple[Wheel, bytes]:
    path = tmp_path / "small.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in PYBULLET.names:
            archive.writestr(f"{PYBULLET.folder}{name}.txt", b"{}")
    data = path.read_bytes()
    return dataclasses.replace(PYBULLET, sha256=hashlib.sha256(data).hexdigest()), data


def pip(monkeypatch, data: bytes | None, name: str = PYBULLET.file):
    calls = []

    def run(command, **_):
        calls.append(command)
        if data is not None:
            folder = command[command.index("--dest") + 1]
            with open(f"{folder}/{name}", "wb") as file:
                file.write(data)
        code = 0 if data is not None else 1
        return subprocess.CompletedProcess(command, code, "", "ERROR: no network")

    monkeypatch.setattr(sample_data.subprocess, "run", run)
    return calls


def test_a_wheel_is_fetched_once_and_whole(monkeypatch, tmp_path, wheel):
    pin, data = wheel
    calls = pip(monkeypatch, data)
    cache = tmp_path / "cache"
    assert not fetched(cache, (pin,))
    assert fetch(cache, (pin,)) == fetch(cache, (pin,)) == [cache / pin.file]
    assert len(calls) == 1 and "--no-deps" in calls[0]
    assert fetched(cache, (pin,)) and [p.name for p in cache.iterdir()] == [pin.file]
    found = clips(cache, (pin,))
    assert len(found) == 15 and found[0].licence == "Zlib" and "zlib" in found[0].credit


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        (None, "", "cannot download"),
        (b"x", PYBULLET.file, "SHA-256"),
        (b"x", "other.whl", "another"),
    ],
)
def test_what_is_not_the_pinned_file_leaves_nothing(
    monkeypatch, tmp_path, wheel, data, name, problem
):
    pip(monkeypatch, data, name)
    with pytest.raises(BadInput, match=problem) as caught:
        fetch(tmp_path / "cache", (wheel[0],))
    assert caught.value.then
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(BadInput, match="is not there"):
        clips(tmp_path / "cache", (wheel[0],))


def test_every_published_clip_is_read(published):
    kinds = [clip.kind for clip in published]
    assert (kinds.count("body"), kinds.count("audio")) == (15, 9)
    for clip in published:
        recording = read_recording(clip.data, clip.path)
        assert list(recording.originals) == [clip.kind]
        assert clip.licence in ("Zlib", "BSD-3-Clause") and clip.credit
