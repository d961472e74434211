"""Decide each face weight of a frame: as captured, by the model, or at rest, and ease every change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from greenroom.clock import TICK_HZ
from greenroom.frames import ARKIT, Floats
from greenroom.live.fallback import SWITCH_HALF_LIFE
from greenroom.live.sinks.vmc import no_face

LEAVE_TICKS = 30
"""Ticks in which a weight that nothing drives any more goes back to 0 before it is missing."""
FADE = np.float32(0.5 ** (1 / (SWITCH_HALF_LIFE * TICK_HZ)))
"""What is left of a difference after one tick."""
_MISSING, _LEAVING, _REST, _MODEL, _CAPTURED, _OTHERS = range(6)


class FaceBlender:
    """Blend the captured face with the model's, weight by weight.

    A captured weight wins over the model's. What begins or ends is eased like the bones: the difference
    at the change dies away. What nothing drives is missing (NaN).

    Args:
        places: which of the 52 weights the model drives.
    """

    def __init__(self, places: NDArray[np.intp]) -> None:
        """Begin at rest where the model drives a weight, with all others missing."""
        self.places = places
        self.captured: Floats | None = None
        """This tick's captured weights (52,), NaN where missing; None without a captured face."""
        self._source = np.full(len(ARKIT), _MISSING, dtype=np.int8)
        self._source[places] = _REST
        self._weights = np.zeros(len(ARKIT), dtype=np.float32)
        self._offset = np.zeros_like(self._weights)
        self._left = np.zeros(len(ARKIT), dtype=np.int16)

    def resume(self, face: Floats) -> None:
        """Go on from the weights (52,) that somebody else emitted last: the difference dies away."""
        self._weights = np.nan_to_num(face).astype(np.float32)
        self._source[:] = _OTHERS

    def step(self, weights: Floats | None, speaking: bool) -> Floats:
        """Return the face's weights (52,): missing where nothing drives them.

        Args:
            weights: the model's, as `places`; None where it was not asked.
            speaking: whether there is a voice; without one the model's weights are at rest.
        """
        if self.captured is None and not self.places.size and not self._source.any():
            return no_face()
        source = np.full(len(ARKIT), _MISSING, dtype=np.int8)
        target = np.zeros_like(self._weights)
        source[self.places] = _REST
        if weights is not None and speaking:
            target[self.places], source[self.places] = weights, _MODEL
        if self.captured is not None:
            is_captured = np.isfinite(self.captured)
            target = np.where(is_captured, self.captured, target)
            source[is_captured] = _CAPTURED
        self._leave(source)
        changed = source != self._source
        self._offset = np.where(changed, self._weights - target, self._offset * FADE)
        self._source = source
        self._weights = np.clip(target + self._offset, 0, 1)
        face = self._weights.copy()
        face[source == _MISSING] = np.nan
        return face

    def _leave(self, source: NDArray[np.int8]) -> None:
        """Mark what was driven a moment ago and is not any more, while it goes back to 0."""
        missing = source == _MISSING
        self._left[~missing] = LEAVE_TICKS
        leaving = missing & (self._left > 0)
        source[leaving] = _LEAVING
        self._left[leaving] -= 1
