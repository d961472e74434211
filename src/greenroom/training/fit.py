"""Make a performer from states: fit its closed form, train the rest, calibrate what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from greenroom.clock import TICK_HZ
from greenroom.contracts import RIDGE_HORIZON, ModelShape
from greenroom.features.noise import NoiseWalk
from greenroom.frames import LIMBS, Floats
from greenroom.metrics.motion import QUIET, joint_pace, quiet_pace
from greenroom.networks.motion_net import TOKENS, MotionNet, Preset
from greenroom.networks.style import fit_styles
from greenroom.networks.trunk import LATELY, recent_motion
from greenroom.training.closed_form import fit_core
from greenroom.training.objectives import SPEEDS, TrainingData, run_network
from greenroom.training.preview import Preview
from greenroom.training.rollout import (
    DEFAULT,
    Progress,
    Recipe,
    free_run,
    roll_out,
    sample_dropout_mask,
    sample_windows,
    torch_angles_6d,
)
from greenroom.training.trainer import MotionTask, run_training

HIT_DEGREES = 10.0
"""Confidence is the probability that a joint is within this of the truth."""


def fit(
    material: TrainingData,
    takes: Sequence[Floats],
    validation: Sequence[Floats],
    joints: Sequence[str],
    shape: ModelShape,
    preset: Preset = TOKENS,
    recipe: Recipe = DEFAULT,
    progress: Progress = lambda step, steps, figures: None,
    keep: Path | None = None,
    processes: int = 1,
    start: Mapping[str, Tensor] | None = None,
    clip_recorder: Preview | None = None,
    warn: Callable[[str], None] = lambda what: None,
) -> tuple[MotionNet, dict[str, float]]:
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
        start: what another performer had learned, by name; what fits is where this one begins. The
            closed form is fitted anew in any case.
        clip_recorder: what is shown of it on the way; None for nothing.
        warn: called with one line for what of `start` is of no use.
    """
    torch.manual_seed(recipe.seed)
    model = MotionNet(shape, preset)
    reinitialised = load_matching_weights(model, start or {})
    if start and reinitialised:
        warn(f"learned afresh, as the start has none of these sizes: {', '.join(reinitialised)}")
    heldout = [torch.from_numpy(np.ascontiguousarray(take)) for take in validation]
    figures = fit_core(model.core, shape, joints, takes)
    figures |= prepare(model, material)
    if model.trunk is not None:
        model.trunk.reflect(joints, model.core.mean, model.core.std)
    run_training(
        MotionTask(model, joints, material, recipe), keep, progress, processes, clip_recorder
    )
    random = torch.Generator().manual_seed(recipe.seed)
    model.eval()
    figures |= calibrate(model, joints, heldout, random)
    if model.trunk is not None:
        figures |= fit_residual_gains(model, heldout)
        quiet = quiet_pace(take[:, : 6 * len(joints)].numpy() for take in material.takes)
        figures |= tune_free_run(model, heldout, random, find_rest_state(material.streams), quiet)
    return model, figures


def load_matching_weights(model: MotionNet, start: Mapping[str, Tensor]) -> list[str]:
    """Copy into a model what another had learned, in place; return the parts that begin afresh.

    A part whose numbers have other shapes begins afresh as a whole: half of it would say noise.
    """
    mine = dict(model.named_parameters())
    others = {
        _part(name) for name in mine if name in start and start[name].shape != mine[name].shape
    }
    with torch.no_grad():
        for name, weight in mine.items():
            if name in start and _part(name) not in others:
                weight.copy_(start[name])
    return sorted(others | {_part(name) for name in mine} - {_part(name) for name in start})


def _part(name: str) -> str:
    """Return the part of a network that a parameter belongs to."""
    return name.split(".")[0]


def prepare(model: MotionNet, material: TrainingData) -> dict[str, float]:
    """Fit what the tasks know in closed form, in place; return the figures of what was fitted."""
    if model.trunk is not None:
        model.trunk.usual.copy_(rms_amplitude(model, material.takes))
        model.trunk.scale.copy_(residual_rms(model, material.takes))
    if model.face is not None:
        speech = torch.cat([speech for speech, _ in material.faces])
        model.speech_mean.copy_(speech.mean(0))
        model.speech_std.copy_(speech.std(0) + 1e-3)
        model.face.rest.copy_(
            torch.cat([face for _, face in material.faces]).nanmean(0).nan_to_num()
        )
    if model.style is None:
        return {}
    rows = [(take - model.core.mean) / model.core.std for take, _, _ in material.styles]
    kinds, contents = zip(*((kind, content) for _, kind, content in material.styles), strict=True)
    return fit_styles(model.style, rows, kinds, contents)


