import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from greenroom.capture.skeleton.kinematics import pose_world, rotate_vectors, world_pose
from greenroom.frames import HUMANOID
from greenroom.rotations import angle_between, rotate


@given(st.integers(0, 2**32 - 1))
def test_it_places_joints_as_the_skeleton_does(seed):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(3, 55, 4))
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    places = HUMANOID.offsets + rng.normal(0, 0.01, (3, 55, 3))
    want, turns = HUMANOID.world(places, q)
    got, got_turns = world_pose(HUMANOID, places, q)
    np.testing.assert_allclose(got, want, atol=1e-12)
    np.testing.assert_allclose(got_turns, turns, atol=1e-12)
    one, one_turns = pose_world(HUMANOID, places[0], q[0])
    np.testing.assert_allclose(one, want[0], atol=1e-12)
    assert angle_between(one_turns, turns[0]).max() < 1e-5
    np.testing.assert_allclose(
        rotate_vectors(q[:, :1], places), rotate(q[:, :1], places), atol=1e-12
    )
