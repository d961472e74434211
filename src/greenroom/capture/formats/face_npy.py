"""Read face weights from a plain NumPy array and a list of names: what a face rig can export at least.

Convention (source → ours): an .npy file, version 1 or 2, of 16, 32 or 64 bit floats, rows × columns →
(T, B) float32 at 30 Hz, linearly between rows; a column a channel, named by a names file, names kept
as they are; weights in [0, 1], NaN → missing. The array says neither its rate nor its names.

The header is matched, not evaluated, and the bytes are viewed, not loaded: nothing in the file can run
or ask for memory that the file does not fill.
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np

from greenroom.capture.skeleton.mapping import (
    AUTOMATIC,
    MAX_CHANNELS,
    Mapping,
    check_channels,
    read_mapping,
)
from greenroom.errors import BadInput
from greenroom.frames import RATE_TOLERANCE, TICK_HZ, Array, Face, ticks_of

MAGIC = b"\x93NUMPY"
MAX_BYTES = 1 << 30
MAX_HEADER = 4096
MAX_WEIGHTS = 1 << 28
OVERSHOOT = 0.05
"""Animation curves overshoot a little; so far beyond [0, 1] a weight is clipped, farther refused."""

_KEY = {
    "descr": re.compile(rb"'descr'\s*:\s*(?:'([^']{1,16})'|\[)"),
    "order": re.compile(rb"'fortran_order'\s*:\s*(True|False)\b"),
    "shape": re.compile(rb"'shape'\s*:\s*\(([0-9L, ]{0,80})\)"),
}
_FLOAT = re.compile(r"[<>=|]?f[248]")


def is_face(head: bytes) -> bool:
    """Return whether a file that begins so is an .npy array, other than of text (a list of names)."""
    if not head.startswith(MAGIC):
        return False
    descr = _KEY["descr"].search(head[:256])
    return descr is None or descr[1] is None or descr[1].lstrip(b"<>=|")[:1] not in (b"U", b"S")


def read_face_npy(data: bytes, *, where: str) -> Array:
    """Parse an .npy file (source → ours: any float, byte order and memory order → (T, B) as it was).

    Args:
        data: the file.
        where: what to call it in errors.

    Returns:
        Shape (T, B), rows of the source at its own rate, unchecked.

    Raises:
        BadInput: not such an array, or its header promises what the file does not hold.
    """

    def fail(what: str, then: str = "save it with numpy.save, rows by channels") -> BadInput:
        return BadInput(what, where=where, then=then)

    if len(data) > MAX_BYTES:
        raise fail(f"{len(data)} bytes; at most {MAX_BYTES}", "split it")
    wide = 4 if data[6:7] == b"\x02" else 2
    start = 8 + wide
    if not data.startswith(MAGIC) or data[6:8] not in (b"\1\0", b"\2\0") or len(data) < start:
        raise fail("not an .npy file of version 1 or 2")
    length = int.from_bytes(data[8:start], "little")
    if length > MAX_HEADER:
        raise fail(f"a header of {length} bytes; at most {MAX_HEADER}")
    header = data[start : start + length]
    descr, order, shape = (_KEY[key].search(header) for key in _KEY)
    if descr is None or order is None or shape is None or len(header) < length:
        raise fail("no readable .npy header", "copy it again, or save it with numpy.save")
    kind = (descr[1] or b"a record").decode("latin-1")
    if not _FLOAT.fullmatch(kind):
        raise fail(f"an array of {kind!r}", "save floats: array.astype('float32'), never objects")
    sizes = [
        int(size) for size in shape[1].replace(b"L", b"").split(b",") if size.strip().isdigit()
    ]
    if len(sizes) != 2 or not sizes[0] or not 1 <= sizes[1] <= MAX_CHANNELS:
        raise fail(
            f"shape {tuple(sizes)}",
            f"an array has two axes: frames, then 1 to {MAX_CHANNELS} channels",
        )
    actual_bytes = len(data) - start - length
    expected_bytes = sizes[0] * sizes[1] * np.dtype(kind).itemsize
    if actual_bytes != expected_bytes:
        raise fail(
            f"{actual_bytes} bytes of weights where shape {tuple(sizes)} needs {expected_bytes}",
            "copy it again",
        )
    flat = np.frombuffer(data, dtype=kind, offset=start + length)
    return flat.reshape(sizes, order="F" if order[1] == b"True" else "C")


def to_face(rows: Array, channels: tuple[str, ...], rate: float, *, where: str) -> Face:
    """Return rows of weights as a face (source → ours: own rate → 30 Hz, linearly; NaN → missing).

    Args:
        rows: shape (T, B), at `rate`.
        channels: B names.
        rate: rows a second.
        where: what to call the file in errors.

    Raises:
        BadInput: names and columns differ in number, or a weight is outside [0, 1] by over 0.05.

    >>> face = to_face(np.array([[0.0], [0.5], [1.0]]), ("jawOpen",), 60.0, where="a.npy")
    >>> face.weights.tolist()
    [[0.0], [1.0]]
    """
    if len(channels) != rows.shape[1]:
        problem = f"{rows.shape[1]} columns but {len(channels)} names"
        then = "name every column, in its order" if channels else NAME_THEM
        raise BadInput(problem, where=where, then=then)
    wrong = ~((rows >= -OVERSHOOT) & (rows <= 1 + OVERSHOOT) | np.isnan(rows))
    if wrong.any():
        frame, column = (int(index) for index in np.argwhere(wrong)[0])
        raise BadInput(
            f"{channels[column]!r} is {rows[frame, column]:.6g}; weights are 0 to 1",
            where=f"{where}: frame {frame}, column {column}",
            then="scale it to 0 to 1, or write NaN where it is missing",
        )
    if np.isnan(rows).all():
        raise BadInput("every weight is missing", where=where, then="export it again")
    ticks = ticks_of(rate, len(rows))
    if ticks * rows.shape[1] > MAX_WEIGHTS:
        raise BadInput(f"{ticks} ticks of {rows.shape[1]} channels", where=where, then="split it")
    if abs(rate / TICK_HZ - 1) > RATE_TOLERANCE:
        rows = _resampled(rows, np.arange(ticks) * (rate / TICK_HZ))
    return Face(channels, np.clip(rows, 0, 1).astype(np.float32))


def _resampled(rows: Array, positions: Array) -> Array:
    """Return rows between rows; between a missing one and another nothing is known."""
    nearest = np.round(positions)
    positions = np.where(np.abs(positions - nearest) < 1e-6, nearest, positions)
    left = np.minimum(positions.astype(np.int64), len(rows) - 1)
    right = np.minimum(left + 1, len(rows) - 1)
    part = (positions - left)[:, None]
    early, late = rows[left].astype(np.float64), rows[right].astype(np.float64)
    return np.where(part > 0, early * (1 - part) + late * part, early)


NAMES_FILES = ("channel_names.json", "channel_names.txt")
"""Beside an array, or in a folder above it; `<stem>.names.json` and `.txt` are one array's own."""
NAME_THEM = f"put {NAMES_FILES[1]} beside it: a name a line, in the order of the columns"


