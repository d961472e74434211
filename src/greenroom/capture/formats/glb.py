"""Write a performance as a GLB: a plain figure on its skeleton, its motion, and a face that moves.

Convention: see :mod:`greenroom.capture.formats.gltf`. The figure is made here, an octahedron a bone; the
face is a mask of 52 morph targets with ARKit's names, small, in front of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from greenroom.capture.formats.gltf import (
    INDICES,
    VERTICES,
    GltfAnimation,
    GltfBuilder,
    add_skeleton,
    held_weights,
)
from greenroom.clock import Timecode
from greenroom.frames import ARKIT, BONE, Body, Doubles, Face, Skeleton

_MOVES: dict[str, tuple[float, float, float, float, float]] = {
    "eyeBlink": (30, 30, 0, -8, 0),
    "eyeLookDown": (30, 30, 0, -3, 0),
    "eyeLookIn": (30, 30, -3, 0, 0),
    "eyeLookOut": (30, 30, 3, 0, 0),
    "eyeLookUp": (30, 30, 0, 3, 0),
    "eyeSquint": (30, 22, 0, 4, 0),
    "eyeWide": (30, 36, 0, 5, 0),
    "jawForward": (0, -70, 0, 0, 6),
    "jawLeft": (0, -70, 6, 0, 0),
    "jawRight": (0, -70, -6, 0, 0),
    "jawOpen": (0, -65, 0, -14, 0),
    "mouthClose": (0, -48, 0, 6, 0),
    "mouthFunnel": (0, -40, 0, 2, 7),
    "mouthPucker": (0, -40, 0, 0, 9),
    "mouthLeft": (0, -40, 6, 0, 0),
    "mouthRight": (0, -40, -6, 0, 0),
    "mouthSmile": (24, -40, 5, 6, 0),
    "mouthFrown": (24, -40, 0, -6, 0),
    "mouthDimple": (24, -40, 4, 0, -3),
    "mouthStretch": (24, -40, 6, -2, 0),
    "mouthRollLower": (0, -47, 0, 0, -4),
    "mouthRollUpper": (0, -36, 0, 0, -4),
    "mouthShrugLower": (0, -50, 0, 4, 0),
    "mouthShrugUpper": (0, -34, 0, 4, 0),
    "mouthPress": (16, -40, 0, 0, -2),
    "mouthLowerDown": (14, -48, 0, -5, 0),
    "mouthUpperUp": (14, -34, 0, 5, 0),
    "browDown": (28, 48, 0, -5, 0),
    "browInnerUp": (0, 48, 0, 6, 0),
    "browOuterUp": (38, 50, 0, 6, 0),
    "cheekPuff": (0, -22, 0, 0, 8),
    "cheekSquint": (36, 8, 0, 5, 0),
    "noseSneer": (10, 2, 0, 5, 0),
    "tongueOut": (0, -44, 0, 0, 12),
}
"""Channel → where on the mask (x, y) and how far it goes (x, y, z), millimetres; of a pair, the left."""
_SPREAD = 0.016
"""How far around a place the mask goes along, metres."""
_RADII, _CENTRE = (0.075, 0.105, 0.085), (0.0, 0.06, 0.015)
"""Of the ellipsoid whose front the mask is, metres, from the head's joint."""
_ROWS, _COLUMNS = 15, 13


def write_glb(body: Body, face: Face | None, timecode: Timecode, extras: dict[str, Any]) -> bytes:
    """Write a body and a face as a GLB with one animation of a key a tick.

    Args:
        body: the humanoid; missing bones are written in the T-pose.
        face: on ARKit's 52 channels, of the body's length; None where nothing drives it: the mask is
            there, and rests.
        timecode: of the first tick, for `asset.extras`.
        extras: what else `asset.extras` says.
    """
    builder = GltfBuilder(timecode, extras)
    bones = add_skeleton(builder, body)
    builder.append(
        "materials",
        {
            "name": "skin",
            "doubleSided": True,
            "pbrMetallicRoughness": {
                "baseColorFactor": [0.84, 0.81, 0.78, 1.0],
                "metallicFactor": 0.0,
                "roughnessFactor": 0.8,
            },
        },
    )
    _add_figure(builder, body.skeleton, bones)
    mask = _add_mask(builder, bones[BONE["head"]])
    animation = GltfAnimation(builder, "performance", len(body))
    animation.add_body(bones, body)
    if face is not None:
        order = [face.channels.index(name) for name in ARKIT]
        animation.add(mask, "weights", held_weights(face.weights[:, order]))
    return builder.pack()


