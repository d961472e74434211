"""Let a model go on by itself for minutes, as when capture stays lost, and say whether it lives.

It starts from the first second of a take and then is given nothing but draws. Its jerk, its sliding
feet and its speeds stand beside those of the recordings on which it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.datasets.build import pose_states
from greenroom.errors import BadInput
from greenroom.features.noise import NoiseWalk
from greenroom.features.pose import Legs, PoseDecoder
from greenroom.frames import BONE, BONES, Body, Floats
from greenroom.metrics.motion import SufficientStats, joint_pace, quiet_pace
from greenroom.metrics.positions import foot_positions, foot_skate, jerk, joint_positions
from greenroom.validation.eval_model import EvalModel

MINUTE = 60 * TICK_HZ
"""Ticks."""


def free_run(subject: EvalModel, states: Floats, ticks: int, seed: int = 0) -> Floats:
    """Return what a model does (ticks, D) after the first ticks of a take, with nothing captured.

    Args:
        subject: the model.
        states: (T, D), complete; a past shorter than the model's is preceded by its first tick.
        ticks: how long.
        seed: of the draws.
    """
    shape, k = subject.shape, subject.shape.history
    past = states[:k]
    past = np.concatenate([np.repeat(past[:1], k - len(past), axis=0), past])
    inputs = subject.inputs()
    inputs.set_history(past)
    draws = NoiseWalk(seed, shape.noise)
    out = np.zeros((ticks, shape.state), dtype=np.float32)
    for t in range(ticks):
        inputs.set_gap(t + 1)
        inputs.set_noise(draws.next())
        out[t] = subject.backend.run(inputs.tensors)["pose"][0]
        inputs.advance(out[t])
    return out


def states_to_body(subject: EvalModel, states: Floats, like: Body) -> Body:
    """Return states (T, D) as a body, placed as on the stage.

    Args:
        subject: whose states they are.
        states: what it did.
        like: whose skeleton it has; bones that it does not drive are at rest.
    """
    legs = Legs.of(like.skeleton.offsets, subject.spec.joints, subject.rest)
    placer, index = PoseDecoder(legs=legs), np.asarray([BONE[name] for name in subject.spec.joints])
    rotations = np.zeros((len(states), len(BONES), 4), dtype=np.float32)
    rotations[..., 3] = 1
    root = np.zeros((len(states), 3), dtype=np.float32)
    for t, state in enumerate(states):
        placer.move(state)
        root[t] = placer.root
        rotations[t, index] = placer.upright(state, len(index))
    validity = np.zeros((len(states), len(BONES)), dtype=np.float32)
    validity[:, index] = 1
    return Body(like.skeleton, root, rotations, validity)


def free_run_stats(
    subject: EvalModel, bodies: Sequence[Body], ticks: int
) -> dict[str, dict[str, SufficientStats]]:
    """Return metric → minute of the run → tally; the recordings are the floor, and as much is the aim.

    `jerk`, m/s³; `skate`, mm/s of feet that stand; `still`, the share of seconds stiller than the
    recordings' stillest twentieth, without which a body that does nothing would be best; `height`, the
    share of ticks with the hips beyond the recordings' range by a tenth of it; `float`, mm by which the
    lower foot is above or below where the recordings' feet rest; `drift`, metres of ground between the
    beginning of a minute and the furthest place in it (of a whole recording).

    Args:
        subject: the model.
        bodies: recordings with all of its joints; it goes on from the beginning of the first one that
            lasts a second, and has its skeleton.
        ticks: how long.

    Raises:
        BadInput: no recording lasts a second.
    """
    joints = [BONE[name] for name in subject.spec.joints]
    bodies = [_only(body, joints) for body in bodies if len(body) > TICK_HZ + _JERK_TICKS]
    if not bodies:
        raise BadInput(
            "no recording with a body lasts a second", then="judge it without --free-run"
        )
    six = 6 * subject.shape.joints
    real = [pose_states(subject.spec, body) for body in bodies]
    states = free_run(subject, real[0], ticks)
    ranges = _RecordedRanges.of(bodies, real, six)
    recorded_figures = _mean(
        [_life(body, rows[:, :six], ranges) for body, rows in zip(bodies, real, strict=True)]
    )
    body = states_to_body(subject, states, bodies[0])
    out: dict[str, dict[str, SufficientStats]] = {}
    for n, start in enumerate(range(0, ticks, MINUTE), 1):
        window = slice(start, start + MINUTE)
        stretch = Body(
            body.skeleton, body.root[window], body.rotations[window], body.validity[window]
        )
        if len(stretch) < TICK_HZ:
            continue
        for metric, value in _life(stretch, states[window, :six], ranges).items():
            if metric in recorded_figures:
                sums = {"model": value, "recordings": recorded_figures[metric]}
                out.setdefault(metric, {})[f"minute {n}"] = SufficientStats("mean", sums, 1.0)
    return out


@dataclass(frozen=True)
class _RecordedRanges:
    """What recordings set for a free run.

    Attributes:
        quiet: pace below which one in twenty of their seconds is, degrees a second.
        heights: range of the hips' height with a margin, metres.
        ground_level: height of the feet at rest, metres; NaN where it is not known.
    """

    quiet: float
    heights: tuple[float, float]
    ground_level: float

    @classmethod
    def of(cls, bodies: Sequence[Body], states: Sequence[Floats], six: int) -> _RecordedRanges:
        """Return the ranges of bodies with their states (T, D), of which `six` are rotations."""
        quiet = quiet_pace(rows[:, :six] for rows in states)
        heights = np.concatenate([rows[:, six] for rows in states])
        margin = 0.1 * (heights.max() - heights.min())
        bounds = float(heights.min() - margin), float(heights.max() + margin)
        lower = np.concatenate(
            [foot_positions(joint_positions(body))[..., 1].min(axis=1) for body in bodies]
        )
        lower = lower[np.isfinite(lower)]
        return cls(quiet, bounds, float(np.percentile(lower, 5)) if len(lower) else np.nan)


_JERK_TICKS = 4


def _only(body: Body, joints: Sequence[int]) -> Body:
    """Return a body without the bones that a model has no joints for: both are judged by the same."""
    validity = np.zeros_like(body.validity)
    validity[:, joints] = body.validity[:, joints]
    return Body(body.skeleton, body.root, body.rotations, validity)


def _life(body: Body, six: Floats, ranges: _RecordedRanges) -> dict[str, float]:
    """Return the figures of one stretch with its rotations (T, 6 J)."""
    places = joint_positions(body)
    lower = foot_positions(places)[..., 1].min(axis=1)
    ground = np.linalg.norm(body.root[:, [0, 2]] - body.root[0, [0, 2]], axis=1)
    height, (low, high) = body.root[:, 1], ranges.heights
    figures = {
        "jerk": float(np.nanmean(jerk(places))),
        "skate": foot_skate(foot_positions(places)),
        "still": float((joint_pace(six) < ranges.quiet).mean()),
        "height": float(((height < low) | (height > high)).mean()),
        "float": float(1000 * np.abs(lower - ranges.ground_level).mean()),
        "drift": float(ground.max()),
    }
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for row in rows for name in row})
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
