"""Own members pass the suites of the live side, and the suites name what faulty ones do wrong."""

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.ingest import store_take
from greenroom.capture.packets import TakePlayer
from greenroom.capture.readers import read_recording
from greenroom.capture.receivers import open_receiver
from greenroom.consent.records import read_rights
from greenroom.contracts import Packet
from greenroom.errors import BadInput
from greenroom.frames import HUMANOID
from greenroom.live.inputs import MergedReceiver
from greenroom.live.sinks import open_sink, resolve_sink
from greenroom.live.sinks.vmc import VmcSink
from greenroom.serving import open_backend
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store import open_store
from greenroom.store.attribution import Attribution
from greenroom.testing import check_backend, check_observer, check_receiver, check_sink


@pytest.fixture
def viewer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.setblocking(False)
        yield opened


def _datagrams(viewer: socket.socket) -> list[bytes]:
    out = []
    while True:
        try:
            out.append(viewer.recv(4096))
        except BlockingIOError:
            return out


def test_the_vmc_sink_passes(viewer: socket.socket) -> None:
    url = f"vmc://127.0.0.1:{viewer.getsockname()[1]}"
    assert resolve_sink(url) == url
    check_sink(lambda: open_sink(url), received=lambda: _datagrams(viewer))


def test_a_sink_that_shows_its_rehearsals_is_named(viewer: socket.socket) -> None:
    class Loud(VmcSink):
        def rehearse(self, frame):
            self.send(frame)

    port = viewer.getsockname()[1]
    with pytest.raises(AssertionError, match="rehearse shows a frame"):
        check_sink(
            lambda: Loud("127.0.0.1", port, HUMANOID.offsets), received=lambda: _datagrams(viewer)
        )


def test_a_sink_that_raises_is_named(viewer: socket.socket) -> None:
    class Weak(VmcSink):
        def send(self, frame):
            raise OSError("the network is down")

    with pytest.raises(AssertionError, match="nothing may stop a show"):
        check_sink(
            lambda: Weak("127.0.0.1", viewer.getsockname()[1], HUMANOID.offsets),
            received=lambda: _datagrams(viewer),
        )


def test_a_sink_that_sends_nothing_is_named(viewer: socket.socket) -> None:
    class Mute(VmcSink):
        def send(self, frame):
            pass

    with pytest.raises(AssertionError, match="viewers receive nothing"):
        check_sink(
            lambda: Mute("127.0.0.1", viewer.getsockname()[1], HUMANOID.offsets),
            received=lambda: _datagrams(viewer),
        )


def test_a_receiver_that_receives_nothing_is_named() -> None:
    class Empty(TakePlayer):
        def poll(self, now_ns):
            return []

    with pytest.raises(AssertionError, match="no packet came"):
        check_receiver(lambda: Empty(None, np.zeros(800, dtype=np.float32)))


@pytest.mark.parametrize(
    "url", ["nothing://127.0.0.1:1", "vmc://", "vmc://127.0.0.1:99999", "vmc://127.0.0.1:0", "vmc"]
)
def test_an_unusable_sink_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_sink(url)
    assert caught.value.then


@pytest.fixture
def take(tmp_path: Path, person) -> tuple[Path, str]:
    workspace = open_store(str(tmp_path / "home"))
    recording = read_recording(person(frames=60), "walk.bvh")
    rights = Attribution("mira", ("p",), (read_rights("MIT", "p"),))
    return tmp_path / "home", store_take(workspace, recording, rights, "test")


def test_the_take_player_passes(take: tuple[Path, str]) -> None:
    home, name = take
    workspace = open_store(home.as_uri())
    packets = check_receiver(lambda: open_receiver(f"take:{name}", workspace))
    assert len(packets) == 60
    later = open_receiver(f"take:{name[:12]}", workspace, first=50).poll(10**10)
    assert [packet.data for packet in later] == [packet.data for packet in packets[50:]]


def test_merged_receivers_pass(take: tuple[Path, str]) -> None:
    home, name = take
    workspace = open_store(str(home))
    urls = (f"take:{name}", f"take:{name}")
    packets = check_receiver(lambda: MergedReceiver([open_receiver(u, workspace) for u in urls]))
    assert len(packets) == 60  # one of each kind a tick: the first one's


def test_a_receiver_that_gives_packets_of_the_future_is_named() -> None:
    class Early(TakePlayer):
        def poll(self, now_ns):
            return [Packet(now_ns + 1, b"x")]

    with pytest.raises(AssertionError, match="polled until"):
        check_receiver(lambda: Early(None, np.zeros(800, dtype=np.float32)))


def test_an_unknown_receiver_is_bad_input(take: tuple[Path, str]) -> None:
    with pytest.raises(BadInput, match="no receiver 'midi'; known: take, vmc"):
        open_receiver("midi:1", open_store(str(take[0])))


@pytest.mark.parametrize("threads", [1, 2])
def test_onnxruntime_passes(threads: int) -> None:
    url = f"onnxruntime://cpu?threads={threads}"
    check_backend(lambda graph, shape: open_backend(url, graph, shape))


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("onnxruntime://cpu?threads=0", "1 to 64"),
        ("onnxruntime://cpu?threads=many", "threads= and a whole number"),
        ("onnxruntime://cpu?speed=9", "known: threads"),
        ("onnxruntime://gpu", "onnxruntime://cpu"),
        ("triton://here", "known: onnxruntime"),
    ],
)
def test_an_unusable_backend_is_bad_input(url: str, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        check_backend(lambda graph, shape: open_backend(url, graph, shape))


def test_a_backend_with_other_numbers_is_named() -> None:
    class Wrong(OnnxBackend):
        def run(self, inputs):
            return {name: values + 1 for name, values in super().run(inputs).items()}

    with pytest.raises(AssertionError, match="golden clip"):
        check_backend(Wrong)


def test_a_backend_that_computes_nothing_is_named() -> None:
    class Zero(OnnxBackend):
        def run(self, inputs):
            return {name: np.zeros_like(values) for name, values in super().run(inputs).items()}

    with pytest.raises(AssertionError, match="golden clip"):
        check_backend(Zero)


def test_an_observer_that_changes_the_row_is_named() -> None:
    class Counting:
        ticks: list[int] = []

        def frame(self, row, outputs):
            self.ticks.append(int(row["tick"]))

    class Writing:
        def frame(self, row, outputs):
            row["root"] = 0

    check_observer(Counting, recorded=lambda observer: observer.ticks)
    assert Counting.ticks == sorted(Counting.ticks) and len(Counting.ticks) > 30
    with pytest.raises(AssertionError, match="changes the row"):
        check_observer(Writing, recorded=id)


@pytest.mark.parametrize("url", ["s3://bucket/home", "file://elsewhere/home"])
def test_an_unusable_store_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput, match="known: file|names no folder"):
        open_store(url)
