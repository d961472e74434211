"""What the charts know of takes in control: counts, textures, places, and limits for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles
from greenroom.monitoring import limits
from greenroom.monitoring.detectors import novelty, texture
from greenroom.monitoring.detectors.cusum import BLOCK, MEMORY

LEAST = {"gaps": 30, "texture": 30, "drift": 75}
"""Independent stretches of reference below which a chart is learning."""
COVERED = 0.12
"""A reference whose stretches, left out, lie further off than this is no measure of what is new to it.

Logarithm of their distance to the rest over the distances usual there: nought if takes are all of a
kind.
"""
MOST_DEGREES = 1e6
"""What is larger is no angle, and counts as missing."""
FAST, SLOW = 3.0, 0.75
"""Standard scores that the drift chart's two sums take off."""
_CLIP = 6.0
_STRETCH = 600  # ticks: takes are cut into stretches of 20 s at most
_INDEPENDENT = 300  # ticks of one take that count as one more stretch
_SLACK = 0.4  # missing or held ticks a block that count as none, beyond twice the reference's
LEAST_COUNT = {"missing": 4.0, "held": 3.0}  # ticks, beyond thrice the reference's own
_LEAST_DRIFT = 1.5  # standard scores times seconds
_LEAST_FAULT = 0.3  # evidence times seconds: a fault is not cried sooner
_MANY_TAKES = 20  # fewer than that, and stretches are left out instead
_FEW = 50  # stretches: the drift limits learned from so many are doubled


@dataclass(frozen=True)
class Models:
    """What is learned from a reference that is large enough.

    Attributes:
        usable: (C,), channels that are there half of the time at least.
        usual_change: (J,), degrees: the median change of step.
        groups: joints that fail together; the last one is all.
        faults: tells jitter and freezes of these groups.
        novelty: tells how new a window is.
        fault_limit: (2 G,).
        drift_limit: (2,), of the fast and the slow sum.
    """

    usable: NDArray[np.bool_]
    usual_change: Doubles
    groups: list[tuple[int, ...]]
    faults: texture.Discriminant
    novelty: novelty.Novelty
    fault_limit: Doubles
    drift_limit: Doubles


@dataclass(frozen=True)
class ChartReference:
    """Takes in control, as the charts know them.

    Attributes:
        channels: C.
        joints: J.
        width: channels a joint.
        effective: how many independent stretches there are.
        ready: which charts may alarm: "gaps" (missing and held), "texture", "drift".
        counts: for "missing" and "held", each joint's slack a block and limit.
        longest_hold: (J,), ticks for which each joint was exactly where it was; infinite for one that
            mostly is.
        models: None while nothing is ready.
    """

    channels: int
    joints: int
    width: int
    effective: float
    ready: tuple[str, ...]
    counts: dict[str, tuple[Doubles, Doubles]]
    longest_hold: Doubles
    models: Models | None


