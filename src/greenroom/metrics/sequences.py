"""Tell two models apart while takes still come in: intervals that hold however often one looks.

A take is one pair: both models' figure on it. What is followed is its relative gain, in [-1, 1]: how
much larger the champion's error is than the challenger's, over both together. It has the sign of the
gate's gain on that take, needs no unit, and is bounded by itself, so that the interval needs no
assumption on how gains are spread: a mean without a bound has no interval that holds for every
distribution (Bahadur and Savage 1956).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from greenroom.errors import BadInput
from greenroom.frames import Doubles

BETTER, WORSE, OPEN = "better", "worse", "undecided"
_MEANS = 1001  # means that are tried: a step of 0.002 in the gain
_BETS = 32


@dataclass(frozen=True)
class Sequence:
    """The interval of a mean gain after each take.

    Attributes:
        gain: mean relative gain of the first 1, 2, … N takes (N,).
        low: lower end after each (N,), in [-1, 1]; it never falls.
        high: upper end after each (N,), in [-1, 1]; it never rises.
    """

    gain: Doubles
    low: Doubles
    high: Doubles

    @property
    def verdict(self) -> str:
        """`BETTER` where the interval came to lie above nought, `WORSE` below, else `OPEN`."""
        if self.decided_after is None:
            return OPEN
        return BETTER if self.low[self.decided_after - 1] > 0 else WORSE

    @property
    def decided_after(self) -> int | None:
        """How many takes it took to tell them apart; None where they are not."""
        decided = np.flatnonzero((self.low > 0) | (self.high < 0))
        return int(decided[0]) + 1 if len(decided) else None


def relative_gain(ours: ArrayLike, theirs: ArrayLike) -> Doubles:
    """Return (theirs - ours) / (theirs + ours) of each take (N,), in [-1, 1]; 0 where both are 0.

    Positive is better. 0.05 says that of both errors together five hundredths more are theirs: ours is a
    tenth smaller. 1 says that only they err.

    Args:
        ours: errors (N,), at least 0: a figure of which less is better (of a skill, 1 - skill).
        theirs: errors (N,) on the same takes.

    Raises:
        BadInput: an error is missing or below nought, or the lengths differ.

    >>> relative_gain([1.0, 2.0, 0.0], [3.0, 2.0, 0.0]).tolist()
    [0.5, 0.0, 0.0]
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise BadInput(f"{a.shape} errors and {b.shape} make no pairs")
    if not bool(np.all(np.isfinite(a) & np.isfinite(b) & (a >= 0) & (b >= 0))):
        raise BadInput("an error is a number, at least 0")
    both = a + b
    out: Doubles = np.where(both > 0, (b - a) / np.where(both > 0, both, 1.0), 0.0)
    return out


def sequence(gains: ArrayLike, level: float = 0.95) -> Sequence:
    """Return the interval of the mean gain after each take, in the order in which takes came.

    With a chance of `level` at least the mean lies in all of these intervals at once, so one may look
    after every take and stop at will. This holds for every distribution of gains, at every number of
    takes, if takes are drawn alike (independent, or exchangeable: then it is their common mean).

    Every mean m is a wager that is fair only if m is right: a share b of the capital on high values, the
    rest on low ones, so that each take multiplies it by b x/m + (1 - b) (1 - x)/(1 - m), with x and m
    moved to [0, 1]. A mean is out once its capital, averaged over b, has grown by 1 / (1 - level)
    (Ville 1939). Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
    betting", with the bet of Orabona and Jun 2024, "Tight concentrations and confidence sequences from
    the regret of universal portfolio" (Jeffreys' prior, at 32 Gauss points). The capital is log-convex
    in m, so that the means that are left are an interval.

    Args:
        gains: (N,), in [-1, 1].
        level: in [0.5, 1).

    Raises:
        BadInput: a gain is missing or outside, or the level is.

    >>> intervals = sequence([0.3, 0.2] * 20)
    >>> intervals.verdict, intervals.decided_after
    ('better', 21)
    >>> sequence([0.3, -0.2] * 20).verdict
    'undecided'
    """
    values = np.asarray(gains, dtype=np.float64)
    if values.ndim != 1 or not bool(np.all(np.abs(values) <= 1)):
        raise BadInput("gains are (N,), in -1 to 1")
    if not 0.5 <= level < 1:
        raise BadInput(f"a level is 0.5 at least and below 1, not {level}")
    means = np.linspace(0, 1, _MEANS)[1:-1]
    low, high = np.full(len(values), -1.0), np.full(len(values), 1.0)
    first, last = 0, len(means) - 1
    for n, capital in enumerate(log_capital(values, 2 * means - 1)):
        left = np.flatnonzero(capital < -np.log1p(-level))
        if len(left):  # else the mean lies between two that were tried
            first, last = max(first, int(left[0])), min(last, int(left[-1]))
        # One step further out: there a mean was tried and is not left.
        low[n] = 2 * means[first - 1] - 1 if first > 0 else -1.0
        high[n] = 2 * means[last + 1] - 1 if last < len(means) - 1 else 1.0
    mean: Doubles = np.cumsum(values) / np.arange(1, len(values) + 1)
    return Sequence(mean, low, high)


def log_capital(gains: Doubles, means: Doubles) -> Iterator[Doubles]:
    """Yield after each take the logarithm of the capital (M,) of the wagers on means, 0 at the start.

    Of the mean that is right it passes ln(1 / (1 - level)) at any take with a chance of 1 - level at
    most; see :func:`sequence`.

    Args:
        gains: (N,), in [-1, 1].
        means: (M,), in (-1, 1).
    """
    fair = (1 + means) / 2
    bets = np.sin((2 * np.arange(_BETS) + 1) * np.pi / (4 * _BETS)) ** 2
    logs = np.zeros((_BETS, len(means)))
    for x in (1 + gains) / 2:
        logs += np.log(np.outer(bets, x / fair) + np.outer(1 - bets, (1 - x) / (1 - fair)))
        top = logs.max(axis=0)
        yield top + np.log(np.exp(logs - top).mean(axis=0))
