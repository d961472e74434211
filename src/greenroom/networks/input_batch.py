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
    def nothing(cls, shape: ModelShape, count: int, gap_ticks: int) -> Observation:
        """Return the observation of `count` bodies of which nothing has been captured for some ticks."""
        state, joints = torch.zeros(count, shape.state), torch.zeros(count, shape.joints)
        return cls(state, state, valid=joints, previous_valid=joints, gap_ticks=joints + gap_ticks)


def joint_mask_to_state(mask: Tensor) -> Tensor:
    """Return a mask of joints (…, J) as one of state channels (…, D); the root has the first joint's."""
    return torch.cat([mask.repeat_interleave(6, -1), mask[..., :1].expand(*mask.shape[:-1], 4)], -1)


def assemble_batch(
    shape: ModelShape,
    history: Tensor,
    captured: Tensor,
    now: Observation,
    noise: Tensor | None = None,
    conditioning: Tensor | None = None,
) -> InputBatch:
    """Return the input tensors of a batch of ticks without speech.

    Args:
        shape: of the model's tensors.
        history: performed states (N, K, D), oldest first.
        captured: joints that were captured in them (N, K, J).
        now: capture of this tick.
        noise: draw (N, Z); None for the mean way.
        conditioning: labels of ticks (N, T, P + X), this one last; None for none.
    """
    count, six = len(history), 6 * shape.joints
    both = (now.valid * now.previous_valid).repeat_interleave(6, -1)
    return InputBatch(
        history=history,
        captured=captured,
        state=now.state * joint_mask_to_state(now.valid),
        velocity=(now.state - now.previous)[:, :six] * TICK_HZ * both,
        valid=now.valid,
        age=torch.log1p(now.gap_ticks * (1 - now.valid)) / AGE_SCALE,
        speech=history.new_zeros(count, shape.speech, shape.speech_channels),
        speech_mask=history.new_zeros(count, shape.speech),
        noise=history.new_zeros(count, shape.noise) if noise is None else noise,
        conditioning=conditioning_inputs(shape, conditioning, count),
    )


def conditioning_inputs(
    shape: ModelShape, conditioning: Tensor | None, count: int
) -> tuple[Tensor, ...]:
    """Return the tensors phonemes (N, S, P) and context (N, X), those of them that a model has.

    Args:
        shape: of the model's tensors.
        conditioning: labels of ticks (N, T, P + X), S of them at least, this one last; None for none.
        count: N.
    """
    if conditioning is None:
        conditioning = torch.zeros(count, shape.speech, shape.phonemes + shape.context)
    out = (
        conditioning[:, -shape.speech :, : shape.phonemes],
        conditioning[:, -1, shape.phonemes :],
    )
    return tuple(tensor for tensor in out if tensor.shape[-1])


def zero_inputs(shape: ModelShape, batch: int = 1) -> dict[str, Tensor]:
    """Return zeros for every input tensor, by name."""
    return {name: torch.zeros(batch, *size) for name, size in shape.inputs().items()}
