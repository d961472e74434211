"""Make a performer from states: fit its closed form, train the rest, calibrate what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from greenroom.contracts import ModelShape
from greenroom.frames import LIMBS, Floats
from greenroom.training.closed_form import fit_core
from greenroom.training.model import MINI, Performer, Preset
from greenroom.training.rollout import (
    DEFAULT,
    Progress,
    Recipe,
    hidden_joints,
    roll_out,
    sample_windows,
    six_angles,
)
from greenroom.training.task import Task, run

HIT_DEGREES = 10.0
"""Confidence is the probability that a joint is within this of the truth."""


def fit(
    train: Sequence[Floats],
    takes: Sequence[Floats],
    validation: Sequence[Floats],
    joints: Sequence[str],
    shape: ModelShape,
    preset: Preset = MINI,
    recipe: Recipe = DEFAULT,
    progress: Progress = lambda step, steps, figures: None,
    keep: Path | None = None,
    processes: int = 1,
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
        keep: folder of the checkpoints, from which an interrupted run goes on; None keeps none.
        processes: that share each batch.
    """
    torch.manual_seed(recipe.seed)
    model = Performer(shape, preset)
    held = [torch.from_numpy(np.ascontiguousarray(take)) for take in validation]
    figures = tune_core(model, joints, takes)
    streams = [torch.from_numpy(np.ascontiguousarray(stream)) for stream in train]
    run(Task(model, joints, streams, recipe), keep, progress, processes)
    random = torch.Generator().manual_seed(recipe.seed)
    model.eval()
    figures |= calibrate(model, joints, held, random)
    return model, figures


def limb_gaps(
    model: Performer,
    joints: Sequence[str],
    held: Sequence[Tensor],
    ticks: int = 15,
    every: int = 3,
    most: int = 600,
) -> tuple[Tensor, Tensor]:
    """Return windows and validity: every limb lost for `ticks` all along the takes.

    A take too short for the history is preceded by its own first tick. Of more than `most` windows so
    many are taken, evenly.
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
    picks = np.linspace(0, len(windows) - 1, min(len(windows), most)).astype(int)
    return torch.stack([windows[i] for i in picks]), torch.stack([valid[i] for i in picks])


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
            model, joints, [torch.from_numpy(take) for take in out], every=14, most=120
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
