from typing import Any

from greenroom.live.show_spec import LinkReports


def report(received: int, delay_ms: float | None, sent: int, failed: int) -> dict[str, Any]:
    receiver = {"url": "vmc://:1", "received": received, "lost": 1, "delay_ms": delay_ms}
    sink = {"url": "null:", "sent": sent, "failed": failed}
    return {"receivers": [receiver], "sinks": [sink]}


def test_engines_are_added_up_and_one_that_comes_back_is_counted_once() -> None:
    links = LinkReports()
    links.add(1, report(received=10, delay_ms=5.0, sent=100, failed=1))
    links.add(2, report(received=20, delay_ms=7.0, sent=50, failed=0))
    links.add(1, report(received=5, delay_ms=6.0, sent=130, failed=2))  # of its sinks: all of it
    assert links.receivers == [{"url": "vmc://:1", "received": 35, "lost": 3, "delay_ms": 6.0}]
    assert links.sinks == [{"url": "null:", "sent": 180, "failed": 2}]
    assert links.lost_datagrams == 2


def test_before_any_report_there_is_nothing() -> None:
    links = LinkReports()
    assert (links.receivers, links.sinks, links.lost_datagrams) == ([], [], 0)


def test_times_are_of_the_last_engine_and_not_summed() -> None:
    links = LinkReports()
    for skew, calibrated in ((1.0, True), (2.0, True)):
        link = {"url": "vmc://:1", "received": 1, "buffer_ms": 20.0, "delay_ms": skew}
        link |= {"skew_ppm": skew, "calibrated": calibrated}
        links.add(1, {"receivers": [link], "sinks": []})
    assert links.receivers == [
        {"url": "vmc://:1", "received": 2, "buffer_ms": 20.0, "delay_ms": 2.0}
        | {"skew_ppm": 2.0, "calibrated": True}
    ]
