import gzip
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.capture.receivers.datagrams import ReceiverCounts
from greenroom.capture.receivers.live_link import LiveLinkDecoder
from greenroom.frames import ARKIT
from greenroom.testing import check_receiver
from tests.capture.receivers.senders import Line

WEIGHTS = [round(0.01 * (i + 1), 2) for i in range(61)]


def packet(frame: int, weights: list[float] | None = WEIGHTS) -> bytes:
    device, subject = b"$1f0a9c4e-0000-0000-0000-00000000000"[:36], "Mirä".encode()
    head = b"\x06" + struct.pack(">i", len(device)) + device
    head += struct.pack(">i", len(subject)) + subject
    head += struct.pack(">ifii", frame, 0.25, 60, 1)
    return head if weights is None else head + struct.pack(f">B{len(weights)}f", 61, *weights)


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line("livelink")
    yield opened
    opened.close()


def test_each_weight_is_at_its_own_place(line: Line) -> None:
    line.send(packet(1))
    face = line.poll().face
    assert face is not None
    np.testing.assert_allclose(face.weights, WEIGHTS[:52], atol=1e-6)


def test_frames_of_another_library_are_read(line: Line) -> None:
    library = pytest.importorskip("pylivelinkface", reason="pip install pylivelinkface==0.1")
    sender = library.PyLiveLinkFace(fps=60)
    sender.set_blendshape(library.FaceBlendShape.MouthSmileLeft, 0.8, True)
    sender.set_blendshape(library.FaceBlendShape.EyeBlinkRight, 0.3, True)
    line.send(sender.encode())
    face = line.poll().face
    assert face is not None
    weights = dict(zip(ARKIT, face.weights.tolist(), strict=True))
    assert weights["mouthSmileLeft"] == pytest.approx(0.8)
    assert weights["eyeBlinkRight"] == pytest.approx(0.3)
    assert weights["mouthSmileRight"] == weights["eyeBlinkLeft"] == 0


def test_a_recording_off_the_wire_is_read_to_its_end(line: Line, shared_data: Path) -> None:
    path = shared_data / "live_link_face_arkit" / "llv_wire" / "dao.gesichter"
    data, offset, sent = gzip.decompress(path.read_bytes()), 5, 0
    while offset + 4 < len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        line.send(data[offset + 4 : offset + 4 + length])
        offset, sent = offset + 4 + length, sent + 1
        if sent % 2 == 0:
            face = line.poll().face
            assert face is not None and np.isfinite(face.weights).all()
    assert sent > 100
    assert line.report["received"] == sent and line.report["malformed"] == 0
    assert line.report["reordered"] == line.report["duplicated"] == 0


def test_without_a_face_there_is_none(line: Line) -> None:
    line.send(packet(1))
    assert line.poll().face is not None
    line.send(packet(2, None))
    assert line.poll().face is None and line.report["malformed"] == 0


def test_lost_double_and_late_frames_are_counted_and_a_wrap_begins_anew(line: Line) -> None:
    for frame in (55, 58, 58, 57, 0, 1):
        line.send(packet(frame, [frame / 60] * 61))
    face = line.poll().face
    report = line.report
    assert (report["lost"], report["duplicated"], report["reordered"]) == (2, 1, 1)
    assert face is not None and face.weights[0] == pytest.approx(1 / 60)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05" + packet(1)[1:],
        packet(1)[:-1],
        packet(1)[:50],
        packet(1, [float("nan")] * 61),
        packet(1, [1e9] * 61),
        b"\x06\xff\xff\xff\xff" + bytes(300),
    ],
)
def test_what_is_no_face_is_passed_over_and_counted(line: Line, data: bytes) -> None:
    line.send(data)
    assert line.poll().face is None and line.report["malformed"] == 1


@given(st.binary(max_size=400))
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    for start in (b"", b"\x06", packet(1, None)):
        try:
            LiveLinkDecoder(ReceiverCounts()).feed(start + data, 0)
        except ValueError:
            pass


def test_it_conforms() -> None:
    line = Line("livelink")
    check_receiver(lambda: line.receiver, feed=lambda tick: line.send(packet(tick)))
    line.close()


def test_a_flood_is_read_in_parts() -> None:
    line = Line("livelink")
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    line.send(*(packet(frame) for frame in range(400)))
    assert line.poll().face is not None
    line.poll()
    assert line.report["received"] > 256
    line.close()
