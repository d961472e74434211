"""Read DeepMimic's motion text: the clips that pybullet carries are real mocap we may ship.

Convention (source → ours): JSON with ``Loop`` and ``Frames``, 44 numbers a frame: duration in s,
root position in m (3), then rotations as quaternions w first (4) or one angle about +Z in radians
(1), in the order of ``_COLUMNS``; +X ahead, +Y up, +Z to the performer's right; local to the
parent, relative to standing with the arms down. Frames have their own durations → one rate, by
slerp. The lengths are those of ``pybullet_data/humanoid/humanoid.urdf`` (zlib), whose numbers are
four times the metres. Its ``neck`` is where the neck begins, 2 cm below the shoulders; the head is
fixed to it, so a ``head`` without a rotation of its own is added at the base of the skull.

The order and w-first were proved by looking: with them the feet of ``walk`` stay near the floor,
knees bend back, elbows forward, and the root moves the way the hips face; tests keep it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import Array, Motion, Skeleton
from greenroom.rotations import continuous, normalise, slerp

MAX_BYTES = 64 << 20
MAX_SECONDS = 3600.0
_ORDER = "ZXY"

_SKULL = 0.175 - 0.1025 + 0.02
"""The skull's base above the neck joint: the URDF's head is a sphere of 0.1025, 0.175 above it."""

# joint, parent, place on the parent (m), first column of its rotation, number of columns.
_COLUMNS: tuple[tuple[str, str, tuple[float, float, float], int, int], ...] = (
    ("root", "", (0.0, 0.0, 0.0), 4, 4),
    ("chest", "root", (0.0, 0.236151, 0.0), 8, 4),
    ("neck", "chest", (0.0, 0.223894, 0.0), 12, 4),
    ("head", "neck", (0.0, _SKULL, 0.0), 0, 0),
    ("right_hip", "root", (0.0, 0.0, 0.084887), 16, 4),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0), 20, 1),
    ("right_ankle", "right_knee", (0.0, -0.409870, 0.0), 21, 4),
    ("right_shoulder", "chest", (-0.02405, 0.2435, 0.18311), 25, 4),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0), 29, 1),
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0), 0, 0),
    ("left_hip", "root", (0.0, 0.0, -0.084887), 30, 4),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0), 34, 1),
    ("left_ankle", "left_knee", (0.0, -0.409870, 0.0), 35, 4),
    ("left_shoulder", "chest", (-0.02405, 0.2435, -0.18311), 39, 4),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0), 43, 1),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0), 0, 0),
)
_WIDTH = 44
_SOLE = 0.055
"""The foot's box reaches this far below the ankle: centre 0.0225, half height 0.0275 (URDF)."""


def skeleton() -> Skeleton:
    """Return DeepMimic's humanoid in metres."""
    names = [row[0] for row in _COLUMNS]
    parents = tuple(names.index(row[1]) if row[1] else -1 for row in _COLUMNS)
    return Skeleton(tuple(names), parents, np.array([row[2] for row in _COLUMNS]))


def read_deepmimic(data: bytes, *, where: str) -> Motion:
    """Parse a DeepMimic clip (source → ours: w first → xyzw, durations → one rate; own axes).

    Args:
        data: the file.
        where: what to call it in errors.

    Returns:
        The motion on DeepMimic's skeleton at the rate of its commonest duration: its frames copied
        exactly where every duration is the same, by slerp between them where not. The last frame's
        duration is not played: nothing follows it.

    Raises:
        BadInput: names the file or the frame, and what is wrong.
    """
    table = _table(data, where)
    steps = table[:-1, 0]
    if not (steps > 0).all():
        frame = int(np.argmin(steps > 0))
        raise BadInput(
            f"a duration of {table[frame, 0]} s", where=f"{where}: frame {frame}", then="correct it"
        )
    places, turns = table[:, 1:4], _rotations(table)
    step = float(np.median(steps)) if len(steps) else float(table[0, 0]) or 1 / 30
    if not 1e-4 <= step <= 10.0 or steps.sum() > MAX_SECONDS:
        raise BadInput(
            f"steps of {step} s, {steps.sum():.0f} s long", where=where, then="correct it"
        )
    if len(steps) and np.abs(steps / step - 1).max() > 1e-3:
        places, turns = _uniform(places, turns, steps, step)
    joints = skeleton()
    moving = np.zeros(len(joints.names), dtype=np.bool_)
    moving[0] = True
    translations = np.broadcast_to(joints.offsets, (len(turns), len(joints.names), 3)).copy()
    translations[:, 0] = places
    return Motion(
        skeleton=joints,
        rate=1.0 / step,
        translations=translations,
        rotations=turns.astype(np.float64),
        orders=tuple(_ORDER if row[4] else "" for row in _COLUMNS),
        moving=moving,
        metres_per_unit=1.0,
        ends=tuple(
            (j, (0.1335, -_SOLE, 0.0)) for j, row in enumerate(_COLUMNS) if row[0].endswith("ankle")
        ),
    )


def _table(data: bytes, where: str) -> Array:
    """Return the frames (T, 44), checked."""
    if len(data) > MAX_BYTES:
        raise BadInput(f"{len(data)} bytes; at most {MAX_BYTES}", where=where, then="split it")
    try:
        raw: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not JSON: {error}", where=where, then="the file is cut short") from None
    frames = raw.get("Frames") if isinstance(raw, dict) else None
    if not isinstance(frames, list) or not frames:
        raise BadInput("no 'Frames' list with a frame in it", where=where, then="record it again")
    for k, frame in enumerate(frames):
        numbers = isinstance(frame, list) and all(type(v) in (int, float) for v in frame)
        if not numbers or len(frame) != _WIDTH:
            actual = f"{len(frame)} values" if isinstance(frame, list) else "no list"
            raise BadInput(
                f"{actual} where {_WIDTH} numbers belong",
                where=f"{where}: frame {k}",
                then="copy it again",
            )
    try:
        table = np.array(frames, dtype=np.float64)
    except OverflowError:
        raise BadInput("a number beyond all measure", where=where, then="export it again") from None
    bad = ~(np.abs(table) <= 1e5).all(axis=1)
    if bad.any():
        raise BadInput(
            "a value that is no measure",
            where=f"{where}: frame {int(np.argmax(bad))}",
            then="cut it",
        )
    return table


def _rotations(table: Array) -> Array:
    turns = np.zeros((len(table), len(_COLUMNS), 4))
    turns[..., 3] = 1.0
    for j, (_, _, _, first, width) in enumerate(_COLUMNS):
        if width == 4:
            turns[:, j] = normalise(table[:, [first + 1, first + 2, first + 3, first]])
        elif width == 1:
            turns[:, j, 2] = np.sin(table[:, first] / 2)
            turns[:, j, 3] = np.cos(table[:, first] / 2)
    return continuous(turns)


def _uniform(places: Array, turns: Array, steps: Array, step: float) -> tuple[Array, Array]:
    """Resample frames of different durations to one step."""
    times = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.arange(int(times[-1] / step + 1e-6) + 1) * step
    left = np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, len(steps) - 1)
    part = np.clip((wanted - times[left]) / steps[left], 0.0, 1.0)
    between = places[left] + (places[left + 1] - places[left]) * part[:, None]
    return between, slerp(turns[left], turns[left + 1], part[:, None])
