from greenroom.live.sinks import open_sink, resolve_sink, sink_report
from greenroom.live.sinks.null import NullSink
from greenroom.testing import check_sink


def test_it_conforms_and_counts_its_frames() -> None:
    made: list[NullSink] = []

    def make() -> NullSink:
        sink = open_sink("null:")
        assert isinstance(sink, NullSink)
        made.append(sink)
        return sink

    counted = 0

    def received() -> list[int]:
        nonlocal counted
        before, counted = counted, sum(sink.sent for sink in made)
        return list(range(counted - before))

    check_sink(make, received=received)
    assert resolve_sink("null:") == "null:"
    assert sink_report(made[0], 5) == {"url": "null:", "sent": made[0].sent, "failed": 0}
