"""The vocabulary: ticks, bones, face weights, skeletons, tracks and frames, with units and validity.

Convention: time is an integer tick at 30 Hz; audio is 24 kHz mono float32, 800 samples a tick. Space
is right-handed, +Y up, metres; the performer faces +Z, so the performer's left hand is at +X.
Rotations are unit quaternions (x, y, z, w), local to the parent, relative to the T-pose. Validity is
1 trusted, 0 missing; what is missing holds NaN, never zero.

Letters in shapes: T ticks, J joints, B face weights, S samples, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenroom.clock import TICK_HZ as TICK_HZ
from greenroom.rotations import multiply, rotate

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Array = NDArray[np.floating]

SAMPLE_RATE = 24_000
SAMPLES_PER_TICK = SAMPLE_RATE // TICK_HZ
RATE_TOLERANCE = 1e-4
"""A source this close to 30 Hz, relatively, is 30 Hz: ``Frame Time: 0.033333``."""

_FINGERS = ("Thumb", "Index", "Middle", "Ring", "Little")


def _finger_bones(side: str) -> list[tuple[str, str]]:
    bones = []
    for finger in _FINGERS:
        joints = ("Metacarpal", "Proximal", "Distal")
        if finger != "Thumb":
            joints = ("Proximal", "Intermediate", "Distal")
        parent = f"{side}Hand"
        for joint in joints:
            bones.append((f"{side}{finger}{joint}", parent))
            parent = f"{side}{finger}{joint}"
    return bones


_TREE: list[tuple[str, str]] = [
    ("hips", ""),
    ("leftUpperLeg", "hips"),
    ("rightUpperLeg", "hips"),
    ("leftLowerLeg", "leftUpperLeg"),
    ("rightLowerLeg", "rightUpperLeg"),
    ("leftFoot", "leftLowerLeg"),
    ("rightFoot", "rightLowerLeg"),
    ("spine", "hips"),
    ("chest", "spine"),
    ("upperChest", "chest"),
    ("neck", "upperChest"),
    ("head", "neck"),
    ("leftShoulder", "upperChest"),
    ("rightShoulder", "upperChest"),
    ("leftUpperArm", "leftShoulder"),
    ("rightUpperArm", "rightShoulder"),
    ("leftLowerArm", "leftUpperArm"),
    ("rightLowerArm", "rightUpperArm"),
    ("leftHand", "leftLowerArm"),
    ("rightHand", "rightLowerArm"),
    ("leftToes", "leftFoot"),
    ("rightToes", "rightFoot"),
    ("leftEye", "head"),
    ("rightEye", "head"),
    ("jaw", "head"),
    *_finger_bones("left"),
    *_finger_bones("right"),
]

BONES: tuple[str, ...] = tuple(name for name, _ in _TREE)
"""The 55 bones of the VRM 1.0 humanoid, parents before children."""
BONE: dict[str, int] = {name: i for i, name in enumerate(BONES)}
PARENTS: tuple[int, ...] = tuple(BONE[parent] if parent else -1 for _, parent in _TREE)

LIMBS: dict[str, tuple[str, ...]] = {
    "left arm": ("leftUpperArm", "leftLowerArm", "leftHand"),
    "right arm": ("rightUpperArm", "rightLowerArm", "rightHand"),
    "left leg": ("leftUpperLeg", "leftLowerLeg", "leftFoot", "leftToes"),
    "right leg": ("rightUpperLeg", "rightLowerLeg", "rightFoot", "rightToes"),
}
"""The four limbs that a tracker loses whole."""


def other_side(name: str) -> str:
    """Return the bone that a mirror shows in the place of this one."""
    for side, other in (("left", "right"), ("right", "left")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


_SIDED = (
    "eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp eyeSquint eyeWide".split(),
    "mouthSmile mouthFrown mouthDimple mouthStretch".split(),
    "mouthPress mouthLowerDown mouthUpperUp browDown".split(),
)
ARKIT: tuple[str, ...] = (
    *(f"{name}Left" for name in _SIDED[0]),
    *(f"{name}Right" for name in _SIDED[0]),
    *"jawForward jawLeft jawRight jawOpen".split(),
    *"mouthClose mouthFunnel mouthPucker mouthLeft mouthRight".split(),
    *(f"{name}{side}" for name in _SIDED[1] for side in ("Left", "Right")),
    *"mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper".split(),
    *(f"{name}{side}" for name in _SIDED[2] for side in ("Left", "Right")),
    *"browInnerUp browOuterUpLeft browOuterUpRight cheekPuff".split(),
    *"cheekSquintLeft cheekSquintRight noseSneerLeft noseSneerRight tongueOut".split(),
)
"""ARKit's 52 face weights in the order of Live Link Face's datagrams; each in [0, 1]."""


@dataclass(frozen=True)
class Skeleton:
    """Joints, their parents, and where each sits on its parent in the rest pose.

    Attributes:
        names: one per joint, J of them.
        parents: index of each joint's parent, -1 for a root; parents come first.
        offsets: shape (J, 3), metres, in the parent's frame.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Doubles

    def world(self, translations: Array, rotations: Array) -> tuple[Doubles, Doubles]:
        """Return world positions (T, J, 3) in metres and rotations (T, J, 4).

        Args:
            translations: local positions (T, J, 3), metres; see :meth:`rest_translations`.
            rotations: local rotations (T, J, 4), unit quaternions xyzw.
        """
        turned = np.asarray(rotations, dtype=np.float64).copy()
        placed = np.asarray(translations, dtype=np.float64).copy()
        for j, parent in enumerate(self.parents):
            if parent >= 0:
                placed[:, j] = placed[:, parent] + rotate(turned[:, parent], placed[:, j])
                turned[:, j] = multiply(turned[:, parent], turned[:, j])
        return placed, turned

    def rest_translations(self, ticks: int, root: Array) -> Doubles:
        """Return local positions (T, J, 3): every joint at its offset, the first one at `root`."""
        out = np.broadcast_to(self.offsets, (ticks, len(self.names), 3)).copy()
        out[:, 0] = root
        return out


