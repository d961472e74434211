import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.frames import Floats
from greenroom.live.fallback import (
    HOLD_HALF_LIFE,
    ROOT_SPEED,
    STAND_HALF_LIFE,
    SWITCH_HALF_LIFE,
    TURN_SPEED,
    WALK_SPEED,
    Inertializer,
)
from greenroom.live.sources import HOLD, RUNGS
from greenroom.rotations import angle_between, from_vector, multiply, normalise

REST = np.tile(np.asarray([0, 0, 0, 1], np.float32), (55, 1))
SEEDS = st.integers(0, 2**32 - 1)


def pose(seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    rotations = normalise(rng.normal(size=(55, 4))).astype(np.float32)
    return rng.normal(size=3).astype(np.float32), rotations


def steepest(jump: float, half_life: float) -> float:
    """The most that a critically damped offset `jump`, at rest at first, moves in one tick."""
    return jump * 2 * np.log(2) / half_life / np.e / 30


def test_the_rungs_end_in_hold() -> None:
    assert RUNGS[-1] == HOLD and len(set(RUNGS)) == 6


def test_without_a_switch_the_target_is_emitted_as_it_is() -> None:
    blender = Inertializer(REST)
    assert blender.last is None
    for seed in range(4):
        root, rotations = pose(seed)
        out = blender.step(root, rotations, False, SWITCH_HALF_LIFE)
        assert out[0] is root and out[1] is rotations
        assert blender.last is not None and blender.last[1] is rotations


def test_a_switch_before_the_first_frame_has_nothing_to_ease() -> None:
    root, rotations = pose(0)
    out = Inertializer(REST).step(root, rotations, True, SWITCH_HALF_LIFE)
    np.testing.assert_array_equal(out[1], rotations)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([SWITCH_HALF_LIFE, 0.3, HOLD_HALF_LIFE]))
def test_no_jump_when_switching(seed: int, half_life: float) -> None:
    old_root, old = pose(seed)
    root, rotations = pose(seed + 1)
    jump = np.deg2rad(angle_between(old, rotations))
    far = float(np.abs(old_root - root).max())
    blender = Inertializer(REST)
    for _ in range(2):
        before = blender.step(old_root, old, False, half_life)
    for tick in range(60):
        after = blender.step(root, rotations, tick == 0, half_life)
        turned = np.deg2rad(angle_between(before[1], after[1]))
        assert (turned <= steepest(jump, half_life) * 1.001 + 1e-4).all()
        root_half_life = min(half_life, STAND_HALF_LIFE)
        assert np.abs(after[0] - before[0]).max() <= steepest(far, root_half_life) * 1.001 + 1e-5
        np.testing.assert_allclose(np.linalg.norm(after[1], axis=1), 1, atol=1e-5)
        before = after


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_the_offset_dies_away_and_never_grows(seed: int) -> None:
    old, target = pose(seed), pose(seed + 1)
    blender = Inertializer(REST)
    blender.step(*old, False, SWITCH_HALF_LIFE)
    apart = np.deg2rad(angle_between(old[1], target[1]))
    for tick in range(1200):
        _, rotations = blender.step(*target, tick == 0, SWITCH_HALF_LIFE)
        now = np.deg2rad(angle_between(rotations, target[1]))
        assert (now <= apart + 1e-4).all()
        apart = now
    # When the offset has died away the target itself is emitted again.
    root, rotations = blender.step(*target, False, SWITCH_HALF_LIFE)
    assert root is target[0] and rotations is target[1]


def test_the_spring_is_the_closed_form() -> None:
    turn = np.asarray([0, 0, 1], np.float32)
    old = np.tile(from_vector(turn), (55, 1)).astype(np.float32)
    blender = Inertializer(REST)
    root = np.zeros(3, np.float32)
    blender.step(root, old, False, SWITCH_HALF_LIFE)
    y = 2 * np.log(2) / SWITCH_HALF_LIFE
    for tick in range(1, 20):
        _, rotations = blender.step(root, REST, tick == 1, SWITCH_HALF_LIFE)
        t = tick / 30
        left = np.rad2deg((1 + y * t) * np.exp(-y * t))
        np.testing.assert_allclose(angle_between(rotations, REST), left, atol=1e-2)


