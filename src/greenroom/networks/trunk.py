"""What a performer knows beside its closed form and its attention: plain residual networks, one a task.

`Trunk` sees the whole body's last second at once and says what is missing and what comes next; `FaceNet`
hears, and moves a face. `docs/log/experiments.md` has what attention over joints did in the same time.

Shapes: N batch, K history ticks, D state width, J joints, S speech ticks, F speech channels, B weights
of a face, H horizons, W width, P phonemes, X context. All inputs are normalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from greenroom.contracts import LOOK_AHEAD, RIDGE_HORIZON, ModelShape
from greenroom.features.pose import mirror_of
from greenroom.networks.core import share_captured, some

_DROPPED, _FULL = 0.1, 640
"""Share of hidden numbers and inputs that is dropped in training; of fewer than 640 numbers, less."""
_FIRST = 3  # parts of a face's body up to the layer that reads
LAGS = (0, 1, 2, 3, 5, 8, 12, 18, 28)
"""Ticks ago whose differences the trunk reads; differences of neighbours are easier than poses."""
_NEAR = 12
"""Further back only what was captured counts: no roll-out is long enough to teach it its own guesses."""
_STEP, LATELY = 4, 17
"""Ticks of the steps by which it is told how much a body moves, and how far back they reach."""
_LEAST, _MOST = 0.1, 2.0
"""Of the usual amplitude; a body that stands still may start at any tick."""
SIZES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Amplitudes, each twice the one before, for each of which forecasts earn a weight of their own."""


class Residual(nn.Module):
    """One block: x + two layers of its normalisation."""

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


