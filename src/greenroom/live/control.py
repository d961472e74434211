"""What an operator does to a running show: hold it, cut its capture, and undo both.

A control is a recorded input: each frame's row says under which one it was made, so that a replay makes
the same frame. It comes to the show as an entry of the log, which says who did it.
"""

from __future__ import annotations

from typing import Literal, get_args

from greenroom.store.log import Entry
from greenroom.store.workspace import Workspace

EVENT = "control"
Act = Literal["hold", "resume", "cut", "restore"]
ACTS: tuple[Act, ...] = get_args(Act)
NOTHING, HELD, CUT = 0, 1, 2
"""Bits of a control: the pose eases to rest; body and face are not captured."""
_BITS: dict[str, tuple[int, bool]] = {
    "hold": (HELD, True),
    "resume": (HELD, False),
    "cut": (CUT, True),
    "restore": (CUT, False),
}


def controlled(state: int, act: str) -> int:
    """Return the control after an act.

    >>> controlled(controlled(NOTHING, "cut"), "hold"), controlled(HELD | CUT, "resume")
    (3, 2)
    """
    bit, sets = _BITS[act]
    return state | bit if sets else state & ~bit


def acts_in_force(state: int) -> list[Act]:
    """Return the acts that hold under a control.

    >>> acts_in_force(HELD | CUT), acts_in_force(NOTHING)
    (['hold', 'cut'], [])
    """
    return [act for act in ACTS if _BITS[act][1] and state & _BITS[act][0]]


def record_control(workspace: Workspace, actor: str, act: Act, by: str) -> None:
    """Enter an act in the log; the actor's show reads it there within two frames."""
    workspace.log.append(EVENT, {"actor": actor, "act": act}, by=by)


def act_of(entry: Entry, actor: str) -> str | None:
    """Return what an entry of the log does to an actor's show; None for nothing."""
    if entry.event != EVENT or entry.body.get("actor") != actor:
        return None
    act = entry.body.get("act")
    return act if act in _BITS else None
