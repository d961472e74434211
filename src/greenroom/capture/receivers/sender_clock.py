"""Estimate a sender's clock against ours from arrival times: offset, skew, jumps and restarts.

A datagram arrives no earlier than it was sent, so that the least of arrival less sender time over a
window is the offset and the quickest way; jitter only adds to it. A line through the windows' minima is
the skew. Source: the minimum-delay filter of NTP (RFC 5905, section 10), with a linear fit over it.
"""

from __future__ import annotations

from collections import deque

from greenroom.clock import NS_PER_S

WINDOW_S = 2.0
"""Length of a window of which the quickest datagram counts."""
WINDOWS = 60
"""Windows in the fit: two minutes."""
FIT_WINDOWS = 5
"""Windows from which on the skew is fitted; before, it counts as none."""
RESTART_BACK_S = 0.5
"""A clock that goes back by more was set, or its sender began anew."""
JUMP_S = 0.25
"""A datagram that is earlier than possible by more shows a clock that jumped."""
STEP_S = 0.01
"""A window that is off the line by more is no jitter: the clock or the way has changed."""
_STEP_WINDOWS = 5
_MOST_SKEW = 0.02
_LEAST_REJECTED_S = 0.001


class SenderClock:
    """Place a sender's times on our clock.

    After the first window the estimate moves by at most `slew` of the time that passes, so that what is
    placed stays in order. A datagram is placed no later than it arrived. Memory is constant, and equal
    pairs give equal places.

    Args:
        slew: share of the passing time by which the estimate may move, in (0, 1).

    >>> clock = SenderClock()
    >>> [clock.observe(1_000_000_000 + ms * 1_000_000, sent) for ms, sent in ((5, 7.0), (25, 7.02))]
    [1005000000, 1025000000]
    >>> clock.observe(1_065_000_000, 7.04)  # 20 ms late: it is placed where it was due
    1045000000
    """

    def __init__(self, slew: float = 0.1) -> None:
        """Begin with nothing."""
        self.slew = slew
        self.restarts = 0
        """How often the sender's clock jumped, or its sender began anew."""
        self._origin_ns = 0
        self._origin_s = self._applied = self._last_x = 0.0
        self._minima: deque[tuple[float, float]] = deque(maxlen=WINDOWS)
        self._window: tuple[float, float] | None = None
        self._window_x = self._slope = self._base = 0.0
        self._is_fitted = False
        self._steps = 0

    @property
    def is_known(self) -> bool:
        """Whether any time was observed."""
        return self._window is not None

    @property
    def skew_ppm(self) -> float | None:
        """How much faster than ours the sender's clock runs, in millionths; None where not yet known."""
        return -self._slope * 1e6 if self._is_fitted else None

    def restart(self) -> None:
        """Forget what was estimated: the next time observed is placed at its arrival."""
        self._window = None

    def observe(self, arrival_ns: int, sent_s: float) -> int:
        """Take a pair of times, and return where `sent_s` lies on our clock.

        Args:
            arrival_ns: of our clock; not earlier than the one before.
            sent_s: of the sender's clock, seconds, finite.

        Returns:
            nanoseconds of our clock, at most `arrival_ns`.
        """
        x = sent_s - self._origin_s
        y = (arrival_ns - self._origin_ns) / NS_PER_S - x
        if self._window is None or self._has_jumped(x, y):
            self._begin(arrival_ns, sent_s)
            return arrival_ns
        if x >= self._window_x + WINDOW_S:
            self._close_window()
            self._window, self._window_x = (x, y), x
        elif y < self._window[1]:
            self._window = (x, y)
        self._move(x)
        return min(arrival_ns, self.local_ns(sent_s))

    def local_ns(self, sent_s: float) -> int:
        """Return where a time of the sender's lies on our clock."""
        x = sent_s - self._origin_s
        ahead = self._slope * (x - self._last_x)
        return self._origin_ns + round((x + self._applied + ahead) * NS_PER_S)

    def sender_s(self, local_ns: int) -> float:
        """Return the sender's time, seconds, at a time of our clock."""
        z = (local_ns - self._origin_ns) / NS_PER_S
        x = (z - self._applied + self._slope * self._last_x) / (1 + self._slope)
        return x + self._origin_s

    def _begin(self, arrival_ns: int, sent_s: float) -> None:
        self.restarts += self._origin_ns != 0 or self._origin_s != 0
        self._origin_ns, self._origin_s = arrival_ns, sent_s
        self._applied = self._last_x = self._window_x = self._slope = self._base = 0.0
        self._minima.clear()
        self._window = (0.0, 0.0)
        self._is_fitted, self._steps = False, 0

    def _has_jumped(self, x: float, y: float) -> bool:
        return x < self._last_x - RESTART_BACK_S or y < self._line(x) - JUMP_S

    def _line(self, x: float) -> float:
        return self._base + self._slope * x

    def _close_window(self) -> None:
        """Take the window's quickest datagram into the fit, unless it shows that something changed."""
        assert self._window is not None
        off = self._window[1] - self._line(self._window[0])
        if self._is_fitted and off > STEP_S and self._steps < _STEP_WINDOWS and off <= JUMP_S:
            self._steps += 1
            return  # a busy network, as long as it does not last
        if abs(off) > STEP_S and (self._is_fitted or off > JUMP_S):
            self._minima.clear()
            self._is_fitted, self._slope = False, 0.0
        self._steps = 0
        self._minima.append(self._window)
        if len(self._minima) >= FIT_WINDOWS:
            self._fit()

    def _fit(self) -> None:
        """Fit a line over the minima, twice: the second time without those far above the first one."""
        points = list(self._minima)
        slope, base = _least_squares(points)
        offs = [y - base - slope * x for x, y in points]
        limit = max(_LEAST_REJECTED_S, 3 * sorted(map(abs, offs))[len(offs) // 2])
        near = [point for point, off in zip(points, offs, strict=True) if off <= limit]
        if len(near) >= FIT_WINDOWS:
            slope, base = _least_squares(near)
        self._is_fitted = abs(slope) <= _MOST_SKEW
        self._slope, self._base = (slope, base) if self._is_fitted else (0.0, 0.0)

    def _move(self, x: float) -> None:
        """Bring the applied offset towards the estimate, by `slew` of the time that passed at most."""
        assert self._window is not None
        passed = min(1.0, max(0.0, x - self._last_x))
        if not self._is_fitted:
            self._base = min([self._window[1], *(y for _, y in self._minima)])
        if not self._minima:  # the first window: nothing better is known
            self._applied = self._base
        self._applied += self._slope * max(0.0, x - self._last_x)
        off = self._line(max(x, self._last_x)) - self._applied
        self._applied += min(self.slew * passed, max(-self.slew * passed, off))
        self._last_x = max(self._last_x, x)


def _least_squares(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return slope and value at 0 of the line through points (x, y)."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread > 0 else 0.0
    return slope, mean_y - slope * mean_x
