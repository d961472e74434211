"""What a broken capture does to a joint's movement within a second: jitter, and a freeze that trembles.

A joint's texture is three logarithms of medians over a second: how far it goes in a tick, how much that
changes, how far it goes in ten. Medians do not mind a cut between takes. White noise on a joint moves the
three in a way of its own; how far depends on the performer, so the reference itself is jittered and frozen
and Fisher's linear discriminant (1936) of each group of joints is learned from both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.frames import Doubles

SPAN = 10
"""Ticks of the long step, and between two textures."""
LENGTH = 30
"""Ticks whose medians are taken."""
JITTER_DEG = 2.0
TREMBLE_DEG = 0.1
KINDS = ("jitter", "freeze")
_EPSILON = 0.01  # degrees: below it, movement is rounding


def steps(x: Doubles) -> Doubles:
    """Return (T - 10, 3, J): lengths of each joint's step, change of step and step over ten ticks.

    Args:
        x: (T, J, k) degrees.
    """
    one = x[SPAN:] - x[SPAN - 1 : -1]
    before = x[SPAN - 1 : -1] - x[SPAN - 2 : -2]
    far = x[SPAN:] - x[:-SPAN]
    parts = np.stack([one, one - before, far], axis=1)
    out: Doubles = np.sqrt(np.einsum("tsjk,tsjk->tsj", parts, parts))
    return out


def medians(lengths: Doubles) -> Doubles:
    """Return (..., 3 J): logarithms of the upper medians of lengths (..., 30, 3 J) plus 0.01°."""
    middle = np.partition(lengths, LENGTH // 2, axis=-2)[..., LENGTH // 2, :]
    out: Doubles = np.log(middle + _EPSILON)
    return out


def textures(x: Doubles) -> Doubles:
    """Return (N, 3 J): the texture of the 30 ticks that end at ticks 40, 50, … of a take (T, J, k)."""
    if len(x) < SPAN + LENGTH:
        return np.zeros((0, 3 * x.shape[1]))
    lengths = steps(x).reshape(len(x) - SPAN, -1)
    windows = np.lib.stride_tricks.sliding_window_view(lengths, LENGTH, axis=0)[::SPAN]
    return medians(np.swapaxes(windows, -1, -2))


@dataclass(frozen=True)
class Discriminant:
    """Turns a texture (3 J,) into evidence for each fault of each group of joints.

    Evidence is 1 for a typical fault and 0 half-way between that and the highest that is usual.

    Attributes:
        weights: (3 J, 2 G), first the groups' jitter, then their freeze.
        offset: (2 G,).
    """

    weights: Doubles
    offset: Doubles

    def evidence(self, texture: Doubles) -> Doubles:
        """Return (..., 2 G), in [-1, 2]; nought where a joint of the group is missing."""
        raw = np.clip(texture @ self.weights - self.offset, -1.0, 2.0)
        out: Doubles = np.where(np.isfinite(raw), raw, 0.0)
        return out


def learn(
    takes: Sequence[Doubles], groups: Sequence[Sequence[int]], rng: np.random.Generator
) -> Discriminant:
    """Return the discriminant between takes (T, J, k) and the same ones with faults."""
    usual = np.concatenate([textures(x) for x in takes])
    joints = takes[0].shape[1]
    weights = np.zeros((3, joints, 2 * len(groups)))
    offset = np.zeros(2 * len(groups))
    for kind, fault in enumerate(KINDS):
        broken = np.concatenate([textures(_broken(x, fault, rng)) for x in takes])
        for g, group in enumerate(groups):
            columns = (np.arange(3)[:, None] * joints + np.asarray(group)).ravel()
            direction, zero = _fisher(usual[:, columns], broken[:, columns])
            column = kind * len(groups) + g
            weights.reshape(3 * joints, -1)[columns, column] = direction
            offset[column] = zero
    return Discriminant(weights.reshape(3 * joints, -1), offset)


def _broken(x: Doubles, fault: str, rng: np.random.Generator) -> Doubles:
    if fault == "jitter":
        return x + rng.normal(0, JITTER_DEG, x.shape)
    still = x[rng.integers(len(x))] if len(x) else x
    out: Doubles = still + rng.normal(0, TREMBLE_DEG, x.shape)
    return out


def _fisher(usual: Doubles, broken: Doubles) -> tuple[Doubles, float]:
    """Return (direction, zero): scaled so that the broken ones' median is 1 above zero."""
    usual = usual[np.isfinite(usual).all(axis=1)]
    broken = broken[np.isfinite(broken).all(axis=1)]
    pooled = (np.cov(usual.T) + np.cov(broken.T)) / 2
    direction = np.linalg.solve(
        pooled + 0.01 * np.eye(len(pooled)), broken.mean(axis=0) - usual.mean(axis=0)
    )
    own, other = usual @ direction, broken @ direction
    high, typical = float(np.quantile(own, 0.999)), float(np.median(other))
    zero = (high + typical) / 2
    scale = max(typical - zero, 0.3 * float(own.std()), 1e-9)
    return direction / scale, zero / scale
