"""Keep the figures that Prometheus scrapes: of the show that is on, and of what people said after it.

Names follow Prometheus: the unit last, seconds and ratios, `_total` for what only grows. A show's
process has one release on stage, which `release_info` names; rules join on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from greenroom.contracts import Alert
from greenroom.errors import GreenroomError
from greenroom.monitoring.satisfaction import stored_surveys
from greenroom.store.workspace import Workspace

_BUCKETS = (0.0005, 0.001, 0.0015, 0.002, 0.004, 0.008, 0.015, 0.0333, 0.1)


@dataclass(frozen=True)
class FrameMetrics:
    """What is counted of one frame.

    Attributes:
        tick: its number.
        rung: by which way it was produced.
        late: whether it went out after the next one was due.
        model_s: seconds that the model took; None where it was not asked, as in the next two.
        confidence: mean over the joints, 0 to 1.
        missing: share of the driven joints that were not captured, 0 to 1.
    """

    tick: int
    rung: str
    late: bool
    model_s: float | None = None
    confidence: float | None = None
    missing: float | None = None


class _Mean(Collector):
    """A figure of the last frame, with its sum and count beside it, so that any stretch has a mean."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.sum, self.count, self.now = 0.0, 0, math.nan

    def see(self, value: float | None) -> None:
        """Add one frame's; none, or no number, adds nothing."""
        if value is not None and math.isfinite(value):
            self.sum, self.count, self.now = self.sum + value, self.count + 1, value

    def collect(self) -> Iterator[Metric]:
        """Yield the three series."""
        for suffix, value, kind, text in (
            ("", self.now, "gauge", self.text),
            ("_sum", self.sum, "untyped", "Sum over frames."),
            ("_count", float(self.count), "untyped", "Frames in the sum."),
        ):
            metric = Metric(self.name + suffix, text, kind)
            metric.add_sample(self.name + suffix, {}, value)
            yield metric


class Metrics:
    """Count a show's frames and alerts.

    Args:
        registry: where the series are registered.
        rungs: names of the ways a frame may be produced.
    """

    def __init__(self, registry: CollectorRegistry, rungs: Sequence[str]) -> None:
        """Register every series, so that each is there before the first frame."""
        self._model = Histogram(
            "model_latency_seconds",
            "The model's time a frame.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._frames = Counter("frames_total", "Frames, by rung.", ["rung"], registry=registry)
        self._late = Counter("frames_late_total", "Frames after their tick.", registry=registry)
        self._tick = Gauge("frame_tick", "The last tick performed.", registry=registry)
        self._last = Gauge(
            "frame_last_timestamp_seconds", "When the last frame was seen.", registry=registry
        )
        self._end = Gauge(
            "show_end_timestamp_seconds",
            "When the show is planned to end.",
            ["actor", "release"],
            registry=registry,
        )
        self._release = Gauge(
            "release_info", "1 for the one on stage.", ["actor", "release"], registry=registry
        )
        self._base = Gauge(
            "prediction_confidence_base",
            "The release's mean confidence on its own test takes.",
            registry=registry,
        )
        self._alerts = Counter(
            "alerts_total", "Alerts that charts raised.", ["signal", "cause"], registry=registry
        )
        self._active = Gauge(
            "alert_active",
            "1 while a chart's alert stands.",
            ["signal", "cause"],
            registry=registry,
        )
        self._confidence = _Mean(
            "prediction_confidence_mean", "Mean confidence of the last frame's joints."
        )
        self._missing = _Mean(
            "capture_missing_ratio", "Share of the last frame's joints that were not captured."
        )
        registry.register(self._confidence)
        registry.register(self._missing)
        for rung in rungs:
            self._frames.labels(rung)

    def on_stage(self, actor: str, release: str, *, confidence_base: float, ends_s: float) -> None:
        """Say who performs; the release before it, if there was one, is off.

        Args:
            actor: its name.
            release: its hash.
            confidence_base: mean confidence in control, 0 to 1.
            ends_s: Unix seconds of the planned end.
        """
        self._release.clear()
        self._end.clear()
        self._release.labels(actor, release).set(1)
        self._end.labels(actor, release).set(ends_s)
        self._base.set(confidence_base)

    def frame(self, figures: FrameMetrics) -> None:
        """Count one frame."""
        self._frames.labels(figures.rung).inc()
        self._tick.set(figures.tick)
        self._last.set(time.time())
        self._late.inc(figures.late)
        if figures.model_s is not None:
            self._model.observe(figures.model_s)
        self._confidence.see(figures.confidence)
        self._missing.see(figures.missing)

    def alert(self, alert: Alert, active: bool) -> None:
        """Count a chart's alert where it begins; `active` is whether it stands."""
        if active:
            self._alerts.labels(alert.signal, alert.cause).inc()
        self._active.labels(alert.signal, alert.cause).set(active)


class Surveys(Collector):
    """Show what people said after each show, read from the workspace whenever it is scraped.

    Args:
        workspace: where the surveys are; a workspace of its own, used by one thread.
    """

    def __init__(self, workspace: Workspace) -> None:
        """Keep the workspace; nothing is read yet."""
        self.workspace = workspace

    def collect(self) -> Iterator[Metric]:
        """Yield a series a figure; `workspace_readable` is 0, and there is no other, if it is not."""
        try:
            surveys, readable = stored_surveys(self.workspace), 1.0
        except (GreenroomError, OSError):
            surveys, readable = [], 0.0
        yield GaugeMetricFamily(
            "workspace_readable", "1 if log and surveys could be read.", value=readable
        )
        for name, text, key in (
            ("user_satisfaction_ratio", "Share of answers of 4 and 5.", "ratio"),
            ("user_satisfaction_low_ratio", "Lower end of its 95 % interval.", "low"),
            ("user_satisfaction_high_ratio", "Upper end of its 95 % interval.", "high"),
            ("user_satisfaction_respondents", "How many answered.", "respondents"),
        ):
            family = GaugeMetricFamily(name, text, labels=["actor", "release", "show"])
            for survey in surveys:
                value = float(getattr(survey.satisfaction, key))
                family.add_metric([survey.actor, survey.release, survey.show], value)
            yield family
