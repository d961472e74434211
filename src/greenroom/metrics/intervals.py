"""How sure a figure is: bootstrap over whole takes, paired where two are compared.

Takes are resampled with replacement, never frames: frames of one take are not independent (percentile
bootstrap over clusters, Efron and Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

import numpy as np

from greenroom.frames import Doubles
from greenroom.metrics.motion import SufficientStats

ROUNDS = 2000


def resampled(
    stats: list[SufficientStats], source: str, rounds: int = ROUNDS, seed: int = 0
) -> Doubles:
    """Return the figure (rounds,) over resampled takes; the same takes each time for one seed."""
    sums = np.asarray([t.sums[source] for t in stats])
    weights = np.asarray([t.weight for t in stats])
    picks = np.random.default_rng(seed).integers(0, len(stats), (rounds, len(stats)))
    below = weights[picks].sum(axis=1)
    ratio: Doubles = sums[picks].sum(axis=1) / np.where(below > 0, below, np.nan)
    return 1 - ratio if stats[0].kind == "skill" else ratio


def interval(values: Doubles, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled figures; of a single take it has no width."""
    cuts = np.nanpercentile(values, [50 - 50 * level, 50 + 50 * level])
    return float(cuts[0]), float(cuts[1])


def gain(stats: list[SufficientStats], source: str, reference: str) -> Doubles:
    """Return how much better one is than another (rounds,) over the same resampled takes.

    Positive is better: fewer degrees, or more skill.
    """
    source_rounds, reference_rounds = resampled(stats, source), resampled(stats, reference)
    return (
        source_rounds - reference_rounds
        if stats[0].kind == "skill"
        else reference_rounds - source_rounds
    )
