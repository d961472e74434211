"""Train a performer on streams of states: roll-outs with gaps, so that it can live on its own past.

Each step takes windows from the streams, hides joints, limbs or everything, and lets the network go
on from what it said itself. Two ways of going on are trained with the same weights: the mean way
(noise 0, squared error) and, where everything is hidden, a conditional variational one, in which an
encoder that exists only in training tells by `noise` which of the possible ways the recording took
(Ling et al. 2020, "Character controllers using motion VAEs").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from greenroom.contracts import ModelShape
from greenroom.frames import LIMBS, Floats
from greenroom.training.closed_form import fit_core
from greenroom.training.model import MINI, Performer, Preset

HIT_DEGREES = 10.0
"""Confidence is the probability that a joint is within this of the truth."""

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
    """

    steps: int = 1500
    batch: int = 32
    rollout: int = 24
    rate: float = 1e-3
    seed: int = 0
    kl: float = 0.02

    def manifest(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON."""
        return asdict(self)


DEFAULT = Recipe()


class Encoder(nn.Module):
    """Say by a small draw which way a recording went; used in training only."""

    def __init__(self, state: int, noise: int) -> None:
        """Make the layers."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3 * state, 128), nn.ELU(), nn.Linear(128, 128), nn.ELU()
        )
        self.out = nn.Linear(128, 2 * noise)

    def forward(self, past: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, Z) given normalised past (N, 2, D) and now (N, D)."""
        mean, spread = self.out(self.body(torch.cat([past.flatten(1), now], -1))).chunk(2, -1)
        return mean, spread.clamp(-6, 2)


def hidden_joints(
    joints: Sequence[str], batch: int, ticks: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return validity (N, L, J) with gaps, and which windows are to be generated (N,)."""
    valid = torch.ones(batch, ticks, len(joints))
    generate = torch.zeros(batch, dtype=torch.bool)
    limbs = [[i for i, name in enumerate(joints) if name in limb] for limb in LIMBS.values()]
    limbs = [limb for limb in limbs if limb]
    for n in range(batch):
        kind = float(torch.rand((), generator=random))
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


def six_angles(a: Tensor, b: Tensor) -> Tensor:
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
    model: Performer,
    windows: Tensor,
    valid: Tensor,
    generate: Tensor | None = None,
    encoder: Encoder | None = None,
    jitter: float = 0.0,
) -> Rollout:
    """Perform windows (N, K + L, D) whose last L ticks are captured as `valid` (N, L, J) says."""
    shape, k = model.shape, model.shape.history
    n, ticks = valid.shape[:2]
    history = windows[:, :k]
    if jitter:
        history = history + jitter * model.core.std * torch.randn_like(history)
    known, age = torch.ones(n, k, shape.joints), torch.zeros(n, shape.joints)
    silence = torch.zeros(n, shape.speech, shape.speech_channels)
    out: dict[str, list[Tensor]] = {"pose": [], "own": [], "sigma": [], "confidence": []}
    divergence = torch.zeros(())
    six = 6 * shape.joints
    before_valid = torch.ones(n, shape.joints)
    for t in range(ticks):
        truth, before = windows[:, k + t], windows[:, k + t - 1]
        see = valid[:, t]
        trust = torch.cat([see.repeat_interleave(6, -1), see[:, :1].expand(-1, 4)], -1)
        both = (see * before_valid).repeat_interleave(6, -1)
        age = torch.where(see > 0, torch.zeros_like(age), age + 1)
        draw = torch.zeros(n, shape.noise)
        if encoder is not None and generate is not None:
            past = (history[:, -2:] - model.core.mean) / model.core.std
            mean, spread = encoder(past, (truth - model.core.mean) / model.core.std)
            on = (generate & (see.sum(-1) == 0)).float()[:, None]
            draw = on * (mean + torch.exp(0.5 * spread) * torch.randn_like(mean))
            divergence = (
                divergence - 0.5 * (on * (1 + spread - mean**2 - spread.exp())).sum(-1).mean()
            )
        pose, sigma, confidence, _ = model(
            history,
            known,
            truth * trust,
            (truth - before)[:, :six] * 30 * both,
            see,
            torch.log1p(age) / 6,
            silence,
            silence[..., 0],
            draw,
        )
        history = torch.cat([history[:, 1:], pose[:, None]], 1)
        known = torch.cat([known[:, 1:], see[:, None]], 1)
        before_valid = see
        for name, value in zip(
            ("pose", "sigma", "confidence"), (pose, sigma, confidence), strict=True
        ):
            out[name].append(value)
        out["own"].append(_own(model, history, truth, see, pose))
    stacked = {name: torch.stack(values, 1) for name, values in out.items()}
    return Rollout(**stacked, kl=divergence / ticks)


