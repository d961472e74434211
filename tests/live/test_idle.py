"""Whoever loses capture ends standing: feet planted, upright, alive, and never through the floor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.frames import BONE, BONES, HUMANOID, Floats
from greenroom.live.fallback import IDLE_HALF_LIFE, Inertializer
from greenroom.live.idle import RISE_M, Idle, RisingFloor, keep_on_floor, lift
from greenroom.live.kinematics import BodyKinematics
from greenroom.rotations import from_vector, rotate

BODY = BodyKinematics(HUMANOID.offsets)
REST = np.tile(np.asarray([0, 0, 0, 1], np.float32), (len(BONES), 1))
FEET = [BONE["leftFoot"], BONE["rightFoot"]]
WRISTS = [BONE["leftHand"], BONE["rightHand"]]


def stand_by(
    frames: list[tuple[Floats, Floats]], ticks: int, loudness: float = 0.0, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return roots (T, 3) and rotations (T, 55, 4) of the idle after frames."""
    idle, blender = Idle(BODY, REST, seed), Inertializer(REST)
    for root, rotations in frames:
        blender.step(root, rotations, False, IDLE_HALF_LIFE)
    idle.start(blender.recent)
    floor = RisingFloor(BODY, blender.last)
    out = []
    for tick in range(ticks):
        wanted = idle.step(loudness)
        pose = blender.step(wanted.root, wanted.rotations, tick == 0, IDLE_HALF_LIFE)
        root, turns = keep_on_floor(BODY, *pose, wanted.ankles)
        pose = floor.lift(root, turns), turns
        blender.correct(*pose)
        out.append(pose)
    return np.stack([root for root, _ in out]), np.stack([turns for _, turns in out])


def places_of(roots: Floats, rotations: Floats) -> np.ndarray:
    where = HUMANOID.world(HUMANOID.rest_translations(len(roots), roots), rotations)[0]
    return where[:, : BONE["rightToes"] + 1]


def speeds(places: np.ndarray) -> np.ndarray:
    return 30 * np.linalg.norm(np.diff(places, axis=0), axis=-1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.0, 0.7),
    st.floats(0.15, 1.3),
    st.floats(-3.2, 3.2),
    st.floats(0.0, 1.6),
)
def test_from_whatever_pose_it_stands_within_two_seconds(
    seed: int, width: float, height: float, yaw: float, tilt: float
) -> None:
    rng = np.random.default_rng(seed)
    frames = []
    turns = from_vector(rng.normal(0, width, (len(BONES), 3))).astype(np.float32)
    turns[0] = from_vector(np.asarray([tilt * np.cos(seed), yaw, tilt * np.sin(seed)]))
    for tick in range(2):
        root = np.asarray([0.03 * tick, height, 1 + 0.02 * tick], np.float32)
        frames.append((root, turns))
    low = min(0.0, places_of(np.stack([frames[-1][0]]), turns[None])[..., 1].min())
    roots, rotations = stand_by(frames, 150)
    places = places_of(roots, rotations)
    floor = np.minimum(0.0, low + RISE_M * np.arange(1, len(places) + 1))
    assert (places[..., 1].min(axis=1) > floor - 1e-4).all()
    later = slice(60, None)
    up = rotate(rotations[later, 0], np.tile([0, 1.0, 0], (90, 1)))[:, 1]
    assert np.degrees(np.arccos(np.clip(up, -1, 1))).max() < 30
    assert speeds(places[later])[:, FEET].max() < 0.05
    assert places[later][:, FEET, 1].max() < BODY.ankle + 0.01
    assert places[later][:, BONE["head"], 1].min() > 1.2
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1, atol=1e-4)


def standing() -> list[tuple[Floats, Floats]]:
    idle = Idle(BODY, REST, 3)
    pose = idle.step(0.0)
    return [(pose.root, pose.rotations)] * 2


def test_feet_that_stand_stay_where_they_are() -> None:
    frames = standing()
    roots, rotations = stand_by(frames, 300)
    places = places_of(roots, rotations)[:, FEET]
    start = places_of(frames[0][0][None], frames[0][1][None])[0, FEET]
    assert np.linalg.norm(places - start, axis=-1).max() < 0.02


def test_in_no_second_is_it_a_statue_and_in_none_does_it_fidget() -> None:
    """Speeds of people who stand, from recordings: docs/log/experiments.md, "Standing still"."""
    for seed in range(5):
        roots, rotations = stand_by(standing(), 900, seed=seed)
        moving = speeds(places_of(roots, rotations))
        seconds = moving[: len(moving) // 30 * 30].reshape(-1, 30, moving.shape[1]).mean(axis=1)[1:]
        wrists = seconds[:, WRISTS].mean(axis=1)
        chest = seconds[:, BONE["upperChest"]]
        assert 0.02 < wrists.min() and wrists.max() < 0.2
        assert 0.004 < chest.min() and chest.max() < 0.04


def test_a_voice_is_gestured_with_and_its_end_is_no_jump() -> None:
    idle = Idle(BODY, REST, 0)
    turns = [idle.step(0.0 if tick < 60 or tick >= 180 else 0.1).rotations for tick in range(300)]
    places = places_of(np.tile(np.asarray([0, 0.95, 0], np.float32), (300, 1)), np.stack(turns))
    moving = speeds(places)[:, WRISTS].mean(axis=1)
    assert moving[80:180].mean() > 3 * moving[10:60].mean()
    assert moving.max() < 1.5
    assert moving[270:].mean() < 0.15


def test_the_same_seed_makes_the_same_bits_and_another_one_others() -> None:
    first, again, other = (stand_by(standing(), 60, seed=seed)[1] for seed in (4, 4, 5))
    assert first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("depth", [0.0, 0.3])
def test_a_pose_on_its_way_is_lifted_no_higher_than_where_it_goes(depth: float) -> None:
    root = np.asarray([0, BODY.hips, 0], np.float32)
    down = np.asarray([0, depth + 0.1, 0], np.float32)
    lifted = lift(BODY, (root - np.asarray([0, depth, 0], np.float32), REST), (root - down, REST))
    low = BODY.place(tuple(lifted.tolist()), [tuple(q) for q in REST.tolist()]).lowest
    assert low == pytest.approx(0.01 - depth if depth else 0.0, abs=1e-5)  # toes are 1 cm up
