"""The textbook charts, vectorised over channels, for points that are independent.

Motion at 30 Hz is not: there use :class:`greenroom.monitoring.charts.motion.MotionChart`, which sets its
limits on the motion itself. These are what it is built from and checked against, and they serve
figures that come once a take or once a show.

Convention: a chart takes one row (C,) at a time; ``update`` returns nothing and ``signal`` (C,) says
which channels are out of control since the last row. A value that is NaN leaves its channel as it was.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenroom.errors import BadInput
from greenroom.frames import Doubles


class ControlChart(Protocol):
    """What every chart here does: update it, read its signal, reset it."""

    signal: NDArray[np.bool_]

    def update(self, x: ArrayLike) -> None:
        """Take one row (C,)."""

    def reset(self) -> None:
        """Forget the rows, keep the limits."""


def _standard(mean: ArrayLike, sd: ArrayLike) -> tuple[Doubles, Doubles]:
    centre, spread = np.broadcast_arrays(
        np.atleast_1d(np.asarray(mean, dtype=np.float64)), np.asarray(sd, dtype=np.float64)
    )
    if not (spread > 0).all():
        raise BadInput("a standard deviation is above nought", then="leave out what never moves")
    return centre, spread


class Shewhart:
    """Out of control where a row is `limit` standard deviations from the mean (Shewhart 1931).

    Args:
        mean: in control (C,).
        sd: in control (C,), above nought.
        limit: 3 gives one false alarm in 370 independent points.

    >>> chart = Shewhart([0.0, 10.0], [1.0, 2.0])
    >>> chart.update([2.9, 3.9])
    >>> chart.signal.tolist()
    [False, True]
    """

    def __init__(self, mean: ArrayLike, sd: ArrayLike, limit: float = 3.0) -> None:
        """Keep the limits."""
        self.mean, self.sd = _standard(mean, sd)
        self.limit = limit
        self.reset()

    def reset(self) -> None:
        """Forget the rows."""
        self.signal = np.zeros(self.mean.shape, dtype=np.bool_)

    def update(self, x: ArrayLike) -> None:
        """Take one row (C,)."""
        z = (np.asarray(x, dtype=np.float64) - self.mean) / self.sd
        self.signal = np.abs(z) > self.limit


class Ewma:
    """Out of control where the exponentially weighted mean leaves its limits (Roberts 1959).

    Args:
        mean: in control (C,).
        sd: in control (C,), above nought.
        weight: λ of the newest row, in (0, 1].
        limit: in standard deviations that the weighted mean has in the long run.
    """

    def __init__(
        self, mean: ArrayLike, sd: ArrayLike, weight: float = 0.1, limit: float = 2.814
    ) -> None:
        """Keep the limits."""
        self.mean, self.sd = _standard(mean, sd)
        if not 0 < weight <= 1:
            raise BadInput(f"a weight is above 0 and at most 1, not {weight}")
        self.weight, self.limit = weight, limit
        self.reset()

    def reset(self) -> None:
        """Forget the rows."""
        self.value = np.zeros(self.mean.shape)
        self.signal = np.zeros(self.mean.shape, dtype=np.bool_)

    def update(self, x: ArrayLike) -> None:
        """Take one row (C,)."""
        z = (np.asarray(x, dtype=np.float64) - self.mean) / self.sd
        z = np.where(np.isfinite(z), z, self.value)
        self.value += self.weight * (z - self.value)
        self.signal = np.abs(self.value) > self.limit * np.sqrt(self.weight / (2 - self.weight))


class Cusum:
    """Out of control where the summed excess over `k`, up or down, passes `h` (Page 1954).

    Args:
        mean: in control (C,).
        sd: in control (C,), above nought.
        k: what each row is reduced by, in standard deviations: half of the shift that matters.
        h: the limit of the sum, in standard deviations.
    """

    def __init__(self, mean: ArrayLike, sd: ArrayLike, k: float = 0.5, h: float = 5.0) -> None:
        """Keep the limits."""
        self.mean, self.sd = _standard(mean, sd)
        self.k, self.h = k, h
        self.reset()

    def reset(self) -> None:
        """Forget the rows."""
        self.high = np.zeros(self.mean.shape)
        self.low = np.zeros(self.mean.shape)
        self.signal = np.zeros(self.mean.shape, dtype=np.bool_)

    def update(self, x: ArrayLike) -> None:
        """Take one row (C,)."""
        z = (np.asarray(x, dtype=np.float64) - self.mean) / self.sd
        finite = np.isfinite(z)
        self.high = np.where(finite, np.maximum(0.0, self.high + z - self.k), self.high)
        self.low = np.where(finite, np.maximum(0.0, self.low - z - self.k), self.low)
        self.signal = np.maximum(self.high, self.low) > self.h


class Variance:
    """Out of control where the variance of `n` rows is too large or too small: the S² chart.

    The lower limit is what sees a frozen joint. Limits are at equal tails of χ² with n - 1 degrees of
    freedom, over n - 1 (Montgomery, "Introduction to Statistical Quality Control", chapter 6).

    Args:
        sd: in control (C,), above nought.
        n: independent rows in a batch, 2 at least; a channel with one missing gives no signal.
        tail: chance of a false signal a batch.

    >>> chart = Variance([1.0, 1.0], n=10)
    >>> for row in np.random.default_rng(0).normal(0, [1.0, 0.05], (10, 2)):
    ...     chart.update(row)
    >>> chart.signal.tolist()
    [False, True]
    """

    def __init__(self, sd: ArrayLike, n: int = 10, tail: float = 1 / 370.4) -> None:
        """Keep the limits."""
        from scipy.stats import chi2

        _, self.sd = _standard(0.0, sd)
        if n < 2:
            raise BadInput(f"a variance takes 2 rows at least, not {n}")
        self.n = n
        self.low = float(chi2.ppf(tail / 2, n - 1)) / (n - 1)
        self.high = float(chi2.isf(tail / 2, n - 1)) / (n - 1)
        self.reset()

    def reset(self) -> None:
        """Forget the rows."""
        self.rows: list[Doubles] = []
        self.signal = np.zeros(self.sd.shape, dtype=np.bool_)

    def update(self, x: ArrayLike) -> None:
        """Take one row (C,); the signal is renewed with every n-th."""
        self.rows.append(np.asarray(x, dtype=np.float64) / self.sd)
        if len(self.rows) < self.n:
            return
        square = np.var(np.stack(self.rows), axis=0, ddof=1)
        self.rows.clear()
        self.signal = (square < self.low) | (square > self.high)
