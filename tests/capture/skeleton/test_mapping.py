import json

import numpy as np
import pytest

from greenroom.capture.formats.bvh import read_bvh
from greenroom.capture.skeleton.mapping import Mapping, map_joints, read_mapping
from greenroom.errors import BadInput

BODY = (
    "hips spine chest neck head leftShoulder leftUpperArm leftLowerArm leftHand rightShoulder "
    "rightUpperArm rightLowerArm rightHand leftUpperLeg leftLowerLeg leftFoot leftToes "
    "rightUpperLeg rightLowerLeg rightFoot rightToes"
).split()


def both(middle: str, arms_legs: str, left: str, right: str) -> dict[str, str]:
    parts = arms_legs.split("|")
    lefts, rights = [p.replace("%", left) for p in parts], [p.replace("%", right) for p in parts]
    names = [*middle.split("|"), *lefts[:4], *rights[:4], *lefts[4:], *rights[4:]]
    return dict(zip(BODY, names, strict=True))


MIXAMO = "%Shoulder|%Arm|%ForeArm|%Hand|%UpLeg|%Leg|%Foot|%ToeBase"
NAMINGS = {
    "mixamo": both(
        "mixamorig:Hips|mixamorig:Spine|mixamorig:Spine1|mixamorig:Neck|mixamorig:Head",
        "|".join("mixamorig:" + part for part in MIXAMO.split("|")),
        "Left",
        "Right",
    ),
    "motionbuilder": both("Hips|Spine|Spine1|Neck|Head", MIXAMO, "Left", "Right"),
    "bandai": both(
        "Hips|Spine|Chest|Neck|Head",
        "Shoulder_%|UpperArm_%|LowerArm_%|Hand_%|UpperLeg_%|LowerLeg_%|Foot_%|Toes_%",
        "L",
        "R",
    ),
    "cgspeed": both(
        "hip|abdomen|chest|neck|head",
        "%Collar|%Shldr|%ForeArm|%Hand|%Thigh|%Shin|%Foot|%Toe",
        "l",
        "r",
    ),
    "unreal": both(
        "pelvis|spine_01|spine_02|neck_01|head",
        "clavicle_%|upperarm_%|lowerarm_%|hand_%|thigh_%|calf_%|foot_%|ball_%",
        "l",
        "r",
    ),
    "biped": both(
        "Bip01 Pelvis|Bip01 Spine|Bip01 Spine1|Bip01 Neck|Bip01 Head",
        "Bip01 % Clavicle|Bip01 % UpperArm|Bip01 % Forearm|Bip01 % Hand|Bip01 % Thigh"
        "|Bip01 % Calf|Bip01 % Foot|Bip01 % Toe0",
        "L",
        "R",
    ),
    "vroid": both(
        "J_Bip_C_Hips|J_Bip_C_Spine|J_Bip_C_Chest|J_Bip_C_Neck|J_Bip_C_Head",
        "J_Bip_%_Shoulder|J_Bip_%_UpperArm|J_Bip_%_LowerArm|J_Bip_%_Hand|J_Bip_%_UpperLeg"
        "|J_Bip_%_LowerLeg|J_Bip_%_Foot|J_Bip_%_ToeBase",
        "L",
        "R",
    ),
    "blender": both(
        "DEF-hips|DEF-spine|DEF-chest|DEF-neck|DEF-head",
        "DEF-shoulder.%|DEF-upper_arm.%|DEF-forearm.%|DEF-hand.%|DEF-thigh.%|DEF-shin.%"
        "|DEF-foot.%|DEF-toe.%",
        "L",
        "R",
    ),
    "xsens": both(
        "Hips|Chest|Chest2|Neck|Head",
        "%Collar|%Shoulder|%Elbow|%Wrist|%Hip|%Knee|%Ankle|%Toe",
        "Left",
        "Right",
    ),
    "rokoko": both(
        "Hips|Spine1|Spine2|Neck|Head",
        "%Shoulder|%Arm|%Forearm|%Hand|%Thigh|%Shin|%Foot|%Toe",
        "Left",
        "Right",
    ),
    "numbers": {bone: f"n{i}" for i, bone in enumerate(BODY)},
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_namings_in_use_are_understood(person, naming):
    names = NAMINGS[naming]
    motion = read_bvh(person(names=names), where=naming)
    bones = map_joints(motion)
    found = {bone: motion.skeleton.names[j] for bone, j in bones.items()}
    assert found == names
    assert motion.metres_per_unit == 0.01


def test_names_that_contradict_the_tree_lose_to_its_shape(person):
    names = dict(NAMINGS["motionbuilder"])
    for a, b in (("leftUpperLeg", "leftFoot"), ("rightUpperLeg", "rightFoot")):
        names[a], names[b] = names[b], names[a]
    motion = read_bvh(person(names=names), where="p")
    found = map_joints(motion)
    assert motion.skeleton.names[found["leftUpperLeg"]] == "LeftFoot"


def test_a_mapping_file_wins_and_contradictions_are_refused(person):
    names = {bone: f"n{i}" for i, bone in enumerate(BODY)}
    motion = read_bvh(person(names=names), where="p")
    bones = map_joints(motion, Mapping({"n3": "", "n4": "head"}))
    assert "neck" not in bones
    swapped = {names["leftUpperLeg"]: "leftFoot", names["leftFoot"]: "leftUpperLeg"}
    with pytest.raises(BadInput, match="does not stand under"):
        map_joints(motion, Mapping(swapped))
    with pytest.raises(BadInput, match="which is no joint"):
        map_joints(motion, Mapping({"nobody": "hips"}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"name": {}}',
        b'{"names": []}',
        b'{"names": {"a": "knee"}}',
        b'{"names": {"a": 3}}',
        b'{"names": {"a": "hips", "b": "hips"}}',
        b'{"names": {"a": "hips", "a": "head"}}',
        b'{"unit": "furlong"}',
        b'{"unit": 0}',
        b'{"unit": true}',
        b'{"unit": NaN}',
        b'{"up": "W"}',
        b'{"up": ["Y"]}',
        b'{"rate": 0}',
        b'{"rate": true}',
        b'{"rate": "30"}',
        b'{"rate": NaN}',
        b'{"channels": []}',
        b'{"channels": "jawOpen"}',
        b'{"channels": ["a", "a"]}',
        b'{"channels": ["a", ""]}',
        b'{"channels": ["a", 3]}',
        b"[" * 100_000,
    ],
)
def test_bad_mapping_files_are_refused(raw):
    with pytest.raises(BadInput) as caught:
        read_mapping(raw, where="m.json")
    assert caught.value.then


def test_mapping_file_is_read():
    raw = json.dumps({"names": {"x": "hips", "y": None}, "unit": 0.0254, "up": "-Z"}).encode()
    assert read_mapping(raw, where="m") == Mapping({"x": "hips", "y": ""}, 0.0254, "-Z")
    raw = b'{"rate": 60, "channels": ["jaw open", "blink_L"]}'
    assert read_mapping(raw, where="m") == Mapping(rate=60.0, channels=("jaw open", "blink_L"))


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45])
def test_the_unit_is_guessed_from_the_legs(person, unit):
    motion = read_bvh(person(unit=unit), where="p")
    assert np.isclose(motion.metres_per_unit, unit)


def test_what_is_no_person_needs_its_unit(person):
    with pytest.raises(BadInput, match="no unit makes a person"):
        read_bvh(person(unit=1e-6), where="p")
