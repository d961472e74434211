"""Whether a confidence means what it says: expected calibration error, from sums that add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Sums a bin of confidence, over one take or many; `+` pools them.

    Attributes:
        counts: predictions (B,).
        confidence_sums: confidences summed (B,).
        right: hits summed (B,).
    """

    counts: Doubles
    confidence_sums: Doubles
    right: Doubles

    @classmethod
    def of(cls, confidence: Array, hit: Array, bins: int = BINS) -> Reliability:
        """Sort predictions into bins of equal width.

        Args:
            confidence: (N,), in [0, 1].
            hit: (N,), 1 or True where the prediction was right, else 0.
            bins: how many.

        Raises:
            BadInput: lengths differ, or a confidence is outside [0, 1] or missing.
        """
        p = np.asarray(confidence, dtype=np.float64).ravel()
        hits = np.asarray(hit, dtype=np.float64).ravel()
        if len(p) != len(hits):
            raise BadInput(f"{len(p)} confidences for {len(hits)} predictions")
        if not bool(np.all((p >= 0) & (p <= 1))):
            raise BadInput("a confidence is in 0 to 1")
        bin_index = np.minimum((p * bins).astype(int), bins - 1)
        sums = [np.bincount(bin_index, weights, bins) for weights in (np.ones(len(p)), p, hits)]
        return cls(*(np.asarray(values, dtype=np.float64) for values in sums))

    def __add__(self, other: Reliability) -> Reliability:
        """Return both pooled."""
        return Reliability(
            self.counts + other.counts,
            self.confidence_sums + other.confidence_sums,
            self.right + other.right,
        )

    @property
    def error(self) -> float:
        """The expected calibration error, in [0, 1]; NaN without predictions.

        Σ over bins of (count / N) |mean hit - mean confidence|. Source: Naeini, Cooper and Hauskrecht
        2015; 15 equal bins as Guo et al. 2017, "On calibration of modern neural networks", equation 3.
        """
        total = float(self.counts.sum())
        return (
            float(np.abs(self.right - self.confidence_sums).sum() / total)
            if total
            else float("nan")
        )


def expected_calibration_error(confidence: Array, hit: Array, bins: int = BINS) -> float:
    """Return :attr:`Reliability.error` of predictions (N,).

    >>> expected_calibration_error(np.asarray([0.8] * 5), np.asarray([1, 1, 1, 1, 0]))
    0.0
    """
    return Reliability.of(confidence, hit, bins).error
