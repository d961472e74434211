"""Conformance suites of what watches and records: detectors and trackers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from greenroom.contracts import CAUSES, Alert, Detector
from greenroom.errors import BadInput
from greenroom.frames import TICK_HZ, Doubles
from greenroom.training.tracking import Tracker

LIMBS = {"trunk": (0, 1), "left arm": (2, 3), "right arm": (4, 5)}
"""Six joints, so that a tick is 18 numbers: rotation vectors in radians, joint after joint."""
TAKES, TAKE_TICKS = 60, 300
UPDATE_MS = 5.0
"""Mean time that an update may take."""

Fault = Callable[[Doubles], Doubles]


def in_control(takes: int = TAKES, ticks: int = TAKE_TICKS, seed: int = 0) -> list[Doubles]:
    """Return made-up takes in control, shape (T, 18): each joint sways at its own speed."""
    rng = np.random.default_rng(seed)
    speeds = np.linspace(0.5, 2.0, 18)
    out = []
    for _ in range(takes):
        time_s = np.arange(ticks)[:, None] / TICK_HZ
        phases = rng.uniform(0, 2 * np.pi, 18)
        sway = 0.3 * np.sin(time_s * speeds + phases)
        out.append(sway + 0.01 * rng.standard_normal((ticks, 18)))
    return out


def _freeze(rows: Doubles) -> Doubles:
    rows[:, ::2] = rows[0, ::2]
    return rows


def _shift(rows: Doubles) -> Doubles:
    shifted: Doubles = rows + 10 * rows.std(axis=0)
    return shifted


def _shake(rows: Doubles) -> Doubles:
    noise = np.random.default_rng(2).standard_normal(rows.shape)
    shaken: Doubles = rows + 3 * rows.std(axis=0) * noise
    return shaken


FAULTS: Mapping[str, Fault] = {"frozen": _freeze, "shifted": _shift, "shaken": _shake}
"""Faults of which a detector must see one at least, where its author names none."""


def check_detector(
    make: Callable[[Mapping[str, Sequence[int]]], Detector],
    *,
    fault: Fault | None = None,
    takes: Sequence[Doubles] | None = None,
    false_alerts: int = 2,
    limbs: Mapping[str, Sequence[int]] = LIMBS,
) -> None:
    """Check a drift detector of the captured joints.

    Args:
        make: makes it, given `limbs`.
        fault: turns rows (T, F) in control into those that it must alert on within a minute; None for
            `FAULTS`, on one of which at least it must alert.
        takes: data in control, (T, F) each; None for :func:`in_control`. It is fitted on them, and then
            gets them one after the other, repeated until ten minutes have passed.
        false_alerts: most alerts in ten minutes in control.
        limbs: limb → its joints in the data.

    Raises:
        AssertionError: the detector breaks a rule; the message says which.
    """
    fitted = in_control() if takes is None else takes
    detector = make(limbs)
    assert detector.learning is True, "learning is not True before fit: it knows no reference yet"
    assert detector.fit(fitted) is detector, "fit does not return the detector itself"
    assert detector.learning is False, f"learning is not False after fit on {len(fitted)} takes"
    assert len(detector.alerts) == 0, "fit raises alerts"
    stream = _ten_minutes(in_control(seed=1) if takes is None else takes)
    alerts = _alerts(detector, stream)
    assert len(alerts) <= false_alerts, (
        f"it raises {len(alerts)} alerts in ten minutes in control; {false_alerts} are allowed"
    )
    missing = np.full((TICK_HZ * 10, stream.shape[1]), np.nan)
    _alerts(detector, np.concatenate([stream[:300], missing, stream[:300]]))
    assert detector.lasts("no such signal") is False, "lasts is not False for an unknown signal"
    _check_faults(detector, stream, FAULTS if fault is None else {"given": fault})
    detector.reset()
    assert len(detector.alerts) == 0, "reset leaves alerts"
    assert detector.learning is False, "reset forgets the fit"


def _ten_minutes(takes: Sequence[Doubles]) -> Doubles:
    """Return takes one after the other, repeated until ten minutes have passed, (T, F)."""
    rows = np.concatenate(list(takes))
    ticks = 10 * 60 * TICK_HZ
    return np.tile(rows, (-(-ticks // len(rows)), 1))[:ticks]


def _check_faults(detector: Detector, stream: Doubles, faults: Mapping[str, Fault]) -> None:
    """Check that a fault is alerted on, by equal alerts each time; one of several is enough."""
    minute = 60 * TICK_HZ
    for fault in faults.values():
        faulty = fault(stream[minute : 2 * minute].copy())
        rows = np.concatenate([stream[:minute], faulty])
        first = [each for each in _alerts(detector, rows) if each.tick > minute]
        if first:
            again = [each for each in _alerts(detector, rows) if each.tick > minute]
            assert first == again, "the same stream raises other alerts after reset"
            return
    which = "the fault" if len(faults) == 1 else f"any fault ({', '.join(faults)})"
    raise AssertionError(f"it raises no alert within a minute of {which}")


def _alerts(detector: Detector, rows: Doubles) -> list[Alert]:
    """Return what a stream raises, each alert checked."""
    detector.reset()
    start = time.process_time()
    for row in rows:
        detector.update(row)
    mean_ms = (time.process_time() - start) / len(rows) * 1000
    assert mean_ms < UPDATE_MS, f"update takes {mean_ms:.1f} ms; {UPDATE_MS:.0f} ms are allowed"
    alerts = list(detector.alerts)
    for alert in alerts:
        assert isinstance(alert, Alert), f"{alert!r} is no greenroom.contracts.Alert"
        assert alert.signal, "an alert has no signal"
        assert alert.cause in CAUSES, f"the cause {alert.cause!r} is none of {', '.join(CAUSES)}"
        assert 0 <= alert.tick <= len(rows), f"an alert was raised at tick {alert.tick}"
        assert 0 <= alert.began_low <= alert.began <= alert.began_high <= alert.tick, (
            f"the ticks of alert {alert.signal!r} are out of order: began_low, began, began_high, tick"
        )
        assert np.isfinite(alert.size), f"the size of alert {alert.signal!r} is not finite"
    return alerts


EVENTS: tuple[dict[str, Any], ...] = (
    {"event": "begin", "tags": {"actor": "mira"}, "parameters": {"seed": 0, "steps": 2}},
    {"event": "figures", "step": 1, "values": {"loss": 0.5}},
    {"event": "figures", "step": 2, "values": {"loss": 0.25}},
    {"event": "end", "step": 2, "tags": {"model": "0" * 64}, "values": {"error": 1.5}},
)
"""A short run, as its journal has it."""


def check_tracker(make: Callable[[], Tracker], *, received: Callable[[], int]) -> None:
    """Check a tracker on a short run.

    Args:
        make: opens it.
        received: returns how many runs the tracker shows.

    Raises:
        AssertionError: the tracker breaks a rule; the message says which.
    """
    tracker = make()
    assert re.fullmatch(r"[a-z][a-z0-9_-]*", tracker.name), (
        f"the name {tracker.name!r} is not lower-case letters, digits, '-' and '_'"
    )
    events = [dict(event) for event in EVENTS]
    try:
        tracker.send("run-1", [])
        tracker.send("run-1", events[:2])
        tracker.send("run-1", events[1:])  # after a failure some events come again
        make().send("run-1", events[3:])  # from another process
    except BadInput as error:
        raise AssertionError(f"a correct run is refused: {error}") from error
    assert events == [dict(event) for event in EVENTS], "send changes the events"
    runs = received()
    assert runs == 1, f"it shows {runs} runs after the events of one"
