"""Control charts of joint angles: limits against theory, and what autocorrelation does to them."""

import numpy as np
import pytest

from greenroom.errors import BadInput
from greenroom.frames import Doubles
from greenroom.monitoring.charts.angles import (
    SUBGROUP,
    autocorrelation,
    effective_count,
    joint_charts,
)


def autoregressive(
    ticks: int, seed: int, phi: float, sd: float = 5.0, mean: float = 40.0
) -> Doubles:
    """An AR(1) series (T, 1) of a given mean and standard deviation."""
    noise = np.random.default_rng(seed).normal(0, sd * np.sqrt(1 - phi**2), ticks)
    series = np.empty(ticks)
    series[0] = noise[0] / np.sqrt(1 - phi**2)
    for tick in range(1, ticks):
        series[tick] = phi * series[tick - 1] + noise[tick]
    return (mean + series)[:, None]


def test_the_autocorrelation_is_that_of_the_process() -> None:
    takes = [autoregressive(20_000, seed, 0.8)[:, 0] for seed in range(3)]
    rho = autocorrelation(takes, 10)
    assert rho == pytest.approx(0.8 ** np.arange(11), abs=0.03)


def test_the_effective_count_gives_the_variance_of_a_mean() -> None:
    series = autoregressive(300_000, 0, 0.9)[:, 0]
    means = series.reshape(-1, SUBGROUP).mean(axis=1)
    expected = series.var() / effective_count(SUBGROUP, 0.9 ** np.arange(91.0))
    assert means.var() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("phi", "false_alarms"), [(0.0, 0.01), (0.9, 0.4)])
def test_limits_for_independent_ticks_fail_where_ticks_are_not(
    phi: float, false_alarms: float
) -> None:
    reference = [autoregressive(30_000, seed, phi) for seed in range(3)]
    (charts,) = joint_charts(reference, autoregressive(90_000, 9, phi), ["leftHand"])
    independent = charts.mean_chart.independent_share
    assert independent < 0.01 if phi == 0 else independent > false_alarms
    assert charts.mean_chart.corrected_share < 0.01
    assert charts.variance_chart.corrected_share < 0.03


def test_a_shift_and_a_freeze_are_outside_the_corrected_limits() -> None:
    reference = [autoregressive(30_000, seed, 0.9) for seed in range(3)]
    shifted = autoregressive(3_000, 7, 0.9) + 15
    (charts,) = joint_charts(reference, shifted, ["leftHand"])
    assert charts.mean_chart.corrected_share > 0.5
    frozen = np.full((3_000, 1), 40.0)
    (charts,) = joint_charts(reference, frozen, ["leftHand"])
    assert charts.variance_chart.corrected_share == 1.0
    assert len(charts.variance_chart.signals()) == 100


def test_what_is_missing_is_no_point() -> None:
    reference = [autoregressive(3_000, seed, 0.5) for seed in range(3)]
    captured = autoregressive(300, 4, 0.5)
    captured[: SUBGROUP + 20] = np.nan
    (charts,) = joint_charts(reference, captured, ["leftHand"])
    assert np.isnan(charts.mean_chart.values).tolist() == [True, True] + [False] * 8
    (line,) = charts.mean_chart.lines()
    assert len(line.split()) == 8
    captured[150:180] = np.nan  # a second without capture breaks the line
    (charts,) = joint_charts(reference, captured, ["leftHand"])
    assert [len(line.split()) for line in charts.mean_chart.lines()] == [3, 4]


def test_too_little_is_told() -> None:
    reference = [autoregressive(3_000, 0, 0.5)]
    with pytest.raises(BadInput, match="shorter than 60 ticks"):
        joint_charts(reference, reference[0][:40], ["leftHand"])
    with pytest.raises(BadInput, match="captured no leftHand"):
        joint_charts(reference, np.full((90, 1), np.nan), ["leftHand"])
    with pytest.raises(BadInput, match="no joint moves"):
        joint_charts([np.full((90, 1), 3.0)], reference[0], ["leftHand"])
