"""Choose the step of an online update within bounds, and measure it on new and replayed windows.

The last layers are linear, so the step is a ridge regression of the model's errors on new and replayed
windows; a style's centre moves towards the new ones. Its size is chosen on takes that it was not fitted
on, within two bounds: the norm of a layer's step, and the rise of errors on the replayed past. The
figures that decide are measured by running the updated graph.

Replay: Chaudhry and others 2019, "On tiny episodic memories in continual learning". The bound on the
replayed loss: Lopez-Paz and Ranzato 2017, "Gradient episodic memory".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from msgspec import structs

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
    """Bounds of an update, as a policy signs them.

    Attributes:
        norm: most norm of a step of each part of a layer, relative to its own Frobenius norm.
        replay_loss: most rise of any error on the replayed past, relative to the error before; for the
            style, in points of probability.
        seconds: most time; an update that took longer is refused.
    """

    norm: float = 0.15
    replay_loss: float = 0.02
    seconds: float = 60.0

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            BadInput: one is not above 0 and finite.
        """
        if not all(np.isfinite(value) and value > 0 for value in asdict(self).values()):
            raise BadInput(f"bounds are above nought, not {asdict(self)}")


@dataclass(frozen=True)
class UpdateSplit:
    """Windows to fit a step, and windows to judge it; no take is in both, where there are two."""

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
        early = moments.only(slice(0, max(0, middle - apart)))
        return cls(early, moments.only(slice(middle + apart, None)))


@dataclass(frozen=True)
class UpdateData:
    """Windows of an update.

    Attributes:
        new: of the new takes.
        past: replayed ones.
    """

    new: UpdateSplit
    past: UpdateSplit


@dataclass(frozen=True)
class UpdateGoal:
    """What an update is for.

    Attributes:
        style: label of the new takes; "" for none.
        kinds: names of the model's styles.
        bounds: of the update.
    """

    style: str
    kinds: Sequence[str]
    bounds: UpdateBounds


def fit_update(
    adapter: Adapter, data: UpdateData, goal: UpdateGoal, seed: int
) -> tuple[dict[str, Floats], Update]:
    """Return the updated weights, and the evidence for a policy: one update in a row.

    Args:
        adapter: of the graph.
        data: windows.
        goal: style and bounds.
        seed: of the gaps.

    Raises:
        Refused: no step within the bounds helps.
    """
    new, past, kinds = data.new, data.past, goal.kinds
    fitted = [adapter.predict_sides(half.fit, seed) for half in (new, past)]
    tried = [adapter.predict_sides(half.judged, seed + 1) for half in (new, past)]
    judged = [adapter.predict(half.judged, seed + 1) for half in (new, past)]
    before = [losses(adapter, predictions, kinds) for predictions in judged]
    weights, norms = _fit_layers(adapter, new, [fitted, tried], goal.bounds)
    if goal.style in kinds:
        target = _mean_place(fitted[0])
        centred = _fit_centre(adapter, data, goal, judged, target=target)
        if centred is not None:
            norms[CENTRES], weights[CENTRES] = centred
    bounds = goal.bounds
    if not weights:
        raise Refused(
            f"no step within the bounds (norm {bounds.norm:g}, replay_loss {bounds.replay_loss:g}) "
            f"makes the new takes better; errors on them: {_errors_text(before[0])}",
            then="train with them, or widen the policy's bounds",
        )
    graph = adapter.apply_delta(weights)
    after = [
        losses(adapter, adapter.predict(half.judged, seed + 1, graph), kinds)
        for half in (new, past)
    ]
    moments = {"new": len(new.judged), "replay": len(past.judged)}
    return weights, structs.replace(_evidence(before, after, norms, bounds), moments=moments)


def _evidence(
    before: Sequence[dict[str, float]],
    after: Sequence[dict[str, float]],
    norms: dict[str, float],
    bounds: UpdateBounds,
) -> Update:
    """Return the evidence of an update: norms of its steps, errors before and after, their changes.

    Errors are by part, on new windows and on replayed ones.

    Raises:
        Refused: the errors on new windows do not fall, or those on replayed ones rise too much.
    """
    rise, gain = _rise(before[1], after[1]), -_rise(before[0], after[0], worst=False)
    if rise > bounds.replay_loss or gain <= 0:
        raise Refused(
            f"the replayed past becomes worse by {rise:.3f}, where {bounds.replay_loss:g} is allowed, "
            f"and what is new better by {gain:.3f}: before {_errors_text(before[1])}; "
            f"after {_errors_text(after[1])}",
            then="train with the new takes, or widen the policy's bounds",
        )
    return Update(
        norm=round(max(norms.values()), 6),
        replay_loss=round(rise, 6),
        seconds=bounds.seconds,  # it took no longer; how long exactly would change the hash
        in_a_row=1,
        gain=round(gain, 6),
        bounds=asdict(bounds),
        norms=_rounded(norms),
        loss_before=_rounded(before[0]),
        loss_after=_rounded(after[0]),
        replay_before=_rounded(before[1]),
        replay_after=_rounded(after[1]),
    )


def _fit_layers(
    adapter: Adapter,
    new: UpdateSplit,
    predictions: Sequence[Sequence[Predictions]],
    bounds: UpdateBounds,
) -> tuple[dict[str, Floats], dict[str, float]]:
    """Return the updated weights of both layers, and the norm of each one's step.

    Args:
        adapter: of the graph.
        new: new windows.
        predictions: of new and past windows to fit, and of those to choose by.
        bounds: of the update.
    """
    weights: dict[str, Floats] = {}
    norms: dict[str, float] = {}
    reaches = {AHEAD: adapter.forecast_scale().ravel(), FILL: adapter.pose_response(new.fit)}
    for layer, reach in reaches.items():
        step = _layer(adapter, layer, reach, predictions, bounds=bounds)
        if step is not None:
            norms[layer], layer_weights = step
            weights |= layer_weights
    return weights, norms