def missing(x: Doubles, joints: int) -> NDArray[np.bool_]:
    """Return (T, J): whether a channel of a joint is missing in x (T, C)."""
    finite = np.isfinite(x).reshape(len(x), joints, x.shape[1] // joints)
    out: NDArray[np.bool_] = ~np.logical_and.reduce(finite, axis=2)
    return out


def exact_repeats(x: Doubles, joints: int) -> NDArray[np.bool_]:
    """Return (T - 1, J): whether a joint is exactly where it was in x (T, C)."""
    same = (x[1:] == x[:-1]).reshape(max(len(x) - 1, 0), joints, x.shape[1] // joints)
    out: NDArray[np.bool_] = np.logical_and.reduce(same, axis=2)
    return out


def drift_evidence(scores: Array) -> Doubles:
    """Return evidence (..., 2) for a fast and a slow sum of standard scores (...)."""
    clipped = np.minimum(np.asarray(scores, dtype=np.float64), _CLIP)
    return np.stack([clipped - FAST, clipped - SLOW], axis=-1)


def fit_reference(
    takes: Sequence[Array],
    limbs: Mapping[str, Sequence[int]] | None,
    context: Sequence[object] | None,
    hours: float,
    seed: int,
) -> ChartReference:
    """Return what takes (T, C) in control teach; see :meth:`MotionChart.fit`.

    Raises:
        BadInput: there are no takes, they differ in channels, or a limb has no such joint.
    """
    checked = _checked(takes)
    channels = checked[0].shape[1]
    width = 3 if channels % 3 == 0 else 1
    joints = channels // width
    if context is not None and len(context) != len(checked):
        raise BadInput(f"{len(context)} scenes for {len(checked)} takes")
    for name, members in (limbs or {}).items():
        if not members or not all(0 <= joint < joints for joint in members):
            raise BadInput(f"limb {name!r} has joints 0 to {joints - 1}, not {members}")
    holds = [exact_repeats(take, joints) for take in checked]
    counts = {
        "missing": _count_limit([missing(take, joints) for take in checked], "missing"),
        "held": _count_limit(holds, "held"),
    }
    pieces, owner = _stretches(checked)
    usable = np.isfinite(np.concatenate(pieces)).mean(axis=0) > 0.5
    windows = _windows(pieces, owner, usable)
    lengths = np.bincount(windows.stretch, minlength=len(pieces)) * BLOCK
    effective = float(np.where(lengths > 0, np.maximum(1.0, lengths / _INDEPENDENT), 0).sum())
    ready = tuple(name for name, least in LEAST.items() if effective >= least)
    models = None
    if ready:
        rng = np.random.default_rng(seed)
        novel = novelty.Novelty(windows.features, windows.stretch, windows.times)
        if novel.centre > COVERED:
            ready = tuple(name for name in ready if name == "gaps")
        scenes = _scenes(novel, windows.stretch, owner, context)
        bootstrap = limits.Bootstrap(hours, scenes, rng)
        cubes = [piece.reshape(len(piece), joints, width) for piece in pieces]
        examples = texture.training_examples(cubes, rng)
        drift = [drift_evidence(novel.scores[windows.stretch == i]) for i in range(len(pieces))]
        drift_limit = bootstrap.limit(drift, novelty.WINDOW // BLOCK, MEMORY, family=False)
        changes = [texture.changes(cube) for cube in cubes if len(cube) > 2]
        groups = _groups(np.concatenate([step for step, _ in changes]), limbs)
        together = owner if len(checked) >= _MANY_TAKES else np.arange(len(pieces))
        fault = texture.left_out(examples, groups, together)
        fault_limit = bootstrap.limit(fault, 4, 0, family=True)
        few = _FEW / effective
        models = Models(
            usable=usable,
            usual_change=_medians(np.concatenate([change for _, change in changes])) + 0.01,
            groups=groups,
            faults=texture.learn(examples, groups, np.ones(len(pieces), dtype=np.bool_)),
            novelty=novel,
            fault_limit=np.maximum(fault_limit * (1 + 8 * few**2), _LEAST_FAULT),
            drift_limit=np.maximum(drift_limit * (1 + few), _LEAST_DRIFT),
        )
    longest = _longest(holds)
    return ChartReference(
        channels,
        joints,
        width=width,
        effective=effective,
        ready=ready,
        counts=counts,
        longest_hold=longest,
        models=models,
    )


def _checked(takes: Sequence[Array]) -> list[Doubles]:
    """Return takes (T, C) with NaN for what is not finite, or raise BadInput."""
    arrays = [np.asarray(take, dtype=np.float64) for take in takes]
    if not arrays or any(take.ndim != 2 for take in arrays):
        raise BadInput("a reference is one take (T, C) at least", then="record takes in control")
    if len({take.shape[1] for take in arrays}) != 1 or not arrays[0].shape[1]:
        raise BadInput("takes of one reference have the same channels")
    return [np.where(np.abs(take) < MOST_DEGREES, take, np.nan) for take in arrays]


@dataclass(frozen=True)
class _Windows:
    """Windows of the reference: features (N, F), stretch (N,), times (N,) with takes far apart."""

    features: Doubles
    stretch: NDArray[np.intp]
    times: NDArray[np.intp]


def _medians(values: Doubles) -> Doubles:
    """Return each column's median; nought where nothing is there."""
    finite_columns = [column[np.isfinite(column)] for column in values.T]
    return np.asarray([np.median(column) if len(column) else 0.0 for column in finite_columns])


def _stretches(takes: list[Doubles]) -> tuple[list[Doubles], NDArray[np.intp]]:
    """Return takes cut into stretches of about 20 s, and which take each is of."""
    pieces, owner = [], []
    for i, take in enumerate(takes):
        for start in range(0, max(len(take) - _STRETCH // 4, 1), _STRETCH):
            last = start + _STRETCH + _STRETCH // 4 >= len(take)
            pieces.append(take[start : None if last else start + _STRETCH])
            owner.append(i)
    return pieces, np.asarray(owner, dtype=np.intp)


def _windows(pieces: list[Doubles], owner: NDArray[np.intp], usable: NDArray[np.bool_]) -> _Windows:
    features, stretch, times = [], [], []
    offset = 0
    for i, piece in enumerate(pieces):
        ends = np.arange(novelty.WINDOW, len(piece) + 1, novelty.STEP)
        window_rows = novelty.window_features(piece[:, usable], ends)
        complete = np.isfinite(window_rows).all(axis=1) & usable.any()
        if i and owner[i] != owner[i - 1]:
            offset += 1_000_000
        features.append(window_rows[complete])
        times.append(offset + ends[complete])
        stretch.append(np.full(int(complete.sum()), i))
        offset += len(piece)
    return _Windows(np.concatenate(features), np.concatenate(stretch), np.concatenate(times))


def _groups(speeds: Doubles, limbs: Mapping[str, Sequence[int]] | None) -> list[tuple[int, ...]]:
    """Return the groups of joints that fail together: limbs, or who moves with whom; and all."""
    joints = speeds.shape[1]
    everyone = tuple(range(joints))
    if limbs is not None:
        return [*(tuple(members) for members in limbs.values()), everyone]
    logs = np.log(np.where(np.isfinite(speeds), speeds, 0.0) + 0.01)
    with np.errstate(invalid="ignore", divide="ignore"):
        together = np.nan_to_num(np.atleast_2d(np.corrcoef(logs.T)), nan=-1.0)
    np.fill_diagonal(together, 2.0)
    nearest = np.argsort(-together, axis=1, kind="stable")
    groups = {tuple(sorted(map(int, row[:size]))) for row in nearest for size in (2, 3)}
    return [*sorted(groups), everyone]


def _scenes(
    novel: novelty.Novelty,
    stretch: NDArray[np.intp],
    owner: NDArray[np.intp],
    context: Sequence[object] | None,
) -> list[NDArray[np.intp]]:
    """Return which stretches come in one scene with each: by name, or those most like it."""
    places = np.full((len(owner), novel.places.shape[1]), np.nan)
    for i in np.unique(stretch):
        places[i] = novel.places[stretch == i].mean(axis=0)
    return limits.neighbours(places, None if context is None else [context[i] for i in owner])


def _longest(takes: list[NDArray[np.bool_]]) -> Doubles:
    """Return each joint's longest run (J,); infinite where it makes up half of all ticks."""
    longest = np.zeros(takes[0].shape[1])
    for part in takes:
        run = np.zeros(len(longest))
        for row in part:
            run = (run + 1) * row
            longest = np.maximum(longest, run)
    return np.where(
        np.concatenate([*takes, np.zeros((1, len(longest)))]).mean(axis=0) > 0.5, np.inf, longest
    )


def _count_limit(takes: list[NDArray[np.bool_]], name: str) -> tuple[Doubles, Doubles]:
    """Return (slack a block, limit) of joints' counts, twice and thrice the reference's."""
    total = sum(len(part) for part in takes)
    share = np.sum([part.sum(axis=0) for part in takes], axis=0) / max(total, 1)
    slack: Doubles = _SLACK + 2 * BLOCK * share
    highest = np.zeros(len(slack))
    for part in takes:
        values = np.zeros(len(slack))
        for start in range(0, len(part), BLOCK):
            count = part[start : start + BLOCK].sum(axis=0)
            values = np.maximum(0.0, values + count - slack)
            highest = np.maximum(highest, values)
    return slack, LEAST_COUNT[name] + 3 * highest
