"""The performer's network: a closed-form core, and a learned residual that attends to joints and speech.

One graph does three things with the same weights. With capture it lets through what is trusted and
completes what is missing; without, it goes on from its own past; with a draw of `noise` it does so in
one of many ways, without it in the mean way.

Shapes: N batch, K history ticks, D state width, J joints, S speech ticks, F speech channels, Z noise.
Softmax is written out, so that the exported graph has only operations that give the same bits on every
instruction set that was tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from greenroom.contracts import RIDGE_HORIZON, STYLE_TICKS, ModelShape
from greenroom.errors import BadInput
from greenroom.networks.conditioning_tokens import ConditioningTokens
from greenroom.networks.core import Core, rows_without_guesses, share_captured, some
from greenroom.networks.style import StyleHead
from greenroom.networks.trunk import FaceNet, Trunk


@dataclass(frozen=True)
class Preset:
    """The size of a network; `width` is the dial and the rest follows.

    Attributes:
        name: what it is called.
        width: of a token; the attention has width // 32 heads.
        layers: attention blocks.
        trunk: width of the whole-body network and of the tasks' own; 0: attention alone, and the one
            task of performing.
        depth: its blocks.
        steps: of training, unless others are asked for.
    """

    name: str
    width: int
    layers: int
    trunk: int = 0
    depth: int = 2
    steps: int = 1500

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.width // 32

    def shape(
        self, joints: int, state: int, speech: int, face: int = 0, styles: int = 0
    ) -> ModelShape:
        """Return the tensors of a model of this size for what its dataset has.

        Args:
            joints: J.
            state: D.
            speech: F.
            face: B, weights of the dataset's face rig; 0 where it has none.
            styles: C; 0 where none are labelled.
        """
        if not self.trunk:
            return ModelShape(joints, state, speech)
        return ModelShape(
            joints, state, speech, STYLE_TICKS, 12, horizons=HORIZONS, face=face, styles=styles
        )


_INERTIA = 0.25
"""Share of going on as a tick before, where nobody is captured: a swing from tick to tick dies out."""
HORIZONS = (1, 3, 6, 10, 15)
"""Ticks ahead of the forecasts: 33, 100, 200, 333 and 500 ms; those between help to learn the others."""
TOKENS = Preset("tokens", width=96, layers=3)
MINI = Preset("mini", width=32, layers=1, trunk=256, steps=7000)
SMALL = Preset("small", width=32, layers=1, trunk=640, steps=7000)
PRESETS = {preset.name: preset for preset in (TOKENS, MINI, SMALL)}


def preset_of(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        BadInput: there is none of that name.
    """
    if name not in PRESETS:
        raise BadInput(f"there is no preset '{name}'", then=f"use one of {', '.join(PRESETS)}")
    return PRESETS[name]


class Attention(nn.Module):
    """One pre-norm block that also returns its attention, averaged over heads."""

    def __init__(self, width: int, heads: int) -> None:
        """Make the projections."""
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.after = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, shut: Tensor) -> tuple[Tensor, Tensor]:
        """Return (tokens (N, T, W), attention (N, T, T)); `shut` (N, 1, 1, T) is added to scores."""
        n, t, w = x.shape
        mixed = self.mix(self.before(x)).reshape(n, t, 3, self.heads, w // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / math.sqrt(w // self.heads) + shut
        scores = torch.exp(scores - scores.amax(-1, keepdim=True))
        weights = scores / scores.sum(-1, keepdim=True)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(n, t, w))
        x = x + self.narrow(nn.functional.gelu(self.wide(self.after(x))))
        return x, weights.mean(1)


