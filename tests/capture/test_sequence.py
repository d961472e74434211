from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.readers import read_recording
from greenroom.capture.sequence import SEAM_TICKS, Rounds, concatenate, mirror_body, yaw
from greenroom.capture.skeleton.mapping import AUTOMATIC
from greenroom.frames import BONE, BONES, HUMANOID, Body
from greenroom.rotations import angle_between, from_euler, from_vector, multiply, normalise

SEEDS = st.integers(0, 2**32 - 1)


def clip(seed: int, ticks: int = 40) -> Body:
    """A smooth clip from a random place, of a random heading, in a random pose."""
    rng = np.random.default_rng(seed)
    t = np.arange(ticks)[:, None] / 30
    start = from_vector(rng.normal(0, 0.5, (55, 3)))
    sway = 0.3 * np.sin(t[..., None] * rng.uniform(0.5, 2, (55, 3)) + rng.uniform(0, 6, (55, 3)))
    rotations = multiply(np.broadcast_to(start, (ticks, 55, 4)), from_vector(sway))
    about = from_vector(np.asarray([0, rng.uniform(-3, 3), 0]))
    rotations[:, 0] = multiply(np.broadcast_to(about, (ticks, 4)), rotations[:, 0])
    root = rng.uniform(-3, 3, 3) + t * rng.uniform(-1, 1, 3)
    return Body(
        HUMANOID,
        root.astype(np.float32),
        normalise(rotations).astype(np.float32),
        np.ones((ticks, 55), np.float32),
    )


def speeds(body: Body) -> np.ndarray:
    """Degrees a tick of every bone."""
    return angle_between(body.rotations[:-1].astype(float), body.rotations[1:].astype(float))


@settings(max_examples=20, deadline=None)
@given(st.lists(SEEDS, min_size=2, max_size=4))
def test_a_seam_is_no_jump(seeds: list[int]) -> None:
    clips = [clip(seed) for seed in seeds]
    joined = concatenate(clips)
    assert len(joined) == sum(map(len, clips))
    assert joined.skeleton is clips[0].skeleton
    # The own speed of a clip, and what fading the worst difference (a half turn) adds: the
    # smoothstep of 1 - t/n, squared times (3 - 2 ·), is steepest with 1.5 / n a tick.
    own = max(speeds(c).max() for c in clips)
    assert speeds(joined).max() <= own + 180 * 1.5 / SEAM_TICKS + 0.1
    height = max(abs(float(a.root[-1, 1] - b.root[0, 1])) for a in clips for b in clips)
    steps = np.abs(np.diff(joined.root, axis=0)).max()
    assert steps <= 2**0.5 / 30 + 2 * height * 1.5 / SEAM_TICKS + 1e-3


@settings(max_examples=20, deadline=None)
@given(SEEDS, SEEDS)
def test_the_first_tick_after_a_seam_is_close_to_the_last_before(one: int, two: int) -> None:
    first, second = clip(one), clip(two)
    joined = concatenate([first, second])
    at = len(first)
    # At the first tick 1 - smoothstep(1/12) is left of the difference: 2 % of it is seen.
    assert speeds(joined)[at - 1].max() <= 180 * 0.0203
    assert np.abs(joined.root[at, [0, 2]] - joined.root[at - 1, [0, 2]]).max() < 1e-4


def test_before_and_well_after_a_seam_it_is_the_recording() -> None:
    first, second = clip(1), clip(2)
    joined = concatenate([first, second])
    np.testing.assert_array_equal(joined.rotations[:40], first.rotations)
    np.testing.assert_array_equal(joined.root[:40], first.root)
    after = 40 + SEAM_TICKS
    assert (
        angle_between(joined.rotations[after:, 1:], second.rotations[SEAM_TICKS:, 1:]).max() < 0.05
    )
    # Placement turns about +Y and shifts on the floor: heights and distances stay.
    np.testing.assert_allclose(joined.root[after:, 1], second.root[SEAM_TICKS:, 1], atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(joined.root[after:], axis=0), axis=1),
        np.linalg.norm(np.diff(second.root[SEAM_TICKS:], axis=0), axis=1),
        atol=1e-5,
    )


def test_the_next_clip_sets_off_the_way_the_last_one_faced() -> None:
    first, second = clip(3), clip(4)
    joined = concatenate([first, second], seam_ticks=1)
    np.testing.assert_allclose(
        angle_between(yaw(joined.rotations[40, 0]), yaw(first.rotations[-1, 0])), 0, atol=0.1
    )


def test_a_clip_shorter_than_its_seam_can_be_joined() -> None:
    joined = concatenate([clip(1), clip(2, ticks=5), clip(3, ticks=1), clip(4)])
    assert len(joined) == 86 and np.isfinite(joined.rotations).all()


