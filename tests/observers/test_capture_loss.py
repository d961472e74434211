"""Capture that was never there is not lost; what is lost is told once, and its return too."""

import numpy as np

from greenroom.contracts import Alert
from greenroom.monitoring.alerts import alert_sentence
from greenroom.observers.capture_loss import BACK_TICKS, LOST_TICKS, CaptureLossMonitor


def watch(captured: list[bool]) -> list[tuple[int, bool]]:
    """Return (tick, whether it begins) of each alert."""
    out: list[tuple[Alert, bool]] = []
    monitor = CaptureLossMonitor(lambda alert, begins: out.append((alert, begins)))
    kind = np.dtype([("tick", "<i8"), ("capture", "u1")])
    seen = []
    for tick, here in enumerate(captured):
        monitor.frame(np.asarray((tick, here), dtype=kind), {})
        assert all(alert.tick == tick for alert, _ in out)  # the page draws it from and to here
        seen += [(tick, begins) for _, begins in out]
        out.clear()
    return seen


def test_a_loss_is_an_alert_with_a_beginning_and_an_end() -> None:
    stream = [True] * 30 + [False] * 60 + [True] * 40
    assert watch(stream) == [(30 + LOST_TICKS - 1, True), (90 + BACK_TICKS - 1, False)]


def test_a_packet_lost_now_and_then_is_none() -> None:
    assert watch(([True] * 10 + [False] * (LOST_TICKS - 1)) * 10) == []


def test_what_was_never_captured_cannot_be_lost() -> None:
    assert watch([False] * 100) == []


def test_a_return_that_flickers_is_no_return() -> None:
    stream = [True] * 10 + [False] * 20 + ([True] * 5 + [False] * 5) * 6
    assert watch(stream) == [(10 + LOST_TICKS - 1, True)]


def test_it_says_what_to_do() -> None:
    alert = Alert("capture", "capture fault", (), 1.0, tick=9, began=4, began_low=4, began_high=4)
    assert alert_sentence(alert) == "Capture lost. Check the camera, the tracker and the network."
