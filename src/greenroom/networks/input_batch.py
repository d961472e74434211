"""A model's input tensors for a batch of ticks, in torch: the twin of `greenroom.features.model_inputs`.

Shapes: N batch, K history ticks, D state width, J joints, S speech ticks, F speech channels, Z noise,
P phonemes, X context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from greenroom.clock import TICK_HZ
from greenroom.contracts import ModelShape
from greenroom.features.model_inputs import AGE_SCALE


class InputBatch(NamedTuple):
    """Input tensors in the order of `ModelShape.inputs`, which describes each.

    Attributes:
        history: (N, K, D).
        captured: (N, K, J).
        state: (N, D).
        velocity: (N, 6 J).
        valid: (N, J).
        age: (N, J).
        speech: (N, S, F).
        speech_mask: (N, S).
        noise: (N, Z).
        conditioning: phonemes (N, S, P) and context (N, X), those of them that the shape has.
    """

    history: Tensor
    captured: Tensor
    state: Tensor
    velocity: Tensor
    valid: Tensor
    age: Tensor
    speech: Tensor
    speech_mask: Tensor
    noise: Tensor
    conditioning: tuple[Tensor, ...]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> InputBatch:
        """Return the batch of tensors in the order of `ModelShape.inputs`."""
        history, captured, state, velocity, valid, age, *rest = tensors
        speech, speech_mask, noise, *conditioning = rest
        return cls(
            history=history,
            captured=captured,
            state=state,
            velocity=velocity,
            valid=valid,
            age=age,
            speech=speech,
            speech_mask=speech_mask,
            noise=noise,
            conditioning=tuple(conditioning),
        )

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors in the order of `ModelShape.inputs`."""
        return (*self[:9], *self.conditioning)


class Observation(NamedTuple):
    """The capture of one tick, taken from complete recordings.

    Attributes:
        state: complete state of this tick (N, D).
        previous: that of the tick before (N, D).
        valid: 1 for joints captured now, else 0 (N, J).
        previous_valid: the same of the tick before (N, J).
        gap_ticks: ticks since each joint was captured (N, J); of captured ones not used.
    """

    state: Tensor
    previous: Tensor
    valid: Tensor
    previous_valid: Tensor
    gap_ticks: Tensor

    @classmethod
    def nothing(
        cls, shape: ModelShape, count: int, gap_ticks: int, device: torch.device | None = None
    ) -> Observation:
        """Return the observation of bodies of which nothing has been captured for some ticks.

        Args:
            shape: of the model's tensors.
            count: number of bodies, N.
            gap_ticks: ticks without capture.
            device: of the tensors; None for the default one.
        """
        state = torch.zeros(count, shape.state, device=device)
        joints = torch.zeros(count, shape.joints, device=device)
        return cls(state, state, valid=joints, previous_valid=joints, gap_ticks=joints + gap_ticks)


class Drivers(NamedTuple):
    """Inputs of one tick beside capture; None is what a model gets where there is no such input.

    Attributes:
        speech: channels of ticks (N, T, F), S of them at least, this one last; None for silence.
        speech_mask: 1 for ticks whose speech was received, else 0 (N, T); None for all of `speech`.
        conditioning: labels of ticks (N, T, P + X), S of them at least, this one last.
        noise: draw (N, Z); None for the mean.
    """

    speech: Tensor | None = None
    speech_mask: Tensor | None = None
    conditioning: Tensor | None = None
    noise: Tensor | None = None


NO_DRIVERS = Drivers()
"""Silence, no labels, the mean."""


def joint_mask_to_state(mask: Tensor) -> Tensor:
    """Return a mask of joints (…, J) as one of state channels (…, D); the root has the first joint's."""
    return torch.cat([mask.repeat_interleave(6, -1), mask[..., :1].expand(*mask.shape[:-1], 4)], -1)


def assemble_batch(
    shape: ModelShape,
    history: Tensor,
    captured: Tensor,
    now: Observation,
    drivers: Drivers = NO_DRIVERS,
) -> InputBatch:
    """Return the input tensors of a batch of ticks, on the history's device.

    Args:
        shape: of the model's tensors.
        history: performed states (N, K, D), oldest first.
        captured: joints that were captured in them (N, K, J).
        now: capture of this tick.
        drivers: speech, labels and noise.
    """
    count, six = len(history), 6 * shape.joints
    both = (now.valid * now.previous_valid).repeat_interleave(6, -1)
    speech, speech_mask = _speech_inputs(shape, drivers, history)
    noise = drivers.noise
    return InputBatch(
        history=history,
        captured=captured,
        state=now.state * joint_mask_to_state(now.valid),
        velocity=(now.state - now.previous)[:, :six] * TICK_HZ * both,
        valid=now.valid,
        age=torch.log1p(now.gap_ticks * (1 - now.valid)) / AGE_SCALE,
        speech=speech,
        speech_mask=speech_mask,
        noise=history.new_zeros(count, shape.noise) if noise is None else noise,
        conditioning=conditioning_inputs(shape, drivers.conditioning, count, history.device),
    )


def _speech_inputs(shape: ModelShape, drivers: Drivers, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tensors speech (N, S, F) and speech_mask (N, S), on the device of `like`."""
    speech, mask, count = drivers.speech, drivers.speech_mask, len(like)
    if speech is None:
        channels = like.new_zeros(count, shape.speech, shape.speech_channels)
        return channels, like.new_zeros(count, shape.speech)
    if mask is None:
        mask = speech.new_ones(speech.shape[:2])
    return speech[:, -shape.speech :], mask[:, -shape.speech :]


def conditioning_inputs(
    shape: ModelShape,
    conditioning: Tensor | None,
    count: int,
    device: torch.device | None = None,
) -> tuple[Tensor, ...]:
    """Return the tensors phonemes (N, S, P) and context (N, X), those of them that a model has.

    Args:
        shape: of the model's tensors.
        conditioning: labels of ticks (N, T, P + X), S of them at least, this one last; None for none.
        count: N.
        device: of the tensors where there are no labels; None for the default one.
    """
    if conditioning is None:
        width = shape.phonemes + shape.context
        conditioning = torch.zeros(count, shape.speech, width, device=device)
    out = (
        conditioning[:, -shape.speech :, : shape.phonemes],
        conditioning[:, -1, shape.phonemes :],
    )
    return tuple(tensor for tensor in out if tensor.shape[-1])


def zero_inputs(
    shape: ModelShape, batch: int = 1, device: torch.device | None = None
) -> dict[str, Tensor]:
    """Return zeros for every input tensor, by name.

    Args:
        shape: of the model's tensors.
        batch: N.
        device: of the tensors; None for the default one.
    """
    sizes = shape.inputs().items()
    return {name: torch.zeros(batch, *size, device=device) for name, size in sizes}
