"""Show a comparison as one HTML file that needs nothing else: who is better, and since which take."""

from __future__ import annotations

from html import escape

from greenroom.manifests import PairFigure, PairSequence, Sandbox
from greenroom.metrics.sequences import BETTER, OPEN, WORSE
from greenroom.validation.report import STYLE

_STYLE = """
.better { color: #1a7f37 } .worse { color: #c4314b }
@media (prefers-color-scheme: dark) { .better { color: #57c878 } .worse { color: #ff7b8e } }
h3 { font-size: 1rem; margin-bottom: 0 }
figure { margin: .5rem 0 1.5rem }
"""
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 620, 170, 52, 12, 8, 22
_CLASS = {BETTER: "better", WORSE: "worse", OPEN: "quiet"}


def comparison_report(name: str, sandbox: Sandbox) -> str:
    """Return the page.

    Args:
        name: the comparison's hash.
        sandbox: its manifest.
    """
    parents = sandbox.parents
    takes, shows = len(parents.takes), len(parents.shows)
    parts = [
        f"<h1>Challenger <code>{escape(parents.challenger[:12])}</code> beside champion "
        f"<code>{escape(parents.champion[:12])}</code></h1>",
        f'<p class="quiet">actor {escape(sandbox.actor)}, on {takes} takes and {shows} shows; '
        f"sandbox <code>{name[:12]}</code>.</p>",
        "<p>A take, or a show, is one pair. Gain is (champion's error − challenger's) / both together: "
        f"above nought the challenger is better. The {sandbox.level:.0%} intervals hold after every "
        "take at once, so looking often, and adding takes, is allowed. Each metric is judged by "
        "itself.</p>",
        _summary(sandbox.figures),
    ]
    for task, metrics in sandbox.figures.items():
        parts.append(f"<h2>{escape(task)}</h2>")
        for metric, row in metrics.items():
            parts.append(
                f"<h3>{escape(metric)} <span class='quiet'>{row.better} is better</span></h3>"
            )
            parts.append(_chart(f"{task}.{metric}", row, sandbox.sequences[task][metric]))
    parts.append(_left_out(sandbox.left_out))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox {name[:12]}</title>'
        f"<style>{STYLE}{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def verdict_sentence(row: PairFigure) -> str:
    """Return a verdict in words, with how many takes it took."""
    return f"{row.verdict} (after {row.decided_after})" if row.decided_after else row.verdict


def _summary(figures: dict[str, dict[str, PairFigure]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(task)}.{escape(metric)}</td><td>{row.challenger:.3f}</td>"
        f"<td>{row.champion:.3f}</td><td>{row.gain:+.3f}</td>"
        f"<td>{row.ci[0]:+.3f} … {row.ci[1]:+.3f}</td><td>{row.takes}</td>"
        f'<td class="{_CLASS[row.verdict]}">{escape(verdict_sentence(row))}</td></tr>'
        for task, metrics in figures.items()
        for metric, row in metrics.items()
    )
    return (
        "<table><tr><th>metric</th><th>challenger</th><th>champion</th><th>gain</th><th>interval</th>"
        f"<th>pairs</th><th>the challenger is</th></tr>{rows}</table>"
    )


def _chart(title: str, row: PairFigure, series: PairSequence) -> str:
    """Return the interval and the mean after each take, as near as they come; before, anything goes."""
    count = len(series.gain)
    limit = min(1.0, 1.5 * float(max(abs(v) for v in (*row.ci, row.gain, 0.02))))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _FOOT

    def x(n: int) -> float:
        return _LEFT + width * n / count

    def y(value: float) -> float:
        return _TOP + height * (1 - min(1.0, max(-1.0, value / limit))) / 2

    upper = [f"{x(n):.1f},{y(v):.1f}" for n, v in enumerate((1.0, *series.high))]
    lower = [f"{x(n):.1f},{y(v):.1f}" for n, v in enumerate((-1.0, *series.low))]
    mean = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in enumerate(series.gain, 1))
    colour = _CLASS[row.verdict]
    decision_line = ""
    if row.decided_after:
        decision_x = x(row.decided_after)
        decision_line = (
            f'<line x1="{decision_x:.1f}" x2="{decision_x:.1f}" y1="{_TOP}" y2="{_TOP + height}" '
            'stroke="currentColor" stroke-dasharray="3 3"/>'
        )
    marks = "".join(
        f'<text x="{_LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:+.2f}</text>'
        for v in (limit, -limit)
    )
    label = f"{title}: gain {row.gain:+.3f}, {row.ci[0]:+.3f} to {row.ci[1]:+.3f}, "
    label += verdict_sentence(row)
    return (
        f'<figure><svg role="img" aria-label="{escape(label)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'class="{colour}">'
        f'<polygon points="{" ".join([*upper, *reversed(lower)])}" fill="currentColor" opacity=".18"/>'
        f'<polyline points="{mean}" fill="none" stroke="currentColor" stroke-width="2"/>'
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(0):.1f}" y2="{y(0):.1f}" '
        f'stroke="currentColor" opacity=".6"/>'
        f'<text x="{_LEFT - 6}" y="{y(0) + 4:.1f}" text-anchor="end">0</text>{marks}{decision_line}'
        f'<circle cx="{x(count):.1f}" cy="{y(row.gain):.1f}" r="3.5" fill="currentColor"/>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">0</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{count} pairs</text>'
        f"</svg><figcaption class='quiet'>{escape(label)}</figcaption></figure>"
    )


def _left_out(left_out: dict[str, str]) -> str:
    if not left_out:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(name[:12])}</code></td><td>{escape(why)}</td></tr>"
        for name, why in left_out.items()
    )
    return f"<details><summary>{len(left_out)} left out</summary><table>{rows}</table></details>"
