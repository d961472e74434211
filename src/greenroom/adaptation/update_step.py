"""Choose the step of an online update: what moves, how far, and what that does to new and old.

The last layers are linear, so the step is a ridge regression of what the model is off by, on new
moments and on the replayed past; a style's centre moves towards what is new. How far is
chosen on takes that the step was not made from, within two bounds: how far a layer moves, and how much
worse the replayed past becomes. What counts in the end is measured by running the moved graph.

Held to the past by replay, as in Chaudhry and others 2019, "On tiny episodic memories in continual
learning"; a bound on the replayed loss is in Lopez-Paz and Ranzato 2017, "Gradient episodic memory".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from greenroom.adaptation.graph_adapter import (
    AHEAD,
    CENTRES,
    FILL,
    Adapter,
    Predictions,
    limb_columns,
)
from greenroom.adaptation.replay_reservoir import LENGTH, Moments
from greenroom.errors import BadInput, Refused
from greenroom.frames import Doubles, Floats
from greenroom.manifests import Update

EVERY = 5
"""Ticks from one new moment to the next."""
_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # a moment, each
_HEAVY = (1.0, 4.0, 16.0)  # how much the replayed past counts in a step, beside what is new
_STEPS = (1.0, 0.5, 0.25)  # of the way to a style's new centre
_SPARE = 0.7  # of the loss that is allowed, kept back when a step is chosen for its part alone


@dataclass(frozen=True)
class UpdateBounds:
    """What an update may do; a policy signs these.

    Attributes:
        norm: how far each part of a layer may move, as a share of its own Frobenius norm.
        replay_loss: how much worse any part may become on the replayed past, as a share of its error
            before; for the style, in points of probability.
        seconds: how long it may take; one that took longer is refused.
    """

    norm: float = 0.15
    replay_loss: float = 0.02
    seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse bounds that are none.

        Raises:
            BadInput: one is not above nought and finite.
        """
        if not all(np.isfinite(value) and value > 0 for value in asdict(self).values()):
            raise BadInput(f"bounds are above nought, not {asdict(self)}")


@dataclass(frozen=True)
class UpdateSplit:
    """What the step is made from, and what it is judged on: no take is in both, where there are two."""

    fit: Moments
    judged: Moments

    @classmethod
    def of(cls, moments: Moments) -> UpdateSplit:
        """Return every other take in each half; a single take is cut in its middle, a window apart."""
        takes = sorted(set(moments.takes))
        if len(takes) > 1:
            odd = np.asarray([takes.index(take) % 2 == 1 for take in moments.takes])
            return cls(moments.only(~odd), moments.only(odd))
        middle, apart = len(moments) // 2, -(-LENGTH // EVERY) // 2
        return cls(
            moments.only(slice(0, max(0, middle - apart))),
            moments.only(slice(middle + apart, None)),
        )


def fit_update(
    adapter: Adapter,
    new: UpdateSplit,
    past: UpdateSplit,
    style: str,
    kinds: Sequence[str],
    bounds: UpdateBounds,
    seed: int,
) -> tuple[dict[str, Floats], Update]:
    """Return the weights that move, and the evidence for a policy: one update in a row.

    Raises:
        Refused: no step within the bounds helps.
    """
    fit_predictions, trial_predictions = (
        [adapter.study(getattr(part, half), seed + n) for part in (new, past)]
        for n, half in enumerate(("fit", "judged"))
    )
    judged_predictions = [adapter.hear(half.judged, seed + 1) for half in (new, past)]
    before = [losses(adapter, predictions, kinds) for predictions in judged_predictions]
    weights: dict[str, Floats] = {}
    norms: dict[str, float] = {}
    for layer, reach in ((AHEAD, adapter.scale().ravel()), (FILL, adapter.reach(new.fit))):
        layer_step = _layer(adapter, layer, reach, fit_predictions, trial_predictions, bounds)
        if layer_step is not None:
            norms[layer], moved = layer_step
            weights |= moved
    if style in kinds:
        kind = list(kinds).index(style)
        centred = _centre(
            adapter,
            kind,
            fit_predictions[0],
            new.judged,
            past.judged,
            judged_predictions,
            kinds,
            bounds,
        )
        if centred is not None:
            norms[CENTRES], weights[CENTRES] = centred
    if not weights:
        raise Refused(
            f"no step within the bounds (norm {bounds.norm:g}, replay_loss {bounds.replay_loss:g}) "
            f"makes the new takes better; errors on them: {_errors_text(before[0])}",
            then="train with them, or widen the policy's bounds",
        )
    moved_graph = adapter.moved(weights)
    after = [
        losses(adapter, adapter.hear(half.judged, seed + 1, moved_graph), kinds)
        for half in (new, past)
    ]
    rise = _rise(before[1], after[1])
    gain = -_rise(before[0], after[0], worst=False)
    if rise > bounds.replay_loss or gain <= 0:
        raise Refused(
            f"the replayed past becomes worse by {rise:.3f}, where {bounds.replay_loss:g} is allowed, "
            f"and what is new better by {gain:.3f}: before {_errors_text(before[1])}; "
            f"after {_errors_text(after[1])}",
            then="train with the new takes, or widen the policy's bounds",
        )
    return weights, Update(
        norm=_round(max(norms.values())),
        replay_loss=_round(rise),
        seconds=bounds.seconds,  # it took no longer; how long exactly would change the hash
        in_a_row=1,
        gain=_round(gain),
        bounds=asdict(bounds),
        norms={name: _round(value) for name, value in sorted(norms.items())},
        loss_before=_rounded(before[0]),
        loss_after=_rounded(after[0]),
        replay_before=_rounded(before[1]),
        replay_after=_rounded(after[1]),
        moments={"new": len(new.judged), "replay": len(past.judged)},
    )


