"""Tell styles of movement apart in closed form, and know what was never learned.

Linear discriminants (Fisher 1936; the shrinkage of Friedman 1989, "Regularized discriminant
analysis") of the means and spreads of pose and speed over a second. A style's centre is the mean of its
contents' centres, so that no content counts twice. How much a probability loses with the distance from
the nearest centre, and gains where the second is further off, is learned from what was left out, a
content and a style at a time: a content that was never seen should be told right, a style that was
never seen should be nobody's. Beyond all that was left out nothing was learned, and less is said.

Shapes: N windows, D state width, C styles, A discriminants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from greenroom.contracts import STYLE_TICKS, ModelShape
from greenroom.errors import BadInput
from greenroom.frames import Doubles

Ints = NDArray[np.intp]
_SHRINK = 0.1
_FOLDS = 8
_MOST = 8_000
_OFF = 1e6
"""A squared distance beyond all that count."""
_STRANGERS = 0.01
"""Weight of the left-out styles' loss beside the known ones'; it decides how early doubt begins."""


class StyleHead(nn.Module):
    """The style of the last second, as probabilities. Its numbers are fitted, not learned.

    Args:
        shape: of the model's tensors.
    """

    def __init__(self, shape: ModelShape) -> None:
        """Make room for what :func:`fit_styles` fits; until then all styles are as likely."""
        super().__init__()
        size, axes = 4 * shape.state, shape.styles - 1
        self.styles = shape.styles
        for name, value in {
            "mean": torch.zeros(size),
            "std": torch.ones(size),
            "axes": torch.zeros(size, axes),
            "centres": torch.zeros(shape.styles, axes),
            "sharp": torch.ones(()),
            "doubt": torch.tensor([9.0, 1.0, 0.0, _OFF]),
        }.items():
            self.register_buffer(name, value)

    @staticmethod
    def seen(rows: Tensor) -> Tensor:
        """Return what is read of the last ticks (N, K, D): mean, spread, speed, its spread (N, 4 D)."""
        rows = rows[:, -STYLE_TICKS:]
        steps = 5 * (rows[:, 1:] - rows[:, :-1])
        parts = []
        for values, middle in ((rows, rows.mean(1)), (steps, steps.abs().mean(1))):
            about = values - values.mean(1, keepdim=True)
            parts += [middle, torch.sqrt((about * about).mean(1) + 1e-8)]
        return torch.cat(parts, -1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return probabilities (N, C) of normalised states (N, K, D)."""
        place = ((self.seen(rows) - self.mean) / self.std) @ self.axes
        offsets = place.unsqueeze(1) - self.centres
        squared_distance = (offsets * offsets).mean(-1)
        # A minimum is not among the portable operations.
        nearest = -(-squared_distance).amax(-1, keepdim=True)
        scores = torch.exp(-self.sharp * (squared_distance - nearest))
        probabilities = scores / scores.sum(-1, keepdim=True)
        others = squared_distance + _OFF * (1 - (squared_distance > nearest).float())
        second = (-(-others).amax(-1, keepdim=True)).clamp(max=_OFF)
        midpoint, rate, lead, reach = self.doubt.unbind()
        log_nearest, log_second = torch.log(nearest + 1e-6), torch.log(second + 1e-6)
        familiarity = torch.sigmoid(
            midpoint - rate * log_nearest + lead * (log_second - log_nearest)
        )
        familiarity = familiarity * (reach / (nearest + 1e-6)).clamp(max=1.0)
        return familiarity * probabilities + (1 - familiarity) / self.styles


@dataclass(frozen=True)
class Discriminants:
    """Axes along which classes differ most, against what they differ by within.

    Attributes:
        mean: of what is read (F,).
        std: the same.
        axes: (F, A); a distance of 1 is the training windows' median from their own centre.
        centres: of the classes (C, A).
    """

    mean: Doubles
    std: Doubles
    axes: Doubles
    centres: Doubles

    @classmethod
    def fit(cls, features: Doubles, kinds: Ints, groups: Ints) -> Discriminants:
        """Return them for windows (N, F) of classes (N,) from 0 without a gap, and contents (N,)."""
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


