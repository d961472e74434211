"""Give a sound card's sound at the pace of our clock: exactly one tick of samples a tick.

The card's crystal is not ours. Its skew is estimated (`sender_clock`), and the sound is resampled by
that little, so that it neither runs dry nor piles up however long a show is.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from greenroom.capture.receivers.sender_clock import SenderClock
from greenroom.frames import SAMPLE_RATE, SAMPLES_PER_TICK, Floats

DELAY_NS = 30_000_000
"""From a sample's place on our clock to its playout: a block, and what threads are late."""
_GAP_NS = 250_000_000
"""Without a block for so long, what comes then is another stretch of sound."""
_SLEW = 0.002
"""Three hundredths of a semitone."""
_OFF_SAMPLES = 400
"""Farther from where it should be, playing goes there at once."""
_MOST_BLOCKS = 64
_TAPS = np.arange(-1, 3)


class _Block(NamedTuple):
    first: int
    samples: Floats
    arrival_ns: int


class SoundBuffer:
    """Hold blocks of sound as they come, and give a tick's samples.

    Between two samples of the card a value is interpolated by a cubic (Lagrange, four points); without
    skew the samples come as they were. Equal calls give equal samples.

    Args:
        delay_ns: from a sample's place on our clock to its playout.

    Attributes:
        clock: the card's: seconds of its samples.
        lost: ticks whose sound did not come in time, while there was any.
    """

    def __init__(self, delay_ns: int = DELAY_NS) -> None:
        """Begin empty."""
        self.delay_ns = delay_ns
        self.clock = SenderClock(_SLEW)
        self.lost = 0
        self._blocks: deque[_Block] = deque(maxlen=_MOST_BLOCKS)
        self._end = 0
        self._position: float | None = None
        self._delays_ns: deque[int] = deque(maxlen=1800)

    @property
    def delay_ms(self) -> float | None:
        """Median from a block's arrival to the playout of its end; None before the first."""
        return float(np.median(self._delays_ns)) / 1e6 if self._delays_ns else None

    def push(self, samples: Floats, arrival_ns: int) -> None:
        """Take a block.

        Args:
            samples: (S,), finite.
            arrival_ns: of our clock; not earlier than the one before.
        """
        if self._blocks and arrival_ns - self._blocks[-1].arrival_ns > _GAP_NS:
            self.clock.restart()
            self._blocks.clear()
            self._position = None
        self._blocks.append(_Block(self._end, samples, arrival_ns))
        self._end += len(samples)
        self.clock.observe(arrival_ns, self._end / SAMPLE_RATE)

    def pull(self, due_ns: int) -> Floats | None:
        """Return the 800 samples of a tick; None where they did not come (yet).

        Args:
            due_ns: when the tick is due on our clock; not earlier than the one before.
        """
        if not self._blocks or due_ns - self._blocks[-1].arrival_ns > _GAP_NS:
            self._position = None
            return None
        last = self.clock.sender_s(due_ns - self.delay_ns) * SAMPLE_RATE
        first = last - SAMPLES_PER_TICK
        if self._position is not None and abs(first - self._position) < _OFF_SAMPLES:
            first = self._position
        self._position = last
        if first - 1 < self._blocks[0].first:
            return None  # it begins
        if last + 2 > self._end:
            self.lost += 1
            return None
        positions = first + (last - first) / SAMPLES_PER_TICK * np.arange(SAMPLES_PER_TICK)
        self._delays_ns.append(due_ns - self._arrival_of(last))
        return self._interpolate(positions)

    def _arrival_of(self, position: float) -> int:
        return next(b.arrival_ns for b in reversed(self._blocks) if b.first <= position)

    def _interpolate(self, positions: Floats) -> Floats:
        """Return the sound at positions (S,), counted in the card's samples since it began."""
        while len(self._blocks) > 1 and self._blocks[1].first <= positions[0] - 1:
            self._blocks.popleft()
        sound = np.concatenate([block.samples for block in self._blocks])
        whole = np.floor(positions).astype(np.intp)
        t = (positions - whole).astype(np.float32)
        taps = sound[(whole - self._blocks[0].first)[:, None] + _TAPS]
        weights = np.stack(
            [
                -t * (t - 1) * (t - 2) / 6,
                (t + 1) * (t - 1) * (t - 2) / 2,
                -(t + 1) * t * (t - 2) / 2,
                (t + 1) * t * (t - 1) / 6,
            ],
            axis=1,
        )
        out: Floats = np.einsum("ij,ij->i", taps, weights).astype(np.float32)
        return out
