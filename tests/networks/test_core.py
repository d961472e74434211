"""The closed form begins where the floors are: its graph says what they say, whatever is missing."""

from importlib.util import find_spec

import numpy as np
import pytest

from greenroom.contracts import ModelShape
from greenroom.metrics.baselines import Gaussian, Ridge

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(find_spec("torch") is None, reason="needs the train extra"),
]
JOINTS = ("hips", "spine", "leftUpperArm", "leftLowerArm", "rightUpperLeg", "rightLowerLeg")
SHAPE = ModelShape(len(JOINTS), 6 * len(JOINTS) + 4, 43)
LIMBS = np.asarray([[3, 4], [5, 6]]) - 1


def _takes(count: int = 12, ticks: int = 200) -> list[np.ndarray]:
    """Return made-up takes (T, D): a few slow ways mixed, so that one joint tells of others."""
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(5, SHAPE.state))
    out = []
    for _ in range(count):
        steps = rng.normal(size=(ticks + 20, 5))
        slow = np.stack([np.convolve(column, np.hanning(21), "valid") for column in steps.T], 1)
        noise = rng.normal(scale=0.05, size=(len(slow), SHAPE.state))
        out.append((slow @ mixing * 0.1 + noise).astype(np.float32))
    return out


@pytest.fixture(scope="module")
def fitted():
    from greenroom.networks.core import Core
    from greenroom.training.closed_form import fit_core

    takes = _takes()
    core = Core(SHAPE)
    figures = fit_core(core, SHAPE, JOINTS, takes)
    scaled = [(take - core.mean.numpy()) / core.std.numpy() for take in takes]
    masks = np.zeros((2, SHAPE.state), dtype=bool)
    for mask, limb in zip(masks, LIMBS, strict=True):
        mask[np.concatenate([np.arange(6 * j, 6 * j + 6) for j in limb])] = True
    gaussian = Gaussian(scaled, masks, paced=True)
    assert figures["raised"] == gaussian.raised
    return core, scaled, gaussian


def _wide(joints):
    return np.concatenate([np.repeat(joints, 6, -1), np.repeat(joints[..., :1], 4, -1)], -1)


def _tensors(*arrays):
    import torch

    return [torch.tensor(values, dtype=torch.float32) for values in arrays]


def _asked(scaled, lost, age, random):
    """Return windows (N, K + 1, D), their last tick without joints lost for `age` ticks; and inputs."""
    k, n = SHAPE.history, len(lost)
    starts = random.integers(0, len(scaled[0]) - k - 1, n)
    windows = np.stack([scaled[0][at : at + k + 1] for at in starts])
    known = np.ones((n, k, SHAPE.joints))
    known[:, k - age + 1 :] = 1 - lost[:, None]
    wide = _wide(lost)
    return windows, wide, _tensors(windows[:, :k], known, windows[:, k] * (1 - wide), 1 - wide)


def _said(core, history, known, state, trust):
    return core(history, core.last_seen(history, known, trust), state, trust).numpy()


