"""Draws: standard normal, smooth, and the same for a seed."""

import numpy as np

from greenroom.features.noise import NoiseWalk


def _walk(seed: int, ticks: int, width: int = 64) -> np.ndarray:
    draws = NoiseWalk(seed, width)
    return np.asarray([draws.next().copy() for _ in range(ticks)])


def test_each_is_standard_normal_from_the_first_on() -> None:
    first = np.concatenate([NoiseWalk(seed, 64).next().copy() for seed in range(60)])
    walk = _walk(0, 4000)
    for values in (first, walk):
        assert abs(values.mean()) < 0.06
        assert abs(values.std() - 1) < 0.05


def test_neighbours_are_near_and_far_ones_are_strangers() -> None:
    walk = _walk(1, 4000)
    assert np.diff(walk, axis=0).std() < 0.12  # 0.1, where a first-order walk has 0.45
    assert np.diff(walk, n=3, axis=0).std() < 0.2
    assert abs((walk[90:] * walk[:-90]).mean()) < 0.1


def test_a_seed_is_a_walk() -> None:
    np.testing.assert_array_equal(_walk(5, 200), _walk(5, 200))
    assert np.abs(_walk(5, 10) - _walk(6, 10)).max() > 0.5
