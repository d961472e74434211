"""Turn the engine's frames into what the page draws and what Prometheus scrapes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as Total
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from greenroom.capture.packets import newest
from greenroom.clock import PERIOD_NS
from greenroom.features.speech import BANDS, Hearing
from greenroom.frames import SAMPLES_PER_TICK, Floats
from greenroom.live.ladder import RUNGS
from greenroom.live.ring import get_packets, rung_of
from greenroom.registry.release import Release
from greenroom.stage.hub import Hub

_STRAIGHT = np.asarray([0, 0, 0, 1], dtype=np.float32)
_BUCKETS = (0.0005, 0.001, 0.0015, 0.002, 0.004, 0.008, 0.015, 0.0333, 0.1)


class _Confidence(Collector):
    """`prediction_confidence_mean`: now, with sum and count beside it."""

    def __init__(self) -> None:
        self.sum, self.count, self.now = 0.0, 0, float("nan")

    def collect(self) -> Any:
        """Yield the three series."""
        name = "prediction_confidence_mean"
        for suffix, value, kind, text in (
            ("", self.now, "gauge", "Mean confidence of the last frame's joints."),
            ("_sum", self.sum, "untyped", "Sum over frames."),
            ("_count", float(self.count), "untyped", "Frames in the sum."),
        ):
            metric = Metric(name + suffix, text, kind)
            metric.add_sample(name + suffix, {}, value)
            yield metric


class Metrics:
    """Count frames for Prometheus.

    Args:
        registry: where the series are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register every series, so that each is there before the first frame."""
        self.latency = Histogram(
            "model_latency_seconds",
            "The model's time a frame.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.frames = Total("frames_total", "Frames, by rung.", ["rung"], registry=registry)
        self.late = Total("frames_late_total", "Frames after their tick.", registry=registry)
        self.last = Gauge("frame_tick", "The last tick performed.", registry=registry)
        self.confidence = _Confidence()
        registry.register(self.confidence)
        for rung in RUNGS:
            self.frames.labels(rung)

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """Count one frame."""
        self.frames.labels(rung_of(row)).inc()
        self.last.set(int(row["tick"]))
        if row["asked"]:
            self.latency.observe(float(row["inference"] - row["features"]) / 1e9)
            value = float(np.mean(outputs["confidence"]))
            if np.isfinite(value):
                self.confidence.sum += value
                self.confidence.count += 1
                self.confidence.now = value
        if row["emit"] > row["due"] + PERIOD_NS:
            self.late.inc()


def hello(
    release: Release, ticks: int | None, notices: list[str], credits: list[str], state: str = "live"
) -> bytes:
    """Return the first message a viewer gets."""
    skeleton = release.skeleton
    return msgspec.json.encode(
        {
            "type": "hello",
            "actor": release.actor,
            "release": release.name,
            "tick_hz": 30,
            "limit_ms": 33.3,
            "skeleton": {
                "names": list(skeleton.names),
                "parents": list(skeleton.parents),
                "offsets": np.round(skeleton.offsets, 4).tolist(),
            },
            "joints": list(release.role.spec.joints),
            "ticks": ticks,
            "lookahead_ms": release.role.look_ahead_ms,
            "jitter_ms": 0,
            "confidence_base": release.manifest["baselines"]["confidence_mean"],
            "notices": notices,
            "credits": credits,
            "state": state,
        }
    )


class PageObserver:
    """Publish each frame to the page.

    Args:
        hub: of the viewers.
        release: that performs.
        clips: (first tick, name, whether a repeat) of what plays.
    """

    def __init__(
        self, hub: Hub, release: Release, clips: tuple[tuple[int, str, bool], ...]
    ) -> None:
        """Start counting."""
        self.hub, self.release, self.clips = hub, release, clips
        self.frames = self.late = 0
        self.rungs: Counter[str] = Counter()
        self._hearing = Hearing()

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """Publish one frame."""
        self.frames += 1
        self.late += bool(row["emit"] > row["due"] + PERIOD_NS)
        self.rungs[rung_of(row)] += 1
        capture, sound = newest(get_packets(row))
        if sound is None:
            sound = np.zeros(SAMPLES_PER_TICK, dtype=np.float32)
        level, log_f0, voicing = self._hear(sound)
        asked = bool(row["asked"])
        attention = outputs["attention"][0].mean(axis=0) if asked else None
        stamps = [
            float(row[name]) / 1e6 for name in ("arrival", "features", "inference", "post", "emit")
        ]
        message = {
            "type": "frame",
            "tick": int(row["tick"]),
            "clip": self._clip(int(row["tick"])),
            "rung": rung_of(row),
            "root": _numbers(row["root"]),
            "rotations": _numbers(row["rotations"]),
            "ghost": None
            if capture is None
            else {
                "root": _numbers(capture.root),
                "rotations": _numbers(
                    np.where(capture.validity[:, None] > 0, capture.rotations, _STRAIGHT)
                ),
                "valid": _numbers(capture.validity),
            },
            "face": None if not np.isfinite(row["face"]).all() else _numbers(row["face"]),
            "confidence": round(float(np.mean(outputs["confidence"])), 4) if asked else None,
            "attention": None
            if attention is None
            else {"joints": _numbers(attention[:-1]), "speech": round(float(attention[-1]), 4)},
            "ms": {
                "features": round(stamps[1] - stamps[0], 3),
                "model": round(stamps[2] - stamps[1], 3),
                "post": round(stamps[3] - stamps[2], 3),
                "frame": round(stamps[4] - float(row["due"]) / 1e6, 3),
            },
            "late": self.late,
            "frames": self.frames,
            "rungs": dict(self.rungs),
            "audio": [round(float(sound.min()), 4), round(float(sound.max()), 4)],
            "energy_db": round(level, 2),
            "voiced": voicing > 0,
            "f0_hz": round(float(np.exp(log_f0)), 1) if voicing > 0 else 0,
        }
        self.hub.publish("frame", msgspec.json.encode(message))

    def _hear(self, sound: Floats) -> list[float]:
        """Return level in dB, ln f0 and voicing of this tick's sound."""
        rows = self._hearing.run(sound[None], np.ones(1, dtype=np.float32))
        out: list[float] = rows[0, BANDS:].tolist()
        return out

    def _clip(self, tick: int) -> str:
        at = [clip for clip in self.clips if clip[0] <= tick]
        if not at:
            return ""
        return at[-1][1] + (" (repeat)" if at[-1][2] else "")


def _numbers(values: Floats) -> list[float]:
    rounded: list[float] = np.round(np.asarray(values, dtype=np.float64), 4).ravel().tolist()
    return rounded
