import numpy as np
import pytest

from greenroom.metrics.intervals import gain, interval, resampled
from greenroom.metrics.motion import SufficientStats


def takes(seed: int, n: int, better: float, kind: str = "mean") -> list[SufficientStats]:
    """Takes of very different difficulty, on which the model is `better` by about as much."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(5, 50, n)
    return [
        SufficientStats(kind, {"model": h - better + e, "floor": h}, 1.0)
        for h, e in zip(hard, rng.normal(0, 0.1, n), strict=True)
    ]


def test_pairing_takes_the_takes_difficulty_out() -> None:
    rows = takes(0, 40, better=1.0)
    low, high = interval(gain(rows, "model", "floor"))
    assert 0.9 < low < 1 < high < 1.1
    wide = interval(resampled(rows, "model"))
    assert wide[1] - wide[0] > 5


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        rows = [SufficientStats("mean", {"model": float(v)}, 1.0) for v in rng.normal(3, 1, 30)]
        low, high = interval(resampled(rows, "model", rounds=400))
        covered += low <= 3 <= high
    assert 175 <= covered <= 199  # 190 are meant; a percentile interval of 30 is a little narrow


def test_more_skill_is_a_gain_too() -> None:
    rows = [
        SufficientStats("skill", {"model": 1.0 + i / 10, "floor": 2.0 + i / 10}, 4.0)
        for i in range(9)
    ]
    assert gain(rows, "model", "floor") == pytest.approx(0.25)


def test_a_single_take_has_no_width() -> None:
    rows = takes(0, 1, better=1.0)
    low, high = interval(resampled(rows, "model"))
    assert low == high
