"""Speech acoustics of each tick: log-mel spectrum, level, pitch and voicing, from the past alone.

Convention: audio is 24 kHz mono float32 in [-1, 1]; tick t sees the 1,024 samples that end with its
own 800, so the look-ahead is zero. One Fourier transform of the Hann window, padded to 1,536, serves
all. Mel bands are Slaney's with area norm, as librosa's defaults; log-mel is the natural logarithm of
power, floored at 1e-10. Level is RMS in dB of full scale. Pitch and voicing come from the
autocorrelation below 2 kHz, divided by the window's own (Boersma 1993, "Accurate short-term analysis
of the fundamental frequency"); pitch is in Hz, 0 where unvoiced.

Every function works on rows and each row's bits depend on that row alone: no matrix product whose
shape depends on how many ticks are asked for. A tick of a show runs them cold, where the number of
NumPy calls is the cost and not the size of the arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import SAMPLE_RATE, SAMPLES_PER_TICK, Doubles, Floats

WINDOW = 1024
PADDED = 1536
BANDS = 40
FLOOR = 1e-10
F0_RANGE = (60.0, 500.0)
CHANNELS = (*(f"mel{i:02d}" for i in range(BANDS)), "level_db", "log_f0", "voicing")
"""log_f0 is ln(Hz), 0 where unvoiced; voicing is in [0, 1]."""

_VOICED = 0.5
_QUIET_DB = -60.0
_BLOCK = 64


@cache
def _fft() -> Any:
    """Return SciPy's transforms, which are imported by who hears, and by nobody else."""
    from scipy import fft

    return fft


def mel_scale(hz: Doubles) -> Doubles:
    """Return Slaney's mel of hertz: linear below 1 kHz, logarithmic above."""
    linear = hz / (200.0 / 3)
    above = 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) / (np.log(6.4) / 27.0)
    return np.where(hz >= 1000.0, above, linear)


def mel_to_hz(mel: Doubles) -> Doubles:
    """Invert :func:`mel_scale`."""
    return np.where(
        mel >= 15.0, 1000.0 * np.exp((mel - 15.0) * (np.log(6.4) / 27.0)), mel * (200.0 / 3)
    )


