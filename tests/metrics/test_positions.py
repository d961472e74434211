"""Places: known answers, and what must not change a figure."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.errors import BadInput
from greenroom.frames import BONE, BONES, HUMANOID, Body, Doubles
from greenroom.metrics.motion import aggregate
from greenroom.metrics.positions import (
    contact_weight,
    foot_positions,
    foot_skate,
    foot_skate_tally,
    jerk,
    jerk_tally,
    joint_error,
    joint_error_tally,
    joint_positions,
    log_dimensionless_jerk,
)
from greenroom.rotations import from_euler, rotate


def still(ticks: int = 30) -> Body:
    turns = np.tile(np.float32([0, 0, 0, 1]), (ticks, len(BONES), 1))
    root = np.tile(np.float32([0, 0.95, 0]), (ticks, 1))
    return Body(HUMANOID, root, turns, np.ones((ticks, len(BONES)), np.float32))


def wander(seed: int, ticks: int = 40, joints: int = 5) -> Doubles:
    return np.random.default_rng(seed).normal(size=(ticks, joints, 3)).cumsum(axis=0) * 0.01


def test_places_are_the_skeletons_and_missing_bones_have_none() -> None:
    body = still()
    body.validity[:, BONE["jaw"]] = 0
    places = joint_positions(body)
    assert places[0, BONE["leftFoot"]] == pytest.approx((0.09, 0.08, 0))
    assert np.isnan(places[:, BONE["jaw"]]).all() and np.isfinite(places[:, BONE["head"]]).all()
    with pytest.raises(BadInput, match=r"\(T, J, 3\)"):
        jerk(places[0])


@given(seed=st.integers(0, 99), degrees=st.floats(-180, 180), scale=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_jerk_knows_neither_place_nor_velocity_nor_direction(
    seed: int, degrees: float, scale: float
) -> None:
    places = wander(seed)
    turned = rotate(from_euler(np.asarray([degrees]), "Y"), places)
    t = np.arange(len(places))[:, None, None]
    assert jerk(turned + 3 + 0.1 * t + 0.01 * t**2) == pytest.approx(jerk(places), abs=1e-5)
    assert jerk(scale * places) == pytest.approx(scale * jerk(places))
    ldj = log_dimensionless_jerk(places)
    assert log_dimensionless_jerk(scale * places) == pytest.approx(ldj)
    assert log_dimensionless_jerk(places, 120) == pytest.approx(ldj)


def test_a_minimum_jerk_reach_has_the_known_dimensionless_jerk() -> None:
    # x = 10s³ - 15s⁴ + 6s⁵: ∫ jerk² = 720, peak speed 15/8, so 720 / (15/8)² = 204.8.
    s = np.linspace(0, 1, 2001)
    reach = np.stack([10 * s**3 - 15 * s**4 + 6 * s**5, 0 * s, 0 * s], axis=1)[:, None]
    assert log_dimensionless_jerk(reach, 2000)[0] == pytest.approx(math.log(204.8), abs=0.01)
    rough = reach + np.random.default_rng(0).normal(0, 1e-4, reach.shape)
    assert log_dimensionless_jerk(rough, 2000)[0] > math.log(204.8) + 1
    assert np.isnan(log_dimensionless_jerk(np.zeros((9, 1, 3)))).all()
    with pytest.raises(BadInput, match="4 ticks"):
        log_dimensionless_jerk(np.zeros((3, 1, 3)))


def test_jerk_is_told_beside_the_truth_and_without_what_is_missing() -> None:
    t = np.arange(20) / 30
    cube = np.stack([t**3, 0 * t, 0 * t], axis=1)[:, None]
    cut = np.concatenate([cube, cube], axis=1)
    cut[5, 1] = np.nan
    tally = jerk_tally({"truth": cut, "model": 2 * np.nan_to_num(cut)})
    assert tally.weight == 17 + 13
    assert (aggregate([tally], "truth"), aggregate([tally], "model")) == pytest.approx((6, 12))
    with pytest.raises(BadInput, match="one shape"):
        jerk_tally({"truth": cut, "model": cut[1:]})


def test_contact_falls_from_one_to_nothing_at_25_mm() -> None:
    heights = np.asarray([0, 0.0125, 0.025, 0.5])
    places = np.zeros((4, 1, 3))
    places[:, 0, 1] = heights
    assert contact_weight(places, np.zeros(1))[:, 0] == pytest.approx([1, 2 - 2**0.5, 0, 0])
    places[0] = np.nan
    assert contact_weight(places)[0, 0] == 0


@pytest.mark.parametrize("speed", [0.0, 0.05, 1.3])
def test_feet_that_are_dragged_skate_as_fast_as_they_are_dragged(speed: float) -> None:
    body = still(60)
    body.root[:, 2] = speed * np.arange(60) / 30
    assert foot_skate(foot_positions(joint_positions(body))) == pytest.approx(
        1000 * speed, abs=0.01
    )


def test_a_foot_in_the_air_does_not_skate_unless_the_truth_stands() -> None:
    truth = joint_positions(still(60))
    high = truth.copy()
    high[30:, :, 1] += 0.3
    high[30:, :, 0] += np.arange(30)[:, None] / 30
    assert foot_skate(foot_positions(high)) < 1e-6
    tally = foot_skate_tally(truth, {"model": high})
    assert aggregate([tally], "truth") == pytest.approx(0, abs=1e-9)
    assert aggregate([tally], "model") == pytest.approx(1000 * 29 / 59, rel=1e-6)
    assert math.isnan(foot_skate(np.full((9, 2, 3), np.nan)))
    toeless = truth.copy()
    toeless[:, [BONE["leftToes"], BONE["rightToes"]]] = np.nan
    assert foot_positions(toeless)[0, 0] == pytest.approx(truth[0, BONE["leftFoot"]])


@given(seed=st.integers(0, 99), x=st.floats(-5, 5), millimetres=st.floats(0, 500))
@settings(max_examples=25, deadline=None)
def test_joint_error_is_in_millimetres_and_forgets_where_the_root_is(
    seed: int, x: float, millimetres: float
) -> None:
    truth = wander(seed)
    assert joint_error(truth, truth + x) == pytest.approx(0, abs=1e-9)
    moved = truth + x
    moved[:, 1:, 1] += millimetres / 1000
    errors = joint_error(truth, moved)
    assert errors[:, 0] == pytest.approx(0, abs=1e-9)
    assert errors[:, 1:] == pytest.approx(millimetres, abs=1e-9)
    tally = joint_error_tally(truth, {"model": moved, "hold": truth})
    assert aggregate([tally], "model") == pytest.approx(millimetres, abs=1e-9)
    assert tally.weight == 4 * len(truth) and aggregate([tally], "hold") == 0


def test_what_one_misses_counts_in_none() -> None:
    truth = wander(0)
    gone = truth + 0.0
    gone[3, 2] = np.nan
    tally = joint_error_tally(truth, {"model": gone, "hold": truth})
    assert tally.weight == 4 * len(truth) - 1
