import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import Clip
from greenroom.capture.sequence import mirror_body
from greenroom.errors import BadInput
from greenroom.features.pose import AHEAD, Legs, PoseDecoder, heading_of, mirror_of, state_features
from greenroom.frames import BONE, BONES, HUMANOID, Body, Floats
from greenroom.rotations import angle_between, from_euler, from_vector, multiply, normalise

J = 4


def walk(seed: int, ticks: int = 90) -> tuple[Floats, Floats]:
    """A body that wanders, turns and leans: root (T, 3) and rotations (T, J, 4)."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.1, ticks)) + rng.uniform(-3, 3)
    lean = np.cumsum(rng.normal(0, 0.03, (ticks, 3)), axis=0)
    turn = from_vector(np.stack([0 * heading, heading, 0 * heading], axis=1))
    rotations = from_vector(np.cumsum(rng.normal(0, 0.1, (ticks, J, 3)), axis=0))
    rotations[:, 0] = multiply(turn, from_vector(lean))
    root = np.cumsum(rng.normal(0, 0.03, (ticks, 3)), axis=0) + [0, 0.95, 0]
    signs = rng.choice([-1, 1], (ticks, J, 1))
    return root.astype(np.float32), (normalise(rotations) * signs).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_placing_states_gives_the_walk_back(seed: int) -> None:
    root, rotations = walk(seed)
    state = state_features(root, rotations, None)
    placer = PoseDecoder()
    placer.anchor(root[0], rotations[0, 0])
    turned = placer.upright(state[0], J)
    assert angle_between(turned, rotations[0]).max() < 0.05
    for t in range(1, len(root)):
        placer.move(state[t])
        turned = placer.upright(state[t], J)
        np.testing.assert_allclose(placer.root, root[t], atol=1e-4)
        assert angle_between(turned, rotations[t]).max() < 0.05  # degrees


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-180, 180), st.floats(-9, 9), st.floats(-9, 9))
def test_a_state_does_not_depend_on_where_and_which_way(
    seed: int, turn: float, x: float, z: float
) -> None:
    root, rotations = walk(seed, ticks=20)
    about = from_euler(np.asarray([turn]), "Y").astype(np.float32)
    moved = root.astype(np.float64)
    sin, cos = np.sin(np.deg2rad(turn)), np.cos(np.deg2rad(turn))
    moved = np.stack(
        [
            cos * moved[:, 0] + sin * moved[:, 2] + x,
            moved[:, 1],
            cos * moved[:, 2] - sin * moved[:, 0] + z,
        ],
        axis=1,
    ).astype(np.float32)
    turned = rotations.copy()
    turned[:, 0] = multiply(np.broadcast_to(about, turned[:, 0].shape), turned[:, 0])
    before, after = state_features(root, rotations, None), state_features(moved, turned, None)
    np.testing.assert_allclose(after, before, atol=2e-3)


def test_forward_is_plus_z_and_left_is_plus_x_whichever_way_one_faces() -> None:
    for degrees in (0.0, 90.0, 200.0):
        facing = from_euler(np.asarray([degrees]), "Y").astype(np.float32)
        rotations = np.broadcast_to(facing, (2, 1, 4)).astype(np.float32)
        ahead = np.asarray([np.sin(np.deg2rad(degrees)), 0, np.cos(np.deg2rad(degrees))])
        root = np.stack([[0, 1, 0], [0, 1, 0] + ahead / 30]).astype(np.float32)
        np.testing.assert_allclose(
            state_features(root, rotations, None)[1, 6:], [1, 0, 1, 0], atol=1e-4
        )


def test_the_turn_rate_is_in_radians_a_second() -> None:
    angles = np.asarray([0.0, 3.0, 6.0])
    rotations = from_euler(angles[:, None, None], "Y").astype(np.float32)
    state = state_features(np.zeros((3, 3), np.float32), rotations, None)
    assert np.isnan(state[0, 9])
    np.testing.assert_allclose(state[1:, 9], np.deg2rad(90), rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_state_in_the_mirror_is_that_of_the_body_in_the_mirror(seed: int) -> None:
    joints = ("hips", "rightHand", "spine", "leftHand")
    root, rotations = walk(seed)
    whole = np.tile(np.asarray([0, 0, 0, 1], np.float32), (len(root), len(BONES), 1))
    places = [BONE[name] for name in joints]
    whole[:, places] = rotations
    body = Body(HUMANOID, root, whole, np.ones(whole.shape[:2], np.float32))
    seen = mirror_body(body)
    order, signs = mirror_of(joints)
    said = state_features(root, rotations, None)[1:, order] * signs
    assert np.allclose(
        said, state_features(seen.root, seen.rotations[:, places], None)[1:], atol=1e-4
    )
    assert np.array_equal(np.asarray(order)[order], np.arange(len(order)))  # twice is not at all


def test_a_body_with_one_arm_has_no_mirror_image_of_its_joints() -> None:
    order, signs = mirror_of(("hips", "leftHand"))
    assert order == list(range(16)) and (signs == 1).all()


def test_missing_stays_missing_and_touches_nothing_else() -> None:
    root, rotations = walk(1, ticks=10)
    whole = state_features(root, rotations, None)
    rotations[4, 2] = np.nan
    state = state_features(root, rotations, None)
    assert np.isnan(state[4, 12:18]).all()
    state[4, 12:18] = whole[4, 12:18]
    np.testing.assert_array_equal(state, whole)


def test_missing_hips_take_the_velocities_of_two_ticks_with_them() -> None:
    root, rotations = walk(2, ticks=10)
    rotations[4, 0] = np.nan
    state = state_features(root, rotations, None)
    assert np.flatnonzero(np.isnan(state[:, -1])).tolist() == [0, 4, 5]
    assert np.flatnonzero(np.isnan(state[:, 0])).tolist() == [4]


@given(st.integers(0, 2**32 - 1))
def test_the_heading_is_the_twist_about_y_whatever_the_sign(seed: int) -> None:
    q = normalise(np.random.default_rng(seed).normal(size=4))
    sin, cos = heading_of(q)
    assert sin * sin + cos * cos == pytest.approx(1)
    half = np.arctan2(sin, cos) / 2
    rest = multiply(np.asarray([0, -np.sin(half), 0, np.cos(half)]), q)
    assert abs(rest[1]) < 1e-9  # what is left has no turn about y
    assert heading_of(-q) == (sin, cos)


@pytest.mark.parametrize("upside_down", [[1, 0, 0, 0], [0, 0, 1, 0]])
def test_upside_down_there_is_no_heading(upside_down: list[float]) -> None:
    assert heading_of(np.asarray(upside_down, np.float32)) == AHEAD


LEGS = ("hips", *(s + b for s in ("left", "right") for b in ("UpperLeg", "LowerLeg", "Foot")))


def _standing(joints: tuple[str, ...] = LEGS) -> Floats:
    state = np.zeros(6 * len(joints) + 4, dtype=np.float32)
    state[:-4].reshape(-1, 6)[:] = [1, 0, 0, 0, 1, 0]
    state[-4] = 0.9
    return state


def test_feet_are_where_the_skeleton_puts_them(published: list[Clip]) -> None:
    clip = next(c for c in published if c.name == "humanoid3d_walk")
    body = read_recording(clip.data, clip.path).body
    assert body is not None
    legs = Legs(body.skeleton.offsets, LEGS, _standing())
    places, _ = body.skeleton.world(
        body.skeleton.rest_translations(len(body), body.root), body.filled()
    )
    index = [BONE[name] for name in LEGS]
    for t in range(0, len(body), 5):
        below = legs.below(body.filled()[t, index].astype(np.float32))
        feet = places[t, [BONE["leftFoot"], BONE["rightFoot"]]] - body.root[t]
        np.testing.assert_allclose(below, feet, atol=2e-5)


@pytest.mark.parametrize("lifted", [False, True])
def test_a_foot_that_stands_holds_the_body_and_one_in_the_air_does_not(lifted: bool) -> None:
    state = _standing()
    placer = PoseDecoder(legs=Legs(HUMANOID.offsets, LEGS, state))
    state[-3:-1] = 0.6, 1.2  # metres a second
    state[-4] += 0.3 * lifted
    placer.anchor(np.asarray([0, state[-4], 0], np.float32), np.asarray([0, 0, 0, 1], np.float32))
    for _ in range(31):
        placer.move(state)
    gone = np.linalg.norm(placer.root[[0, 2]])
    assert gone > 1.2 if lifted else gone < 0.1  # the first tick has no foot to hold on to
    assert placer.root[1] == state[-4]


def test_legs_are_asked_for() -> None:
    assert Legs.of(HUMANOID.offsets, ("hips", "spine"), _standing(("hips", "spine"))) is None
    with pytest.raises(BadInput, match="upper and lower legs"):
        Legs(HUMANOID.offsets, ("hips", "spine"), _standing(("hips", "spine")))
    assert len(BONES) == len(HUMANOID.offsets)
