"""Read and write BVH, the text that motion capture is handed around in, fast and without surprises.

Convention (source → ours): degrees → unit quaternions; the order in which a joint's rotation
channels stand is its Euler order, outermost first; position channels replace the joint's OFFSET;
one unit → metres by the guess in :mod:`greenroom.capture.skeleton.units` unless it is given. Axes
and rate
stay the source's: :mod:`greenroom.capture.skeleton.retarget` turns them into ours.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

import numpy as np

from greenroom.capture.skeleton.units import guess_unit
from greenroom.errors import BadInput
from greenroom.frames import TICK_HZ, Array, Body, Doubles, Motion, Skeleton
from greenroom.rotations import from_euler, to_euler

MAX_BYTES = 512 << 20
MAX_JOINTS = 1024
MAX_DEPTH = 256
MAX_HEADER = 4 << 20
MAX_VALUE = 1e7
MAX_RATE, MIN_RATE = 10_000.0, 0.1

_MOTION = re.compile(rb"^[ \t]*MOTION[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_FRAMES = re.compile(rb"\s*Frames[ \t]*:?[ \t]*(\S*)[ \t\r]*(?:\n|$)", re.IGNORECASE)
_TIME = re.compile(rb"\s*Frame[ \t]+Time[ \t]*:?[ \t]*(\S*)[ \t\r]*(?:\n|$)", re.IGNORECASE)
_CHANNEL = re.compile(r"([XYZ])(position|rotation)$", re.IGNORECASE)


@dataclass
class _Joint:
    name: str
    parent: int
    line: int
    offset: tuple[float, float, float] | None = None
    channels: list[tuple[str, bool]] | None = None
    """(axis, is a rotation), in the order of the file; None until the CHANNELS line."""


@dataclass
class _Tree:
    joints: list[_Joint] = field(default_factory=list)
    ends: list[tuple[int, tuple[float, float, float]]] = field(default_factory=list)


def read_bvh(data: bytes, *, where: str, metres_per_unit: float | None = None) -> Motion:
    r"""Parse a BVH file (source → ours: degrees → quaternions, units → metres; own axes and rate).

    Args:
        data: the file. A byte-order mark, CRLF, tabs, blank lines, trailing blanks and keywords in
            any case are accepted.
        where: what to call the file in errors.
        metres_per_unit: what one unit is; guessed from the skeleton's proportions when None.

    Returns:
        The motion on the source's own skeleton: translations (T, J, 3) in metres, rotations
        (T, J, 4), unit quaternions xyzw. An axis without a position channel stays at the OFFSET.

    Raises:
        BadInput: names the file with its line or frame, what is wrong there, and what to do.

    >>> text = b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Zrotation\nEnd Site\n{\n"
    >>> text += b"OFFSET 0 1 0\n}\n}\nMOTION\nFrames: 1\nFrame Time: 0.1\n90\n"
    >>> motion = read_bvh(text, where="a.bvh", metres_per_unit=1.0)
    >>> motion.skeleton.names, motion.rate, motion.rotations.round(4).tolist()
    (('a',), 10.0, [[[0.0, 0.0, 0.7071, 0.7071]]])
    """
    if len(data) > MAX_BYTES:
        raise BadInput(
            f"{len(data)} bytes; a BVH may have {MAX_BYTES}", where=where, then="split it"
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    motion_line = _MOTION.search(data, 0, MAX_HEADER)
    if motion_line is None:
        problem = "no MOTION line" if b"HIERARCHY" in data[:200].upper() else "not a BVH file"
        raise BadInput(problem, where=where, then="the file is cut short or of another format")
    tree = _read_tree(data[: motion_line.start()], where)
    frames, rate, start = _read_timing(data, motion_line.end(), where)
    columns = sum(len(joint.channels or ()) for joint in tree.joints)
    values = _read_block(data, start, frames=frames, columns=columns, where=where)
    return _assemble(tree, values, rate=rate, metres_per_unit=metres_per_unit, where=where)


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _pieces(header: bytes) -> list[tuple[int, str]]:
    """Split the hierarchy into (line, text) pieces, with each brace a piece of its own."""
    text = header.decode("utf-8", errors="replace")
    out = []
    for number, line in enumerate(text.split("\n"), 1):
        for piece in re.split(r"([{}])", line):
            if piece := piece.strip():
                out.append((number, piece))
    return out


class _TreeReader:
    """Walk a hierarchy's pieces with a stack of our own, so that nesting cannot exhaust ours."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.tree = _Tree()
        self.stack: list[int] = []  # open joints; -2 is an open End Site
        self.opening: int | None = None
        self.names: set[str] = set()

    def fail(self, line: int, what: str, then: str = "export the file again") -> BadInput:
        return BadInput(what, where=f"{self.where}:{line}", then=then)

    def feed(self, line: int, piece: str) -> None:
        words = piece.split()
        key = words[0].upper()
        if piece == "{":
            if self.opening is None:
                raise self.fail(line, "'{' without a joint before it")
            self.stack.append(self.opening)
            self.opening = None
        elif self.opening is not None:
            raise self.fail(line, f"expected '{{', found {piece[:40]!r}")
        elif piece == "}":
            self.close(line)
        elif key in ("ROOT", "JOINT"):
            self.joint(line, key, " ".join(words[1:]))
        elif key == "END" and self.stack and self.stack[-1] >= 0:
            self.opening = -2
        elif key == "OFFSET":
            self.offset(line, words[1:])
        elif key == "CHANNELS":
            self.channels(line, words[1:])
        elif not (key == "HIERARCHY" and not self.tree.joints):
            raise self.fail(line, f"unknown keyword {piece[:40]!r}")

    def close(self, line: int) -> None:
        if not self.stack:
            raise self.fail(line, "'}' closes nothing")
        j = self.stack.pop()
        if j >= 0 and self.tree.joints[j].offset is None:
            raise self.fail(line, f"joint {self.tree.joints[j].name!r} has no OFFSET")

    def joint(self, line: int, key: str, name: str) -> None:
        joints = self.tree.joints
        if not name:
            raise self.fail(line, f"{key} without a name", "give every joint a name")
        if (key == "ROOT") != (not joints):
            raise self.fail(line, f"{key} {name!r}: one ROOT, and it comes first", "split the file")
        if key == "JOINT" and (not self.stack or self.stack[-1] < 0):
            raise self.fail(line, f"joint {name!r} stands outside a joint")
        if name in self.names:
            above = {joints[j].name for j in self.stack if j >= 0}
            how = "is its own ancestor" if name in above else "appears twice"
            raise self.fail(line, f"joint {name!r} {how}", "give every joint its own name")
        if len(joints) >= MAX_JOINTS or len(self.stack) >= MAX_DEPTH:
            limits = f"{MAX_JOINTS} joints, {MAX_DEPTH} deep"
            raise self.fail(line, f"the hierarchy is beyond {limits}", "export fewer joints")
        self.names.add(name)
        self.opening = len(joints)
        joints.append(_Joint(name, self.stack[-1] if self.stack else -1, line))

    def offset(self, line: int, words: list[str]) -> None:
        try:
            x, y, z = (float(word) for word in words)
        except ValueError:
            raise self.fail(line, f"OFFSET takes three numbers, found {words[:4]}") from None
        if not all(abs(v) <= MAX_VALUE for v in (x, y, z)):
            raise self.fail(line, f"OFFSET {x} {y} {z} is not a place")
        if not self.stack:
            raise self.fail(line, "OFFSET outside a joint")
        if self.stack[-1] == -2:
            self.tree.ends.append((self.stack[-2], (x, y, z)))
        else:
            self.tree.joints[self.stack[-1]].offset = (x, y, z)

    def channels(self, line: int, words: list[str]) -> None:
        if not self.stack or self.stack[-1] < 0:
            raise self.fail(line, "CHANNELS outside a joint")
        joint = self.tree.joints[self.stack[-1]]
        matches = [_CHANNEL.match(word) for word in words[1:]]
        named = [(m[1].upper(), m[2].lower() == "rotation") for m in matches if m is not None]
        if len(named) != len(matches):
            raise self.fail(
                line, f"unknown channel in {words[1:]}", "use [XYZ]position, [XYZ]rotation"
            )
        if not words or words[0] != str(len(named)):
            raise self.fail(line, f"CHANNELS {' '.join(words[:1])} but {len(named)} names follow")
        if len(set(named)) != len(named) or joint.channels is not None:
            raise self.fail(line, f"joint {joint.name!r} has a channel twice")
        joint.channels = named


def _read_tree(header: bytes, where: str) -> _Tree:
    reader = _TreeReader(where)
    line = 1
    for line, piece in _pieces(header):
        reader.feed(line, piece)
    if reader.stack or reader.opening is not None:
        raise reader.fail(line, "a '{' is never closed")
    if not reader.tree.joints:
        raise reader.fail(line, "no ROOT joint")
    return reader.tree


def _read_timing(data: bytes, position: int, where: str) -> tuple[int, float, int]:
    """Return the number of frames, frames a second, and where the block starts."""
    frames = _FRAMES.match(data, position)
    if frames is None:
        line = _line_of(data, position) + 1
        raise BadInput("expected 'Frames: N'", where=f"{where}:{line}", then="export it again")
    line = _line_of(data, frames.start(1))
    if not frames[1].isdigit() or len(frames[1]) > 9 or int(frames[1]) < 1:
        count = frames[1][:20].decode(errors="replace")
        raise BadInput(
            f"Frames: {count!r}; at least 1", where=f"{where}:{line}", then="record again"
        )
    time = _TIME.match(data, frames.end())
    try:
        period = float(time[1]) if time else float("nan")
    except ValueError:
        period = float("nan")
    if not (1 / MAX_RATE <= period <= 1 / MIN_RATE):
        raise BadInput(
            f"Frame Time must be {1 / MAX_RATE} to {1 / MIN_RATE} seconds",
            where=f"{where}:{line + 1}",
            then="write the seconds between frames, such as 0.033333",
        )
    assert time is not None
    return int(frames[1]), 1.0 / period, time.end()


def _read_block(data: bytes, start: int, frames: int, columns: int, where: str) -> Doubles:
    """Return the motion block (T, C); memory follows the bytes present, not the header's word."""
    body = data[start:]
    if not columns:
        raise BadInput("no joint has channels", where=where, then="export it with its motion")
    if len(body) < 2 * columns * frames - 1:  # a digit and a blank for every value
        rows = sum(1 for row in body.split(b"\n") if row.strip())
        raise BadInput(
            f"Frames: {frames}, but the file ends after {rows} rows",
            where=f"{where}: frame {rows}",
            then="the file is cut short: copy it again",
        )
    try:
        text = body.decode("ascii")
        values = np.loadtxt(io.StringIO(text), dtype=np.float64, comments=None, ndmin=2)
    except (ValueError, UnicodeDecodeError):
        raise _row_error(body, _line_of(data, start), columns, where) from None
    if values.shape[1] != columns:
        raise _row_error(body, _line_of(data, start), columns, where)
    if len(values) != frames:
        problem = f"Frames: {frames}, but {len(values)} rows follow"
        then = (
            "the file is cut short: copy it again" if len(values) < frames else "correct the count"
        )
        raise BadInput(problem, where=f"{where}: frame {min(len(values), frames)}", then=then)
    bad = ~(np.abs(values) <= MAX_VALUE)
    if bad.any():
        frame, column = np.argwhere(bad)[0]
        raise BadInput(
            f"value {column + 1} is {values[frame, column]}",
            where=f"{where}: frame {frame}",
            then="cut these frames, or export again",
        )
    return values


def _row_error(body: bytes, first: int, columns: int, where: str) -> BadInput:
    """Say which row loadtxt could not take; called only once something is known to be wrong."""
    frame = 0
    for number, row in enumerate(body.split(b"\n"), first):
        words = row.split()
        if not words:
            continue
        place = f"{where}:{number}"
        if len(words) != columns:
            what = f"frame {frame} has {len(words)} values, the hierarchy has {columns} channels"
            return BadInput(
                what, where=place, then="the file is cut short or damaged: copy it again"
            )
        for word in words:
            try:
                float(word)
            except ValueError:
                what = f"frame {frame} has {word[:20]!r} where a number belongs"
                return BadInput(what, where=place, then="export it again")
        frame += 1
    return BadInput("the motion block cannot be read", where=where, then="export it again")


def _assemble(
    tree: _Tree, values: Doubles, rate: float, metres_per_unit: float | None, where: str
) -> Motion:
    joints = tree.joints
    offsets = np.array([joint.offset for joint in joints], dtype=np.float64)
    names = tuple(joint.name for joint in joints)
    parents = tuple(joint.parent for joint in joints)
    if metres_per_unit is None:
        ends = [(j, np.array(place)) for j, place in tree.ends]
        metres_per_unit = guess_unit(Skeleton(names, parents, offsets), ends, where=where)
    frames = len(values)
    places = np.broadcast_to(offsets, (frames, len(joints), 3)).copy()
    turns = np.zeros((frames, len(joints), 4))
    turns[..., 3] = 1.0
    groups: dict[str, tuple[list[int], list[list[int]]]] = {}
    moving = np.zeros(len(joints), dtype=np.bool_)
    orders = []
    column = 0
    for j, joint in enumerate(joints):
        columns: list[int] = []
        order = ""
        for axis, turn in joint.channels or ():
            if turn:
                order += axis
                columns.append(column)
            else:
                places[:, j, "XYZ".index(axis)] = values[:, column]
                moving[j] = True
            column += 1
        orders.append(order)
        if order:
            group = groups.setdefault(order, ([], []))
            group[0].append(j)
            group[1].append(columns)
    for order, (members, wanted) in groups.items():
        turns[:, members] = from_euler(values[:, wanted], order)
    m = metres_per_unit
    return Motion(
        skeleton=Skeleton(names, parents, offsets * m),
        rate=rate,
        translations=places * m,
        rotations=turns,
        orders=tuple(orders),
        moving=moving,
        metres_per_unit=m,
        ends=tuple((j, (x * m, y * m, z * m)) for j, (x, y, z) in tree.ends),
    )


def write_bvh(motion: Motion) -> bytes:
    """Write a motion as BVH on its own skeleton, in its own unit and Euler orders.

    Rotations are written with nine decimals of a degree, positions with nine of a unit. A joint
    that turned about one or two axes is written with three, in an order that begins with its own;
    one that moved along some axes is written with three.

    Args:
        motion: as :func:`read_bvh` returns it, or :func:`body_to_motion`.

    Returns:
        The file, with LF line ends.
    """
    orders = [_full(order) for order in motion.orders]
    lines = ["HIERARCHY"]
    written = _write_joints(motion, orders, lines)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.rate:.10g}"]
    columns: list[Array] = []
    for j in written:
        if motion.moving[j]:
            columns.append(motion.translations[:, j] / motion.metres_per_unit)
        if orders[j]:
            columns.append(to_euler(motion.rotations[:, j], orders[j]))
    block = np.concatenate(columns, axis=1) + 0.0  # + 0.0 turns -0.0 into 0.0
    row = " ".join(["%.9f"] * block.shape[1])
    lines += [row % tuple(values) for values in block.tolist()]
    return ("\n".join(lines) + "\n").encode()


