"""Show a search as one HTML file that needs nothing else: its course, each choice, the losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from greenroom.manifests import Search, SearchTrial
from greenroom.validation.report import STYLE

_STYLE = f"""{STYLE}svg {{ max-width: 100%; height: auto }}
.row {{ display: flex; flex-wrap: wrap; gap: 1rem }}
"""
_WIDTH, _HEIGHT, _EDGE = 420, 220, 46

Point = tuple[float, float, bool]
"""x, y, and whether it is the best."""
_Ends = tuple[float, float]
_Axes = tuple[_Ends, _Ends, list[str]]


def search_report(name: str, search: Search) -> str:
    """Return the page.

    Args:
        name: the search's hash.
        search: its manifest.
    """
    trials, metric = search.trials, search.metric
    completed = [(n, trial) for n, trial in enumerate(trials) if trial.value is not None]
    ended = len(trials) - len(completed)
    parts = [
        f"<h1>Search for a recipe, {escape(metric)}</h1>",
        f'<p class="quiet">actor {escape(search.actor)}; search <code>{name[:12]}</code>, dataset '
        f"<code>{search.parents.dataset[:12]}</code>. {len(trials)} trials, {ended} of them ended "
        f"early; {search.better} is better, on the validation split.</p>",
    ]
    best = search.best
    if best is not None:
        parts.append(f"<p>Best: trial {best}, {_describe_trial(trials[best])}</p>")
        course = [(float(n), _value(trial), n == best) for n, trial in completed]
        parts.append("<h2>Course</h2>")
        parts.append(_plot(course, "trial", metric, line=_running(course, search.better)))
        parts.append("<h2>Choices</h2><div class='row'>")
        for choice in sorted(search.space):
            parts.append(_slice(choice, completed, best, search.space[choice], metric=metric))
        parts.append("</div>")
    parts.append("<h2>Losses on the way</h2>")
    parts.append(_curves(trials, search.best))
    parts.append(_table(trials, sorted(search.space)))
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Search {name[:12]}</title>'
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _describe_trial(trial: SearchTrial) -> str:
    recipe = ", ".join(f"{key} {_number(value)}" for key, value in trial.recipe.items())
    return f"{trial.value:.4g} with {escape(recipe)}"


def _value(trial: SearchTrial) -> float:
    assert trial.value is not None  # of a completed trial
    return trial.value


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _running(course: Sequence[Point], better: str) -> list[tuple[float, float]]:
    """Return the best value so far, trial after trial."""
    out: list[tuple[float, float]] = []
    for x, value, _ in course:
        before = out[-1][1] if out else value
        out.append((x, max(before, value) if better == "higher" else min(before, value)))
    return out


def _slice(
    choice: str,
    completed: Sequence[tuple[int, SearchTrial]],
    best: int,
    spec: dict[str, Any],
    metric: str,
) -> str:
    values = [trial.recipe[choice] for _, trial in completed]
    names = None
    if "choices" in spec:
        names = [_number(value) for value in spec["choices"]]
        xs = [float(spec["choices"].index(value)) for value in values]
    elif spec.get("log"):
        xs = [math.log10(value) for value in values]
    else:
        xs = [float(value) for value in values]
    points = [(x, _value(trial), n == best) for x, (n, trial) in zip(xs, completed, strict=True)]
    label = f"log₁₀ {choice}" if spec.get("log") else choice
    return _plot(points, label, metric, names=names)


def _scale(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _axes(points: Sequence[tuple[float, float]], x: str, y: str, names: list[str] | None) -> _Axes:
    """Return the scales of points, and what is drawn of both axes: smallest and largest value."""
    across, up = [p[0] for p in points], [p[1] for p in points]
    xs = (-0.5, len(names) - 0.5) if names else _scale(across)
    ys = _scale(up)
    base = _HEIGHT - _EDGE + 14
    out = [
        f'<path d="M{_EDGE} 18V{_HEIGHT - _EDGE}H{_WIDTH - 10}" fill="none" stroke="currentColor" '
        'opacity=".4"/>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>',
        f'<text x="0" y="11">{escape(y)}</text>',
    ]
    for value in sorted({min(up), max(up)}):
        position = _at(value, ys, _HEIGHT - _EDGE, 22) + 4
        out.append(f'<text x="{_EDGE - 4}" y="{position:.1f}" text-anchor="end">{value:.4g}</text>')
    marks = [(float(n), name) for n, name in enumerate(names or [])]
    marks = marks or [(value, f"{value:.3g}") for value in sorted({min(across), max(across)})]
    for value, name in marks:
        position = _at(value, xs, _EDGE, _WIDTH - 10)
        out.append(
            f'<text x="{position:.1f}" y="{base}" text-anchor="middle">{escape(name)}</text>'
        )
    return xs, ys, out


def _at(value: float, ends: tuple[float, float], low: float, high: float) -> float:
    return low + (high - low) * (value - ends[0]) / (ends[1] - ends[0])


def _plot(
    points: Sequence[Point],
    x: str,
    y: str,
    line: Sequence[tuple[float, float]] = (),
    names: list[str] | None = None,
) -> str:
    """Return dots, the best one filled, with a line through others."""
    xs, ys, parts = _axes([(px, py) for px, py, _ in points], x, y, names)
    if line:
        parts.append(_line(line, xs, ys, 0.6))
    for px, py, best in points:
        cx, cy = _at(px, xs, _EDGE, _WIDTH - 10), _at(py, ys, _HEIGHT - _EDGE, 22)
        fill = "currentColor" if best else "none"
        parts.append(
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{5 if best else 3.5}" fill="{fill}" '
            f'stroke="currentColor"><title>{py:.4g}</title></circle>'
        )
    return _svg(parts, f"{y} by {x}")


def _line(
    points: Sequence[tuple[float, float]],
    xs: tuple[float, float],
    ys: tuple[float, float],
    opacity: float,
    dash: str = "",
) -> str:
    steps = " ".join(
        f"{_at(px, xs, _EDGE, _WIDTH - 10):.1f},{_at(py, ys, _HEIGHT - _EDGE, 22):.1f}"
        for px, py in points
    )
    return (
        f'<polyline points="{steps}" fill="none" stroke="currentColor" opacity="{opacity}"'
        + (f' stroke-dasharray="{dash}"' if dash else "")
        + "/>"
    )


def _curves(trials: Sequence[SearchTrial], best: int | None) -> str:
    """Return each trial's smoothed loss; the best drawn fully, those ended early dashed."""
    curves = [
        (n, trial, [(float(step), loss) for step, loss in _sorted(trial.losses)])
        for n, trial in enumerate(trials)
        if trial.losses
    ]
    if not curves:
        return "<p class='quiet'>None was noted.</p>"
    every = [point for _, _, curve in curves for point in curve]
    xs, ys, parts = _axes(every, "twentieths of the way", "loss", None)
    for n, trial, curve in curves:
        dash = "3 3" if trial.state == "pruned" else ""
        parts.append(_line(curve, xs, ys, 1 if n == best else 0.35, dash=dash))
    return _svg(parts, "loss of each trial") + (
        "<p class='quiet'>The best is drawn fully, what was ended early dashed.</p>"
    )


def _sorted(losses: dict[str, float]) -> list[tuple[int, float]]:
    return sorted((int(step), loss) for step, loss in losses.items())


def _svg(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}">' + "".join(parts) + "</svg>"
    )


def _table(trials: Sequence[SearchTrial], choices: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(choice)}</th>" for choice in choices)
    rows = []
    for n, trial in enumerate(trials):
        cells = "".join(f"<td>{escape(_number(trial.recipe[c]))}</td>" for c in choices)
        value = f"{trial.value:.4g}" if trial.value is not None else "ended early"
        model = f"<code>{trial.model[:12]}</code>" if trial.model else ""
        rows.append(f"<tr><td>{n}</td>{cells}<td>{value}</td><td>{model}</td></tr>")
    return (
        f"<h2>Trials</h2><table><tr><th>trial</th>{head}<th>value</th><th>model</th></tr>"
        + "".join(rows)
        + "</table>"
    )
