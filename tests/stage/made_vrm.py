"""Make a VRM avatar without a mesh: the default performer's bones, in either version of the format."""

from __future__ import annotations

import json
import struct
from typing import Any

from greenroom.frames import BONE, BONES, HUMANOID, PARENTS

_OLD_THUMB = {"Metacarpal": "Proximal", "Proximal": "Intermediate"}


def _old_name(bone: str) -> str:
    """Return a bone's name in VRM 0.x, whose thumbs are called otherwise."""
    side, _, part = bone.partition("Thumb")
    return f"{side}Thumb{_OLD_THUMB.get(part, part)}" if part else bone


def make_vrm(version: str, expressions: tuple[str, ...] = ("aa", "blinkLeft", "jawOpen")) -> bytes:
    """Return a binary glTF of an avatar.

    Args:
        version: "1.0", which faces +Z, or "0.0", which faces -Z.
        expressions: names of its expressions; presets where VRM has such.
    """
    sign = 1 if version == "1.0" else -1
    nodes: list[dict[str, Any]] = []
    for index, name in enumerate(BONES):
        x, y, z = HUMANOID.offsets[index].tolist()
        children = [child for child, parent in enumerate(PARENTS) if parent == index]
        node = {"name": name, "translation": [sign * x, y, sign * z]}
        nodes.append(node | ({"children": children} if children else {}))
    if version == "1.0":
        presets = {name: {} for name in expressions if name in ("aa", "blinkLeft")}
        custom = {name: {} for name in expressions if name not in presets}
        extension = {
            "VRMC_vrm": {
                "specVersion": "1.0",
                "meta": {
                    "name": "made",
                    "authors": ["test"],
                    "licenseUrl": "https://vrm.dev/licenses/1.0/",
                },
                "humanoid": {"humanBones": {bone: {"node": BONE[bone]} for bone in BONES}},
                "expressions": {"preset": presets, "custom": custom},
                "lookAt": {"type": "bone", "offsetFromHeadBone": [0, 0.06, 0]},
            }
        }
    else:
        groups = [
            {"name": name, "presetName": {"aa": "a", "blinkLeft": "blink_l"}.get(name, "unknown")}
            for name in expressions
        ]
        bones = [{"bone": _old_name(bone), "node": BONE[bone]} for bone in BONES]
        extension = {
            "VRM": {
                "specVersion": "0.0",
                "meta": {"title": "made"},
                "humanoid": {"humanBones": bones},
                "blendShapeMaster": {
                    "blendShapeGroups": [{**group, "binds": []} for group in groups]
                },
                "firstPerson": {"lookAtTypeName": "Bone"},
            }
        }
    document = {
        "asset": {"version": "2.0"},
        "extensionsUsed": list(extension),
        "extensions": extension,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
    }
    return glb(document)


def glb(document: dict[str, Any]) -> bytes:
    """Return a glTF document without a buffer as GLB."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(text))
    return head + struct.pack("<I4s", len(text), b"JSON") + text
