"""Watch a show with the charts: from each frame to their channels, from their alerts to whoever acts.

What is charted is the capture and what the model says of it, and not what was made of them. Nothing
here is in the show's way: it sees frames after they were sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike, NDArray

from greenroom.contracts import Alert, Detector
from greenroom.frames import Floats
from greenroom.monitoring.alerts import UNWATCHED

FAULT = "capture fault"
_EXPLAINED = ("new style", "model")
"""Causes that a fault of the capture explains; who speaks, and of what, it does not."""
_MOST_SAID = 200
"""Characters of an error that an alert repeats."""
_EVERY = 10
"""Ticks from one look at what has ended to the next."""
_AFTER = 150
"""Ticks for which a fault that has ended still explains what is told: five seconds."""


@dataclass(frozen=True)
class MonitoredChannel:
    """A chart, and what it is fed.

    Attributes:
        chart: fitted.
        read: makes a tick of a frame's row and the model's outputs.
        sense: that it rests on, "body" or "voice": while its capture is broken, what looks new in it is
            broken too.
        words: whether it reads what a model says: another model's words are not for it.
    """

    chart: Detector
    read: Callable[[NDArray[Any], Mapping[str, Floats]], ArrayLike]
    sense: str = "body"
    words: bool = False


class DriftMonitor:
    """Observe a show with charts; one alert of a signal at a time, told when it begins and ends.

    Args:
        channels: what is charted.
        on_alert: called with an alert and whether it begins (else it has ended).
        excused: tells whether a new style is wanted at a tick; see `MotionChart.update`.
    """

    def __init__(
        self,
        channels: Sequence[MonitoredChannel],
        on_alert: Callable[[Alert, bool], None],
        excused: Callable[[int], bool] = lambda tick: False,
    ) -> None:
        """Begin before the first frame."""
        self.on_alert, self.excused = on_alert, excused
        self._take(channels)
        self._new: Sequence[MonitoredChannel] | None = None
        self._failed: tuple[int, str] | None = None  # which renewal, and why
        self._noted: tuple[int, str] | None = None
        self._unwatched: Alert | None = None
        self._renewals = self._tick = 0
        self.active: dict[str, tuple[Alert, MonitoredChannel]] = {}
        self._faults: dict[str, int] = {}

    def _take(self, channels: Sequence[MonitoredChannel]) -> None:
        self.channels, self._alert_counts, self._frames = channels, [0] * len(channels), 0

    def renew(self, make: Callable[[], Sequence[MonitoredChannel]]) -> None:
        """Go on with other channels, once a thread has made them: another release is on stage.

        Until then nothing is charted of what it says. Where it is renewed again meanwhile, that counts.
        Where they cannot be made, the next frame tells an alert of the machine.
        """
        self._renewals += 1
        number = self._renewals
        self._new = None
        kept_indices = [i for i, channel in enumerate(self.channels) if not channel.words]
        self._end(self._tick, [channel for channel in self.channels if channel.words])
        self.channels = [self.channels[i] for i in kept_indices]
        self._alert_counts = [self._alert_counts[i] for i in kept_indices]

        def work() -> None:
            try:
                new = make()
            except Exception as error:  # whatever it is, the show goes on and somebody is told
                message = " ".join(str(error).split())[:_MOST_SAID] or type(error).__name__
                self._failed = (number, message)
                return
            if number == self._renewals:
                self._new = new

        threading.Thread(target=work, daemon=True).start()

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """See one frame."""
        tick = self._tick = int(row["tick"])
        new, self._new = self._new, None
        if new is not None:
            self._end(tick, self.channels)
            self._take(new)
        self._note_unwatched(tick, new is not None)
        for i, (channel, alert_count) in enumerate(
            zip(self.channels, self._alert_counts, strict=True)
        ):
            channel.chart.update(channel.read(row, outputs), excused=self.excused(tick))
            new_alerts = channel.chart.alerts[alert_count:]
            self._alert_counts[i] += len(new_alerts)
            for alert in new_alerts:
                self._begin(alert, channel, tick - self._frames)
        self._frames += 1
        if self._frames % _EVERY == 0:
            self._end(tick)

    def _note_unwatched(self, tick: int, charted: bool) -> None:
        """Tell when charts cannot be made, and when others are, or cannot be either."""
        failed = self._failed
        newly = failed is not None and failed != self._noted and failed[0] == self._renewals
        if self._unwatched is not None and (charted or newly):
            self.on_alert(replace(self._unwatched, tick=tick), False)
            self._unwatched = None
        if failed is not None and newly:
            self._noted = failed
            self._unwatched = Alert(
                UNWATCHED,
                "machine",
                where=(failed[1],),
                size=1.0,
                tick=tick,
                began=tick,
                began_low=tick,
                began_high=tick,
            )
            self.on_alert(self._unwatched, True)

    def _begin(self, alert: Alert, channel: MonitoredChannel, shift: int) -> None:
        """Tell of an alert, in the show's ticks: a chart counts those that it was given.

        What is told while another chart's fault goes on is that fault's: nothing is learned from it.
        """
        ticks = (alert.tick, alert.began, alert.began_low, alert.began_high)
        names = ("tick", "began", "began_low", "began_high")
        shifted_ticks = {
            name: max(0, position + shift) for name, position in zip(names, ticks, strict=True)
        }
        alert = replace(alert, **shifted_ticks)  # type: ignore[arg-type]  # ticks are whole numbers
        self._note_faults(alert.tick)
        if (
            alert.cause in _EXPLAINED
            and alert.tick - self._faults.get(channel.sense, -_AFTER) < _AFTER
        ):
            alert = replace(alert, cause=FAULT)
        self.active[alert.signal] = (alert, channel)
        self.on_alert(alert, True)

    def _note_faults(self, tick: int) -> None:
        for alert, channel in self.active.values():
            if alert.cause == FAULT:
                self._faults[channel.sense] = tick

    def _end(self, tick: int, removed: Sequence[MonitoredChannel] = ()) -> None:
        self._note_faults(tick)
        for signal, (alert, channel) in list(self.active.items()):
            if channel in removed or not channel.chart.lasts(signal):
                del self.active[signal]
                self.on_alert(replace(alert, tick=tick), False)
