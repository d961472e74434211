"""Let a network live on its own past over windows with gaps: what training and judging both do.

Each step takes windows from the streams, hides joints, limbs or everything, and lets the network go
on from what it said itself. Two ways of going on are trained with the same weights: the mean way
(noise 0, squared error) and, where everything is hidden, a conditional variational one, in which an
encoder that exists only in training tells by `noise` which of the possible ways the recording took
(Ling et al. 2020, "Character controllers using motion VAEs", but with one draw for the whole way: a new
one each tick taught a tremor).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greenroom.frames import LIMBS
from greenroom.networks.conditioning_tokens import conditioning_inputs
from greenroom.networks.motion_net import MotionNet

Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps: optimiser steps.
        batch: windows a step.
        rollout: ticks a window, at the end; it grows from a quarter of this.
        rate: learning rate at its peak, then a cosine to nothing.
        seed: of everything random.
        kl: weight of the encoder's divergence from the standard normal.
        windows: of the body's direct lesson a step, none of them rolled out; a face's has half as
            many, as there is less to learn from.
        every: steps from one roll-out to the next, where there are direct lessons.
        weights: of the lessons' losses: "fixed", or "learned" as each one's own uncertainty.
    """

    steps: int = 1500
    batch: int = 32
    rollout: int = 24
    rate: float = 1e-3
    seed: int = 0
    kl: float = 0.02
    windows: int = 512
    every: int = 8
    weights: str = "fixed"

    def manifest(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON."""
        return asdict(self)


DEFAULT = Recipe()


class PosteriorEncoder(nn.Module):
    """Say by a small draw which way a recording went; used in training only."""

    def __init__(self, state: int, noise: int) -> None:
        """Make the layers."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3 * state, 128), nn.ELU(), nn.Linear(128, 128), nn.ELU()
        )
        self.out = nn.Linear(128, 2 * noise)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, Z) given the normalised way (N, T, D)."""
        start, middle, end = states[:, 0], states[:, len(states[0]) // 2], states[:, -1]
        features = torch.cat([start, middle - start, end - middle], -1)
        mean, spread = self.out(self.body(features)).chunk(2, -1)
        return mean, spread.clamp(-6, 2)


def sample_dropout_mask(
    joints: Sequence[str],
    batch: int,
    ticks: int,
    random: torch.Generator,
    alone: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return validity (N, L, J) with gaps, and which windows are to be generated (N,).

    With `alone` mostly everything is hidden: what a joint's gap asks is taught without roll-outs.
    """
    valid = torch.ones(batch, ticks, len(joints))
    generate = torch.zeros(batch, dtype=torch.bool)
    limbs = [[i for i, name in enumerate(joints) if name in limb] for limb in LIMBS.values()]
    limbs = [limb for limb in limbs if limb]
    for n in range(batch):
        kind = float(torch.rand((), generator=random))
        kind = 0.6 + 0.4 * kind if alone else kind
        start = int(torch.randint(0, max(1, ticks // 4), (), generator=random))
        end = ticks
        if kind < 0.45:
            chosen = limbs[int(torch.randint(len(limbs), (), generator=random))]
        elif kind < 0.65:
            chosen = torch.nonzero(torch.rand(len(joints), generator=random) < 0.3)[:, 0].tolist()
        else:
            chosen = list(range(len(joints)))
            generate[n] = kind > 0.75
        valid[n, start:end, chosen] = 0
    return valid, generate


def torch_angles_6d(a: Tensor, b: Tensor) -> Tensor:
    """Return the geodesic angle (...) in degrees between 6D rotations (..., 6), after Gram-Schmidt."""
    trace = (_matrix(a) * _matrix(b)).sum((-1, -2))
    return torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))


def _matrix(six: Tensor) -> Tensor:
    x = nn.functional.normalize(six[..., :3], dim=-1)
    y = nn.functional.normalize(six[..., 3:] - (x * six[..., 3:]).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


@dataclass
class Rollout:
    """What a network did on windows: everything (N, L, …)."""

    pose: Tensor
    own: Tensor
    sigma: Tensor
    confidence: Tensor
    kl: Tensor


def roll_out(
    model: MotionNet,
    windows: Tensor,
    valid: Tensor,
    generate: Tensor | None = None,
    encoder: PosteriorEncoder | None = None,
    jitter: float = 0.0,
    words: Tensor | None = None,
) -> Rollout:
    """Perform windows (N, K + L, D) whose last L ticks are captured as `valid` (N, L, J) says.

    Args:
        model: who performs.
        windows: states, complete.
        valid: 1 captured, 0 lost.
        generate: which windows are drawn a way (N,); None for none.
        encoder: says which way that is.
        jitter: of the history.
        words: what is told of each tick of the windows (N, K + L, P + X); None for nothing.
    """
    shape, k = model.shape, model.shape.history
    n, ticks = valid.shape[:2]
    history = windows[:, :k]
    if jitter:
        history = history + jitter * model.core.std * torch.randn_like(history)
    history_mask, age = torch.ones(n, k, shape.joints), torch.zeros(n, shape.joints)
    silence = torch.zeros(n, shape.speech, shape.speech_channels)
    out: dict[str, list[Tensor]] = {"pose": [], "own": [], "sigma": [], "confidence": []}
    divergence = torch.zeros(())
    way = torch.zeros(n, shape.noise)
    if encoder is not None and generate is not None:
        mean, spread = encoder((windows[:, k - 1 :] - model.core.mean) / model.core.std)
        way = mean + torch.exp(0.5 * spread) * torch.randn_like(mean)
        divergence_terms = -0.5 * (1 + spread - mean**2 - spread.exp()).sum(-1)
        divergence = (generate.float() * divergence_terms).mean()
    six = 6 * shape.joints
    before_valid = torch.ones(n, shape.joints)
    for t in range(ticks):
        truth, before = windows[:, k + t], windows[:, k + t - 1]
        captured = valid[:, t]
        trust = torch.cat([captured.repeat_interleave(6, -1), captured[:, :1].expand(-1, 4)], -1)
        both = (captured * before_valid).repeat_interleave(6, -1)
        age = torch.where(captured > 0, torch.zeros_like(age), age + 1)
        drawn = torch.zeros(n) if generate is None else (generate & (captured.sum(-1) == 0)).float()
        draw = drawn[:, None] * way
        pose, sigma, confidence, *_ = model(
            history,
            history_mask,
            truth * trust,
            (truth - before)[:, :six] * 30 * both,
            captured,
            torch.log1p(age) / 6,
            silence,
            silence[..., 0],
            draw,
            *conditioning_inputs(shape, None if words is None else words[:, : k + t + 1], n),
        )
        history = torch.cat([history[:, 1:], pose[:, None]], 1)
        history_mask = torch.cat([history_mask[:, 1:], captured[:, None]], 1)
        before_valid = captured
        for name, value in zip(
            ("pose", "sigma", "confidence"), (pose, sigma, confidence), strict=True
        ):
            out[name].append(value)
        out["own"].append(own_values(model, history, captured, pose))
    stacked = {name: torch.stack(values, 1) for name, values in out.items()}
    return Rollout(**stacked, kl=divergence)


def free_run(model: MotionNet, history: Tensor, draws: Tensor) -> Tensor:
    """Return what a model does (N, T, D) after a history (N, K, D) with nothing captured.

    Args:
        model: who performs.
        history: states, complete.
        draws: of each tick (N, T, Z).
    """
    shape, n = model.shape, len(history)
    history_mask, nothing = torch.ones(n, shape.history, shape.joints), torch.zeros(n, shape.joints)
    silence = torch.zeros(n, shape.speech, shape.speech_channels)
    state, velocity = torch.zeros(n, shape.state), torch.zeros(n, 6 * shape.joints)
    poses = []
    for t in range(draws.shape[1]):
        pose, *_ = model(
            history,
            history_mask,
            state,
            velocity,
            nothing,
            torch.log1p(nothing + t + 1) / 6,
            silence,
            silence[..., 0],
            draws[:, t],
            *conditioning_inputs(shape, None, n),
        )
        poses.append(pose)
        history = torch.cat([history[:, 1:], pose[:, None]], 1)
        history_mask = torch.cat([history_mask[:, 1:], nothing[:, None]], 1)
    return torch.stack(poses, 1)


def own_values(model: MotionNet, history: Tensor, captured: Tensor, pose: Tensor) -> Tensor:
    """Return what the model itself says of each joint, 6D (N, J, 6): its forecast where captured.

    Args:
        model: whose closed form forecasts.
        history: states (N, K, D), this tick's pose last.
        captured: which joints are captured now (N, J).
        pose: this tick's (N, D).
    """
    with torch.no_grad():
        past = (history[:, :-1] - model.core.mean) / model.core.std
        past = torch.cat([past[:, :1], past], 1)
        ahead = model.core.ahead(past)
        ahead = torch.minimum(torch.maximum(ahead, model.core.low), model.core.high)
        forecast = ahead * model.core.std + model.core.mean
    six = 6 * model.shape.joints
    n = len(pose)
    is_captured = captured[..., None] > 0
    return torch.where(
        is_captured, forecast[:, :six].reshape(n, -1, 6), pose[:, :six].reshape(n, -1, 6)
    )


def rollout_loss(
    model: MotionNet, windows: Tensor, valid: Tensor, rollout: Rollout, kl: float
) -> Tensor:
    """Return the training loss of a roll-out: what was lost, its pace, and the spread's honesty."""
    k, six = model.shape.history, 6 * model.shape.joints
    truth = windows[:, k:]
    lost = 1 - torch.cat([valid.repeat_interleave(6, -1), valid[..., :1].expand(-1, -1, 4)], -1)
    std = model.core.std
    squared_error = ((rollout.pose - truth) / std) ** 2
    position_loss = (squared_error * lost).sum() / lost.sum().clamp(min=1)
    step_error = (rollout.pose[:, 1:] - rollout.pose[:, :-1]) - (truth[:, 1:] - truth[:, :-1])
    pace_loss = ((step_error / std) ** 2 * lost[:, 1:]).sum() / lost.sum().clamp(min=1)
    spread = laplace_nll(rollout.own, truth[..., :six], rollout.sigma)
    return position_loss + 5.0 * pace_loss + 0.02 * spread + kl * rollout.kl


def laplace_nll(own: Tensor, truth: Tensor, sigma: Tensor) -> Tensor:
    """Return the Laplace likelihood's loss of sigma (…, J), degrees, for 6D values (…, J, 6)."""
    with torch.no_grad():
        error = torch_angles_6d(own, truth.reshape(own.shape))
    return (torch.log(sigma) + error / sigma).mean()


def sample_windows(
    streams: Sequence[Tensor], length: int, batch: int, random: torch.Generator
) -> Tensor:
    """Return windows (N, length, D), each tick of the streams as likely as any other."""
    room = torch.tensor([max(0, len(stream) - length + 1) for stream in streams], dtype=torch.float)
    picks = torch.multinomial(room, batch, replacement=True, generator=random)
    windows = []
    for pick in picks.tolist():
        start = int(torch.randint(int(room[pick]), (), generator=random))
        windows.append(streams[pick][start : start + length])
    return torch.stack(windows)
