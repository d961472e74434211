"""Sums of evidence that raise an alert once, say when it began, and re-arm by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.frames import Doubles

BLOCK = 10
"""Ticks that are looked at together."""
REMIND = 18_000
"""Ticks after which what goes on is said again: ten minutes."""
TOGETHER = 300
"""Ticks within which what follows an alert belongs to it."""
MEMORY = 900
"""Blocks that are remembered: five minutes."""


class CusumBank:
    """One-sided CUSUMs (G,) that say once what is out of control, and re-arm when it has come back.

    Args:
        limit: (G,), above which a sum is out of control.
        reach: ticks before a block that its evidence looks back on.
        disarm_together: whether all sums are about one thing, so that one alert is for all of them.

    Attributes:
        values: (G,), between nought and twice the limit.
        busy: whether one is above nought, or was and has not been armed again.
    """

    def __init__(self, limit: Doubles, reach: int, *, disarm_together: bool = False) -> None:
        """Start at nought."""
        self.limit, self.reach, self.disarm_together = limit, reach, disarm_together
        self.most = 2 * limit
        self.reset()

    def reset(self) -> None:
        """Forget everything but the limit."""
        self.values = np.zeros(len(self.limit))
        self.armed = np.ones(len(self.limit), dtype=np.bool_)
        self.past = np.zeros((MEMORY, len(self.limit)))
        self.ends = np.zeros(MEMORY, dtype=np.intp)
        self.blocks = 0
        self.back = np.zeros(len(self.limit), dtype=np.intp)
        self.raised = -REMIND
        self.busy = False

    def add(self, evidence: Doubles, tick: int) -> bool:
        """Take evidence (G,) of the block that ends at a tick; return if a sum is above its limit."""
        self.pause(evidence, tick)
        self.values += evidence
        np.maximum(self.values, 0.0, out=self.values)
        np.minimum(self.values, self.most, out=self.values)
        self.busy = True
        return bool((self.values > self.limit).any())

    def pause(self, evidence: Doubles, tick: int) -> None:
        """Take a block whose evidence is below nought while nothing is above it."""
        slot = self.blocks % MEMORY
        self.past[slot] = evidence
        self.ends[slot] = tick
        self.blocks += 1

    def fresh(self, tick: int) -> bool:
        """Return whether what is above its limit is news, and disarm it."""
        over = self.values > self.limit
        if tick - self.raised >= REMIND:
            self.armed[:] = True
        news = bool((over & self.armed).any()) and tick - self.raised >= TOGETHER
        self.armed[over | (self.disarm_together & over.any())] = False
        if news:
            self.raised = tick
        return news

    def rearm(self) -> None:
        """Arm again what has come back to nought."""
        if not self.armed.all():
            quiet = self.values <= 0.0
            back = quiet & ~self.armed & (quiet.all() | (not self.disarm_together))
            self.armed |= back
            self.back[back] = self.blocks
        self.busy = bool(self.values.any())

    def began(self, best: int, also: Sequence[int], tick: int) -> tuple[int, int, int]:
        """Return at which tick a sum began to rise: the best, and its confidence set's two ends.

        The likelihood of a change at t is the evidence since t: the best is where that is largest,
        and the set is where it is less by a third of the limit at most (a likelihood ratio's set,
        Siegmund 1988).

        Args:
            best: which sum.
            also: sums whose sets are taken together.
            tick: now.
        """
        onset = tick
        low, high = tick, 0
        for index in also:
            count = min(self.blocks - int(self.back[index]), MEMORY)
            slots = (self.blocks - 1 - np.arange(max(count, 1))) % MEMORY
            since = np.cumsum(self.past[slots, index])
            start = int(since.argmax())
            inside = np.flatnonzero(since >= since[start] - self.limit[index] / 3)
            low = min(low, int(self.ends[slots[inside[-1]]]) - BLOCK - self.reach)
            high = max(high, int(self.ends[slots[inside[0]]]))
            if index == best:
                onset = int(self.ends[slots[start]]) - BLOCK - 2 * self.reach // 3
        return max(onset, 0), max(low, 0), high
