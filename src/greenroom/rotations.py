"""Rotation arithmetic on arrays, in closed form, because SciPy's objects are 30 times too slow live.

Convention: quaternions are (x, y, z, w), unit, right-handed, and act on column vectors; ``multiply(a,
b)`` applies b first. Euler orders are BVH's: the string ``"ZXY"`` means R = Rz @ Rx @ Ry (intrinsic,
in the order in which the channels stand). The 6D form is the first two columns of the matrix,
column by column (Zhou et al. 2019, arXiv:1812.07035). All functions broadcast over leading axes and
keep the dtype they are given; each row's result depends on that row alone, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

IDENTITY = (0.0, 0.0, 0.0, 1.0)


def multiply(a: Array, b: Array) -> Array:
    """Return the Hamilton product a ⊗ b, shape (..., 4)."""
    ax, ay, az, aw = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bx, by, bz, bw = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=-1,
    )


def inverse(q: Array) -> Array:
    """Return the inverse of unit quaternions, shape (..., 4)."""
    return q * np.asarray([-1.0, -1.0, -1.0, 1.0], dtype=q.dtype)


def normalise(q: Array) -> Array:
    """Scale quaternions to unit length; a zero or non-finite one becomes the identity."""
    length = np.sqrt(np.einsum("...i,...i->...", q, q))
    good = np.isfinite(length) & (length > 1e-12)
    safe = np.where(good, length, 1.0)[..., None]
    unit: Array = np.where(good[..., None], q / safe, np.asarray(IDENTITY, dtype=q.dtype))
    return unit.astype(q.dtype, copy=False)


def rotate(q: Array, v: Array) -> Array:
    """Rotate vectors v (..., 3) by unit quaternions q (..., 4)."""
    u, w = q[..., :3], q[..., 3:]
    t = 2.0 * np.cross(u, v)
    out: Array = v + w * t + np.cross(u, t)
    return out


def turn_point(q: Sequence[float], point: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return a point turned by a unit quaternion, in plain numbers: for one at a time, within a tick.

    >>> turn_point((0.0, 1.0, 0.0, 0.0), (1.0, 2.0, 3.0))
    (-1.0, 2.0, -3.0)
    """
    a, b, c, w = q
    x, y, z = point
    s, t, u = 2 * (b * z - c * y), 2 * (c * x - a * z), 2 * (a * y - b * x)
    return x + w * s + b * u - c * t, y + w * t + c * s - a * u, z + w * u + a * t - b * s


