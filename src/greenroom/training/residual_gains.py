"""Fit how much of the trunk's addition each forecast is given, on held-out takes.

Shapes: N windows, K history ticks, D state width, H horizons, J joints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from greenroom.contracts import RIDGE_HORIZON
from greenroom.networks.motion_net import TrunkNet
from greenroom.networks.trunk import LATELY, recent_motion
from greenroom.training.objectives import run_network

_PULL = 1e-3
"""Of an amplitude's gain towards that of all amplitudes together."""
_STILL = 0.1
"""Share of the mean squared displacement added to each: else bodies at rest alone would count."""
_LEAST_PULL = 0.1
"""Least pull over one tick, relative to that of other horizons: quiet windows count most there."""
_MOST_WINDOWS = 600
"""Windows of one take."""


def rms_amplitude(model: TrunkNet, takes: Sequence[Tensor]) -> Tensor:
    """Return the rms over all ticks of takes of a body's amplitude (`recent_motion`)."""
    six, sums, count = 6 * model.shape.joints, 0.0, 0
    all_captured = torch.ones(1, 1, model.shape.joints)
    for take in takes:
        if len(take) >= LATELY:
            rows = ((take - model.core.mean) / model.core.std)[:, :six]
            rows = rows.unfold(0, LATELY, 1).transpose(1, 2)
            mask = all_captured.expand(len(rows), LATELY, -1)
            sums += float((recent_motion(rows, mask)[0].double() ** 2).sum())
            count += len(rows)
    return torch.tensor((sums / count) ** 0.5 if count else 1.0)


def residual_rms(model: TrunkNet, takes: Sequence[Tensor]) -> Tensor:
    """Return the rms error (H, 6 J) of forecasts before the trunk adds to them, normalised."""
    sums = torch.zeros(len(model.shape.horizons), 6 * model.shape.joints, dtype=torch.double)
    count = 0
    for coming, plain in forecasts(model, takes):
        sums += ((coming - plain) ** 2).sum(0)
        count += len(coming)
    return torch.sqrt(sums / max(1, count) + 1e-8).float()


