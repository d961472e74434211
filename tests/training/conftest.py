"""What the tests of training share: four published clips as a dataset."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom.capture.published import Clip
from greenroom.capture.readers import read_recording
from greenroom.capture.takes import Who, keep
from greenroom.consent.records import read_rights
from greenroom.datasets.build import build
from greenroom.store.workspace import Workspace

CLIPS = ("walk", "run", "jump", "dance_a")


@pytest.fixture
def four_clips(published: list[Clip]) -> Callable[[Path], tuple[Workspace, str]]:
    """Ingest four clips into a workspace, and build a dataset of them; return both."""

    def make(home: Path) -> tuple[Workspace, str]:
        workspace = Workspace(home)
        for clip in published:
            if clip.name.removeprefix("humanoid3d_") in CLIPS:
                who = Who("a", "p", read_rights(clip.licence, "p"))
                keep(workspace, read_recording(clip.data, clip.path), who, "test")
        held = {"test": ("humanoid3d_dance_a",), "validation": ("humanoid3d_jump",)}
        return workspace, build(workspace, "d", "a", "test", datetime.date.today(), held).dataset

    return make
