"""Show a search as one HTML file that needs nothing else: its course, each choice, the losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenroom.manifests import Search, SearchTrial
from greenroom.render.html import render_html

_LEFT, _RIGHT, _TOP, _FLOOR = 46, 410, 22, 174
"""Edges of a plot's axes, in pixels of the template."""


@dataclass(frozen=True)
class Axis:
    """One axis of a plot.

    Attributes:
        title: beside it.
        low: value at its beginning.
        high: value at its end.
        start: pixel of its beginning.
        end: pixel of its end.
    """

    title: str
    low: float
    high: float
    start: int
    end: int

    def at(self, value: float) -> float:
        """Return where a value lies, in pixels."""
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def _axis(title: str, values: Sequence[float], start: int, end: int) -> Axis:
    """Return an axis with some room beyond the values."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5
    return Axis(title, low - room, high + room, start=start, end=end)


@dataclass(frozen=True)
class SearchPlot:
    """Dots and lines on two axes, in pixels.

    Attributes:
        label: the plot in words.
        x_title: what lies across.
        y_title: what goes up.
        x_marks: where a text stands below the axis, as `at` and `text`.
        y_marks: where a text stands beside the axis.
        dots: `x`, `y`, `value`, and whether it is the `best`.
        lines: `points`, `opacity`, and whether it is `dashed`.
    """

    label: str
    x_title: str
    y_title: str
    x_marks: list[dict[str, Any]]
    y_marks: list[dict[str, Any]]
    dots: list[dict[str, Any]]
    lines: list[dict[str, Any]]


def search_report(name: str, search: Search) -> str:
    """Return the page.

    Args:
        name: the search's hash.
        search: its manifest.
    """
    values = {
        number: trial.value for number, trial in enumerate(search.trials) if trial.value is not None
    }
    course, choices, best = None, [], ""
    if search.best is not None:
        best = _describe_trial(search.trials[search.best])
        course = _course(search, values)
        choices = [_choice(search, values, choice) for choice in sorted(search.space)]
    return render_html(
        "search.html",
        name=name,
        search=search,
        ended_early=len(search.trials) - len(values),
        best=best,
        course=course,
        choices=choices,
        losses=_losses(search),
        format_choice=_format_choice,
    )


def _describe_trial(trial: SearchTrial) -> str:
    recipe = ", ".join(f"{key} {_format_choice(value)}" for key, value in trial.recipe.items())
    return f"{trial.value:.4g} with {recipe}"


def _format_choice(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plot(
    x: Axis,
    y: Axis,
    dots: Sequence[tuple[float, float, bool]] = (),
    lines: Sequence[tuple[Sequence[tuple[float, float]], float, bool]] = (),
    names: Sequence[str] = (),
) -> SearchPlot:
    """Return a plot.

    Args:
        x: the axis across.
        y: the axis that goes up.
        dots: x, y, and whether it is the best.
        lines: points, opacity, and whether it is dashed.
        names: of the values 0, 1, … across; none for numbers.
    """
    points = [(px, py) for px, py, _ in dots] or [point for line, _, _ in lines for point in line]
    ends = [sorted({f(values) for f in (min, max)}) for values in zip(*points, strict=True)]
    x_texts = dict(enumerate(names)) or {value: f"{value:.3g}" for value in ends[0]}
    return SearchPlot(
        label=f"{y.title} by {x.title}",
        x_title=x.title,
        y_title=y.title,
        x_marks=[{"at": x.at(value), "text": text} for value, text in x_texts.items()],
        y_marks=[{"at": y.at(value), "text": f"{value:.4g}"} for value in ends[1]],
        dots=[{"x": x.at(px), "y": y.at(py), "value": py, "best": best} for px, py, best in dots],
        lines=[
            {
                "points": " ".join(f"{x.at(px):.1f},{y.at(py):.1f}" for px, py in line),
                "opacity": opacity,
                "dashed": dashed,
            }
            for line, opacity, dashed in lines
        ],
    )


def _course(search: Search, values: dict[int, float]) -> SearchPlot:
    """Return the value of each trial, and the best so far."""
    better = max if search.better == "higher" else min
    running: list[tuple[float, float]] = []
    for number, value in values.items():
        running.append((number, better(running[-1][1], value) if running else value))
    return _plot(
        _axis("trial", list(values), _LEFT, _RIGHT),
        _axis(search.metric, list(values.values()), _FLOOR, _TOP),
        [(number, value, number == search.best) for number, value in values.items()],
        [(running, 0.6, False)],
    )


def _choice(search: Search, values: dict[int, float], choice: str) -> SearchPlot:
    """Return the value of each trial by what one hyperparameter was."""
    spec = search.space[choice]
    chosen = [search.trials[number].recipe[choice] for number in values]
    names: list[str] = []
    if "choices" in spec:
        names = [_format_choice(value) for value in spec["choices"]]
        across = [float(spec["choices"].index(value)) for value in chosen]
        x = Axis(choice, -0.5, len(names) - 0.5, start=_LEFT, end=_RIGHT)
    elif spec.get("log"):
        across = [math.log10(value) for value in chosen]
        x = _axis(f"log₁₀ {choice}", across, _LEFT, _RIGHT)
    else:
        across = [float(value) for value in chosen]
        x = _axis(choice, across, _LEFT, _RIGHT)
    return _plot(
        x,
        _axis(search.metric, list(values.values()), _FLOOR, _TOP),
        [
            (px, value, n == search.best)
            for px, (n, value) in zip(across, values.items(), strict=True)
        ],
        names=names,
    )


def _losses(search: Search) -> SearchPlot | None:
    """Return each trial's smoothed loss; the best drawn fully, those ended early dashed."""
    lines = [
        (
            sorted((float(step), loss) for step, loss in trial.losses.items()),
            1.0 if number == search.best else 0.35,
            trial.state == "pruned",
        )
        for number, trial in enumerate(search.trials)
        if trial.losses
    ]
    if not lines:
        return None
    points = [point for line, _, _ in lines for point in line]
    return _plot(
        _axis("twentieths of the way", [step for step, _ in points], _LEFT, _RIGHT),
        _axis("loss", [loss for _, loss in points], _FLOOR, _TOP),
        lines=lines,
    )
