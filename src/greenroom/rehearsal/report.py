"""Show a comparison as one HTML file that needs nothing else: who is better, and since which take."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.manifests import PairFigure, PairSequence, Sandbox
from greenroom.metrics.sequences import BETTER, OPEN, WORSE
from greenroom.render.html import render_html

_LEFT, _RIGHT, _TOP, _FLOOR = 52, 608, 8, 148
"""Edges of a chart's axes, in pixels of the template."""
_CLASS = {BETTER: "better", WORSE: "worse", OPEN: "quiet"}


@dataclass(frozen=True)
class PairChart:
    """The interval and the mean gain of a metric after each take.

    Attributes:
        task: of the models.
        metric: of the task.
        figure: after the last take.
        sequence: after each take.
    """

    task: str
    metric: str
    figure: PairFigure
    sequence: PairSequence

    @property
    def key(self) -> str:
        """`task.metric`."""
        return f"{self.task}.{self.metric}"

    @property
    def verdict(self) -> str:
        """Who is better, in words."""
        return verdict_sentence(self.figure)

    @property
    def css_class(self) -> str:
        """How the verdict is coloured."""
        return _CLASS[self.figure.verdict]

    @property
    def label(self) -> str:
        """The whole chart in words."""
        figure = self.figure
        interval = f"{figure.ci[0]:+.3f} to {figure.ci[1]:+.3f}"
        return f"{self.key}: gain {figure.gain:+.3f}, {interval}, {self.verdict}"

    @property
    def pairs(self) -> int:
        """How many there are."""
        return len(self.sequence.gain)

    @property
    def limit(self) -> float:
        """The gain at the upper end of the axis."""
        values = (*self.figure.ci, self.figure.gain, 0.02)
        return min(1.0, 1.5 * float(max(abs(value) for value in values)))

    def x(self, pair: int) -> float:
        """Return where a pair lies, in pixels."""
        return _LEFT + (_RIGHT - _LEFT) * pair / self.pairs

    def y(self, gain: float) -> float:
        """Return where a gain lies, in pixels; one outside the axis lies at its end."""
        share = min(1.0, max(-1.0, gain / self.limit))
        return _TOP + (_FLOOR - _TOP) * (1 - share) / 2

    @property
    def band(self) -> str:
        """The polygon of the interval; before the first pair it is everything."""
        upper = [
            f"{self.x(n):.1f},{self.y(v):.1f}" for n, v in enumerate((1.0, *self.sequence.high))
        ]
        lower = [
            f"{self.x(n):.1f},{self.y(v):.1f}" for n, v in enumerate((-1.0, *self.sequence.low))
        ]
        return " ".join([*upper, *reversed(lower)])

    @property
    def mean(self) -> str:
        """The line of the mean gain."""
        gains = enumerate(self.sequence.gain, 1)
        return " ".join(f"{self.x(n):.1f},{self.y(v):.1f}" for n, v in gains)


def comparison_report(name: str, sandbox: Sandbox) -> str:
    """Return the page.

    Args:
        name: the comparison's hash.
        sandbox: its manifest.
    """
    charts = [
        PairChart(task, metric, figure, sandbox.sequences[task][metric])
        for task, metrics in sandbox.figures.items()
        for metric, figure in metrics.items()
    ]
    return render_html("sandbox.html", name=name, sandbox=sandbox, charts=charts)


def verdict_sentence(row: PairFigure) -> str:
    """Return a verdict in words, with how many takes it took."""
    return f"{row.verdict} (after {row.decided_after})" if row.decided_after else row.verdict