def fit_styles(
    style: StyleHead, rows: Sequence[Tensor], kinds: Sequence[int], contents: Sequence[str]
) -> dict[str, float]:
    """Fit a style head in place; return how it did on what was left out.

    Args:
        style: to be filled.
        rows: normalised states (T, D) of each take.
        kinds: the class of each.
        contents: what each shows; where nobody said, something of its own for each take and its mirror
            image: then takes are left out, some at a time.

    Returns:
        style_sharpness, style_doubt_at, style_doubt_rate, style_doubt_lead, and where something could be
        left out style_left_out_accuracy and style_left_out_log_loss. With two styles none can be left
        out, and doubt is learned from contents alone.

    Raises:
        BadInput: a style has no take of a second.
    """
    names = {name: i for i, name in enumerate(sorted(set(contents)))}
    groups = [names[content] for content in contents]
    long = {kind for take, kind in zip(rows, kinds, strict=True) if len(take) >= STYLE_TICKS}
    for number in range(style.styles):
        if number not in long:
            raise BadInput(
                f"no training take of style number {number + 1} lasts a second",
                then="ingest longer takes of it, or without their labels",
            )
    features, of = _windows(rows)
    kind, group = np.asarray(kinds)[of], np.asarray(groups)[of]
    distances, truth = _left_out(features, kind, group)
    figures: dict[str, float] = {}
    parameters = np.asarray([0.0, 9.0, 1.0, 0.0])  # nothing to learn doubt from: hardly any
    reach = _OFF
    if len(truth) and (truth >= 0).any():
        parameters = _fit_doubt(distances, truth)
        reach = float(distances[truth >= 0].min(axis=1).max())
        probabilities = _probabilities(parameters, distances)[truth >= 0]
        target = truth[truth >= 0]
        figures["style_left_out_accuracy"] = float((probabilities.argmax(axis=1) == target).mean())
        chance = probabilities[np.arange(len(target)), target]
        figures["style_left_out_log_loss"] = float(-np.log(chance + 1e-6).mean())
    discriminants = Discriminants.fit(features, kind, group)
    for name, value in {
        "mean": discriminants.mean,
        "std": discriminants.std,
        "axes": discriminants.axes,
        "centres": discriminants.centres,
        "sharp": np.exp(parameters[0]),
        "doubt": [parameters[1], abs(parameters[2]), abs(parameters[3]), reach],
    }.items():
        getattr(style, name).copy_(torch.from_numpy(np.asarray(value, dtype=np.float32)))
    return figures | {
        "style_sharpness": float(np.exp(parameters[0])),
        "style_doubt_at": float(parameters[1]),
        "style_doubt_rate": float(abs(parameters[2])),
        "style_doubt_lead": float(abs(parameters[3])),
    }


def _windows(rows: Sequence[Tensor]) -> tuple[Doubles, Ints]:
    """Return what is read of seconds along takes (N, 4 D), and of which take each is (N,)."""
    ticks = sum(len(take) for take in rows)
    every = max(5, ticks // _MOST)
    features, take_index = [], []
    for n, take in enumerate(rows):
        if len(take) >= STYLE_TICKS:
            cut = take.unfold(0, STYLE_TICKS, every).transpose(1, 2)
            features.append(StyleHead.seen(cut).double().numpy())
            take_index.append(np.full(len(cut), n))
    return np.concatenate(features), np.concatenate(take_index)


def _left_out(features: Doubles, kind: Ints, group: Ints) -> tuple[Doubles, Ints]:
    """Return distances (M, C) of windows left out, and their classes (M,), -1 for one never seen.

    In turn one group of contents is left out, and beside it no style or one; a missing class's
    distance is so large that it is never near.
    """
    classes, random = int(kind.max()) + 1, np.random.default_rng(0)
    order = random.permutation(np.unique(group))
    folds = np.array_split(order, min(_FOLDS, len(order)))
    distances, truth = [], []
    for fold in folds if len(order) > 1 else []:
        heldout = np.isin(group, fold)
        for stranger in (-1, *np.unique(kind[heldout])):
            remaining = [k for k in range(classes) if k != stranger and (kind[~heldout] == k).any()]
            use = ~heldout & np.isin(kind, remaining)
            if len(remaining) < 2:
                continue
            place = np.full(classes, -1)
            place[remaining] = np.arange(len(remaining))
            discriminants = Discriminants.fit(features[use], place[kind[use]], group[use])
            evaluated = heldout if stranger < 0 else heldout & (kind == stranger)
            padded = np.full((int(evaluated.sum()), classes), _OFF)
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
    """Return ln sharpness, and where and how fast doubt grows: what was left out surprises least."""
    from scipy.optimize import minimize

    is_known = truth >= 0
    rows = np.flatnonzero(is_known)

    def surprise(chosen: Doubles) -> float:
        log_probabilities = np.log(_probabilities(chosen, distances) + 1e-6)
        own = float(-log_probabilities[rows, truth[rows]].mean())
        other = float(-log_probabilities[~is_known].mean()) if (~is_known).any() else 0.0
        return own + _STRANGERS * other + 1e-3 * float((chosen**2).sum())

    start = np.asarray([-1.0, 3.0, 1.0, 0.5])
    return np.asarray(minimize(surprise, start, method="Nelder-Mead", options={"maxiter": 600}).x)
