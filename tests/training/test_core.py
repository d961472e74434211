"""The closed form begins where the floors are: its graph says what they say, whatever is missing."""

from importlib.util import find_spec

import numpy as np
import pytest

from greenroom.contracts import ModelShape
from greenroom.metrics.floors import Gaussian, Ridge

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
    from greenroom.training.closed_form import fit_core
    from greenroom.training.core import Core

    takes = _takes()
    core = Core(SHAPE)
    figures = fit_core(core, SHAPE, JOINTS, takes)
    scaled = [(take - core.mean.numpy()) / core.std.numpy() for take in takes]
    masks = np.zeros((2, SHAPE.state), dtype=bool)
    for mask, limb in zip(masks, LIMBS, strict=True):
        mask[np.concatenate([np.arange(6 * j, 6 * j + 6) for j in limb])] = True
    gaussian = Gaussian(scaled, masks)
    assert figures["raised"] == gaussian.raised
    return core, scaled, gaussian


def _asked(scaled, lost, age, random):
    """Return history, known, state and trust of moments; joints have been lost for `age` ticks."""
    import torch

    k, n = SHAPE.history, len(lost)
    take = scaled[0]
    starts = random.integers(0, len(take) - k - 1, n)
    windows = np.stack([take[at : at + k + 1] for at in starts])
    known = np.ones((n, k, SHAPE.joints))
    known[:, k - age + 1 :] = 1 - lost[:, None]
    wide = np.concatenate([np.repeat(lost, 6, 1), np.repeat(lost[:, :1], 4, 1)], 1)
    tensors = (windows[:, :k], known, windows[:, k] * (1 - wide), 1 - wide)
    return windows, wide, [torch.tensor(values, dtype=torch.float32) for values in tensors]


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("age", [1, 4, 9])
def test_a_gap_is_filled_as_the_floor_fills_it(fitted, share: float, age: int) -> None:
    core, scaled, gaussian = fitted
    random = np.random.default_rng(age)
    lost = (random.random((40, SHAPE.joints)) < share).astype(float)
    lost[:, 0] = 0
    lost = lost[lost.any(1)]
    windows, wide, (history, known, state, trust) = _asked(scaled, lost, age, random)
    seen, step = core.last_seen(history, known, trust)
    ours = core(history, seen, step, state, trust).numpy()
    k = SHAPE.history
    far = 0.0
    for window, gone, said in zip(windows, wide.astype(bool), ours, strict=True):
        last = k - age
        theirs = gaussian.fill(window[last - 1], window[last], window[k:], gone)[0]
        assert np.abs(said - theirs).max() < 0.1 * np.abs(theirs - window[last]).max() + 0.02
        assert np.array_equal(said[~gone], window[k].astype(np.float32)[~gone])
        far = max(far, float(np.abs(theirs - window[last])[gone].max()))
    assert far > 0.5  # there was something to say


def test_with_nothing_captured_the_forecast_alone_counts(fitted) -> None:
    import torch

    core, scaled, _ = fitted
    lost = np.ones((8, SHAPE.joints))
    _, _, (history, known, state, trust) = _asked(scaled, lost, 1, np.random.default_rng(0))
    seen, step = core.last_seen(history, known, trust)
    assert torch.equal(core(history, seen, step, state, trust), core.ahead(history))


def test_the_forecast_is_the_floors(fitted) -> None:
    import torch

    core, _, _ = fitted
    takes = _takes()
    ridge = Ridge(takes, (1,), SHAPE.state)
    past = takes[3][: SHAPE.history]
    scaled = torch.tensor((past - ridge.mean) / ridge.std, dtype=torch.float32)
    ours = core.ahead(scaled[None])[0].numpy() * ridge.std + ridge.mean
    assert np.allclose(ours, ridge.at(past, 1), atol=1e-4)


def test_nothing_missing_changes_nothing_and_a_little_trust_counts_a_little(fitted) -> None:
    import torch

    core, scaled, _ = fitted
    lost = np.zeros((4, SHAPE.joints))
    lost[:, 3] = 1
    _, _, (history, known, state, trust) = _asked(scaled, lost, 3, np.random.default_rng(1))
    seen, step = core.last_seen(history, known, trust)
    whole = torch.ones_like(trust)
    assert torch.equal(core(history, seen, step, state, whole), state)
    said = [
        core(history, seen, step, state, torch.clamp(trust, min=low))[:, 18:24]
        for low in (0.0, 0.01, 1.0)
    ]
    assert torch.isfinite(said[1]).all()
    assert (said[1] - said[0]).abs().mean() < 0.2 * (said[2] - said[0]).abs().mean()
