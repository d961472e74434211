"""Raise an alert when capture is lost, so that somebody looks at the camera while the show goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from greenroom.contracts import Alert

SIGNAL = "capture"
LOST_TICKS, BACK_TICKS = 6, 15
"""Ticks without capture before the alert, and with capture before it ends."""


class CaptureLossMonitor:
    """Watch whether anything is captured.

    Args:
        alert: called with an alert and whether it begins or has ended.
    """

    def __init__(self, alert: Callable[[Alert, bool], None]) -> None:
        """Wait for the first capture: what was never there cannot be lost."""
        self._alert = alert
        self._seen = False
        self._active: Alert | None = None
        self._since = -1  # the first tick of the present run without capture, or with it again
        self._captured = True

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """See one frame."""
        tick, captured = int(row["tick"]), bool(row["capture"])
        self._seen |= captured
        if captured != self._captured or self._since < 0:
            self._captured, self._since = captured, tick
        lasted = tick - self._since + 1
        if not captured and self._seen and self._active is None and lasted >= LOST_TICKS:
            began = self._since
            self._active = Alert(
                SIGNAL,
                "capture fault",
                (),
                1.0,
                tick=tick,
                began=began,
                began_low=began,
                began_high=began,
            )
            self._alert(self._active, True)
        elif captured and self._active is not None and lasted >= BACK_TICKS:
            self._alert(replace(self._active, tick=tick), False)  # until now
            self._active = None
