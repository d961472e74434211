from collections.abc import Callable
from pathlib import Path

import numpy as np

from greenroom.capture.fingerprint import content_fingerprints, take_fingerprints
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import join_media, read_recording
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace


def test_line_ends_make_no_other_recording_and_a_frame_does(person: Callable[..., bytes]) -> None:
    data = person(frames=12)
    unix, windows, longer = (
        content_fingerprints(read_recording(each, "w.bvh"))
        for each in (data, data.replace(b"\n", b"\r\n"), person(frames=13))
    )
    assert unix == windows and set(unix) == {"body"} and unix != longer


def test_each_medium_has_its_own(tmp_path: Path, person: Callable[..., bytes]) -> None:
    workspace = Workspace(tmp_path)
    body = read_recording(person(frames=12), "w.bvh")
    sound = read_recording(write_wav(np.full(9_600, 0.1, dtype=np.float32)), "w.wav")
    both = content_fingerprints(join_media([body, sound]))
    assert both == content_fingerprints(body) | content_fingerprints(sound)
    take = store_take(workspace, join_media([body, sound]), Attribution("mira"), "test")
    assert take_fingerprints(workspace, take) == {both["body"]}
    assert take_fingerprints(workspace, take, ("body", "audio")) == set(both.values())
    assert take_fingerprints(workspace, take, ("face",)) == set()
    manifest = workspace.objects.read_any(take)
    for blob in manifest.blob_hashes():
        workspace.objects.path(blob).unlink()
    assert take_fingerprints(workspace, take) == set()  # as with a release that came without them