def rms_amplitude(model: MotionNet, takes: Sequence[Tensor]) -> Tensor:
    """Return how much a body moves in takes: the rms over all moments of what `recent_motion` says."""
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


def residual_rms(model: MotionNet, takes: Sequence[Tensor]) -> Tensor:
    """Return how far off forecasts are before the trunk adds anything: rms (H, 6 J), normalised."""
    sums = torch.zeros(len(model.shape.horizons), 6 * model.shape.joints, dtype=torch.double)
    count = 0
    for coming, plain in forecasts(model, takes):
        sums += ((coming - plain) ** 2).sum(0)
        count += len(coming)
    return torch.sqrt(sums / max(1, count) + 1e-8).float()


def forecasts(model: MotionNet, takes: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield of each take what comes (N, H, 6 J), and what the closed form says of it, normalised."""
    k, horizons, six = model.shape.history, model.shape.horizons, 6 * model.shape.joints
    for take in takes:
        rows = (take - model.core.mean) / model.core.std
        rows = torch.cat([rows[:1].expand(k - 2, -1), rows])
        count = len(rows) - k - max(horizons) + 1
        if count > 0:
            past = rows.unfold(0, k, 1)[:count].transpose(1, 2)
            coming = torch.stack([rows[k - 1 + h : k - 1 + h + count, :six] for h in horizons], 1)
            yield coming, model.plain_forecast(past)


_PULL = 1e-3
"""Towards what a horizon earns at all amplitudes, which is what it earns where nothing is known."""
_STILL = 0.1
"""Of the mean squared way, added to each one's: else who does not move would be all that counts."""
_LEAST_PULL = 0.1
"""The least pull at one tick, of that elsewhere: the quiet count most, and would draw the lively."""
_MOST_WINDOWS = 600
"""Of one take, when forecasts are weighed."""


def fit_residual_gains(model: MotionNet, takes: Sequence[Tensor]) -> dict[str, float]:
    """Choose how much of the trunk's addition each forecast is given, on held-out takes, in place.

    The least squares of truth on addition, in [0, 1], a number a horizon and amplitude, drawn a little
    towards the horizon's own. What is worth saying of a lively body may be noise of a quiet one.

    Over one tick, where a ridge stands below, a window counts the less the further the body went: else a
    few lively moments decide how much worse than the ridge a quiet body is forecast. Where no take is
    long enough, nothing is earned.

    Returns:
        What each horizon earns at all amplitudes, as `forecast_gain_` and its ticks.
    """
    from scipy.optimize import lsq_linear

    trunk = model.trunk
    assert trunk is not None
    k, horizons, six = model.shape.history, model.shape.horizons, 6 * model.shape.joints
    all_captured = torch.ones(1, k + 1, model.shape.joints)
    bin_weights = [torch.zeros(0, trunk.earned.shape[1], dtype=torch.double)]
    known_flags = [torch.zeros(0)]
    sums = [torch.zeros(3, 0, len(horizons), dtype=torch.double)]
    for take in takes:
        rows = torch.cat([take[:1].expand(k - 2, -1), take])
        count = len(rows) - k - max(horizons)
        if count < 1:
            continue
        every = max(3, count // _MOST_WINDOWS)
        windows = rows.unfold(0, k + 1, every)[: max(1, count // every)].transpose(1, 2)
        mask = all_captured.expand(len(windows), -1, -1)
        scaled = (windows - model.core.mean) / model.core.std
        with torch.no_grad():
            outputs = dict(
                zip(
                    model.shape.outputs(),
                    run_network(model, windows, mask, torch.zeros(len(windows))),
                    strict=True,
                )
            )
            amplitude, is_known = trunk.size(scaled[:, :k], mask[:, :k])
            bin_weights.append(trunk.near(amplitude, is_known).double())
            known_flags.append(is_known[:, 0])
        baseline = (
            model.plain_forecast(scaled[:, 1:]) * model.core.std[:six] + model.core.mean[:six]
        )
        ends = [rows.unfold(0, k + 1 + h, every)[: len(windows), :six, -1] for h in horizons]
        future = torch.stack(ends, 1)
        addition = (outputs["forecast"] - baseline).double()
        displacement = (future - windows[:, k : k + 1, :six]).double()
        parts = (addition**2, (future - baseline) * addition, displacement**2)
        sums.append(torch.stack([part.sum(-1) for part in parts]))
    amplitude_weights, amplitude_known = torch.cat(bin_weights), torch.cat(known_flags) >= 1
    addition_squared, addition_dot_residual, displacement_squared = torch.cat(sums, 1)
    figures = {}
    for i, ahead in enumerate(horizons):
        weighted, share = amplitude_weights, 1.0
        if ahead == RIDGE_HORIZON:
            window_weights = _window_weights(
                displacement_squared[:, i], amplitude_weights, amplitude_known
            )
            weighted, share = amplitude_weights * window_weights[:, None], _LEAST_PULL
        squares = (weighted * addition_squared[:, i, None]).T @ amplitude_weights
        along = weighted.T @ addition_dot_residual[:, i]
        overall_gain = float((along.sum() / squares.sum().clamp(min=1e-9)).clamp(0, 1))
        pull = _PULL * squares.diag().clamp(min=share * float(squares.trace())) + 1e-9
        root = torch.linalg.cholesky(squares + pull.diag())
        target = torch.linalg.solve_triangular(
            root, (along + pull * overall_gain)[:, None], upper=False
        )
        gains = lsq_linear(root.T.numpy(), target[:, 0].numpy(), bounds=(0, 1)).x
        trunk.earned[i] = torch.from_numpy(np.asarray(gains, np.float32))
        figures[f"forecast_gain_{ahead}"] = overall_gain
    return figures


def _window_weights(
    displacement_squared: Tensor, amplitude_weights: Tensor, amplitude_known: Tensor
) -> Tensor:
    """Return how much each window counts (N,): the less, the further the body went.

    One whose amplitude is not known counts as the mean of the others at the amplitude it is taken for: a
    body that was not there yet may be a lively one.

    Args:
        displacement_squared: squared ways (N,).
        amplitude_weights: each amplitude (N, 6).
        amplitude_known: whether the amplitude is (N,).
    """
    counts = 1 / (displacement_squared / displacement_squared.mean().clamp(min=1e-9) + _STILL)
    known_weights = amplitude_weights[amplitude_known]
    mean = counts[amplitude_known].mean().nan_to_num(1.0)
    means = (known_weights.T @ counts[amplitude_known] + 1e-9 * mean) / (
        known_weights.sum(0) + 1e-9
    )
    return torch.where(amplitude_known, counts, amplitude_weights @ means)


_BRAKE = 0.75
"""Share of the root's speeds lost with each tick where nobody is captured: no more than feet hold."""
_REST = 0.1
"""Share of the way to rest taken back with each tick: else the pose leaves the floor in a minute."""
_WIDER = (1.0, 1.5, 2.0, 3.0, 4.0)
"""How much wider draws may be than those that the network was taught with."""
_STILLEST, _MOST_STILL = 0.05, 1000
"""Share of moments that are rest, and how many of them are compared."""
_TREMOR = 1.5
"""Of the recordings' jerk, which no way to go on may pass."""
_WAYS, _FEWER, _LONG = 48, 16, 300
"""Ways to go on, those of them whose pace is looked at, and their ticks."""
_MARGIN = 0.75
"""Of the most that is calm for ten seconds: what swings wider by a hundredth a second shows later."""


def tune_free_run(
    model: MotionNet,
    takes: Sequence[Tensor],
    random: torch.Generator,
    rest: Tensor,
    quiet: float,
) -> dict[str, float]:
    """Choose how a body goes on whom nobody captures for long, in place, by ways of ten seconds.

    It is given three quarters of the most of the residual with which none of 48 ways trembles in its
    second half: a short roll-out teaches how to begin, not to stay calm. It is drawn to a state of
    rest (D,). And its draws are the least wide with which 16 of the ways, none of them trembling, have
    no more quiet seconds than the actor; where they have with any, those with which they have fewest.

    Args:
        model: trained.
        takes: held-out states (T, D), from which to go on.
        random: chooses where.
        rest: of :func:`find_rest_state`.
        quiet: degrees a second below which a second of the actor's is quiet, as one in twenty is.
    """
    k, six = model.shape.history, 6 * model.shape.joints
    model.calm.fill_(_REST)
    model.calm[-SPEEDS:] = _BRAKE
    model.rest.copy_((rest - model.core.mean) / model.core.std)
    draws = [NoiseWalk(seed, model.shape.noise) for seed in range(_WAYS)]
    walks = torch.from_numpy(
        np.stack([[draw.next().copy() for _ in range(_LONG)] for draw in draws])
    )
    starts = sample_windows(takes, k, _WAYS, random)

    def later(weight: float, wider: float, ways: int) -> tuple[Tensor, float]:
        """Return the second half of ways to go on, and the most any of them trembles."""
        model.alone.fill_(weight)
        model.wider.fill_(wider)
        with torch.no_grad():
            rotations = free_run(model, starts[:ways], walks[:ways])[:, _LONG // 2 :, :six]
        return rotations, float(_jerk(rotations).mean(1).max())

    most = _TREMOR * float(torch.cat([_jerk(take[None, :, :six])[0] for take in takes]).mean())
    for weight in (1.0, 0.75, 0.5, 0.25):
        worst = later(weight, 1.0, _WAYS)[1]
        if worst <= most:
            break
    still: dict[float, float] = {}
    for wider in _WIDER:
        rotations, tremor = later(_MARGIN * weight, wider, _FEWER)
        if still and tremor > most:
            break
        still[wider] = float(
            (np.concatenate([joint_pace(way.numpy()) for way in rotations]) < quiet).mean()
        )
        if still[wider] <= QUIET:
            break
    wider = min(still, key=lambda scale: still[scale])  # of equals the first, the least
    model.wider.fill_(wider)
    return {
        "free_run": _MARGIN * weight,
        "free_run_worst_jerk": worst / most * _TREMOR,
        "free_run_wider": wider,
        "free_run_still": still[wider],
    }


def find_rest_state(takes: Sequence[Tensor]) -> Tensor:
    """Return the state (D,) in which an actor rests: a moment that was, with a root that stands.

    Of the twentieth part of moments with the least movement in the second about them, and of these the
    taller half, the one that is nearest to the others: no mean of poses, which no body might have.

    Args:
        takes: states (T, D); those shorter than a second count where all are.
    """
    takes = [take for take in takes if len(take) > TICK_HZ] or takes
    quiet, states = [], []
    for take in takes:
        steps = take[:, :-4].diff(dim=0, prepend=take[:1, :-4]).abs().mean(1)
        second = min(TICK_HZ, len(take))
        quiet.append(steps.unfold(0, second, 1).mean(1))
        states.append(take[second // 2 :][: len(quiet[-1])])
    rows = torch.cat(states)[torch.cat(quiet).argsort(stable=True)]
    rows = rows[: max(1, int(_STILLEST * len(rows)))]
    rows = rows[rows[:, -4] >= rows[:, -4].median()]
    rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), _MOST_STILL)).long()]
    poses = rows[:, :-SPEEDS] / (torch.cat(takes)[:, :-SPEEDS].std(0, correction=0) + 1e-6)
    rest_state = rows[torch.cdist(poses, poses).sum(1).argmin()].clone()
    rest_state[-SPEEDS:] = 0
    return rest_state


def _jerk(six: Tensor) -> Tensor:
    """Return the mean size of third differences of rotations (N, T, 6 J) at each tick (N, T - 3)."""
    return six.diff(n=3, dim=1).abs().mean(-1)


_GAP, _EVERY, _MOST_GAPS = 15, 3, 600


def limb_gaps(
    model: MotionNet, joints: Sequence[str], heldout: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return windows and validity: every limb lost for half a second all along the takes.

    A take too short for the history is preceded by its own first tick. Of more than 600 windows so many
    are taken, evenly.
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
    """Return degrees of error of each joint lost in each window, shape (lost,)."""
    with torch.no_grad():
        rollout = roll_out(model, windows, valid)
    truth = windows[:, model.shape.history :, : 6 * model.shape.joints].reshape(*valid.shape, 6)
    return torch_angles_6d(rollout.own, truth)[valid == 0]


def calibrate(
    model: MotionNet, joints: Sequence[str], heldout: Sequence[Tensor], random: torch.Generator
) -> dict[str, float]:
    """Choose the residual's weight and fit the confidence on held-out takes, in place."""
    from scipy.optimize import minimize

    ticks = 15
    windows = sample_windows(heldout, model.shape.history + ticks, 192, random)
    valid, _ = sample_dropout_mask(joints, len(windows), ticks, random)
    truth = windows[:, model.shape.history :, : 6 * model.shape.joints]
    truth = truth.reshape(*valid.shape, 6)
    errors = {}
    lost_windows, lost_valid = limb_gaps(model, joints, heldout)
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        model.residual.fill_(weight)
        errors[weight] = float(gap_error(model, lost_windows, lost_valid).mean())
    best = min(errors, key=lambda weight: errors[weight])
    model.residual.fill_(best)
    with torch.no_grad():
        done = roll_out(model, windows, valid)
    spread = torch.log(done.sigma).flatten().double().numpy()
    captured = valid.flatten().double().numpy()
    hit = (torch_angles_6d(done.own, truth) <= HIT_DEGREES).flatten().double().numpy()

    def surprise(p: np.ndarray) -> float:
        logit = p[0] - p[1] * spread + p[2] * captured
        return float(np.mean(np.logaddexp(0, logit) - hit * logit) + 1e-3 * (p**2).sum())

    solution = minimize(surprise, np.asarray([2.0, 1.0, 0.0]))
    model.calibration.copy_(torch.from_numpy(solution.x.astype(np.float32)))
    return {
        "residual": best,
        "limb_model": errors[best],
        "confidence_log_loss": surprise(solution.x),
    }
