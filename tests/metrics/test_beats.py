"""Beats and onsets of which the times are known."""

import math

import numpy as np
import pytest

from greenroom.errors import BadInput
from greenroom.features.speech import WINDOW, log_mel, power
from greenroom.frames import Doubles
from greenroom.metrics.beats import beat_tally, consistency, motion_beats, onsets
from greenroom.metrics.motion import aggregate


def clicks(ticks: int, at: list[int], seed: int = 0) -> Doubles:
    """Log-mel power of bursts of noise that begin at ticks, each decaying within 0.1 s."""
    rng = np.random.default_rng(seed)
    samples = 1e-4 * rng.normal(size=ticks * 800 + WINDOW)
    for tick in at:
        start = WINDOW - 800 + tick * 800 + 100
        burst = rng.normal(size=2400) * np.exp(-np.arange(2400) / 600) * 0.3
        samples[start : start + 2400] += burst[: max(0, len(samples) - start)]
    rows = [samples[t * 800 : t * 800 + WINDOW] for t in range(ticks)]
    return log_mel(power(np.asarray(rows)))


def swings(ticks: int, at: list[int]) -> Doubles:
    """A hand that pauses at ticks: its speed is nought there and largest halfway."""
    marks = np.concatenate([[at[0] - (at[1] - at[0])], at, [at[-1] + (at[-1] - at[-2])]])
    phase = np.interp(np.arange(ticks), marks, np.arange(len(marks)))
    return np.stack([np.cos(np.pi * phase), 0 * phase, 0 * phase], axis=1)[:, None]


def test_onsets_are_where_bursts_begin() -> None:
    at = [12, 40, 47, 80, 120]
    assert onsets(clicks(150, at)).tolist() == at
    assert onsets(np.full((90, 40), -23.0)).tolist() == []
    assert onsets(clicks(2, [])).tolist() == []
    with pytest.raises(BadInput, match="bands"):
        onsets(np.zeros(9))


def test_beats_are_where_motion_pauses() -> None:
    at = [20, 45, 60, 85, 110]
    found = motion_beats(swings(130, at))
    assert (
        len(found) == len(at) and np.abs(found - at).max() <= 2
    )  # smoothing pulls towards the longer side
    assert len(motion_beats(np.zeros((60, 3, 3)))) == 0
    gone = np.concatenate([swings(130, at), np.full((130, 1, 3), np.nan)], axis=1)
    assert motion_beats(gone).tolist() == found.tolist()
    assert len(motion_beats(np.full((60, 2, 3), np.nan))) == 0


def test_noise_at_rest_has_few_beats() -> None:
    """Jitter around an even speed is no beat."""
    places = np.arange(300)[:, None, None] * np.ones((1, 4, 3)) * 0.02
    places += np.random.default_rng(0).normal(0, 1e-4, places.shape)
    assert len(motion_beats(places)) == 0


def test_consistency_falls_with_distance_and_forgets_a_common_shift() -> None:
    heard = np.asarray([10, 50, 90])
    values = [consistency(heard + late, heard) for late in range(6)]
    assert values[0] == 1 and all(a > b for a, b in zip(values, values[1:], strict=False))
    assert values[3] == pytest.approx(math.exp(-0.5))  # 0.1 s is one spread
    assert consistency(heard + 100, heard + 100) == 1
    assert math.isnan(consistency(heard, heard[:0])) and math.isnan(consistency(heard[:0], heard))


def test_the_distance_to_the_truth_is_nothing_for_the_truth() -> None:
    at = [20, 45, 60, 85, 110]
    mel = clicks(130, at)
    truth, late = swings(130, at), swings(130, [t + 8 for t in at])
    tally = beat_tally(mel, truth, {"model": late, "copy": truth, "hold": 0 * truth})
    assert aggregate([tally], "copy") == 0
    assert 0.5 < aggregate([tally], "model") < aggregate([tally], "hold") <= 1
    # Better than the truth is as far from it as worse.
    worse = beat_tally(mel, late, {"model": truth})
    assert aggregate([worse], "model") == pytest.approx(aggregate([tally], "model"))
    assert beat_tally(mel, 0 * truth, {"model": truth}).weight == 0
    with pytest.raises(BadInput, match="ticks"):
        beat_tally(mel[1:], truth, {})