def to_matrix(q: Array) -> Array:
    """Return rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    x, y, z, w = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    m = np.empty((*q.shape[:-1], 3, 3), dtype=q.dtype)
    m[..., 0, 0] = 1 - 2 * (y * y + z * z)
    m[..., 0, 1] = 2 * (x * y - z * w)
    m[..., 0, 2] = 2 * (x * z + y * w)
    m[..., 1, 0] = 2 * (x * y + z * w)
    m[..., 1, 1] = 1 - 2 * (x * x + z * z)
    m[..., 1, 2] = 2 * (y * z - x * w)
    m[..., 2, 0] = 2 * (x * z - y * w)
    m[..., 2, 1] = 2 * (y * z + x * w)
    m[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return m


def _shepperd() -> Array:
    """Return (4, 4, 9): the four candidates' numbers as sums of the matrix's, less the identity."""
    table = np.zeros((4, 4, 9))
    signs = np.asarray([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]])
    for i in range(4):
        table[i, i, [0, 4, 8]] = signs[i]
    pairs = {(0, 1): (1, 3, 1), (0, 2): (2, 6, 1), (1, 2): (5, 7, 1)}
    pairs |= {(0, 3): (7, 5, -1), (1, 3): (2, 6, -1), (2, 3): (3, 1, -1)}
    for (i, j), (plus, other, sign) in pairs.items():
        for row, column in ((i, j), (j, i)):
            table[row, column, plus] = 1
            table[row, column, other] = sign
    return table


_SHEPPERD = _shepperd()


def from_matrix(m: Array) -> Array:
    """Return unit quaternions (..., 4) of rotation matrices (..., 3, 3), with w ≥ 0.

    Takes the largest of the four candidates (Shepperd 1978), so it is stable near half turns.
    """
    flat = m.reshape(-1, 9)
    candidates = np.einsum("ni,jki->njk", flat, _SHEPPERD.astype(m.dtype))
    candidates += np.eye(4, dtype=m.dtype)
    squares = candidates.reshape(-1, 16)[:, ::5]
    best = squares.argmax(axis=-1)
    rows = np.arange(len(flat))
    # Row i is 4 qᵢ q, so that its own entry is 4 qᵢ².
    q = candidates[rows, best] / (2 * np.sqrt(squares[rows, best]))[:, None]
    q = normalise(q) * np.where(q[:, 3:] < 0, -1, 1).astype(m.dtype)
    return q.reshape(*m.shape[:-2], 4)


def from_euler(angles: Array, order: str) -> Array:
    """Return quaternions of Euler angles.

    Args:
        angles: shape (..., n), degrees, in the order of `order`.
        order: n letters of X, Y, Z; the first is the outermost rotation.

    >>> from_euler(np.array([90.0, 0.0, 0.0]), "ZXY").round(4).tolist()
    [0.0, 0.0, 0.7071, 0.7071]
    """
    half = np.deg2rad(angles) / 2
    out: Array | None = None
    for i, letter in enumerate(order.upper()):
        q = np.zeros((*angles.shape[:-1], 4), dtype=angles.dtype)
        q[..., "XYZ".index(letter)] = np.sin(half[..., i])
        q[..., 3] = np.cos(half[..., i])
        out = q if out is None else multiply(out, q)
    if out is None:
        raise ValueError("an Euler order names at least one axis")
    return out


def to_euler(q: Array, order: str) -> Array:
    """Return Euler angles in degrees, shape (..., 3), for an order of three different axes.

    At gimbal lock the third angle is 0 and the first carries the whole turn.

    >>> to_euler(from_euler(np.array([10.0, 20.0, 30.0]), "ZXY"), "ZXY").round(6).tolist()
    [10.0, 20.0, 30.0]
    """
    i, j, k = ("XYZ".index(letter) for letter in order.upper())
    sign = 1.0 if (i, j, k) in {(0, 1, 2), (1, 2, 0), (2, 0, 1)} else -1.0
    m = to_matrix(q)
    s = np.clip(sign * m[..., i, k], -1.0, 1.0)
    locked = np.abs(s) > 1 - 1e-12
    first = np.where(
        locked,
        np.arctan2(sign * m[..., k, j], m[..., j, j]),
        np.arctan2(-sign * m[..., j, k], m[..., k, k]),
    )
    third = np.where(locked, 0.0, np.arctan2(-sign * m[..., i, j], m[..., i, i]))
    # atan2 keeps the middle angle exact near ±90°, where arcsin loses half its digits.
    middle = np.arctan2(s, np.hypot(m[..., i, i], m[..., i, j]))
    out: Array = np.rad2deg(np.stack([first, middle, third], axis=-1))
    return out


def to_six(q: Array) -> Array:
    """Return the 6D form (..., 6) of unit quaternions: the matrix's first two columns."""
    products = q.take(_LEFT, axis=-1)
    products *= q.take(_RIGHT, axis=-1)
    products *= _TWICE
    out: Array = products[..., :6] + products[..., 6:]
    out += _DIAGONAL
    return out


# The matrix's first two columns as sums of two products; few calls, because a tick has few rows.
_LEFT = np.asarray([1, 0, 0, 0, 0, 1, 2, 2, 1, 2, 2, 0])
_RIGHT = np.asarray([1, 1, 2, 1, 0, 2, 2, 3, 3, 3, 2, 3])
_TWICE = np.asarray([-2, 2, 2, 2, -2, 2, -2, 2, -2, -2, -2, 2], dtype=np.float32)
_DIAGONAL = np.asarray([1, 0, 0, 0, 1, 0], dtype=np.float32)


