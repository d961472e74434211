import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np

from greenroom.capture.mapping import Mapping
from greenroom.capture.readers import read_recording, together
from greenroom.capture.takes import Who, keep
from greenroom.capture.wav import write_wav
from greenroom.consent.records import read_rights
from greenroom.datasets.build import bodies_of, build
from greenroom.store.workspace import Workspace

WHO = Who("mira", "p", read_rights("MIT", "p"))


def test_a_take_with_a_body_is_used_whatever_else_it_has(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = Workspace(tmp_path / "home")
    sound = read_recording(write_wav(np.full(12_000, 0.1, dtype=np.float32)), "w.wav")
    np.save(tmp_path / "f.npy", np.zeros((15, 1)))
    face = read_recording((tmp_path / "f.npy").read_bytes(), "f.npy", Mapping(channels=("jaw",)))
    bodies = [read_recording(person(frames=15, seed=k), f"{k}.bvh") for k in range(3)]
    kept = [
        keep(workspace, recording, WHO, "test", tiers={"style": "happy"})
        for recording in (
            bodies[0],
            together([bodies[1], sound]),
            together([face, sound, bodies[2]]),
            together([sound, face]),
            face,
        )
    ]
    built = build(workspace, "d", "mira", "test", datetime.date(2026, 1, 1))
    assert built.takes == sorted(kept[:3])
    assert built.left_out == [{"take": take, "reason": "it has no body"} for take in kept[3:]]
    dataset = workspace.objects.manifest(built.dataset, "dataset")
    found = [body for split in dataset["splits"] for body in bodies_of(workspace, dataset, split)]
    assert [len(body) for body in found] == [15] * 3
