"""Play takes one after another without a jump: each is set down where the last one ended.

A seam is eased by inertialisation (Bollo 2018): the next take plays at once, and the difference to
where the last one stopped fades over `SEAM_TICKS`. Only placement (turn about +Y, shift on the floor)
and those first ticks differ from the recording.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.frames import BONE, Body, Floats, other_side
from greenroom.rotations import from_vector, inverse, multiply, rotate, to_vector

SEAM_TICKS = 12


def yaw(hips: Floats) -> Floats:
    """Return the twist about +Y of a hips rotation (4,), as a quaternion with w ≥ 0."""
    twist = np.asarray([0, hips[1], 0, hips[3]], dtype=np.float64)
    length = float(np.hypot(twist[1], twist[3]))
    if length < 1e-4:
        return np.asarray([0, 0, 0, 1], dtype=np.float32)
    return (twist / length * (-1 if twist[3] < 0 else 1)).astype(np.float32)


def mirror_body(body: Body) -> Body:
    """Return the body seen in a mirror: left and right exchanged across the YZ plane."""
    order = [BONE[other_side(name)] for name in body.skeleton.names]
    flip = np.asarray([1, -1, -1, 1], dtype=np.float32)
    shift = np.asarray([-1, 1, 1], dtype=np.float32)
    return Body(
        body.skeleton, body.root * shift, body.rotations[:, order] * flip, body.validity[:, order]
    )


def concatenate(bodies: Sequence[Body], seam_ticks: int = SEAM_TICKS) -> Body:
    """Return one body that performs `bodies` in their order.

    Args:
        bodies: at least one; the first one's skeleton is kept.
        seam_ticks: over how many ticks a seam fades.
    """
    roots, rotations = [bodies[0].root], [bodies[0].rotations]
    for body in bodies[1:]:
        root, turned = _set_down(body, roots[-1][-1], rotations[-1][-1])
        _ease(root, turned, old_root=roots[-1][-1], old=rotations[-1][-1], ticks=seam_ticks)
        roots.append(root)
        rotations.append(turned)
    validity = np.concatenate([body.validity for body in bodies])
    return Body(bodies[0].skeleton, np.concatenate(roots), np.concatenate(rotations), validity)


def _set_down(body: Body, root: Floats, last: Floats) -> tuple[Floats, Floats]:
    turn = multiply(yaw(last[0]), inverse(yaw(body.rotations[0, 0])))
    placed = rotate(turn, body.root - body.root[0] * np.asarray([1, 0, 1], dtype=np.float32))
    placed = placed + root * np.asarray([1, 0, 1], dtype=np.float32)
    rotations = body.rotations.copy()
    rotations[:, 0] = multiply(np.broadcast_to(turn, rotations[:, 0].shape), rotations[:, 0])
    return placed.astype(np.float32), rotations


def _ease(root: Floats, rotations: Floats, old_root: Floats, old: Floats, ticks: int) -> None:
    """Add the fading difference to the first `ticks` ticks, in place."""
    ticks = min(ticks, len(root))
    offset = to_vector(multiply(old, inverse(rotations[0])))
    offset = np.where(np.isnan(offset), np.float32(0), offset)
    left = 1 - np.arange(1, ticks + 1, dtype=np.float32) / ticks
    fade = left * left * (3 - 2 * left)
    turn = from_vector(offset[None] * fade[:, None, None])
    rotations[:ticks] = multiply(turn, rotations[:ticks])
    root[:ticks] += (old_root - root[0])[None] * fade[:, None]