def _own(model: Performer, history: Tensor, truth: Tensor, see: Tensor, pose: Tensor) -> Tensor:
    """Return what the model itself says of each joint, 6D (N, J, 6): forecast where captured."""
    with torch.no_grad():
        past = (history[:, :-1] - model.core.mean) / model.core.std
        past = torch.cat([past[:, :1], past], 1)
        ahead = past[:, -1] + model.core.lagged(past) @ model.core.forecast + model.core.bias
        ahead = torch.minimum(torch.maximum(ahead, model.core.low), model.core.high)
        forecast = ahead * model.core.std + model.core.mean
        six = 6 * model.shape.joints
        n = len(pose)
        seen = see[..., None] > 0
        return torch.where(
            seen, forecast[:, :six].reshape(n, -1, 6), pose[:, :six].reshape(n, -1, 6)
        )


def _loss(model: Performer, windows: Tensor, valid: Tensor, done: Rollout, kl: float) -> Tensor:
    k, six = model.shape.history, 6 * model.shape.joints
    truth = windows[:, k:]
    lost = 1 - torch.cat([valid.repeat_interleave(6, -1), valid[..., :1].expand(-1, -1, 4)], -1)
    std = model.core.std
    miss = ((done.pose - truth) / std) ** 2
    place = (miss * lost).sum() / lost.sum().clamp(min=1)
    step = (done.pose[:, 1:] - done.pose[:, :-1]) - (truth[:, 1:] - truth[:, :-1])
    pace = ((step / std) ** 2 * lost[:, 1:]).sum() / lost.sum().clamp(min=1)
    with torch.no_grad():
        error = six_angles(done.own, truth[..., :six].reshape(*done.own.shape))
    spread = torch.log(done.sigma) + error / done.sigma
    return place + 5.0 * pace + 0.02 * spread.mean() + kl * done.kl


def sample_windows(
    streams: Sequence[Tensor], length: int, batch: int, random: torch.Generator
) -> Tensor:
    """Return windows (N, length, D), each tick of the streams as likely as any other."""
    room = torch.tensor([max(0, len(stream) - length + 1) for stream in streams], dtype=torch.float)
    picks = torch.multinomial(room, batch, replacement=True, generator=random)
    windows = []
    for pick in picks.tolist():
        at = int(torch.randint(int(room[pick]), (), generator=random))
        windows.append(streams[pick][at : at + length])
    return torch.stack(windows)


def fit(
    train: Sequence[Floats],
    takes: Sequence[Floats],
    validation: Sequence[Floats],
    joints: Sequence[str],
    shape: ModelShape,
    preset: Preset = MINI,
    recipe: Recipe = DEFAULT,
    progress: Progress = lambda step, steps, figures: None,
) -> tuple[Performer, dict[str, float]]:
    """Return a trained performer and its figures.

    Args:
        train: states (T, D) of each stream, nothing missing: what the network is trained on.
        takes: states of the single takes that the streams were made of, for the closed form.
        validation: the same of held-out takes; they choose λ, the residual's weight, the calibration.
        joints: names, in the states' order.
        shape: of the model.
        preset: its size.
        recipe: how to train.
        progress: called after each step with (step, steps, figures).
    """
    torch.manual_seed(recipe.seed)
    random = torch.Generator().manual_seed(recipe.seed)
    model = Performer(shape, preset)
    held = [torch.from_numpy(np.ascontiguousarray(take)) for take in validation]
    figures = tune_core(model, joints, takes)
    encoder = Encoder(shape.state, shape.noise)
    parameters = [*model.parameters(), *encoder.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=1e-2)
    streams = [torch.from_numpy(np.ascontiguousarray(stream)) for stream in train]
    for step in range(recipe.steps):
        share = step / recipe.steps
        warm = min(1.0, (step + 1) / 50)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * warm * 0.5 * (1 + np.cos(np.pi * share))
        ticks = max(4, round(recipe.rollout * min(1.0, 0.25 + 1.2 * share)))
        windows = sample_windows(streams, shape.history + ticks, recipe.batch, random)
        valid, generate = hidden_joints(joints, recipe.batch, ticks, random)
        done = roll_out(model, windows, valid, generate, encoder, jitter=0.03)
        loss = _loss(model, windows, valid, done, recipe.kl)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        progress(step + 1, recipe.steps, {"loss": float(loss.detach())})
    model.eval()
    figures |= calibrate(model, joints, held, random)
    return model, figures


