"""Build the Grafana dashboard, so that its queries are tested like the rest of the code.

    python -m greenroom.monitoring.dashboard > deploy/grafana/dashboard.json

A row a question that the crew asks: is the show well, is the performer well, what is wrong, and what did
people say. Units are Grafana's names: "s", "percentunit" (0 to 1), "none".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from greenroom.extras import require


@dataclass(frozen=True)
class GrafanaPanel:
    """One picture.

    Attributes:
        title: over it.
        description: what it shows, and what to do when it looks wrong.
        unit: Grafana's name of it.
        queries: (PromQL, legend) pairs.
        limit: from which on it is red; None where nothing is.
        now: whether it shows the newest values as bars, instead of a line over time.
    """

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    limit: float | None = None
    now: bool = False


ROWS: tuple[tuple[str, tuple[GrafanaPanel, ...]], ...] = (
    (
        "The show",
        (
            GrafanaPanel(
                "On stage",
                "Who performs, and until when it is planned. None: no show is scraped.",
                "s",
                (
                    (
                        "show_end_timestamp_seconds - time()",
                        "{{actor}} {{release}}, seconds to go",
                    ),
                ),
                now=True,
            ),
            GrafanaPanel(
                "Frames a second",
                "30 in order. Rungs below capture are ways to go on without it.",
                "none",
                (("sum by (rung) (rate(frames_total[30s]))", "{{rung}}"),),
            ),
            GrafanaPanel(
                "Late frames",
                "Share that went out after the next one was due. Stop other work on the machine.",
                "percentunit",
                (("instance:frames_late:ratio_30s", "{{instance}}"),),
                limit=0.01,
            ),
            GrafanaPanel(
                "Since the last frame",
                "More than a moment while a show is on: the engine stands.",
                "s",
                (("time() - (frame_last_timestamp_seconds > 0)", "{{instance}}"),),
                limit=3,
            ),
        ),
    ),
    (
        "The performer",
        (
            GrafanaPanel(
                "Model latency",
                "The model's time a frame: mean, and 99 % of frames are below p99.",
                "s",
                (
                    (
                        "rate(model_latency_seconds_sum[30s])"
                        " / (rate(model_latency_seconds_count[30s]) > 0)",
                        "mean {{instance}}",
                    ),
                    ("instance:model_latency_seconds:p99_30s", "p99 {{instance}}"),
                ),
                limit=0.015,
            ),
            GrafanaPanel(
                "Confidence",
                "Mean over joints, and the release's own baseline.",
                "percentunit",
                (
                    ("instance:prediction_confidence:mean_30s", "{{instance}}"),
                    ("prediction_confidence_base > 0", "baseline {{instance}}"),
                ),
            ),
            GrafanaPanel(
                "Joints not captured",
                "Share of the driven joints. Check trackers, light and line.",
                "percentunit",
                (("instance:capture_missing:mean_30s", "{{instance}}"),),
                limit=0.5,
            ),
            GrafanaPanel(
                "Rungs",
                "Shares of the last 30 s.",
                "percentunit",
                (("instance_rung:frames:ratio_30s", "{{rung}}"),),
            ),
        ),
    ),
    (
        "What is wrong",
        (
            GrafanaPanel(
                "Alerts that stand",
                "Of the rules; the annotation `do` says what to do.",
                "none",
                (
                    (
                        'sum by (alertname, signal, cause, actor) (ALERTS{alertstate="firing"})',
                        "{{alertname}}: {{signal}}, {{cause}}, {{actor}}",
                    ),
                ),
                now=True,
            ),
            GrafanaPanel(
                "Alerts of the charts",
                "Since the show began, by signal and likely cause.",
                "none",
                (("sum by (signal, cause) (alerts_total)", "{{signal}}: {{cause}}"),),
            ),
        ),
    ),
    (
        "What people said",
        (
            GrafanaPanel(
                "Satisfaction by release",
                "Share of answers of 4 and 5, over all surveys of its shows.",
                "percentunit",
                (("release:user_satisfaction:ratio", "{{actor}} {{release}}"),),
                now=True,
            ),
            GrafanaPanel(
                "Satisfaction by show",
                "With the ends of its 95 % interval; few answers, a wide one.",
                "percentunit",
                (
                    ("user_satisfaction_low_ratio", "{{show}} at least"),
                    ("user_satisfaction_ratio", "{{show}}"),
                    ("user_satisfaction_high_ratio", "{{show}} at most"),
                ),
                now=True,
            ),
        ),
    ),
)


def queries() -> Iterator[str]:
    """Yield every query of the dashboard, as Prometheus gets it."""
    for _, panels in ROWS:
        for panel in panels:
            yield from (expr for expr, _ in panel.queries)


def dashboard() -> str:
    """Return the dashboard as JSON that Grafana imports.

    Raises:
        MissingExtra: `grafana-foundation-sdk` is not installed.
    """
    require("grafana_foundation_sdk", "watch", "building the dashboard")
    from grafana_foundation_sdk.builders import dashboard as sdk
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    board = (
        sdk.Dashboard("Greenroom")
        .uid("greenroom-show")
        .description("The show, the performer, what is wrong, what people said.")
        .refresh("5s")
        .time("now-15m", "now")
        .readonly()
        .with_variable(sdk.DatasourceVariable("source").type("prometheus").label("Prometheus"))
    )
    for title, panels in ROWS:
        board = board.with_row(sdk.Row(title))
        for panel in panels:
            board = board.with_panel(_panel(panel, 24 // len(panels)))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _panel(panel: GrafanaPanel, width: int) -> Any:
    """Return one panel's builder, `width` of Grafana's 24 columns wide."""
    from grafana_foundation_sdk.builders import bargauge, common, prometheus, timeseries
    from grafana_foundation_sdk.builders import dashboard as sdk
    from grafana_foundation_sdk.models import dashboard as models
    from grafana_foundation_sdk.models.common import GraphTresholdsStyleMode, VizOrientation

    out: Any = timeseries.Panel().legend(common.VizLegendOptions().show_legend(True))
    if panel.now:
        out = bargauge.Panel().orientation(VizOrientation.HORIZONTAL)
    out = out.title(panel.title).description(panel.description).unit(panel.unit)
    out = out.datasource(models.DataSourceRef("prometheus", "${source}")).span(width).height(8)
    if panel.limit is not None:
        steps = [models.Threshold(None, "green"), models.Threshold(panel.limit, "red")]
        absolute = models.ThresholdsMode.ABSOLUTE
        line = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE)
        out = out.thresholds(sdk.ThresholdsConfig().mode(absolute).steps(steps))
        out = out.thresholds_style(line)
    for n, (expr, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id("ABCDEF"[n])
        out = out.with_target(query.instant() if panel.now else query.range())
    return out


if __name__ == "__main__":
    sys.stdout.write(dashboard())
