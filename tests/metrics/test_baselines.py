"""Floors on made-up motion of which the best answer is known."""

import numpy as np
import pytest

from greenroom.frames import Doubles
from greenroom.metrics.baselines import Gaussian, Retrieval, Ridge

WIDTH = 12


def waves(seed: int, takes: int = 12, ticks: int = 120) -> list[Doubles]:
    """Two joints that swing with one phase: the second is told by the first."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(takes):
        phase = rng.uniform(0, 6) + np.arange(ticks) * 0.3
        first = np.stack([np.sin(phase + k) for k in range(6)], axis=1)
        second = 0.5 * np.stack([np.cos(phase - k) for k in range(6)], axis=1)
        root = np.zeros((ticks, 4))
        out.append(np.concatenate([first, second, root], axis=1) + rng.normal(0, 1e-3, (ticks, 16)))
    return out


@pytest.mark.parametrize("ahead", [1, 6, 15])
def test_ridge_and_retrieval_forecast_a_wave(ahead: int) -> None:
    train, test = waves(0), waves(1, takes=1)[0]
    ridge = Ridge(train, (1, 6, 15), WIDTH)
    retrieval = Retrieval(train, (1, 6, 15), WIDTH)
    past, truth = test[:40], test[39 + ahead, :WIDTH]
    hold = np.abs(past[-1, :WIDTH] - truth).mean()
    assert np.abs(ridge.at(past, ahead) - truth).mean() < 0.1 * hold
    assert np.abs(retrieval.at(past, ahead) - truth).mean() < 0.5 * hold


def test_the_gaussian_fills_a_lost_joint_from_the_other() -> None:
    lost = np.zeros(WIDTH, dtype=bool)
    lost[6:] = True
    filled = Gaussian(waves(0), lost[None])
    test = waves(1, takes=1)[0]
    said = filled.fill(test[39], test[40], test[41:56], lost)
    truth = test[41:56, :WIDTH]
    np.testing.assert_array_equal(said[:, :6], truth[:, :6])
    hold = np.abs(test[40, 6:WIDTH] - truth[:, 6:]).mean()
    assert np.abs(said[:, 6:] - truth[:, 6:]).mean() < 0.2 * hold


def test_where_nothing_can_be_told_the_gaussian_holds() -> None:
    rng = np.random.default_rng(0)
    walks = [np.cumsum(rng.normal(0, 0.1, (60, 16)), axis=0) for _ in range(10)]
    lost = np.zeros(WIDTH, dtype=bool)
    lost[6:] = True
    filled, test = Gaussian(walks, lost[None]), walks[0]
    said = filled.fill(test[19], test[20], test[21:36], lost)
    assert np.abs(said[:, 6:] - test[20, 6:WIDTH]).mean() < 0.5 * np.abs(test[21:36, 6:12]).std()


def test_what_stands_where_it_is_lost_is_not_looked_at() -> None:
    lost = np.zeros(WIDTH, dtype=bool)
    lost[6:] = True
    filled, test = Gaussian(waves(0), lost[None]), waves(1, takes=1)[0]
    said = filled.fill(test[39], test[40], test[41:56], lost)
    hidden = test[41:56].copy()
    hidden[:, 6:WIDTH] = 99
    np.testing.assert_allclose(filled.fill(test[39], test[40], hidden, lost), said)


def test_a_single_take_is_enough_to_fit_on() -> None:
    lost = np.zeros(WIDTH, dtype=bool)
    lost[6:] = True
    take = waves(0, takes=1)
    filled = Gaussian(take, lost[None]).fill(take[0][9], take[0][10], take[0][11:15], lost)
    assert np.isfinite(filled).all()
    assert np.isfinite(Ridge(take, (6,), WIDTH).at(take[0][:40], 6)).all()