@cache
def mel_filters(rate: int = SAMPLE_RATE, window: int = PADDED, bands: int = BANDS) -> Doubles:
    """Return triangular filters (bands, window // 2 + 1) of unit area."""
    bins = np.fft.rfftfreq(window, 1 / rate)
    top = float(mel_scale(np.asarray([rate / 2]))[0])
    edges = mel_to_hz(np.linspace(0.0, top, bands + 2))
    rise = (bins[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins[None]) / np.diff(edges)[1:, None]
    filters: Doubles = np.maximum(0.0, np.minimum(rise, fall))
    return filters * (2.0 / (edges[2:] - edges[:-2]))[:, None]


@cache
def _bands() -> tuple[NDArray[np.intp], Doubles, NDArray[np.intp]]:
    """Return the filters without their zeros: bins, their weights, and where each band starts."""
    rows = [(row, np.flatnonzero(row)) for row in mel_filters()]
    starts = np.cumsum([0, *(len(at) for _, at in rows[:-1])])
    return np.concatenate([at for _, at in rows]), np.concatenate([r[at] for r, at in rows]), starts


@cache
def _hann() -> Doubles:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def power(windows: Doubles) -> Doubles:
    """Return the power (T, 769) of Hann-weighted windows (T, 1024), padded with zeros."""
    spectrum = _fft().rfft(windows * _hann(), PADDED, axis=-1)
    squares = spectrum.view(np.float64)
    squares *= squares
    out: Doubles = squares[:, ::2] + squares[:, 1::2]
    return out


def log_mel(powers: Doubles) -> Doubles:
    """Return log-mel power (T, 40) of :func:`power`, float64."""
    bins, weights, starts = _bands()
    weighted = powers.take(bins, axis=1)
    weighted *= weights
    mel = np.add.reduceat(weighted, starts, axis=-1)
    out: Doubles = np.log(np.maximum(mel, FLOOR))
    return out


def level_db(windows: Doubles) -> list[float]:
    """Return the RMS level (T,) of the tick's own samples, dB of full scale, at least -100."""
    own = windows[:, -SAMPLES_PER_TICK:]
    squares = np.einsum("ij,ij->i", own, own).tolist()
    return [10.0 * math.log10(max(square / SAMPLES_PER_TICK, 1e-10)) for square in squares]


_LAGS = 768
"""Points of the autocorrelation: its rate is 12 kHz."""
_LAG_RATE = SAMPLE_RATE * _LAGS / PADDED
_LOW = int(_LAG_RATE / F0_RANGE[1]) - 1
_HIGH = int(_LAG_RATE / F0_RANGE[0]) + 2
"""Lags searched: one beyond the range at either side, so that a peak has neighbours."""
_TOP = int(2000 * PADDED / SAMPLE_RATE) + 1
_OCTAVE_COST = 0.03
"""Taken off for each octave of a longer lag, so that the shortest of a tone's equal peaks wins."""


@cache
def _of_window() -> tuple[Doubles, Doubles]:
    """Return what scales each searched lag by the window's autocorrelation, and each lag's cost."""
    own = _fft().irfft(power(np.ones((1, WINDOW)))[0, :_TOP], _LAGS)
    lags = np.arange(_LOW, _HIGH + 1)
    return own[0] / own[lags], _OCTAVE_COST * np.log2(lags / _LOW)


def pitch(powers: Doubles, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Return (ln f0, f0 in Hz, and voicing in [0, 1]) a tick, both 0 where unvoiced.

    Args:
        powers: (T, 769), of :func:`power`.
        levels: (T,), dB; quieter than -60 dB is unvoiced.
    """
    correlation = _fft().irfft(powers[:, :_TOP], _LAGS, axis=-1)
    scale, cost = _of_window()
    strength = correlation[:, _LOW : _HIGH + 1] * scale
    # A power of nothing has no lag to choose; what is that quiet is unvoiced below.
    strength /= np.maximum(correlation[:, :1], 1e-12)
    best = (strength - cost)[:, 1:-1].argmax(axis=-1)
    out = []
    # Plain floats from here on: a tick has one row, and many small calls cost more than the numbers.
    for row, lag, level in zip(strength, best.tolist(), levels, strict=True):
        before, at, after = row[lag : lag + 3].tolist()
        if at < _VOICED or level <= _QUIET_DB:
            out.append((0.0, 0.0))
            continue
        # At an end of the range the best need not be a peak: the vertex stays within half a lag.
        curve = min(before - 2 * at + after, -1e-12)
        shift = max(-0.5, min(0.5, 0.5 * (before - after) / curve))
        out.append((math.log(_LAG_RATE / (_LOW + 1 + lag + shift)), min(at, 1.0)))
    return out


def speech_features(windows: Doubles) -> Floats:
    """Return all speech channels (T, 43) of windows (T, 1024), in the order of `CHANNELS`."""
    out = np.empty((len(windows), len(CHANNELS)), dtype=np.float32)
    for start in range(0, len(windows), _BLOCK):  # small enough to stay in the processor's cache
        block, rows = windows[start : start + _BLOCK], out[start : start + _BLOCK]
        powers, levels = power(block), level_db(block)
        rows[:, :BANDS] = log_mel(powers)
        rows[:, BANDS:] = [
            (level, *voice) for level, voice in zip(levels, pitch(powers, levels), strict=True)
        ]
    return out


class SpeechExtractor:
    """Speech features of tick after tick: keeps the samples that the next window begins with."""

    def __init__(self) -> None:
        """Begin in silence."""
        self._older = np.zeros(WINDOW - SAMPLES_PER_TICK, dtype=np.float64)

    def run(self, audio: Floats, speech_mask: Floats) -> Floats:
        """Return the channels (T, 43) of the next ticks.

        Args:
            audio: (T, 800).
            speech_mask: (T,), 1 where audio arrived; elsewhere it is taken for silence.
        """
        older = len(self._older)
        samples = np.zeros(older + audio.size, dtype=np.float64)
        samples[:older] = self._older
        np.copyto(samples[older:].reshape(audio.shape), audio, where=speech_mask[:, None] > 0)
        self._older = samples[-older:].copy()
        step = samples.itemsize
        strides = (SAMPLES_PER_TICK * step, step)
        return speech_features(np.ndarray((len(audio), WINDOW), np.float64, samples, 0, strides))


def extract_speech(samples: Floats) -> Floats:
    """Return the channels (T, 43) of a whole recording (S,), its last tick filled with silence."""
    ticks = -(-len(samples) // SAMPLES_PER_TICK)
    padded = np.zeros((ticks, SAMPLES_PER_TICK), dtype=np.float32)
    padded.ravel()[: len(samples)] = samples
    return SpeechExtractor().run(padded, np.ones(ticks, dtype=np.float32))