def forecasts(model: TrunkNet, takes: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield of each take the future (N, H, 6 J), and its closed-form forecast, normalised."""
    k, horizons, six = model.shape.history, model.shape.horizons, 6 * model.shape.joints
    for take in takes:
        rows = (take - model.core.mean) / model.core.std
        rows = torch.cat([rows[:1].expand(k - 2, -1), rows])
        count = len(rows) - k - max(horizons) + 1
        if count > 0:
            past = rows.unfold(0, k, 1)[:count].transpose(1, 2)
            coming = torch.stack([rows[k - 1 + h : k - 1 + h + count, :six] for h in horizons], 1)
            yield coming, model.plain_forecast(past)


@dataclass(frozen=True)
class ForecastErrors:
    """Sums over the channels of forecasts of windows, in float64.

    Attributes:
        amplitude_weights: weights of each of `SIZES` (N, 6).
        amplitude_known: whether the amplitude is known (N,).
        addition_squared: squared addition of the trunk (N, H).
        addition_dot_residual: addition times the error without it (N, H).
        displacement_squared: squared displacement of the body (N, H).
    """

    amplitude_weights: Tensor
    amplitude_known: Tensor
    addition_squared: Tensor
    addition_dot_residual: Tensor
    displacement_squared: Tensor


def fit_residual_gains(model: TrunkNet, takes: Sequence[Tensor]) -> dict[str, float]:
    """Fit the gain of the trunk's addition to each forecast on held-out takes, in place.

    The least squares of truth on addition, in [0, 1], a number a horizon and amplitude, drawn a little
    towards the horizon's own: an addition that helps a lively body may be noise of a quiet one. Over one
    tick, where a ridge stands below, a window counts the less, the further the body moved: else a few
    lively moments decide how much worse than the ridge a quiet body is forecast. Where no take is long
    enough, the gain is 0.

    Returns:
        Each horizon's gain over all amplitudes, as `forecast_gain_` and its ticks.
    """
    errors = _forecast_errors(model, takes)
    figures = {}
    for i, ahead in enumerate(model.shape.horizons):
        gains, overall = _fit_horizon(errors, i, is_ridge=ahead == RIDGE_HORIZON)
        model.trunk.forecast_gain[i] = gains
        figures[f"forecast_gain_{ahead}"] = overall
    return figures


def _forecast_errors(model: TrunkNet, takes: Sequence[Tensor]) -> ForecastErrors:
    """Return the sums of windows all along takes (T, D)."""
    horizons = model.shape.horizons
    bin_weights = [torch.zeros(0, model.trunk.forecast_gain.shape[1], dtype=torch.double)]
    known_flags = [torch.zeros(0)]
    sums = [torch.zeros(3, 0, len(horizons), dtype=torch.double)]
    for take in takes:
        rows = torch.cat([take[:1].expand(model.shape.history - 2, -1), take])
        count = len(rows) - model.shape.history - max(horizons)
        if count >= 1:
            weights, is_known, parts = _take_errors(model, rows, count)
            bin_weights.append(weights)
            known_flags.append(is_known)
            sums.append(parts)
    return ForecastErrors(torch.cat(bin_weights), torch.cat(known_flags) >= 1, *torch.cat(sums, 1))


def _take_errors(model: TrunkNet, rows: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a take's amplitude weights (N, 6), whether these are known (N,), and sums (3, N, H).

    Args:
        model: trained.
        rows: states (T, D).
        count: windows that there are.
    """
    k, horizons, six = model.shape.history, model.shape.horizons, 6 * model.shape.joints
    every = max(3, count // _MOST_WINDOWS)
    windows = rows.unfold(0, k + 1, every)[: max(1, count // every)].transpose(1, 2)
    mask = torch.ones(len(windows), k + 1, model.shape.joints)
    scaled = (windows - model.core.mean) / model.core.std
    with torch.no_grad():
        raw_outputs = run_network(model, windows, mask, torch.zeros(len(windows)))
        amplitude, is_known = model.trunk.amplitude(scaled[:, :k], mask[:, :k])
        weights = model.trunk.amplitude_weights(amplitude, is_known).double()
    forecast = dict(zip(model.shape.outputs(), raw_outputs, strict=True))["forecast"]
    baseline = model.plain_forecast(scaled[:, 1:]) * model.core.std[:six] + model.core.mean[:six]
    ends = [rows.unfold(0, k + 1 + h, every)[: len(windows), :six, -1] for h in horizons]
    future = torch.stack(ends, 1)
    addition = (forecast - baseline).double()
    displacement = (future - windows[:, k : k + 1, :six]).double()
    parts = (addition**2, (future - baseline) * addition, displacement**2)
    return weights, is_known[:, 0], torch.stack([part.sum(-1) for part in parts])


def _fit_horizon(errors: ForecastErrors, horizon: int, is_ridge: bool) -> tuple[Tensor, float]:
    """Return a horizon's gain at each amplitude (6,), and over all of them.

    Args:
        errors: of the windows.
        horizon: its index.
        is_ridge: whether it stands on a ridge.
    """
    from scipy.optimize import lsq_linear

    weighted, share = errors.amplitude_weights, 1.0
    if is_ridge:
        window_weights = _window_weights(
            errors.displacement_squared[:, horizon],
            errors.amplitude_weights,
            errors.amplitude_known,
        )
        weighted, share = errors.amplitude_weights * window_weights[:, None], _LEAST_PULL
    squares = (weighted * errors.addition_squared[:, horizon, None]).T @ errors.amplitude_weights
    along = weighted.T @ errors.addition_dot_residual[:, horizon]
    overall = float((along.sum() / squares.sum().clamp(min=1e-9)).clamp(0, 1))
    pull = _PULL * squares.diag().clamp(min=share * float(squares.trace())) + 1e-9
    root = torch.linalg.cholesky(squares + pull.diag())
    target = torch.linalg.solve_triangular(root, (along + pull * overall)[:, None], upper=False)
    gains = lsq_linear(root.T.numpy(), target[:, 0].numpy(), bounds=(0, 1)).x
    return torch.from_numpy(np.asarray(gains, np.float32)), overall


def _window_weights(
    displacement_squared: Tensor, amplitude_weights: Tensor, amplitude_known: Tensor
) -> Tensor:
    """Return the weight of each window (N,): the less, the further the body moved.

    One whose amplitude is not known counts as the mean of the others at the amplitude that stands in.

    Args:
        displacement_squared: squared displacement (N,).
        amplitude_weights: weights of each of `SIZES` (N, 6).
        amplitude_known: whether the amplitude is known (N,).
    """
    counts = 1 / (displacement_squared / displacement_squared.mean().clamp(min=1e-9) + _STILL)
    known_weights = amplitude_weights[amplitude_known]
    mean = counts[amplitude_known].mean().nan_to_num(1.0)
    means = (known_weights.T @ counts[amplitude_known] + 1e-9 * mean) / (
        known_weights.sum(0) + 1e-9
    )
    return torch.where(amplitude_known, counts, amplitude_weights @ means)
