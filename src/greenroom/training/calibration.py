"""Calibrate a trained network on held-out takes: weight of the residual, and confidence.

Shapes: T ticks, D state width, K history ticks, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from greenroom.clock import TICK_HZ
from greenroom.frames import LIMBS, Floats
from greenroom.networks.motion_net import MotionNet
from greenroom.training.rollout import (
    roll_out,
    sample_dropout_mask,
    sample_windows,
    torch_angles_6d,
)

HIT_DEGREES = 10.0
"""Confidence is the probability that a joint is within this of the truth."""
_GAP, _EVERY, _MOST_GAPS = 15, 3, 600


def limb_gaps(
    model: MotionNet, joints: Sequence[str], heldout: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return windows (N, K + 15, D) and validity (N, 15, J): each limb missing for half a second.

    They lie all along the takes, at most 600 of them, evenly. A take too short for the history repeats
    its first tick.
    """
    k = model.shape.history
    windows, valid = [], []
    for take in heldout:
        padded = torch.cat([take[:1].expand(k - 1, -1), take])
        for start in range(0, len(padded) - k - _GAP + 1, _EVERY):
            for limb in LIMBS.values():
                lost = [i for i, name in enumerate(joints) if name in limb]
                if lost:
                    windows.append(padded[start : start + k + _GAP])
                    mask = torch.ones(_GAP, len(joints))
                    mask[:, lost] = 0
                    valid.append(mask)
    picks = np.linspace(0, len(windows) - 1, min(len(windows), _MOST_GAPS)).astype(int)
    return torch.stack([windows[i] for i in picks]), torch.stack([valid[i] for i in picks])


def gap_error(model: MotionNet, windows: Tensor, valid: Tensor) -> Tensor:
    """Return degrees of error of each missing joint of each window, flat."""
    with torch.no_grad():
        rollout = roll_out(model, windows, valid)
    truth = windows[:, model.shape.history :, : 6 * model.shape.joints].reshape(*valid.shape, 6)
    return torch_angles_6d(rollout.own, truth)[valid == 0]


def calibrate(
    model: MotionNet, joints: Sequence[str], heldout: Sequence[Tensor], random: torch.Generator
) -> dict[str, float]:
    """Choose the residual's weight and fit the confidence on held-out takes, in place.

    Returns:
        residual, limb_model (degrees) and confidence_log_loss.
    """
    windows = sample_windows(heldout, model.shape.history + _GAP, 192, random)
    valid, _ = sample_dropout_mask(joints, len(windows), _GAP, random)
    best, error = _choose_residual(model, *limb_gaps(model, joints, heldout))
    model.residual.fill_(best)
    return {
        "residual": best,
        "limb_model": error,
        "confidence_log_loss": _fit_confidence(model, windows, valid),
    }


def _choose_residual(model: MotionNet, windows: Tensor, valid: Tensor) -> tuple[float, float]:
    """Return the residual's weight with the least error on gaps, and that error in degrees."""
    errors = {}
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        model.residual.fill_(weight)
        errors[weight] = float(gap_error(model, windows, valid).mean())
    best = min(errors, key=lambda weight: errors[weight])
    return best, errors[best]


def _fit_confidence(model: MotionNet, windows: Tensor, valid: Tensor) -> float:
    """Fit the logistic regression of confidence on ln sigma and validity, in place; return its loss."""
    from scipy.optimize import minimize

    truth = windows[:, model.shape.history :, : 6 * model.shape.joints].reshape(*valid.shape, 6)
    with torch.no_grad():
        rollout = roll_out(model, windows, valid)
    spread = torch.log(rollout.sigma).flatten().double().numpy()
    captured = valid.flatten().double().numpy()
    hit = (torch_angles_6d(rollout.own, truth) <= HIT_DEGREES).flatten().double().numpy()

    def log_loss(p: np.ndarray) -> float:
        logit = p[0] - p[1] * spread + p[2] * captured
        return float(np.mean(np.logaddexp(0, logit) - hit * logit) + 1e-3 * (p**2).sum())

    solution = minimize(log_loss, np.asarray([2.0, 1.0, 0.0]))
    model.calibration.copy_(torch.from_numpy(solution.x.astype(np.float32)))
    return log_loss(solution.x)


def holdout_figures(
    model: MotionNet, joints: Sequence[str], test: Sequence[Floats]
) -> dict[str, float]:
    """Return figures on test takes, on which nothing was trained or chosen.

    Degrees of error of a limb's joints, the limb removed for 0.5 s: hold, closed form, model.

    Args:
        model: calibrated.
        joints: names, in the states' order.
        test: states (T, D).
    """
    takes = [torch.from_numpy(take) for take in test]
    windows, valid = limb_gaps(model, joints, takes)
    residual = float(model.residual)
    ours = gap_error(model, windows, valid)
    model.residual.fill_(0.0)
    core = gap_error(model, windows, valid)
    model.residual.fill_(residual)
    k, six = model.shape.history, 6 * model.shape.joints
    last = windows[:, k - 1 : k, :six].reshape(len(windows), 1, -1, 6)
    truth = windows[:, k:, :six].reshape(*valid.shape, 6)
    hold = torch_angles_6d(last.expand_as(truth), truth)[valid == 0]
    speeds = torch.cat([_speeds(take, six) for take in takes])
    return {
        "test_takes": float(len(test)),
        "test_windows": float(len(windows)),
        "test_limbs": float(len(LIMBS)),
        "test_limb_hold_degrees": float(hold.mean()),
        "test_limb_core_degrees": float(core.mean()),
        "test_limb_model_degrees": float(ours.mean()),
        "test_median_joint_speed": float(speeds.median()),
    }


def _speeds(take: Tensor, six: int) -> Tensor:
    """Return joint speeds in degrees a second of states (T, D)."""
    turns = take[:, :six].reshape(len(take), -1, 6)
    return (torch_angles_6d(turns[1:], turns[:-1]) * TICK_HZ).flatten()