class Trunk(nn.Module):
    """Whole-body network: missing channels, forecasts, and how sure of each joint.

    Args:
        shape: of the model's tensors.
        width: W.
        depth: blocks.
    """

    def __init__(self, shape: ModelShape, width: int, depth: int) -> None:
        """Make the layers; what it says at first is nothing."""
        super().__init__()
        self.joints, self.horizons = shape.joints, shape.horizons
        mask_width = (len(LAGS) + 1) * shape.joints
        drop = _DROPPED * min(1.0, width / _FULL)
        self.blur = nn.Dropout(drop)
        self.enter = nn.Linear((len(LAGS) + 1) * shape.state + mask_width + shape.noise + 1, width)
        self.blocks = nn.Sequential(*(Residual(width, drop) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.fill = nn.Linear(width, shape.state)
        self.ahead = nn.Linear(width, len(self.horizons) * 6 * shape.joints)
        self.spread = nn.Linear(width, shape.joints)
        self.register_buffer("scale", torch.ones(len(self.horizons), 6 * shape.joints))
        self.register_buffer("earned", torch.ones(len(self.horizons), len(SIZES)))
        self.register_buffer("sizes", torch.log(torch.tensor(SIZES)))
        self.register_buffer("usual", torch.ones(()))
        # A matrix: the exporter makes one of scalars that are equal, and an update sets this one to 0.
        self.register_buffer("mirrored", torch.full((1, 1), 0.5))
        self.register_buffer("order", torch.arange(shape.state))
        self.register_buffer("sides", torch.arange(shape.joints))
        self.register_buffer("turned", torch.ones(shape.state))
        self.register_buffer("shift", torch.zeros(shape.state))
        for layer in (self.fill, self.ahead, self.spread):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        base: Tensor,
        core: Tensor,
        rows: Tensor,
        history_mask: Tensor,
        valid: Tensor,
        age: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is added to `core` (N, D), to the forecasts (N, H, 6 J), to ln sigma (N, J).

        Once it is trained, of a body that is captured, the mean of what is said of it and of its mirror
        image: each errs by itself. Not so what is added to a ridge, which is no mirror image of itself;
        and who goes on alone keeps to the side that was drawn.

        Args:
            base: this tick where captured, else where the joint was last seen (N, D).
            core: this tick as the closed form completes it (N, D).
            rows: the history (N, K, D).
            history_mask: which of its joints were captured (N, K, J).
            valid: which are captured now (N, J).
            age: ln(1 + ticks since a joint was captured) / 6 (N, J).
            noise: the draw (N, Z).
        """
        if self.training:
            return self.say(base, core, rows, history_mask, valid, age, noise)
        n, six = len(base), 6 * self.joints
        order, turned, sides = self.order, self.turned, self.sides
        states = [
            torch.cat([x, x.index_select(-1, order) * turned + self.shift])
            for x in (base, core, rows)
        ]
        joints = [torch.cat([x, x.index_select(-1, sides)]) for x in (history_mask, valid, age)]
        fill, ahead, spread = self.say(*(*states, *joints, torch.cat([noise, noise])))
        back = (
            fill[n:].index_select(-1, order) * turned,
            ahead[n:].index_select(-1, order[:six]) * turned[:six],
            spread[n:].index_select(-1, sides),
        )
        half = self.mirrored * share_captured(valid)
        free = torch.tensor([float(ahead != RIDGE_HORIZON) for ahead in self.horizons])
        fill = fill[:n] + half * (back[0] - fill[:n])
        ahead = ahead[:n] + half.unsqueeze(-1) * free[:, None] * (back[1] - ahead[:n])
        return fill, ahead, spread[:n] + half * (back[2] - spread[:n])

    def say(
        self,
        base: Tensor,
        core: Tensor,
        rows: Tensor,
        history_mask: Tensor,
        valid: Tensor,
        age: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same of one side alone."""
        captured = share_captured(valid)
        amplitude_ratio, amplitude_known = self.size(rows, history_mask)
        newer, steps, masks = base, [], [valid]
        for lag in LAGS[1:]:
            older, mask = rows[:, -lag], history_mask[:, -lag]
            step, newer = 2 * (newer - older), older
            if lag > _NEAR:
                mask = captured * mask
                root = mask[:, :1].expand(-1, step.shape[-1] - 6 * self.joints)
                step = step * torch.cat([mask.repeat_interleave(6, -1), root], -1)
            steps.append(step)
            masks.append(mask)
        amplitude = 1 - captured + captured * amplitude_ratio.clamp(_LEAST, _MOST)
        amplitude_weights = self.near(amplitude_ratio, captured * amplitude_known)
        gain = (
            self.earned[:, 0]
            + amplitude_weights[:, 1:] @ (self.earned[:, 1:] - self.earned[:, :1]).T
        )
        inputs = [base, core - base, *steps, *masks, 6 * age, noise, torch.log(amplitude)]
        x = self.norm(self.blocks(self.enter(self.blur(torch.cat(inputs, -1)))))
        ahead = self.ahead(x).reshape(len(x), len(self.horizons), 6 * self.joints) * self.scale
        # What is missing moves as much as the body does, in styles too that were never seen.
        return self.fill(amplitude * x), ahead * gain.unsqueeze(-1), self.spread(x)

    def reflect(self, joints: Sequence[str], mean: Tensor, std: Tensor) -> None:
        """Learn what a mirror does to states that are normalised by mean and std (D,), in place."""
        places, turns = mirror_of(joints)
        order, signs = torch.tensor(places), torch.from_numpy(turns)
        self.order.copy_(order)
        self.sides.copy_(order[: 6 * self.joints : 6] // 6)
        self.turned.copy_(signs * std[order] / std)
        self.shift.copy_((signs * mean[order] - mean) / std)

    def size(self, rows: Tensor, history_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return how much a body moves, over the usual, and whether that is known, 1 or 0: (N, 1) each.

        As usual where nothing was captured. A body that does not move at all was not there yet: of it
        nothing is known, whatever its size.
        """
        amplitude, amplitude_known = recent_motion(rows[..., : 6 * self.joints], history_mask)
        recent_mask = history_mask[:, -LATELY:]
        observed = (
            (recent_mask[:, _STEP:] * recent_mask[:, :-_STEP])
            .sum((1, 2))
            .clamp(max=1.0)
            .unsqueeze(-1)
        )
        return 1 - observed + observed * amplitude / self.usual, amplitude_known

    def near(self, amplitude: Tensor, known_share: Tensor) -> Tensor:
        """Return how near an amplitude is to each of `SIZES` (N, 6), rows sum to 1.

        Args:
            amplitude: (N, 1).
            known_share: how far it counts (N, 1); where it does not, the amplitude is the usual one.
        """
        log_amplitude = torch.log(
            (1 - known_share + known_share * amplitude).clamp(SIZES[0], SIZES[-1])
        )
        return torch.relu(1 - torch.abs(log_amplitude - self.sizes) / math.log(2))


def recent_motion(rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much a body moved in the last half second, and whether it did, 1 or 0: (N, 1) each.

    The rms of its steps of four ticks. Steps of a body that did not move at all do not count, nor do
    those of joints that were not captured: they stood still in the rows, which says nothing.

    Args:
        rows: normalised rotations (N, K, 6 J), `LATELY` ticks at least, the newest last.
        mask: which joints were captured (N, K, J).
    """
    rows, recent_mask = rows[:, -LATELY:], mask[:, -LATELY:]
    squares = (rows[:, _STEP:] - rows[:, :-_STEP]) ** 2
    both = (recent_mask[:, _STEP:] * recent_mask[:, :-_STEP]).repeat_interleave(6, -1)
    both = both * some(squares.mean(-1, keepdim=True))
    count = both.sum((1, 2)).unsqueeze(-1)
    mean = (both * squares).sum((1, 2)).unsqueeze(-1) / count.clamp(min=1.0)
    return torch.sqrt(mean + 1e-6), count.clamp(max=1.0)


class FaceNet(nn.Module):
    """Face weights from speech and what is told, `LOOK_AHEAD` ticks late.

    Args:
        shape: of the model's tensors.
        width: W.
    """

    def __init__(self, shape: ModelShape, width: int) -> None:
        """Make the layers; what it says at first is the mean face."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(shape.speech * shape.speech_channels, width),
            nn.GELU(),
            nn.Dropout(0.5),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(0.5),
        )
        self.out = nn.Linear(width, shape.face)
        nn.init.zeros_(self.out.weight)
        self.register_buffer("rest", torch.zeros(shape.face))
        conditioning_width = shape.speech * shape.phonemes + shape.context
        self.told = nn.Linear(conditioning_width, width, bias=False) if conditioning_width else None

    def weights(self, speech: Tensor, conditioning: Sequence[Tensor] = ()) -> Tensor:
        """Return weights (N, B) of speech (N, S, F) and what is told, not yet bounded.

        Args:
            speech: normalised.
            conditioning: phonemes (N, S, P) and context (N, X), those of them that the shape has.
        """
        if self.told is None:
            hidden = self.body(speech)
        else:  # nothing told adds nothing
            hidden = self.body[:_FIRST](speech)
            hidden = hidden + self.told(
                torch.cat([tensor.flatten(1) for tensor in conditioning], -1)
            )
            hidden = self.body[_FIRST:](hidden)
        out: Tensor = self.rest + self.out(hidden)
        return out

    def forward(self, speech: Tensor, conditioning: Sequence[Tensor] = ()) -> Tensor:
        """Return weights (N, B) in [0, 1]."""
        return self.weights(speech, conditioning).clamp(0, 1)


def face_windows(face: Tensor, speech: Tensor, ticks: int) -> tuple[Tensor, Tensor]:
    """Return the speech (T, S, F) that each tick of a face (T, B) is made from, and the face.

    The window of tick t ends `LOOK_AHEAD` ticks after it; before the first tick the first one stands in.

    Args:
        face: weights (T, B).
        speech: channels (T, F).
        ticks: S.
    """
    count = min(len(face), len(speech) - LOOK_AHEAD)
    at = torch.arange(count)[:, None] + torch.arange(LOOK_AHEAD - ticks + 1, LOOK_AHEAD + 1)
    return speech[at.clamp(min=0)], face[:count]
