"""Fit the style head in closed form, with doubt about what was never trained.

Linear discriminants (Fisher 1936; the shrinkage of Friedman 1989, "Regularized discriminant
analysis") of the means and spreads of pose and speed over a second. A style's centre is the mean of its
contents' centres, so that no content counts twice. Doubt, which grows with the distance from the nearest
centre and shrinks as the second one is further off, is fitted on what is left out, a content and a style
at a time: a content that was not trained should be classified right, a style that was not trained as
none.

Shapes: N windows, D state width, C styles, A discriminants, F descriptors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenroom.contracts import STYLE_TICKS
from greenroom.errors import BadInput
from greenroom.frames import Doubles
from greenroom.networks.style import FAR, StyleHead

Ints = NDArray[np.intp]
_SHRINK = 0.1
_FOLDS = 8
_MOST = 8_000
_UNKNOWN_WEIGHT = 0.01
"""Weight of the left-out styles' loss beside the trained ones'; it decides how early doubt begins."""


@dataclass(frozen=True)
class Discriminants:
    """Linear discriminants: axes with the most variance between classes over that within.

    Attributes:
        mean: of the descriptors (F,).
        std: of the descriptors (F,).
        axes: (F, A); a distance of 1 is the training windows' median from their own centre.
        centres: of the classes (C, A).
    """

    mean: Doubles
    std: Doubles
    axes: Doubles
    centres: Doubles

    @classmethod
    def fit(cls, features: Doubles, kinds: Ints, groups: Ints) -> Discriminants:
        """Fit them to windows (N, F) of classes (N,), numbered from 0, and contents (N,)."""
        tiny = 1e-6
        mean, std = features.mean(axis=0), features.std(axis=0) + 1e-3
        x = (features - mean) / std
        centres = []
        for kind in range(int(kinds.max()) + 1):
            own = kinds == kind
            centres.append(
                np.mean(
                    [x[own & (groups == g)].mean(axis=0) for g in np.unique(groups[own])], axis=0
                )
            )
        middle = np.asarray(centres)
        within = x - middle[kinds]
        spread = within.T @ within / len(within)
        spread = (1 - _SHRINK) * spread + _SHRINK * np.trace(spread) / len(spread) * np.eye(
            len(spread)
        )
        spread += tiny * np.eye(len(spread))  # takes that stand still differ by nothing
        root = np.linalg.cholesky(np.linalg.inv(spread))
        left_vectors, _, _ = np.linalg.svd(
            root.T @ (middle - middle.mean(axis=0)).T, full_matrices=False
        )
        axes = root @ left_vectors[:, : len(middle) - 1]
        inner = within @ axes
        left_in = inner.T @ inner / len(inner) + tiny * np.eye(inner.shape[1])
        axes = axes @ np.linalg.cholesky(np.linalg.inv(left_in))
        discriminants = cls(mean, std, axes, middle @ axes)
        unit = np.sqrt(np.median(discriminants.distances(features).min(axis=1)) + tiny)
        return cls(mean, std, axes / unit, discriminants.centres / unit)

    def distances(self, features: Doubles) -> Doubles:
        """Return mean squared distances (N, C) from the centres."""
        place = ((features - self.mean) / self.std) @ self.axes
        return np.asarray(((place[:, None] - self.centres) ** 2).mean(axis=2))


@dataclass(frozen=True)
class LabelledTakes:
    """Takes with a style.

    Attributes:
        rows: normalised states (T, D) of each take.
        kinds: class of each.
        contents: content of each; a name of its own for each take and its mirror image where no content
            is labelled: then takes are left out, some at a time.
    """

    rows: Sequence[Tensor]
    kinds: Sequence[int]
    contents: Sequence[str]


def fit_styles(style: StyleHead, takes: LabelledTakes) -> dict[str, float]:
    """Fit a style head in place; return its figures on what was left out.

    Args:
        style: head to be fitted.
        takes: training takes.

    Returns:
        style_sharpness, style_doubt_at, style_doubt_rate, style_doubt_lead, and where something could be
        left out style_left_out_accuracy and style_left_out_log_loss. With two styles none can be left
        out, and doubt is fitted on contents alone.

    Raises:
        BadInput: a style has no take of a second.
    """
    _require_seconds(style, takes)
    names = {name: i for i, name in enumerate(sorted(set(takes.contents)))}
    groups = [names[content] for content in takes.contents]
    features, of = _windows(takes.rows)
    kind, group = np.asarray(takes.kinds)[of], np.asarray(groups)[of]
    distances, truth = _left_out(features, kind, group)
    figures: dict[str, float] = {}
    parameters = np.asarray([0.0, 9.0, 1.0, 0.0])  # hardly any doubt where nothing was left out
    reach = FAR
    if len(truth) and (truth >= 0).any():
        parameters = _fit_doubt(distances, truth)
        reach = float(distances[truth >= 0].min(axis=1).max())
        figures = _left_out_figures(parameters, distances[truth >= 0], truth[truth >= 0])
    discriminants = Discriminants.fit(features, kind, group)
    for name, value in {
        "mean": discriminants.mean,
        "std": discriminants.std,
        "axes": discriminants.axes,
        "centres": discriminants.centres,
        "sharpness": np.exp(parameters[0]),
        "familiarity": [parameters[1], abs(parameters[2]), abs(parameters[3]), reach],
    }.items():
        getattr(style, name).copy_(torch.from_numpy(np.asarray(value, dtype=np.float32)))
    return figures | {
        "style_sharpness": float(np.exp(parameters[0])),
        "style_doubt_at": float(parameters[1]),
        "style_doubt_rate": float(abs(parameters[2])),
        "style_doubt_lead": float(abs(parameters[3])),
    }


def _require_seconds(style: StyleHead, takes: LabelledTakes) -> None:
    """Refuse a style without a take of a second.

    Raises:
        BadInput: there is one.
    """
    pairs = zip(takes.rows, takes.kinds, strict=True)
    long = {kind for rows, kind in pairs if len(rows) >= STYLE_TICKS}
    for number in range(style.styles):
        if number not in long:
            raise BadInput(
                f"no training take of style number {number + 1} lasts a second",
                then="ingest longer takes of it, or without their labels",
            )


def _left_out_figures(parameters: Doubles, distances: Doubles, target: Ints) -> dict[str, float]:
    """Return accuracy and log loss on windows of contents that were left out."""
    probabilities = _probabilities(parameters, distances)
    chance = probabilities[np.arange(len(target)), target]
    return {
        "style_left_out_accuracy": float((probabilities.argmax(axis=1) == target).mean()),
        "style_left_out_log_loss": float(-np.log(chance + 1e-6).mean()),
    }


def _windows(rows: Sequence[Tensor]) -> tuple[Doubles, Ints]:
    """Return the descriptors of seconds along takes (N, 4 D), and the take of each (N,)."""
    ticks = sum(len(take) for take in rows)
    every = max(5, ticks // _MOST)
    features, take_index = [], []
    for n, take in enumerate(rows):
        if len(take) >= STYLE_TICKS:
            cut = take.unfold(0, STYLE_TICKS, every).transpose(1, 2)
            features.append(StyleHead.descriptors(cut).double().numpy())
            take_index.append(np.full(len(cut), n))
    return np.concatenate(features), np.concatenate(take_index)


def _left_out(features: Doubles, kind: Ints, group: Ints) -> tuple[Doubles, Ints]:
    """Return distances (M, C) of left-out windows, and their classes (M,), -1 for one not trained.

    In turn one group of contents is left out, and beside it no style or one; the distance of a class
    that is left out is `FAR`.
    """
    classes, random = int(kind.max()) + 1, np.random.default_rng(0)
    order = random.permutation(np.unique(group))
    folds = np.array_split(order, min(_FOLDS, len(order)))
    distances, truth = [], []
    for fold in folds if len(order) > 1 else []:
        heldout = np.isin(group, fold)
        for unknown in (-1, *np.unique(kind[heldout])):
            remaining = [k for k in range(classes) if k != unknown and (kind[~heldout] == k).any()]
            use = ~heldout & np.isin(kind, remaining)
            if len(remaining) < 2:
                continue
            place = np.full(classes, -1)
            place[remaining] = np.arange(len(remaining))
            discriminants = Discriminants.fit(features[use], place[kind[use]], group[use])
            evaluated = heldout if unknown < 0 else heldout & (kind == unknown)
            padded = np.full((int(evaluated.sum()), classes), FAR)
            padded[:, remaining] = discriminants.distances(features[evaluated])
            distances.append(padded)
            truth.append(np.where(place[kind[evaluated]] < 0, -1, kind[evaluated]))
    if not distances:
        return np.zeros((0, classes)), np.zeros(0, dtype=np.intp)
    return np.concatenate(distances), np.concatenate(truth)


def _probabilities(parameters: Doubles, distances: Doubles) -> Doubles:
    """Return probabilities (M, C) as :class:`StyleHead` gives them of distances within its reach."""
    near, second = np.hsplit(np.sort(distances, axis=1)[:, :2], 2)
    scores = np.exp(-np.exp(parameters[0]) * (distances - near))
    lead = np.log(second + 1e-6) - np.log(near + 1e-6)
    doubt = abs(parameters[2]) * np.log(near + 1e-6) - parameters[1] - abs(parameters[3]) * lead
    familiarity = 1 / (1 + np.exp(np.clip(doubt, -60, 60)))
    return np.asarray(
        familiarity * scores / scores.sum(axis=1, keepdims=True)
        + (1 - familiarity) / distances.shape[1]
    )


def _fit_doubt(distances: Doubles, truth: Ints) -> Doubles:
    """Return ln sharpness, and where and how fast doubt grows, of least log loss on left-out windows."""
    from scipy.optimize import minimize

    is_known = truth >= 0
    rows = np.flatnonzero(is_known)

    def log_loss(chosen: Doubles) -> float:
        log_probabilities = np.log(_probabilities(chosen, distances) + 1e-6)
        own = float(-log_probabilities[rows, truth[rows]].mean())
        other = float(-log_probabilities[~is_known].mean()) if (~is_known).any() else 0.0
        return own + _UNKNOWN_WEIGHT * other + 1e-3 * float((chosen**2).sum())

    start = np.asarray([-1.0, 3.0, 1.0, 0.5])
    return np.asarray(minimize(log_loss, start, method="Nelder-Mead", options={"maxiter": 600}).x)
