"""The torch twin of the input assembly gives the tensors that the NumPy one gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.contracts import ModelShape
from greenroom.features.model_inputs import ModelInputs, window_inputs

pytestmark = pytest.mark.train
SHAPE = ModelShape(3, 22, 5, history=6, speech=4, noise=2, phonemes=3, context=2)


def _close(batch, inputs: ModelInputs, row: int) -> None:
    for name, tensor in zip(SHAPE.inputs(), batch.tensors, strict=True):
        ours, theirs = tensor[row].numpy(), inputs.tensors[name][0]
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0, err_msg=name)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), ticks=st.integers(1, 9), lost=st.floats(0, 1))
def test_a_roll_out_has_the_inputs_of_a_show(seed: int, ticks: int, lost: float) -> None:
    import torch

    from greenroom.networks.input_batch import Observation, assemble_batch

    random, count, k = np.random.default_rng(seed), 2, SHAPE.history
    windows = random.normal(size=(count, k + ticks, SHAPE.state)).astype(np.float32)
    valid = (random.random((count, ticks, SHAPE.joints)) >= lost).astype(np.float32)
    labels = random.integers(0, 2, (count, k + ticks, 5)).astype(np.float32)
    noise = random.normal(size=(count, SHAPE.noise)).astype(np.float32)
    rows = [ModelInputs(SHAPE) for _ in range(count)]
    for row, inputs in enumerate(rows):
        inputs.set_history(windows[row, :k])
        inputs.set_noise(noise[row])
    captured, gaps = np.ones((count, k, SHAPE.joints), np.float32), np.zeros((count, SHAPE.joints))
    history, before = windows[:, :k], np.ones((count, SHAPE.joints), np.float32)
    for t in range(ticks):
        now = windows[:, k + t]
        gaps = np.where(valid[:, t] > 0, 0, gaps + 1)
        observation = Observation(
            torch.from_numpy(now),
            torch.from_numpy(windows[:, k + t - 1]),
            valid=torch.from_numpy(valid[:, t]),
            previous_valid=torch.from_numpy(before),
            gap_ticks=torch.from_numpy(gaps.astype(np.float32)),
        )
        batch = assemble_batch(
            SHAPE,
            torch.from_numpy(history),
            torch.from_numpy(captured),
            observation,
            noise=torch.from_numpy(noise),
            conditioning=torch.from_numpy(labels[:, : k + t + 1]),
        )
        for row, inputs in enumerate(rows):
            inputs.observe(now[row], windows[row, k + t - 1], valid[row, t], before[row])
            inputs.set_conditioning(labels[row, : k + t + 1])
            _close(batch, inputs, row)
            inputs.advance(now[row])
        history = np.concatenate([history[:, 1:], now[:, None]], 1)
        captured = np.concatenate([captured[:, 1:], valid[:, t : t + 1]], 1)
        before = valid[:, t]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), gap=st.integers(1, 6), missing=st.sets(st.integers(0, 2)))
def test_a_window_with_a_gap_has_the_inputs_of_training(
    seed: int, gap: int, missing: set[int]
) -> None:
    import torch

    from greenroom.networks.input_batch import Observation, assemble_batch

    states = np.random.default_rng(seed).normal(size=(SHAPE.history + 1, SHAPE.state))
    states = states.astype(np.float32)
    mask = np.ones((SHAPE.history + 1, SHAPE.joints), np.float32)
    mask[-gap:, sorted(missing)] = 0
    rows, masks = torch.from_numpy(states)[None], torch.from_numpy(mask)[None]
    now = Observation(
        rows[:, -1],
        rows[:, -2],
        valid=masks[:, -1],
        previous_valid=masks[:, -2],
        gap_ticks=torch.full((1, 1), float(gap)),
    )
    batch = assemble_batch(SHAPE, rows[:, :-1], masks[:, :-1], now)
    _close(batch, window_inputs(SHAPE, states, sorted(missing), gap), 0)


def test_nothing_captured_for_long_is_the_same_in_both() -> None:
    import torch

    from greenroom.networks.input_batch import Observation, assemble_batch

    history = np.random.default_rng(0).normal(size=(SHAPE.history, SHAPE.state)).astype(np.float32)
    inputs = ModelInputs(SHAPE)
    inputs.set_history(history, 0.0)
    inputs.set_gap(400)
    captured = torch.zeros(1, SHAPE.history, SHAPE.joints)
    now = Observation.nothing(SHAPE, 1, 400)
    _close(assemble_batch(SHAPE, torch.from_numpy(history)[None], captured, now), inputs, 0)
    assert inputs.tensors["age"][0].tolist() == pytest.approx([np.log(401) / 6] * 3, rel=1e-6)
