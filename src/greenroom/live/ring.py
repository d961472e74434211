"""Pass frames from the engine to whoever watches, through shared memory, without ever waiting.

One writer at a time, one reader that records, any number that only look. A slot's sequence number is
written last; a reader that finds another number than it expects was overtaken and says how many it lost.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.packets import AUDIO_BYTES, BODY_BYTES, NewestSamples, decode, newest
from greenroom.contracts import ModelShape, Packet, flat_width
from greenroom.errors import BadInput, GreenroomError
from greenroom.frames import ARKIT, BONES, Floats, Frame
from greenroom.live.control import CUT
from greenroom.live.sources import RUNGS
from greenroom.platform import is_alive

SLOTS = 1800
"""A minute: as long as a recorder may be busy before frames are lost to it."""
RING_PREFIX = "greenroom-"
"""Of the names of rings in shared memory: greenroom-PID-…"""
PACKETS = 6
PACKET_BYTES = 2 * (BODY_BYTES + AUDIO_BYTES)
STAMPS = ("due", "arrival", "features", "inference", "post", "emit")


def _roomy(shapes: dict[str, tuple[int, ...]]) -> int:
    width = flat_width(shapes)
    return width + width // 4 + 256


def slot_type(shape: ModelShape) -> np.dtype[Any]:
    """Return the layout of one frame of a show that a model of this shape opens.

    There is room for a somewhat larger model, which may come on stage while the show runs.
    """
    return np.dtype(
        [
            ("seq", "<i8"),
            ("tick", "<i8"),
            *((stamp, "<i8") for stamp in STAMPS),
            ("late", "u1"),
            ("begun", "u1"),  # the first frame of a watchdog's way back to rest
            ("rung", "u1"),
            ("release", "<i2"),  # which of the show's releases
            ("previous", "<i2"),  # which of them stands behind it; -1 for none
            (
                "followed",
                "<i2",
            ),  # at an engine's first frame, how many it followed; else -1
            ("control", "u1"),  # what an operator had ordered: bits of `greenroom.live.control`
            ("reason", "S32"),
            ("packets", "<i4"),
            ("packet_arrival", "<i8", (PACKETS,)),
            ("packet_length", "<i4", (PACKETS,)),
            ("packet_data", "u1", (PACKET_BYTES,)),
            ("asked", "u1"),
            ("inputs", "<f4", (_roomy(shape.inputs()),)),
            ("outputs", "<f4", (_roomy(shape.outputs()),)),
            ("root", "<f4", (3,)),
            ("rotations", "<f4", (len(BONES), 4)),
            ("face", "<f4", (len(ARKIT),)),
            ("capture", "u1"),
        ],
        align=True,
    )


def shared_folder() -> Path:
    """Return a folder in memory where there is one."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else Path(tempfile.gettempdir())


def new_ring_path() -> Path:
    """Return where a new ring of this process goes."""
    return shared_folder() / f"{RING_PREFIX}{os.getpid()}-{uuid.uuid4().hex}"


def sweep_shared_memory() -> list[int]:
    """Remove what shows of processes that are gone have left in shared memory; return their numbers."""
    dead_pids = set()
    for path in shared_folder().glob(f"{RING_PREFIX}*-*"):
        number = path.name.split("-")[1]
        if not number.isdecimal():
            continue
        if not is_alive(int(number)):
            with suppress(OSError):
                path.unlink()
                dead_pids.add(int(number))
    return sorted(dead_pids)


