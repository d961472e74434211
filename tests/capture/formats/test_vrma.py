"""A VRMA as others read it: bones by name, expressions and gaze, and nothing that the format forbids."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from greenroom.capture.formats.vrma import gaze_angles, write_vrma
from greenroom.frames import ARKIT, BONE, BONES, Face
from greenroom.rotations import angle_between, from_euler, rotate
from tests.capture.formats.performed import TIMECODE, asymmetric, driven_face
from tests.capture.formats.test_glb import tracks

pygltflib = pytest.importorskip("pygltflib")
EYES = {"leftEye", "rightEye"}


def read(face: Face | None = None) -> tuple[Any, dict[str, Any]]:
    gltf = pygltflib.GLTF2.load_from_bytes(write_vrma(asymmetric(), face, TIMECODE, {}))
    assert gltf.extensionsUsed == ["VRMC_vrm_animation"]
    return gltf, gltf.extensions["VRMC_vrm_animation"]


def test_bones_turn_and_only_the_hips_move() -> None:
    gltf, extension = read(driven_face())
    body, moves = asymmetric(), tracks(gltf)
    assert extension["specVersion"] == "1.0"
    bones = extension["humanoid"]["humanBones"]
    assert set(bones) == set(BONES) - EYES
    assert all(gltf.nodes[entry["node"]].name == name for name, entry in bones.items())
    for name in bones:
        turn = moves[name, "rotation"].astype(float)
        wanted = body.rotations[:, BONE[name]].astype(float)
        assert angle_between(turn, wanted).max() < 0.1
    assert {name for name, path in moves if path == "translation"} & set(BONES) == {"hips"}
    assert np.array_equal(moves["hips", "translation"], body.root)
    assert not any(name in EYES for name, _ in moves) and not any(p == "scale" for _, p in moves)
    assert all(node.rotation is None for node in gltf.nodes)  # the rest pose is the T-pose


def test_expressions_are_the_x_of_their_nodes() -> None:
    face = driven_face()
    gltf, extension = read(face)
    moves, groups = tracks(gltf), extension["expressions"]
    assert list(groups["preset"]) == ["aa", "ih", "ou", "ee", "oh", "blinkLeft", "blinkRight"]
    assert list(groups["custom"]) == list(ARKIT)
    for name, entry in {**groups["preset"], **groups["custom"]}.items():
        keys = moves[gltf.nodes[entry["node"]].name, "translation"]
        assert keys[:, 0].min() >= 0 and keys[:, 0].max() <= 1 and not keys[:, 1:].any()
        if name in ARKIT:
            assert np.array_equal(keys[:, 0], face.weights[:, ARKIT.index(name)])
    blink = moves["blinkLeft", "translation"][:, 0]
    assert np.array_equal(blink, face.weights[:, ARKIT.index("eyeBlinkLeft")])


def test_without_a_driven_face_there_are_no_expressions_and_no_gaze() -> None:
    _, extension = read(None)
    assert "expressions" not in extension and "lookAt" not in extension


def test_gaze_is_yaw_to_the_left_and_pitch_down() -> None:
    weights = {name: np.zeros(30, np.float32) for name in ARKIT}
    weights["eyeLookOutLeft"] = weights["eyeLookInRight"] = np.ones(30, np.float32)
    weights["eyeLookDownLeft"] = weights["eyeLookDownRight"] = np.ones(30, np.float32)
    angles = gaze_angles(asymmetric(), weights)
    assert angles is not None and np.allclose(angles, [30, 25])
    x, y, z = rotate(from_euler(angles[0], "YX"), np.asarray([0.0, 0.0, 1.0]))
    assert x > 0.4 and y < -0.4 and z > 0.7  # the performer's left is +X
    body = asymmetric()
    turns = body.rotations.copy()
    turns[:, [BONE[name] for name in EYES]] = from_euler(np.asarray([-10.0, 5.0]), "YX")
    angles = gaze_angles(replace(body, rotations=turns), weights)
    assert angles is not None and np.allclose(angles, [-10, 5], atol=1e-4)


def test_the_gaze_turns_the_node_that_the_extension_names() -> None:
    gltf, extension = read(driven_face())
    node = gltf.nodes[extension["lookAt"]["node"]].name
    angles = gaze_angles(asymmetric(), dict(zip(ARKIT, driven_face().weights.T, strict=True)))
    assert angles is not None
    keys = tracks(gltf)[node, "rotation"].astype(float)
    assert angle_between(keys, from_euler(angles, "YX")).max() < 0.1
    assert len(extension["lookAt"]["offsetFromHeadBone"]) == 3
