"""Conformance suites of what a show is made of: receivers, sinks, backends, observers."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from greenroom import embedded
from greenroom.capture.packets import encode_body
from greenroom.clock import PERIOD_NS, tick_ns
from greenroom.contracts import ModelShape, Observer, Packet, Receiver, Sink, golden_clip
from greenroom.errors import BadInput, CheckFailed
from greenroom.frames import ARKIT, BONES, Floats, Frame
from greenroom.live.ring import put_packets, slot_type
from greenroom.registry.release import Release, load_release
from greenroom.rotations import normalise
from greenroom.serving import ShapedBackend
from greenroom.serving.onnx_backend import self_test
from greenroom.store.workspace import Workspace

TICKS = 90
LIMIT_NS = PERIOD_NS / 4
"""What one call may take: a quarter of a tick."""
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
    durations: list[float] = []
    try:
        for tick in range(ticks):
            feed(tick)
            now = tick_ns(tick)
            start = time.perf_counter_ns()
            arrived = receiver.poll(now)
            durations.append(time.perf_counter_ns() - start)
            assert isinstance(arrived, list), f"poll returns {type(arrived).__name__}, not a list"
            for packet in arrived:
                assert isinstance(packet, Packet), f"poll returns {packet!r}, which is no Packet"
                assert isinstance(packet.data, bytes), "a packet's data is not bytes"
                assert 0 <= packet.arrival_ns <= now, (
                    f"a packet arrived at {packet.arrival_ns} ns, polled until {now} ns"
                )
            packets += arrived
        _check_quick(durations, "poll")
        assert packets, f"no packet came in {ticks} ticks"
        for before, after in pairwise(packets):
            assert before.arrival_ns <= after.arrival_ns, "packets are not oldest first"
    finally:
        receiver.close()
    receiver.close()  # closing twice does no harm
    return packets


def check_sink(make: Callable[[], Sink], *, received: Callable[[], Sequence[Any]]) -> None:
    """Check a sink.

    Args:
        make: opens it.
        received: returns what viewers received since its last call, in any form.

    Raises:
        AssertionError: the sink breaks a rule; the message says which.
    """
    total = 0

    def count() -> int:
        """Return how many things viewers have received; `received` may forget what it returned."""
        nonlocal total
        total += len(received())
        return total

    count()  # what came before is not this sink's
    total = 0
    sink, second = make(), make()  # the engine's and the watchdog's
    try:
        _check_silence(sink, count)
        _check_sending(sink, count)
    finally:
        for each in (sink, second):
            _call(each.close, "close")
    _call(partial(sink.send, _frame(0)), "send after close")
    _call(partial(sink.rehearse, _frame(0)), "rehearse after close")


def _check_silence(sink: Sink, count: Callable[[], int]) -> None:
    assert isinstance(sink.url, str) and ":" in sink.url, f"its url is {sink.url!r}, which is none"
    assert sink.lost == 0, f"a new sink has lost {sink.lost} frames"
    total = count()
    assert total == 0, "opening it shows something to viewers"
    for seed in range(5):
        _call(partial(sink.rehearse, _frame(seed)), "rehearse")
    assert count() == total, "rehearse shows a frame to viewers"


def _check_sending(sink: Sink, count: Callable[[], int]) -> None:
    before = count()
    no_face = replace(_frame(0), face=np.full(len(ARKIT), np.nan, dtype=np.float32))
    _call(partial(sink.send, no_face), "send of a frame whose face is missing")
    frames = [_frame(seed) for seed in range(TICKS)]
    _check_quick([_call(partial(sink.send, frame), "send") for frame in frames], "send")
    deadline = time.monotonic() + 2
    while count() == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert count() > before, "viewers receive nothing of what is sent"
    assert isinstance(sink.lost, int) and sink.lost >= 0, f"lost is {sink.lost!r}"


def check_backend(make: Callable[[bytes, ModelShape], ShapedBackend]) -> None:
    """Check a backend on the model of the release that comes with Greenroom.

    Args:
        make: opens it with a graph's bytes and its shape.

    Raises:
        AssertionError: the backend breaks a rule; the message says which.
    """
    release = _embedded_release()
    shape = release.role.shape
    backend = make(release.graph, shape)
    assert backend.shape == shape, "its shape is not the one that it was opened with"
    clip = golden_clip(shape)
    for inputs in clip:
        _check_run(backend, inputs, shape.outputs())
    try:
        self_test(backend, release.golden)
    except CheckFailed as error:
        raise AssertionError(str(error)) from error
    broken = {name: np.full_like(values, np.nan) for name, values in clip[0].items()}
    _call(lambda: backend.run(broken), "run on inputs that are no numbers")
    fingerprint = backend.fingerprint()
    assert fingerprint and all(
        isinstance(part, str) for pair in fingerprint.items() for part in pair
    ), "fingerprint is not a dict of text: runtime, version, provider, options"
    try:
        make(b"no graph", shape)
    except BadInput:
        return
    except Exception as error:
        raise AssertionError(f"a broken graph raises {error!r}; it must raise BadInput") from error
    raise AssertionError("a broken graph is opened without an error")


def _check_run(
    backend: ShapedBackend, inputs: dict[str, Floats], sizes: dict[str, tuple[int, ...]]
) -> None:
    copies = {name: values.copy() for name, values in inputs.items()}
    outputs = {name: values.copy() for name, values in backend.run(inputs).items()}
    assert list(outputs) == list(sizes), f"run gives {list(outputs)}, not {list(sizes)}"
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
        assert same, f"the same inputs give other bits of {name}: no show could be replayed"


Watcher = TypeVar("Watcher", bound=Observer)


def check_observer(make: Callable[[], Watcher], *, recorded: Callable[[Watcher], object]) -> None:
    """Check an observer on made-up frames, some of which no model saw.

    Args:
        make: makes it.
        recorded: returns what the observer has recorded or published so far, in any form that can be
            compared; the frames must change it.

    Raises:
        AssertionError: the observer breaks a rule; the message says which.
    """
    observer = make()
    before_frames = copy.deepcopy(recorded(observer))
    durations = []
    row = np.zeros((), dtype=slot_type(OBSERVER_SHAPE))
    for tick in range(TICKS):
        _fill(row, tick)
        outputs: dict[str, Any] = {
            name: np.zeros((1, *size), dtype=np.float32)
            for name, size in OBSERVER_SHAPE.outputs().items()
        }
        before = row.tobytes()
        durations.append(_call(partial(observer.frame, row, outputs), "frame"))
        assert row.tobytes() == before, "frame changes the row that other observers see"
    _check_quick(durations, "frame")
    assert recorded(observer) != before_frames, (
        f"it has recorded nothing after {TICKS} frames: frame does nothing"
    )


@cache
def _embedded_release() -> Release:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        return load_release(workspace, embedded.install(workspace))


def _frame(seed: int) -> Frame:
    rng = np.random.default_rng(seed)
    return Frame(
        seed,
        rng.normal(size=3).astype(np.float32),
        normalise(rng.normal(size=(len(BONES), 4))).astype(np.float32),
        rng.uniform(size=len(ARKIT)).astype(np.float32),
    )


def _fill(row: NDArray[Any], tick: int) -> None:
    """Write a frame into a row: a body's packet in each second tick, and no model in each third."""
    frame = _frame(tick)
    row["tick"], row["due"], row["emit"] = tick, tick_ns(tick), tick_ns(tick) + 1_000_000
    row["root"], row["rotations"], row["face"] = frame.root, frame.rotations, frame.face
    row["asked"], row["capture"] = tick % 3 > 0, tick % 2 == 0
    packets = []
    if tick % 2 == 0:
        validity = np.ones(len(BONES), dtype=np.float32)
        data = encode_body(tick, frame.root, frame.rotations, validity=validity, flags=0)
        packets = [Packet(tick_ns(tick), data)]
    put_packets(row, packets)


def _call(call: Callable[[], object], name: str) -> float:
    """Call something, and return how long it took in nanoseconds.

    Raises:
        AssertionError: it raises.
    """
    start = time.perf_counter_ns()
    try:
        call()
    except Exception as error:
        raise AssertionError(f"{name} raises {error!r}; nothing may stop a show") from error
    return time.perf_counter_ns() - start


def _check_quick(durations_ns: Sequence[float], name: str) -> None:
    """Compare the median of calls with a tick: a loaded machine may delay a few of them."""
    median = float(np.median(durations_ns))
    assert median < LIMIT_NS, (
        f"{name} takes {median / 1e6:.1f} ms; it must take less than {LIMIT_NS / 1e6:.0f} ms"
    )
