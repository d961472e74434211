"""Intervals under peeking: how often they miss, how wide they are, what they refuse."""

from collections.abc import Callable
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.errors import BadInput
from greenroom.metrics.sequences import BETTER, OPEN, WORSE, log_capital, relative_gain, sequence

Draw = Callable[[np.random.Generator, int], np.ndarray]


def sessions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Takes whose frames hang together, each take's gain a mean over a few hundred of them."""
    shocks = rng.exponential(1, (count, 120)) - 1
    level = np.zeros(count)
    total = np.zeros(count)
    for shock in shocks.T:
        level = 0.95 * level + shock
        total += level
    return np.tanh(total / 120)


DRAWS: dict[str, tuple[Draw, float | None]] = {
    "bell": (lambda rng, n: np.clip(rng.normal(0, 0.2, n), -1, 1), 0.0),
    "skewed": (lambda rng, n: 2 * rng.beta(0.3, 3, n) - 1, 2 * 0.3 / 3.3 - 1),
    "disaster": (lambda rng, n: rng.choice([-1.0, 0.1], n, p=[1 / 11, 10 / 11]), 0.0),
    "coin": (lambda rng, n: rng.choice([-1.0, 1.0], n), 0.0),
    "frames that hang together": (sessions, None),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_true_mean_stays_inside_however_often_one_looks(name: str) -> None:
    draw, mean = DRAWS[name]
    rng = np.random.default_rng(7)
    if mean is None:
        mean = float(draw(rng, 200_000).mean())
    limit = np.log(20)
    missed = sum(
        any(capital[0] >= limit for capital in log_capital(draw(rng, 150), np.asarray([mean])))
        for _ in range(250)
    )
    assert missed / 250 <= 0.05, f"{missed} of 250 missed"


def test_a_test_at_every_look_misses_far_more_often() -> None:
    """What the interval is for: the usual one, looked at after every take."""
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.2, (250, 150))
    n = np.arange(1, 151)
    mean = np.cumsum(x, axis=1) / n
    away = np.abs(mean)[:, 9:] > 1.96 * 0.2 / np.sqrt(n[9:])
    assert away.any(axis=1).mean() > 0.2


def test_it_is_wider_than_an_interval_of_one_look_by_a_little_more_than_it_must() -> None:
    rng = np.random.default_rng(2)
    for spread, most in ((0.1, 3.0), (0.3, 1.8)):
        x = np.clip(rng.normal(0.02, spread, 100), -1, 1)
        found = sequence(x)
        ratio = (found.high[-1] - found.low[-1]) / (2 * 1.96 * x.std(ddof=1) / 10)
        assert 1 < ratio < most, spread


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_it_narrows_holds_the_mean_and_turns_with_its_sign(gains: list[float]) -> None:
    found, turned = sequence(gains), sequence([-g for g in gains])
    assert (np.diff(found.low) >= 0).all() and (np.diff(found.high) <= 0).all()
    assert -1 <= found.low[-1] <= found.high[-1] <= 1
    np.testing.assert_allclose(turned.low, -found.high, atol=2.1e-3)  # a step of the grid
    first = sequence(gains[: len(gains) // 2 + 1])  # what comes later changes nothing before
    np.testing.assert_array_equal(found.low[: len(first.low)], first.low)
    opposite = {BETTER: WORSE, WORSE: BETTER, OPEN: OPEN}
    assert turned.verdict == opposite[found.verdict] and turned.decided_after == found.decided_after


def test_the_verdict_stands_from_the_take_at_which_it_was_told() -> None:
    assert sequence([0.0] * 50).verdict == OPEN
    for level in (0.95, 0.999):
        # Of gains that are all 1 the capital on nought is known: 2^n times that prior's C(2n, n) / 4^n.
        known = next(n for n in range(1, 99) if comb(2 * n, n) / 2**n >= 1 / (1 - level))
        one = sequence([1.0] * 20, level)
        assert (
            one.verdict == BETTER
            and one.decided_after == known == sequence([-1.0] * 20, level).decided_after
        )
        assert one.low[known - 2] <= 0 < one.low[known - 1]
    assert sequence([]).verdict == OPEN


def test_a_gain_has_the_sign_of_the_gate_s_and_no_unit() -> None:
    ours, theirs = np.asarray([1.0, 4.0, 0.0]), np.asarray([2.0, 2.0, 5.0])
    gain = relative_gain(ours, theirs)
    assert np.sign(gain).tolist() == np.sign(theirs - ours).tolist() and gain[2] == 1
    np.testing.assert_allclose(relative_gain(1000 * ours, 1000 * theirs), gain)


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ([1.0], [1.0, 2.0], "make no pairs"),
        ([-1.0], [1.0], "at least 0"),
        ([np.nan], [1.0], "at least 0"),
    ],
)
def test_what_is_no_pair_of_errors_is_refused(
    ours: list[float], theirs: list[float], why: str
) -> None:
    with pytest.raises(BadInput, match=why):
        relative_gain(ours, theirs)


@pytest.mark.parametrize(("gains", "level"), [([1.1], 0.95), ([np.nan], 0.95), ([0.0], 1.0)])
def test_what_is_outside_is_refused(gains: list[float], level: float) -> None:
    with pytest.raises(BadInput, match="in -1 to 1|a level"):
        sequence(gains, level)
