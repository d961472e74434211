"""Speech acoustics of each tick: log-mel spectrum, level, pitch and voicing, from the past alone.

Convention: audio is 24 kHz mono float32 in [-1, 1]; tick t sees the 1,024 samples that end with its
own 800, so the look-ahead is zero. Mel bands are Slaney's with area norm, as librosa's defaults;
log-mel is the natural logarithm of power, floored at 1e-10. Level is RMS in dB of full scale. Pitch
and voicing come from the normalised square difference (McLeod and Wyvill 2005, "A smarter way to find
pitch"); pitch is in Hz, 0 where unvoiced.

Every function works on rows and each row's bits depend on that row alone: no matrix product whose
shape depends on how many ticks are asked for.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from greenroom.frames import SAMPLE_RATE, SAMPLES_PER_TICK, Doubles, Floats

WINDOW = 1024
BANDS = 40
FLOOR = 1e-10
F0_RANGE = (60.0, 500.0)
CHANNELS = (*(f"mel{i:02d}" for i in range(BANDS)), "level_db", "log_f0", "voicing")
"""log_f0 is ln(Hz), 0 where unvoiced; voicing is in [0, 1]."""

_VOICED = 0.5
_QUIET_DB = -60.0


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
def mel_filters(rate: int = SAMPLE_RATE, window: int = WINDOW, bands: int = BANDS) -> Doubles:
    """Return triangular filters (bands, window // 2 + 1) of unit area."""
    bins = np.fft.rfftfreq(window, 1 / rate)
    top = float(mel_scale(np.asarray([rate / 2]))[0])
    edges = mel_to_hz(np.linspace(0.0, top, bands + 2))
    rise = (bins[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins[None]) / np.diff(edges)[1:, None]
    filters: Doubles = np.maximum(0.0, np.minimum(rise, fall))
    return filters * (2.0 / (edges[2:] - edges[:-2]))[:, None]


@cache
def _bands() -> list[tuple[int, Doubles]]:
    """Return the filters without their zeros: (first bin, weights) a band."""
    out = []
    for row in mel_filters():
        at = np.flatnonzero(row)
        out.append((int(at[0]), np.ascontiguousarray(row[at[0] : at[-1] + 1])))
    return out


@cache
def _hann() -> Doubles:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


@cache
def _starts() -> tuple[NDArray[np.intp], Doubles]:
    """Return for `np.add.reduceat`: where each band starts in the gathered bins, and the weights."""
    bands = _bands()
    weights = np.concatenate([row for _, row in bands])
    return np.cumsum([0, *(len(row) for _, row in bands[:-1])]), weights


@cache
def _gather() -> NDArray[np.intp]:
    return np.concatenate([first + np.arange(len(row)) for first, row in _bands()])


def log_mel(windows: Doubles) -> Doubles:
    """Return log-mel power (T, 40) of windows (T, 1024), float64."""
    spectrum = fft.rfft(windows * _hann(), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    starts, weights = _starts()
    mel = np.add.reduceat(power[:, _gather()] * weights, starts, axis=-1)
    out: Doubles = np.log(np.maximum(mel, FLOOR))
    return out


def level_db(windows: Doubles) -> Doubles:
    """Return the RMS level (T,) of the tick's own samples, dB of full scale, at least -100."""
    own = windows[:, -SAMPLES_PER_TICK:]
    square = np.add.reduce(own * own, axis=-1) / SAMPLES_PER_TICK
    out: Doubles = 10.0 * np.log10(np.maximum(square, 1e-10))
    return out


_LOW = int(SAMPLE_RATE / F0_RANGE[1]) - 1
_HIGH = int(SAMPLE_RATE / F0_RANGE[0]) + 2
"""Lags searched: one beyond the range at either side, so that a peak has neighbours."""


def pitch(windows: Doubles, level: Doubles) -> tuple[Doubles, Doubles]:
    """Return f0 (T,) in Hz and voicing (T,) in [0, 1], both 0 where unvoiced.

    Args:
        windows: (T, 1024).
        level: (T,), dB; quieter than -60 dB is unvoiced.
    """
    spectrum = fft.rfft(windows, 2 * WINDOW, axis=-1)
    correlation = fft.irfft(spectrum.real**2 + spectrum.imag**2, 2 * WINDOW, axis=-1)
    head = np.cumsum(windows * windows, axis=-1)
    # m(τ): energy of the first W-τ samples plus that of the last W-τ
    energy = head[:, WINDOW - 1 - _LOW : WINDOW - 2 - _HIGH : -1] + (
        head[:, -1:] - head[:, _LOW - 1 : _HIGH]
    )
    nsdf = 2.0 * correlation[:, _LOW : _HIGH + 1] / np.maximum(energy, 1e-9)
    inner = nsdf[:, 1:-1]
    peak = (inner >= nsdf[:, :-2]) & (inner >= nsdf[:, 2:])
    heights = np.where(peak, inner, -1.0)
    best = np.maximum.reduce(heights, axis=-1)
    first = np.argmax(heights >= 0.9 * np.maximum(best, 1e-9)[:, None], axis=-1)
    rows = np.arange(len(windows))
    before, at, after = nsdf[rows, first], nsdf[rows, first + 1], nsdf[rows, first + 2]
    curve = np.minimum(before - 2 * at + after, -1e-12)
    shift = np.minimum(np.maximum(0.5 * (before - after) / curve, -0.5), 0.5)
    voiced = (best >= _VOICED) & (level > _QUIET_DB)
    f0 = np.where(voiced, SAMPLE_RATE / (_LOW + 1 + first + shift), 0.0)
    return f0, np.where(voiced, np.minimum(best, 1.0), 0.0)


def speech_features(windows: Doubles) -> Floats:
    """Return all speech channels (T, 43) of windows (T, 1024), in the order of `CHANNELS`."""
    level = level_db(windows)
    f0, voicing = pitch(windows, level)
    out = np.empty((len(windows), len(CHANNELS)), dtype=np.float32)
    out[:, :BANDS] = log_mel(windows)
    out[:, BANDS] = level
    out[:, BANDS + 1] = np.log(np.maximum(f0, 1.0))
    out[:, BANDS + 2] = voicing
    return out
