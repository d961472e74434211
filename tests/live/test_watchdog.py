"""The watchdog on the virtual clock: patience, one writer, back to rest, handing over."""

from pathlib import Path

import numpy as np
import pytest

from greenroom.clock import Pacer, VirtualClock, tick_ns
from greenroom.live.engine import Engine
from greenroom.live.fallback import rest_pose
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.performer import Performer
from greenroom.live.replay import Replayer
from greenroom.live.ring import Ring, rung_of
from greenroom.live.watchdog import ENGINE_LOST, FIRST_PATIENCE, PATIENCE, Watchdog
from greenroom.rotations import angle_between
from tests import examples
from tests.live.stand_in import SHAPE, FakeModel, KeptSink, role

from .test_engine import Sways


class Stage:
    """An engine and a watchdog that take turns, tick after tick, on one clock."""

    def __init__(self, path: Path) -> None:
        self.ring = Ring(path / "ring", SHAPE, create=True)
        self.clock, self.sink = VirtualClock(), KeptSink()
        self.killed: list[int] = []
        self.tick = 0
        own = Ring(path / "ring", SHAPE)  # each process maps the file for itself
        self.dog = Watchdog(role(), own, [self.sink], self.clock, self._kill)
        self.engine: Engine | None = self.new_engine()

    def new_engine(self) -> Engine:
        ring = Ring(self.ring.path, SHAPE)
        performer = Performer(role(), FakeModel(), 0)
        return Engine(performer, Sways(self.tick), [self.sink], ring, self.clock)

    def _kill(self) -> None:
        self.killed.append(self.tick)
        self.engine = None

    def play(self, ticks: int, alive: bool = True) -> None:
        for _ in range(ticks):
            self.clock.sleep_until(tick_ns(self.tick))
            if alive and self.engine is not None:
                self.engine.tick(self.tick, late=False)
            self.clock.sleep_until(tick_ns(self.tick) + 16_000_000)
            self.dog.tick(self.tick)
            self.tick += 1

    def hand_over(self, ahead: int) -> None:
        """Say that a new engine performs from some ticks ahead on, and play up to there."""
        self.dog.until = self.tick + ahead
        self.play(ahead)
        self.engine = self.new_engine()
        self.engine._follow(self.tick, Pacer(self.clock, 0))
        self.engine._take_over()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def rows_of(stage: Stage) -> list[tuple[int, str, bytes]]:
    rows, _, _ = stage.ring.read(0)
    return [(int(r["tick"]), rung_of(r), bytes(r["reason"])) for r in rows]


def test_it_leaves_a_living_engine_alone(stage: Stage) -> None:
    stage.play(2000)  # more than once round the ring
    assert stage.killed == [] and len(stage.sink.frames) == 2000


def test_it_waits_longer_for_the_first_frame_and_then_stands_at_rest(stage: Stage) -> None:
    stage.play(FIRST_PATIENCE - 1, alive=False)
    assert stage.killed == [] and stage.sink.frames == []
    stage.play(30, alive=False)
    assert len(stage.killed) == 1 and len(stage.sink.frames) == 30
    turns = np.stack([frame.rotations for frame in stage.sink.frames])
    assert angle_between(turns, rest_pose(role())).max() < 0.1
    stage.hand_over(ahead=5)
    stage.play(30)
    assert [rung for _, rung, _ in rows_of(stage)][-30:] == ["capture"] * 30


@pytest.mark.parametrize("before", [1, 2, 30, 1800, 1900])
def test_a_silent_engine_is_killed_and_the_performer_led_back_to_rest(
    stage: Stage, before: int
) -> None:
    stage.play(before)
    stage.play(PATIENCE - 1, alive=False)
    assert stage.killed == []
    stage.play(300, alive=False)
    assert stage.killed == [before + PATIENCE - 1]
    ticks = [frame.tick for frame in stage.sink.frames]
    assert ticks == [*range(before), *range(before + PATIENCE - 1, before + PATIENCE + 299)]
    turns = np.stack([f.rotations for f in stage.sink.frames[before - 1 :]])
    assert angle_between(turns[1:], turns[:-1]).max() < 3
    assert angle_between(turns[-1, 1:], stage.dog.standby.rest[1:]).max() < 1  # type: ignore[union-attr]
    kept = rows_of(stage)[-300:]
    assert {(rung, reason) for _, rung, reason in kept} == {("hold", ENGINE_LOST.encode())}


