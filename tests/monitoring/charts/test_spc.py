"""Textbook charts against the run lengths of the textbook."""

import numpy as np
import pytest
from scipy.stats import chi2

from greenroom.errors import BadInput
from greenroom.monitoring.charts.spc import Cusum, Ewma, Shewhart, Variance

CHANNELS = 2_000
# Two-sided, known parameters, independent points: average run length in control and at shifts of
# 0.5, 1, 2 and 3 standard deviations (integral equation; agrees with Montgomery's tables).
LENGTHS = {
    "shewhart": (370.40, 155.22, 43.89, 6.30, 2.00),
    "ewma .2": (371.1, 36.20, 9.80, 3.59, 2.31),
    "ewma .1": (499.6, 31.30, 10.33, 4.36, 2.87),
    "cusum 4": (167.68, 26.63, 8.38, 3.34, 2.19),
    "cusum 5": (465.44, 38.00, 10.38, 4.01, 2.57),
}
MAKE = {
    "shewhart": lambda c: Shewhart(np.zeros(c), 1.0),
    "ewma .2": lambda c: Ewma(np.zeros(c), 1.0, weight=0.2, limit=2.86),
    "ewma .1": lambda c: Ewma(np.zeros(c), 1.0, weight=0.1, limit=2.814),
    "cusum 4": lambda c: Cusum(np.zeros(c), 1.0, k=0.5, h=4.0),
    "cusum 5": lambda c: Cusum(np.zeros(c), 1.0, k=0.5, h=5.0),
}


def run_lengths(chart, shift: float, seed: int) -> np.ndarray:
    """One run length a channel: each is its own repetition."""
    rng = np.random.default_rng(seed)
    out = np.zeros(CHANNELS)
    for row in range(1, 20_000):
        chart.update(rng.normal(shift, 1, CHANNELS))
        out[(out == 0) & chart.signal] = row
        if (out > 0).all():
            break
    return out


@pytest.mark.parametrize("name", LENGTHS)
def test_run_lengths_are_the_textbooks(name: str) -> None:
    for i, shift in enumerate((0.0, 0.5, 1.0, 2.0, 3.0)):
        lengths = run_lengths(MAKE[name](CHANNELS), shift, seed=i)
        error = lengths.std() / np.sqrt(CHANNELS)
        assert lengths.mean() == pytest.approx(LENGTHS[name][i], abs=3.5 * error), shift


@pytest.mark.parametrize(
    ("n", "lengths"),
    [
        (5, (370, 43.4, 10.5, 2.9, 51.4)),
        (10, (370, 22.8, 4.7, 1.5, 6.1)),
        (30, (370, 6.4, 1.5, 1.0, 1.0)),
    ],
)
def test_variance_run_lengths_are_the_textbooks(n: int, lengths: tuple[float, ...]) -> None:
    rng = np.random.default_rng(n)
    for factor, expected in zip((1.0, 1.25, 1.5, 2.0, 0.5), lengths, strict=True):
        chart = Variance(np.ones(100_000), n=n)
        for _ in range(n):
            chart.update(rng.normal(0, factor, 100_000))
        chance = chart.signal.mean()
        # Batches are independent, so the run length is geometric.
        error = np.sqrt(chance * (1 - chance) / 100_000)
        assert 1 / (chance + 4 * error) <= expected * 1.03
        assert 1 / max(chance - 4 * error, 1e-9) >= expected * 0.97
        exact = chi2.cdf(chart.low * (n - 1) / factor**2, n - 1)
        exact += chi2.sf(chart.high * (n - 1) / factor**2, n - 1)
        assert 1 / exact == pytest.approx(expected, rel=0.04)


def test_a_frozen_channel_needs_the_lower_limit() -> None:
    chart = Variance([1.0, 1.0], n=5)
    for row in np.random.default_rng(0).normal(0, 1, (5, 2)):
        chart.update(row * [1.0, 0.0])
    assert chart.signal.tolist() == [False, True]


@pytest.mark.parametrize("name", MAKE)
def test_a_missing_value_leaves_its_channel_alone_and_reset_forgets(name: str) -> None:
    chart = MAKE[name](2)
    assert chart.update([np.nan, 9.0]) is None
    assert not chart.signal[0]
    chart.update([0.0, 9.0])
    assert chart.signal.tolist() == [False, True]
    chart.reset()
    assert not chart.signal.any()
    chart.update([0.0, 0.0])
    assert not chart.signal.any()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(BadInput, match="above nought"):
        Shewhart([0.0], [0.0])
    with pytest.raises(BadInput, match="at most 1"):
        Ewma([0.0], 1.0, weight=0)
    with pytest.raises(BadInput, match="2 rows"):
        Variance([1.0], n=1)
