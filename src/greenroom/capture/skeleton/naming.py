"""Find the humanoid in a skeleton: by the names in common use, by the tree's shape where they fail.

Names are folded first: namespace and rig prefixes go (``mixamorig:``, ``Bip01``, ``joint_``), the
side is taken from ``left``/``right``, ``l``/``r`` or a leading ``l``/``r``, the rest is lowered and
joined. So one table serves Mixamo, MotionBuilder, Bandai Namco, CMU, DAZ and Poser, Biped, Unreal,
VRM, Rokoko, Xsens and Blender's suffixes. A name is believed only where the tree agrees with it.
"""

from __future__ import annotations

import re

import numpy as np

from greenroom.frames import BONE, BONES, PARENTS, Doubles, Skeleton

Bones = dict[str, int]
"""Humanoid bone → joint index."""

REQUIRED = (
    *("hips", "spine", "head"),
    *(f"{s}{b}" for s in ("left", "right") for b in ("UpperLeg", "LowerLeg", "Foot")),
    *(f"{s}{b}" for s in ("left", "right") for b in ("UpperArm", "LowerArm", "Hand")),
)
"""The bones that VRM 1.0 requires, and we too."""

_PREFIX = re.compile(
    r"^(joint|bip\d*|biped\d*|mixamorig\d*|def|org|jbipc|jbip|ccbase|valvebiped|rig|root(?=hips))$"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SIDE = {"left": "left", "l": "left", "lf": "left", "right": "right", "r": "right", "rt": "right"}

# Folded name → what it can be, surest first; a name in two rows is settled in _sided.
_TABLE: dict[str, tuple[str, ...]] = {
    "UpperLeg": ("upperleg", "upleg", "thigh", "thighbend", "femur", "legupper", "hip", "hips"),
    "LowerLeg": ("lowerleg", "lowleg", "shin", "calf", "knee", "tibia", "leglower"),
    "Foot": ("foot", "ankle", "feet"),
    "Toes": ("toes", "toebase", "toe", "toe0", "ball", "toebase0", "football", "toe1"),
    "Shoulder": ("clavicle", "collar", "collarbone", "clav"),
    "UpperArm": ("upperarm", "uparm", "shldr", "shldrbend", "humerus", "armupper"),
    "LowerArm": ("lowerarm", "forearm", "forearmbend", "elbow", "lowarm", "armlower"),
    "Hand": ("hand", "wrist"),
    "Eye": ("eye", "eyeball", "faceeye"),
}
_HIPS = ("hips", "pelvis", "hip", "cogg", "root")
_FINGERS = {
    "Thumb": ("thumb",),
    "Index": ("index", "fore"),
    "Middle": ("middle", "mid"),
    "Ring": ("ring",),
    "Little": ("pinky", "little", "pinkie", "small"),
}


def fold(name: str) -> tuple[str, str]:
    """Return (side, folded name) of a joint's name; side is "left", "right" or "".

    >>> fold("mixamorig:LeftForeArm"), fold("Bip01 R Thigh"), fold("lShldr"), fold("thigh.L")
    (('left', 'forearm'), ('right', 'thigh'), ('left', 'shldr'), ('left', 'thigh'))
    >>> fold("UpperLeg_R"), fold("spine_01"), fold("LThumb"), fold("J_Bip_L_UpperArm")
    (('right', 'upperleg'), ('', 'spine1'), ('left', 'thumb'), ('left', 'upperarm'))
    """
    words = _WORD.findall(name.rsplit(":", 1)[-1])
    if words and re.fullmatch(r"[LR][A-Z]", words[0]):  # LHJoint
        words[:1] = list(words[0])
    if words and (m := re.fullmatch(r"([lr])([A-Z].*)", words[0])):
        words[:1] = [m[1], m[2]]
    if words and len(words[0]) > 1 and re.match(r"[LR][A-Z][a-z]", name.rsplit(":", 1)[-1]):
        words[:1] = [words[0][0], words[0][1:]]
    lower = [word.lower() for word in words]
    while len(lower) > 1 and (_PREFIX.match(lower[0]) or (lower[0] == "j" and lower[1] == "bip")):
        lower.pop(0)
        if len(lower) > 1 and lower[0].isdigit():
            lower.pop(0)
    if len(lower) > 1 and lower[0] == "c":  # VRoid's J_Bip_C_Hips
        lower.pop(0)
    side = ""
    for word in lower:
        if word in _SIDE and len(lower) > 1:
            side = _SIDE[word]
            lower.remove(word)
            break
    return side, "".join(str(int(word)) if word.isdigit() else word for word in lower)


def find_bones(skeleton: Skeleton) -> Bones:
    """Return what the names say, as far as the tree agrees; incomplete where they are unknown."""
    return _without_contradictions(by_name(skeleton), skeleton.parents)


def by_name(skeleton: Skeleton) -> Bones:
    """Return bones by name alone."""
    folded = [fold(name) for name in skeleton.names]
    bones: Bones = {}
    for side in ("left", "right"):
        index_by_name: dict[str, int] = {}
        for j, (where, name) in enumerate(folded):
            if where == side:
                index_by_name.setdefault(name, j)
        bones.update(_sided(side, index_by_name))
        bones.update(_fingers(side, folded, skeleton.parents))
    middle: dict[str, int] = {}
    for j, (where, name) in enumerate(folded):
        if not where:
            middle.setdefault(name, j)
    for bone, names in (("head", ("head",)), ("jaw", ("jaw", "lowerjaw"))):
        if candidates := [middle[name] for name in names if name in middle]:
            bones[bone] = candidates[0]
    legs = [bones[f"{s}UpperLeg"] for s in ("left", "right") if f"{s}UpperLeg" in bones]
    for name in _HIPS:
        joint = middle.get(name, -1)
        if joint >= 0 and all(joint in _above(leg, skeleton.parents) for leg in legs):
            bones["hips"] = joint
            break
    necks = [j for j, (where, name) in enumerate(folded) if not where and name.startswith("neck")]
    return _trunk(bones, necks, skeleton)


def _sided(side: str, index_by_name: dict[str, int]) -> Bones:
    out: Bones = {}
    for bone, names in _TABLE.items():
        for name in names:
            if name in index_by_name:
                out[side + bone] = index_by_name[name]
                break
    # "Leg" is the shin beside an "UpLeg", the thigh beside a "Knee"; "Arm" and "Shoulder" alike.
    if "leg" in index_by_name:
        out.setdefault(
            side + ("LowerLeg" if side + "UpperLeg" in out else "UpperLeg"), index_by_name["leg"]
        )
    if "arm" in index_by_name:
        lower = side + "UpperArm" in out and side + "LowerArm" not in out
        out.setdefault(side + ("LowerArm" if lower else "UpperArm"), index_by_name["arm"])
    if "shoulder" in index_by_name:
        out.setdefault(
            side + ("Shoulder" if side + "UpperArm" in out else "UpperArm"),
            index_by_name["shoulder"],
        )
    return out


def _fingers(side: str, folded: list[tuple[str, str]], parents: tuple[int, ...]) -> Bones:
    out: Bones = {}
    for finger, words in _FINGERS.items():
        chain = [
            j
            for j, (where, name) in enumerate(folded)
            if where == side
            and any(word in name for word in words)
            and not any(word in name for word in ("toe", "arm", "leg", "meta", "inhand"))
        ]
        chain = [j for i, j in enumerate(chain) if i == 0 or parents[j] in chain]
        if len(chain) >= 2:
            names = [bone for bone in BONES if bone.startswith(f"{side}{finger}")]
            out.update(zip(names, chain, strict=False))
    return out


def _above(j: int, parents: tuple[int, ...]) -> list[int]:
    """Return j's ancestors, nearest first."""
    out = []
    while (j := parents[j]) >= 0:
        out.append(j)
    return out


def _trunk(bones: Bones, necks: list[int], skeleton: Skeleton) -> Bones:
    """Share the joints between hips and neck out among spine, chest and upper chest."""
    head = bones.get("head")
    if head is not None:
        line = set(_above(head, skeleton.parents))
        necks = [j for j in necks if j in line]
    if head is None and necks:  # one joint for neck and head: it is the head that VRM requires
        bones["head"] = head = necks[0]
        necks = []
    if head is None or "hips" not in bones:
        return bones
    if necks:
        bones["neck"] = necks[-1]
    top = necks[0] if necks else head
    between: list[int] = []
    for j in _above(top, skeleton.parents):
        if j == bones["hips"]:
            break
        between.insert(0, j)
    else:
        return bones
    taken = set(bones.values())
    between = [j for j in between if j not in taken]
    if between:
        count = len(between)
        picks = {1: [0], 2: [0, 1], 3: [0, 1, 2]}.get(count, [0, count // 2, count - 1])
        for bone, pick in zip(("spine", "chest", "upperChest"), picks, strict=False):
            bones[bone] = between[pick]
    return bones


def contradictions(bones: Bones, parents: tuple[int, ...]) -> list[tuple[str, str]]:
    """Return (bone, ancestor bone) pairs whose joints do not stand in that order in the tree."""
    out = []
    for bone, j in bones.items():
        above = PARENTS[BONE[bone]]
        while above >= 0 and BONES[above] not in bones:
            above = PARENTS[above]
        if above >= 0 and bones[BONES[above]] not in _above(j, parents):
            out.append((bone, BONES[above]))
    return out


def _without_contradictions(bones: Bones, parents: tuple[int, ...]) -> Bones:
    bones = dict(bones)
    while wrong := contradictions(bones, parents):
        for bone, _ in wrong:
            bones.pop(bone, None)
    return bones


def by_shape(skeleton: Skeleton, places: Doubles) -> Bones:
    """Return bones by topology: two legs and a spine from the hips, two arms and a head above.

    Args:
        skeleton: the joints.
        places: shape (J, 3), where they are in some frame of the motion, metres.
    """
    children: dict[int, list[int]] = {}
    for j, parent in enumerate(skeleton.parents):
        children.setdefault(parent, []).append(j)
    subtree_sizes = _sizes(skeleton.parents)
    for hips in range(len(skeleton.names)):
        branches = [c for c in children.get(hips, []) if subtree_sizes[c] >= 3]
        if len(branches) < 3:
            continue
        trunks = [
            (c, split)
            for c in branches
            if (split := _split(c, children, subtree_sizes)) is not None
        ]
        if not trunks:
            continue
        trunk, split = max(trunks, key=lambda item: subtree_sizes[item[0]])
        legs = sorted((c for c in branches if c != trunk), key=lambda c: -subtree_sizes[c])[:2]
        arms = sorted(children[split], key=lambda c: -_reach(c, children, skeleton))
        chains = [_chain(c, children, skeleton) for c in (*legs, *arms[:2])]
        neck = [_chain(c, children, skeleton) for c in arms[2:3]]
        if all(len(chain) >= 3 for chain in chains) and neck:
            return _name_shape(skeleton, places, hips=hips, chains=chains, neck=neck[0])
    return {}


def _sizes(parents: tuple[int, ...]) -> list[int]:
    subtree_sizes = [1] * len(parents)
    for j in range(len(parents) - 1, 0, -1):
        if parents[j] >= 0:
            subtree_sizes[parents[j]] += subtree_sizes[j]
    return subtree_sizes


def _split(j: int, children: dict[int, list[int]], subtree_sizes: list[int]) -> int | None:
    """Return the first joint from j on with three branches, two of them as long as an arm."""
    while True:
        under = sorted(children.get(j, []), key=lambda c: -subtree_sizes[c])
        if len(under) >= 3 and subtree_sizes[under[1]] >= 3:
            return j
        if not under:
            return None
        j = under[0]


def _reach(j: int, children: dict[int, list[int]], skeleton: Skeleton) -> float:
    chain = _chain(j, children, skeleton)
    return float(sum(np.linalg.norm(skeleton.offsets[c]) for c in chain))


def _chain(j: int, children: dict[int, list[int]], skeleton: Skeleton) -> list[int]:
    """Return the joints from j down to the first branching, less those placed on their parent."""
    chain = [j]
    while len(children.get(chain[-1], [])) == 1:
        chain.append(children[chain[-1]][0])
    long = [c for c in chain if np.linalg.norm(skeleton.offsets[c]) > 1e-6]
    return long if len(long) >= 1 else chain


def _name_shape(
    skeleton: Skeleton, places: Doubles, hips: int, chains: list[list[int]], neck: list[int]
) -> Bones:
    """Tell left from right: by names where both have a side, else by where the toes point."""
    up = places[neck[0]] - places[hips]
    ahead = sum(places[chain[-1]] - places[chain[2]] for chain in chains[:2])
    if not np.linalg.norm(np.asarray(ahead)) > 1e-6:
        return {}
    left = np.cross(up, np.asarray(ahead))
    bones: Bones = {"hips": hips, "head": neck[-1]}
    if len(neck) > 1:
        bones["neck"] = neck[0]
    limbs = ("UpperLeg", "LowerLeg", "Foot", "Toes"), ("UpperArm", "LowerArm", "Hand")
    for (a, b), names in zip((chains[:2], chains[2:]), limbs, strict=True):
        sides = [fold(skeleton.names[chain[0]])[0] for chain in (a, b)]
        if set(sides) != {"left", "right"}:
            a_left = float(np.dot(places[a[0]] - places[b[0]], left)) > 0
            sides = ["left", "right"] if a_left else ["right", "left"]
        for side, chain in zip(sides, (a, b), strict=True):
            line = ("Shoulder", *names) if names[0] == "UpperArm" and len(chain) >= 4 else names
            bones.update(zip((side + bone for bone in line), chain, strict=False))
    return _trunk(bones, [bones["neck"]] if "neck" in bones else [], skeleton)
