"""From a humanoid's rotations to the degrees that charts take.

Euler angles wrap and lock; a rotation vector against the mean pose does neither as long as a joint
stays within half a turn of its mean. Leave heading out: the way a performer faces is no drift.
`JOINTS` has no hips, whose rotation holds the heading.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import BONE, LIMBS, Array, Doubles, Floats
from greenroom.rotations import inverse, multiply, to_vector

JOINTS: tuple[str, ...] = (
    *(bone for limb in LIMBS.values() for bone in limb),
    *("spine", "chest", "neck", "head", "leftShoulder", "rightShoulder"),
)
"""The 20 joints that are charted: four limbs and the trunk, without hips, fingers and face."""


def limbs(joints: tuple[str, ...] = JOINTS) -> dict[str, tuple[int, ...]]:
    """Return which of `joints` belong to each limb and to the trunk, by index.

    >>> limbs()["left arm"], limbs()["trunk"]
    ((0, 1, 2), (14, 15, 16, 17, 18, 19))
    """
    out = {}
    for name, bones in LIMBS.items():
        out[name] = tuple(i for i, joint in enumerate(joints) if joint in bones)
    rest = {i for limb in out.values() for i in limb}
    out["trunk"] = tuple(i for i in range(len(joints)) if i not in rest)
    return {name: indices for name, indices in out.items() if indices}


def mean_pose(rotations: Iterable[Array], joints: tuple[str, ...] = JOINTS) -> Doubles:
    """Return the mean rotation of each joint (J, 4) over takes of rotations (T, 55, 4).

    The principal eigenvector of Σ q qᵀ (Markley et al. 2007, "Averaging quaternions"); the identity
    where a joint is never there.

    Raises:
        BadInput: there is no take, or it is no humanoid's.
    """
    moment = np.zeros((len(joints), 4, 4))
    count = 0
    for take in rotations:
        q = _chosen(take, joints)
        count += len(q)
        q = np.where(np.isfinite(q), q, 0.0)
        moment += np.einsum("tji,tjk->jik", q, q)
    if not count:
        raise BadInput("a mean pose takes one take at least")
    moment[:, 3, 3] += 1e-9
    out: Doubles = np.linalg.eigh(moment)[1][..., -1]
    return out


def rotation_vectors(rotations: Array, mean: Array, joints: tuple[str, ...] = JOINTS) -> Floats:
    """Return what charts take: (T, 3 J) degrees, x, y, z of each joint; NaN where it is missing.

    Args:
        rotations: a humanoid's (T, 55, 4), or one tick's (55, 4), then the result is (3 J,).
        mean: (J, 4) of :func:`mean_pose` over the reference.
        joints: bone names.

    Raises:
        BadInput: these are no humanoid's rotations.
    """
    q = _chosen(rotations, joints)
    vectors = np.rad2deg(to_vector(multiply(inverse(np.asarray(mean, dtype=np.float64)), q)))
    return vectors.reshape(*vectors.shape[:-2], -1).astype(np.float32)


def _chosen(rotations: Array, joints: tuple[str, ...]) -> Doubles:
    if np.ndim(rotations) < 2 or rotations.shape[-2:] != (len(BONE), 4):
        raise BadInput(f"a humanoid's rotations are (T, {len(BONE)}, 4), not {rotations.shape}")
    return np.asarray(rotations[..., [BONE[joint] for joint in joints], :], dtype=np.float64)