def read_names(data: bytes, *, where: str) -> Mapping:
    """Parse a names file (source → ours: a name a line, or a mapping file's JSON → names as they are).

    Args:
        data: UTF-8; as JSON a list of names, or an object with `channels` and, if it says so, `rate`.
        where: what to call it in errors.

    Raises:
        BadInput: it names nothing, or something twice.
    """
    if where.lower().endswith(".json"):
        if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
            data = b'{"channels": ' + data.removeprefix(b"\xef\xbb\xbf") + b"}"
        mapping = read_mapping(data, where=where)
        return Mapping(rate=mapping.rate, channels=check_channels(list(mapping.channels), where))
    try:
        lines = data[: 1 << 21].decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise BadInput("not UTF-8", where=where, then="save it as UTF-8") from None
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    return Mapping(AUTOMATIC.names, channels=check_channels(names, where))


def write_face(face: Face) -> bytes:
    r"""Return a CSV: `tick` and a column a channel; a missing weight is an empty cell.

    >>> write_face(Face(("jaw,open", "blink"), np.float32([[0.1, np.nan]])))
    b'tick,"jaw,open",blink\n0,0.1,\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("tick", *face.channels))
    for tick, row in enumerate(face.weights):
        cells = row.astype(np.str_)  # the shortest digits that give the same float32
        writer.writerow((tick, *np.where(np.isnan(row), "", cells).tolist()))
    return out.getvalue().encode()
