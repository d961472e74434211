"""The draws by which a model chooses one of the possible ways when nothing is captured."""

from __future__ import annotations

import math

import numpy as np

from greenroom.frames import Floats

MEMORY = 0.9
"""How much is left at the next tick, in each of the two smoothings: a way lasts about half a second."""
_BLOCK = 64
_OLD = np.float32(MEMORY)
_NEW = np.float32(math.sqrt((1 - MEMORY**2) ** 3 / (1 + MEMORY**2)))


class NoiseWalk:
    """A seeded, smooth walk of draws, each standard normal and near the one before.

    White noise through two equal first-order autoregressions (an AR(2) process, Box and Jenkins 1976,
    chapter 3): after one alone a tenth of what is new each tick is a tremor.

    Args:
        seed: of the walk.
        width: Z.

    >>> draws = NoiseWalk(1, 2)
    >>> first = draws.next().copy()
    >>> bool(abs(draws.next() - first).max() < 0.5)
    True
    """

    def __init__(self, seed: int, width: int) -> None:
        """Walk until the beginning is forgotten."""
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._block = np.empty((0, width), dtype=np.float32)
        self._index = 0
        self._first_stage = np.zeros(width, dtype=np.float32)
        self._second_stage = np.zeros(width, dtype=np.float32)
        for _ in range(2 * _BLOCK):
            self.next()

    def next(self) -> Floats:
        """Return the next draw (Z,); it is written again at the next call."""
        if self._index == len(self._block):  # fresh numbers are made in blocks: fewer calls
            size = (_BLOCK, len(self._first_stage))
            self._block = _NEW * self._random.standard_normal(size, dtype=np.float32)
            self._index = 0
        self._first_stage *= _OLD
        self._first_stage += self._block[self._index]
        self._second_stage *= _OLD
        self._second_stage += self._first_stage
        self._index += 1
        return self._second_stage
