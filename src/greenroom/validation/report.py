"""Show a validation as one HTML file that needs nothing else: figures, intervals, every take."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenroom.manifests import Figure, GateDecision, Validation
from greenroom.metrics.motion import aggregate
from greenroom.render.clips import still_of
from greenroom.render.html import render_html
from greenroom.validation.eval_model import FLOOR, FREE_RUN
from greenroom.validation.sufficient_stats import read_stats

WORDS = {
    "infill.joints_deg": "scattered joints lost, error in degrees",
    "infill.limb_deg": "a limb lost, error in degrees",
    "forecast.skill_33": "forecast of 33 ms, skill against holding still",
    "forecast.skill_200": "forecast of 200 ms, skill against holding still",
    "forecast.skill_500": "forecast of 500 ms, skill against holding still",
    "face.r2w": "face from voice, variance-weighted R²",
    "face.opening_r": "opening of the mouth, correlation",
    "face.rounding_r": "rounding of the lips, correlation",
    "face.r2w_adapted": "face after half a minute of the take, R²",
    "face.rounding_r_adapted": "lips after half a minute of the take, correlation",
    "face.matched": "face and sound belong together, share of pairs",
    "style.accuracy": "correctly classified styles, share of seconds",
    "style.auc_unseen": "unseen against known styles, AUC",
    "style.ece": "expected calibration error of a style's probability",
    "free_run.jerk": "free run: jerk, m/s³",
    "free_run.skate": "free run: slide of standing feet, mm/s",
    "free_run.still": "free run: share of seconds that stand still",
    "free_run.height": "free run: share of ticks with the hips out of range",
    "free_run.float": "free run: lower foot off the floor, mm",
    "free_run.drift": "free run: metres from where a minute began to its furthest place",
}
"""Names of figures on the page; formulas are in `docs/reference/metrics.md`."""
_AXIS, _LABELS, _ROW = 330, 150, 22
"""Width of a plot's axis, of the names before it, and height of a row, in pixels."""


@dataclass(frozen=True)
class Dot:
    """A source's value on the axis of a metric's plot, in pixels.

    Attributes:
        source: the model, or whom it is compared with.
        value: of the metric.
        x: where it lies.
        y: of its row.
        ends: of the interval; None where there is none.
    """

    source: str
    value: float
    x: float
    y: int
    ends: tuple[float, float] | None


@dataclass(frozen=True)
class Section:
    """What the page shows of a metric.

    Attributes:
        task: of the model.
        key: `task.metric`.
        figure: of the validation.
        takes: value of each source by take.
        sources: names of those values.
        better: which values are better, in words.
        verdict: whether the model is better than its baseline, in words.
        floor: name of the baseline.
    """

    task: str
    key: str
    figure: Figure
    takes: dict[str, list[float]]
    sources: list[str]
    better: str
    verdict: str
    floor: str

    @property
    def title(self) -> str:
        """What the metric measures, in words."""
        return WORDS.get(self.key, self.key)

    @property
    def plot(self) -> list[Dot]:
        """The model with its interval, and everybody else, on one axis."""
        figure = self.figure
        rows: list[tuple[str, float, tuple[float, float] | None]] = [
            ("model", figure.model, figure.ci)
        ]
        rows += [
            (source + (" (baseline)" if source == self.floor else ""), value, None)
            for source, value in sorted(figure.baselines.items(), key=lambda item: item[1])
        ]
        values = [v for _, value, ci in rows for v in (value, *(ci or ()))]
        # A baseline far off must not squeeze the rest: the axis ends at thrice the model's value.
        reach = 3 * max(abs(figure.model), 0.5)
        low, high = max(min(values), -reach), min(max(values), reach)
        span = (high - low) or 1.0

        def x(value: float) -> float:
            return _LABELS + _AXIS * float(min(1.0, max(0.0, (value - low) / span)))

        return [
            Dot(
                source,
                value,
                x(value),
                y=_ROW * n + 15,
                ends=None if ci is None else (x(ci[0]), x(ci[1])),
            )
            for n, (source, value, ci) in enumerate(rows)
        ]


def validation_report(
    name: str,
    validation: Validation,
    decisions: Sequence[GateDecision] = (),
    clip: bytes | None = None,
    study: dict[str, Any] | None = None,
) -> str:
    """Return the page.

    Args:
        name: the validation's hash.
        validation: its manifest.
        decisions: of gates, where there were any.
        clip: of `greenroom.render.clips.clip_of`, to be shown in it.
        study: summary of what people said, of `greenroom.validation.ratings`.
    """
    stats = read_stats(validation)
    sections = [
        _section(task, metric, figure, stats.get(task, {}).get(metric, {}))
        for task, metrics in validation.figures.items()
        for metric, figure in metrics.items()
    ]
    images = None
    if clip is not None:  # a still for who asked their machine for less motion
        moving, still = (b64encode(data).decode() for data in (clip, still_of(clip)))
        images = {"moving": moving, "still": still}
    return render_html(
        "validation.html",
        name=name,
        validation=validation,
        decisions=decisions,
        clip=images,
        study=study,
        sections=sections,
    )


def _section(task: str, metric: str, figure: Figure, stats: dict[str, Any]) -> Section:
    sources = list(next(iter(stats.values())).sums) if stats else []
    skill = any(take.kind == "skill" for take in stats.values())
    better = "higher is better" if skill else "lower is better"
    return Section(
        task=task,
        key=f"{task}.{metric}",
        figure=figure,
        takes={
            name: [aggregate([take], source) for source in sources] for name, take in stats.items()
        },
        sources=sources,
        better="the nearer to the recordings the better" if task == FREE_RUN else better,
        verdict=_verdict(task, figure),
        floor=FLOOR[task],
    )


def _verdict(task: str, figure: Figure) -> str:
    """Return in words whether a model is better than its baseline."""
    if task == FREE_RUN:
        share = figure.model / figure.baseline if figure.baseline else None
        return "–" if share is None else f"{share:.2f} times as much"
    if figure.takes < 2:
        return "one take: no interval"
    low, high = figure.gain
    return "▲ better" if low > 0 else "▼ worse" if high < 0 else "no significant difference"
