"""Show a validation as one HTML file that needs nothing else: figures, intervals, every take."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Any

from greenroom.manifests import Figure, GateDecision, GroupFigure, Validation
from greenroom.metrics.motion import aggregate
from greenroom.render.clips import still_of
from greenroom.validation.eval_model import FLOOR, FREE_RUN
from greenroom.validation.ratings import ratings_section
from greenroom.validation.sufficient_stats import read_stats

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid #8884 }
th:first-child, td:first-child { text-align: left }
td:not(:first-child) { white-space: nowrap }
a { color: inherit }
svg text { font-size: 11px; fill: currentColor }
.quiet { opacity: .7 }
"""
"""How every page of this room looks."""
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
    "style.accuracy": "styles told right, share of seconds",
    "style.auc_unseen": "styles never seen told from known ones, AUC",
    "style.ece": "expected calibration error of a style's probability",
    "free_run.jerk": "free run: jerk, m/s³",
    "free_run.skate": "free run: slide of standing feet, mm/s",
    "free_run.still": "free run: share of seconds that stand still",
    "free_run.height": "free run: share of ticks with the hips out of range",
    "free_run.float": "free run: lower foot off the floor, mm",
    "free_run.drift": "free run: metres from where a minute began to its furthest place",
}
"""Names of figures on the page; formulas are in `docs/reference/metrics.md`."""
_WIDTH, _ROW = 560, 22


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
    parts = [
        f"<h1>Validation of model <code>{escape(validation.parents.model[:12])}</code></h1>",
        f'<p class="quiet">actor {escape(validation.actor)}, on {escape(validation.on)}; '
        f"validation <code>{name[:12]}</code>. Intervals: 95 %, bootstrap over whole takes.</p>",
    ]
    if decisions:
        parts.append(_gates(decisions))
    if clip is not None:
        parts.append(_figure(clip))
    if study is not None:
        parts.append(ratings_section(study))
    tallies = read_stats(validation)
    parts.append(_summary(validation.figures))
    for task, metrics in validation.figures.items():
        parts.append(f"<h2>{escape(task)}</h2>")
        for metric, estimate in metrics.items():
            takes = tallies.get(task, {}).get(metric, {})
            skill = any(tally.kind == "skill" for tally in takes.values())
            key, better = f"{task}.{metric}", "higher is better" if skill else "lower is better"
            better = "the nearer to the recordings the better" if task == FREE_RUN else better
            parts.append(
                f'<h3 id="{escape(key)}">{escape(WORDS.get(key, key))} '
                f"<span class='quiet'><code>{escape(key)}</code>, {better}</span></h3>"
            )
            parts.append(_plot(estimate, FLOOR[task]))
            for tier, groups in estimate.groups.items():
                parts.append(_by_group(tier, groups, FLOOR[task]))
            if takes:
                parts.append(_table(takes))
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Validation {name[:12]}</title>'
        f"<style>{STYLE}</style><body>{body}</body></html>\n"
    )


def _gates(decisions: Sequence[GateDecision]) -> str:
    """Return the table of gates."""
    rows = "".join(
        f"<tr><td>{escape(d.metric)} against {escape(d.against)}</td>"
        f"<td>{'passed' if d.passed else 'failed'}</td><td>{escape(d.why)}</td></tr>"
        for d in decisions
    )
    return f"<h2>Gates</h2><table>{rows}</table>"


def _summary(figures: dict[str, dict[str, Figure]]) -> str:
    """Return one table of all figures: the model beside its baseline, and what that says."""
    rows = []
    for task, metrics in figures.items():
        for metric, estimate in metrics.items():
            key = f"{task}.{metric}"
            spread = f"{estimate.ci[0]:.3f} … {estimate.ci[1]:.3f}" if estimate.takes > 1 else "–"
            rows.append(
                f'<tr><td><a href="#{escape(key)}">{escape(WORDS.get(key, key))}</a></td>'
                f"<td>{estimate.model:.3f}</td><td>{spread}</td>"
                f"<td>{estimate.baseline:.3f}</td><td>{escape(FLOOR[task])}</td>"
                f"<td>{_verdict(task, estimate)}</td></tr>"
            )
    head = "<th>figure</th><th>model</th><th>95 %</th><th>baseline</th><th></th><th>against it</th>"
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _verdict(task: str, estimate: Figure) -> str:
    """Return in words whether a model is told apart from its baseline."""
    if task == FREE_RUN:
        share = estimate.model / estimate.baseline if estimate.baseline else None
        return "–" if share is None else f"{share:.2f} times as much"
    if estimate.takes < 2:
        return "one take: no interval"
    low, high = estimate.gain
    return "▲ better" if low > 0 else "▼ worse" if high < 0 else "not told apart"


