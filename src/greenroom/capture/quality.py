"""Check a take cheaply at the door, so that a frozen tracker or a clipped voice is seen at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import BONE, SAMPLE_RATE, TICK_HZ, Body, Floats
from greenroom.rotations import angle_between

JUMP_DEG = 40.0
"""A bone turning faster than this in a tick (1200°/s) is more likely a fault than a person."""
FROZEN_TICKS = 30
FLOOR_M = -0.10
CLIP, SILENCE = 0.999, 1e-4


@dataclass(frozen=True)
class Finding:
    """One thing a check saw.

    Attributes:
        check: its name: missing, frozen, jumps, floor, clipping, silence.
        value: the figure.
        limit: what it should not pass.
        sentence: for people.
    """

    check: str
    value: float
    limit: float
    sentence: str

    @property
    def ok(self) -> bool:
        """Return whether the figure is within its limit."""
        return self.value <= self.limit


def check_body(body: Body) -> list[Finding]:
    """Return what the checks say of a body: missing, frozen, jumps, floor.

    Args:
        body: at least one tick. A bone missing throughout (the rig lacks it) is not counted.
    """
    had = (body.validity > 0).any(axis=0)
    missing = float((body.validity[:, had] <= 0).mean()) if had.any() else 1.0
    turns = body.filled()[:, had].astype(np.float64)
    steps = angle_between(turns[:-1], turns[1:])
    still = (steps < 1e-4).all(axis=1) & (np.abs(np.diff(body.root, axis=0)) < 1e-6).all(axis=1)
    frozen = longest_run(still) / TICK_HZ
    jumps = float((steps > JUMP_DEG).any(axis=1).sum())
    places, _ = body.skeleton.world(
        body.skeleton.rest_translations(len(body), body.root), body.filled()
    )
    feet = [BONE[name] for name in ("leftFoot", "rightFoot")]
    lowest = float(places[:, feet, 1].min())
    return [
        Finding("missing", missing, 0.2, f"{missing:.1%} of the bones' ticks are missing"),
        Finding("frozen", frozen, FROZEN_TICKS / TICK_HZ, f"longest freeze {frozen:.2f} s"),
        Finding(
            "jumps", jumps, 0.0, f"a bone turns over {JUMP_DEG:.0f}° in a tick, {jumps:.0f} times"
        ),
        Finding("floor", -lowest, -FLOOR_M, f"lowest ankle at {lowest:.2f} m"),
    ]


def check_audio(samples: Floats) -> list[Finding]:
    """Return what the checks say of sound: clipping and silence.

    Args:
        samples: shape (S,), mono at 24 kHz, full scale ±1.

    >>> [finding.ok for finding in check_audio(np.full(2400, 0.1, dtype=np.float32))]
    [True, True]
    """
    clipped = float((np.abs(samples) >= CLIP).mean())
    block = SAMPLE_RATE // 100
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    quiet = np.abs(blocks).max(axis=1) < SILENCE if len(blocks) else np.zeros(0, dtype=np.bool_)
    silent = float(quiet.mean()) if len(quiet) else 0.0
    return [
        Finding("clipping", clipped, 0.001, f"{clipped:.2%} of the samples are clipped"),
        Finding("silence", silent, 0.5, f"{silent:.0%} of the sound is silence"),
    ]


def longest_run(mask: NDArray[np.bool_] | np.bool_) -> int:
    """Return the length of the longest run of True.

    >>> longest_run(np.array([True, True, False, True]))
    2
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
