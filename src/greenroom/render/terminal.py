"""Draw a pose with braille dots, so that a terminal shows what a sender sends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import BONE, BONES, HUMANOID, PARENTS, Array, Floats

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille sign, by row and column."""
_DETAILS = ("Thumb", "Index", "Middle", "Ring", "Little", "Eye", "jaw")
_LINES = tuple(
    (parent, bone)
    for bone, parent in enumerate(PARENTS)
    if parent >= 0 and not any(part in BONES[bone] for part in _DETAILS)
)
_IDENTITY = np.asarray([0, 0, 0, 1], dtype=np.float32)
_HEAD_DOTS = 4
_WIDE, _HIGH = 1.1, 1.95
"""Metres to either side of the hips, and above the floor, that are in the picture."""


def braille_pose(rotations: Floats, validity: Floats, size: tuple[int, int] = (22, 13)) -> str:
    """Return a pose seen from the front; bones that are missing are left out.

    Args:
        rotations: (55, 4), unit quaternions xyzw.
        validity: (55,), 0 missing to 1 trusted.
        size: columns and rows of signs.

    Returns:
        Rows of braille signs, joined by line ends.
    """
    columns, rows = size
    dots = np.zeros((4 * rows, 2 * columns), dtype=np.bool_)
    turns = np.where(validity[:, None] > 0, rotations, _IDENTITY)
    root = HUMANOID.offsets[:1]
    places = HUMANOID.world(HUMANOID.rest_translations(1, root), turns[None])[0][0]
    x = (places[:, 0] / _WIDE + 1) / 2 * (2 * columns - 1)
    y = (1 - places[:, 1] / _HIGH) * (4 * rows - 1)
    points = np.stack([x, y], axis=1)
    for parent, bone in _LINES:
        if validity[parent] > 0 or validity[bone] > 0:
            _draw_line(dots, points[parent], points[bone])
    if validity[BONE["head"]] > 0:
        _draw_line(dots, points[BONE["head"]] - [1, _HEAD_DOTS], points[BONE["head"]])
        _draw_line(dots, points[BONE["head"]] - [-1, _HEAD_DOTS], points[BONE["head"]])
    return "\n".join(
        "".join(
            _sign(dots[4 * row : 4 * row + 4, 2 * column : 2 * column + 2])
            for column in range(columns)
        )
        for row in range(rows)
    )


def _draw_line(dots: NDArray[np.bool_], start: Array, end: Array) -> None:
    steps = int(np.abs(end - start).max()) + 2
    line = np.rint(start + np.linspace(0, 1, steps)[:, None] * (end - start)).astype(int)
    inside = (line >= 0).all(axis=1) & (line[:, 0] < dots.shape[1]) & (line[:, 1] < dots.shape[0])
    dots[line[inside, 1], line[inside, 0]] = True


def _sign(dots: NDArray[np.bool_]) -> str:
    bits = sum(_DOTS[row][column] for row in range(4) for column in range(2) if dots[row, column])
    return chr(0x2800 + bits)


def level_bar(db: float, width: int = 20, floor: float = -60.0) -> str:
    """Return a level as a bar from `floor` dB to full scale.

    >>> level_bar(-30, 10), level_bar(0, 4), level_bar(float("-inf"), 4)
    ('█████░░░░░', '████', '░░░░')
    """
    full = round(width * min(1.0, max(0.0, 1 - db / floor))) if np.isfinite(db) else 0
    return "█" * full + "░" * (width - full)
