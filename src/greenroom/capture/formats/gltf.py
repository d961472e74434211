"""Build binary glTF 2.0 files: buffers, accessors, a skeleton's nodes, and its animation.

Convention: glTF's is ours (metres, right-handed, +Y up, facing +Z, quaternions xyzw); a node's rest turn
is the identity, because rotations are relative to the T-pose. Keys stand a tick apart, from 0 s on.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.clock import Timecode
from greenroom.frames import TICK_HZ, Array, Body
from greenroom.rotations import continuous, normalise

_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_COMPONENTS = {"<f4": 5126, "<u2": 5123, "|u1": 5121}
VERTICES, INDICES = 34962, 34963


class GltfBuilder:
    """A glTF document under construction.

    Args:
        timecode: of the first key.
        extras: what else `asset.extras` says, such as the show's hash.
    """

    def __init__(self, timecode: Timecode, extras: dict[str, Any]) -> None:
        """Begin with an empty scene."""
        self.document: dict[str, Any] = {
            "asset": {
                "version": "2.0",
                "generator": "Greenroom",
                "extras": {
                    "timecode": timecode.text(),
                    "timecodeRate": TICK_HZ,
                    "dropFrame": False,
                    "date": timecode.day.isoformat(),
                    **extras,
                },
            },
            "scene": 0,
            "scenes": [{"nodes": []}],
            "nodes": [],
        }
        self._binary = bytearray()

    def append(self, kind: str, item: dict[str, Any]) -> int:
        """Append an item to one of the document's lists; return its index."""
        items = self.document.setdefault(kind, [])
        items.append(item)
        return len(items) - 1

    def root(self, node: dict[str, Any]) -> int:
        """Append a node to the scene; return its index."""
        index = self.append("nodes", node)
        self.document["scenes"][0]["nodes"].append(index)
        return index

    def accessor(
        self, values: NDArray[Any], target: int | None = None, bounds: bool = False
    ) -> int:
        """Append numbers to the buffer; return the index of their accessor.

        Args:
            values: shape (N,) or (N, 3, 4 or 16); float32, uint16 or uint8.
            target: `VERTICES` or `INDICES` for a mesh, None for keys.
            bounds: whether least and greatest are written, as positions and times need them.
        """
        data = np.ascontiguousarray(values)
        self._binary += bytes(-len(self._binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": data.nbytes}
        if target is not None:
            view["target"] = target
        self._binary += data.tobytes()
        rows = data.reshape(len(data), -1)
        accessor: dict[str, Any] = {
            "bufferView": self.append("bufferViews", view),
            "componentType": _COMPONENTS[data.dtype.newbyteorder("<").str],
            "count": len(data),
            "type": _TYPES[rows.shape[1]],
        }
        if bounds:
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        return self.append("accessors", accessor)

    def pack(self) -> bytes:
        """Return the file (GLB): header, JSON, buffer."""
        self._binary += bytes(-len(self._binary) % 4)
        self.document["buffers"] = [{"byteLength": len(self._binary)}]
        text = json.dumps(self.document, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + len(self._binary)
        return b"".join(
            (
                struct.pack("<4sII", b"glTF", 2, size),
                struct.pack("<I4s", len(text), b"JSON"),
                text,
                struct.pack("<I4s", len(self._binary), b"BIN\0"),
                self._binary,
            )
        )


def add_skeleton(builder: GltfBuilder, body: Body) -> list[int]:
    """Append a node a bone, in the T-pose, by its VRM name; return their indices in the body's order."""
    skeleton = body.skeleton
    nodes: list[int] = []
    for name, parent, offset in zip(
        skeleton.names, skeleton.parents, skeleton.offsets, strict=True
    ):
        node = {"name": name, "translation": [float(metres) for metres in offset]}
        if parent < 0:
            nodes.append(builder.root(node))
            continue
        nodes.append(builder.append("nodes", node))
        builder.document["nodes"][nodes[parent]].setdefault("children", []).append(nodes[-1])
    return nodes


class GltfAnimation:
    """The document's one animation: channels that share a key a tick.

    Args:
        builder: the document.
        name: of the animation.
        ticks: how many keys a channel has.
    """

    def __init__(self, builder: GltfBuilder, name: str, ticks: int) -> None:
        """Write the times of the keys."""
        self.builder = builder
        self._track: dict[str, Any] = {"name": name, "channels": [], "samplers": []}
        builder.append("animations", self._track)
        times = (np.arange(ticks) / TICK_HZ).astype("<f4")
        self._times = builder.accessor(times, bounds=True)

    def add(self, node: int, path: str, values: Array) -> None:
        """Append a channel.

        Args:
            node: what moves.
            path: "translation", "rotation" or "weights".
            values: (T, 3) metres, (T, 4) unit quaternions xyzw, or (T, B) weights.
        """
        keys = np.asarray(values)
        if path == "rotation":
            keys = continuous(normalise(keys.astype(np.float64)))
        keys = keys.astype("<f4")
        output = self.builder.accessor(keys.ravel() if path == "weights" else keys)
        sampler = {"input": self._times, "output": output, "interpolation": "LINEAR"}
        self._track["samplers"].append(sampler)
        target = {"node": node, "path": path}
        self._track["channels"].append(
            {"sampler": len(self._track["samplers"]) - 1, "target": target}
        )

    def add_body(self, nodes: list[int], body: Body, leave_out: tuple[str, ...] = ()) -> None:
        """Append the way of the hips, and each bone's rotation but for those left out."""
        self.add(nodes[0], "translation", body.root)
        rotations = body.filled()
        for j, name in enumerate(body.skeleton.names):
            if name not in leave_out:
                self.add(nodes[j], "rotation", rotations[:, j])


def held_weights(weights: Array) -> Array:
    """Return weights (T, B) without gaps: what nothing drives stays where it was, 0 at the start.

    >>> held_weights(np.asarray([[np.nan], [0.5], [np.nan]])).ravel().tolist()
    [0.0, 0.5, 0.5]
    """
    driven = np.isfinite(weights)
    rows = np.where(driven, np.arange(len(weights))[:, None], 0)
    carried = np.take_along_axis(weights, np.maximum.accumulate(rows, axis=0), axis=0)
    return np.where(np.isfinite(carried), carried, 0).clip(0, 1)
