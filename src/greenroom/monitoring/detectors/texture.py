"""What a broken capture does to a joint's movement within a second: jitter, and a freeze that trembles.

A joint's texture is three logarithms of medians over a second: how far it goes in a tick, how much that
changes, and how far it is from its mean. White noise on a joint moves the three in a way of its own;
how far depends on the performer, so the reference itself is jittered and frozen and a quadratic
discriminant (Fisher 1936, with two covariances) of each group of joints is learned from both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import Doubles

STEP = 10
"""Ticks between two textures."""
LENGTH = 30
"""Ticks whose medians are taken; the two before are looked at too."""
JITTER_DEG = 2.0
TREMBLE_DEG = 0.1
KINDS = ("jitter", "freeze")
_ZERO = 1 / 3  # of the way from the highest that is usual to a typical fault
_FOLDS = 5
_LEAST_VARIANCE = 0.02
_EPSILON = 0.01  # degrees: below it, movement is rounding


def changes(x: Doubles) -> tuple[Doubles, Doubles]:
    """Return lengths (T - 2, J) of each joint's step and of the change of its step, of x (T, J, k)."""
    step = x[1:] - x[:-1]
    return _length(step[1:]), _length(step[1:] - step[:-1])


def texture(x: Doubles, step: Doubles, change: Doubles) -> Doubles:
    """Return (..., 3 J) of windows x (..., 30, J, k), steps and changes (..., 30, J).

    Logarithms of upper medians plus 0.01°.
    """
    away = _length(x - np.add.reduce(x, axis=-3, keepdims=True) / LENGTH)
    parts = np.concatenate([step, change, away], axis=-1)
    middle = np.partition(parts, LENGTH // 2, axis=-2)[..., LENGTH // 2, :]
    out: Doubles = np.log(middle + _EPSILON)
    return out


def textures(x: Doubles) -> Doubles:
    """Return (N, 3 J): the texture of the 30 ticks that end at ticks 40, 50, … of a take (T, J, k)."""
    if len(x) < LENGTH + STEP:
        return np.zeros((0, 3 * x.shape[1]))
    step, change = changes(x[STEP - 2 :])
    first = x[STEP:]

    def windows(a: Doubles) -> Doubles:
        views = np.lib.stride_tricks.sliding_window_view(a, LENGTH, axis=0)[::STEP]
        return np.moveaxis(views, -1, 1)

    return texture(windows(first), windows(step), windows(change))


def _length(v: Doubles) -> Doubles:
    out: Doubles = np.sqrt(np.einsum("...jk,...jk->...j", v, v))
    return out


@dataclass(frozen=True)
class Discriminant:
    """Turns a texture (3 J,) into evidence for each fault of each group of joints.

    Evidence is the logarithm of the likelihood ratio of two normal densities, fault over usual,
    scaled so that a typical fault's is 1 and a third of the way to it from the highest that is usual
    is 0.

    Attributes:
        columns: (2 G, D), which numbers of the texture (and its mean over joints, and a nought that
            fills up) belong to each group; first the groups' jitter, then their freeze.
        square: (2 G, D, D) of the quadratic form.
        slope: (2 G, D).
        zero: (2 G,).
    """

    columns: NDArray[np.intp]
    square: Doubles
    slope: Doubles
    zero: Doubles

    def evidence(self, texture: Doubles) -> Doubles:
        """Return (..., 2 G), in [-1, 1.5], of textures (..., 3 J + 4).

        It is nought where a joint of the group is missing.
        """
        f = texture[..., self.columns]
        raw = np.einsum("...gd,gde->...ge", f, self.square) + self.slope
        raw = np.einsum("...gd,...gd->...g", raw, f) - self.zero
        raw[raw != raw] = 0.0
        out: Doubles = np.minimum(np.maximum(raw, -1.0), 1.5)
        return out


def extended(texture: Doubles) -> Doubles:
    """Return (..., 3 J + 4): a texture, its three means over joints, and nought."""
    parts = texture.reshape(*texture.shape[:-1], 3, texture.shape[-1] // 3)
    means = parts.mean(axis=-1)
    return np.concatenate([texture, means, np.zeros((*texture.shape[:-1], 1))], axis=-1)


@dataclass(frozen=True)
class TrainingExamples:
    """Textures (N, 3 J + 4) of each stretch, as it is and with each of `KINDS`."""

    in_control: list[Doubles]
    broken: list[list[Doubles]]


def training_examples(stretches: Sequence[Doubles], rng: np.random.Generator) -> TrainingExamples:
    """Return examples of stretches (T, J, k): as they are, jittered, and frozen at random."""
    broken = [[extended(textures(_broken(x, kind, rng))) for x in stretches] for kind in KINDS]
    return TrainingExamples([extended(textures(x)) for x in stretches], broken)


def learn(
    examples: TrainingExamples, groups: Sequence[Sequence[int]], use: NDArray[np.bool_]
) -> Discriminant:
    """Return the discriminant between stretches and the same ones with faults.

    Args:
        examples: of the reference.
        groups: joints that fail together; a group of all joints is judged by its means.
        use: (stretches,), which of them are learned from.
    """

    def chosen(parts: list[Doubles]) -> Doubles:
        return np.concatenate([part for part, used in zip(parts, use, strict=True) if used])

    in_control = chosen(examples.in_control)
    joints = in_control.shape[1] // 3 - 1
    width = max(3, *(3 * len(group) for group in groups if len(group) < joints), 3)
    columns = np.full((2 * len(groups), width), 3 * joints + 3)
    square = np.zeros((2 * len(groups), width, width))
    slope, zero = np.zeros((2 * len(groups), width)), np.zeros(2 * len(groups))
    for kind in range(len(KINDS)):
        broken = chosen(examples.broken[kind])
        for g, group in enumerate(groups):
            used = (np.arange(3)[:, None] * joints + np.asarray(group)).ravel()
            if len(group) == joints:
                used = 3 * joints + np.arange(3)
            row, n = kind * len(groups) + g, len(used)
            columns[row, :n] = used
            square[row, :n, :n], slope[row, :n], zero[row] = _ratio(
                in_control[:, used], broken[:, used]
            )
    return Discriminant(columns, square, slope, zero)


def left_out(
    examples: TrainingExamples, groups: Sequence[Sequence[int]], owner: NDArray[np.intp]
) -> list[Doubles]:
    """Return each stretch's evidence (N, 2 G) by a discriminant that did not learn from its take.

    Args:
        examples: of the reference.
        groups: as in :func:`learn`.
        owner: (stretches,), which take each is of: what is left out together.
    """
    out: list[Doubles] = [np.empty(0)] * len(owner)
    for fold in range(_FOLDS):
        heldout = owner % _FOLDS == fold
        judge = learn(examples, groups, ~heldout)
        for i in np.flatnonzero(heldout):
            out[i] = judge.evidence(examples.in_control[i])
    return out


def _broken(x: Doubles, fault: str, rng: np.random.Generator) -> Doubles:
    if fault == "jitter":
        return x + rng.normal(0, JITTER_DEG * 2 ** rng.random(), x.shape)
    still = x[rng.integers(len(x))] if len(x) else x
    out: Doubles = still + rng.normal(0, TREMBLE_DEG, x.shape)
    return out


def _ratio(in_control: Doubles, broken: Doubles) -> tuple[Doubles, Doubles, float]:
    """Return (square, slope, zero) of the scaled log-likelihood ratio."""
    in_control = in_control[np.isfinite(in_control).all(axis=1)]
    broken = broken[np.isfinite(broken).all(axis=1)]
    if min(len(in_control), len(broken)) < 2:
        count = in_control.shape[1]
        return np.zeros((count, count)), np.zeros(count), 0.0
    inverses = [
        np.linalg.inv(np.cov(part.T) + _LEAST_VARIANCE * np.eye(part.shape[1]))
        for part in (in_control, broken)
    ]
    square = (inverses[0] - inverses[1]) / 2
    slope = inverses[1] @ broken.mean(axis=0) - inverses[0] @ in_control.mean(axis=0)
    own, other = (np.einsum("nd,de,ne->n", f, square, f) + f @ slope for f in (in_control, broken))
    high, typical = float(np.quantile(own, 0.999)), float(np.median(other))
    zero = high + (typical - high) * _ZERO
    scale = max(typical - zero, 0.3 * float(own.std()), 1e-9)
    return square / scale, slope / scale, zero / scale
