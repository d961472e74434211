"""Say of a release that has just come on stage whether it stays: back, keep, or not decided yet.

What it does is compared with what was normal just before the swap, in the same show, by wagers that may
be looked at after every second (Ville 1939; the bets of Waudby-Smith and Ramdas 2024, averaged over
their size): a release that is no worse is sent back with a chance of `risk` at most, for each figure.
There is no clock and no I/O in it, so that a replay comes to the same verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.contracts import Alert
from greenroom.errors import BadInput
from greenroom.observers.model_health import TickHealth

HOLD, KEEP, BACK = "hold", "keep", "back"
SECOND = 30
LEAST = 10
"""Seconds before the swap without which nothing is normal; their worst mean is what is."""
_BETS = 0.9 * 0.5 ** np.arange(10)  # shares of the largest bet that is allowed
_REASONS = {
    "mute": "the model says no numbers more often than before",
    "doubt": "confidence is lower than before",
    "miss": "forecasts are further off than before",
}
_MARGINS = {"doubt": 0.01, "miss": 0.02}  # beyond the worst ten seconds before, and still no news


@dataclass(frozen=True)
class GuardDecision:
    """What is to be done.

    Attributes:
        decision: `HOLD` (watch on), `KEEP` (it stays) or `BACK` (roll it back).
        reason: one sentence.
        tick: ticks after the swap.
    """

    decision: str
    reason: str
    tick: int


class Wager:
    """A wager that the mean of numbers in [0, 1] is above a bound.

    Args:
        bound: in (0, 1); each number's mean, given those before it, is taken to be this at most.

    Attributes:
        log_capital: natural logarithm of the capital, 0 at first. That it ever comes to ln(1 / p) has a
            chance of p at most if the bound holds.

    >>> wager = Wager(0.1)
    >>> for x in [0.1, 0.9, 0.8, 0.9]:
    ...     wager.add(x)
    >>> round(wager.log_capital, 1)
    4.1
    """

    def __init__(self, bound: float) -> None:
        """Begin with a capital of 1."""
        if not 0 < bound < 1:
            raise BadInput(f"a bound lies between 0 and 1, not {bound}")
        self.bound = bound
        self.log_capital = 0.0
        self._logs = np.zeros(len(_BETS))

    def add(self, x: float) -> None:
        """Take one number."""
        self._logs += np.log1p(_BETS / self.bound * (x - self.bound))
        top = float(self._logs.max())
        self.log_capital = top + float(np.log(np.exp(self._logs - top).mean()))


class Guard:
    """Watch a release for a while after a swap, tick by tick.

    Before the swap `update` learns what is normal; `swap` says that the next tick is the first after it;
    then `verdict` is read after each tick. Once it is `KEEP` or `BACK` it stays so.

    Args:
        ticks: after which a release that did nothing wrong is kept.
        risk: chance, for each figure, that a release that is no worse is sent back.

    >>> guard = Guard(ticks=900)
    >>> for _ in range(600):
    ...     guard.update(TickHealth(0.95, True))
    >>> guard.swap()
    >>> for _ in range(300):
    ...     guard.update(TickHealth(0.60, True))
    >>> guard.verdict.decision, guard.verdict.tick
    ('back', 180)
    """

    def __init__(self, ticks: int = 9000, risk: float = 1e-3) -> None:
        """Store the configuration."""
        if ticks < SECOND or not 0 < risk < 1:
            raise BadInput(f"a guard takes {SECOND} ticks at least and a risk in 0 to 1")
        self.ticks, self.risk = ticks, risk
        self.tick = 0
        self.verdict = GuardDecision(HOLD, "nothing was swapped", 0)
        self._before: dict[str, list[float]] = {name: [] for name in _REASONS}
        self._second: list[TickHealth] = []
        self._wagers: dict[str, Wager] = {}

    def swap(self) -> None:
        """Say that the next tick is the new release's.

        Raises:
            BadInput: fewer than `LEAST` seconds were seen before, or it was said before.
        """
        if self._wagers:
            raise BadInput("a guard watches one swap", then="make another")
        mute = self._before["mute"]
        if len(mute) < LEAST:
            what = f"{len(mute)} s were seen before the swap; {LEAST} are needed"
            raise BadInput(what, then="swap later")
        # Laplace's rule: what never happened in n seconds has a chance of about 1 / n.
        self._wagers["mute"] = Wager((1 + sum(mute)) / (2 + len(mute)))
        for name, margin in _MARGINS.items():
            if len(self._before[name]) >= LEAST:
                means = np.convolve(self._before[name], np.ones(LEAST) / LEAST, "valid")
                self._wagers[name] = Wager(min(float(means.max()) + margin, 0.99))
        self._second.clear()
        self.tick = 0
        self.verdict = GuardDecision(HOLD, "it was just swapped", 0)

    def update(self, figures: TickHealth, alerts: Sequence[Alert] = ()) -> None:
        """Take one tick.

        Args:
            figures: of it.
            alerts: what charts raised at this tick.
        """
        if self.verdict.decision != HOLD:
            return
        self.tick += 1
        self._second.append(figures)
        if len(self._second) == SECOND:
            self._judge(_second_figures(self._second))
            self._second.clear()
        if not self._wagers:
            return
        turned = next((alert for alert in alerts if alert.cause == "model"), None)
        if turned is not None:
            self._decide(BACK, f"the chart of {turned.signal} raised an alert on the model")
        if self.verdict.decision == HOLD and self.tick >= self.ticks:
            self._decide(KEEP, f"nothing turned in {self.ticks / SECOND:.0f} s")

    def _judge(self, second: dict[str, float]) -> None:
        """Take what a whole second was like."""
        for name, x in second.items():
            if not self._wagers:
                self._before[name].append(x)
            elif name in self._wagers:
                wager = self._wagers[name]
                wager.add(x)
                if wager.log_capital >= -np.log(self.risk):
                    self._decide(BACK, f"{_REASONS[name]} (reference at worst: {wager.bound:.3f})")

    def _decide(self, decision: str, reason: str) -> None:
        if self.verdict.decision == HOLD:
            self.verdict = GuardDecision(decision, reason, self.tick)


def _second_figures(ticks: Sequence[TickHealth]) -> dict[str, float]:
    """Return the figures of a second, each in [0, 1]; those of which nothing was seen are left out."""
    out = {"mute": float(not all(tick.finite for tick in ticks))}
    for name, values in {
        "doubt": [1 - tick.confidence for tick in ticks],
        "miss": [tick.forecast_error for tick in ticks],
    }.items():
        finite = [value for value in values if np.isfinite(value)]
        if finite:
            out[name] = min(max(float(np.mean(finite)), 0.0), 1.0)
    return out
