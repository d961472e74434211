"""R², correlation and calibration against their definitions, and against scikit-learn's words."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.errors import BadInput
from greenroom.metrics.calibration import Reliability, expected_calibration_error
from greenroom.metrics.motion import aggregate
from greenroom.metrics.regression import active_channels, pearson, pearson_tally, r2, r2_tally

RNG = np.random.default_rng(0)


def pair(seed: int, ticks: int = 60, channels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 1, (ticks, channels)) * np.linspace(0.2, 1, channels)
    return truth, truth + rng.normal(0, 0.2, truth.shape)


@given(seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_r2_is_each_channels_own_weighted_by_variance(seed: int) -> None:
    truth, said = pair(seed)
    own = 1 - ((truth - said) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)
    weights = truth.var(0)
    assert r2(truth, said) == pytest.approx(float((own * weights).sum() / weights.sum()))
    each = [float(np.corrcoef(truth[:, c], said[:, c])[0, 1]) for c in range(truth.shape[1])]
    assert pearson(truth, said) == pytest.approx(each)
    assert pearson(truth, 3 * said + 1) == pytest.approx(each)
    assert pearson(truth, -said) == pytest.approx([-r for r in each])


@pytest.mark.train
def test_r2_is_scikit_learns() -> None:
    from sklearn.metrics import r2_score

    truth, said = pair(3)
    theirs = r2_score(truth, said, multioutput="variance_weighted")
    assert r2(truth, said) == pytest.approx(theirs)


def test_takes_pool_by_their_sums_around_the_training_mean() -> None:
    (a, said_a), (b, said_b) = pair(0), pair(1, ticks=90)
    mean = np.full(5, 0.4)
    parts = [
        r2_tally(a, {"model": said_a}, mean),
        r2_tally(b, {"model": said_b}, mean),
    ]
    whole = r2_tally(np.concatenate([a, b]), {"model": np.concatenate([said_a, said_b])}, mean)
    assert aggregate(parts, "model") == pytest.approx(aggregate([whole], "model"))


def test_what_does_not_move_or_is_missing_counts_nothing() -> None:
    truth, said = pair(0)
    quiet = truth.copy()
    quiet[:, 0] = 0.5
    assert active_channels(quiet).tolist() == [False, True, True, True, True]
    wild = said.copy()
    wild[:, 0] = 99
    assert r2(quiet, wild) == pytest.approx(r2(quiet[:, 1:], wild[:, 1:]))
    assert np.isnan(pearson(quiet, wild)[0])
    assert pearson_tally(quiet, {"model": wild}).weight == 4
    assert pearson(truth, 0 * said + 0.3) == pytest.approx([0] * 5)
    gone = truth.copy()
    gone[10:20, 1] = np.nan
    assert r2(gone, said) < 1 and np.isfinite(pearson(gone, said)).all()
    assert r2(gone, np.where(np.isnan(gone), 99, gone)) == 1
    assert math.isnan(r2(0 * truth, said))
    with pytest.raises(BadInput, match="alike"):
        r2(truth, said[1:])


def test_a_confidence_that_is_right_so_often_has_no_error() -> None:
    p = RNG.uniform(size=200_000)
    hit = RNG.uniform(size=len(p)) < p
    assert expected_calibration_error(p, hit) < 0.01
    assert expected_calibration_error(p, RNG.uniform(size=len(p)) < p**2) == pytest.approx(
        1 / 6, abs=0.01
    )  # ∫ p - p²
    assert expected_calibration_error(np.ones(10), np.zeros(10)) == 1
    assert math.isnan(expected_calibration_error(np.zeros(0), np.zeros(0)))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=50), st.integers(1, 49)
)
def test_parts_add_up_to_the_whole(rows: list[tuple[float, bool]], cut: int) -> None:
    p, hit = np.asarray([r[0] for r in rows]), np.asarray([r[1] for r in rows])
    parts = Reliability.of(p[:cut], hit[:cut]) + Reliability.of(p[cut:], hit[cut:])
    whole = Reliability.of(p, hit)
    assert parts.error == pytest.approx(whole.error) and 0 <= whole.error <= 1
    assert whole.counts.sum() == len(rows)


@pytest.mark.parametrize("bad", [[1.2], [-0.1], [math.nan], [0.5, 0.5]])
def test_what_is_no_confidence_is_refused(bad: list[float]) -> None:
    with pytest.raises(BadInput):
        expected_calibration_error(np.asarray(bad), np.asarray([1]))