def losses(adapter: Adapter, predictions: Predictions, kinds: Sequence[str]) -> dict[str, float]:
    """Return the error of each part: rms of 6D rotations, and 1 - probability of the style.

    Args:
        adapter: of the graph.
        predictions: of the windows.
        kinds: names of the model's styles.
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
    """Return the rise of the worst part's error, or the mean rise of all parts."""
    grown = [
        after[name] - value if name == "style" else after[name] / max(value, 1e-9) - 1
        for name, value in before.items()
    ]
    return float(max(grown) if worst else np.mean(grown))


def _layer(
    adapter: Adapter,
    layer: str,
    reach: Doubles,
    predictions: Sequence[Sequence[Predictions]],
    bounds: UpdateBounds,
) -> tuple[float, dict[str, Floats]] | None:
    """Return the norm of a layer's step and its new weights; None where no step within bounds helps.

    Each block of outputs, a horizon or a limb, has a step of its own.

    Args:
        adapter: of the graph.
        layer: name.
        reach: change of each output with its bias.
        predictions: of new and past windows to fit, and of those to choose by.
        bounds: of the update.
    """
    fit_predictions, trial_predictions = predictions
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
        for step in _ridge([_rows(part, layer, n, follows) for part in fit_predictions]):
            update = step / reached
            trials = [_rows(part, layer, n, follows) for part in trial_predictions]
            ratio = [_remaining_error(*rows, step) for rows in trials]
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
    """Return the columns of a layer that share a step: a horizon's, or a limb's."""
    if layer == AHEAD:
        horizons = len(adapter.shape.horizons)
        return np.split(np.arange(len(adapter.weights[f"{AHEAD}.bias"])), horizons)
    return [limb_columns(limb) if limb else np.zeros(0, np.intp) for limb in adapter.limbs]


def _rows(
    predictions: Predictions, layer: str, block: int, columns: Any
) -> tuple[Doubles, Doubles]:
    """Return the regressors (N, W + 1) of a block, and the errors of some of its columns (N, columns).

    The regressors are the layer's inputs and 1, times the gain.
    """
    if layer == FILL:
        _, read, error = predictions.gaps[block]
        return np.column_stack([read, np.ones(len(read))]), error[:, columns]
    width = len(columns)
    inputs = np.column_stack([predictions.hidden, np.ones(len(predictions.hidden))])
    error = predictions.ahead[:, block * width : (block + 1) * width][:, columns]
    return inputs * predictions.gains[:, block : block + 1], error


def _remaining_error(read: Doubles, error: Doubles, step: Doubles) -> float:
    """Return the rms of an error after a step, relative to that before."""
    before, after = (error**2).sum(), ((error - read @ step) ** 2).sum()
    return float(np.sqrt(after / max(before, 1e-12)))


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


def _fit_centre(
    adapter: Adapter,
    data: UpdateData,
    goal: UpdateGoal,
    judged: Sequence[Predictions],
    target: Doubles,
) -> tuple[float, Floats] | None:
    """Return the norm of a style centre's step and the new centres; None where no step helps.

    Args:
        adapter: of the graph.
        data: windows.
        goal: style and bounds.
        judged: predictions of the new and past windows to choose by.
        target: place of the new windows among the discriminants (A,).
    """
    kind, bounds = list(goal.kinds).index(goal.style), goal.bounds
    new, past = data.new.judged, data.past.judged
    centres = adapter.weights[CENTRES]
    direction = target - centres[kind]
    norm = float(np.sqrt((centres.astype(np.float64) ** 2).sum()))
    full_step = float(np.sqrt((direction**2).sum())) / norm
    before = (
        judged[0].probabilities[:, kind].mean(),
        _mean_probability(past, judged[1].probabilities, goal.kinds),
    )
    best: tuple[float, float, Floats] | None = None
    for share in _STEPS:
        step = min(share, bounds.norm / max(full_step, 1e-9))
        updated = centres.copy()
        updated[kind] += (step * direction).astype(np.float32)
        graph = adapter.apply_delta({CENTRES: updated})
        after = adapter.style_probabilities(new, graph)[:, kind].mean()
        past_probabilities = adapter.style_probabilities(past, graph)
        past_probability = _mean_probability(past, past_probabilities, goal.kinds)
        keeps_past = past_probability >= before[1] - _SPARE * bounds.replay_loss
        if keeps_past and after > (before[0] if best is None else best[0]):
            best = float(after), step * full_step, updated
    return None if best is None else best[1:]


def _mean_place(predictions: Predictions) -> Doubles:
    """Return the mean over takes of the mean place of their windows among the discriminants (A,)."""
    takes = sorted(set(predictions.takes))
    take_index = np.asarray([takes.index(take) for take in predictions.takes])
    means = [predictions.place[take_index == n].mean(axis=0) for n in range(len(takes))]
    return np.asarray(np.mean(means, axis=0))


def _mean_probability(moments: Moments, probabilities: Doubles, kinds: Sequence[str]) -> float:
    """Return the mean probability of the labels of windows; 1 where none is labelled."""
    labelled = [n for n, style in enumerate(moments.styles) if style in kinds]
    classes = [list(kinds).index(moments.styles[n]) for n in labelled]
    return float(probabilities[labelled, classes].mean()) if labelled else 1.0


def _rounded(errors: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in sorted(errors.items())}


def _errors_text(errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in sorted(errors.items()))
