"""The deterministic heart of a show: packets and decisions in, one frame out, no clock and no I/O.

The live engine and the replay run this same code. Whatever wall time decided (a tick began too late)
comes in as a recorded decision, so that a replay makes the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from greenroom.capture.packets import BodySample, newest
from greenroom.contracts import Backend, Packet, get_tensors
from greenroom.errors import ModelUnavailable
from greenroom.features.conditioning import Conditioning, ConditioningTrack
from greenroom.features.model_inputs import ModelInputs
from greenroom.features.noise import NoiseWalk
from greenroom.features.pipeline import FeaturePipeline, Features
from greenroom.features.pose import Legs, PoseDecoder, state_features
from greenroom.features.speech import extract_speech
from greenroom.frames import BONE, BONES, HUMANOID, SAMPLES_PER_TICK, Floats, Frame
from greenroom.live.control import CUT, HELD, NOTHING
from greenroom.live.face import FaceBlender
from greenroom.live.fallback import (
    HOLD_HALF_LIFE,
    IDLE_HALF_LIFE,
    RETURN_HALF_LIFE,
    SWITCH_HALF_LIFE,
    Inertializer,
    rest_pose,
    rest_root,
)
from greenroom.live.idle import Idle, RisingFloor, keep_on_floor, lift
from greenroom.live.kinematics import BodyKinematics
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.sources import CAPTURE, FREE, HOLD, IDLE, PREVIOUS, SPEECH, LostCapture
from greenroom.registry.release import PerformerSpec

SILENT_TICKS = 15
"""Without a sound for this long, there is no voice."""
CONFIDENT = 0.5
"""While its mean confidence is at least this, the model carries on a movement that capture lost."""
_NAN3 = np.full(3, np.nan, dtype=np.float32)
_NAN4 = np.full((len(BONES), 4), np.nan, dtype=np.float32)
_NONE = np.zeros(len(BONES), dtype=np.float32)
_NOTHING: Conditioning = {}
_SILENCE = np.zeros((1, SAMPLES_PER_TICK), dtype=np.float32)
_LATE, _NO_ANSWER = "late", "the model's server is away"
_NO_NUMBER = "the model's output is not finite"
_SOUND_FLAG = {has_sound: np.full(1, has_sound, dtype=np.float32) for has_sound in (True, False)}


@dataclass(frozen=True)
class TickResult:
    """One performed tick.

    Attributes:
        frame: what is emitted.
        rung: how it was made.
        reason: why not a better rung; empty on `capture`.
        inputs: the model's input tensors, one after the other in the order of its shape; the
            performer's own buffer, written again at the next tick.
        outputs: what the model said, in the order of its shape's outputs; None where it was not asked.
        capture: what was captured; None where nothing was.
        features: of this tick.
    """

    frame: Frame
    rung: str
    reason: str
    inputs: Floats
    outputs: Floats | None
    capture: BodySample | None
    features: Features


class Performer:
    """Perform ticks one after another.

    Args:
        role: from the release.
        backend: runs the model.
        seed: of the draws by which the model goes on without capture.
        previous: the release before, asked where this one's model says no number or its server is
            away; it is left aside if it takes other inputs.
        conditioning: labels of the show: phonemes, and the scenes of its script.
        lost: what to do when nothing is captured: a standing idle, the model's free motion, or the
            damped return to rest.
    """

    def __init__(
        self,
        role: PerformerSpec,
        backend: Backend,
        seed: int,
        previous: LoadedModel | None = None,
        conditioning: Conditioning = _NOTHING,
        lost: LostCapture = "idle",
    ) -> None:
        """Stand at the middle of the stage, in the rest pose."""
        self.role, self.lost = role, lost
        self.mark: Callable[[str], None] = lambda name: None
        """Called with "features", "inference" and "post" as each is done, to time them."""
        self.part = LoadedModel(role, backend)
        stands_in = previous is not None and previous.stands_in_for(self.part)
        self.previous = previous if stands_in else None
        self.pipeline = FeaturePipeline(role.spec, listen=role.uses_speech)
        self.index = np.asarray([BONE[name] for name in role.spec.joints])
        shape = role.shape
        self.placer = PoseDecoder()
        if role.offsets is not None:
            self.placer.legs = Legs.of(role.offsets, role.spec.joints, role.rest)
        self.inputs = ModelInputs(shape)
        self.inputs.set_history(role.rest, 0.0)
        self._draws = NoiseWalk(seed, shape.noise)
        self._prompter = ConditioningTrack(role.words, conditioning)
        self.state = role.rest
        self._trust: list[float] = []
        self.silent = SILENT_TICKS + 1
        self._is_held = self._is_standing = False
        self._captured = np.zeros(len(BONES), dtype=np.bool_)
        self._failure = ""
        self.motion = ""
        """What moved the last frame: the model, the capture, the idle or the hold."""
        # What the model drives is taken as captured only where that is fully trusted.
        self.enough = np.full(len(BONES), np.finfo(np.float32).tiny, dtype=np.float32)
        self.enough[self.index] = 1
        self.blender = Inertializer(rest_pose(role))
        self.body = BodyKinematics(HUMANOID.offsets if role.offsets is None else role.offsets)
        self.idle = Idle(self.body, self.blender.rest, seed)
        self.floor = RisingFloor(self.body, None)
        self._held_at = rest_root(role, None)
        self.face = FaceBlender(self.part.places)
        if role.uses_speech:  # what came before the first packet was silence
            silence = extract_speech(np.zeros(SAMPLES_PER_TICK, dtype=np.float32))
            self.inputs.set_speech(silence, mask=0.0)

    def resume(self, frames: Sequence[Frame]) -> None:
        """Take over after the last two frames that somebody else emitted, or the last one."""
        self.blender.resume(frames)
        self.placer.anchor(frames[-1].root, frames[-1].rotations[0])
        self.motion = "somebody else"  # whatever comes next is eased into
        self._is_standing = not any(self._trust)
        self.face.resume(frames[-1].face)

    def step(
        self,
        tick: int,
        packets: Sequence[Packet],
        late: bool,
        override: Floats | None = None,
        control: int = NOTHING,
        unanswered: bool = False,
    ) -> TickResult:
        """Perform one tick.

        Args:
            tick: its number.
            packets: what arrived for it.
            late: whether it began more than a period after it was due: then the model is not asked.
            override: input tensors to ask the model with instead of its own, laid out alike, for
                judging a replay.
            control: what an operator has ordered: bits of `greenroom.live.control`.
            unanswered: for a replay, whether the model's server gave no answer.
        """
        self._is_held = bool(control & HELD)
        sample, sound, has_sound = self._align(packets)
        if control & CUT:
            sample, self.face.captured = None, None
        features = self._features(sample, sound, has_sound)
        self._update_inputs(tick, features)
        self.mark("features")
        outputs, prediction = None, None
        if late:
            self._failure = _LATE
        else:
            outputs, prediction = self._ask(override, unanswered)
        self.mark("inference")
        outcome = self._emit(
            tick, sample, features=features, outputs=outputs, prediction=prediction, sound=sound
        )
        self.mark("post")
        return outcome

    def _ask(
        self, override: Floats | None, unanswered: bool
    ) -> tuple[Floats | None, tuple[LoadedModel, Floats] | None]:
        """Return what the model says, and what is performed: of it, or of the release before."""
        inputs = self.inputs.tensors
        if override is not None:
            inputs = get_tensors(override, self.role.shape.inputs())
        outputs, self._failure = None, _NO_ANSWER
        if not unanswered:
            with suppress(ModelUnavailable):
                outputs, finite = self.part.ask(inputs)
                if finite:
                    return outputs, (self.part, outputs)
                self._failure = _NO_NUMBER
        if self.previous is None:
            return outputs, None
        fallback_outputs, finite = self.previous.ask(inputs)
        return outputs, (self.previous, fallback_outputs) if finite else None

    def _align(self, packets: Sequence[Packet]) -> tuple[BodySample | None, Floats, bool]:
        """Return the newest body sample, this tick's sound, and whether any was heard."""
        sample, sound, face = newest(packets)
        self.face.captured = None if face is None else face.weights
        if sound is None:
            return sample, _SILENCE, False
        return sample, sound[None], True

    def _features(self, sample: BodySample | None, sound: Floats, has_sound: bool) -> Features:
        root, rotations, validity = (
            (_NAN3, _NAN4, _NONE)
            if sample is None
            else (sample.root, sample.rotations, sample.validity)
        )
        self.silent = 0 if has_sound else self.silent + 1
        return self.pipeline.run(
            root[None],
            rotations[None],
            validity=validity[None],
            audio=sound,
            speech_mask=_SOUND_FLAG[has_sound],
        )

    def _update_inputs(self, tick: int, features: Features) -> None:
        """Assemble the model's inputs of this tick."""
        inputs, valid, shape = self.inputs, features.valid[0], self.role.shape
        self._trust = valid.tolist()
        inputs.advance(self.state)
        inputs.set_capture(features.state[0], features.velocity[0], valid)
        if self.role.uses_speech:
            inputs.push_speech(features.speech[0], features.speech_mask[0])
        draw = self._draws.next()  # each tick has its own, used or not
        inputs.set_noise(0.0 if any(self._trust) else draw)
        if shape.phonemes or shape.context:
            inputs.push_conditioning(self._prompter.row(tick))

    def _emit(
        self,
        tick: int,
        sample: BodySample | None,
        features: Features,
        outputs: Floats | None,
        prediction: tuple[LoadedModel, Floats] | None,
        sound: Floats,
    ) -> TickResult:
        """Perform from the best source that this tick has.

        Args:
            tick: its number.
            sample: captured.
            features: of it.
            outputs: of this release's model; None where it was not asked, or its server is away.
            prediction: whose outputs are performed, and the outputs; None where nobody's can be.
            sound: of this tick (1, S).
        """
        source, motion, reason = self._choose(prediction)
        if prediction is None or motion == HOLD:
            frame, now = self._hold(tick), features.state[0]
            self.state = np.where(np.isfinite(now), now, self.state)
        else:
            part, flat_outputs = prediction
            face = self.face.step(part.face(flat_outputs), self.inputs.is_speaking)
            if motion == IDLE:
                frame = self._stand_by(tick, face, sound)
            else:
                self.state = flat_outputs[: self.role.shape.state]  # the pose comes first
                frame = self._perform(tick, motion, sample, self.state, face=face)
        flat = self.inputs.flat
        return TickResult(
            frame, source, reason, flat, outputs=outputs, capture=sample, features=features
        )

    def _choose(self, prediction: tuple[LoadedModel, Floats] | None) -> tuple[str, str, str]:
        """Return the source of this tick's frame, what moves the body, and why it is no better one."""
        if self._is_held:
            return HOLD, HOLD, "held by the operator"
        if prediction is None:
            return HOLD, HOLD, self._failure
        if any(self._trust):
            better = prediction[0] is self.part
            return (CAPTURE, CAPTURE, "") if better else (PREVIOUS, PREVIOUS, self._failure)
        voice = self.silent <= SILENT_TICKS
        reason = "capture lost" if voice else "capture and voice lost"
        if prediction[0] is not self.part:
            reason = self._failure
        if self.lost == HOLD:
            return HOLD, HOLD, reason
        # Who stands at ease goes on standing: a model that grows sure of itself moves nobody.
        sure = not self._is_standing and self._confidence(prediction[1]) >= CONFIDENT
        moved = FREE if self.lost == FREE or (sure and self.blender.last is not None) else IDLE
        source = SPEECH if voice else moved
        return (source if prediction[0] is self.part else PREVIOUS), moved, reason

    def _confidence(self, outputs: Floats) -> float:
        """Return the model's mean confidence in its joints."""
        tensors = get_tensors(outputs, self.role.shape.outputs())
        return float(tensors["confidence"].mean())

    def _stand_by(self, tick: int, face: Floats, sound: Floats) -> Frame:
        """Return a frame of the idle, and note it as the body's own past."""
        switched = self.motion != IDLE
        self.motion, self._is_standing = IDLE, True
        if switched:
            self.floor = RisingFloor(self.body, self.blender.last)
            self.idle.start(self.blender.recent)
        before = self.blender.last
        power = math.fsum(x * x for x in sound[0].tolist()) / sound.shape[1]
        wanted = self.idle.step(math.sqrt(power))
        root, rotations = self.blender.step(wanted.root, wanted.rotations, switched, IDLE_HALF_LIFE)
        root, rotations = keep_on_floor(self.body, root, rotations, wanted.ankles)
        root = self.floor.lift(root, rotations)
        self.blender.correct(root, rotations)
        self.placer.anchor(root, rotations[0])
        hips = None if before is None else (before[0], before[1][0])
        state = state_features(root[None], rotations[None, self.index], hips)[0]
        self.state = np.nan_to_num(state)  # the first frame of a show has no speeds
        return Frame(tick, root, rotations, face)

    def _perform(
        self, tick: int, motion: str, sample: BodySample | None, state: Floats, face: Floats
    ) -> Frame:
        placer, joints = self.placer, self.role.shape.joints
        if sample is not None and sample.validity[0] > 0:
            placer.anchor(sample.root, sample.rotations[0])
        else:
            placer.move(state)
        rotations, captured = self.blender.rest, self._captured
        if min(self._trust) < 1:
            rotations = rotations.copy()
            rotations[self.index] = placer.upright(state, joints)
        if sample is not None:
            captured = sample.validity >= self.enough
            rotations = np.where(captured[:, None], sample.rotations, rotations)
        switched = self.motion not in ("", motion) or (sample is not None and sample.first_of_clip)
        back = self.motion in (IDLE, HOLD) and motion == CAPTURE
        half_life = RETURN_HALF_LIFE if back else SWITCH_HALF_LIFE
        if motion == FREE and self.motion != FREE:
            self.floor = RisingFloor(self.body, self.blender.last)
        self.motion = motion
        if motion == CAPTURE:
            self._is_standing = False
        target = placer.root, rotations
        if not switched:  # a bone that is lost, or that returns, is eased by itself
            self.blender.ease_bones(rotations, captured != self._captured)
        self._captured = captured
        root, rotations = self.blender.step(*target, switched, half_life)
        if motion == FREE:
            root = self.floor.lift(root, rotations)
        elif self.blender.bending:
            root = lift(self.body, target, (root, rotations))
        self.blender.correct(root, rotations)
        return Frame(tick, root, rotations, face)

    def _hold(self, tick: int) -> Frame:
        self.placer.lift()
        switched = self.motion != HOLD
        self.motion = HOLD
        if switched:
            self.floor = RisingFloor(self.body, self.blender.last)
            self._held_at = rest_root(self.role, self.blender.last)
        rest, root = rest_pose(self.role, self.placer.heading), self._held_at
        root, rotations = self.blender.step(root, rest, switched, HOLD_HALF_LIFE)
        root = self.floor.lift(root, rotations)
        self.blender.correct(root, rotations)
        return Frame(tick, root, rotations, self.face.step(None, speaking=False))
