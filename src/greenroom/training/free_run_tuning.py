"""Tune free running without capture: residual gain, pull to rest, noise scale.

Shapes: N runs, T ticks, D state width, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from greenroom.clock import TICK_HZ
from greenroom.features.noise import NoiseWalk
from greenroom.metrics.motion import QUIET, joint_pace
from greenroom.networks.motion_net import TrunkNet
from greenroom.training.objectives import SPEEDS
from greenroom.training.rollout import free_run, sample_windows

_BRAKE = 0.75
"""Pull of the root's speeds to 0 with each tick: no more than feet hold."""
_REST = 0.1
"""Pull of the pose to rest with each tick: without it the pose leaves the floor in a minute."""
_GAINS = (1.0, 0.75, 0.5, 0.25)
_NOISE_SCALES = (1.0, 1.5, 2.0, 3.0, 4.0)
"""Relative to the draws of training."""
_STILLEST, _MOST_STILL = 0.05, 1000
"""Share of ticks that are rest, and how many of them are compared."""
_TREMOR = 1.5
"""Most jerk of a run, relative to the recordings."""
_RUNS, _PACE_RUNS, _TICKS = 48, 16, 300
"""Runs, those of them whose pace is measured, and their length."""
_MARGIN = 0.75
"""Of the largest steady gain: what grows by a hundredth a second shows after ten seconds only."""


@dataclass(frozen=True)
class FreeRunReference:
    """What an actor's recordings set for free running.

    Attributes:
        rest: state of :func:`find_rest_state` (D,).
        quiet: pace in degrees a second below which a second is quiet, as one in twenty is.
    """

    rest: Tensor
    quiet: float


def tune_free_run(
    model: TrunkNet, takes: Sequence[Tensor], random: torch.Generator, reference: FreeRunReference
) -> dict[str, float]:
    """Tune free running without capture, in place, by runs of ten seconds.

    The gain is three quarters of the largest with which none of 48 runs trembles in its second half: a
    short roll-out trains how to begin, not how to stay steady. The noise scale is the smallest with
    which 16 of the runs, none of them trembling, have no more quiet seconds than the actor; where there
    is none, the one with the fewest.

    Args:
        model: trained.
        takes: held-out states (T, D) from which runs start.
        random: generator, of the starts.
        reference: of the actor.

    Returns:
        free_run_gain, free_run_worst_jerk, free_run_noise_scale and free_run_still.
    """
    model.rest_pull.fill_(_REST)
    model.rest_pull[-SPEEDS:] = _BRAKE
    model.rest_state.copy_((reference.rest - model.core.mean) / model.core.std)
    runs = _Runs.start(model, takes, random)
    for gain in _GAINS:
        worst = runs.second_half(gain, 1.0, _RUNS)[1]
        if worst <= runs.most_jerk:
            break
    scale, still = _tune_noise_scale(runs, _MARGIN * gain, reference.quiet)
    model.noise_scale.fill_(scale)
    return {
        "free_run_gain": _MARGIN * gain,
        "free_run_worst_jerk": worst / runs.most_jerk * _TREMOR,
        "free_run_noise_scale": scale,
        "free_run_still": still,
    }


@dataclass(frozen=True)
class _Runs:
    """Runs of a model from the same starts with the same draws.

    Attributes:
        model: to run.
        starts: histories (N, K, D).
        draws: noise of each tick (N, T, Z).
        most_jerk: beyond which a run trembles.
    """

    model: TrunkNet
    starts: Tensor
    draws: Tensor
    most_jerk: float

    @classmethod
    def start(cls, model: TrunkNet, takes: Sequence[Tensor], random: torch.Generator) -> _Runs:
        """Draw starts from takes (T, D)."""
        walks = [NoiseWalk(seed, model.shape.noise) for seed in range(_RUNS)]
        draws = np.stack([[walk.next().copy() for _ in range(_TICKS)] for walk in walks])
        starts = sample_windows(takes, model.shape.history, _RUNS, random)
        six = 6 * model.shape.joints
        recorded = torch.cat([_jerk(take[None, :, :six])[0] for take in takes])
        return cls(model, starts, torch.from_numpy(draws), _TREMOR * float(recorded.mean()))

    def second_half(self, gain: float, scale: float, count: int) -> tuple[Tensor, float]:
        """Return the rotations of the second half of runs (N, T, 6 J), and the most jerk of any."""
        self.model.free_run_gain.fill_(gain)
        self.model.noise_scale.fill_(scale)
        with torch.no_grad():
            states = free_run(self.model, self.starts[:count], self.draws[:count])
        rotations = states[:, _TICKS // 2 :, : 6 * self.model.shape.joints]
        return rotations, float(_jerk(rotations).mean(1).max())


def _tune_noise_scale(runs: _Runs, gain: float, quiet: float) -> tuple[float, float]:
    """Return the smallest sufficient noise scale at a gain, and the share of quiet seconds with it."""
    still: dict[float, float] = {}
    for scale in _NOISE_SCALES:
        rotations, tremor = runs.second_half(gain, scale, _PACE_RUNS)
        if still and tremor > runs.most_jerk:
            break
        paces = np.concatenate([joint_pace(run.numpy()) for run in rotations])
        still[scale] = float((paces < quiet).mean())
        if still[scale] <= QUIET:
            break
    best = min(still, key=lambda scale: still[scale])  # of equals the first, the smallest
    return best, still[best]


def find_rest_state(takes: Sequence[Tensor]) -> Tensor:
    """Return the rest state (D,) of an actor: a recorded pose, with the root's speeds set to 0.

    Of the twentieth of ticks with the least movement in the second about them, and of these the taller
    half, the medoid: a mean of poses may be a pose that no body has.

    Args:
        takes: states (T, D); those shorter than a second are used only where all are.
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
    """Return the mean absolute third difference of rotations (N, T, 6 J) at each tick (N, T - 3)."""
    return six.diff(n=3, dim=1).abs().mean(-1)
