"""Rotation vectors against a mean pose."""

import numpy as np
import pytest

from greenroom.errors import BadInput
from greenroom.frames import BONE, BONES
from greenroom.monitoring.angles import JOINTS, limbs, mean_pose, rotation_vectors
from greenroom.rotations import from_vector, multiply


def takes(turn: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = from_vector(rng.normal(0, 0.1, (400, len(BONES), 3)))
    return multiply(from_vector(np.broadcast_to(turn, small.shape[:-1] + (3,))), small)


def test_vectors_are_degrees_about_the_mean() -> None:
    body = takes(np.asarray([2.0, 0.5, -0.3]))
    mean = mean_pose([body[:200], body[200:]])
    vectors = rotation_vectors(body, mean)
    assert vectors.shape == (400, 3 * len(JOINTS)) and vectors.dtype == np.float32
    assert np.abs(vectors.mean(axis=0)).max() < 0.5
    assert vectors.std(axis=0) == pytest.approx(np.rad2deg(0.1), rel=0.15)
    assert rotation_vectors(body[0], mean) == pytest.approx(vectors[0], abs=1e-5)


def test_signs_and_gaps_do_not_matter() -> None:
    body = takes(np.asarray([0.4, 0.0, 0.0]))
    other = body.copy()
    other[::2] *= -1
    mean = mean_pose([body])
    assert rotation_vectors(other, mean_pose([other])) == pytest.approx(
        rotation_vectors(body, mean), abs=1e-3
    )
    body[5, BONE["leftHand"]] = np.nan
    row = rotation_vectors(body, mean)[5]
    place = 3 * JOINTS.index("leftHand")
    assert np.flatnonzero(np.isnan(row)).tolist() == [place, place + 1, place + 2]


def test_heading_is_left_out_and_limbs_are_whole() -> None:
    assert "hips" not in JOINTS and len(JOINTS) == 20
    found = limbs()
    assert sorted(i for members in found.values() for i in members) == list(range(20))
    assert limbs(("head", "leftHand")) == {"left arm": (1,), "trunk": (0,)}


def test_what_is_no_humanoid_is_refused() -> None:
    with pytest.raises(BadInput, match="not \\(3, 4\\)"):
        mean_pose([np.zeros((3, 4))])
    with pytest.raises(BadInput, match="one take"):
        mean_pose([])
