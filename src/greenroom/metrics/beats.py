"""Whether motion keeps time with sound: beats of the one against onsets of the other.

More consistency than people have is no better than less, so what a model is judged by is the distance to
the truth's own consistency with the same sound.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles
from greenroom.metrics.motion import SufficientStats

SPREAD_S = 0.1
"""How far a beat may be from an onset: the width of the Gaussian, seconds (Li et al. 2021)."""
_SMOOTH = 2.5
"""Ticks; 5 frames at 60 fps in Li et al."""
_DEEP = 0.05
"""A minimum counts if speed rises by this part of its median on both sides: rest has no beats."""
_RANGE = 13.8
"""Natural logarithm of power below the loudest tick's mean that is still heard: 60 dB."""
_LEAST = 0.3
"""Rise of log power, mean over bands, that is no noise: 1.3 dB above the mean around."""

Ticks = NDArray[np.int64]


def onsets(mel: Array) -> Ticks:
    """Return the ticks at which sounds begin, ascending.

    Spectral flux (the rise of log-mel power, its fall left out, mean over bands), picked where it is the
    largest within 100 ms and above the mean of the second around by half its deviation, 0.3 at least.
    Source: Bello et al. 2005, "A tutorial on onset detection in music signals", sections III and IV.

    Args:
        mel: log-mel power (T, 40), natural logarithm, of `greenroom.features.speech`.

    Raises:
        BadInput: it is no table.
    """
    power = np.asarray(mel, dtype=np.float64)
    if power.ndim != 2:
        raise BadInput(f"log-mel power is (T, bands), not {power.shape}")
    if len(power) < 3:
        return np.zeros(0, dtype=np.int64)
    power = np.maximum(power, power.mean(axis=1).max() - _RANGE)
    flux = np.append(0.0, np.maximum(np.diff(power, axis=0), 0).mean(axis=1))
    local_maximum = _around(flux, 3).max(axis=1)
    wide = _around(flux, TICK_HZ // 2)
    above = np.nanmean(wide, axis=1) + np.maximum(0.5 * np.nanstd(wide, axis=1), _LEAST)
    picked = (flux >= local_maximum) & (flux > above)
    picked[1:] &= ~picked[:-1]  # a plateau begins once
    return np.flatnonzero(picked)


def _around(values: Doubles, reach: int) -> Doubles:
    """Return what lies within `reach` of each value (T, 2 reach + 1); -inf or NaN beyond the ends."""
    beyond = -np.inf if reach == 3 else np.nan
    padded = np.concatenate([np.full(reach, beyond), values, np.full(reach, beyond)])
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)


def motion_beats(places: Array) -> Ticks:
    """Return the ticks at which motion pauses or turns, ascending: local minima of mean joint speed.

    Source: Li et al. 2021, "AI choreographer", section 5.2 (kinematic beats), with the same smoothing. A
    minimum from which speed hardly rises is none.

    Args:
        places: (T, J, 3), metres; joints that are missing at any tick are left out.
    """
    placed = np.asarray(places, dtype=np.float64)
    placed = placed[:, np.isfinite(placed).all(axis=(0, 2))]
    if len(placed) < 4 or not placed.shape[1]:
        return np.zeros(0, dtype=np.int64)
    speed = np.linalg.norm(np.diff(placed, axis=0), axis=-1).mean(axis=1) * TICK_HZ
    speed = gaussian_filter1d(speed, _SMOOTH, mode="nearest")
    least = _DEEP * float(np.median(speed))
    beats = []
    for t in np.flatnonzero((speed[1:-1] < speed[:-2]) & (speed[1:-1] <= speed[2:])) + 1:
        before, after = _rise(speed[t::-1]), _rise(speed[t:])
        if min(before, after) > max(least, 1e-6):
            beats.append(int(t) + 1)  # speed t is that from place t to t + 1
    return np.asarray(beats, dtype=np.int64)


def _rise(speed: Doubles) -> float:
    """Return how far speed rises from its first value before it falls below that again."""
    below = np.flatnonzero(speed < speed[0])
    return float(speed[: below[0] if len(below) else None].max() - speed[0])


def consistency(beats: Ticks, onset_ticks: Ticks, spread_s: float = SPREAD_S) -> float:
    """Return how near motion beats are to onsets, in [0, 1]; NaN without beats or onsets.

    Mean over beats b of exp(-min over onsets a of (b - a)² / 2σ²). Source: Li et al. 2021, "AI
    choreographer", equation 2 (beat alignment score); σ in seconds as Liu et al. 2022 use it for speech.

    Args:
        beats: ticks of the motion.
        onset_ticks: ticks of the sound.
        spread_s: σ, seconds.

    >>> consistency(np.asarray([10, 40]), np.asarray([10, 40, 70]))
    1.0
    """
    if not len(beats) or not len(onset_ticks):
        return float("nan")
    distance_s = (
        np.abs(np.asarray(beats)[:, None] - np.asarray(onset_ticks)[None]).min(axis=1) / TICK_HZ
    )
    return float(np.exp(-(distance_s**2) / (2 * spread_s**2)).mean())


def beat_tally(mel: Array, truth: Array, places_by_source: Mapping[str, Array]) -> SufficientStats:
    """Return |consistency - the truth's own| of one take, weighted by its ticks; lower is better.

    A motion without a beat has consistency 0; a take whose truth has none, or without onsets, weighs
    nothing.

    Args:
        mel: log-mel power (T, 40) of the take's sound.
        truth: places (T, J, 3), metres.
        places_by_source: {name: places (T, J, 3)}.

    Raises:
        BadInput: sound and motion differ in length.
    """
    if len(mel) != len(truth) or any(
        len(places) != len(truth) for places in places_by_source.values()
    ):
        raise BadInput(f"sound has {len(mel)} ticks, motion {len(truth)}")
    onset_ticks = onsets(mel)
    truth_consistency = consistency(motion_beats(truth), onset_ticks)
    if not np.isfinite(truth_consistency):
        return SufficientStats("mean", dict.fromkeys(places_by_source, 0.0), 0.0)
    weight = float(len(truth))
    deviation = {
        name: abs(
            float(np.nan_to_num(consistency(motion_beats(places), onset_ticks))) - truth_consistency
        )
        for name, places in places_by_source.items()
    }
    return SufficientStats(
        "mean", {name: value * weight for name, value in deviation.items()}, weight
    )
