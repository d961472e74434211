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

from greenroom.errors import BadInput, Refused
from greenroom.frames import Doubles, Floats
from greenroom.retraining.adapter import AHEAD, CENTRES, FILL, Adapter, Heard, columns_of
from greenroom.retraining.reservoir import LENGTH, Moments

EVERY = 5
"""Ticks from one new moment to the next."""
_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # a moment, each
_HEAVY = (1.0, 4.0, 16.0)  # how much the replayed past counts in a step, beside what is new
_STEPS = (1.0, 0.5, 0.25)  # of the way to a style's new centre
_SPARE = 0.7  # of the loss that is allowed, kept back when a step is chosen for its part alone


@dataclass(frozen=True)
class Bounds:
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
class Halves:
    """What the step is made from, and what it is judged on: no take is in both, where there are two."""

    made: Moments
    judged: Moments

    @classmethod
    def of(cls, moments: Moments) -> Halves:
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


def step(
    adapter: Adapter,
    new: Halves,
    past: Halves,
    style: str,
    kinds: Sequence[str],
    bounds: Bounds,
    seed: int,
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Return the weights that move, and the evidence for a policy.

    Raises:
        Refused: no step within the bounds helps.
    """
    made, tried = (
        [adapter.study(getattr(part, half), seed + n) for part in (new, past)]
        for n, half in enumerate(("made", "judged"))
    )
    judged = [adapter.hear(half.judged, seed + 1) for half in (new, past)]
    before = [losses(adapter, heard, kinds) for heard in judged]
    weights: dict[str, Floats] = {}
    norms: dict[str, float] = {}
    for layer, reach in ((AHEAD, adapter.scale().ravel()), (FILL, adapter.reach(new.made))):
        found = _layer(adapter, layer, reach, made, tried, bounds)
        if found is not None:
            norms[layer], moved = found
            weights |= moved
    if style in kinds:
        kind = list(kinds).index(style)
        centred = _centre(adapter, kind, made[0], new.judged, past.judged, judged, kinds, bounds)
        if centred is not None:
            norms[CENTRES], weights[CENTRES] = centred
    if not weights:
        raise Refused(
            f"no step within the bounds (norm {bounds.norm:g}, replay_loss {bounds.replay_loss:g}) "
            f"makes the new takes better; errors on them: {_said(before[0])}",
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
            f"and what is new better by {gain:.3f}: before {_said(before[1])}; after {_said(after[1])}",
            then="train with the new takes, or widen the policy's bounds",
        )
    return weights, {
        "norm": _round(max(norms.values())),
        "replay_loss": _round(rise),
        "gain": _round(gain),
        "bounds": asdict(bounds),
        "norms": {name: _round(value) for name, value in sorted(norms.items())},
        "loss_before": _rounded(before[0]),
        "loss_after": _rounded(after[0]),
        "replay_before": _rounded(before[1]),
        "replay_after": _rounded(after[1]),
        "moments": {"new": len(new.judged), "replay": len(past.judged)},
    }


def losses(adapter: Adapter, heard: Heard, kinds: Sequence[str]) -> dict[str, float]:
    """Return the error of each part: rms of rotations' six numbers, and 1 - probability of the style.

    Args:
        adapter: which the moments were heard by.
        heard: what it said of them.
        kinds: the model's styles.
    """
    out = {}
    ahead = heard.ahead.reshape(len(heard.ahead), len(adapter.shape.horizons), -1)
    for n, ticks in enumerate(adapter.shape.horizons):
        out[f"forecast_{ticks}"] = float(np.sqrt((ahead[:, n] ** 2).mean()))
    off = [(gap**2).ravel() for _, _, gap in heard.gaps]
    out["gap"] = float(np.sqrt(np.concatenate(off).mean()))
    known = [n for n, style in enumerate(heard.styles) if style in kinds]
    if known:
        right = [list(kinds).index(heard.styles[n]) for n in known]
        out["style"] = float(1 - heard.said[known, right].mean())
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
    made: Sequence[Heard],
    judged: Sequence[Heard],
    bounds: Bounds,
) -> tuple[float, dict[str, Floats]] | None:
    """Return how far a layer moves and its new weights; None where no step within bounds helps.

    Each block of outputs, a forecast's horizon or a limb, takes the step that is best for it.
    """
    weight, bias = (adapter.weights[f"{layer}.{part}"].copy() for part in ("weight", "bias"))
    size = float(np.linalg.norm(weight))
    moved = 0.0
    for n, columns in enumerate(_blocks(adapter, layer)):
        follows = np.abs(reach[columns]) > 1e-6
        if not follows.any():
            continue
        columns, reached = columns[follows], reach[columns][follows]
        most = bounds.norm * float(np.linalg.norm(weight[columns]))
        best, chosen = 1.0, None
        for step in _ridge([_rows(heard, layer, n, follows) for heard in made]):
            move = step / reached
            ratio = [_left(*_rows(heard, layer, n, follows), step) for heard in judged]
            fits = float(np.linalg.norm(move)) <= most
            if fits and ratio[1] <= 1 + _SPARE * bounds.replay_loss and ratio[0] < best:
                best, chosen = ratio[0], move
        if chosen is not None:
            weight[columns] += chosen[:-1].T.astype(np.float32)
            bias[columns] += chosen[-1].astype(np.float32)
            moved += float((chosen**2).sum())
    if not moved:
        return None
    return float(np.sqrt(moved)) / size, {f"{layer}.weight": weight, f"{layer}.bias": bias}


def _blocks(adapter: Adapter, layer: str) -> list[Any]:
    """Return the columns of the layer that are moved together: a horizon's, or a limb's."""
    if layer == AHEAD:
        return np.split(
            np.arange(len(adapter.weights[f"{AHEAD}.bias"])), len(adapter.shape.horizons)
        )
    return [columns_of(limb) if limb else np.zeros(0, np.intp) for limb in adapter.limbs]


def _rows(heard: Heard, layer: str, block: int, columns: Any) -> tuple[Doubles, Doubles]:
    """Return what moves a block, and what some of its columns are off by: (N, W + 1), (N, columns).

    What the layer reads and a one, as far as the block is given what the layer says of it.
    """
    if layer == FILL:
        _, read, off = heard.gaps[block]
        return _bordered(read), off[:, columns]
    wide = len(columns)
    off = heard.ahead[:, block * wide : (block + 1) * wide][:, columns]
    return _bordered(heard.hidden) * heard.given[:, block : block + 1], off


def _left(read: Doubles, off: Doubles, step: Doubles) -> float:
    """Return what a step leaves of an error, as a share of its root mean square."""
    before, after = (off**2).sum(), ((off - read @ step) ** 2).sum()
    return float(np.sqrt(after / max(before, 1e-12)))


def _bordered(x: Doubles) -> Doubles:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _ridge(parts: Sequence[tuple[Doubles, Doubles]]) -> list[Doubles]:
    """Return the step (W + 1, columns) for each weight of the past and penalty: (XᵀX + λ N I)⁻¹ XᵀR."""
    sums, count = [], max(1, len(parts[0][0]))
    for x, off in parts:
        each = count / max(1, len(x))
        sums.append((each * x.T @ x, each * x.T @ off))
    (gram, cross), (old_gram, old_cross) = sums
    out = []
    for heavy in _HEAVY:
        values, vectors = np.linalg.eigh(gram + heavy * old_gram)
        turned = vectors.T @ (cross + heavy * old_cross)
        for penalty in _PENALTIES:
            held = np.maximum(values, 0) + penalty * 2 * count
            out.append(vectors @ (turned / held[:, None]))
    return out


def _centre(
    adapter: Adapter,
    kind: int,
    made: Heard,
    new: Moments,
    past: Moments,
    judged: Sequence[Heard],
    kinds: Sequence[str],
    bounds: Bounds,
) -> tuple[float, Floats] | None:
    """Return how far a style's centre moves and the new centres; None where no step helps."""
    centres = adapter.weights[CENTRES]
    takes = sorted(set(made.takes))
    of = np.asarray([takes.index(take) for take in made.takes])
    target = np.mean([made.place[of == n].mean(axis=0) for n in range(len(takes))], axis=0)
    way = target - centres[kind]
    size = float(np.sqrt((centres.astype(np.float64) ** 2).sum()))
    full = float(np.sqrt((way**2).sum())) / size
    before = judged[0].said[:, kind].mean(), _right(past, judged[1].said, kinds)
    best: tuple[float, float, Floats] | None = None
    for share in _STEPS:
        step = min(share, bounds.norm / max(full, 1e-9))
        moved = centres.copy()
        moved[kind] += (step * way).astype(np.float32)
        graph = adapter.moved({CENTRES: moved})
        after = adapter.say(new, graph)[:, kind].mean()
        kept = _right(past, adapter.say(past, graph), kinds)
        if after > before[0] and kept >= before[1] - _SPARE * bounds.replay_loss:
            if best is None or after > best[0]:
                best = float(after), step * full, moved
    return None if best is None else best[1:]


def _right(moments: Moments, said: Doubles, kinds: Sequence[str]) -> float:
    """Return the mean probability of what moments are labelled with; 1 where none is."""
    known = [n for n, style in enumerate(moments.styles) if style in kinds]
    right = [list(kinds).index(moments.styles[n]) for n in known]
    return float(said[known, right].mean()) if known else 1.0


def _round(value: float) -> float:
    return round(value, 6)


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: _round(value) for name, value in sorted(found.items())}


def _said(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in sorted(found.items()))
