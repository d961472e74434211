"""How unlike anything in the reference a moment of movement is: whole-body pose and its spread.

A change of content must not count as a change of style, so nothing is compared with one mean: a moment
is as novel as its nearest neighbour in the reference is far, over how far neighbours lie in that region
(local outlier factor, Breunig et al. 2000, with one neighbour). Each stretch of the reference is
scored with itself left out, which makes the scores in control as honest as those of a show.

Convention: a window is 20 ticks; its features are each channel's mean and standard deviation (2 C,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import Array, Doubles, Floats

WINDOW = 20
"""Ticks whose mean and standard deviation are compared: two thirds of a second."""
STEP = 10
"""Ticks between windows."""
_MOST = 4000  # reference windows kept, so that a tick's cost does not grow with the reference
_AXES = 60
_SHRINK = 2.0
_NEIGHBOURHOOD = 0.05  # of the reference: where the local scale comes from
_LEAST_NEAR = 20
_OWN = 600  # ticks: what is left out around a window when the reference is scored against itself


def window_features(take: Array, ends: NDArray[np.intp]) -> Doubles:
    """Return (N, 2 C): mean and sd of the 20 ticks before each of `ends` of a take (T, C).

    Where a value is missing, the window is NaN.
    """
    x = np.asarray(take, dtype=np.float64)
    if not len(ends):
        return np.zeros((0, 2 * x.shape[1]))
    missing = ~np.isfinite(x)
    x = np.where(missing, 0.0, x)
    centre = x.mean(axis=0)
    parts = np.concatenate([x - centre, (x - centre) ** 2, missing], axis=1)
    sums = np.cumsum(np.concatenate([np.zeros((1, parts.shape[1])), parts]), axis=0)
    mean, square, lost = np.split((sums[ends] - sums[ends - WINDOW]) / WINDOW, 3, axis=1)
    sd = np.sqrt(np.maximum(square - mean**2, 0.0))
    out = np.concatenate([mean + centre, sd], axis=1)
    out[lost.any(axis=1)] = np.nan
    return out


@dataclass(frozen=True)
class Scored:
    """One window against the reference.

    Attributes:
        score: standard score of its novelty.
        size: how many times as far from the reference as is usual around there.
        nearest: index of the nearest kept window.
        typical: the usual distance around there.
        at: (k,), its place on the axes.
    """

    score: float
    size: float
    nearest: int
    typical: float
    at: Floats


class Novelty:
    """Distance of windows to a reference, in standard scores of the reference's own stretches.

    Args:
        features: windows (N, F) of the reference, finite, in order.
        stretch: (N,), which stretch of the reference each is of, rising from nought.
        times: (N,), ticks; windows of different takes are further apart than any take is long.

    Attributes:
        scores: (N,) of the reference's windows, each with what is within 20 s of it left out.
        centre: mean over stretches of the logarithm of distance over usual distance.
        spread: its standard deviation.
    """

    def __init__(
        self, features: Doubles, stretch: NDArray[np.intp], times: NDArray[np.intp]
    ) -> None:
        """Learn axes, windows, local scales and scores."""
        self.mean, self.sd = features.mean(axis=0), features.std(axis=0) + 1e-9
        axes = _axes(features - self.mean, stretch)
        self.axes = axes.astype(np.float32)
        self.places = ((features - self.mean) @ axes).astype(np.float32)
        stride = -(-len(features) // _MOST)
        self.raw = features[::stride].astype(np.float32)
        self.exemplars = self.places[::stride].copy()
        self.half_squares = (np.einsum("nk,nk->n", self.exemplars, self.exemplars) / 2).astype(
            np.float32
        )
        nearest, distances = self._left_out(times, times[::stride])
        self.log_scale = self._scales(distances[::stride])
        raw = np.log(np.maximum(distances, 1e-9)) - self.log_scale[nearest]
        counts = np.bincount(stretch)
        means = np.bincount(stretch, raw)[counts > 0] / counts[counts > 0]
        self.centre, self.spread = float(means.mean()), float(max(means.std(), 1e-3))
        self.scores: Doubles = (raw - self.centre) / self.spread

    def _left_out(
        self, times: NDArray[np.intp], kept_times: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], Doubles]:
        """Return index of, and distance to, the nearest kept window that is not of the same time."""
        nearest = np.empty(len(times), dtype=np.intp)
        distances = np.empty(len(times))
        for start in range(0, len(times), 500):
            rows = slice(start, start + 500)
            squares = self._squares(self.places[rows])
            squares[np.abs(times[rows, None] - kept_times[None]) < _OWN] = np.inf
            nearest[rows] = squares.argmin(axis=1)
            distances[rows] = np.sqrt(squares.min(axis=1))
        return nearest, np.where(
            np.isfinite(distances), distances, np.nanmax(distances[np.isfinite(distances)])
        )

    def _scales(self, distances: Doubles) -> Doubles:
        """Return the logarithm of the mean distance around each kept window."""
        neighbours = min(len(distances), max(_LEAST_NEAR, int(_NEIGHBOURHOOD * len(distances))))
        out = np.empty(len(distances))
        for start in range(0, len(distances), 500):
            rows = slice(start, start + 500)
            squares = self._squares(self.exemplars[rows])
            around = np.argpartition(squares, neighbours - 1, axis=1)[:, :neighbours]
            out[rows] = np.log(np.maximum(distances[around].mean(axis=1), 1e-9))
        return out

    def _squares(self, places: Floats) -> Floats:
        own = np.einsum("nk,nk->n", places, places)
        out: Floats = np.maximum(
            own[:, None] + 2 * (self.half_squares[None] - places @ self.exemplars.T), 0.0
        )
        return out

    def score(self, features: Doubles) -> Scored:
        """Return how novel one window (F,) is."""
        embedding: Floats = (features - self.mean).astype(np.float32) @ self.axes
        cross = self.exemplars @ embedding
        cross -= self.half_squares
        nearest = int(cross.argmax())
        square = max(float(embedding @ embedding) - 2 * float(cross[nearest]), 1e-18)
        scale = float(self.log_scale[nearest])
        raw = 0.5 * math.log(square) - scale
        typical = math.exp(scale)
        return Scored(
            (raw - self.centre) / self.spread,
            math.sqrt(square) / typical,
            nearest=nearest,
            typical=typical,
            at=embedding,
        )

    def apart(self, features: Doubles, nearest: int) -> Doubles:
        """Return by how much each feature (F,) differs from a kept window, in its own sd, squared."""
        out: Doubles = ((features - self.raw[nearest]) / self.sd) ** 2
        return out


def _axes(centred: Doubles, stretch: NDArray[np.intp]) -> Doubles:
    """Return (F, k): axes on which stretches vary by one within, the widest between windows first.

    Whitening within stretches is Fisher's: it counts a difference by how much it exceeds what one
    stretch of movement does anyway. The covariance is shrunk to its own trace (Ledoit and Wolf 2004,
    fixed weight).
    """
    counts = np.maximum(np.bincount(stretch), 1)
    sums = np.zeros((len(counts), centred.shape[1]))
    np.add.at(sums, stretch, centred)
    own = centred - (sums / counts[:, None])[stretch]
    within = own.T @ own / len(own)
    level = np.trace(within) / len(within)
    values, vectors = np.linalg.eigh(within + np.eye(len(within)) * max(level * _SHRINK, 1e-9))
    white = vectors / np.sqrt(values)
    spread = np.atleast_2d(np.cov((centred @ white).T))
    out: Doubles = white @ np.linalg.eigh(spread)[1][:, ::-1][:, :_AXES]
    return out
