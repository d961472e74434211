"""Play takes one after another without a jump: each is set down where the last one ended.

A seam is eased by inertialisation (Bollo 2018): the next take plays at once, and the difference to
where the last one stopped fades over `SEAM_TICKS`. Only placement (turn about +Y, shift on the floor)
and those first ticks differ from the recording.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import BONE, Body, Floats, other_side
from greenroom.rotations import from_vector, inverse, multiply, rotate, to_vector

SEAM_TICKS = 12


def yaw(hips: Floats) -> Floats:
    """Return the twist about +Y of a hips rotation (4,), as a quaternion with w ≥ 0."""
    twist = np.asarray([0, hips[1], 0, hips[3]], dtype=np.float64)
    length = float(np.hypot(twist[1], twist[3]))
    if not length >= 1e-4:  # or the hips are missing
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


class Rounds:
    """Bodies that play over and over, each round set down where the one before ended.

    In memory are the first round and the second one; a later one is the second, turned and moved.

    Args:
        bodies: at least one; the first one's skeleton is kept.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        """Join the first two rounds."""
        self.first = concatenate(bodies)
        length = len(self.first)
        both = concatenate([self.first, *bodies])
        self.again = Body(
            both.skeleton, both.root[length:], both.rotations[length:], both.validity[length:]
        )
        ends = [(body.root[-1], yaw(body.rotations[-1, 0])) for body in (self.first, self.again)]
        (old, old_yaw), (new, new_yaw) = ends
        twist = multiply(new_yaw, inverse(old_yaw))
        self._turn = 2 * float(np.arctan2(twist[1], twist[3]))
        """Radians about +Y by which a round is turned against the one before."""
        self._shift = _floor(new) - np.exp(1j * self._turn) * _floor(old)

    def __len__(self) -> int:
        """Return the ticks of a round."""
        return len(self.first)

    def body(self, first: int, last: int) -> Body:
        """Return what plays from tick `first` to before `last`, counted over all rounds."""
        parts: list[Body] = []
        while first < last or not parts:
            number, at = divmod(first, len(self))
            end = min(len(self), at + last - first)
            parts.append(self._part(number, slice(at, end)))
            first += end - at
        if len(parts) == 1:
            return parts[0]
        return Body(
            self.first.skeleton,
            np.concatenate([part.root for part in parts]),
            np.concatenate([part.rotations for part in parts]),
            np.concatenate([part.validity for part in parts]),
        )

    def _part(self, number: int, rows: slice) -> Body:
        """Return some ticks of one round."""
        source = self.again if number else self.first
        root, rotations = source.root[rows].copy(), source.rotations[rows].copy()
        if number > 1:
            turn, root = self._placement(number, root)
            rotations[:, 0] = multiply(turn, rotations[:, 0])
        return Body(source.skeleton, root, rotations, source.validity[rows].copy())

    def _placement(self, number: int, root: Floats) -> tuple[Floats, Floats]:
        """Return a round's turn against the second, and where roots (n, 3) of that are in it."""
        steps = number - 1
        turned = np.exp(1j * self._turn * steps)
        if abs(np.exp(1j * self._turn) - 1) < 1e-9:
            moved = steps * self._shift
        else:
            moved = self._shift * (turned - 1) / (np.exp(1j * self._turn) - 1)
        floor = turned * _floor(root) + moved
        place = np.stack([floor.imag, root[..., 1], floor.real], axis=-1).astype(np.float32)
        half = self._turn * steps / 2
        turn = np.asarray([0, np.sin(half), 0, np.cos(half)], dtype=np.float32)
        return turn, place


def _floor(root: Floats) -> NDArray[np.complex128]:
    """Return places on the floor as z + ix, so that a turn about +Y by φ is a factor of e^(iφ)."""
    return np.asarray(root[..., 2] + 1j * root[..., 0].astype(np.float64))