def from_six(six: Array) -> Array:
    """Return quaternions (..., 4) of 6D forms by Gram-Schmidt; a degenerate one is the identity."""
    a, b = six[..., :3], six[..., 3:]
    x = a / np.maximum(np.sqrt(np.einsum("...i,...i->...", a, a)), 1e-9)[..., None]
    b = b - np.einsum("...i,...i->...", x, b)[..., None] * x
    y = b / np.maximum(np.sqrt(np.einsum("...i,...i->...", b, b)), 1e-9)[..., None]
    m = np.empty((*six.shape[:-1], 3, 3), dtype=x.dtype)
    m[..., 0], m[..., 1] = x, y
    m[..., 2] = x[..., _NEXT] * y[..., _AFTER] - x[..., _AFTER] * y[..., _NEXT]
    return from_matrix(m)


_NEXT, _AFTER = [1, 2, 0], [2, 0, 1]


def from_vector(v: Array) -> Array:
    """Return quaternions of rotation vectors (..., 3) in radians."""
    angle = np.sqrt(np.einsum("...i,...i->...", v, v))[..., None]
    small = angle < 1e-8
    scale = np.where(small, 0.5, np.sin(angle / 2) / np.where(small, 1.0, angle))
    out: Array = np.concatenate([v * scale, np.cos(angle / 2)], axis=-1)
    return out.astype(v.dtype, copy=False)


def to_vector(q: Array) -> Array:
    """Return rotation vectors (..., 3) in radians, the short way round."""
    q = np.where(q[..., 3:] < 0, -q, q)
    s = np.sqrt(np.einsum("...i,...i->...", q[..., :3], q[..., :3]))[..., None]
    angle = 2 * np.arctan2(s, q[..., 3:])
    small = s < 1e-8
    out: Array = q[..., :3] * np.where(small, 2.0, angle / np.where(small, 1.0, s))
    return out.astype(q.dtype, copy=False)


def angle_between(a: Array, b: Array) -> Array:
    """Return the geodesic angle in degrees between unit quaternions, shape (...), in [0, 180].

    Source: 2 atan2(|v|, |w|) of a⁻¹ b (Huynh 2009, metric Φ6 in a form that keeps small angles).
    """
    d = multiply(inverse(a), b)
    s = np.sqrt(np.einsum("...i,...i->...", d[..., :3], d[..., :3]))
    out: Array = np.rad2deg(2 * np.arctan2(s, np.abs(d[..., 3])))
    return out


def between(a: Array, b: Array) -> Array:
    """Return the shortest rotation (4,) that takes direction a (3,) to direction b (3,)."""
    a = a / np.linalg.norm(a)
    b = b / np.linalg.norm(b)
    w = 1.0 + float(np.dot(a, b))
    if w < 1e-9:  # opposite: any axis across a will do
        axis = np.cross(a, [1.0, 0.0, 0.0] if abs(a[0]) < 0.9 else [0.0, 1.0, 0.0])
        return normalise(np.append(axis, 0.0))
    return normalise(np.append(np.cross(a, b), w))


def slerp(a: Array, b: Array, t: Array) -> Array:
    """Return the rotation a fraction t (...,) of the short way from a to b (..., 4).

    Source: Shoemake 1985; falls back to a normalised blend below 0.1°.
    """
    dot = np.einsum("...i,...i->...", a, b)[..., None]
    b = np.where(dot < 0, -b, b)
    dot = np.clip(np.abs(dot), 0.0, 1.0)
    theta = np.arccos(dot)
    t = np.asarray(t, dtype=a.dtype)[..., None]
    near = dot > 1 - 1e-6
    sin = np.where(near, 1.0, np.sin(theta))
    wa = np.where(near, 1 - t, np.sin((1 - t) * theta) / sin)
    wb = np.where(near, t, np.sin(t * theta) / sin)
    return normalise(wa * a + wb * b)


def continuous(q: Array) -> Array:
    """Flip signs along axis 0 so that neighbours lie in the same half of the sphere."""
    dot = np.einsum("t...i,t...i->t...", q[1:], q[:-1])
    sign = np.cumprod(np.where(dot < 0, -1.0, 1.0), axis=0)
    out = q.copy()
    out[1:] *= sign[..., None].astype(q.dtype)
    return out
