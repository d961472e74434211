"""At a hand-over there is one writer, whatever stalls."""

from pathlib import Path

from greenroom.clock import PERIOD_NS, VirtualClock, tick_ns
from greenroom.live.engine import Engine
from greenroom.live.performer import Performer
from greenroom.live.ring import Ring
from tests.live.stand_in import SHAPE, KeptSink, role

from .test_engine import NEVER, SlowModel, Sways


def test_a_model_that_stalls_at_the_hand_over_writes_nothing_more(tmp_path: Path) -> None:
    ring, clock, sink = Ring(tmp_path / "ring", SHAPE, create=True), VirtualClock(), KeptSink()
    performer = Performer(role(), SlowModel(clock, {29: 3 * PERIOD_NS}), 0)
    engine = Engine(performer, Sways(), [sink], ring, clock)

    def told() -> bool:
        engine.until = min(engine.until, 30)
        return False

    engine.run(0, 0, 60, told)
    assert [int(row["tick"]) for row in ring.read(0)[0]] == list(range(29))
    assert [frame.tick for frame in sink.frames] == list(range(29))
    assert clock.now_ns() >= tick_ns(30)


def test_an_engine_leaves_at_the_tick_that_it_was_told(tmp_path: Path) -> None:
    ring, clock, sink = Ring(tmp_path / "ring", SHAPE, create=True), VirtualClock(), KeptSink()
    engine = Engine(Performer(role(), SlowModel(clock, {}), 0), Sways(), [sink], ring, clock)

    def told() -> bool:
        engine.until = min(engine.until, 30)
        return False

    assert engine.run(0, 0, 60, told) == 30
    second = Engine(
        Performer(role(), SlowModel(clock, {}), 0), Sways(30), [sink], ring, clock, (1, 0)
    )
    assert second.run(0, 30, 60, NEVER) == 30
    rows = ring.read(0)[0]
    assert [int(row["tick"]) for row in rows] == list(range(60))
    assert [int(row["release"]) for row in rows] == [0] * 30 + [1] * 30
    assert [int(row["followed"]) for row in rows if row["followed"] >= 0] == [30]
