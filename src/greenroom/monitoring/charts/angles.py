"""Control charts on the mean and variance of joint angles, with and without autocorrelation.

The rule of three standard deviations takes points for independent. Motion at 30 Hz is not, so that the
textbook's limits are too narrow. Here both are drawn: limits for independent ticks, and limits for the
effective number of independent ticks in a subgroup.

Source: Montgomery, "Introduction to Statistical Quality Control", chapters 6 and 10.4; the effective
numbers are those of a mean and a variance under autocorrelation (Bayley and Hammersley 1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenroom.errors import BadInput
from greenroom.frames import Doubles

SUBGROUP = 30
"""Ticks of one point: a second."""
MAX_LAG = 90
"""Ticks over which autocorrelation is looked for: three seconds."""
SIGMAS = 3.0
TAIL = 0.0027
"""Chance of a false signal of a 3σ chart of independent normal points."""
WIDTH, HEIGHT, LEFT, PAD = 420, 130, 36, 6


@dataclass(frozen=True)
class Chart:
    """One chart: its points, centre line and two pairs of limits.

    Attributes:
        values: one per point (N,); NaN where too little was captured.
        centre: in control.
        independent: lower and upper limit that take ticks for independent.
        corrected: lower and upper limit for the effective number of independent ticks.
    """

    values: Doubles
    centre: float
    independent: tuple[float, float]
    corrected: tuple[float, float]

    def out(self, limits: tuple[float, float]) -> NDArray[np.bool_]:
        """Return which points (N,) are outside limits."""
        return (self.values < limits[0]) | (self.values > limits[1])

    @property
    def independent_share(self) -> float:
        """Share of points outside the limits that take ticks for independent."""
        return _share(self.out(self.independent), self.values)

    @property
    def corrected_share(self) -> float:
        """Share of points outside the corrected limits."""
        return _share(self.out(self.corrected), self.values)

    @property
    def low(self) -> float:
        """Lower end of the picture."""
        return float(min(np.nanmin(self.values), self.corrected[0], self.independent[0]))

    @property
    def high(self) -> float:
        """Upper end of the picture."""
        return float(max(np.nanmax(self.values), self.corrected[1], self.independent[1]))

    def y(self, value: float) -> float:
        """Return the height of a value in the picture."""
        span = max(self.high - self.low, 1e-9)
        return round(HEIGHT - PAD - (HEIGHT - 2 * PAD) * (value - self.low) / span, 1)

    def _place(self, index: int) -> tuple[float, float]:
        step = (WIDTH - LEFT - 2 * PAD) / max(1, len(self.values) - 1)
        return round(LEFT + PAD + step * index, 1), self.y(float(self.values[index]))

    def lines(self) -> list[str]:
        """Return the points of an SVG polyline for each stretch without a gap."""
        finite = np.flatnonzero(np.isfinite(self.values))
        stretches = np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1)
        return [" ".join("{},{}".format(*self._place(i)) for i in part) for part in stretches]

    def signals(self) -> list[tuple[float, float]]:
        """Return where points outside the corrected limits lie in the picture."""
        return [self._place(int(i)) for i in np.flatnonzero(self.out(self.corrected))]


@dataclass(frozen=True)
class JointCharts:
    """Both charts of one joint.

    Attributes:
        joint: bone name.
        mean: of its angle in the reference, degrees.
        sd: of its angle in the reference, degrees.
        effective: independent ticks in a point, for a mean.
        mean_chart: of the mean of each point, degrees.
        variance_chart: of the variance of each point, degrees².
    """

    joint: str
    mean: float
    sd: float
    effective: float
    mean_chart: Chart
    variance_chart: Chart


def autocorrelation(takes: Sequence[Doubles], lags: int = MAX_LAG) -> Doubles:
    """Return the autocorrelation (L + 1,) of a series in several takes (T,), lag 0 first.

    Pairs across the border of two takes do not count. Lags that no take is long enough for are 0.
    """
    values = np.concatenate(takes)
    mean, variance = np.nanmean(values), np.nanvar(values)
    out = np.zeros(lags + 1)
    out[0] = 1.0
    for lag in range(1, lags + 1):
        products = [(take[lag:] - mean) * (take[:-lag] - mean) for take in takes if len(take) > lag]
        pairs = np.concatenate(products) if products else np.empty(0)
        pairs = pairs[np.isfinite(pairs)]
        if len(pairs) and variance > 0:
            out[lag] = pairs.mean() / variance
    return out


def effective_count(count: int, correlation: Doubles) -> float:
    """Return how many independent values tell as much as `count` correlated ones.

    n / (1 + 2 Σ (1 - k/n) ρ(k)), over the lags up to the first that is not above nought; with ρ² in
    the place of ρ it is the number for a variance.

    >>> effective_count(30, np.zeros(91))
    30.0
    >>> round(effective_count(30, 0.9 ** np.arange(91.0)), 1)
    2.3
    """
    lags = np.arange(1, min(count, len(correlation)))
    rho = correlation[1 : len(lags) + 1]
    below = np.flatnonzero(rho <= 0)
    if len(below):
        lags, rho = lags[: below[0]], rho[: below[0]]
    return float(min(count, max(1.0, count / (1 + 2 * float(((1 - lags / count) * rho).sum())))))


def joint_charts(
    reference: Sequence[Doubles], captured: Doubles, joints: Sequence[str]
) -> list[JointCharts]:
    """Return the charts of every joint that moves in the reference.

    Args:
        reference: angles (T, J) of takes in control, degrees; NaN where missing.
        captured: angles (T, J) of the show, degrees.
        joints: J bone names.

    Raises:
        BadInput: the show is shorter than two points, or the reference has no angle.
    """
    points = len(captured) // SUBGROUP
    if points < 2:
        raise BadInput(f"the show is shorter than {2 * SUBGROUP} ticks: too short for a chart")
    groups = captured[: points * SUBGROUP].reshape(points, SUBGROUP, -1)
    charts = []
    for index, joint in enumerate(joints):
        takes = [take[:, index] for take in reference if np.isfinite(take[:, index]).any()]
        if not takes or not np.nanvar(np.concatenate(takes)) > 0:
            continue
        charts.append(_charts(joint, takes, groups[:, :, index]))
    if not charts:
        raise BadInput("no joint moves in the reference takes")
    return charts


def _charts(joint: str, takes: Sequence[Doubles], groups: Doubles) -> JointCharts:
    values = np.concatenate(takes)
    mean, sd = float(np.nanmean(values)), float(np.nanstd(values))
    correlation = autocorrelation(takes)
    effective = effective_count(SUBGROUP, correlation)
    enough = np.isfinite(groups).mean(axis=1) >= 0.5
    means, variances = np.full(len(groups), np.nan), np.full(len(groups), np.nan)
    means[enough] = np.nanmean(groups[enough], axis=1)
    variances[enough] = np.nanvar(groups[enough], axis=1, ddof=1)
    if not enough.any():
        raise BadInput(f"the show captured no {joint}", then="give a show with a captured body")
    # Of a slow series the variance within a second is smaller than over all: σ² (1 - 1/n_eff) n/(n-1).
    within = sd**2 * (1 - 1 / max(effective, 1.0 + 1e-6)) * SUBGROUP / (SUBGROUP - 1)
    freedom = max(1.0, effective_count(SUBGROUP, correlation**2) - 1)
    return JointCharts(
        joint,
        mean,
        sd,
        effective,
        Chart(means, mean, _mean_limits(mean, sd, SUBGROUP), _mean_limits(mean, sd, effective)),
        Chart(
            variances,
            within,
            _variance_limits(sd**2, SUBGROUP - 1),
            _variance_limits(within, freedom),
        ),
    )


def _mean_limits(mean: float, sd: float, count: float) -> tuple[float, float]:
    width = SIGMAS * sd / float(np.sqrt(count))
    return mean - width, mean + width


def _variance_limits(variance: float, freedom: float) -> tuple[float, float]:
    from scipy.stats import chi2

    low, high = chi2.ppf(TAIL / 2, freedom), chi2.isf(TAIL / 2, freedom)
    return variance * float(low) / freedom, variance * float(high) / freedom


def _share(out: NDArray[np.bool_], values: Doubles) -> float:
    finite = np.isfinite(values)
    return float(out[finite].mean()) if finite.any() else 0.0
