"""From the sums that a validation keeps of each take to figures, intervals and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from greenroom.manifests import Figure, GroupFigure, TakeStats, Validation
from greenroom.metrics.intervals import gain, interval, resampled
from greenroom.metrics.motion import SufficientStats, aggregate
from greenroom.validation.eval_model import FLOOR

StatsByTask = dict[str, dict[str, dict[str, SufficientStats]]]
"""task → metric → take → tally."""


def stats_manifest(stats: StatsByTask) -> dict[str, dict[str, dict[str, TakeStats]]]:
    """Return sufficient statistics as a validation's manifest has them."""
    return {
        task: {
            metric: {
                take: TakeStats(
                    kind=each.kind,
                    sums={source: round(v, 6) for source, v in each.sums.items()},
                    weight=round(each.weight, 6),
                )
                for take, each in takes.items()
            }
            for metric, takes in metrics.items()
        }
        for task, metrics in stats.items()
    }


def read_stats(validation: Validation) -> StatsByTask:
    """Return the sufficient statistics of a validation."""
    return {
        task: {
            metric: {
                take: SufficientStats(each.kind, each.sums, each.weight)
                for take, each in takes.items()
            }
            for metric, takes in metrics.items()
        }
        for task, metrics in validation.stats.items()
    }


MOST_GROUPS = 20
"""A tier with more values than this names takes, not groups of them."""


def aggregate_figures(
    stats: StatsByTask, labels: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, dict[str, Figure]]:
    """Return task → metric → figure over all takes, with 95 % bootstrap intervals.

    What has nothing to divide by, such as a skill where nobody moves, has no figure and is left out.

    Args:
        stats: task → metric → take → sufficient statistics.
        labels: take → tier → value.
    """
    out: dict[str, dict[str, Figure]] = {}
    for task, metrics in stats.items():
        out[task] = {}
        for metric, takes in metrics.items():
            rows, baseline = list(takes.values()), FLOOR[task]
            if not _weighs(rows):
                continue
            others = {w: round(aggregate(rows, w), 4) for w in rows[0].sums if w != "model"}
            out[task][metric] = Figure(
                model=round(aggregate(rows, "model"), 4),
                baseline=others[baseline],
                ci=_rounded(interval(resampled(rows, "model"))),
                gain=_rounded(interval(gain(rows, "model", baseline))),
                baselines=others,
                takes=len(rows),
                groups=_groups(takes, baseline, labels or {}),
            )
    return out


def _rounded(ends: tuple[float, float]) -> tuple[float, float]:
    return round(ends[0], 4), round(ends[1], 4)


def group_stats(
    takes: Mapping[str, SufficientStats], labels: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, list[SufficientStats]]]:
    """Return tier → value → the tallies of its takes, of tiers that tell takes apart in a few groups."""
    out: dict[str, dict[str, list[SufficientStats]]] = {}
    for tier in sorted({tier for take in takes for tier in labels.get(take, ())}):
        groups: dict[str, list[SufficientStats]] = {}
        for take, tally in takes.items():
            groups.setdefault(labels.get(take, {}).get(tier, ""), []).append(tally)
        if 2 <= len(groups) <= MOST_GROUPS:
            out[tier] = dict(sorted(groups.items()))
    return out


def _groups(
    takes: Mapping[str, SufficientStats], baseline: str, labels: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, GroupFigure]]:
    return {
        tier: {
            value: GroupFigure(
                model=round(aggregate(rows, "model"), 4),
                baseline=round(aggregate(rows, baseline), 4),
                gain=_rounded(interval(gain(rows, "model", baseline))),
                takes=len(rows),
            )
            for value, rows in groups.items()
            if _weighs(rows)
        }
        for tier, groups in group_stats(takes, labels).items()
    }


def _weighs(rows: Sequence[SufficientStats]) -> bool:
    return sum(t.weight for t in rows) > 0