@pytest.mark.parametrize("walking", [0.0, 0.7, 1.3])
def test_nobody_flies_back_to_where_capture_finds_them(walking: float) -> None:
    """Three metres away, at most at a brisk walk, and no joint in a whirl."""
    blender = Inertializer(REST)
    opposite = np.tile(np.asarray([0, 1, 0, 0], np.float32), (55, 1))
    for _ in range(2):
        before = blender.step(np.zeros(3, np.float32), opposite, False, SWITCH_HALF_LIFE)
    speeds, turns, root = [], [], np.zeros(3, np.float32)
    for tick in range(900):
        root = np.asarray([3 + walking * tick / 30, 0, 0], np.float32)
        after = blender.step(root, REST, tick == 0, SWITCH_HALF_LIFE)
        speeds.append(30 * float(np.linalg.norm(after[0] - before[0])))
        turns.append(30 * float(np.deg2rad(angle_between(after[1], before[1])).max()))
        before = after
    assert max(speeds) < max(WALK_SPEED, walking + 0.3) + 0.05
    assert max(turns) <= TURN_SPEED + 0.1
    assert max(speeds) > ROOT_SPEED * 0.9
    np.testing.assert_allclose(before[0], root, atol=0.02)


def test_velocity_goes_on_through_a_switch() -> None:
    speed = 3.0  # radians a second
    blender, angles = Inertializer(REST), []
    root = np.zeros(3, np.float32)
    for tick in range(60):
        turning = np.tile(from_vector(np.asarray([0, tick * speed / 30, 0])), (55, 1))
        target = turning.astype(np.float32) if tick < 20 else REST
        if tick >= 20:
            target = np.tile(from_vector(np.asarray([0, 19 * speed / 30, 0])), (55, 1))
            target = target.astype(np.float32)
        _, rotations = blender.step(root, target, tick == 20, SWITCH_HALF_LIFE)
        angles.append(2 * np.arctan2(rotations[0, 1], rotations[0, 3]))
    steps = np.diff(np.unwrap(angles)) * 30
    np.testing.assert_allclose(steps[:19], speed, atol=1e-3)
    assert speed / 2 < steps[19] < speed  # it goes on, and is slowing
    assert np.abs(np.diff(steps)).max() <= 2 * (2 * np.log(2) / SWITCH_HALF_LIFE) * speed / 30


def test_hold_returns_to_rest_slowly_and_stays() -> None:
    old = pose(3)
    blender = Inertializer(REST)
    blender.step(*old, False, SWITCH_HALF_LIFE)
    apart = angle_between(old[1], REST).max()
    left = []
    for tick in range(30 * 20):
        _, rotations = blender.step(old[0], blender.rest, tick == 0, HOLD_HALF_LIFE)
        left.append(angle_between(rotations, REST).max())
    assert left[0] > 0.99 * apart  # no jump
    assert left[30] > 0.5 * apart  # after a second it is still on its way
    assert left[-1] < 0.01 and all(b <= a + 1e-3 for a, b in zip(left, left[1:], strict=False))


@pytest.mark.parametrize("after", [1, 3, 15])
def test_switching_again_midway_does_not_jump(after: int) -> None:
    poses = [pose(seed) for seed in (1, 2, 3)]
    blender = Inertializer(REST)
    before = blender.step(*poses[0], False, SWITCH_HALF_LIFE)
    speed = np.zeros(55)
    for tick in range(after):
        now = blender.step(*poses[1], tick == 0, SWITCH_HALF_LIFE)
        speed = np.deg2rad(angle_between(before[1], now[1]))
        before = now
    now = blender.step(*poses[2], True, SWITCH_HALF_LIFE)
    turned = np.deg2rad(angle_between(before[1], now[1]))
    y = 2 * np.log(2) / SWITCH_HALF_LIFE
    jump = np.deg2rad(angle_between(before[1], poses[2][1]))
    # It keeps its speed, and in one tick the spring adds at most y² x / 30 a second to it.
    assert (turned <= speed + (y / 30) ** 2 * jump + 2 * y / 30 * speed + 1e-3).all()


def test_a_moving_target_is_followed_after_the_switch() -> None:
    blender = Inertializer(REST)
    blender.step(*pose(1), False, SWITCH_HALF_LIFE)
    start = pose(2)[1]
    for tick in range(90):
        spin = from_vector(np.asarray([0.02 * tick, 0, 0], np.float32))
        target = multiply(np.broadcast_to(spin, start.shape), start).astype(np.float32)
        _, rotations = blender.step(np.zeros(3, np.float32), target, tick == 0, SWITCH_HALF_LIFE)
    assert angle_between(rotations, target).max() < 0.01
