"""Make other movement of recorded movement by stated transforms, where real takes of it are not to hand.

What comes out is not a recording, and whoever shows it says *simulated*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from greenroom.capture.sequence import mirror_body
from greenroom.errors import BadInput
from greenroom.frames import BONE, Body, Floats
from greenroom.rotations import from_vector, multiply, normalise, slerp, to_vector


@dataclass(frozen=True)
class Variation:
    """How a body moves otherwise.

    Attributes:
        mirror: left for right.
        tempo: how many times as fast.
        amplitude: of each joint's way from the clip's mean pose, hips left out.
        posture: degrees about x, y and z (of the parent, before the movement) that a bone is turned by.
    """

    mirror: bool = False
    tempo: float = 1.0
    amplitude: float = 1.0
    posture: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def of(self, body: Body) -> Body:
        """Return the body as it moves by this.

        Raises:
            BadInput: the tempo or the amplitude is not above nought, or a bone is none.
        """
        if not (self.tempo > 0 and self.amplitude > 0):
            raise BadInput("tempo and amplitude are above nought")
        unknown = sorted(set(self.posture) - set(BONE))
        if unknown:
            raise BadInput(f"there is no bone {', '.join(unknown)}")
        out = mirror_body(body) if self.mirror else body
        out = _faster(out, self.tempo) if self.tempo != 1 else out
        rotations = out.rotations
        if self.amplitude != 1:
            rotations = _wider(rotations, self.amplitude)
        for bone, degrees in self.posture.items():
            turn = from_vector(np.deg2rad(np.asarray(degrees, dtype=np.float32)))
            rotations = rotations.copy()
            rotations[:, BONE[bone]] = multiply(
                np.broadcast_to(turn, rotations[:, BONE[bone]].shape), rotations[:, BONE[bone]]
            )
        return Body(out.skeleton, out.root, rotations.astype(np.float32), out.validity)


def _faster(body: Body, tempo: float) -> Body:
    """Return the body played `tempo` times as fast, between its ticks by slerp."""
    count = max(2, int((len(body) - 1) / tempo) + 1)
    positions = np.minimum(np.arange(count) * tempo, len(body) - 1)
    before = np.minimum(positions.astype(int), len(body) - 2)
    share = (positions - before).astype(np.float32)
    rotations = slerp(body.rotations[before], body.rotations[before + 1], share[:, None])
    root = body.root[before] + share[:, None] * (body.root[before + 1] - body.root[before])
    validity = np.minimum(body.validity[before], body.validity[before + 1])
    return Body(body.skeleton, root.astype(np.float32), rotations.astype(np.float32), validity)


def _wider(rotations: Floats, amplitude: float) -> Floats:
    """Return rotations (T, J, 4) whose way from their mean is scaled; the hips stay as they are."""
    moment = np.einsum("tji,tjk->jik", rotations, rotations)
    mean = np.linalg.eigh(np.nan_to_num(moment) + 1e-9 * np.eye(4))[1][..., -1].astype(np.float32)
    inverse = mean * np.asarray([-1, -1, -1, 1], dtype=np.float32)
    away = to_vector(multiply(np.broadcast_to(inverse, rotations.shape), rotations))
    out = multiply(np.broadcast_to(mean, rotations.shape), from_vector(away * amplitude))
    out[:, 0] = rotations[:, 0]
    return normalise(out).astype(np.float32)