def _full(order: str) -> str:
    """Return a three-axis order that begins with `order`; "" stays "".

    >>> _full("ZXY"), _full("Z"), _full("YX"), _full("")
    ('ZXY', 'ZXY', 'YXZ', '')
    """
    return order + "".join(axis for axis in "ZXY" if axis not in order) if order else ""


def _write_joints(motion: Motion, orders: list[str], lines: list[str]) -> list[int]:
    """Add the hierarchy to `lines`; return the joints in its order, which is the columns'."""
    skeleton, unit = motion.skeleton, motion.metres_per_unit
    ends = dict(motion.ends)
    children: dict[int, list[int]] = {}
    for j, parent in enumerate(skeleton.parents):
        children.setdefault(parent, []).append(j)

    def offset(place: object) -> str:
        x, y, z = np.asarray(place, dtype=np.float64) / unit + 0.0
        return f"OFFSET {x:.9f} {y:.9f} {z:.9f}"

    written: list[int] = []
    todo: list[tuple[int, int]] = [(j, 0) for j in reversed(children.get(-1, []))]
    while todo:
        j, depth = todo.pop()
        pad = "  " * depth
        if j < 0:
            lines.append(f"{pad}}}")
            continue
        written.append(j)
        channels = ["Xposition", "Yposition", "Zposition"] if motion.moving[j] else []
        channels += [f"{axis}rotation" for axis in orders[j]]
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {skeleton.names[j]}")
        lines += [f"{pad}{{", f"{pad}  {offset(skeleton.offsets[j])}"]
        lines.append(f"{pad}  CHANNELS {len(channels)} {' '.join(channels)}".rstrip())
        if j in ends or j not in children:
            place = offset(ends.get(j, (0.0, 0.0, 0.0)))
            lines += [f"{pad}  End Site", f"{pad}  {{", f"{pad}    {place}", f"{pad}  }}"]
        todo.append((-1, depth))
        todo += [(child, depth + 1) for child in reversed(children.get(j, []))]
    return written


def body_to_motion(body: Body) -> Motion:
    """Return the humanoid as a motion of 55 joints at 30 Hz, for writing: centimetres, order ZXY.

    Args:
        body: the humanoid; missing bones are written in the T-pose.
    """
    joints = len(body.skeleton.names)
    moving = np.zeros(joints, dtype=np.bool_)
    moving[0] = True
    return Motion(
        skeleton=body.skeleton,
        rate=float(TICK_HZ),
        translations=body.skeleton.rest_translations(len(body), body.root),
        rotations=body.filled().astype(np.float64),
        orders=("ZXY",) * joints,
        moving=moving,
        metres_per_unit=0.01,
    )
