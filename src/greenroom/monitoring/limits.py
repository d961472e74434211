"""Limits that keep a promise: false alerts per hour of show, in whichever order shows play their takes.

Whole stretches of the reference are drawn with replacement (block bootstrap, Künsch 1989): in any
order, and in scenes of one to three minutes in which a few like stretches come again and again,
because order decides how evidence adds up. A smoothed bootstrap (Silverman and Young 1987) moves each
drawn stretch a little, so that the largest one in the reference is not taken for the largest there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import Array, Doubles
from greenroom.monitoring.detectors.cusum import BLOCK

TICKS_AN_HOUR = 108_000
_HOURS = 384
_SHARES = 3  # fast drift, slow drift and faults share the budget
_LIKE = 5  # stretches in a scene
_SCENE = (1800, 5400)  # ticks


@dataclass(frozen=True)
class Bootstrap:
    """Draws shows from stretches of the reference.

    Attributes:
        hours: in which all charts together may raise one false alert.
        scenes: of each stretch, those that come in one scene with it.
        rng: seeded.
    """

    hours: float
    scenes: list[NDArray[np.intp]]
    rng: np.random.Generator

    def limit(self, evidence: list[Doubles], gap: int, memory: int, *, family: bool) -> Doubles:
        """Return limits (G,) that each sum, or one of a family of them, keeps in either order.

        Args:
            evidence: of each stretch (N, G).
            gap: as in :class:`Spacing`.
            memory: as in :class:`Spacing`.
            family: whether the sums share one limit and a third of the budget; else each has a third.
        """
        means = np.stack([part.mean(axis=0) for part in evidence if len(part)])
        jolt = 1.06 * means.std(axis=0) * len(means) ** -0.2  # Silverman's bandwidth
        quantiles = []
        for order in (None, self.scenes):
            highest = hourly_maxima(
                evidence, Spacing(BLOCK, gap, memory), order, jolt, rng=self.rng
            )
            if family:
                highest = np.repeat(highest.max(axis=1, keepdims=True), highest.shape[1], axis=1)
            quantiles.append(np.quantile(highest, max(0.0, 1 - 1 / (_SHARES * self.hours)), axis=0))
        out: Doubles = np.maximum(*quantiles)
        return out


def neighbours(places: Doubles, labels: Sequence[object] | None) -> list[NDArray[np.intp]]:
    """Return which stretches make up a scene with each stretch, itself among them.

    Args:
        places: (N, k), where each stretch lies; NaN where it is too short to say.
        labels: scene of each stretch, if known.
    """
    if labels is not None:
        return [
            np.asarray([j for j, other in enumerate(labels) if other == label], dtype=np.intp)
            for label in labels
        ]
    filled = np.where(np.isfinite(places), places, 1e6)
    own = (filled**2).sum(axis=1)
    squares = own[:, None] + own[None] - 2 * filled @ filled.T
    return list(np.argsort(squares, axis=1)[:, : min(_LIKE, len(places))])


class Spacing(NamedTuple):
    """How rows of evidence lie in time.

    Attributes:
        step: ticks between two rows; the sums are in units of evidence times seconds.
        gap: rows without evidence at the start of every stretch.
        memory: rows within which the same stretch again is no new evidence; nought if it always is.
    """

    step: int
    gap: int
    memory: int


def hourly_maxima(
    stretches: Sequence[Doubles],
    spacing: Spacing,
    scenes: Sequence[NDArray[np.intp]] | None,
    jitter_std: Array,
    rng: np.random.Generator,
) -> Doubles:
    """Return (H, G): the highest that each one-sided CUSUM gets in each of H simulated hours.

    Args:
        stretches: evidence of each stretch (N, G).
        spacing: of its rows.
        scenes: of each stretch, those like it; None draws from all.
        jitter_std: (G,), standard deviation of what is added to a whole drawn stretch.
        rng: seeded.
    """
    step, gap, memory = spacing
    lengths = np.asarray([len(s) for s in stretches])
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1] + 1
    table = np.concatenate([np.zeros((1, stretches[0].shape[1])), *stretches])
    rows = TICKS_AN_HOUR // step
    row_index = np.zeros((rows, _HOURS), dtype=np.intp)
    jitter_index = np.zeros((rows, _HOURS), dtype=np.intp)
    repeated = np.zeros((rows, _HOURS), dtype=np.bool_)
    filled = lengths + gap
    for hour in range(_HOURS):
        order = _order(filled, rows, step=step, scenes=scenes, rng=rng)
        within = np.arange(filled[order].sum()) - np.repeat(
            np.cumsum(filled[order]) - filled[order], filled[order]
        )
        table_rows = np.where(
            within < gap, 0, np.repeat(starts[order], filled[order]) + within - gap
        )
        row_index[:, hour] = table_rows[:rows]
        repeated[:, hour] = np.repeat(_again(order, filled, memory), filled[order])[:rows]
        which = np.repeat(rng.integers(1, 4096, len(order)), filled[order])
        jitter_index[:, hour] = np.where(row_index[:, hour] > 0, which[:rows], 0)
    jitters = rng.normal(0, 1, (4096, len(jitter_std))) * jitter_std
    jitters[0] = 0
    sums = np.zeros((_HOURS, table.shape[1]))
    out = np.zeros_like(sums)
    seconds = step / 30
    for row in range(rows):
        evidence = table[row_index[row]] + jitters[jitter_index[row]]
        if memory:
            evidence[repeated[row]] = np.minimum(evidence[repeated[row]], 0.0)
        sums += evidence * seconds
        np.maximum(sums, 0.0, out=sums)
        np.maximum(out, sums, out=out)
    return out


def _order(
    lengths: NDArray[np.intp],
    rows: int,
    step: int,
    scenes: Sequence[NDArray[np.intp]] | None,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return stretches that together fill `rows`."""
    out: list[NDArray[np.intp]] = []
    left = float(rows)
    typical = max(1, int(np.median(lengths)))
    while left > 0:
        like = np.arange(len(lengths))
        if scenes is not None:
            like = scenes[int(rng.integers(len(lengths)))]
        want = left if scenes is None else min(left, rng.integers(*_SCENE) / step)
        drawn = like[rng.integers(len(like), size=2 * int(want / typical) + 2)]
        count = 1 + int(np.searchsorted(np.cumsum(lengths[drawn]), want))
        out.append(drawn[:count])
        left -= int(lengths[drawn[:count]].sum())
    return np.concatenate(out)


def _again(order: NDArray[np.intp], filled: NDArray[np.intp], memory: int) -> NDArray[np.bool_]:
    """Return which of the drawn stretches were drawn before, less than `memory` rows ago."""
    ends = np.cumsum(filled[order])
    by_stretch = np.lexsort((ends, order))
    since = np.diff(ends[by_stretch])
    same = np.diff(order[by_stretch]) == 0
    out = np.zeros(len(order), dtype=np.bool_)
    out[by_stretch[1:]] = same & (since < memory)
    return out