def losses(adapter: Adapter, predictions: Predictions, kinds: Sequence[str]) -> dict[str, float]:
    """Return the error of each part: rms of rotations' six numbers, and 1 - probability of the style.

    Args:
        adapter: which the moments were heard by.
        predictions: what it said of them.
        kinds: the model's styles.
    """
    out = {}
    ahead = predictions.ahead.reshape(len(predictions.ahead), len(adapter.shape.horizons), -1)
    for n, ticks in enumerate(adapter.shape.horizons):
        out[f"forecast_{ticks}"] = float(np.sqrt((ahead[:, n] ** 2).mean()))
    off = [(gap**2).ravel() for _, _, gap in predictions.gaps]
    out["gap"] = float(np.sqrt(np.concatenate(off).mean()))
    labelled = [n for n, style in enumerate(predictions.styles) if style in kinds]
    if labelled:
        classes = [list(kinds).index(predictions.styles[n]) for n in labelled]
        out["style"] = float(1 - predictions.probabilities[labelled, classes].mean())
    return out


def _rise(before: dict[str, float], after: dict[str, float], worst: bool = True) -> float:
    """Return by how much errors grew: that of the worst part, or the mean of all parts."""
    grown = [
        after[name] - value if name == "style" else after[name] / max(value, 1e-9) - 1
        for name, value in before.items()
    ]
    return float(max(grown) if worst else np.mean(grown))


def _layer(
    adapter: Adapter,
    layer: str,
    reach: Doubles,
    fit_predictions: Sequence[Predictions],
    trial_predictions: Sequence[Predictions],
    bounds: UpdateBounds,
) -> tuple[float, dict[str, Floats]] | None:
    """Return how far a layer moves and its new weights; None where no step within bounds helps.

    Each block of outputs, a forecast's horizon or a limb, takes the step that is best for it.
    """
    weight, bias = (adapter.weights[f"{layer}.{part}"].copy() for part in ("weight", "bias"))
    norm = float(np.linalg.norm(weight))
    moved = 0.0
    for n, columns in enumerate(_blocks(adapter, layer)):
        follows = np.abs(reach[columns]) > 1e-6
        if not follows.any():
            continue
        columns, reached = columns[follows], reach[columns][follows]
        most = bounds.norm * float(np.linalg.norm(weight[columns]))
        best, chosen = 1.0, None
        for fit_update in _ridge(
            [_rows(predictions, layer, n, follows) for predictions in fit_predictions]
        ):
            update = fit_update / reached
            ratio = [
                _remaining_error(*_rows(predictions, layer, n, follows), fit_update)
                for predictions in trial_predictions
            ]
            within_norm = float(np.linalg.norm(update)) <= most
            if within_norm and ratio[1] <= 1 + _SPARE * bounds.replay_loss and ratio[0] < best:
                best, chosen = ratio[0], update
        if chosen is not None:
            weight[columns] += chosen[:-1].T.astype(np.float32)
            bias[columns] += chosen[-1].astype(np.float32)
            moved += float((chosen**2).sum())
    if not moved:
        return None
    return float(np.sqrt(moved)) / norm, {f"{layer}.weight": weight, f"{layer}.bias": bias}


