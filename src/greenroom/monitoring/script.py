"""Read what a show means to do when, so that a dance number is not taken for drift."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection
from dataclasses import dataclass

from greenroom.clock import TICK_HZ
from greenroom.contracts import CONTEXT
from greenroom.errors import BadInput

_THEN = "write a header `start,end,scene`, then a line a scene, in seconds"


@dataclass(frozen=True)
class ScriptScene:
    """One scene of a script.

    Attributes:
        first: its first tick.
        last: one past its last tick.
        name: of what is done.
        context: (tier, value) of what else it says, of `greenroom.contracts.CONTEXT`.
    """

    first: int
    last: int
    name: str
    context: tuple[tuple[str, str], ...] = ()


def read_script(data: bytes, where: str) -> list[ScriptScene]:
    r"""Return the scenes of a CSV file, in their order; columns `emotion` and `language` may be there.

    Raises:
        BadInput: a line says no scene, one ends before it begins, or two overlap.

    >>> read_script(b"start,end,scene,emotion\n0,1.5,walk,\n1.5,4,dance,happy\n", "script.csv")[1]
    ScriptScene(first=45, last=120, name='dance', context=(('emotion', 'happy'),))
    """
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        lines = list(rows)
        names = rows.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"this script cannot be read: {error}", where=where, then=_THEN) from None
    if not {"start", "end", "scene"} <= set(names):
        raise BadInput(f"a script has start, end and scene, not {', '.join(names)}", where=where)
    out: list[ScriptScene] = []
    for number, line in enumerate(lines, 2):
        location = f"{where}:{number}"
        try:
            first, last = (round(float(line[name]) * TICK_HZ) for name in ("start", "end"))
        except (TypeError, ValueError, OverflowError):
            raise BadInput("start and end are seconds", where=location, then=_THEN) from None
        name = (line["scene"] or "").strip()
        if not name or not 0 <= first < last:
            raise BadInput(
                "a scene has a name, and ends after it begins", where=location, then=_THEN
            )
        tiers = ((tier, (line.get(tier) or "").strip()) for tier in CONTEXT if tier != "scene")
        scene = ScriptScene(first, last, name, tuple(pair for pair in tiers if pair[1]))
        if any(scene.first < other.last and other.first < scene.last for other in out):
            raise BadInput("this scene overlaps another", where=location, then="let one end first")
        out.append(scene)
    return out


def tiers_of(script: list[ScriptScene]) -> dict[str, list[tuple[int, int, str]]]:
    """Return what a script tells of ticks, by tier: stretches (first tick, one past the last, value).

    >>> tiers_of([ScriptScene(0, 45, "walk"), ScriptScene(45, 120, "dance", (("emotion", "happy"),))])
    {'scene': [(0, 45, 'walk'), (45, 120, 'dance')], 'emotion': [(45, 120, 'happy')]}
    """
    out: dict[str, list[tuple[int, int, str]]] = {}
    for scene in script:
        for tier, value in (("scene", scene.name), *scene.context):
            out.setdefault(tier, []).append((scene.first, scene.last, value))
    return out


def excused(script: list[ScriptScene], reference_scenes: Collection[str]) -> Callable[[int], bool]:
    """Return what tells whether a new style is wanted at a tick: the script's scene is none of them.

    Args:
        script: the scenes.
        reference_scenes: names of scenes that the reference has.

    >>> wanted = excused([ScriptScene(0, 45, "walk"), ScriptScene(45, 120, "dance")], {"walk"})
    >>> wanted(44), wanted(45), wanted(120)
    (False, True, False)
    """
    new = [scene for scene in script if scene.name not in reference_scenes]
    return lambda tick: any(scene.first <= tick < scene.last for scene in new)
