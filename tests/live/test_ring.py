import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.packets import AUDIO_BYTES, BODY_BYTES
from greenroom.contracts import ModelShape, Packet
from greenroom.errors import GreenroomError
from greenroom.live import ring as module
from greenroom.live.control import CUT
from greenroom.live.ring import (
    PACKET_BYTES,
    PACKETS,
    Ring,
    frame_of,
    get_packets,
    put_packets,
    rung_of,
    samples_of,
    slot_type,
    sweep_shared_memory,
)
from greenroom.live.sources import RUNGS
from tests.live.stand_in import body_packet, sound_packet

SHAPE = ModelShape(joints=2, state=16, speech_channels=3, history=2, speech=2, noise=1, lags=(1, 2))
SLOTS = 8


def test_its_memory_is_this_users_alone_and_all_there(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    Ring(path, SHAPE, create=True)
    facts = path.stat()
    assert facts.st_mode & 0o777 == 0o600
    assert facts.st_blocks * 512 >= slot_type(SHAPE).itemsize * module.SLOTS


def test_where_there_is_no_room_the_show_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(GreenroomError, match="MB of shared memory: No space left"):
        Ring(tmp_path / "ring", SHAPE, create=True)
    assert not (tmp_path / "ring").exists()


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ring]:
    monkeypatch.setattr(module, "SLOTS", SLOTS)
    ring = Ring(tmp_path / "ring", SHAPE, create=True)
    yield ring
    ring.close()


def write(ring: Ring, count: int) -> None:
    row = np.zeros((), slot_type(SHAPE))
    for _ in range(count):
        row["tick"] = 100 + ring.written
        ring.write(row)


def ticks(frames: list[np.ndarray]) -> list[int]:
    return [int(frame["tick"]) for frame in frames]


def test_nothing_was_written_yet(ring: Ring) -> None:
    assert ring.read(0) == ([], 0, 0)


def test_frames_come_in_the_order_in_which_they_were_written(ring: Ring) -> None:
    write(ring, 3)
    frames, following, lost = ring.read(0)
    assert (ticks(frames), following, lost) == ([100, 101, 102], 3, 0)
    assert ring.read(following) == ([], 3, 0)
    write(ring, 2)
    frames, following, lost = ring.read(following)
    assert (ticks(frames), following, lost) == ([103, 104], 5, 0)


def test_another_that_opens_the_file_sees_them_too(ring: Ring) -> None:
    reader = Ring(ring.path, SHAPE)
    write(ring, 2)
    assert ticks(reader.read(0)[0]) == [100, 101]
    write(ring, 1)
    assert ticks(reader.read(2)[0]) == [102]
    ring.close()
    assert not ring.path.exists()
    ring.close()


def test_a_full_ring_loses_nothing(ring: Ring) -> None:
    write(ring, SLOTS)
    frames, following, lost = ring.read(0)
    assert (len(frames), following, lost) == (SLOTS, SLOTS, 0)


def test_what_was_overtaken_is_counted_as_lost(ring: Ring) -> None:
    write(ring, SLOTS + 1)
    frames, following, lost = ring.read(0)
    assert following == SLOTS + 1 and lost > 0
    assert lost + len(frames) == SLOTS + 1
    assert ticks(frames) == list(range(100 + lost, 101 + SLOTS))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * SLOTS), st.booleans()), max_size=12))
def test_every_frame_is_read_once_or_counted_as_lost(steps: list[tuple[int, bool]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLOTS", SLOTS)
        path = module.shared_folder() / f"greenroom-test-ring-{id(steps)}"
        ring = Ring(path, SHAPE, create=True)
        try:
            at, lost, seen = 0, 0, []
            for count, reads in [*steps, (0, True)]:
                write(ring, count)
                if reads:
                    frames, at, more = ring.read(at)
                    seen += ticks(frames)
                    lost += more
            assert len(seen) + lost == ring.written == at
            assert seen == sorted(set(seen))
        finally:
            ring.close()


def test_a_slot_that_is_being_written_is_not_read(ring: Ring) -> None:
    write(ring, 3)
    ring.slots["seq"][1] = -1
    frames, following, lost = ring.read(0)
    assert (ticks(frames), following, lost) == ([100], 1, 0)
    ring.slots["seq"][1] = 1
    assert ticks(ring.read(following)[0]) == [101, 102]


def test_a_read_frame_does_not_change_when_its_slot_does(ring: Ring) -> None:
    write(ring, 1)
    [frame], _, _ = ring.read(0)
    write(ring, SLOTS)
    assert int(frame["tick"]) == 100


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**62), st.binary(max_size=AUDIO_BYTES)),
        max_size=PACKETS,
    )
)
def test_packets_come_back_as_they_were(packets: list[tuple[int, bytes]]) -> None:
    wanted = [Packet(at, data) for at, data in packets]
    while sum(len(packet.data) for packet in wanted) > PACKET_BYTES:
        wanted.pop(0)
    row = np.zeros((), slot_type(SHAPE))
    put_packets(row, [Packet(at, data) for at, data in packets])
    assert list(get_packets(row)) == wanted


def test_of_too_many_packets_the_newest_are_kept() -> None:
    row = np.zeros((), slot_type(SHAPE))
    packets = [Packet(i, bytes([i])) for i in range(PACKETS + 3)]
    put_packets(row, packets)
    assert list(get_packets(row)) == packets[3:]
    put_packets(row, [])
    assert list(get_packets(row)) == []
    big = [Packet(i, bytes(BODY_BYTES + AUDIO_BYTES)) for i in range(3)]
    put_packets(row, big)
    assert list(get_packets(row)) == big[1:]


def test_a_frame_and_its_rung_come_out_of_a_slot(ring: Ring) -> None:
    row = np.zeros((), slot_type(SHAPE))
    row["tick"], row["rung"] = 7, RUNGS.index("hold")
    row["root"], row["face"] = (1, 2, 3), 0.25
    row["rotations"] = (0, 0, 0, 1)
    ring.write(row)
    [slot], _, _ = ring.read(0)
    frame = frame_of(slot)
    assert frame.tick == 7 and frame.root.tolist() == [1, 2, 3]
    assert frame.rotations.shape == (55, 4) and (frame.face == 0.25).all()
    assert rung_of(slot) == "hold"


def test_what_an_operator_cut_is_captured_by_nobody() -> None:
    row = np.zeros((), slot_type(SHAPE))
    put_packets(row, [Packet(0, body_packet(3)), Packet(0, sound_packet(3))])
    assert samples_of(row).body is not None
    row["control"] = CUT
    cut = samples_of(row)
    assert cut.body is None and cut.face is None and cut.sound is not None


def test_what_a_dead_process_left_in_memory_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "shared_folder", lambda: tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [tmp_path / f"greenroom-{gone.pid}-0a{end}" for end in ("", ".conditioning")]
    mine = tmp_path / f"greenroom-{os.getpid()}-0a"
    other = tmp_path / "greenroom-x-1"
    for path in (*left, mine, other):
        path.write_bytes(b"x")
    assert sweep_shared_memory() == [gone.pid]
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])
    assert sweep_shared_memory() == []