def _blocks(adapter: Adapter, layer: str) -> list[Any]:
    """Return the columns of the layer that are moved together: a horizon's, or a limb's."""
    if layer == AHEAD:
        return np.split(
            np.arange(len(adapter.weights[f"{AHEAD}.bias"])), len(adapter.shape.horizons)
        )
    return [limb_columns(limb) if limb else np.zeros(0, np.intp) for limb in adapter.limbs]


def _rows(
    predictions: Predictions, layer: str, block: int, columns: Any
) -> tuple[Doubles, Doubles]:
    """Return what moves a block, and what some of its columns are off by: (N, W + 1), (N, columns).

    What the layer reads and a one, as far as the block is given what the layer says of it.
    """
    if layer == FILL:
        _, read, error = predictions.gaps[block]
        return _bordered(read), error[:, columns]
    width = len(columns)
    error = predictions.ahead[:, block * width : (block + 1) * width][:, columns]
    return _bordered(predictions.hidden) * predictions.gains[:, block : block + 1], error


def _remaining_error(read: Doubles, error: Doubles, fit_update: Doubles) -> float:
    """Return what a step leaves of an error, as a share of its root mean square."""
    before, after = (error**2).sum(), ((error - read @ fit_update) ** 2).sum()
    return float(np.sqrt(after / max(before, 1e-12)))


def _bordered(x: Doubles) -> Doubles:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _ridge(parts: Sequence[tuple[Doubles, Doubles]]) -> list[Doubles]:
    """Return the step (W + 1, columns) for each weight of the past and penalty: (XᵀX + λ N I)⁻¹ XᵀR."""
    sums, count = [], max(1, len(parts[0][0]))
    for x, error in parts:
        scale = count / max(1, len(x))
        sums.append((scale * x.T @ x, scale * x.T @ error))
    (gram, cross), (old_gram, old_cross) = sums
    out = []
    for past_weight in _HEAVY:
        values, vectors = np.linalg.eigh(gram + past_weight * old_gram)
        turned = vectors.T @ (cross + past_weight * old_cross)
        for penalty in _PENALTIES:
            damped_eigenvalues = np.maximum(values, 0) + penalty * 2 * count
            out.append(vectors @ (turned / damped_eigenvalues[:, None]))
    return out


def _centre(
    adapter: Adapter,
    kind: int,
    fit_predictions: Predictions,
    new: Moments,
    past: Moments,
    judged_predictions: Sequence[Predictions],
    kinds: Sequence[str],
    bounds: UpdateBounds,
) -> tuple[float, Floats] | None:
    """Return how far a style's centre moves and the new centres; None where no step helps."""
    centres = adapter.weights[CENTRES]
    takes = sorted(set(fit_predictions.takes))
    take_index = np.asarray([takes.index(take) for take in fit_predictions.takes])
    target = np.mean(
        [fit_predictions.place[take_index == n].mean(axis=0) for n in range(len(takes))], axis=0
    )
    direction = target - centres[kind]
    norm = float(np.sqrt((centres.astype(np.float64) ** 2).sum()))
    full_step = float(np.sqrt((direction**2).sum())) / norm
    before = (
        judged_predictions[0].probabilities[:, kind].mean(),
        _mean_probability(past, judged_predictions[1].probabilities, kinds),
    )
    best: tuple[float, float, Floats] | None = None
    for share in _STEPS:
        fit_update = min(share, bounds.norm / max(full_step, 1e-9))
        moved = centres.copy()
        moved[kind] += (fit_update * direction).astype(np.float32)
        graph = adapter.moved({CENTRES: moved})
        after = adapter.say(new, graph)[:, kind].mean()
        past_probability = _mean_probability(past, adapter.say(past, graph), kinds)
        if after > before[0] and past_probability >= before[1] - _SPARE * bounds.replay_loss:
            if best is None or after > best[0]:
                best = float(after), fit_update * full_step, moved
    return None if best is None else best[1:]


def _mean_probability(moments: Moments, probabilities: Doubles, kinds: Sequence[str]) -> float:
    """Return the mean probability of what moments are labelled with; 1 where none is."""
    labelled = [n for n, style in enumerate(moments.styles) if style in kinds]
    classes = [list(kinds).index(moments.styles[n]) for n in labelled]
    return float(probabilities[labelled, classes].mean()) if labelled else 1.0


def _round(value: float) -> float:
    return round(value, 6)


def _rounded(errors: dict[str, float]) -> dict[str, float]:
    return {name: _round(value) for name, value in sorted(errors.items())}


def _errors_text(errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in sorted(errors.items()))
