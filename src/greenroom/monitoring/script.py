"""Read what a show means to do when, so that a dance number is not taken for drift."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection
from dataclasses import dataclass

from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput

_THEN = "write a header `start,end,scene`, then a line a scene, in seconds"


@dataclass(frozen=True)
class Scene:
    """One scene of a script.

    Attributes:
        first: its first tick.
        last: one past its last tick.
        name: of what is done.
    """

    first: int
    last: int
    name: str


def read_script(data: bytes, where: str) -> list[Scene]:
    r"""Return the scenes of a CSV file, in their order.

    Raises:
        BadInput: a line says no scene, or one ends before it begins.

    >>> read_script(b"start,end,scene\n0,1.5,walk\n1.5,4,dance\n", "script.csv")[1]
    Scene(first=45, last=120, name='dance')
    """
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        lines = list(rows)
        names = rows.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"this script cannot be read: {error}", where=where, then=_THEN) from None
    if not {"start", "end", "scene"} <= set(names):
        raise BadInput(f"a script has start, end and scene, not {', '.join(names)}", where=where)
    out = []
    for number, line in enumerate(lines, 2):
        at = f"{where}:{number}"
        try:
            first, last = (round(float(line[name]) * TICK_HZ) for name in ("start", "end"))
        except (TypeError, ValueError, OverflowError):
            raise BadInput("start and end are seconds", where=at, then=_THEN) from None
        name = (line["scene"] or "").strip()
        if not name or not 0 <= first < last:
            raise BadInput("a scene has a name, and ends after it begins", where=at, then=_THEN)
        out.append(Scene(first, last, name))
    return out


def excused(script: list[Scene], known: Collection[str]) -> Callable[[int], bool]:
    """Return what tells whether a new style is wanted at a tick: the script's scene is none of `known`.

    Args:
        script: the scenes.
        known: names of scenes that the reference has.

    >>> wanted = excused([Scene(0, 45, "walk"), Scene(45, 120, "dance")], {"walk"})
    >>> wanted(44), wanted(45), wanted(120)
    (False, True, False)
    """
    new = [scene for scene in script if scene.name not in known]
    return lambda tick: any(scene.first <= tick < scene.last for scene in new)