@pytest.mark.parametrize("hips", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("age", [1, 4, 9, SHAPE.history])
def test_a_gap_is_filled_as_the_gaussian_fills_it(
    fitted, age: int, share: float, hips: bool
) -> None:
    core, scaled, gaussian = fitted
    random = np.random.default_rng(age)
    lost = (random.random((40, SHAPE.joints)) < share).astype(float)
    lost[:, 0] = hips
    lost = lost[lost.any(1) & (_wide(lost).mean(1) < 0.75)]
    windows, wide, inputs = _asked(scaled, lost, age, random)
    k = SHAPE.history
    far = 0.0
    for window, gone, said in zip(windows, wide.astype(bool), _said(core, *inputs), strict=True):
        last = k - age
        before = window[max(0, last - 1)]
        theirs = gaussian.fill(before, window[last], window[last + 1 :], gone)[-1]
        moved = np.abs(theirs - window[last]).max()
        assert np.abs(said - theirs).max() < 0.1 * moved + 0.02
        assert np.array_equal(said[~gone], window[k].astype(np.float32)[~gone])
        far = max(far, float(np.abs(theirs - window[last])[gone].max()))
    assert far > (0.01 if age == 1 else 0.3)  # there was something to say


def test_a_gap_begins_without_a_jump_and_a_long_one_stays_where_it_was(fitted) -> None:
    """What is lost for three times the history is held or better; nothing runs to its bounds."""
    core, scaled, _ = fitted
    k, ticks, arm = SHAPE.history, 3 * SHAPE.history, [2, 3]
    n = len(scaled)
    truth = np.stack([take[: k + ticks] for take in scaled])
    see = np.ones((n, SHAPE.joints))
    see[:, arm] = 0
    trust = _wide(see)
    gone = trust[0] == 0
    history, known = truth[:, :k].copy(), np.ones((n, k, SHAPE.joints))
    ours, held = [], []
    for t in range(ticks):
        now = truth[:, k + t]
        said = _said(core, *_tensors(history, known, now * trust, trust))
        ours.append(np.abs(said - now)[:, gone].mean())
        held.append(np.abs(truth[:, k - 1] - now)[:, gone].mean())
        history = np.concatenate([history[:, 1:], said[:, None]], 1)
        known = np.concatenate([known[:, 1:], see[:, None]], 1)
    steps = np.abs(np.diff(truth, axis=1)).mean()
    assert ours[0] < 1.5 * steps
    assert np.mean(ours[:15]) < 0.7 * np.mean(held[:15])
    assert np.mean(ours[k:]) < 1.1 * np.mean(held[k:])
    low, high = core.low.numpy(), core.high.numpy()
    assert not ((said <= low + 1e-3) | (said >= high - 1e-3))[:, gone].any()


def test_joints_lost_at_different_times_have_each_their_own_last_moment(fitted) -> None:
    core, scaled, _ = fitted
    lost = np.zeros((16, SHAPE.joints))
    lost[:, [2, 4]] = 1
    windows, wide, inputs = _asked(scaled, lost, 9, np.random.default_rng(5))
    history, known, state, trust = inputs
    known[:, :, 4] = 1  # this one has only now gone
    seen = core.last_seen(history, known, trust)
    k = SHAPE.history
    assert np.allclose(seen.state[:, 12:18], windows[:, k - 9, 12:18], atol=1e-6)
    assert np.allclose(seen.state[:, 24:30], windows[:, k - 1, 24:30], atol=1e-6)
    assert np.allclose(seen.state[:, :6], windows[:, k - 9, :6], atol=1e-6)
    assert float(seen.pace[0, 24]) == pytest.approx(float(core.pace[-1]))
    assert float(seen.pace[0, 12]) == pytest.approx(float(core.pace[-9]))
    off = np.abs(_said(core, history, known, state, trust) - windows[:, k])
    stood = np.abs(windows[:, k - 1] - windows[:, k])[:, 24:30].mean()
    moved = np.abs(windows[:, k - 9] - windows[:, k])[:, 24:30].mean()
    assert off[:, 24:30].mean() < 1.2 * stood < 0.3 * moved


def test_with_nothing_captured_the_forecast_alone_counts(fitted) -> None:
    core, scaled, _ = fitted
    lost = np.ones((8, SHAPE.joints))
    _, _, inputs = _asked(scaled, lost, 1, np.random.default_rng(0))
    assert np.array_equal(_said(core, *inputs), core.ahead(inputs[0]).numpy())


def test_the_forecast_is_the_floors(fitted) -> None:
    core, _, _ = fitted
    takes = _takes()
    ridge = Ridge(takes, (1,), SHAPE.state)
    past = takes[3][: SHAPE.history]
    (scaled,) = _tensors(((past - ridge.mean) / ridge.std)[None])
    ours = core.ahead(scaled)[0].numpy() * ridge.std + ridge.mean
    assert np.allclose(ours, ridge.at(past, 1), atol=1e-4)


def test_nothing_missing_changes_nothing(fitted) -> None:
    import torch

    core, scaled, _ = fitted
    _, _, (history, known, state, trust) = _asked(
        scaled, np.zeros((4, SHAPE.joints)), 3, np.random.default_rng(1)
    )
    assert torch.equal(core(history, core.last_seen(history, known, trust), state, trust), state)


def test_what_is_trusted_in_part_is_drawn_to_and_still_tells_of_its_neighbours(fitted) -> None:
    core, scaled, _ = fitted
    lost = np.zeros((32, SHAPE.joints))
    lost[:, 3] = 1
    windows, wide, (history, known, _, trust) = _asked(scaled, lost, 9, np.random.default_rng(1))
    (state,) = _tensors(windows[:, -1] * (1 - wide))
    gone = wide[0] == 1
    last = windows[:, SHAPE.history - 9]
    hold = np.abs(last - windows[:, -1])
    alone, beside = {}, {}
    for share in (1.0, 0.999, 0.9, 0.4):
        off = np.abs(_said(core, history, known, state, trust * share) - windows[:, -1])
        alone[share], beside[share] = off[:, gone].mean(), off[:, ~gone].mean()
    assert beside[1.0] < 1e-6
    assert beside[0.999] < 0.01 * hold[:, ~gone].mean()
    assert beside[0.9] < 0.1 * hold[:, ~gone].mean()
    assert beside[0.4] < 0.3 * hold[:, ~gone].mean()
    assert alone[1.0] < alone[0.9] < alone[0.4] < 0.6 * hold[:, gone].mean()
