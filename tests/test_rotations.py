import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom import rotations as r

ORDERS = ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]
number = st.floats(-1, 1, allow_nan=False)
quaternions = (
    st.tuples(number, number, number, number)
    .map(np.array)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: q / np.linalg.norm(q))
)
degrees = st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, -90.0, 0.0, 90.0, 180.0]))


def same(a, b, tolerance=1e-5):
    assert float(r.angle_between(a, b)) < tolerance


@given(quaternions)
def test_matrix_six_and_vector_forms_come_back(q):
    same(r.from_matrix(r.to_matrix(q)), q)
    same(r.from_six(r.to_six(q)), q)
    same(r.from_vector(r.to_vector(q)), q)
    np.testing.assert_allclose(r.to_six(q), r.to_matrix(q)[:, :2].T.ravel(), atol=1e-12)


@given(st.tuples(degrees, degrees, degrees).map(np.array), st.sampled_from(ORDERS))
def test_euler_angles_come_back_even_at_gimbal_lock(angles, order):
    q = r.from_euler(angles, order)
    same(r.from_euler(r.to_euler(q, order), order), q, 1e-4)


@given(quaternions, quaternions, st.tuples(number, number, number).map(np.array))
def test_multiplying_is_turning_twice(a, b, v):
    np.testing.assert_allclose(
        r.rotate(r.multiply(a, b), v), r.rotate(a, r.rotate(b, v)), atol=1e-9
    )
    np.testing.assert_allclose(r.rotate(a, v), r.to_matrix(a) @ v, atol=1e-9)
    same(r.multiply(a, r.inverse(a)), np.array(r.IDENTITY))


@given(quaternions, quaternions, st.floats(0, 1))
def test_slerp_goes_the_fraction_of_the_short_way(a, b, t):
    whole = float(r.angle_between(a, b))
    got = r.slerp(a, b, np.float64(t))
    if whole < 179:
        assert float(r.angle_between(a, got)) == pytest.approx(whole * t, abs=1e-2)


@given(
    st.tuples(number, number, number).map(np.array), st.tuples(number, number, number).map(np.array)
)
def test_between_takes_one_direction_to_the_other(a, b):
    if min(np.linalg.norm(a), np.linalg.norm(b)) < 1e-3:
        return
    got = r.rotate(r.between(a, b), a / np.linalg.norm(a))
    np.testing.assert_allclose(got, b / np.linalg.norm(b), atol=1e-4)


@given(st.lists(quaternions, min_size=1, max_size=6).map(np.array))
def test_continuous_changes_signs_only(q):
    out = r.continuous(q)
    np.testing.assert_array_equal(np.abs(out), np.abs(q))
    assert (np.einsum("ti,ti->t", out[1:], out[:-1]) >= 0).all()


def test_normalise_makes_the_identity_of_nothing():
    out = r.normalise(np.array([[0.0, 0, 0, 0], [np.nan, 0, 0, 1], [0, 0, 2, 0]]))
    np.testing.assert_array_equal(out, [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]])
