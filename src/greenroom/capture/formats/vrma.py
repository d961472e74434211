"""Write a performance as VRM Animation (VRMA 1.0), which plays on every VRM avatar.

Convention: see :mod:`greenroom.capture.formats.gltf`; the rest pose is the T-pose. A weight is the X of
its node's translation. Gaze is the rotation of a node, yaw about +Y and pitch about +X (extrinsic ZXY);
positive yaw looks to the performer's left, positive pitch down. The eyes have no tracks of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from greenroom.capture.formats.gltf import (
    GltfAnimation,
    GltfBuilder,
    add_skeleton,
    held_weights,
)
from greenroom.clock import Timecode
from greenroom.frames import BONE, Array, Body, Doubles, Face
from greenroom.rotations import from_euler, rotate

EYES = ("leftEye", "rightEye")
LOOK_YAW, LOOK_PITCH = 30.0, 25.0
"""Degrees that an eye turns at weight 1 of ARKit's `eyeLook…`."""
_EYE_HEIGHT = 0.06


def write_vrma(body: Body, face: Face | None, timecode: Timecode, extras: dict[str, Any]) -> bytes:
    """Write a body, expressions and gaze as a VRMA of a key a tick.

    Args:
        body: the humanoid; missing bones are written in the T-pose.
        face: on ARKit's 52 channels, of the body's length; None where nothing drives it: then no
            expression is written.
        timecode: of the first tick, for `asset.extras`.
        extras: what else `asset.extras` says.
    """
    builder = GltfBuilder(timecode, extras)
    bones = add_skeleton(builder, body)
    animation = GltfAnimation(builder, "performance", len(body))
    animation.add_body(bones, body, leave_out=EYES)
    humanoid = {
        name: {"node": node}
        for name, node in zip(body.skeleton.names, bones, strict=True)
        if name not in EYES
    }
    extension: dict[str, Any] = {"specVersion": "1.0", "humanoid": {"humanBones": humanoid}}
    weights = {} if face is None else _by_name(face)
    if weights:
        groups = {"preset": preset_expressions(weights), "custom": weights}
        extension["expressions"] = {
            group: _add_expressions(builder, animation, tracks) for group, tracks in groups.items()
        }
    gaze = gaze_angles(body, weights)
    if gaze is not None:
        node = builder.root({"name": "lookAt"})
        animation.add(node, "rotation", from_euler(gaze, "YX"))
        extension["lookAt"] = {"node": node, "offsetFromHeadBone": [0.0, _EYE_HEIGHT, 0.0]}
    builder.document["extensionsUsed"] = ["VRMC_vrm_animation"]
    builder.document["extensions"] = {"VRMC_vrm_animation": extension}
    return builder.pack()


def _by_name(face: Face) -> dict[str, Array]:
    """Return channel → weights (T,), without gaps."""
    weights = held_weights(face.weights)
    return {name: weights[:, b] for b, name in enumerate(face.channels)}


def preset_expressions(weights: dict[str, Array]) -> dict[str, Array]:
    """Return VRM's mouth shapes and blinks (T,), in [0, 1], of ARKit's weights.

    An open jaw is "aa" as far as the lips are neither pursed nor spread; a funnel is "oh", a pucker
    "ou", spread lips "ee" with the jaw open and "ih" with it nearly shut.
    """
    jaw, funnel, pucker = weights["jawOpen"], weights["mouthFunnel"], weights["mouthPucker"]
    pairs = ("mouthStretch", "mouthSmile")
    spread = np.maximum(*((weights[f"{n}Left"] + weights[f"{n}Right"]) / 2 for n in pairs))
    open_jaw = np.minimum(1, 2 * jaw)
    shaped = np.maximum(np.maximum(funnel, pucker), spread)
    return {
        "aa": jaw * (1 - shaped),
        "ih": spread * (1 - open_jaw),
        "ou": pucker,
        "ee": spread * open_jaw,
        "oh": funnel * (1 - pucker),
        "blinkLeft": weights["eyeBlinkLeft"],
        "blinkRight": weights["eyeBlinkRight"],
    }


def _add_expressions(
    builder: GltfBuilder, animation: GltfAnimation, tracks: dict[str, Array]
) -> dict[str, dict[str, int]]:
    """Append a node and a track an expression; return what the extension says of them."""
    out = {}
    for name, weights in tracks.items():
        node = builder.root({"name": name})
        along = np.zeros((len(weights), 3), dtype=np.float32)
        along[:, 0] = weights
        animation.add(node, "translation", along)
        out[name] = {"node": node}
    return out


def gaze_angles(body: Body, weights: dict[str, Array]) -> Doubles | None:
    """Return yaw and pitch of the gaze (T, 2), degrees, in the head's frame; None where nothing says it.

    The eye bones say it if they turn at all; else the weights `eyeLook…` do. Both eyes are averaged.
    """
    eyes = body.filled()[:, [BONE[name] for name in EYES]].astype(np.float64)
    if np.abs(eyes[..., :3]).max(initial=0) > 1e-4:
        forward = rotate(eyes, np.asarray([0.0, 0.0, 1.0])).mean(axis=1)
        yaw = np.arctan2(forward[:, 0], forward[:, 2])
        pitch = np.arctan2(-forward[:, 1], np.hypot(forward[:, 0], forward[:, 2]))
        return np.asarray(np.rad2deg(np.stack([yaw, pitch], axis=1)))
    if not weights:
        return None
    look = {name.removeprefix("eyeLook"): w for name, w in weights.items() if "eyeLook" in name}
    yaw = look["OutLeft"] - look["InLeft"] + look["InRight"] - look["OutRight"]
    pitch = look["DownLeft"] - look["UpLeft"] + look["DownRight"] - look["UpRight"]
    return np.asarray(np.stack([yaw * LOOK_YAW, pitch * LOOK_PITCH], axis=1) / 2, dtype=np.float64)
