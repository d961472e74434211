"""What a show performed, read from its ledger: a key a tick, and the voice where it was heard."""

from pathlib import Path

import numpy as np
import pytest

from greenroom.errors import BadInput
from greenroom.frames import SAMPLES_PER_TICK
from greenroom.live.performance import read_performance
from greenroom.store.workspace import Workspace
from tests.capture.formats.performed import asymmetric
from tests.live.recorded import record_show, voice


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_every_tick_has_a_key_and_a_lost_one_repeats_the_frame_before(workspace: Workspace) -> None:
    show = record_show(workspace, [2, 3, 4, 8, 9])
    performance, body = read_performance(workspace, show), asymmetric(10)
    wanted = body.root[[2, 3, 4, 4, 4, 4, 8, 9]]
    assert np.array_equal(performance.body.root, wanted)
    assert len(performance) == 8 and performance.timecode.first == 2
    sound = performance.voice.reshape(-1, SAMPLES_PER_TICK)
    assert np.array_equal(sound[0], voice(2)) and np.array_equal(sound[6], voice(8))
    assert not sound[3:6].any()


def test_a_stretch_is_the_same_ticks_of_the_whole(workspace: Workspace) -> None:
    show = record_show(workspace, range(12))
    whole, part = read_performance(workspace, show), read_performance(workspace, show, 4, 9)
    assert np.array_equal(part.body.rotations, whole.body.rotations[4:9])
    assert np.array_equal(part.face.weights, whole.face.weights[4:9])
    assert np.array_equal(part.voice, whole.voice[4 * SAMPLES_PER_TICK : 9 * SAMPLES_PER_TICK])
    assert part.timecode.text() == whole.timecode.text(4) == "21:00:00:07"
    before = read_performance(workspace, record_show(workspace, [3, 4]), first=0)
    assert np.array_equal(before.body.root, asymmetric(5).root[[3, 3, 3, 3, 4]])


@pytest.mark.parametrize(("first", "last"), [(0, 13), (5, 5), (7, 6), (12, None)])
def test_ticks_that_are_not_there_are_refused(
    workspace: Workspace, first: int, last: int | None
) -> None:
    show = record_show(workspace, range(12))
    with pytest.raises(BadInput, match="12"):
        read_performance(workspace, show, first, last)


def test_a_sound_that_came_late_lies_at_the_tick_it_belongs_to(workspace: Workspace) -> None:
    sounds = {3: [], 4: [voice(3), voice(4)]}
    show = record_show(workspace, range(6), lambda tick: sounds.get(tick, [voice(tick)]))
    heard = read_performance(workspace, show).voice
    assert np.array_equal(heard, np.concatenate([voice(tick) for tick in range(6)]))


def test_a_face_that_nothing_drives_is_none(workspace: Workspace) -> None:
    performance = read_performance(workspace, record_show(workspace, range(3), face=False))
    assert performance.driven_face is None and np.isnan(performance.face.weights).all()
    assert read_performance(workspace, record_show(workspace, range(4))).driven_face is not None


def test_a_show_without_frames_is_refused(workspace: Workspace) -> None:
    from tests import examples

    show = record_show(workspace, [0])
    release = workspace.objects.read_any(show).parents.releases[0]  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="no frames"):
        read_performance(workspace, workspace.publish(examples.show(release), by="test"))