class MotionNet(nn.Module):
    """The whole graph.

    Args:
        shape: of its tensors.
        preset: its size.
    """

    def __init__(self, shape: ModelShape, preset: Preset) -> None:
        """Make the parts."""
        super().__init__()
        self.shape, self.preset = shape, preset
        j, k, w = shape.joints, shape.history, preset.width
        self.core = Core(shape)
        self.recent = recent = 8 if preset.trunk else k  # ticks that a token reads
        self.joint_in = nn.Linear(7 * recent + 6 + 6 + 6 + 2, w)
        self.root_in = nn.Linear(4 * recent + 4 + 4, w)
        self.speech_in = nn.Linear(2 * shape.speech_channels, w)
        self.context_in = nn.Linear(shape.noise, w)
        self.place = nn.Parameter(torch.randn(j + 2 + shape.speech // 2, w) * 0.02)
        self.blocks = nn.ModuleList(Attention(w, preset.heads) for _ in range(preset.layers))
        self.norm = nn.LayerNorm(w)
        self.joint_out = nn.Linear(w, 6)
        self.sigma_out = nn.Linear(w + 2, 1)
        self.root_out = nn.Linear(w, 4)
        self.register_buffer("calibration", torch.tensor([0.0, 1.0, 0.0]))
        self.register_buffer("residual", torch.ones(()))
        if preset.trunk:
            self.register_buffer("alone", torch.ones(()))
            self.register_buffer("wider", torch.ones(()))
            self.register_buffer("calm", torch.zeros(shape.state))
            self.register_buffer("rest", torch.zeros(shape.state))
        self.register_buffer("speech_mean", torch.zeros(shape.speech_channels))
        self.register_buffer("speech_std", torch.ones(shape.speech_channels))
        nn.init.zeros_(self.joint_out.weight)
        nn.init.zeros_(self.root_out.weight)
        self.words = ConditioningTokens(shape, w) if shape.phonemes or shape.context else None
        self.trunk = Trunk(shape, preset.trunk, preset.depth) if preset.trunk else None
        self.face = FaceNet(shape, preset.trunk * 2 // 5) if shape.face else None
        self.style = StyleHead(shape) if shape.styles else None

    def forward(
        self,
        history: Tensor,
        history_mask: Tensor,
        state: Tensor,
        velocity: Tensor,
        valid: Tensor,
        age: Tensor,
        speech: Tensor,
        speech_mask: Tensor,
        noise: Tensor,
        *conditioning: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return (pose (N, D), sigma (N, J) degrees, confidence (N, J), attention (N, J, J + 1), …).

        After these come the tasks' outputs, as `ModelShape.outputs` lists them. Inputs are those of
        `ModelShape.inputs`, in raw units, 0 where missing.
        Sigma and confidence speak of the network's own value of a joint: its completion where the
        joint is missing, its forecast where it is captured. The last attention column is speech and what
        is told.
        """
        j = self.shape.joints
        past = (history - self.core.mean) / self.core.std
        trust = torch.cat([valid.repeat_interleave(6, -1), valid[:, :1].expand(-1, 4)], -1)
        now = some(trust) * (state - self.core.mean) / self.core.std
        last_seen = self.core.last_seen(past, history_mask, trust)
        if self.trunk is not None:
            past = rows_without_guesses(past, history_mask, last_seen.state, trust)
            # Where nobody was captured for long.
            uncaptured = (1 - last_seen.memory) * (1 - share_captured(trust))
            noise = noise * (1 + (self.wider - 1) * uncaptured.mean(-1, keepdim=True))
        core = self.core(past, last_seen, now, trust)
        recent, recent_mask = past[:, -self.recent :], history_mask[:, -self.recent :]
        tokens = self._tokens(recent, recent_mask, now, velocity, valid, age, core, speech, noise)
        # No lesson of a trunk's model teaches a voice to move the body; until one does it stays deaf.
        speech_open = speech_mask * (0.0 if self.trunk is not None else 1.0)
        speech_bias = (1 - speech_open.reshape(len(speech_mask), -1, 2).amax(-1)) * -1e4
        attention_bias = torch.cat(
            [speech_bias.new_zeros(len(speech_bias), j + 2), speech_bias], -1
        )
        if self.words is not None:
            word_tokens, word_bias = self.words(conditioning)
            tokens = torch.cat([tokens, word_tokens], 1)
            attention_bias = torch.cat([attention_bias, word_bias], -1)
        attention_bias = attention_bias[:, None, None]
        flow = None
        for block in self.blocks:
            tokens, weights = block(tokens, attention_bias)
            weights = 0.5 * weights + 0.5 * torch.eye(weights.shape[-1])
            flow = weights if flow is None else weights @ flow
        tokens = self.norm(tokens)
        residual = torch.cat(
            [self.joint_out(tokens[:, :j]).flatten(1), self.root_out(tokens[:, j])], -1
        )
        sigma_inputs = torch.cat([tokens[:, :j], valid.unsqueeze(-1), age.unsqueeze(-1)], -1)
        spread = self.sigma_out(sigma_inputs).squeeze(-1)
        extra: list[Tensor] = []
        if self.trunk is not None:
            alone = share_captured(trust)
            last_pose = trust * now + (1 - trust) * (
                alone * last_seen.state + (1 - alone) * past[:, -1]
            )
            pose_addition, ahead, wider = self.trunk(
                last_pose, core, past, history_mask, valid, age, noise
            )
            residual = residual + pose_addition
            spread = spread + wider
            extra.append(self._forecast(last_pose, past, ahead))
        # With nothing captured the residual is what moves; in a gap it counts as much as it earned, and
        # fades before the history no longer reaches back: what follows stands on what was said before.
        weight = 1 - (1 - self.residual * last_seen.memory) * share_captured(trust)
        if self.trunk is not None:
            weight = weight - (1 - self.alone) * uncaptured
        estimate = core + weight * (1 - trust) * residual
        if self.trunk is not None:
            estimate = estimate - _INERTIA * uncaptured * (estimate - 2 * past[:, -1] + past[:, -2])
            estimate = estimate - self.calm * uncaptured * (estimate - self.rest)
        estimate = torch.minimum(torch.maximum(estimate, self.core.low), self.core.high)
        pose = (trust * now + (1 - trust) * estimate) * self.core.std + self.core.mean
        a, b, c = self.calibration.unbind()
        confidence = torch.sigmoid(a - b * spread + c * valid)
        if self.face is not None:
            extra.append(self.face(self.hear(speech), conditioning))
        if self.style is not None:
            extra.append(self.style(past))
        return pose, torch.exp(spread), confidence, _attention(flow, j), *extra

    def hear(self, speech: Tensor) -> Tensor:
        """Return speech normalised."""
        out: Tensor = (speech - self.speech_mean) / self.speech_std
        return out

    def plain_forecast(self, past: Tensor) -> Tensor:
        """Return what is said of the coming ticks (N, H, 6 J) before the trunk adds to it, normalised.

        The ridge is exact over one tick and no more than the trunk can say over many.

        Args:
            past: normalised states (N, K, D), the newest last.
        """
        six = 6 * self.shape.joints
        base = past[:, -1]
        step = (self.core.ahead(past) - base)[:, None, :six]
        near = (torch.tensor(self.shape.horizons) == RIDGE_HORIZON).float()[None, :, None]
        return base[:, None, :six] + near * step

    def _forecast(self, base: Tensor, past: Tensor, ahead: Tensor) -> Tensor:
        """Return the 6D rotations (N, H, 6 J) at each horizon."""
        six = 6 * self.shape.joints
        forecast = self.plain_forecast(torch.cat([past[:, 1:], base[:, None]], 1)) + ahead
        out: Tensor = forecast * self.core.std[:six] + self.core.mean[:six]
        return out

    def _tokens(
        self,
        past: Tensor,
        history_mask: Tensor,
        now: Tensor,
        velocity: Tensor,
        valid: Tensor,
        age: Tensor,
        core: Tensor,
        speech: Tensor,
        noise: Tensor,
    ) -> Tensor:
        n, j, k = len(past), self.shape.joints, past.shape[1]
        six = 6 * j
        joint = torch.cat(
            [
                past[:, :, :six].reshape(n, k, j, 6).transpose(1, 2).reshape(n, j, 6 * k),
                history_mask.transpose(1, 2),
                now[:, :six].reshape(n, j, 6),
                velocity.reshape(n, j, 6) * 0.2,
                core[:, :six].reshape(n, j, 6),
                valid.unsqueeze(-1),
                age.unsqueeze(-1),
            ],
            -1,
        )
        root = torch.cat([past[:, :, six:].reshape(n, 4 * k), now[:, six:], core[:, six:]], -1)
        sound = self.hear(speech).reshape(n, self.shape.speech // 2, 2 * self.shape.speech_channels)
        context = self.context_in(noise).unsqueeze(1)
        tokens = torch.cat(
            [self.joint_in(joint), self.root_in(root).unsqueeze(1), context, self.speech_in(sound)],
            1,
        )
        return tokens + self.place + context

    @property
    def parameters_count(self) -> int:
        """How many numbers, the closed form's counted."""
        learned = sum(p.numel() for p in self.parameters())
        return int(learned + sum(b.numel() for b in self.buffers()))


def _attention(flow: Tensor, joints: int) -> Tensor:
    """Return attention roll-out (Abnar and Zuidema 2020) to joints and the rest, rows sum to 1."""
    rows = flow[:, :joints]
    hips = rows[:, :, :1] + rows[:, :, joints : joints + 1]  # the root's token is the hips' motion
    rest = rows[:, :, joints + 2 :].sum(-1, keepdim=True)
    out = torch.cat([hips, rows[:, :, 1:joints], rest], -1)
    return out / out.sum(-1, keepdim=True)


def example(shape: ModelShape, batch: int = 1) -> dict[str, Tensor]:
    """Return zeros of every input, for export."""
    return {name: torch.zeros(batch, *size) for name, size in shape.inputs().items()}
