from hypothesis import given
from hypothesis import strategies as st

from greenroom.clock import (
    NS_PER_S,
    PERIOD_NS,
    TICK_HZ,
    Pacer,
    Timecode,
    VirtualClock,
    tick_at,
    tick_ns,
)

ticks = st.integers(0, 10**9)


@given(ticks)
def test_a_tick_comes_back_from_its_time(tick):
    assert tick_at(tick_ns(tick)) == tick
    assert tick_at(tick_ns(tick + 1) - 1) == tick
    assert tick_ns(tick + 1) - tick_ns(tick) in (PERIOD_NS, PERIOD_NS + 1)


@given(st.integers(0, 10**18))
def test_the_tick_at_a_time_is_the_last_that_was_due(ns):
    assert tick_ns(tick_at(ns)) <= ns < tick_ns(tick_at(ns) + 1)


@given(st.integers(0, 10**6))
def test_time_does_not_drift(seconds):
    assert tick_ns(seconds * TICK_HZ) == seconds * NS_PER_S


@given(st.lists(st.integers(0, 10**8), max_size=30))
def test_the_pacer_is_late_by_what_the_step_overran(costs):
    clock = VirtualClock(now_ns=5)
    pacer = Pacer(clock, start_ns=5)
    for tick, cost in enumerate(costs):
        late = pacer.wait(tick)
        assert clock.now_ns() == pacer.due_ns(tick) + late and late >= 0
        clock.advance(cost)


@given(st.integers(0, 2 * 10**18), st.integers(0, 10**7))
def test_timecode_grows_by_one_frame_a_tick_and_has_its_starts_second(started, tick):
    code = Timecode(started, tick)
    assert (code.frame(1) - code.frame()) % (24 * 3600 * TICK_HZ) == 1
    assert code.text(5) == Timecode(started, tick + 5).text()
    hours, minutes, seconds, frame = map(int, Timecode(started).text().split(":"))
    assert hours * 3600 + minutes * 60 + seconds == started // NS_PER_S % 86_400
    assert frame == started % NS_PER_S * TICK_HZ // NS_PER_S


def test_a_stretch_after_midnight_has_the_next_day():
    code = Timecode(86_399 * NS_PER_S, 29)
    assert (code.text(), code.text(1), code.day.isoformat()) == (
        "23:59:59:29",
        "00:00:00:00",
        "1970-01-01",
    )
    assert Timecode(86_399 * NS_PER_S, 30).day.isoformat() == "1970-01-02"
