"""Let a model go on by itself for minutes, as when capture stays lost, and say whether it lives.

It starts from the first second of a take and then is given nothing but draws. Its jerk, its sliding
feet and its speeds stand beside those of the recordings on which it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.datasets.build import states_of
from greenroom.features.draws import Draws
from greenroom.features.pose import Legs, Placer
from greenroom.frames import BONE, BONES, Body, Doubles, Floats
from greenroom.metrics.motion import six_angles
from greenroom.metrics.places import feet, foot_skate, jerk, places_of
from greenroom.validation.judge import Subject

TICKS = 10 * 60 * TICK_HZ
"""Of the run: ten minutes."""


def go_on(subject: Subject, states: Floats, ticks: int = TICKS, seed: int = 0) -> Floats:
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
    inputs["history"][0], inputs["known"][0] = past, 1
    draws = Draws(seed, shape.noise)
    out = np.zeros((ticks, shape.state), dtype=np.float32)
    for t in range(ticks):
        inputs["age"][:] = np.log1p(t + 1) / 6
        inputs["noise"][0] = draws.next()
        out[t] = subject.backend.run(inputs)["pose"][0]
        for name, value in (("history", out[t]), ("known", 0)):
            inputs[name][0, :-1] = inputs[name][0, 1:].copy()
            inputs[name][0, -1] = value
    return out


def body_of(subject: Subject, states: Floats, like: Body, rest: Floats) -> Body:
    """Return states (T, D) as a body on the stage, as the performer places it.

    Args:
        subject: whose states they are.
        states: what it did.
        like: whose skeleton it has; bones that it does not drive are at rest.
        rest: a state (D,) in which it stands.
    """
    legs = Legs.of(like.skeleton.offsets, subject.spec.joints, rest)
    placer, index = Placer(legs=legs), np.asarray([BONE[name] for name in subject.spec.joints])
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


def alone(
    subject: Subject, bodies: Sequence[Body], rest: Floats, ticks: int = TICKS
) -> dict[str, Any]:
    """Return {metric: {"model", "floor", "floors", "takes"}} of a run, the recordings being the floor.

    `jerk` in m/s³; `skate`, mm/s of feet that stand; `speed`, degrees a second of the median joint;
    `still`, the longest time in seconds without a second as lively as the recordings' stillest
    twentieth; `height`, the share of ticks with the hips beyond the recordings' range by a tenth of
    it; `drift`, metres from the start at the furthest.

    Args:
        subject: the model.
        bodies: recordings with all of its joints, the first of which it goes on from.
        rest: the model's (D,).
        ticks: how long.
    """
    real = [states_of(subject.spec, body) for body in bodies]
    said = go_on(subject, real[0], ticks)
    body = body_of(subject, said, bodies[0], rest)
    six = 6 * subject.shape.joints
    lively = [_seconds(rows[:, :six]) for rows in real]
    quiet = float(np.percentile(np.concatenate(lively), 5))
    own = _seconds(said[:, :six])
    heights = np.concatenate([rows[:, six] for rows in real])
    low, high = heights.min(), heights.max()
    margin = 0.1 * (high - low)
    beyond = (said[:, six] < low - margin) | (said[:, six] > high + margin)
    ground = body.root[:, [0, 2]] - body.root[0, [0, 2]]
    reached = [np.linalg.norm(b.root[:, [0, 2]] - b.root[0, [0, 2]], axis=1).max() for b in bodies]
    places = [places_of(b) for b in bodies]
    theirs = {
        "jerk": float(np.nanmean(np.concatenate([jerk(p).ravel() for p in places]))),
        "skate": float(np.nanmean([foot_skate(feet(p)) for p in places])),
        "speed": float(np.median(np.concatenate(lively))),
        "still": max(_longest(seconds < quiet) for seconds in lively),
        "height": 0.0,
        "drift": float(max(reached)),
    }
    placed = places_of(body)
    ours = {
        "jerk": float(np.nanmean(jerk(placed))),
        "skate": foot_skate(feet(placed)),
        "speed": float(np.median(own)),
        "still": _longest(own < quiet),
        "height": float(beyond.mean()),
        "drift": float(np.linalg.norm(ground, axis=1).max()),
    }
    return {
        name: {
            "model": round(value, 4),
            "floor": round(theirs[name], 4),
            "floors": {"recordings": round(theirs[name], 4)},
            "takes": len(bodies),
        }
        for name, value in ours.items()
    }


def _seconds(six: Floats) -> Doubles:
    """Return the median joint's speed in degrees a second, of every second of rotations (T, 6 J)."""
    turns = six.reshape(len(six), -1, 6)
    speeds = np.median(six_angles(turns[1:], turns[:-1]), axis=1) * TICK_HZ
    count = max(1, len(speeds) // TICK_HZ)
    return np.asarray([part.mean() for part in np.array_split(speeds, count)])


def _longest(still: np.ndarray[Any, Any]) -> float:
    """Return the longest run of True, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still.astype(int), [0]])))
    return float((edges[1::2] - edges[::2]).max()) if len(edges) else 0.0
