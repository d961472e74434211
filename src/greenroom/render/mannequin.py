"""Draw a pose as a mannequin of rounded cones under a soft light, in NumPy, without a screen.

Convention: the camera looks along -Z of its own frame at the performer's front (+Z of the stage), turned
by `yaw` degrees about +Y and lowered by `pitch`; the projection is parallel, so a metre is as long near
as far and two figures side by side can be compared. Pictures are (height, width, 3) uint8, sRGB, rows
from the top.

A limb is the sweep of a sphere whose radius goes evenly from one end to the other. Seen from the camera,
each pixel's nearest point on the limb's axis gives depth and normal in closed form, so one pass over a
limb's own rectangle of pixels draws and shades it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import BONE, Array, Body, Doubles, Skeleton
from greenroom.rotations import from_euler, rotate

Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

_SIDED = (
    ("hips", "UpperLeg", 0.098, 0.080),
    ("UpperLeg", "LowerLeg", 0.082, 0.055),
    ("LowerLeg", "Foot", 0.056, 0.036),
    ("Foot", "Toes", 0.040, 0.032),
    ("upperChest", "UpperArm", 0.085, 0.052),
    ("neck", "UpperArm", 0.050, 0.050),
    ("chest", "UpperArm", 0.105, 0.046),
    ("UpperArm", "LowerArm", 0.050, 0.039),
    ("LowerArm", "Hand", 0.039, 0.027),
)
_TRUNK = ("hips", "spine", "chest", "upperChest", "neck")
_LIMBS = (
    ("hips", "spine", 0.112, 0.100),
    ("spine", "chest", 0.100, 0.110),
    ("chest", "upperChest", 0.110, 0.112),
    ("upperChest", "neck", 0.100, 0.052),
    ("neck", "head", 0.050, 0.048),
    *(
        (a if a in _TRUNK else side + a, side + b, ra, rb)
        for side in ("left", "right")
        for a, b, ra, rb in _SIDED
    ),
)
"""From bone, to bone, and the radii at both, metres, of a person of 1.68 m."""
_TIPS = (
    ("head", "neck", (0.0, 0.035, 0.012), (0.0, 0.105, 0.012), 0.074, 0.092),
    ("chest", "hips", (0.052, -0.05, 0.0), (0.066, 0.08, -0.005), 0.088, 0.088),
    ("chest", "hips", (-0.052, -0.05, 0.0), (-0.066, 0.08, -0.005), 0.088, 0.088),
    ("leftHand", "leftLowerArm", (0.0, 0.0, 0.0), (0.12, -0.01, 0.01), 0.029, 0.024),
    ("rightHand", "rightLowerArm", (0.0, 0.0, 0.0), (-0.12, -0.01, 0.01), 0.029, 0.024),
    ("leftToes", "leftFoot", (0.0, 0.0, 0.0), (0.0, -0.004, 0.045), 0.032, 0.026),
    ("rightToes", "rightFoot", (0.0, 0.0, 0.0), (0.0, -0.004, 0.045), 0.032, 0.026),
)
"""What the skeleton has no joint for: bone, the one above, from and to in its own frame, radii."""


@dataclass(frozen=True)
class Light:
    """Colours (sRGB, 0 to 255) and the light: soft, from above, in front and to one side."""

    back: tuple[int, int, int] = (27, 28, 31)
    floor: tuple[int, int, int] = (84, 85, 88)
    skin: tuple[int, int, int] = (214, 208, 199)
    far: tuple[int, int, int] = (92, 96, 106)
    lost: tuple[int, int, int] = (222, 158, 66)
    towards: tuple[float, float, float] = (-0.42, 0.78, 0.46)


LIT = Light()


@dataclass(frozen=True)
class View:
    """What is seen: a parallel projection of a piece of the stage.

    Attributes:
        width: pixels.
        height: pixels.
        scale: pixels a metre.
        centre: the point (3,) that is in the middle, metres.
        yaw: degrees about +Y from the front; positive shows the performer's left side.
        pitch: degrees by which the camera looks down.
    """

    width: int
    height: int
    scale: float
    centre: tuple[float, float, float]
    yaw: float = 25.0
    pitch: float = 12.0

    def sees(self, points: Array) -> Doubles:
        """Return points (..., 3) as (right, up, towards the camera) in metres from the middle."""
        turn = from_euler(np.asarray([self.pitch, -self.yaw]), "XY")
        away = np.asarray(points, dtype=np.float64) - np.asarray(self.centre)
        return np.asarray(rotate(turn, away))


def _size(skeleton: Skeleton) -> float:
    """Return a performer's height over that of the default one, by the bones from toes to head."""
    chain = ("leftLowerLeg", "leftFoot", "spine", "chest", "upperChest", "neck", "head")
    tall = sum(float(np.linalg.norm(skeleton.offsets[BONE[b]])) for b in chain)
    return float(np.clip(tall / 1.36, 0.4, 2.0))