def test_one_alone_is_itself() -> None:
    only = clip(5)
    joined = concatenate([only])
    np.testing.assert_array_equal(joined.rotations, only.rotations)


@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1)])
def test_a_missing_finger_stays_missing_and_spoils_nothing(missing: tuple[int, ...]) -> None:
    clips = [clip(6), clip(7)]
    whole = concatenate(clips)
    bone = BONE["leftIndexDistal"]
    for i in missing:
        clips[i].rotations[:, bone], clips[i].validity[:, bone] = np.nan, 0
    joined = concatenate(clips)
    for i in range(2):
        part = slice(40 * i, 40 * i + 40)
        assert np.isnan(joined.rotations[part, bone]).all() == (i in missing)
        assert (joined.validity[part, bone] == 0).all() == (i in missing)
    others = np.arange(55) != bone
    np.testing.assert_array_equal(joined.rotations[:, others], whole.rotations[:, others])


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_mirrored_twice_is_itself(seed: int) -> None:
    body = clip(seed, ticks=5)
    body.validity[:, BONE["leftHand"]] = 0
    once = mirror_body(body)
    assert (once.validity[:, BONE["rightHand"]] == 0).all()
    assert (once.validity[:, BONE["leftHand"]] == 1).all()
    twice = mirror_body(once)
    for name in ("root", "rotations", "validity"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(body, name))


def test_the_mirror_exchanges_left_and_right_in_space() -> None:
    body = clip(8, ticks=5)
    seen = mirror_body(body)
    places, other = (
        HUMANOID.world(HUMANOID.rest_translations(5, b.root), b.rotations)[0] for b in (body, seen)
    )
    for name, index in BONE.items():
        if name.startswith("left"):
            opposite = places[:, BONE["right" + name.removeprefix("left")]]
            np.testing.assert_allclose(other[:, index], opposite * [-1, 1, 1], atol=1e-5)
    np.testing.assert_allclose(
        other[:, BONE["head"]], places[:, BONE["head"]] * [-1, 1, 1], atol=1e-5
    )


@pytest.mark.parametrize("degrees", [-179.0, -90.0, 0.0, 10.0, 179.0])
def test_yaw_is_the_turn_about_y(degrees: float) -> None:
    turn = from_euler(np.asarray([degrees, 20.0]), "YX")
    wanted = from_euler(np.asarray([degrees]), "Y")
    for sign in (1, -1):
        assert angle_between(yaw(sign * turn), wanted) < 1e-3
    assert yaw(np.asarray([1.0, 0, 0, 0])).tolist() == [0, 0, 0, 1]


def test_a_recording_joined_to_itself_goes_on(person: Callable[..., bytes]) -> None:

    body = read_recording(person(frames=30), "person.bvh", AUTOMATIC).body
    assert body is not None
    joined = concatenate([body, body])
    along = joined.root[:, [0, 2]]
    steps = np.linalg.norm(np.diff(along, axis=0), axis=1)
    assert steps[29] < 1e-4 and np.linalg.norm(along[-1] - along[0]) > 1.2


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 60))
def test_rounds_are_what_all_of_them_joined_would_be(seed: int, count: int, first: int) -> None:
    draws = np.random.default_rng(seed)
    bodies = []
    for _ in range(count):
        ticks = int(draws.integers(1, 20))
        turns = draws.normal(size=(len(BONES), 3)) / 2
        turns = turns + np.linspace(0, 1, ticks)[:, None, None] * draws.normal(size=(len(BONES), 3))
        root = np.cumsum(draws.normal(size=(ticks, 3)), axis=0).astype(np.float32)
        rotations = from_vector(turns).astype(np.float32)
        bodies.append(Body(HUMANOID, root, rotations, np.ones((ticks, len(BONES)), np.float32)))
    rounds = Rounds(bodies)
    times = first // len(rounds) + 3
    joined = concatenate(bodies * times)
    last = first + 2 * len(rounds)
    part = rounds.body(first, last)
    assert np.allclose(part.root, joined.root[first:last], atol=2e-3)
    assert float(angle_between(part.rotations, joined.rotations[first:last]).max()) < 0.2


def test_rounds_of_a_body_whose_hips_are_missing_stay_finite() -> None:
    rotations = np.tile(np.float32([0, 0, 0, 1]), (4, len(BONES), 1))
    rotations[3, 0] = np.nan
    validity = np.ones((4, len(BONES)), dtype=np.float32)
    validity[3, 0] = 0
    body = Body(HUMANOID, np.zeros((4, 3), dtype=np.float32), rotations, validity)
    part = Rounds([body]).body(0, 12)
    assert np.isfinite(part.root).all() and np.isfinite(part.rotations[:, 1:]).all()
    assert np.isnan(part.rotations[[3, 7, 11], 0]).all() and np.isfinite(part.rotations[4:7]).all()
