"""What the tests of the live side share: a made-up role, a stand-in for a model, a body that moves."""

from dataclasses import replace

import numpy as np

from greenroom.capture.packets import encode_audio, encode_body
from greenroom.contracts import OUTPUTS, ModelShape
from greenroom.features.conditioning import Vocabulary
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import CHANNELS
from greenroom.frames import BONES, HUMANOID, Floats, Frame
from greenroom.registry.release import PerformerSpec
from greenroom.rotations import from_vector, to_six

JOINTS = ("hips", "spine", "leftUpperArm", "rightUpperArm")
SPEC = FeatureSpec(JOINTS)
SHAPE = ModelShape(len(JOINTS), SPEC.state_width, len(CHANNELS))


FACE_SHAPE = replace(SHAPE, face=3)
RIG = ("jawOpen", "someThing", "mouthFunnel")
OWN = (("jawOpen", "jawOpen", 1.0), ("mouthFunnel", "mouthFunnel", 1.0))


def speaker() -> PerformerSpec:
    """A role that drives a face of three weights, two of which are ARKit's."""
    return replace(role(uses_speech=True), shape=FACE_SHAPE, rig=RIG, arkit=OWN)


WORDS = Vocabulary(("A", "B"), (("emotion", "happy"), ("scene", "walk")))
TOLD_SHAPE = replace(SHAPE, phonemes=2, context=2)


def listener() -> PerformerSpec:
    """A role that is told phonemes, an emotion and a scene."""
    return replace(role(), shape=TOLD_SHAPE, words=WORDS)


WALKER = (*JOINTS, *(s + b for s in ("left", "right") for b in ("UpperLeg", "LowerLeg", "Foot")))
WALKER_SHAPE = ModelShape(len(WALKER), FeatureSpec(WALKER).state_width, len(CHANNELS))


def walker() -> PerformerSpec:
    """A role with legs, whose feet are kept from sliding."""
    still = np.tile(np.asarray([0, 0, 0, 1], np.float32), (len(WALKER), 1))
    rest = np.concatenate([to_six(still).ravel(), [0.95, 0, 0, 0]]).astype(np.float32)
    return PerformerSpec(FeatureSpec(WALKER), WALKER_SHAPE, rest, False, offsets=HUMANOID.offsets)


def role(uses_speech: bool = False) -> PerformerSpec:
    still = np.tile(np.asarray([0, 0, 0, 1], np.float32), (len(JOINTS), 1))
    rest = np.concatenate([to_six(still).ravel(), [0.95, 0, 0, 0]]).astype(np.float32)
    return PerformerSpec(SPEC, SHAPE, rest, uses_speech)


class FakeModel:
    """A backend that lets through what is trusted and holds the rest; `broken` ticks give NaN."""

    def __init__(
        self,
        broken: frozenset[int] = frozenset(),
        shape: ModelShape = SHAPE,
        confidence: float = 0.5,
    ) -> None:
        self.broken, self.asked, self.shape = broken, 0, shape
        self.confidence = confidence

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        valid = inputs["valid"][0]
        trust = np.append(np.repeat(valid, 6), np.repeat(valid[:1], 4))
        pose = np.where(trust > 0, inputs["state"][0], inputs["history"][0, -1])
        out = {n: np.full((1, *s), 0.5, np.float32) for n, s in self.shape.outputs().items()}
        out["confidence"][:] = self.confidence
        out["pose"][0] = pose if self.asked not in self.broken else np.nan
        self.asked += 1
        assert tuple(out)[: len(OUTPUTS)] == OUTPUTS
        return out

    def fingerprint(self) -> dict[str, str]:
        return {}


def body_packet(tick: int, lost: tuple[str, ...] = ()) -> bytes:
    """A body that sways; bones named in `lost` are missing."""
    rotations = np.full((len(BONES), 4), np.nan, np.float32)
    validity = np.zeros(len(BONES), np.float32)
    for i, name in enumerate(JOINTS):
        if name not in lost:
            turn = np.asarray([0.1 * i, 0.3, 0.2]) * np.sin(tick / 10 + i)
            rotations[BONES.index(name)] = from_vector(turn)
            validity[BONES.index(name)] = 1
    root = np.asarray([0.01 * tick, 0.95, 0], np.float32)
    return encode_body(tick, root, rotations, validity, 0)


def sound_packet(tick: int) -> bytes:
    return encode_audio(tick, np.full(800, 0.01, np.float32))


class KeptSink:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.rehearsed: list[int] = []

    def rehearse(self, frame: Frame) -> None:
        self.rehearsed.append(frame.tick)

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    def close(self) -> None:
        pass