def shape_of(body: Body) -> tuple[Doubles, Doubles]:
    """Return the limbs of a body as ends (T, L, 2, 3) in metres and radii (L, 2) in metres.

    The trunk is always drawn; a limb is drawn where a bone at one of its ends is there, at rest where
    the other is missing, and is NaN at ticks at which both are. Radii follow the performer's height.
    """
    local = body.skeleton.rest_translations(len(body), body.root)
    places, turns = body.skeleton.world(local, body.filled())
    available = body.validity > 0
    body_scale = _size(body.skeleton)
    ends = np.full((len(body), len(_LIMBS) + len(_TIPS), 2, 3), np.nan)
    for n, (a, b, _, _) in enumerate(_LIMBS):
        trunk = a in _TRUNK and (b in _TRUNK or b == "head")
        visible = trunk | available[:, BONE[b]] | ((a not in _TRUNK) & available[:, BONE[a]])
        ends[visible, n] = places[:, [BONE[a], BONE[b]]][visible]
    for n, (bone, above, start, tip, _, _) in enumerate(_TIPS, len(_LIMBS)):
        visible = available[:, BONE[bone]] | available[:, BONE[above]] | (bone in ("head", "chest"))
        for end, offset in enumerate((start, tip)):
            tip_positions = places[:, BONE[bone]] + rotate(
                turns[:, BONE[bone]], body_scale * np.asarray(offset)
            )
            ends[visible, n, end] = tip_positions[visible]
    radii = [limb[-2:] for limb in (*_LIMBS, *_TIPS)]
    return ends, body_scale * np.asarray(radii)


def lost_limbs(validity: Array) -> NDArray[np.bool_]:
    """Return which limbs of :func:`shape_of` are moved by a bone that is lost (T, L).

    Args:
        validity: (T, 55), 0 where a bone was lost.
    """
    lost = np.asarray(validity) <= 0
    movers = [BONE[a] for a, *_ in _LIMBS] + [BONE[bone] for bone, *_ in _TIPS]
    return np.asarray(lost[:, movers])


def floor_of(ends: Doubles, radii: Doubles) -> float:
    """Return the height of the floor, metres: where the lowest limb is lowest; 0 without any.

    Args:
        ends: (T, L, 2, 3), metres.
        radii: (L, 2), metres.
    """
    low = ends[..., 1] - radii
    return float(np.nanmin(low)) if np.isfinite(low).any() else 0.0


def frame_all(
    ends: Doubles, size: tuple[int, int], floor: float, yaw: float = 25.0, pitch: float = 12.0
) -> View:
    """Return a view in which the limbs of every tick are seen, with the floor under them.

    Args:
        ends: (T, L, 2, 3), metres.
        size: width and height in pixels.
        floor: its height, metres.
        yaw: see :class:`View`.
        pitch: see :class:`View`.
    """
    width, height = size
    unit_view = View(width, height, scale=1.0, centre=(0.0, 0.0, 0.0), yaw=yaw, pitch=pitch)
    points = ends.reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    on_floor = np.concatenate([points[:, :1], np.full((len(points), 1), floor), points[:, 2:]], 1)
    projected = unit_view.sees(np.concatenate([points, on_floor]))
    if not len(projected):
        projected = np.zeros((1, 3))
    low, high = projected.min(axis=0) - 0.18, projected.max(axis=0) + 0.18
    scale = min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    # The middle in the camera's frame, turned back into the stage's.
    turn = from_euler(np.asarray([pitch, -yaw]), "XY") * np.asarray([-1.0, -1.0, -1.0, 1.0])
    centre = rotate(turn, (low + high) / 2)
    return View(width, height, scale=float(scale), centre=(*centre.tolist(),), yaw=yaw, pitch=pitch)


