"""Turn the engine's frames into what the page draws and what Prometheus scrapes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from greenroom.capture.packets import BodySample
from greenroom.clock import PERIOD_NS
from greenroom.contracts import ModelShape, get_tensors
from greenroom.features.speech import BANDS, SpeechExtractor
from greenroom.frames import ARKIT, SAMPLES_PER_TICK, Floats
from greenroom.live.control import acts_in_force
from greenroom.live.performer import CONFIDENT
from greenroom.live.ring import rung_of, samples_of
from greenroom.monitoring.exporter import FrameMetrics, Metrics
from greenroom.observers.hub import Hub
from greenroom.registry.release import Release

_STRAIGHT = np.asarray([0, 0, 0, 1], dtype=np.float32)


class MetricsObserver:
    """Count each frame for Prometheus.

    Args:
        metrics: that count.
        shape: of the model that performs; it lays out the ring's rows.
    """

    def __init__(self, metrics: Metrics, shape: ModelShape) -> None:
        """Keep both."""
        self.metrics, self._inputs = metrics, shape.inputs()

    def staged(self, shape: ModelShape) -> None:
        """Another model performs from now on."""
        self._inputs = shape.inputs()

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """Count one frame."""
        figures = FrameMetrics(
            int(row["tick"]), rung_of(row), bool(row["emit"] > row["due"] + PERIOD_NS)
        )
        if row["asked"]:
            figures = replace(
                figures,
                model_s=float(row["inference"] - row["features"]) / 1e9,
                confidence=float(np.mean(outputs["confidence"])),
                missing=float(np.mean(get_tensors(row["inputs"], self._inputs)["valid"] <= 0)),
            )
        self.metrics.frame(figures)


def welcome_message(
    release: Release,
    ticks: int | None,
    notices: list[str],
    credits: list[str],
    avatar: str | None = None,
    jitter_ms: float = 0.0,
) -> bytes:
    """Return the first message a viewer gets.

    Args:
        release: that opens the show.
        ticks: of the show.
        notices: what viewers are told of it.
        credits: of what plays.
        avatar: where the page finds the show's avatar; None for the mannequin.
        jitter_ms: playout delay of the live inputs, the longest.
    """
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
            "jitter_ms": jitter_ms,
            "confidence_base": release.manifest.reference.confidence_mean,
            "confidence_low": CONFIDENT,
            "notices": notices,
            "credits": credits,
            "face": list(ARKIT),
            "avatar": avatar,
            "state": "live",
        }
    )


def swap_message(release: Release, tick: int) -> bytes:
    """Return the message that a release performs from a tick on."""
    return msgspec.json.encode(
        {
            "type": "swap",
            "tick": tick,
            "release": release.name,
            "joints": list(release.role.spec.joints),
            "confidence_base": release.manifest.reference.confidence_mean,
            "lookahead_ms": release.role.look_ahead_ms,
        }
    )


class PageObserver:
    """Publish each frame to the page.

    Args:
        hub: of the viewers.
        clips: (first tick, name, whether a repeat) of what plays.
    """

    def __init__(self, hub: Hub, clips: Sequence[tuple[int, str, bool]]) -> None:
        """Start counting."""
        self.hub, self.clips = hub, clips
        self.frames = self.late = self.missed = 0
        self._next: tuple[int, int] | None = None  # tick and number of the row that is to follow
        self.rungs: Counter[str] = Counter()
        self._hearing = SpeechExtractor()

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """Publish one frame."""
        self.frames += 1
        self.late += bool(row["emit"] > row["due"] + PERIOD_NS)
        self.missed += self._gap(row)
        self.rungs[rung_of(row)] += 1
        capture, sound, _ = samples_of(row)
        if sound is None:
            sound = np.zeros(SAMPLES_PER_TICK, dtype=np.float32)
        level, log_f0, voicing = self._hear(sound)
        model_asked = bool(row["asked"])
        attention = outputs["attention"][0].mean(axis=0) if model_asked else None
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
            "ghost": _ghost(capture),
            "face": _weights(row["face"]),
            "confidence": round(float(np.mean(outputs["confidence"])), 4) if model_asked else None,
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
            "missed": self.missed,
            "control": acts_in_force(int(row["control"])),
            "rungs": dict(self.rungs),
            "audio": [round(float(sound.min()), 4), round(float(sound.max()), 4)],
            "energy_db": round(level, 2),
            "voiced": voicing > 0,
            "f0_hz": round(float(np.exp(log_f0)), 1) if voicing > 0 else 0,
        }
        self.hub.publish("frame", msgspec.json.encode(message))

    def _gap(self, row: NDArray[Any]) -> int:
        """Return how many ticks before a row nobody performed; rows lost on the way here are none."""
        tick, number = int(row["tick"]), int(row["seq"])
        next_tick, next_number = (0, 0) if self._next is None else self._next
        self._next = tick + 1, number + 1
        return max(0, (tick - next_tick) - max(0, number - next_number))

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


def _weights(face: Floats) -> list[float | None] | None:
    """Return a face's weights, None where nothing drives one; None where nothing drives any."""
    if not np.isfinite(face).any():
        return None
    return [round(weight, 4) if math.isfinite(weight) else None for weight in face.tolist()]


def _ghost(capture: BodySample | None) -> dict[str, list[float]] | None:
    """Return what was captured, a bone that was not as straight; None where nothing was."""
    if capture is None:
        return None
    seen = capture.validity[:, None] > 0
    return {
        "root": _numbers(capture.root),
        "rotations": _numbers(np.where(seen, capture.rotations, _STRAIGHT)),
        "valid": _numbers(capture.validity),
    }


def _numbers(values: Floats) -> list[float]:
    rounded: list[float] = np.round(np.asarray(values, dtype=np.float64), 4).ravel().tolist()
    return rounded
