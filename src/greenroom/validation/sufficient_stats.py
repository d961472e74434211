"""From the sums that a validation keeps of each take to figures, intervals and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.metrics.intervals import gain, interval, resampled
from greenroom.metrics.motion import SufficientStats, aggregate
from greenroom.store.objects import Manifest
from greenroom.validation.eval_model import FLOOR

StatsByTask = dict[str, dict[str, dict[str, SufficientStats]]]
"""task → metric → take → tally."""


def stats_json(tallies: StatsByTask) -> dict[str, Any]:
    """Return tallies as a validation keeps them."""
    return {
        task: {
            metric: {
                take: {
                    "kind": t.kind,
                    "sums": {source: round(v, 6) for source, v in t.sums.items()},
                    "weight": round(t.weight, 6),
                }
                for take, t in takes.items()
            }
            for metric, takes in metrics.items()
        }
        for task, metrics in tallies.items()
    }


def read_stats(validation: Manifest) -> StatsByTask:
    """Return the tallies that a validation kept."""
    return {
        task: {
            metric: {
                take: SufficientStats(t["kind"], t["sums"], t["weight"])
                for take, t in takes.items()
            }
            for metric, takes in metrics.items()
        }
        for task, metrics in validation["tallies"].items()
    }


MOST_GROUPS = 20
"""A tier with more values than this names takes, not groups of them."""


def aggregate_figures(
    tallies: StatsByTask, labels: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Any]:
    """Return {task: {metric: {"model", "floor", "ci", "gain", "floors", "takes", "groups"}}}.

    `ci` is the model's 95 % interval, `gain` that of how much better it is than the floor; `groups`
    tier → value → {"model", "floor", "gain", "takes"}, where takes are labelled ("" where not). What has
    nothing to divide by, such as a skill where nobody moves, has no figure and is left out.

    Args:
        tallies: task → metric → take → tally.
        labels: take → tier → value.
    """
    out: dict[str, Any] = {}
    for task, metrics in tallies.items():
        out[task] = {}
        for metric, takes in metrics.items():
            rows, baseline = list(takes.values()), FLOOR[task]
            if not _weighs(rows):
                continue
            others = {w: round(aggregate(rows, w), 4) for w in rows[0].sums if w != "model"}
            out[task][metric] = {
                "model": round(aggregate(rows, "model"), 4),
                "floor": others[baseline],
                "ci": [round(v, 4) for v in interval(resampled(rows, "model"))],
                "gain": [round(v, 4) for v in interval(gain(rows, "model", baseline))],
                "floors": others,
                "takes": len(rows),
            }
            groups = _groups(takes, baseline, labels or {})
            if groups:
                out[task][metric]["groups"] = groups
    return out


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
) -> dict[str, Any]:
    return {
        tier: {
            value: {
                "model": round(aggregate(rows, "model"), 4),
                "floor": round(aggregate(rows, baseline), 4),
                "gain": [round(v, 4) for v in interval(gain(rows, "model", baseline))],
                "takes": len(rows),
            }
            for value, rows in groups.items()
            if _weighs(rows)
        }
        for tier, groups in group_stats(takes, labels).items()
    }


def _weighs(rows: Sequence[SufficientStats]) -> bool:
    return sum(t.weight for t in rows) > 0