def draw(
    ends: Array,
    radii: Array,
    view: View,
    floor: float,
    light: Light = LIT,
    lost: NDArray[np.bool_] | None = None,
) -> Picture:
    """Return a picture (height, width, 3) of one pose.

    Args:
        ends: limbs' ends (L, 2, 3), metres, on the stage; a limb with NaN is not drawn.
        radii: (L, 2), metres.
        view: what is seen.
        floor: its height, metres.
        light: colours and light.
        lost: (L,), True for limbs to be drawn in the colour of what was lost.
    """
    supersampled = replace(view, width=2 * view.width, height=2 * view.height, scale=2 * view.scale)
    finite = np.isfinite(ends).all(axis=(1, 2))
    ends, radii = np.asarray(ends, np.float64)[finite], np.asarray(radii, np.float64)[finite]
    colour = np.zeros((supersampled.height, supersampled.width, 3))
    depth = np.full(colour.shape[:2], -np.inf)
    light_direction = supersampled.sees(np.asarray(light.towards) + np.asarray(supersampled.centre))
    light_direction /= np.linalg.norm(light_direction)
    projected = supersampled.sees(ends)
    reach = (projected[..., 2].min(), projected[..., 2].max()) if len(projected) else (0.0, 1.0)
    marked = np.zeros(len(ends), dtype=bool) if lost is None else np.asarray(lost)[finite]
    far = _linear(light.far)
    for (a, b), (ra, rb), mark in zip(projected, radii, marked.tolist(), strict=True):
        tones = far, _linear(light.lost if mark else light.skin)
        _limb(
            _Canvas(colour, depth, supersampled.scale),
            (a, b, ra, rb),
            lamp=light_direction,
            reach=reach,
            tones=tones,
        )
    # Four samples a pixel are averaged as light, not as sRGB.
    small = _quarter(colour)
    bare = _quarter((depth == -np.inf).astype(np.float64))
    small += bare[..., None] * _stage(ends, radii, view=view, floor=floor, light=light)
    srgb = 255 * np.clip(small, 0, 1) ** (1 / 2.2)
    out: Picture = np.round(srgb).astype(np.uint8)
    return out


def _quarter(samples: Doubles) -> Doubles:
    """Return the mean of each two by two samples (2 h, 2 w, ...) → (h, w, ...)."""
    rows = samples[::2] + samples[1::2]
    return np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4)


def _linear(colour: tuple[int, int, int]) -> Doubles:
    return np.asarray((np.asarray(colour) / 255.0) ** 2.2)


def _stage(ends: Doubles, radii: Doubles, view: View, floor: float, light: Light) -> Doubles:
    """Return the floor with its contact shadow (height, width, 3), linear light.

    The shadow is what limbs take of the sky above a point of the floor: each a sphere's r²/(r² + d²)
    along it, strongest where it touches.
    """
    height, width = view.height, view.width
    up = (height / 2 - 0.5 - np.arange(height)) / view.scale
    right = (np.arange(width) + 0.5 - width / 2) / view.scale
    pitch, yaw = math.radians(view.pitch), math.radians(view.yaw)
    # Each pixel's ray meets the floor: solve up = y cos p - towards sin p for the point on it. On the
    # floor a column's and a row's directions are at right angles, so that exp(-d²) is a product of both.
    drop = floor - view.centre[1]
    deep = (drop * math.cos(pitch) - up) / max(math.sin(pitch), 1e-3)

    def along(points: Doubles) -> tuple[Doubles, Doubles]:
        x, z = points[..., 0] - view.centre[0], points[..., 2] - view.centre[2]
        return x * math.cos(yaw) - z * math.sin(yaw), x * math.sin(yaw) + z * math.cos(yaw)

    share = np.asarray([0.25, 0.75])[:, None]
    p = (ends[:, None, 0] + share * (ends[:, None, 1] - ends[:, None, 0])).reshape(-1, 3)
    r = (radii[:, :1] + share.T * (radii[:, 1:] - radii[:, :1])).ravel()
    above = np.maximum(p[:, 1] - floor, 0.0)
    p, r, above = p[above < 0.9], r[above < 0.9], above[above < 0.9]
    near = (1.8 * r) ** 2 / ((1.8 * r) ** 2 + above**2)
    spread = 2 * (0.9 * r + 0.5 * above) ** 2
    column, row = along(p)
    dark = (0.9 * near * np.exp(-((deep[:, None] - row) ** 2) / spread)) @ np.exp(
        -((right[:, None] - column) ** 2) / spread
    ).T
    middle = ends.mean(axis=(0, 1)) if len(ends) else np.asarray(view.centre)
    column, row = along(middle)
    pool = np.exp(-(((deep - row) / 1.5) ** 2))[:, None, None]
    pool = pool * np.exp(-(((right - column) / 1.5) ** 2))[:, None]
    back, ground = _linear(light.back), _linear(light.floor)
    shade = np.exp(-dark)[..., None]
    return np.asarray((back + (ground - back) * pool) * shade)


