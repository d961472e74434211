"""Make a performer from states: fit its closed form, train the rest, calibrate what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from greenroom.contracts import STYLE_TICKS, ModelShape
from greenroom.frames import LIMBS, Floats
from greenroom.training.closed_form import fit_core
from greenroom.training.lessons import Material
from greenroom.training.model import TOKENS, Performer, Preset, rows_without_guesses
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
    material: Material,
    takes: Sequence[Floats],
    validation: Sequence[Floats],
    joints: Sequence[str],
    shape: ModelShape,
    preset: Preset = TOKENS,
    recipe: Recipe = DEFAULT,
    progress: Progress = lambda step, steps, figures: None,
    keep: Path | None = None,
    processes: int = 1,
    labelled: Sequence[tuple[Tensor, int]] = (),
) -> tuple[Performer, dict[str, float]]:
    """Return a trained performer and its figures.

    Args:
        material: what the network is trained on, nothing of a body missing.
        takes: states (T, D) of the single takes that it was made of, for the closed form.
        validation: the same of held-out takes; they choose the residual's weight and the calibration.
        joints: names, in the states' order.
        shape: of the model.
        preset: its size.
        recipe: how to train.
        progress: called after each step with (step, steps, figures).
        keep: folder of the checkpoints, from which an interrupted run goes on; None keeps none.
        processes: that share each batch.
        labelled: (states, class) of held-out takes, by which a style's probabilities are calibrated.
    """
    torch.manual_seed(recipe.seed)
    model = Performer(shape, preset)
    held = [torch.from_numpy(np.ascontiguousarray(take)) for take in validation]
    figures = tune_core(model, joints, takes)
    prepare(model, material)
    run(Task(model, joints, material, recipe), keep, progress, processes)
    random = torch.Generator().manual_seed(recipe.seed)
    model.eval()
    figures |= calibrate(model, joints, held, random)
    if model.style is not None:
        figures |= sharpen(model, labelled)
    return model, figures


def prepare(model: Performer, material: Material) -> None:
    """Fit what the tasks know in closed form, in place: means, spreads, what a style is near to."""
    if model.face is not None:
        speech = torch.cat([speech for speech, _ in material.faces])
        model.speech_mean.copy_(speech.mean(0))
        model.speech_std.copy_(speech.std(0) + 1e-3)
        model.face.rest.copy_(
            torch.cat([face for _, face in material.faces]).nanmean(0).nan_to_num()
        )
    if model.style is not None:
        rows = seconds([take for take, _ in material.styles])
        model.style.fit((rows - model.core.mean) / model.core.std)


def seconds(takes: Sequence[Tensor], every: int = 5) -> Tensor:
    """Return windows of a second (N, 30, D) along takes."""
    return torch.cat(
        [take.unfold(0, STYLE_TICKS, every) for take in takes if len(take) >= STYLE_TICKS]
    ).transpose(1, 2)


def sharpen(model: Performer, labelled: Sequence[tuple[Tensor, int]]) -> dict[str, float]:
    """Choose how sharp a style's probabilities are, on held-out takes, in place.

    Temperature scaling (Guo et al. 2017, "On calibration of modern neural networks").
    """
    assert model.style is not None
    parts = [(seconds([take]), kind) for take, kind in labelled if len(take) >= STYLE_TICKS]
    if not parts:
        return {}
    rows = torch.cat([part for part, _ in parts])
    kinds = torch.cat([torch.full((len(part),), kind) for part, kind in parts])
    losses = {}
    with torch.no_grad():
        scaled = (rows - model.core.mean) / model.core.std
        for sharp in (0.2, 0.3, 0.45, 0.65, 0.8, 1.0, 1.25, 1.5):
            model.style.sharp.fill_(sharp)
            chance = model.style(scaled)[torch.arange(len(kinds)), kinds]
            losses[sharp] = float(-torch.log(chance + 1e-6).mean())
        best = min(losses, key=lambda sharp: losses[sharp])
        model.style.sharp.fill_(best)
    return {"style_sharpness": best, "style_log_loss": losses[best]}


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


def core_gap_error(model: Performer, windows: Tensor, valid: Tensor) -> Tensor:
    """Return the same of the closed form alone, without a pass of the network."""
    core, shape = model.core, model.shape
    k, n = shape.history, len(windows)
    scaled = (windows - core.mean) / core.std
    history, known = scaled[:, :k], torch.ones(n, k, shape.joints)
    own = []
    for t in range(valid.shape[1]):
        see = valid[:, t]
        trust = torch.cat([see.repeat_interleave(6, -1), see[:, :1].expand(-1, 4)], -1)
        seen = core.last_seen(history, known, trust)
        if model.trunk is not None:
            history = rows_without_guesses(history, known, seen, trust)
        now = core(history, seen, trust * scaled[:, k + t], trust)
        own.append(now)
        history = torch.cat([history[:, 1:], now[:, None]], 1)
        known = torch.cat([known[:, 1:], see[:, None]], 1)
    six = 6 * shape.joints
    said = (torch.stack(own, 1) * core.std + core.mean)[..., :six].reshape(*valid.shape, 6)
    truth = windows[:, k:, :six].reshape(*valid.shape, 6)
    return six_angles(said, truth)[valid == 0]


_MIXES = (0.0, 0.3, 0.6)
_GAINS = (0.0, 0.5, 0.75)


def tune_core(
    model: Performer, joints: Sequence[str], takes: Sequence[Floats], folds: int = 5
) -> dict[str, float]:
    """Choose how much of the forecast and of the Gaussian fills a gap, and fit the core, in place.

    Grouped cross-validation: each fold's takes are judged by a core that was fitted without them; where
    there is one take only, with it.
    """
    folds = min(folds, len(takes))
    errors = dict.fromkeys([(mix, gain) for mix in _MIXES for gain in _GAINS], 0.0)
    penalties: list[float] = []
    for fold in range(folds):
        out = [take for i, take in enumerate(takes) if i % folds == fold]
        rest = [take for i, take in enumerate(takes) if i % folds != fold] or out
        penalties.append(fit_core(model.core, model.shape, rest, out)["ridge_lambda"])
        windows, valid = limb_gaps(
            model, joints, [torch.from_numpy(take) for take in out], every=14, most=120
        )
        for mix, gain in errors:
            model.core.mix.fill_(mix)
            model.core.gain.fill_(gain)
            with torch.no_grad():
                error = core_gap_error(model, windows, valid).mean()
            errors[mix, gain] += float(error) / folds
    mix, gain = min(errors, key=lambda pair: errors[pair])
    figures = fit_core(model.core, model.shape, takes, penalty=float(np.median(penalties)))
    model.core.mix.fill_(mix)
    model.core.gain.fill_(gain)
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
