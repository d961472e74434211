"""The torch twin of the input assembly gives the tensors that the NumPy one gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.contracts import ModelShape
from greenroom.features.model_inputs import ModelInputs, window_inputs
from greenroom.features.speech import extract_speech
from greenroom.frames import SAMPLE_RATE, SAMPLES_PER_TICK

pytestmark = pytest.mark.train
SHAPE = ModelShape(3, 22, 5, history=6, speech=4, noise=2, phonemes=3, context=2)


def _close(batch, inputs: ModelInputs, row: int, shape: ModelShape = SHAPE) -> None:
    for name, tensor in zip(shape.inputs(), batch.tensors, strict=True):
        ours, theirs = tensor[row].numpy(), inputs.tensors[name][0]
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0, err_msg=name)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), ticks=st.integers(1, 9), lost=st.floats(0, 1))
def test_a_roll_out_has_the_inputs_of_a_show(seed: int, ticks: int, lost: float) -> None:
    import torch

    from greenroom.networks.input_batch import Drivers, Observation, assemble_batch

    random, count, k = np.random.default_rng(seed), 2, SHAPE.history
    windows = random.normal(size=(count, k + ticks, SHAPE.state)).astype(np.float32)
    valid = (random.random((count, ticks, SHAPE.joints)) >= lost).astype(np.float32)
    labels = random.integers(0, 2, (count, k + ticks, 5)).astype(np.float32)
    noise = random.normal(size=(count, SHAPE.noise)).astype(np.float32)
    speech = random.normal(size=(count, k + ticks, SHAPE.speech_channels)).astype(np.float32)
    received = (random.random((count, k + ticks)) >= lost).astype(np.float32)
    rows = [ModelInputs(SHAPE) for _ in range(count)]
    for row, inputs in enumerate(rows):
        inputs.set_history(windows[row, :k])
        inputs.set_noise(noise[row])
        for t in range(k):
            inputs.push_speech(speech[row, t], received[row, t])
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
            Drivers(
                speech=torch.from_numpy(speech[:, : k + t + 1]),
                speech_mask=torch.from_numpy(received[:, : k + t + 1]),
                conditioning=torch.from_numpy(labels[:, : k + t + 1]),
                noise=torch.from_numpy(noise),
            ),
        )
        for row, inputs in enumerate(rows):
            inputs.observe(now[row], windows[row, k + t - 1], valid[row, t], before[row])
            inputs.push_speech(speech[row, k + t], received[row, k + t])
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


def voice(seed: int, ticks: int) -> np.ndarray:
    """Return the speech channels of a voice-like sound: gliding harmonics with pauses."""
    random = np.random.default_rng(seed)
    time_s = np.arange(ticks * SAMPLES_PER_TICK) / SAMPLE_RATE
    pitch = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * time_s)) / SAMPLE_RATE
    loudness = np.clip(np.sin(2 * np.pi * 1.3 * time_s + random.uniform(0, 6)), 0, 1)
    sound = loudness * sum(np.sin(n * pitch) / n for n in range(1, 9))
    sound += 0.003 * random.standard_normal(len(sound))
    return extract_speech((0.2 * sound).astype(np.float32))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), lost=st.floats(0, 1))
def test_a_voice_gives_the_inputs_of_a_show(seed: int, lost: float) -> None:
    import torch

    from greenroom.networks.input_batch import Drivers, Observation, assemble_batch

    rows = voice(seed, 12)
    shape = ModelShape(3, 22, rows.shape[1], history=6, speech=8, noise=2)
    received = (np.random.default_rng(seed).random(len(rows)) >= lost).astype(np.float32)
    inputs = ModelInputs(shape)
    history, captured = torch.zeros(1, 6, 22), torch.zeros(1, 6, 3)
    inputs.set_history(history[0].numpy(), 0.0)
    for tick in range(len(rows)):
        inputs.push_speech(rows[tick], received[tick])
        if tick + 1 < shape.speech:
            continue
        drivers = Drivers(
            speech=torch.from_numpy(rows[None, : tick + 1]),
            speech_mask=torch.from_numpy(received[None, : tick + 1]),
        )
        inputs.set_gap(tick)
        now = Observation.nothing(shape, 1, tick)
        _close(assemble_batch(shape, history, captured, now, drivers), inputs, 0, shape)
    assert np.abs(inputs.tensors["speech"]).max() > 0.1


@pytest.mark.parametrize("speaking", [True, False])
def test_every_input_is_on_the_history_s_device(speaking: bool) -> None:
    """The meta device stands for any other than the default one: mixing the two raises."""
    import torch

    from greenroom.networks.input_batch import Drivers, Observation, assemble_batch, zero_inputs

    device = torch.device("meta")
    history = torch.zeros(2, SHAPE.history, SHAPE.state, device=device)
    captured = torch.zeros(2, SHAPE.history, SHAPE.joints, device=device)
    speech = torch.zeros(2, 9, SHAPE.speech_channels, device=device) if speaking else None
    now = Observation.nothing(SHAPE, 2, 3, device)
    batch = assemble_batch(SHAPE, history, captured, now, Drivers(speech=speech))
    sizes = SHAPE.inputs()
    for (name, size), tensor in zip(sizes.items(), batch.tensors, strict=True):
        assert tensor.device == device and tensor.shape == (2, *size), name
    zeros = zero_inputs(SHAPE, device=device)
    assert {tensor.device for tensor in zeros.values()} == {device}
