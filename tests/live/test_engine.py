"""The loop on the virtual clock: due times, lateness, what a stall does, and taking over."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from greenroom.clock import PERIOD_NS, VirtualClock, tick_ns
from greenroom.contracts import Packet
from greenroom.frames import Floats
from greenroom.live.engine import REHEARSALS_NS, Engine
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.performer import Performer
from greenroom.live.replay import Replayer
from greenroom.live.ring import Ring, frame_of, get_packets, rung_of
from tests import examples
from tests.live.stand_in import SHAPE, FakeModel, KeptSink, body_packet, role, sound_packet

NEVER = bool  # bool() is False


class Sways:
    """A receiver whose body and sound are there at their tick."""

    def __init__(self, first: int = 0) -> None:
        self.next = first

    def poll(self, now_ns: int) -> list[Packet]:
        out = []
        while tick_ns(self.next) <= now_ns:
            out += [Packet(now_ns, body_packet(self.next)), Packet(now_ns, sound_packet(self.next))]
            self.next += 1
        return out

    def close(self) -> None:
        pass


class SlowModel(FakeModel):
    """Takes a millisecond, and at some ticks as long as is said."""

    def __init__(self, clock: VirtualClock, slow: dict[int, int]) -> None:
        super().__init__()
        self.clock, self.slow = clock, slow

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        self.clock.advance(self.slow.get(self.asked, 1_000_000))
        return super().run(inputs)


def make(ring: Ring, slow: dict[int, int], first: int = 0) -> tuple[Engine, KeptSink]:
    clock, sink = VirtualClock(tick_ns(first)), KeptSink()
    performer = Performer(role(), SlowModel(clock, slow), 0)
    return Engine(performer, Sways(first), [sink], ring, clock), sink


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path / "ring", SHAPE, create=True)


def test_each_tick_is_performed_when_it_is_due(ring: Ring) -> None:
    engine, sink = make(ring, {})
    assert engine.run(0, 0, 60, NEVER) == 60
    rows, _, lost = ring.read(0)
    assert lost == 0 and [int(row["tick"]) for row in rows] == list(range(60))
    for tick, row in enumerate(rows):
        assert int(row["due"]) == tick_ns(tick)
        assert int(row["emit"]) == tick_ns(tick) + 1_000_000
        assert rung_of(row) == "capture" and len(list(get_packets(row))) == 2
    assert [frame.tick for frame in sink.frames] == list(range(60))


def test_after_a_stall_the_missed_ticks_are_late_and_held_and_then_it_is_on_time(
    ring: Ring,
) -> None:
    engine, _ = make(ring, {20: 4 * PERIOD_NS})
    engine.run(0, 0, 60, NEVER)
    rows, _, _ = ring.read(0)
    rungs = [rung_of(row) for row in rows]
    assert len(rows) == 60  # no tick is skipped
    late = [tick for tick, row in enumerate(rows) if row["late"]]
    assert late == [21, 22] and {rungs[tick] for tick in late} == {"hold"}
    # Tick 23 begins less than a period late: it is performed, but its packets came with tick 21's.
    assert rungs[23:] == ["speech"] + ["capture"] * 36
    assert all(int(row["emit"]) - int(row["due"]) < PERIOD_NS for row in rows[24:])


def test_it_ends_when_told(ring: Ring) -> None:
    engine, sink = make(ring, {})
    assert engine.run(0, 0, 600, lambda: len(sink.frames) > 40) == 41
    assert len(sink.frames) == 41


def test_a_second_engine_goes_on_where_the_first_was_lost(ring: Ring) -> None:
    first, before = make(ring, {})
    first.run(0, 0, 30, NEVER)
    second, after = make(ring, {}, first=40)
    assert second.run(0, 40, 60, NEVER) == 20
    rows, _, lost = ring.read(0)
    assert lost == 0 and [int(row["tick"]) for row in rows] == [*range(30), *range(40, 60)]
    assert [frame.tick for frame in after.frames] == list(range(40, 60))
    # Eased from the last frame of the first engine: nothing moves further than in one lost second.
    jump = np.abs(frame_of(rows[30]).rotations - before.frames[-1].rotations).max()
    assert jump < 0.05


def test_a_tick_is_rehearsed_before_it_is_due_and_nobody_notices(ring: Ring) -> None:
    engine, sink = make(ring, {20: 4 * PERIOD_NS})
    engine.run(0, 0, 60, NEVER)
    plain, unrehearsed = make(ring, {20: 4 * PERIOD_NS})
    plain.rehearse = lambda tick, due_ns: None  # type: ignore[method-assign]
    plain.run(0, 0, 60, NEVER)
    # Tick 0 is due at once, and 21 to 24 follow a stall: there is no time to rehearse.
    times = len(REHEARSALS_NS)
    rehearsed = [tick for tick in range(1, 60) if not 21 <= tick <= 24]
    assert sink.rehearsed == [tick for tick in rehearsed for _ in range(times)]
    for one, other in zip(sink.frames, unrehearsed.frames, strict=True):
        assert one.tick == other.tick and one.rotations.tobytes() == other.rotations.tobytes()


def test_a_slow_rehearsal_is_remembered_and_comes_late_seldom(ring: Ring) -> None:
    engine, sink = make(ring, {})
    clock = cast(VirtualClock, engine.clock)

    def slowly(frame: Any) -> None:
        sink.rehearsed.append(frame.tick)
        clock.advance(2_800_000)

    sink.rehearse = slowly  # type: ignore[method-assign]
    engine.run(0, 0, 61, NEVER)
    begun = [int(row["emit"]) - int(row["due"]) > 1_000_000 for row in ring.read(0)[0]]
    assert len(sink.rehearsed) == sum(begun) and 1 <= sum(begun) <= 61 // 8


class CutShort(Sways):
    """Loses the body at tick 22."""

    def poll(self, now_ns: int) -> list[Packet]:
        lost = {body_packet(tick) for tick in range(22, 60)}
        return [packet for packet in super().poll(now_ns) if packet.data not in lost]


def test_a_stall_across_the_loss_of_capture_replays(ring: Ring) -> None:
    engine, _ = make(ring, {20: 9 * PERIOD_NS})
    engine.receiver = CutShort()
    engine.run(0, 0, 60, NEVER)
    part = LoadedModel(role(), FakeModel())
    again = Replayer(lambda index: part, examples.show("0" * 64))
    for row in ring.read(0)[0]:
        assert again.step(row)[1:] == ([], []), int(row["tick"])
