"""A sender's clock against ours, in simulated sessions; every one has a seed."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.receivers.sender_clock import SenderClock
from greenroom.clock import NS_PER_S, PERIOD_NS, tick_ns

HOUR_NS = 3600 * NS_PER_S


def session(
    seed: int, seconds: float, rate: float, ppm: float, jitter_ms: float = 4.0
) -> Iterator[tuple[int, int, float]]:
    """(true send time, arrival, sender's time) of datagrams over a way of 2 ms and more, in order."""
    rng = np.random.default_rng(seed)
    count = int(seconds * rate)
    true = np.arange(count) / rate
    arrivals = np.maximum.accumulate(true + 0.002 + rng.exponential(jitter_ms / 1e3, count))
    sent = 5000 + true * (1 + ppm / 1e6)
    for row in zip(true, arrivals, sent, strict=True):
        yield round(row[0] * 1e9), round(row[1] * 1e9), float(row[2])


@pytest.mark.parametrize("ppm", [-50.0, 50.0])
def test_four_hours_of_skew_stay_within_two_milliseconds(ppm: float) -> None:
    clock, worst = SenderClock(), 0
    for true_ns, arrival_ns, sent_s in session(0, 4 * 3600, 30, ppm):
        placed_ns = clock.observe(arrival_ns, sent_s)
        if true_ns > 60 * NS_PER_S:
            worst = max(worst, abs(placed_ns - true_ns - 2_000_000))
    assert worst < 2_000_000, worst
    assert clock.skew_ppm == pytest.approx(ppm, abs=5) and clock.restarts == 0


def test_arrivals_that_are_seen_at_ticks_alone_stay_within_one_frame() -> None:
    """Without the kernel's stamps a datagram arrives when the next tick looks for it."""
    clock, worst = SenderClock(), 0
    for true_ns, arrival_ns, sent_s in session(3, 4 * 3600, 30, 50, jitter_ms=0.5):
        tick = -(-arrival_ns * 30 // NS_PER_S)
        worst = max(worst, abs(clock.observe(tick_ns(tick), sent_s) - true_ns))
    assert worst <= PERIOD_NS + 12_000_000, worst


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 0.1, -0.3])
def test_a_clock_that_jumps_is_followed(jump_s: float) -> None:
    clock, worst = SenderClock(), 0
    for true_ns, arrival_ns, sent_s in session(4, 120, 60, 20):
        jumped = sent_s + (jump_s if true_ns > 60 * NS_PER_S else 0.0)
        placed_ns = clock.observe(arrival_ns, jumped)
        assert placed_ns <= arrival_ns
        if true_ns > 75 * NS_PER_S:
            worst = max(worst, abs(placed_ns - true_ns - 2_000_000))
    assert worst < 4_000_000, worst


def test_a_sender_that_begins_anew_is_placed_at_its_arrival_at_once() -> None:
    clock = SenderClock()
    for _, arrival_ns, sent_s in session(5, 30, 60, 0):
        clock.observe(arrival_ns, sent_s)
    assert clock.observe(31 * NS_PER_S, 0.0) == 31 * NS_PER_S and clock.restarts == 1


def test_five_seconds_of_a_busy_network_move_nothing() -> None:
    clock, worst = SenderClock(), 0
    for true_ns, arrival_ns, sent_s in session(6, 120, 60, 50):
        busy = 60 * NS_PER_S < true_ns < 65 * NS_PER_S
        placed_ns = clock.observe(arrival_ns + (80_000_000 if busy else 0), sent_s)
        if true_ns > 60 * NS_PER_S:
            worst = max(worst, abs(placed_ns - true_ns - 2_000_000))
    assert worst < 3_000_000, worst


def test_a_lasting_change_of_the_way_is_followed() -> None:
    clock, last = SenderClock(), 0
    for true_ns, arrival_ns, sent_s in session(7, 180, 60, 0):
        slower = true_ns > 60 * NS_PER_S
        last = clock.observe(arrival_ns + (60_000_000 if slower else 0), sent_s) - true_ns
    assert abs(last - 62_000_000) < 4_000_000


def test_the_senders_time_is_the_inverse() -> None:
    clock = SenderClock()
    for _, arrival_ns, sent_s in session(8, 120, 60, -300):
        clock.observe(arrival_ns, sent_s)
    for sent_s in (5000.0, 5119.0, 5120.0):
        assert clock.sender_s(clock.local_ns(sent_s)) == pytest.approx(sent_s, abs=1e-6)


def test_an_observation_is_quick() -> None:
    clock = SenderClock()
    pairs = [(arrival_ns, sent_s) for _, arrival_ns, sent_s in session(9, 120, 240, 0)]
    start = time.process_time()
    for arrival_ns, sent_s in pairs:
        clock.observe(arrival_ns, sent_s)
    assert (time.process_time() - start) / len(pairs) < 50e-6


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2 * NS_PER_S),
            st.one_of(st.floats(-1e9, 1e9), st.floats(-0.2, 2.0)),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_whatever_a_clock_says_nothing_is_placed_after_its_arrival(
    steps: list[tuple[int, float, bool]],
) -> None:
    places = []
    for _ in range(2):
        clock, arrival_ns, sent_s, placed = SenderClock(), 0, 0.0, []
        for wait_ns, seconds, is_jump in steps:
            arrival_ns += wait_ns
            sent_s = seconds if is_jump else sent_s + wait_ns / 1e9
            placed.append(clock.observe(arrival_ns, sent_s))
            assert placed[-1] <= arrival_ns
        assert len(clock._minima) <= 60
        places.append(placed)
    assert places[0] == places[1]
