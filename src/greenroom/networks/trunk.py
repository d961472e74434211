"""The whole-body network: plain residual layers over all joints' last second.

It adds to the closed form what is missing and what comes next. `docs/log/experiments.md` has what
attention over joints did in the same time.

Shapes: N batch, K history ticks, D state width, J joints, Z noise, H horizons, W width. All inputs are
normalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from greenroom.contracts import RIDGE_HORIZON, ModelShape
from greenroom.features.pose import mirror_of
from greenroom.networks.core import share_captured, some

_DROPPED, _FULL = 0.1, 640
"""Share of hidden numbers and inputs that is dropped in training; of fewer than 640 numbers, less."""
LAGS = (0, 1, 2, 3, 5, 8, 12, 18, 28)
"""Ticks ago whose differences the trunk reads; differences of neighbours are easier than poses."""
_NEAR = 12
"""Further back only captured ticks count: no roll-out is long enough to train on its own guesses."""
_STEP, LATELY = 4, 17
"""Ticks of the steps whose rms is a body's amplitude, and ticks over which it is measured."""
_LEAST, _MOST = 0.1, 2.0
"""Bounds of the amplitude, relative to the reference; a body at rest may start at any tick."""
SIZES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Amplitudes, each twice the one before; each has a forecast gain of its own."""


class ResidualBlock(nn.Module):
    """x + two layers of its normalisation."""

    def __init__(self, width: int, drop: float) -> None:
        """Make the layers."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, width)
        self.drop = nn.Dropout(drop)
        self.narrow = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, W)."""
        out: Tensor = x + self.narrow(self.drop(nn.functional.gelu(self.wide(self.norm(x)))))
        return out


class TrunkInputs(NamedTuple):
    """What the whole-body network reads.

    Attributes:
        base: this tick where captured, else the last observation of the joint (N, D).
        core: this tick as the closed form completes it (N, D).
        rows: the history (N, K, D).
        captured: joints that were captured in it (N, K, J).
        valid: joints that are captured now (N, J).
        age: ln(1 + ticks since a joint was captured) / 6 (N, J).
        noise: the draw (N, Z).
    """

    base: Tensor
    core: Tensor
    rows: Tensor
    captured: Tensor
    valid: Tensor
    age: Tensor
    noise: Tensor


class Trunk(nn.Module):
    """Whole-body network: missing channels, forecasts, and how sure of each joint.

    Args:
        shape: of the model's tensors.
        width: W.
        depth: blocks.
    """

    def __init__(self, shape: ModelShape, width: int, depth: int) -> None:
        """Make the layers; all outputs are 0 at first."""
        super().__init__()
        self.joints, self.horizons = shape.joints, shape.horizons
        mask_width = (len(LAGS) + 1) * shape.joints
        drop = _DROPPED * min(1.0, width / _FULL)
        self.input_dropout = nn.Dropout(drop)
        read = (len(LAGS) + 1) * shape.state + mask_width + shape.noise + 1
        self.input_layer = nn.Linear(read, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, drop) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.fill = nn.Linear(width, shape.state)
        self.ahead = nn.Linear(width, len(self.horizons) * 6 * shape.joints)
        self.spread = nn.Linear(width, shape.joints)
        self.register_buffer("scale", torch.ones(len(self.horizons), 6 * shape.joints))
        self.register_buffer("forecast_gain", torch.ones(len(self.horizons), len(SIZES)))
        self.register_buffer("log_sizes", torch.log(torch.tensor(SIZES)))
        self.register_buffer("reference_amplitude", torch.ones(()))
        # A matrix: the exporter makes one of scalars that are equal, and an update sets this one to 0.
        self.register_buffer("mirror_weight", torch.full((1, 1), 0.5))
        self.register_buffer("mirror_order", torch.arange(shape.state))
        self.register_buffer("mirror_joints", torch.arange(shape.joints))
        self.register_buffer("mirror_sign", torch.ones(shape.state))
        self.register_buffer("mirror_shift", torch.zeros(shape.state))
        for layer in (self.fill, self.ahead, self.spread):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: TrunkInputs) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is added to `core` (N, D), to the forecasts (N, H, 6 J), to ln sigma (N, J).

        In evaluation, of a captured body, the mean over the body and its mirror image: each errs by
        itself. Not so what is added to a ridge, which is not symmetric. Free running keeps to the side
        that was drawn.
        """
        if self.training:
            return self.predict(inputs)
        n, six = len(inputs.base), 6 * self.joints
        order, sign = self.mirror_order, self.mirror_sign
        fill, ahead, spread = self.predict(self._with_mirror_images(inputs))
        back = (
            fill[n:].index_select(-1, order) * sign,
            ahead[n:].index_select(-1, order[:six]) * sign[:six],
            spread[n:].index_select(-1, self.mirror_joints),
        )
        half = self.mirror_weight * share_captured(inputs.valid)
        is_free = half.new_tensor([float(ticks != RIDGE_HORIZON) for ticks in self.horizons])
        fill = fill[:n] + half * (back[0] - fill[:n])
        ahead = ahead[:n] + half.unsqueeze(-1) * is_free[:, None] * (back[1] - ahead[:n])
        return fill, ahead, spread[:n] + half * (back[2] - spread[:n])

    def _with_mirror_images(self, inputs: TrunkInputs) -> TrunkInputs:
        """Return the inputs followed by those of the mirror images (2 N, …)."""
        base, core, rows = (
            torch.cat(
                [x, x.index_select(-1, self.mirror_order) * self.mirror_sign + self.mirror_shift]
            )
            for x in (inputs.base, inputs.core, inputs.rows)
        )
        captured, valid, age = (
            torch.cat([x, x.index_select(-1, self.mirror_joints)])
            for x in (inputs.captured, inputs.valid, inputs.age)
        )
        noise = torch.cat([inputs.noise, inputs.noise])
        return TrunkInputs(base, core, rows, captured, valid=valid, age=age, noise=noise)

    def predict(self, inputs: TrunkInputs) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs of :meth:`forward` without mirror images."""
        base, rows, valid = inputs.base, inputs.rows, inputs.valid
        captured = share_captured(valid)
        ratio, is_known = self.amplitude(rows, inputs.captured)
        newer, steps, masks = base, [], [valid]
        for lag in LAGS[1:]:
            older, mask = rows[:, -lag], inputs.captured[:, -lag]
            step, newer = 2 * (newer - older), older
            if lag > _NEAR:
                mask = captured * mask
                root = mask[:, :1].expand(-1, step.shape[-1] - 6 * self.joints)
                step = step * torch.cat([mask.repeat_interleave(6, -1), root], -1)
            steps.append(step)
            masks.append(mask)
        amplitude = 1 - captured + captured * ratio.clamp(_LEAST, _MOST)
        weights = self.amplitude_weights(ratio, captured * is_known)
        first = self.forecast_gain[:, :1]
        gain = first[:, 0] + weights[:, 1:] @ (self.forecast_gain[:, 1:] - first).T
        columns = [base, inputs.core - base, *steps, *masks]
        columns += [6 * inputs.age, inputs.noise, torch.log(amplitude)]
        x = self.input_layer(self.input_dropout(torch.cat(columns, -1)))
        x = self.norm(self.blocks(x))
        ahead = self.ahead(x).reshape(len(x), len(self.horizons), 6 * self.joints) * self.scale
        # What is missing moves as much as the body does, in styles too that were never trained.
        return self.fill(amplitude * x), ahead * gain.unsqueeze(-1), self.spread(x)

    def reflect(self, joints: Sequence[str], mean: Tensor, std: Tensor) -> None:
        """Set the mirror image of states that are normalised by mean and std (D,), in place."""
        places, turns = mirror_of(joints)
        order, signs = torch.tensor(places), torch.from_numpy(turns)
        self.mirror_order.copy_(order)
        self.mirror_joints.copy_(order[: 6 * self.joints : 6] // 6)
        self.mirror_sign.copy_(signs * std[order] / std)
        self.mirror_shift.copy_((signs * mean[order] - mean) / std)

    def amplitude(self, rows: Tensor, history_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return a body's amplitude relative to the reference, and 1 where it is known: (N, 1) each.

        It is 1 where nothing was captured. A body that does not move at all was not tracked yet, so
        that its amplitude is not known.
        """
        amplitude, amplitude_known = recent_motion(rows[..., : 6 * self.joints], history_mask)
        recent_mask = history_mask[:, -LATELY:]
        observed = (
            (recent_mask[:, _STEP:] * recent_mask[:, :-_STEP])
            .sum((1, 2))
            .clamp(max=1.0)
            .unsqueeze(-1)
        )
        return 1 - observed + observed * amplitude / self.reference_amplitude, amplitude_known

    def amplitude_weights(self, amplitude: Tensor, known_share: Tensor) -> Tensor:
        """Return weights of each of `SIZES` at an amplitude (N, 6), linear in its logarithm, sum 1.

        Args:
            amplitude: relative to the reference (N, 1).
            known_share: weight of the amplitude (N, 1), 0 to 1; at 0 the reference stands in for it.
        """
        log_amplitude = torch.log(
            (1 - known_share + known_share * amplitude).clamp(SIZES[0], SIZES[-1])
        )
        return torch.relu(1 - torch.abs(log_amplitude - self.log_sizes) / math.log(2))


def recent_motion(rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rms of a body's steps in the last half second, and 1 where it moved: (N, 1) each.

    Steps of four ticks. Steps in which nothing moved do not count, nor do those of joints that were not
    captured.

    Args:
        rows: normalised rotations (N, K, 6 J), `LATELY` ticks at least, the newest last.
        mask: joints that were captured (N, K, J).
    """
    rows, recent_mask = rows[:, -LATELY:], mask[:, -LATELY:]
    squares = (rows[:, _STEP:] - rows[:, :-_STEP]) ** 2
    both = (recent_mask[:, _STEP:] * recent_mask[:, :-_STEP]).repeat_interleave(6, -1)
    both = both * some(squares.mean(-1, keepdim=True))
    count = both.sum((1, 2)).unsqueeze(-1)
    mean = (both * squares).sum((1, 2)).unsqueeze(-1) / count.clamp(min=1.0)
    return torch.sqrt(mean + 1e-6), count.clamp(max=1.0)
