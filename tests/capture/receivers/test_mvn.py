import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.capture.receivers.datagrams import ReceiverCounts
from greenroom.capture.receivers.mvn import SEGMENTS, MvnDecoder
from greenroom.frames import BONE, PARENTS
from greenroom.rotations import multiply, rotate, to_matrix
from greenroom.testing import check_receiver
from tests.capture.receivers.senders import Line


def packet(
    sample: int,
    positions: np.ndarray,
    turns: np.ndarray,
    first: int = 0,
    part: int = 0x80,
    rate: int = 250,
) -> bytes:
    """MXTP02 as the streamer's manual lays it out: positions (S, 3), quaternions (S, 4) wxyz."""
    body = b"".join(
        struct.pack(">I7f", first + i + 1, *place, *turn)
        for i, (place, turn) in enumerate(zip(positions, turns, strict=True))
    )
    time_ms = round(sample * 1000 / rate)
    head = struct.pack(
        ">6sIBBIBBBB2xH", b"MXTP02", sample, part, len(turns), time_ms, 0, 23, 0, 0, len(body)
    )
    return head + body


def standing() -> tuple[np.ndarray, np.ndarray]:
    """A T-pose of MVN whose segments are unrotated in it: X forward, Y left, Z up."""
    positions = np.zeros((23, 3))
    positions[:, 2] = np.linspace(1, 1.6, 23)
    positions[7:11, 1], positions[11:15, 1] = (-0.1, -0.2, -0.5, -0.7), (0.1, 0.2, 0.5, 0.7)
    positions[7:15, 2] = 1.4
    return positions, np.tile([1.0, 0, 0, 0], (23, 1))


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line("mvn")
    yield opened
    opened.close()


def test_the_head_is_24_bytes_and_a_body_760() -> None:
    assert len(packet(0, *standing())) == 760