class _Canvas(NamedTuple):
    """What limbs are drawn on.

    Attributes:
        colour: linear light (height, width, 3).
        depth: of what is nearest so far (height, width), metres.
        scale: pixels a metre.
    """

    colour: Doubles
    depth: Doubles
    scale: float


def _limb(
    canvas: _Canvas,
    limb: tuple[Doubles, Doubles, float, float],
    lamp: Doubles,
    reach: tuple[float, float],
    tones: tuple[Doubles, Doubles],
) -> None:
    """Draw one limb, given in the camera's frame, into colour and depth where it is the nearest."""
    colour, depth, scale = canvas
    a, b, ra, rb = limb
    height, width = depth.shape
    most = max(ra, rb)
    x0, x1 = sorted((a[0], b[0]))
    y0, y1 = sorted((a[1], b[1]))
    left = max(0, int((x0 - most) * scale + width / 2) - 1)
    right = min(width, int((x1 + most) * scale + width / 2) + 2)
    top = max(0, int(height / 2 - (y1 + most) * scale) - 1)
    bottom = min(height, int(height / 2 - (y0 - most) * scale) + 2)
    if left >= right or top >= bottom:
        return
    x = ((np.arange(left, right) + 0.5 - width / 2) / scale)[None]
    y = ((height / 2 - 0.5 - np.arange(top, bottom)) / scale)[:, None]
    along, square, radius = _nearest(x, y, a=a, b=b, ra=ra, rb=rb)
    inside = square < radius**2
    out = np.sqrt(np.maximum(radius**2 - square, 0))
    surface = a[2] + along * (b[2] - a[2]) + out
    part = depth[top:bottom, left:right]
    mine = inside & (surface > part)
    part[mine] = surface[mine]
    axis = a[:2, None, None] + along * (b - a)[:2, None, None]
    normal = np.stack([x - axis[0], y - axis[1], out])[:, mine] / radius[mine]
    lit = _shaded(normal, lamp)
    depth_share = (surface[mine] - reach[0]) / max(reach[1] - reach[0] + 2 * most, 1e-6)
    far, skin = (tone[:, None] for tone in tones)
    tone = far + (skin - far) * (0.25 + 0.75 * np.clip(depth_share, 0, 1))
    colour[top:bottom, left:right][mine] = (tone * lit).T


def _nearest(
    x: Doubles, y: Doubles, a: Doubles, b: Doubles, ra: float, rb: float
) -> tuple[Doubles, Doubles, Doubles]:
    """Return the place s along the axis in [0, 1] whose sphere is in front, its distance², its radius.

    The front of the sphere at s is s dz + sqrt(g(s)) from the first end's middle, where g, radius² less
    distance², is A s² + B s + C. With A < 0 that is concave, and its top is where its slope is nought;
    else one end's disc covers the other's, and the end whose front is nearer is taken.
    """
    dx, dy, dz = b - a
    px, py = x - a[0], y - a[1]
    wider = rb - ra
    curve = wider**2 - dx * dx - dy * dy
    if curve < -1e-12:
        slope = 2 * (ra * wider + px * dx + py * dy)
        inner = np.maximum(slope**2 - 4 * curve * (ra**2 - px**2 - py**2), 0)
        shift = dz * np.sqrt(inner) / (2 * -curve * math.sqrt(dz * dz - curve))
        along = np.clip(-slope / (2 * curve) + shift, 0, 1)
    else:
        fronts = [
            np.where(g > 0, z + np.sqrt(np.maximum(g, 0)), -np.inf)
            for z, g in (
                (0.0, ra**2 - px**2 - py**2),
                (dz, rb**2 - (px - dx) ** 2 - (py - dy) ** 2),
            )
        ]
        along = np.where(fronts[1] > fronts[0], 1.0, 0.0)
    square = (px - along * dx) ** 2 + (py - along * dy) ** 2
    return along, square, ra + along * wider


def _shaded(normal: Doubles, lamp: Doubles) -> Doubles:
    """Return the light (N,) of normals (3, N): a soft lamp, the sky above, and a little at the rim."""
    facing = lamp @ normal
    soft = np.clip((facing + 0.35) / 1.35, 0, 1) ** 1.3
    sky = 0.5 + 0.5 * normal[1]
    rim = (1 - np.clip(normal[2], 0, 1)) ** 3 * np.clip(normal[1] + 0.2, 0, 1)
    return np.asarray(0.16 + 0.22 * sky + 0.80 * soft + 0.12 * rim)
