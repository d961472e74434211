"""What people say: mean opinion scores with intervals over raters, and how far raters agree.

Ratings are 1 (bad) to 5 (excellent) a clip, rater and condition, such as "truth" or "model" (absolute
category rating, ITU-T P.800, annex B).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import Doubles

LOWEST, HIGHEST = 1.0, 5.0
ROUNDS = 2000
LEVELS = ("ordinal", "interval")


@dataclass(frozen=True)
class Rating:
    """What one rater said of one clip.

    Attributes:
        clip: what was shown.
        rater: who rated it.
        condition: how it was made.
        value: 1 to 5.
    """

    clip: str
    rater: str
    condition: str
    value: float


@dataclass(frozen=True)
class MeanOpinion:
    """The mean opinion of one condition.

    Attributes:
        mean: over all its ratings, 1 to 5.
        low: lower end of the interval; NaN from a single rater.
        high: upper end of it.
        ratings: how many.
        raters: by how many people.
    """

    mean: float
    low: float
    high: float
    ratings: int
    raters: int


def _sums(ratings: Sequence[Rating]) -> tuple[list[str], Doubles, Doubles]:
    """Return conditions, and each rater's sums and numbers of ratings (raters, conditions)."""
    conditions = sorted({r.condition for r in ratings})
    raters = sorted({r.rater for r in ratings})
    total = np.zeros((len(raters), len(conditions)))
    count = np.zeros_like(total)
    rows = {rater: n for n, rater in enumerate(raters)}
    for r in ratings:
        cell = rows[r.rater], conditions.index(r.condition)
        total[cell] += r.value
        count[cell] += 1
    return conditions, total, count


def _rounds(total: Doubles, count: Doubles, seed: int) -> Doubles:
    """Return the means (rounds, conditions) over raters drawn with replacement."""
    picks = np.random.default_rng(seed).integers(0, len(total), (ROUNDS, len(total)))
    below = count[picks].sum(axis=1)
    return np.asarray(total[picks].sum(axis=1) / np.where(below > 0, below, np.nan))


def _ends(values: Doubles, level: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [50 - 50 * level, 50 + 50 * level])
    return float(low), float(high)


def opinions(
    ratings: Sequence[Rating], level: float = 0.95, seed: int = 0
) -> dict[str, MeanOpinion]:
    """Return condition → mean opinion score with its interval.

    Raters are drawn with replacement, never ratings: those of one person are not independent
    (percentile bootstrap over clusters, Efron and Tibshirani 1993, chapter 13; a mean opinion score is
    that of ITU-T P.800).

    Args:
        ratings: all of a study's.
        level: of the interval.
        seed: of the draws.

    Raises:
        BadInput: there is none.
    """
    if not ratings:
        raise BadInput("a study has one rating at least")
    conditions, total, count = _sums(ratings)
    drawn = _rounds(total, count, seed)
    out = {}
    for n, condition in enumerate(conditions):
        raters = int((count[:, n] > 0).sum())
        low, high = _ends(drawn[:, n], level) if raters > 1 else (float("nan"), float("nan"))
        mean = float(total[:, n].sum() / count[:, n].sum())
        out[condition] = MeanOpinion(
            mean, low, high=high, ratings=int(count[:, n].sum()), raters=raters
        )
    return out


def difference(
    ratings: Sequence[Rating],
    condition_a: str,
    condition_b: str,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return how much better one condition is than another, and the interval's ends.

    The same raters are drawn for both, so that a rater who is strict with all changes nothing.

    Args:
        ratings: all of a study's.
        condition_a: a condition.
        condition_b: another one.
        level: of the interval.
        seed: of the draws.

    Raises:
        BadInput: a condition that nobody rated.
    """
    conditions, total, count = _sums(ratings)
    for condition in (condition_a, condition_b):
        if condition not in conditions:
            raise BadInput(f"nobody rated '{condition}'", then=f"there are {', '.join(conditions)}")
    index_a, index_b = conditions.index(condition_a), conditions.index(condition_b)
    mean = total.sum(axis=0) / count.sum(axis=0)
    drawn = _rounds(total, count, seed)
    nobody = float("nan"), float("nan")
    ends = _ends(drawn[:, index_a] - drawn[:, index_b], level) if len(total) > 1 else nobody
    return float(mean[index_a] - mean[index_b]), *ends


def agreement(ratings: Sequence[Rating], level: str = "ordinal") -> float:
    """Return Krippendorff's α of raters on units (a clip in a condition): 1 all agree, 0 as by chance.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability", sections C and D: 1 - D_o /
    D_e from the coincidences of values within units, with the ordinal or the interval difference.
    Missing ratings are allowed; a unit that one person rated says nothing. NaN where nothing varies or
    no unit was rated twice.

    Args:
        ratings: all of a study's.
        level: "ordinal" or "interval".

    Raises:
        BadInput: another level.
    """
    if level not in LEVELS:
        raise BadInput(f"agreement is {' or '.join(LEVELS)}, not '{level}'")
    units: dict[tuple[str, str], list[float]] = {}
    for r in ratings:
        units.setdefault((r.clip, r.condition), []).append(r.value)
    values = sorted({r.value for r in ratings})
    value_index = {value: n for n, value in enumerate(values)}
    coincidences = np.zeros((len(values), len(values)))
    for unit_ratings in units.values():
        if len(unit_ratings) > 1:
            counts = np.bincount(
                [value_index[value] for value in unit_ratings], minlength=len(values)
            )
            pairs = np.outer(counts, counts) - np.diag(counts)
            coincidences += pairs / (len(unit_ratings) - 1)
    totals = coincidences.sum(axis=1)
    if level == "interval":
        place = np.asarray(values)
    else:
        # Between two ranks lie half of each and all that is between: differences of middle ranks.
        place = np.cumsum(totals) - totals / 2
    squared_distance = (place[:, None] - place[None]) ** 2
    expected = float((np.outer(totals, totals) * squared_distance).sum())
    if expected <= 0:
        return float("nan")
    return float(1 - (totals.sum() - 1) * (coincidences * squared_distance).sum() / expected)
