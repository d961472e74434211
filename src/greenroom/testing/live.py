"""Conformance suites of what a show is made of: receivers, sinks, backends, observers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.clock import PERIOD_NS, tick_ns
from greenroom.contracts import ModelShape, Observer, Packet, Receiver, Sink, golden_clip
from greenroom.frames import ARKIT, BONES, Frame
from greenroom.live.ring import put_packets, slot_type
from greenroom.rotations import normalise
from greenroom.serving import ShapedBackend

TICKS = 90
PATIENCE_NS = PERIOD_NS
"""What one call may take at the most: a tick."""
OBSERVER_SHAPE = ModelShape(joints=2, state=14, speech_channels=3)


def check_receiver(
    make: Callable[[], Receiver],
    *,
    feed: Callable[[int], None] = lambda tick: None,
    ticks: int = TICKS,
) -> list[Packet]:
    """Check a receiver, and return the packets that it gave.

    Args:
        make: opens it.
        feed: called before each tick is polled; sends what the receiver is to receive.
        ticks: number of ticks to poll; at least one packet must come in them.

    Raises:
        AssertionError: the receiver breaks a rule; the message says which.
    """
    receiver = make()
    packets: list[Packet] = []
    try:
        for tick in range(ticks):
            feed(tick)
            now = tick_ns(tick)
            start = time.perf_counter_ns()
            arrived = receiver.poll(now)
            _check_quick(start, "poll")
            assert isinstance(arrived, list), f"poll returns {type(arrived).__name__}, not a list"
            for packet in arrived:
                assert isinstance(packet, Packet), f"poll returns {packet!r}, which is no Packet"
                assert isinstance(packet.data, bytes), "a packet's data is not bytes"
                assert 0 <= packet.arrival_ns <= now, (
                    f"a packet arrived at {packet.arrival_ns} ns, polled until {now} ns"
                )
            packets += arrived
        assert packets, f"no packet came in {ticks} ticks"
        for before, after in pairwise(packets):
            assert before.arrival_ns <= after.arrival_ns, "packets are not oldest first"
    finally:
        receiver.close()
    receiver.close()  # closing twice does no harm
    return packets


def check_sink(
    make: Callable[[], Sink], *, received: Callable[[], Sequence[Any]] | None = None
) -> None:
    """Check a sink.

    Args:
        make: opens it.
        received: returns what viewers have received so far, in any form; None leaves that out.

    Raises:
        AssertionError: the sink breaks a rule; the message says which.
    """
    count: Callable[[], int] = (lambda: 0) if received is None else (lambda: len(received()))
    before = count()
    sink, second = make(), make()  # the engine's and the watchdog's
    assert isinstance(sink.url, str) and ":" in sink.url, f"its url is {sink.url!r}, which is none"
    assert sink.lost == 0, f"a new sink has lost {sink.lost} frames"
    assert count() == before, "opening it shows something to viewers"
    for seed in range(5):
        _call(lambda seed=seed: sink.rehearse(_frame(seed)), "rehearse")  # type: ignore[misc]
    assert count() == before, "rehearse shows a frame to viewers"
    no_face = Frame(0, *_frame(0)[1:3], np.full(len(ARKIT), np.nan, dtype=np.float32))
    _call(lambda: sink.send(no_face), "send of a frame whose face is missing")
    for seed in range(TICKS):
        _call(lambda seed=seed: sink.send(_frame(seed)), "send")  # type: ignore[misc]
    if received is not None:
        deadline = time.monotonic() + 2
        while count() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert count() > before, "viewers receive nothing of what is sent"
    assert isinstance(sink.lost, int) and sink.lost >= 0, f"lost is {sink.lost!r}"
    for each in (sink, second):
        _call(each.close, "close")
    _call(lambda: sink.send(_frame(0)), "send after close")
    _call(lambda: sink.rehearse(_frame(0)), "rehearse after close")


def check_backend(make: Callable[[bytes, ModelShape], ShapedBackend], graph: bytes) -> None:
    """Check a backend against a graph of the sizes that its model states.

    Args:
        make: opens it with a graph's bytes and its shape.
        graph: an ONNX file of a model, such as the embedded release's.

    Raises:
        AssertionError: the backend breaks a rule; the message says which.
    """
    shape = shape_of(graph)
    backend = make(graph, shape)
    assert backend.shape == shape, "its shape is not the one that it was opened with"
    sizes = shape.outputs()
    for inputs in golden_clip(shape):
        copies = {name: values.copy() for name, values in inputs.items()}
        outputs = {name: values.copy() for name, values in backend.run(inputs).items()}
        assert list(outputs) == list(sizes), f"it gives {list(outputs)}, not {list(sizes)}"
        for name, values in outputs.items():
            assert values.dtype == np.float32, f"the output {name} is {values.dtype}, not float32"
            assert values.shape == (1, *sizes[name]), (
                f"the output {name} is {values.shape}, not {(1, *sizes[name])}"
            )
            assert np.isfinite(values).all(), f"the output {name} has numbers that are not finite"
        for name, values in copies.items():
            assert np.array_equal(values, inputs[name]), f"run changes its input {name}"
        again = backend.run(inputs)
        for name, values in outputs.items():
            same = values.tobytes() == again[name].tobytes()
            assert same, f"the same inputs give other bits of {name}: a show could not be replayed"
    broken = {name: np.full_like(values, np.nan) for name, values in golden_clip(shape)[0].items()}
    _raises_nothing(lambda: backend.run(broken), "run on inputs that are no numbers")
    fingerprint = backend.fingerprint()
    assert fingerprint and all(
        isinstance(part, str) for pair in fingerprint.items() for part in pair
    ), "fingerprint is not a dict of text: runtime, version, provider, options"


def check_observer(make: Callable[[], Observer]) -> None:
    """Check an observer on made-up frames, some of which no model saw.

    Args:
        make: makes it.

    Raises:
        AssertionError: the observer breaks a rule; the message says which.
    """
    observer = make()
    row = np.zeros((), dtype=slot_type(OBSERVER_SHAPE))
    for tick in range(TICKS):
        _fill(row, tick)
        outputs: dict[str, Any] = {
            name: np.zeros((1, *size), dtype=np.float32)
            for name, size in OBSERVER_SHAPE.outputs().items()
        }
        before = row.tobytes()
        _call(lambda outputs=outputs: observer.frame(row, outputs), "frame")  # type: ignore[misc]
        assert row.tobytes() == before, "frame changes the row that other observers see"


def shape_of(graph: bytes) -> ModelShape:
    """Return the sizes of the release that comes with Greenroom, if `graph` is its graph.

    Raises:
        AssertionError: it is another graph.
    """
    shape, own = embedded_model()
    assert own == graph, "give the embedded release's graph: greenroom.testing.live.embedded_model()"
    return shape


def embedded_model() -> tuple[ModelShape, bytes]:
    """Return the shape and the graph of the release that comes with Greenroom."""
    import tempfile
    from pathlib import Path

    from greenroom import embedded
    from greenroom.registry.release import load_release
    from greenroom.store.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        release = load_release(workspace, embedded.install(workspace))
        return release.role.shape, release.graph