def test_an_asymmetric_pose_arrives_as_it_is_meant(line: Line) -> None:
    positions, turns = standing()
    positions[0] = (2.0, 0.5, 0.9)  # forward, to the left, up
    half = np.sqrt(0.5)
    turns[6] = (half, 0, 0, half)  # the head: 90° about up, to the left
    turns[12:15] = (half, half, 0, 0)  # the left arm: 90° about forward, up from the side
    line.send(packet(1, positions, turns))
    body = line.poll().body
    assert body is not None
    np.testing.assert_allclose(body.root, [0.5, 0.9, 2.0], atol=1e-6)
    matrices = to_matrix(body.rotations.astype(np.float64))
    np.testing.assert_allclose(matrices[BONE["head"]] @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(matrices[BONE["leftUpperArm"]] @ [1, 0, 0], [0, 1, 0], atol=1e-6)
    for name in ("leftLowerArm", "rightUpperArm", "spine", "upperChest"):
        np.testing.assert_allclose(body.rotations[BONE[name]], [0, 0, 0, 1], atol=1e-6)
    assert np.isnan(body.rotations[BONE["leftIndexProximal"]]).all()


def _mvnx(path: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(type, positions (23, 3), quaternions (23, 4) wxyz) of each frame."""
    name = "{http://www.xsens.com/mvn/mvnx}"
    out = []
    for frame in ET.parse(path).getroot().iter(f"{name}frame"):
        numbers = [
            np.array((frame.findtext(f"{name}{key}") or "").split(), dtype=float)
            for key in ("position", "orientation")
        ]
        out.append((frame.get("type", ""), numbers[0].reshape(-1, 3), numbers[1].reshape(-1, 4)))
    return out


def test_a_real_recording_stands_where_its_own_positions_are(line: Line, shared_data: Path) -> None:
    """Our rotations on the offsets of the T-pose lead to the file's positions, within 6 cm."""
    frames = _mvnx(shared_data / "xsens_mvnx" / "Meri-020.mvnx")
    ours = [1, 2, 0]
    [(rest, rest_turns)] = [(p, q) for kind, p, q in frames if kind == "tpose"]
    line.send(packet(0, rest, rest_turns))
    standing_body = line.poll().body
    assert standing_body is not None
    arms = [BONE[n] for n in ("leftUpperArm", "rightUpperArm", "leftLowerArm", "rightLowerArm")]
    assert (np.abs(standing_body.rotations[arms, 3]) > 0.99).all()  # nearly unrotated
    index = {BONE[name]: i for i, name in enumerate(SEGMENTS) if name}
    for number, (kind, positions, turns) in enumerate(frames):
        if kind != "normal":
            continue
        line.send(packet(number + 1, positions, turns))
        body = line.poll().body
        assert body is not None
        world = {0: (body.root.astype(float), body.rotations[0].astype(float))}
        for bone in list(index)[1:]:
            parent = PARENTS[bone]
            offset = (rest[index[bone]] - rest[index[parent]])[ours]
            place, turn = world[parent]
            world[bone] = (
                place + rotate(turn, offset),
                multiply(turn, body.rotations[bone].astype(float)),
            )
        for name in ("head", "leftHand", "rightHand", "leftFoot", "rightToes"):
            error = np.linalg.norm(world[BONE[name]][0] - positions[index[BONE[name]]][ours])
            assert error < 0.06, (number, name, error)


def test_a_sample_in_two_datagrams_is_one_pose(line: Line) -> None:
    positions, turns = standing()
    line.send(packet(1, positions[:12], turns[:12], part=0))
    assert line.poll().body is None
    line.send(packet(1, positions[12:], turns[12:], first=12, part=0x81))
    body = line.poll().body
    assert body is not None and body.validity[BONE["leftToes"]] == 1


def test_lost_double_and_late_samples_are_counted(line: Line) -> None:
    for sample in (1, 2, 2, 5, 4):
        line.send(packet(sample, *standing()))
        line.poll()
    report = line.report
    assert (report["lost"], report["duplicated"], report["reordered"]) == (2, 1, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_absurd_numbers_are_passed_over_and_counted(line: Line, bad: float) -> None:
    positions, turns = standing()
    positions[3, 1] = bad
    line.send(packet(1, positions, turns))
    assert line.poll().body is None and line.report["malformed"] == 1


def test_other_messages_of_mvn_are_no_fault(line: Line) -> None:
    line.send(b"MXTP12" + bytes(30), b"MXTP02" + bytes(3), packet(1, *standing())[:-1])
    assert line.poll().body is None and line.report["malformed"] == 2


@given(st.binary(max_size=120))
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    for start in (b"", b"MXTP02", packet(1, *standing())[:24]):
        try:
            MvnDecoder(ReceiverCounts()).feed(start + data, 0)
        except ValueError:
            pass


def test_it_conforms() -> None:
    line = Line("mvn")
    check_receiver(lambda: line.receiver, feed=lambda tick: line.send(packet(tick, *standing())))
    line.close()


def test_no_sample_of_a_suit_of_240_hertz_is_lost() -> None:
    line = Line("mvn", "?buffer=40")  # what a tick waits, and more: they come at once
    positions, turns = standing()
    for tick in range(90):
        for i in range(8):
            positions[0, 2] = 1 + (8 * tick + i) / 10_000
            line.send(packet(8 * tick + i, positions, turns, rate=240))
        assert line.poll().body is not None
    report = line.report
    line.close()
    assert report["received"] == 720
    assert (report["lost"], report["late"], report["malformed"]) == (0, 0, 0)


def test_the_bones_are_where_the_suit_says() -> None:
    """In the parents' axes, for a calibration: in the T-pose the segments' own places."""
    decoder = MvnDecoder(ReceiverCounts())
    positions, turns = standing()
    half = np.sqrt(0.5)
    turned = np.tile([half, 0, 0, half], (23, 1))  # a person who faces the suit's +Y
    decoder.feed(packet(1, positions @ [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], turned), 0)
    offsets = decoder.offsets()
    along = positions[13] - positions[12]  # of the left arm: left, which is our +X
    np.testing.assert_allclose(offsets[BONE["leftLowerArm"]], along[[1, 2, 0]], atol=1e-6)
    assert np.isnan(offsets[0]).all() and np.isnan(offsets[BONE["leftIndexProximal"]]).all()