@dataclass(frozen=True)
class Motion:
    """A body recording as its source had it: own skeleton, own rate.

    Attributes:
        skeleton: the source's joints, already in metres.
        rate: frames a second.
        translations: local positions (T, J, 3), metres.
        rotations: local rotations (T, J, 4), unit quaternions xyzw, in the source's own axes.
        orders: the Euler order of each joint, such as "ZXY" ("" where it had no rotation).
        moving: shape (J,), True where the source gives positions frame by frame.
        metres_per_unit: what one unit of the source is, so that it can be written back.
        ends: end sites, (joint, offset in metres) pairs.
    """

    skeleton: Skeleton
    rate: float
    translations: Doubles
    rotations: Doubles
    orders: tuple[str, ...]
    moving: NDArray[np.bool_]
    metres_per_unit: float
    ends: tuple[tuple[int, tuple[float, float, float]], ...] = ()

    def __len__(self) -> int:
        """Return the number of source frames."""
        return len(self.rotations)


@dataclass(frozen=True)
class Body:
    """The humanoid at 30 Hz.

    Attributes:
        skeleton: the 55 bones with this performer's own lengths.
        root: position of the hips (T, 3), metres.
        rotations: (T, 55, 4), unit quaternions xyzw, local, relative to the T-pose; NaN if missing.
        validity: (T, 55), 0 missing to 1 trusted.
    """

    skeleton: Skeleton
    root: Floats
    rotations: Floats
    validity: Floats

    def __len__(self) -> int:
        """Return the number of ticks."""
        return len(self.rotations)

    def filled(self) -> Floats:
        """Return rotations with the identity where a bone is missing: for drawing and export."""
        missing = self.validity[..., None] <= 0
        return np.where(missing, np.asarray([0, 0, 0, 1], dtype=np.float32), self.rotations)


@dataclass(frozen=True)
class Face:
    """A face at 30 Hz on the rig that it was made on.

    Attributes:
        channels: the rig's names, B of them, as the source has them.
        weights: shape (T, B), in [0, 1]; NaN if missing.
    """

    channels: tuple[str, ...]
    weights: Floats

    def __len__(self) -> int:
        """Return the number of ticks."""
        return len(self.weights)

    @property
    def validity(self) -> Floats:
        """Return (T, B), 0 missing or 1 trusted."""
        return np.isfinite(self.weights).astype(np.float32)


@dataclass(frozen=True)
class Frame:
    """What the performer does at one tick.

    Attributes:
        tick: integer at 30 Hz.
        root: position of the hips (3,), metres.
        rotations: (55, 4), unit quaternions xyzw.
        face: (52,), ARKit weights in [0, 1]; NaN where nothing drives them.
    """

    tick: int
    root: Floats
    rotations: Floats
    face: Floats


def ticks_of(rate: float, frames: int) -> int:
    """Return how many ticks a recording of `frames` frames at `rate` Hz covers.

    >>> ticks_of(30.0003, 90), ticks_of(120.0, 121), ticks_of(60.0, 1)
    (90, 31, 1)
    """
    if abs(rate / TICK_HZ - 1) <= RATE_TOLERANCE:
        return frames
    return int((frames - 1) * TICK_HZ / rate + 1e-9) + 1


def _rest_offsets() -> Doubles:
    """Lengths of a person of 1.68 m, for bones that a source does not have."""
    offsets = np.zeros((len(BONES), 3))
    place = {
        "hips": (0, 0.95, 0),
        "leftUpperLeg": (0.09, -0.05, 0),
        "leftLowerLeg": (0, -0.41, 0),
        "leftFoot": (0, -0.41, 0),
        "leftToes": (0, -0.07, 0.13),
        "spine": (0, 0.09, 0),
        "chest": (0, 0.11, 0),
        "upperChest": (0, 0.11, 0),
        "neck": (0, 0.13, 0),
        "head": (0, 0.09, 0.01),
        "leftShoulder": (0.03, 0.09, 0),
        "leftUpperArm": (0.12, 0, 0),
        "leftLowerArm": (0.26, 0, 0),
        "leftHand": (0.24, 0, 0),
        "leftEye": (0.03, 0.07, 0.08),
        "jaw": (0, 0.01, 0.02),
    }
    for finger, z, length in zip(
        _FINGERS, (0.03, 0.025, 0.0, -0.02, -0.035), (0.04, 0.04, 0.045, 0.04, 0.03), strict=True
    ):
        joints = [name for name in BONES if name.startswith(f"left{finger}")]
        place[joints[0]] = (0.03 if finger == "Thumb" else 0.09, 0, z)
        place[joints[1]] = (length, 0, 0)
        place[joints[2]] = (length * 0.6, 0, 0)
    for name, (x, y, z) in place.items():
        offsets[BONE[name]] = (x, y, z)
        if name.startswith("left"):
            offsets[BONE["right" + name.removeprefix("left")]] = (-x, y, z)
    return offsets


HUMANOID = Skeleton(BONES, PARENTS, _rest_offsets())
"""A default performer of 1.68 m in the T-pose, feet on y = 0."""