def test_a_short_silence_is_forgiven(stage: Stage) -> None:
    for _ in range(20):
        stage.play(5)
        stage.play(PATIENCE - 1, alive=False)
    assert stage.killed == []


def test_a_new_engine_takes_over_at_the_tick_that_was_told(stage: Stage) -> None:
    stage.play(30)
    stage.play(60, alive=False)
    stage.hand_over(ahead=5)
    stage.play(30)
    ticks = [tick for tick, _, _ in rows_of(stage)]
    assert ticks == [*range(30), *range(30 + PATIENCE - 1, 125)]
    assert [f.tick for f in stage.sink.frames] == ticks
    rungs = [rung for _, rung, _ in rows_of(stage)][-31:]
    assert rungs == ["hold"] + ["capture"] * 30
    turns = np.stack([f.rotations for f in stage.sink.frames])
    assert angle_between(turns[1:], turns[:-1]).max() < 6  # nobody jumps


def test_a_new_engine_that_never_comes_is_given_up_too(stage: Stage) -> None:
    stage.play(30)
    stage.play(60, alive=False)
    stage.dog.until = stage.tick + 5
    stage.play(5 + PATIENCE + 10, alive=False)
    assert len(stage.killed) == 2
    assert rows_of(stage)[-1][0] == stage.tick - 1


def differing(stage: Stage) -> list[tuple[int, list[str], list[str]]]:
    """Perform what the ring has again; return (tick, inputs, outputs) that differ."""
    part = LoadedModel(role(), FakeModel())
    again = Replayer(lambda index: part, examples.show("0" * 64))
    steps = [(int(row["tick"]), *again.step(row)[1:]) for row in stage.ring.read(0)[0]]
    return [step for step in steps if step[1] or step[2]]


def test_a_replay_begins_anew_where_the_watchdog_did(stage: Stage) -> None:
    stage.play(30)
    stage.play(20, alive=False)
    stage.dog.until = stage.tick + 5
    stage.play(5 + PATIENCE + 20, alive=False)  # the new engine never performs
    assert differing(stage) == []


def test_a_watchdog_that_replaces_another_replays_too(stage: Stage) -> None:
    stage.play(30)
    stage.play(30, alive=False)
    own = Ring(stage.ring.path, SHAPE)
    stage.dog = Watchdog(role(), own, [stage.sink], stage.clock, lambda: None)
    stage.play(30, alive=False)
    assert differing(stage) == []


def test_a_watchdog_that_wakes_too_late_leaves_the_tick_to_the_new_engine(stage: Stage) -> None:
    stage.play(30)
    stage.play(30, alive=False)
    stage.dog.until = stage.tick + 1
    stage.clock.sleep_until(tick_ns(stage.tick + 1) + 1_000_000)
    stage.dog.tick(stage.tick)
    assert stage.sink.frames[-1].tick == stage.tick - 1


def test_an_engine_lost_twice_is_replaced_twice(stage: Stage) -> None:
    for _ in range(3):
        stage.play(40)
        stage.play(40, alive=False)
        stage.hand_over(ahead=5)
    assert len(stage.killed) == 3
    ticks = [tick for tick, _, _ in rows_of(stage)]
    assert ticks == sorted(set(ticks))
    assert differing(stage) == []


def test_until_the_new_engine_performs_the_old_one_is_the_one_to_be_ended(stage: Stage) -> None:
    stage.play(30)
    ended: list[str] = []
    stage.dog.kill = lambda: ended.append("old")
    stage.dog.until, stage.dog.next_kill = stage.tick + 20, lambda: ended.append("new")
    stage.play(PATIENCE, alive=False)
    assert ended == ["old"]
    stage.play(20 - PATIENCE, alive=False)
    stage.engine = stage.new_engine()
    stage.engine._follow(stage.tick, Pacer(stage.clock, 0))
    stage.engine._take_over()
    stage.play(20)
    stage.play(PATIENCE, alive=False)
    assert ended == ["old", "new"]
    assert differing(stage) == []