def _figure(clip: bytes) -> str:
    """Return the clip inside the page; a still for who asked their machine for less motion."""
    moving, still = (b64encode(data).decode() for data in (clip, still_of(clip)))
    return (
        "<figure style='margin:1rem 0'><picture>"
        f'<source media="(prefers-reduced-motion: reduce)" srcset="data:image/png;base64,{still}">'
        f'<img src="data:image/webp;base64,{moving}" style="max-width:100%" '
        'alt="A test take beside the same take with one limb after the other made up by the model">'
        "</picture><figcaption class='quiet'>A take that the model was not trained on, and the same "
        "with one limb after the other lost for half a second and made up by the model.</figcaption>"
        "</figure>"
    )


def _plot(estimate: Figure, baseline: str) -> str:
    """Return dots on one axis: the model with its interval, and everybody else."""
    rows: list[tuple[str, float, tuple[float, float] | None]] = [
        ("model", estimate.model, estimate.ci)
    ]
    rows += [
        (source + (" (baseline)" if source == baseline else ""), value, None)
        for source, value in sorted(estimate.baselines.items(), key=lambda item: item[1])
    ]
    ends = [v for _, value, ci in rows for v in (value, *(ci or ()))]
    # A baseline that is far off must not squeeze the rest: the axis keeps to thrice the model's size.
    reach = 3 * max(abs(estimate.model), 0.5)
    low = max(min(ends), -reach)
    high = min(max(ends), reach)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return 150 + (_WIDTH - 230) * float(min(1.0, max(0.0, (value - low) / span)))

    parts = []
    for i, (source, value, ci) in enumerate(rows):
        y = _ROW * i + 15
        parts.append(f'<text x="0" y="{y + 4}">{escape(source)}</text>')
        if ci:
            parts.append(
                f'<line x1="{x(ci[0]):.1f}" x2="{x(ci[1]):.1f}" y1="{y}" y2="{y}" '
                'stroke="currentColor" stroke-width="2"/>'
            )
        fill = "currentColor" if ci else "none"
        parts.append(
            f'<circle cx="{x(value):.1f}" cy="{y}" r="4" fill="{fill}" stroke="currentColor"/>'
        )
        parts.append(f'<text x="{_WIDTH - 60}" y="{y + 4}">{value:.3f}</text>')
    label = f"model {estimate.model}, baseline {estimate.baseline}"
    return (
        f'<svg role="img" aria-label="{label}" width="{_WIDTH}" height="{_ROW * len(rows) + 10}">'
        + "".join(parts)
        + "</svg>"
    )


def _by_group(tier: str, groups: dict[str, GroupFigure], baseline: str) -> str:
    """Return a table of a metric by the values of a tier; what nobody labelled is a dash."""
    rows = "".join(
        f"<tr><td>{escape(value) or '–'}</td><td>{row.model:.3f}</td><td>{row.baseline:.3f}</td>"
        f"<td>{row.gain[0]:+.3f} … {row.gain[1]:+.3f}</td><td>{row.takes}</td></tr>"
        for value, row in groups.items()
    )
    return (
        f"<details><summary>by {escape(tier)}</summary><table><tr><th>{escape(tier)}</th><th>model</th>"
        f"<th>{escape(baseline)}</th><th>gain</th><th>takes</th></tr>{rows}</table></details>"
    )


def _table(takes: dict[str, Any]) -> str:
    sources = list(next(iter(takes.values())).sums)
    head = "".join(f"<th>{escape(w)}</th>" for w in sources)
    rows = "".join(
        f"<tr><td><code>{escape(take[:24])}</code></td>"
        + "".join(f"<td>{aggregate([tally], w):.3f}</td>" for w in sources)
        + "</tr>"
        for take, tally in takes.items()
    )
    count = "1 take" if len(takes) == 1 else f"{len(takes)} takes"
    return (
        f"<details><summary>{count}</summary><table><tr><th>take</th>{head}</tr>{rows}"
        "</table></details>"
    )
