"""Place a source's joints a whole generation at a time, so that short takes aren't all overhead.

Convention: as :meth:`greenroom.frames.Skeleton.world`, whose results these equal but for rounding.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from greenroom.frames import Array, Skeleton
from greenroom.rotations import from_matrix, multiply, to_matrix


@lru_cache(maxsize=64)
def generations(parents: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Return (joints, their parents) for each generation below the roots.

    >>> generations((-1, 0, 1, 0))
    (((1, 3), (0, 0)), ((2,), (1,)))
    """
    depth: list[int] = []
    for parent in parents:
        depth.append(depth[parent] + 1 if parent >= 0 else 0)
    out = []
    for level in range(1, max(depth, default=0) + 1):
        joints = tuple(j for j, d in enumerate(depth) if d == level)
        out.append((joints, tuple(parents[j] for j in joints)))
    return tuple(out)


def world_rotations(parents: tuple[int, ...], rotations: Array) -> Array:
    """Return world rotations (T, J, 4) of local ones (T, J, 4), unit quaternions xyzw."""
    by_joint = np.ascontiguousarray(np.moveaxis(rotations, 1, 0))
    for joints, above in generations(parents):
        rows = list(joints)
        by_joint[rows] = multiply(by_joint[list(above)], by_joint[rows])
    return np.moveaxis(by_joint, 0, 1)


def rotate_vectors(q: Array, v: Array) -> Array:
    """Rotate vectors v (..., 3) by unit quaternions q (..., 4), without ``np.cross``'s overhead."""
    x, y, z, w = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    a, b, c = v[..., 0], v[..., 1], v[..., 2]
    s, t, u = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    out: Array = np.stack(
        [a + w * s + y * u - z * t, b + w * t + z * s - x * u, c + w * u + x * t - y * s], axis=-1
    )
    return out


def world_pose(skeleton: Skeleton, translations: Array, rotations: Array) -> tuple[Array, Array]:
    """Return world positions (T, J, 3), metres, and rotations (T, J, 4).

    Args:
        skeleton: whose tree it is.
        translations: local positions (T, J, 3), metres.
        rotations: local rotations (T, J, 4), unit quaternions xyzw.
    """
    turns = world_rotations(skeleton.parents, rotations)
    places = np.array(translations, dtype=np.float64)
    for joints, above in generations(skeleton.parents):
        rows, up = list(joints), list(above)
        places[:, rows] = places[:, up] + rotate_vectors(turns[:, up], places[:, rows])
    return places, turns


def pose_world(skeleton: Skeleton, offsets: Array, local: Array) -> tuple[Array, Array]:
    """Return one pose's world positions (J, 3) and rotations (J, 4), by matrices.

    Args:
        skeleton: whose tree it is.
        offsets: local positions (J, 3), metres.
        local: local rotations (J, 4), unit quaternions xyzw.
    """
    matrices, places = to_matrix(local), offsets.copy()
    for j, parent in enumerate(skeleton.parents):
        if parent >= 0:
            places[j] = places[parent] + matrices[parent] @ places[j]
            matrices[j] = matrices[parent] @ matrices[j]
    return places, from_matrix(matrices)