def limb_gaps(
    model: Performer, joints: Sequence[str], held: Sequence[Tensor], ticks: int = 15, every: int = 3
) -> tuple[Tensor, Tensor]:
    """Return windows and validity: every limb lost for `ticks` all along the takes.

    A take too short for the history is preceded by its own first tick.
    """
    k = model.shape.history
    windows, valid = [], []
    for take in held:
        padded = torch.cat([take[:1].expand(k - 1, -1), take])
        for at in range(0, len(padded) - k - ticks + 1, every):
            for limb in LIMBS.values():
                lost = [i for i, name in enumerate(joints) if name in limb]
                if lost:
                    windows.append(padded[at : at + k + ticks])
                    see = torch.ones(ticks, len(joints))
                    see[:, lost] = 0
                    valid.append(see)
    return torch.stack(windows), torch.stack(valid)


def gap_error(model: Performer, windows: Tensor, valid: Tensor) -> Tensor:
    """Return degrees of error of each joint lost in each window, shape (lost,)."""
    with torch.no_grad():
        done = roll_out(model, windows, valid)
    truth = windows[:, model.shape.history :, : 6 * model.shape.joints].reshape(*valid.shape, 6)
    return six_angles(done.own, truth)[valid == 0]


_MIXES = (0.0, 0.3, 0.6)
_GAINS = (0.0, 0.5, 0.75)


def tune_core(
    model: Performer, joints: Sequence[str], takes: Sequence[Floats], folds: int = 5
) -> dict[str, float]:
    """Choose how much of the forecast and of the Gaussian fills a gap, and fit the core, in place.

    Grouped cross-validation: each fold's takes are judged by a core that was fitted without them.
    """
    folds = min(folds, len(takes))
    errors = dict.fromkeys([(mix, gain) for mix in _MIXES for gain in _GAINS], 0.0)
    penalties: list[float] = []
    model.residual.fill_(0.0)
    for fold in range(folds):
        out = [take for i, take in enumerate(takes) if i % folds == fold]
        rest = [take for i, take in enumerate(takes) if i % folds != fold]
        penalties.append(fit_core(model.core, model.shape, rest, out)["ridge_lambda"])
        windows, valid = limb_gaps(
            model, joints, [torch.from_numpy(take) for take in out], every=14
        )
        for mix, gain in errors:
            model.core.mix.fill_(mix)
            model.core.gain.fill_(gain)
            errors[mix, gain] += float(gap_error(model, windows, valid).mean()) / folds
    mix, gain = min(errors, key=lambda pair: errors[pair])
    figures = fit_core(model.core, model.shape, takes, penalty=float(np.median(penalties)))
    model.core.mix.fill_(mix)
    model.core.gain.fill_(gain)
    model.residual.fill_(1.0)
    return {
        **figures,
        "mix": mix,
        "gain": gain,
        "cross_validated_hold": errors[0.0, 0.0],
        "cross_validated_core": errors[mix, gain],
    }


def calibrate(
    model: Performer, joints: Sequence[str], held: Sequence[Tensor], random: torch.Generator
) -> dict[str, float]:
    """Choose the residual's weight and fit the confidence on held-out takes, in place."""
    from scipy.optimize import minimize

    ticks = 15
    windows = sample_windows(held, model.shape.history + ticks, 192, random)
    valid, _ = hidden_joints(joints, len(windows), ticks, random)
    truth = windows[:, model.shape.history :, : 6 * model.shape.joints]
    truth = truth.reshape(*valid.shape, 6)
    errors = {}
    lost_windows, lost_valid = limb_gaps(model, joints, held)
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        model.residual.fill_(weight)
        errors[weight] = float(gap_error(model, lost_windows, lost_valid).mean())
    best = min(errors, key=lambda weight: errors[weight])
    model.residual.fill_(best)
    with torch.no_grad():
        done = roll_out(model, windows, valid)
    spread = torch.log(done.sigma).flatten().double().numpy()
    seen = valid.flatten().double().numpy()
    hit = (six_angles(done.own, truth) <= HIT_DEGREES).flatten().double().numpy()

    def surprise(p: np.ndarray) -> float:
        logit = p[0] - p[1] * spread + p[2] * seen
        return float(np.mean(np.logaddexp(0, logit) - hit * logit) + 1e-3 * (p**2).sum())

    found = minimize(surprise, np.asarray([2.0, 1.0, 0.0]))
    model.calibration.copy_(torch.from_numpy(found.x.astype(np.float32)))
    return {
        "residual": best,
        "limb_model": errors[best],
        "confidence_log_loss": surprise(found.x),
    }