def _add_figure(builder: GltfBuilder, skeleton: Skeleton, bones: Sequence[int]) -> None:
    """Append a skinned mesh: an octahedron from each joint's parent, which moves it, to the joint."""
    rest = skeleton.offsets.copy()
    for j, parent in enumerate(skeleton.parents):
        if parent >= 0:
            rest[j] += rest[parent]
    positions, owners = [], []
    for j, parent in enumerate(skeleton.parents):
        if parent >= 0:
            positions.append(_octahedron(rest[parent], rest[j]))
            owners.append(parent)
    count = len(owners)
    joints = np.zeros((6 * count, 4), dtype="|u1")
    joints[:, 0] = np.repeat(owners, 6)
    weights = np.tile(np.asarray([1, 0, 0, 0], dtype="<f4"), (6 * count, 1))
    sides = [(0, 1 + k, 1 + (k + 1) % 4) for k in range(4)]
    sides += [(5, 1 + (k + 1) % 4, 1 + k) for k in range(4)]
    indices = (6 * np.arange(count)[:, None] + np.asarray(sides).ravel()).ravel().astype("<u2")
    inverse = np.tile(np.eye(4), (len(bones), 1, 1))
    inverse[:, :3, 3] = -rest
    columns = inverse.transpose(0, 2, 1).reshape(-1, 16).astype("<f4")
    skin = {
        "joints": list(bones),
        "skeleton": bones[0],
        "inverseBindMatrices": builder.accessor(columns),
    }
    attributes = {
        "POSITION": builder.accessor(
            np.concatenate(positions).astype("<f4"), VERTICES, bounds=True
        ),
        "JOINTS_0": builder.accessor(joints, VERTICES),
        "WEIGHTS_0": builder.accessor(weights, VERTICES),
    }
    primitive = {
        "attributes": attributes,
        "indices": builder.accessor(indices, INDICES),
        "material": 0,
    }
    mesh = builder.append("meshes", {"name": "figure", "primitives": [primitive]})
    builder.root({"name": "figure", "mesh": mesh, "skin": builder.append("skins", skin)})


def _octahedron(start: Doubles, end: Doubles) -> Doubles:
    """Return six corners (6, 3): from `start` to `end`, an eighth as wide as long."""
    along = end - start
    length = float(np.linalg.norm(along))
    if length < 1e-9:
        return np.repeat(start[None], 6, axis=0)
    axis = along / length
    across = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    across *= length / 8 / np.linalg.norm(across)
    other = np.cross(axis, across)
    middle = start + along / 4
    ring = [middle + across, middle + other, middle - across, middle - other]
    return np.asarray([start, *ring, end])


def _add_mask(builder: GltfBuilder, head: int) -> int:
    """Append the face, a child of the head; return its node."""
    v, u = np.meshgrid(
        np.linspace(-1.4, 1.4, _ROWS), np.linspace(-1.2, 1.2, _COLUMNS), indexing="ij"
    )
    unit = np.stack([np.sin(u) * np.cos(v), np.sin(v), np.cos(u) * np.cos(v)], axis=-1)
    places = unit.reshape(-1, 3) * _RADII
    corner = np.arange(_ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    indices = np.stack([a, b, d, a, d, c], axis=-1).ravel().astype("<u2")
    targets = [
        {"POSITION": builder.accessor(_morph(name, places).astype("<f4"), VERTICES, bounds=True)}
        for name in ARKIT
    ]
    primitive = {
        "attributes": {
            "POSITION": builder.accessor((places + _CENTRE).astype("<f4"), VERTICES, bounds=True)
        },
        "indices": builder.accessor(indices, INDICES),
        "material": 0,
        "targets": targets,
    }
    mesh = {
        "name": "face",
        "primitives": [primitive],
        "weights": [0.0] * len(ARKIT),
        "extras": {"targetNames": list(ARKIT)},
    }
    node = builder.append("nodes", {"name": "face", "mesh": builder.append("meshes", mesh)})
    builder.document["nodes"][head].setdefault("children", []).append(node)
    return node


def _morph(name: str, places: Doubles) -> Doubles:
    """Return how far each vertex (V, 3) goes at weight 1, metres."""
    side, base = 1, name
    if name not in _MOVES:
        base = name.removesuffix("Left").removesuffix("Right")
        side = -1 if name.endswith("Right") else 1
    x, y, *way = np.asarray(_MOVES[base]) / 1000
    distance = (places[:, 0] - side * x) ** 2 + (places[:, 1] - y) ** 2
    share = np.exp(-distance / (2 * _SPREAD**2))
    return np.asarray(share[:, None] * np.asarray(way) * (side, 1, 1))
