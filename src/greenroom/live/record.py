"""Record live inputs as a take: poll them at 30 Hz, while a process of its own keeps what arrives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from greenroom.capture.packets import NewestSamples
from greenroom.clock import PERIOD_NS, TICK_HZ, Clock, Pacer, WallClock, tick_ns
from greenroom.errors import BadInput
from greenroom.live.inputs import open_inputs
from greenroom.live.recorder import disk_for
from greenroom.live.recording import RecorderHandle
from greenroom.live.recovery import clean_up
from greenroom.live.ring import Ring, new_ring_path
from greenroom.live.take_recording import NO_MODEL, TakeCapture
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

LONGEST_S = 3600.0
"""Of a take, for it is put together in memory."""
Reports = Callable[[], list[dict[str, Any]]]


@dataclass(frozen=True)
class TakeSpec:
    """What to record.

    Attributes:
        attribution: whose the take is, with its name.
        inputs: URLs of live inputs; where two give the same, the first one wins.
        ticks: for how long; None until it is ended.
    """

    attribution: Attribution
    inputs: Sequence[str]
    ticks: int | None = None


@dataclass(frozen=True)
class RecordHooks:
    """What is called while a take is recorded.

    Attributes:
        arrived: with the tick, what arrived at it, and a function that returns the inputs' counts.
        warn: with one line when something went wrong.
        enough: for whether to end it.
    """

    arrived: Callable[[int, NewestSamples, Reports], None] = lambda tick, samples, reports: None
    warn: Callable[[str], None] = lambda what: None
    enough: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class TakeResult:
    """A recorded take: its hash, for how many ticks it was recorded, and the inputs' counts."""

    take: str
    ticks: int
    receivers: list[dict[str, Any]]


def record_take(
    workspace: Workspace,
    spec: TakeSpec,
    by: str,
    hooks: RecordHooks = RecordHooks(),
    clock: Clock | None = None,
) -> TakeResult:
    """Record until the end, or until interrupted; the take is kept either way.

    Args:
        workspace: where it goes.
        spec: what to record.
        by: who records it, for the log.
        hooks: called while it runs.
        clock: paces it; None for the machine's.

    Raises:
        BadInput: an input cannot be opened, or nothing arrived.
        GreenroomError: the take could not be kept; `show recover` tries again.
    """
    clean_up(workspace, hooks.warn)
    actor = spec.attribution.actor
    inputs = open_inputs(workspace, list(spec.inputs), None, actor)
    inputs.prepare()
    ring = Ring(new_ring_path(), NO_MODEL, create=True)
    reserve = 0 if spec.ticks is None else disk_for(NO_MODEL, spec.ticks)
    recorder = RecorderHandle(workspace, ring, by, warn=hooks.warn, reserve=reserve)
    receiver = inputs.receiver()
    reports: Reports = getattr(receiver, "reports", list)
    try:
        recorder.wait_ready()
        recorder.describe(spec.attribution)
        capture, clock = TakeCapture(receiver, ring), clock or WallClock()
        ticks = _capture(capture, spec, recorder, hooks=hooks, clock=clock)
    except BaseException:
        recorder.abandon()
        raise
    finally:
        receiver.close()
    counts = reports()
    name, _ = recorder.finish(spec.attribution, ticks)
    ring.close()
    if not name:
        raise BadInput(
            f"nothing arrived in {ticks / TICK_HZ:.1f} s",
            where=", ".join(spec.inputs),
            then="start the sender, and check it: greenroom doctor ACTOR --in URL",
        )
    return TakeResult(name, ticks, counts)


def _capture(
    capture: TakeCapture,
    spec: TakeSpec,
    recorder: RecorderHandle,
    hooks: RecordHooks,
    clock: Clock,
) -> int:
    """Take what arrives at every tick until the end; return how many ticks that were.

    A tick that is late is not left out: the sound of each comes in its own row.
    """
    pacer = Pacer(clock, clock.now_ns() + PERIOD_NS)
    reports: Reports = getattr(capture.receiver, "reports", list)
    tick, ticks = 0, round(LONGEST_S * TICK_HZ) if spec.ticks is None else spec.ticks
    while tick < ticks and not hooks.enough():
        pacer.wait(tick)
        now = clock.now_ns() - pacer.start_ns
        samples = capture.tick(tick, min(now, tick_ns(tick + 1)))
        hooks.arrived(tick, samples, reports)
        recorder.check()
        tick += 1
    if spec.ticks is None and tick == ticks:
        hooks.warn("an hour is recorded, the most that one take holds; start another for the rest")
    return tick
