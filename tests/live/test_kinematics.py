"""Legs reach what they can, feet keep their direction, and numbers agree with the skeleton's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.frames import BONE, BONES, HUMANOID
from greenroom.live.kinematics import (
    SIDES,
    BodyKinematics,
    about,
    compose,
    conjugate,
    norm,
    shortest,
    subtract,
)
from greenroom.rotations import angle_between, from_vector, multiply, rotate, turn_point

BODY = BodyKinematics(HUMANOID.offsets)
SEEDS = st.integers(0, 2**32 - 1)


def pose(seed: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    turns = from_vector(rng.normal(0, width, (len(BONES), 3)))
    return np.asarray([rng.normal(), 0.9, rng.normal()]), turns


def quaternions(turns: np.ndarray) -> list[tuple[float, float, float, float]]:
    return [tuple(q) for q in turns.tolist()]


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_the_small_quaternions_are_those_of_the_arrays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = from_vector(rng.normal(size=(2, 3)))
    v = rng.normal(size=3)
    np.testing.assert_allclose(compose(tuple(a), tuple(b)), multiply(a, b), atol=1e-12)
    np.testing.assert_allclose(turn_point(tuple(a), tuple(v)), rotate(a, v), atol=1e-12)
    back = turn_point(conjugate(tuple(a)), turn_point(tuple(a), tuple(v)))
    np.testing.assert_allclose(back, v, atol=1e-9)
    w = rng.normal(size=3)
    turned = np.asarray(turn_point(shortest(tuple(v), tuple(w)), tuple(v)))
    np.testing.assert_allclose(turned / np.linalg.norm(turned), w / np.linalg.norm(w), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_bones_are_where_the_skeleton_has_them(seed: int) -> None:
    root, turns = pose(seed, 0.5)
    placed = BODY.place(tuple(root), quaternions(turns))
    theirs = HUMANOID.world(HUMANOID.rest_translations(1, root[None]), turns[None])[0][0]
    for bone, place in placed.places.items():
        np.testing.assert_allclose(place, theirs[bone], atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(SIDES), st.floats(0.3, 1.2), st.floats(0.02, 0.6))
def test_an_ankle_comes_to_its_point_or_as_near_as_the_leg_is_long(
    seed: int, side: str, reach: float, width: float
) -> None:
    root, turns = pose(seed, width)
    rotations = quaternions(turns)
    before = BODY.place(tuple(root), rotations)
    upper, lower, foot, _ = BODY.legs[side]
    way = np.random.default_rng(seed).normal(size=3) * [0.4, 0.1, 0.4] - [0, 1, 0]
    hip = np.asarray(before.places[upper])
    target = tuple(hip + reach * BODY.leg_lengths[side] * way / np.linalg.norm(way))
    BODY.step_on(side, target, rotations, before)
    after = BODY.place(tuple(root), rotations)
    length = BODY.leg_lengths[side]
    if reach < 0.999:
        np.testing.assert_allclose(after.places[foot], target, atol=2e-3)
    else:
        assert norm(subtract(after.places[foot], after.places[upper])) > 0.998 * length
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=1), 1, atol=1e-6)
    kept = angle_between(np.asarray(after.turns[foot]), np.asarray(before.turns[foot]))
    assert kept < 0.01
    others = [i for i in range(len(BONES)) if i not in (upper, lower, foot)]
    assert all(rotations[i] == tuple(turns[i].tolist()) for i in others)


@pytest.mark.parametrize("side", SIDES)
def test_a_straight_knee_bends_forwards(side: str) -> None:
    rotations = quaternions(np.tile([0, 0, 0, 1.0], (len(BONES), 1)))
    stands = BODY.place((0.0, BODY.hips, 0.0), rotations)
    upper, lower, foot, _ = BODY.legs[side]
    x, y, z = stands.places[foot]
    BODY.step_on(side, (x, y + 0.2, z), rotations, stands)
    bent = BODY.place((0.0, BODY.hips, 0.0), rotations)
    assert bent.places[lower][2] > 0.1
    np.testing.assert_allclose(bent.places[foot], (x, y + 0.2, z), atol=1e-3)


def test_half_a_turn_about_an_axis_is_its_opposite() -> None:
    np.testing.assert_allclose(
        turn_point(about((0.0, 1.0, 0.0), np.pi), (1.0, 0.0, 0.0)), (-1, 0, 0), atol=1e-12
    )
    assert BODY.hips == pytest.approx(HUMANOID.offsets[BONE["hips"], 1])