def allocate(path: Path, size: int) -> None:
    """Make a file that this user alone can open, all of it reserved.

    Raises:
        GreenroomError: there is no room; without this, the show would die where it writes.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
        else:
            os.ftruncate(handle, size)
    except OSError as error:
        path.unlink()
        raise GreenroomError(
            f"a show needs {size >> 20} MB of shared memory: {error.strerror}",
            where=str(path.parent),
            then="make room there, or give the container more: --shm-size=256m",
        ) from error
    finally:
        os.close(handle)


class Ring:
    """Slots in a shared file.

    Args:
        path: the file.
        shape: of the model that opens the show; it decides the layout.
        create: make it anew (the supervisor), else open it.
        writable: False for who only looks.
    """

    def __init__(
        self, path: Path, shape: ModelShape, create: bool = False, writable: bool = True
    ) -> None:
        """Map the file."""
        self.path, self.shape = path, shape
        kind = slot_type(shape)
        if create:
            allocate(path, SLOTS * kind.itemsize)
        mode: Any = "r+" if writable else "r"
        self.slots: NDArray[Any] = np.memmap(path, dtype=kind, mode=mode, shape=(SLOTS,))
        if create:
            self.slots["seq"] = -1
        self.written = 0

    def write(self, row: NDArray[Any]) -> None:
        """Publish a frame; `row` is a 0-d record of :func:`slot_type` and its seq is set here."""
        slot = self.written % SLOTS
        row["seq"] = -1
        self.slots[slot] = row
        self.slots["seq"][slot] = self.written
        self.written += 1

    def read(self, start: int) -> tuple[list[NDArray[Any]], int, int]:
        """Return (frames from number `start` on, the next number, how many were lost)."""
        out: list[NDArray[Any]] = []
        lost = 0
        while True:
            slot = start % SLOTS
            seq = int(self.slots["seq"][slot])
            if seq == start:
                copy = self.slots[slot].copy()
                if int(self.slots["seq"][slot]) == start:
                    out.append(copy)
                    start += 1
                    continue
                seq = int(self.slots["seq"][slot])
            if seq > start:  # overtaken: go on where the writer is not about to write
                ahead = int(self.slots["seq"].max()) - SLOTS // 2
                lost += ahead - start
                start = ahead
                continue
            return out, start, lost

    def end(self, start: int | None = None) -> int:
        """Return one past the newest frame's number.

        Args:
            start: what the last call returned, to look at new frames only.
        """
        seqs = self.slots["seq"]
        if start is None or seqs[start % SLOTS] > start:
            return int(seqs.max()) + 1
        while seqs[start % SLOTS] == start:
            start += 1
        return start

    def latest(self, end: int, count: int) -> list[NDArray[Any]]:
        """Return copies of the `count` frames before number `end`, oldest first, or fewer."""
        return [self.slots[i % SLOTS].copy() for i in range(max(0, end - count), end)]

    def close(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def newest_fitting(packets: Sequence[Packet]) -> list[Packet]:
    """Return the newest packets, as many as a slot has room for.

    Perform from these alone: what isn't recorded must not be heard, or no replay hears the same.
    """
    newest = list(packets)[-PACKETS:]
    while sum(len(p.data) for p in newest) > PACKET_BYTES:
        newest.pop(0)
    return newest


def put_packets(row: NDArray[Any], packets: Sequence[Packet]) -> None:
    """Lay packets into a slot; the newest ones, as far as there is room."""
    offset = 0
    newest = newest_fitting(packets)
    row["packets"] = len(newest)
    for i, packet in enumerate(newest):
        row["packet_arrival"][i] = packet.arrival_ns
        row["packet_length"][i] = len(packet.data)
        row["packet_data"][offset : offset + len(packet.data)] = np.frombuffer(
            packet.data, np.uint8
        )
        offset += len(packet.data)


def samples_of(row: NDArray[Any]) -> NewestSamples:
    """Return what was captured at a row's tick: without body and face where an operator had cut them."""
    samples = newest(get_packets(row))
    if row["control"] & CUT:
        return samples._replace(body=None, face=None)
    return samples


def get_packets(row: NDArray[Any]) -> Iterator[Packet]:
    """Yield the packets of a slot, as they were."""
    offset = 0
    for i in range(int(row["packets"])):
        length = int(row["packet_length"][i])
        yield Packet(
            int(row["packet_arrival"][i]), row["packet_data"][offset : offset + length].tobytes()
        )
        offset += length


def shape_fits(room: ModelShape, shape: ModelShape) -> bool:
    """Tell whether a model fits into the slots of a show that a model of shape `room` opened."""
    return flat_width(shape.inputs()) <= _roomy(room.inputs()) and flat_width(
        shape.outputs()
    ) <= _roomy(room.outputs())


def frame_of(row: NDArray[Any]) -> Frame:
    """Return the emitted frame of a slot."""
    return Frame(int(row["tick"]), row["root"], row["rotations"], row["face"])


def rung_of(row: NDArray[Any]) -> str:
    """Return the rung's name."""
    return RUNGS[int(row["rung"])]


def sounds_of(row: NDArray[Any]) -> Iterator[Floats]:
    """Yield the sounds (800,) of a row's packets, as they arrived; damaged ones are passed over."""
    for packet in get_packets(row):
        try:
            content = decode(packet.data)
        except BadInput:
            continue
        if isinstance(content, np.ndarray):
            yield content


def place_sounds(sounds: dict[int, Floats], tick: int, arrived: list[Floats]) -> None:
    """Lay the newest sound at its row's tick, and earlier ones at the silent ticks just before it."""
    for sound in reversed(arrived):
        if tick < 0 or tick in sounds:
            return
        sounds[tick] = sound
        tick -= 1
