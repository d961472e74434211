"""Capture that was never there is not lost; what is lost is told once, and its return too."""

import numpy as np

from greenroom.capture.packets import encode_audio, encode_face
from greenroom.contracts import Alert, Packet
from greenroom.frames import ARKIT, SAMPLES_PER_TICK
from greenroom.live.ring import put_packets, slot_type
from greenroom.monitoring.alerts import alert_sentence
from greenroom.observers.capture_loss import (
    BACK_TICKS,
    BODY,
    FACE,
    LOST_TICKS,
    VOICE,
    CaptureLossMonitor,
)
from tests.live.stand_in import SHAPE


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


def test_each_source_is_missed_by_itself() -> None:
    out: list[tuple[str, int, bool]] = []
    monitor = CaptureLossMonitor(
        lambda alert, begins: out.append((alert.signal, alert.tick, begins))
    )
    monitor.watch(FACE)
    monitor.watch(VOICE)
    row = np.zeros((), dtype=slot_type(SHAPE))
    face = encode_face(0, np.full(len(ARKIT), 0.5, dtype=np.float32))
    voice = encode_audio(0, np.zeros(SAMPLES_PER_TICK, dtype=np.float32))
    for tick in range(90):
        row["tick"], row["capture"] = tick, 1
        packets = [face] * (not 20 <= tick < 50) + [voice] * (tick < 60)
        put_packets(row, [Packet(0, data) for data in packets])
        monitor.frame(row, {})
    assert out == [
        ("face", 20 + LOST_TICKS - 1, True),
        ("face", 50 + BACK_TICKS - 1, False),
        ("voice", 60 + LOST_TICKS - 1, True),
    ]
    for signal in (FACE, VOICE):
        alert = Alert(signal, "capture fault", (), 1.0, tick=9, began=4, began_low=4, began_high=4)
        assert alert_sentence(alert).startswith(f"{signal.capitalize()} lost. Check the ")


def test_what_somebody_else_watches_is_left_to_them() -> None:
    out: list[Alert] = []
    monitor = CaptureLossMonitor(lambda alert, begins: out.append(alert))
    monitor.ignore(BODY)
    row = np.zeros((), dtype=slot_type(SHAPE))
    for tick in range(60):
        row["tick"], row["capture"] = tick, tick < 20
        monitor.frame(row, {})
    assert out == []
