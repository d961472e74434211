"""Raise an alert when body, face or voice is lost, so that somebody looks while the show goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from greenroom.contracts import Alert
from greenroom.live.ring import samples_of

BODY, FACE, VOICE = "capture", "face", "voice"
"""Signals of the three alerts."""
LOST_TICKS, BACK_TICKS = 6, 15
"""Ticks without it before the alert, and with it again before the alert ends."""


@dataclass
class _Presence:
    """Whether one signal is there.

    Attributes:
        seen: whether it ever was; what was never there cannot be lost.
        here: whether it is at this tick.
        since: first tick of the present run with it, or without it.
        active: the alert, while it is lost.
    """

    seen: bool = False
    here: bool = True
    since: int = -1
    active: Alert | None = None

    def step(self, signal: str, tick: int, here: bool) -> tuple[Alert, bool] | None:
        """Take one tick; return an alert, and whether it begins or has ended."""
        self.seen |= here
        if here != self.here or self.since < 0:
            self.here, self.since = here, tick
        lasted, began = tick - self.since + 1, self.since
        if not here and self.seen and self.active is None and lasted >= LOST_TICKS:
            self.active = Alert(
                signal,
                "capture fault",
                (),
                1.0,
                tick=tick,
                began=began,
                began_low=began,
                began_high=began,
            )
            return self.active, True
        if here and self.active is not None and lasted >= BACK_TICKS:
            ended, self.active = replace(self.active, tick=tick), None  # until now
            return ended, False
        return None


class CaptureLossMonitor:
    """Watch whether what was captured once is captured still.

    Args:
        alert: called with an alert and whether it begins or has ended.
    """

    def __init__(self, alert: Callable[[Alert, bool], None]) -> None:
        """Watch the body."""
        self._alert = alert
        self._states = {BODY: _Presence()}

    def watch(self, signal: str) -> None:
        """Watch `FACE` or `VOICE` too."""
        self._states[signal] = _Presence()

    def ignore(self, signal: str) -> None:
        """Watch one signal no more: somebody else does."""
        self._states.pop(signal, None)

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """See one frame."""
        here = {BODY: bool(row["capture"])}
        if self._states.keys() - here.keys():
            samples = samples_of(row)
            here |= {FACE: samples.face is not None, VOICE: samples.sound is not None}
        for signal, state in self._states.items():
            change = state.step(signal, int(row["tick"]), here[signal])
            if change is not None:
                self._alert(*change)
