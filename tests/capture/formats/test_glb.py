"""A GLB as others read it: `pygltflib` finds its parts, and its nodes bring every bone to its place."""

import json
import struct
from typing import Any

import numpy as np
import pytest

from greenroom.capture.formats.glb import write_glb
from greenroom.frames import ARKIT, BONES
from greenroom.rotations import angle_between, multiply, rotate
from tests.capture.formats.performed import TICKS, TIMECODE, asymmetric, driven_face, places

pygltflib = pytest.importorskip("pygltflib")
_WIDTH = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TYPE = {5126: "<f4", 5123: "<u2", 5121: "|u1"}


def values(gltf: Any, index: int) -> np.ndarray:
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    kind, width = np.dtype(_TYPE[accessor.componentType]), _WIDTH[accessor.type]
    data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(data, kind).reshape(accessor.count, width)


def tracks(gltf: Any) -> dict[tuple[str, str], np.ndarray]:
    (animation,) = gltf.animations
    out = {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        times = values(gltf, sampler.input).ravel()
        assert np.allclose(times, np.arange(TICKS) / 30, atol=1e-6)
        assert sampler.interpolation == "LINEAR"
        assert gltf.accessors[sampler.output].componentType == 5126
        name = gltf.nodes[channel.target.node].name
        out[name, channel.target.path] = values(gltf, sampler.output)
    return out


def world(gltf: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    moves = tracks(gltf)
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    pending = [(index, None) for index in gltf.scenes[0].nodes]
    while pending:
        index, parent = pending.pop()
        node = gltf.nodes[index]
        rest = np.tile(np.asarray(node.translation or [0, 0, 0], float), (TICKS, 1))
        place = moves.get((node.name, "translation"), rest).astype(float)
        turn = moves.get((node.name, "rotation"), np.tile([0, 0, 0, 1.0], (TICKS, 1))).astype(float)
        if parent is not None:
            above = out[parent]
            place, turn = above[0] + rotate(above[1], place), multiply(above[1], turn)
        out[node.name] = place, turn
        pending += [(child, node.name) for child in node.children or []]
    return out


def test_every_bone_is_where_the_performer_had_it() -> None:
    body = asymmetric()
    gltf = pygltflib.GLTF2.load_from_bytes(write_glb(body, driven_face(), TIMECODE, {"show": "ab"}))
    read, (wanted, turned) = world(gltf), places(body)
    for j, name in enumerate(BONES):
        place, turn = read[name]
        assert np.linalg.norm(place - wanted[:, j], axis=1).max() < 1e-3
        assert angle_between(turn, turned[:, j]).max() < 0.1
    assert [path for name, path in tracks(gltf) if path == "translation"] == ["translation"]


def test_the_face_has_52_targets_that_move_and_follow_the_weights() -> None:
    face = driven_face()
    gltf = pygltflib.GLTF2.load_from_bytes(write_glb(asymmetric(), face, TIMECODE, {}))
    (mesh,) = [mesh for mesh in gltf.meshes if mesh.name == "face"]
    assert mesh.extras["targetNames"] == list(ARKIT)
    moves = [values(gltf, target["POSITION"]) for target in mesh.primitives[0].targets]
    assert len({move.tobytes() for move in moves}) == len(ARKIT)
    reach = [np.linalg.norm(move, axis=1).max() for move in moves]
    assert 0.001 < min(reach) and max(reach) < 0.02
    left, right = (moves[ARKIT.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    vertices = values(gltf, mesh.primitives[0].attributes.POSITION)
    assert vertices[np.linalg.norm(left, axis=1).argmax(), 0] > 0.01  # the performer's left is +X
    assert vertices[np.linalg.norm(right, axis=1).argmax(), 0] < -0.01
    weights = tracks(gltf)["face", "weights"].reshape(TICKS, -1)
    assert np.array_equal(weights, face.weights)


def test_a_face_that_nothing_drives_rests_and_gaps_hold() -> None:
    gltf = pygltflib.GLTF2.load_from_bytes(write_glb(asymmetric(), None, TIMECODE, {}))
    assert ("face", "weights") not in tracks(gltf)
    face = driven_face()
    face.weights[:5], face.weights[10:12] = np.nan, np.nan
    gltf = pygltflib.GLTF2.load_from_bytes(write_glb(asymmetric(), face, TIMECODE, {}))
    weights = tracks(gltf)["face", "weights"].reshape(TICKS, -1)
    assert not weights[:5].any() and np.array_equal(weights[11], face.weights[9])


def test_its_chunks_are_padded_and_it_says_its_timecode() -> None:
    data = write_glb(asymmetric(), None, TIMECODE, {"show": "ab"})
    magic, version, size = struct.unpack_from("<4sII", data)
    (length,) = struct.unpack_from("<I", data, 12)
    assert (magic, version, size) == (b"glTF", 2, len(data)) and length % 4 == len(data) % 4 == 0
    asset = json.loads(data[20 : 20 + length])["asset"]
    assert asset["version"] == "2.0" and asset["extras"]["show"] == "ab"
    assert asset["extras"]["timecode"] == "14:13:20:13" == TIMECODE.text()
    assert asset["extras"]["dropFrame"] is False and asset["extras"]["timecodeRate"] == 30
