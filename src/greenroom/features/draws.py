"""The draws by which a model chooses one of the possible ways when nothing is captured."""

from __future__ import annotations

import math

import numpy as np

from greenroom.contracts import DRAW_MEMORY
from greenroom.frames import Floats

_BLOCK = 64
_NEW = np.float32(math.sqrt(1 - DRAW_MEMORY**2))
_OLD = np.float32(DRAW_MEMORY)


class Draws:
    """A seeded walk of draws, each standard normal, near the one before.

    First-order autoregression, the Ornstein-Uhlenbeck process at ticks: z' = m z + sqrt(1 - m²) e.

    Args:
        seed: of the walk.
        width: Z.

    >>> draws = Draws(1, 2)
    >>> first = draws.next().copy()
    >>> bool(abs(draws.next() - first).max() < 0.7)
    True
    """

    def __init__(self, seed: int, width: int) -> None:
        """Stand before the first draw."""
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._block, self._at = np.empty((0, width), dtype=np.float32), 0
        self._now = self._random.standard_normal(width, dtype=np.float32)

    def next(self) -> Floats:
        """Return the next draw (Z,); it is written again at the next call."""
        if self._at == len(self._block):  # fresh numbers are made in blocks: fewer calls
            size = (_BLOCK, len(self._now))
            self._block = _NEW * self._random.standard_normal(size, dtype=np.float32)
            self._at = 0
        self._now *= _OLD
        self._now += self._block[self._at]
        self._at += 1
        return self._now
