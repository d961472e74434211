from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.discovery import open_recordings
from greenroom.capture.formats.bvh import read_bvh
from greenroom.capture.readers import Recording
from greenroom.capture.skeleton.mapping import Mapping, map_joints
from greenroom.capture.skeleton.retarget import humanoid_error, resample, to_body
from greenroom.capture.skeleton.tpose import find_tpose
from greenroom.frames import BONE
from greenroom.rotations import angle_between, rotate


def places_of(body):
    return body.skeleton.world(
        body.skeleton.rest_translations(len(body), body.root), body.filled()
    )[0]


@pytest.mark.parametrize("up", ["Y", "Z", "X"])
@pytest.mark.parametrize("arms", ["T", "A", "down"])
def test_the_humanoid_stands_up_faces_ahead_and_keeps_every_joint(person, up, arms):
    motion = read_bvh(person(up=up, arms=arms, amplitude=8.0), where="p")
    body = to_body(motion)
    error = humanoid_error(motion, body)
    assert error.worst < 0.01
    places = places_of(body)
    assert (places[:, BONE["head"], 1] > places[:, BONE["hips"], 1]).all()
    assert (places[:, BONE["leftUpperLeg"], 0] > places[:, BONE["rightUpperLeg"], 0]).all()
    assert body.root[-1, 2] - body.root[0, 2] > 0.2  # walks ahead, +Z
    np.testing.assert_allclose(body.root[:, 1], 0.95, atol=1e-5)
    tpose = body.skeleton.rest_translations(1, np.zeros(3))
    rest, _ = body.skeleton.world(tpose, np.tile([0.0, 0, 0, 1], (1, 55, 1)))
    arm = rest[0, BONE["leftHand"]] - rest[0, BONE["leftUpperArm"]]
    np.testing.assert_allclose(arm / np.linalg.norm(arm), [1, 0, 0], atol=1e-6)


def test_arms_hanging_at_rest_come_out_hanging(person):
    motion = read_bvh(person(arms="down", amplitude=0.0), where="p")
    body = to_body(motion)
    places = places_of(body)[0]
    arm = places[BONE["leftHand"]] - places[BONE["leftUpperArm"]]
    np.testing.assert_allclose(arm / np.linalg.norm(arm), [0, -1, 0], atol=1e-5)
    identity = np.float32([0, 0, 0, 1])
    assert angle_between(body.rotations[0, BONE["leftUpperArm"]], identity) == pytest.approx(
        90, abs=0.1
    )
    assert angle_between(body.rotations[0, BONE["leftLowerArm"]], identity) < 0.1


def test_a_tpose_at_rest_is_the_identity(person):
    body = to_body(read_bvh(person(amplitude=0.0), where="p"))
    had = body.validity[0] > 0
    assert had.sum() == 21
    np.testing.assert_allclose(body.rotations[:, had], [[[0, 0, 0, 1]] * 21] * len(body), atol=1e-6)
    assert np.isnan(body.rotations[:, ~had]).all()


def test_a_mapping_says_which_way_is_up(person):
    motion = read_bvh(person(up="Z"), where="p")
    body = to_body(motion, Mapping(up="Z"))
    np.testing.assert_array_equal(body.rotations, to_body(motion).rotations)


@pytest.mark.parametrize(
    ("rate", "frames", "ticks"),
    [
        (30.0003, 12, 12),
        (120.0, 41, 11),
        (120.00048, 41, 11),
        (60, 21, 11),
        (24, 25, 31),
        (50, 51, 31),
    ],
)
def test_rates_become_thirty(person, rate, frames, ticks):
    motion = read_bvh(person(rate=rate, frames=frames), where="p")
    assert len(resample(motion)) == ticks
    assert len(to_body(motion)) == ticks


def test_a_source_at_thirty_is_copied(person):
    motion = read_bvh(person(rate=30.0003), where="p")
    np.testing.assert_array_equal(resample(motion).rotations, motion.rotations)


def test_resampling_turns_the_short_way_round(person):
    data = person(frames=2, rate=15, amplitude=0.0).decode().splitlines()
    rows = [row.split() for row in data[-2:]]
    rows[0][5], rows[1][5] = "170", "-170"  # Yrotation of the root: 20 degrees, not 340
    text = "\n".join([*data[:-2], *(" ".join(row) for row in rows)]).encode()
    body = to_body(read_bvh(text, where="p"))
    assert len(body) == 3
    ahead = rotate(body.rotations[1, 0], np.float32([0, 0, 1]))
    np.testing.assert_allclose(ahead, [0, 0, -1], atol=1e-5)


def test_the_same_bytes_give_the_same_bits(person):
    data = person(rate=50)
    first, second = (to_body(read_bvh(data, where="p")) for _ in range(2))
    assert first.rotations.tobytes() == second.rotations.tobytes()
    assert first.root.tobytes() == second.root.tobytes()


def test_cmu_is_a_person_on_the_floor(shared_data: Path):
    for recording in open_recordings(shared_data / "cmu_mocap_sample" / "bvh"):
        assert isinstance(recording, Recording) and recording.body is not None
        places = places_of(recording.body)
        feet = places[:, [BONE["leftToes"], BONE["rightToes"]], 1].min(axis=1)
        assert abs(float(np.median(feet))) < 0.12
        assert 1.2 < float(np.median(places[:, BONE["head"], 1])) < 1.8
        assert float(recording.facts["humanoid_error_mm_mean"]) < 3.0


def _bandai(shared_data: Path, step: int):
    from greenroom.capture.archive import members

    count = 0
    for folder in ("bandai_namco_motion_1", "bandai_namco_motion_2"):
        for name, data in members(shared_data / folder / "bvh.zip"):
            count += 1
            if count % step == 0:
                yield name, read_bvh(data, where=name)


def _check_bandai(takes) -> None:
    first = None
    for name, motion in takes:
        pose = find_tpose(motion, map_joints(motion))
        first = first or pose
        assert pose.folded
        for bone, q in pose.poses.items():
            assert angle_between(q, first.poses[bone]) < 0.1, (name, bone)
        body = to_body(motion)
        assert humanoid_error(motion, body).worst < 0.01, name
        lower = body.rotations[:, BONE["leftLowerLeg"]]
        assert lower[:, 0].mean() > 0, name  # knees bend back
        assert body.rotations[:, BONE["leftLowerArm"], 1].mean() < 0.02, name  # elbows ahead


def test_bandai_takes_agree_on_their_tpose(shared_data: Path):
    _check_bandai(_bandai(shared_data, 40))


@pytest.mark.slow
def test_every_bandai_take_agrees_on_its_tpose(shared_data: Path):
    _check_bandai(_bandai(shared_data, 1))
