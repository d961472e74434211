"""Own time in one place, so that the live loop is paced exactly and tests never sleep.

Convention: a tick is an integer at 30 Hz; nanoseconds appear only here and at the edges. Tick ``k``
of a show that started at ``t0`` is due at ``t0 + k * 10**9 // 30``: computed from ``k``, never
accumulated, so it cannot drift.
"""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Protocol

TICK_HZ = 30
NS_PER_S = 1_000_000_000
PERIOD_NS = NS_PER_S // TICK_HZ


def utc_day(utc_ns: int) -> datetime.date:
    """Return the UTC day of a time in nanoseconds since 1970.

    >>> utc_day(86_400 * NS_PER_S - 1), utc_day(86_400 * NS_PER_S)
    (datetime.date(1970, 1, 1), datetime.date(1970, 1, 2))
    """
    return datetime.datetime.fromtimestamp(utc_ns // NS_PER_S, datetime.UTC).date()


def tick_ns(tick: int) -> int:
    """Return when `tick` is due, in nanoseconds after tick 0.

    >>> tick_ns(0), tick_ns(1), tick_ns(30)
    (0, 33333333, 1000000000)
    """
    return tick * NS_PER_S // TICK_HZ


def tick_at(ns: int) -> int:
    """Return the last tick that was due `ns` nanoseconds after tick 0 (floor).

    >>> tick_at(0), tick_at(33_333_332), tick_at(33_333_333), tick_at(tick_ns(12345))
    (0, 0, 1, 12345)
    """
    return ((ns + 1) * TICK_HZ - 1) // NS_PER_S


@dataclass(frozen=True)
class Timecode:
    """SMPTE timecode of a stretch of ticks: 30 frames a second, non-drop, of the UTC day.

    The tick at which a show starts has the frame in which its start falls; each tick after it has the
    next one, and midnight begins again at nought.

    Attributes:
        started_utc_ns: when tick 0 was, nanoseconds since 1970-01-01 UTC.
        first: the stretch's first tick.

    >>> code = Timecode(NS_PER_S * 3600 + 40_000_000, first=30)
    >>> code.text(), code.text(29), code.frame(), code.day
    ('01:00:01:01', '01:00:02:00', 108031, datetime.date(1970, 1, 1))
    """

    started_utc_ns: int
    first: int = 0

    def _frames(self, tick: int) -> int:
        return self.started_utc_ns * TICK_HZ // NS_PER_S + self.first + tick

    def frame(self, tick: int = 0) -> int:
        """Return the frame of the day of a tick, counted from the stretch's first one."""
        return self._frames(tick) % (24 * 3600 * TICK_HZ)

    def text(self, tick: int = 0) -> str:
        """Return HH:MM:SS:FF of a tick, counted from the stretch's first one."""
        seconds, frame = divmod(self.frame(tick), TICK_HZ)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{frame:02}"

    @property
    def day(self) -> datetime.date:
        """The UTC day of the stretch's first tick."""
        return utc_day(self._frames(0) * NS_PER_S // TICK_HZ + 1)


class Clock(Protocol):
    """What the loop may ask of time."""

    def now_ns(self) -> int:
        """Return monotonic nanoseconds."""

    def utc_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC; for records only, never for pacing."""

    def sleep_until(self, ns: int) -> None:
        """Return at, or as soon as possible after, monotonic `ns`."""


class WallClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return monotonic nanoseconds."""
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        """Return UTC nanoseconds."""
        return time.time_ns()

    def sleep_until(self, ns: int) -> None:
        """Sleep to the absolute time `ns`."""
        while (left := ns - time.monotonic_ns()) > 0:
            time.sleep(left / NS_PER_S)


class VirtualClock:
    """A clock that moves only when told to: its sleep advances now.

    >>> clock = VirtualClock()
    >>> clock.sleep_until(5); clock.sleep_until(3); clock.advance(2); clock.now_ns()
    7
    """

    def __init__(self, now_ns: int = 0, utc_ns: int = 0) -> None:
        """Start at `now_ns` (monotonic) and `utc_ns` (UTC)."""
        self._now = now_ns
        self._offset = utc_ns - now_ns

    def now_ns(self) -> int:
        """Return the virtual monotonic time."""
        return self._now

    def utc_ns(self) -> int:
        """Return the virtual UTC time."""
        return self._now + self._offset

    def advance(self, ns: int) -> None:
        """Let `ns` nanoseconds pass, as a slow step or a stall would."""
        self._now += ns

    def sleep_until(self, ns: int) -> None:
        """Move to `ns`, never back."""
        self._now = max(self._now, ns)


class Pacer:
    """Give each tick its absolute due time and wait for it.

    Args:
        clock: whose time it is.
        start_ns: when tick 0 is due, monotonic nanoseconds.
    """

    def __init__(self, clock: Clock, start_ns: int) -> None:
        """Keep the clock and the start."""
        self.clock = clock
        self.start_ns = start_ns

    def due_ns(self, tick: int) -> int:
        """Return when `tick` is due, monotonic nanoseconds."""
        return self.start_ns + tick_ns(tick)

    def wait(self, tick: int) -> int:
        """Sleep until `tick` is due; return how late we are, in ns (0 when on time).

        >>> pacer = Pacer(VirtualClock(), start_ns=0)
        >>> pacer.wait(3), pacer.clock.now_ns()
        (0, 100000000)
        """
        due = self.due_ns(tick)
        self.clock.sleep_until(due)
        return max(0, self.clock.now_ns() - due)
