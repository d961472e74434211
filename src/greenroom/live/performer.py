"""The deterministic heart of a show: packets and decisions in, one frame out, no clock and no I/O.

The live engine and the replay run this same code. Whatever wall time decided (a tick began too late)
comes in as a recorded decision, so that a replay makes the same frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.capture.packets import BodySample, Packet, decode
from greenroom.contracts import Backend
from greenroom.errors import BadInput
from greenroom.features.pipeline import Features, Pipeline
from greenroom.features.pose import Placer
from greenroom.frames import BONE, BONES, SAMPLES_PER_TICK, Floats, Frame
from greenroom.live.ladder import (
    CAPTURE,
    HOLD,
    HOLD_HALF_LIFE,
    SPEECH,
    SWITCH_HALF_LIFE,
    Blender,
)
from greenroom.live.sinks import no_face
from greenroom.registry.release import Role

SILENT_TICKS = 15
"""Without capture and without a voice for this long, the performer holds."""
_NAN3 = np.full(3, np.nan, dtype=np.float32)
_NAN4 = np.full((len(BONES), 4), np.nan, dtype=np.float32)
_NONE = np.zeros(len(BONES), dtype=np.float32)


@dataclass(frozen=True)
class Outcome:
    """One performed tick.

    Attributes:
        frame: what is emitted.
        rung: how it was made.
        reason: why not a better rung; empty on `capture`.
        inputs: the model's input tensors.
        outputs: what the model said; None where it was not asked.
        capture: what was captured; None where nothing was.
        features: of this tick.
    """

    frame: Frame
    rung: str
    reason: str
    inputs: dict[str, Floats]
    outputs: dict[str, Floats] | None
    capture: BodySample | None
    features: Features


class Performer:
    """Perform ticks one after another.

    Args:
        role: from the release.
        backend: runs the model.
        seed: of the draws by which the model goes on without capture.
        mark: called with "features", "inference" and "post" as each is done, to time them.
    """

    def __init__(
        self,
        role: Role,
        backend: Backend,
        seed: int,
        mark: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Stand at the middle of the stage, in the rest pose."""
        self.role, self.backend, self.mark = role, backend, mark
        self.pipeline = Pipeline(role.spec)
        self.random = np.random.Generator(np.random.PCG64(seed))
        self.index = np.asarray([BONE[name] for name in role.spec.joints])
        shape = role.shape
        self.placer = Placer.at_origin()
        self.inputs = {
            name: np.zeros((1, *size), dtype=np.float32) for name, size in shape.inputs().items()
        }
        self.inputs["history"][0] = role.rest
        self.history = self.inputs["history"][0].copy()
        self.known = self.inputs["known"][0].copy()
        self.speech = np.zeros((shape.speech, shape.speech_channels), dtype=np.float32)
        self.heard = np.zeros(shape.speech, dtype=np.float32)
        self.ages = np.zeros(shape.joints, dtype=np.float32)
        self.silent = 0
        self.rung = ""
        self.source = ""
        rest = np.tile(np.asarray([0, 0, 0, 1], dtype=np.float32), (len(BONES), 1))
        rest[self.index] = Placer.at_origin().upright(role.rest, shape.joints)[1]
        self.blender = Blender(rest)

    def step(
        self,
        tick: int,
        packets: Sequence[Packet],
        late: bool,
        override: dict[str, Floats] | None = None,
    ) -> Outcome:
        """Perform one tick.

        Args:
            tick: its number.
            packets: what arrived for it.
            late: whether it began more than a period after it was due: then the model is not asked.
            override: input tensors to ask the model with instead of its own, for judging a replay.
        """
        sample, sound, heard = self._align(packets)
        features = self._features(sample, sound, heard)
        self._inputs(features)
        self.mark("features")
        outputs = None if late else self.backend.run(override or self.inputs)
        self.mark("inference")
        outcome = self._emit(tick, sample, features, outputs, late)
        self.mark("post")
        return outcome

    def _align(self, packets: Sequence[Packet]) -> tuple[BodySample | None, Floats, bool]:
        """Return the newest body sample and this tick's sound; damaged packets are passed over."""
        sample: BodySample | None = None
        sound: Floats | None = None
        for packet in packets:
            try:
                content = decode(packet.data)
            except BadInput:
                continue
            if isinstance(content, BodySample):
                sample = content
            else:
                sound = content
        if sound is None:
            return sample, np.zeros(SAMPLES_PER_TICK, dtype=np.float32), False
        return sample, sound, True

    def _features(self, sample: BodySample | None, sound: Floats, heard: bool) -> Features:
        root, rotations, validity = (
            (_NAN3, _NAN4, _NONE)
            if sample is None
            else (sample.root, sample.rotations, sample.validity)
        )
        self.silent = 0 if heard else self.silent + 1
        return self.pipeline.run(
            root[None],
            rotations[None],
            validity[None],
            sound[None],
            np.asarray([float(heard)], dtype=np.float32),
        )

    def _inputs(self, features: Features) -> None:
        inputs, valid = self.inputs, features.valid[0]
        # A joint without numbers is missing, whatever its validity says.
        width = 6 * len(valid)
        finite = np.isfinite(features.state[0, :width]).reshape(-1, 6).all(axis=1)
        valid = np.where(finite, np.clip(valid, 0, 1), np.float32(0)).astype(np.float32)
        self.ages = np.where(valid > 0, np.float32(0), self.ages + np.float32(1))
        inputs["history"][0] = self.history
        inputs["known"][0] = self.known
        for name, value in (("state", features.state[0]), ("velocity", features.velocity[0])):
            inputs[name][0] = np.where(np.isfinite(value), value, np.float32(0))
        inputs["valid"][0] = valid
        inputs["age"][0] = np.log1p(self.ages) / np.float32(6)
        self.speech[:-1] = self.speech[1:]
        self.speech[-1] = features.speech[0]
        self.heard[:-1] = self.heard[1:]
        self.heard[-1] = features.heard[0]
        if self.role.uses_speech:
            inputs["speech"][0] = self.speech
            inputs["heard"][0] = self.heard
        draw = self.random.standard_normal(self.role.shape.noise, dtype=np.float32)
        inputs["noise"][0] = draw if not valid.any() else 0

    def _emit(
        self,
        tick: int,
        sample: BodySample | None,
        features: Features,
        outputs: dict[str, Floats] | None,
        late: bool,
    ) -> Outcome:
        valid = self.inputs["valid"][0]
        captured = sample is not None and bool(valid.any())
        finite = outputs is not None and all(
            bool(np.isfinite(value).all()) for value in outputs.values()
        )
        rung, reason = CAPTURE, ""
        if late:
            rung, reason = HOLD, "late"
        elif not finite:
            rung, reason = HOLD, "the model's output is not finite"
        elif not captured:
            rung, reason = SPEECH, "capture lost"
            if self.silent > SILENT_TICKS:
                rung, reason = HOLD, "capture and voice lost"
        if rung == HOLD or outputs is None:
            frame = self._hold(tick)
            state = np.where(np.isfinite(features.state[0]), features.state[0], self.history[-1])
        else:
            state = outputs["pose"][0]
            frame = self._perform(tick, rung, sample, state, valid)
        self._remember(state, valid)
        self.rung = rung
        return Outcome(frame, rung, reason, self.inputs, outputs, sample, features)

    def _perform(
        self, tick: int, rung: str, sample: BodySample | None, state: Floats, valid: Floats
    ) -> Frame:
        joints = self.role.shape.joints
        if sample is not None and valid[0] > 0 and bool(np.isfinite(sample.root).all()):
            self.placer.anchor(sample.root, sample.rotations[0])
            root, chosen = self.placer.upright(state, joints)
        else:
            root, chosen = self.placer.place(state, joints)
        rotations = self.blender.rest.copy()
        if sample is not None:
            seen = (sample.validity > 0) & np.isfinite(sample.rotations).all(axis=1)
            rotations[seen] = sample.rotations[seen]
        rotations[self.index] = chosen
        switched = self.source not in ("", rung) or (sample is not None and sample.first_of_clip)
        self.source = rung
        root, rotations = self.blender.step(root, rotations, switched, SWITCH_HALF_LIFE)
        return Frame(tick, root, rotations, no_face())

    def _hold(self, tick: int) -> Frame:
        root = self.placer.root if self.blender.last is None else self.blender.last[0]
        if self.blender.last is None:
            root = np.asarray([0, self.role.rest[6 * self.role.shape.joints], 0], np.float32)
        switched = self.source != HOLD
        self.source = HOLD
        root, rotations = self.blender.step(root, self._resting(), switched, HOLD_HALF_LIFE)
        return Frame(tick, root, rotations, no_face())

    def _resting(self) -> Floats:
        """Return the rest pose, facing the way the performer faces."""
        rotations = self.blender.rest.copy()
        rotations[self.index] = self.placer.upright(self.role.rest, self.role.shape.joints)[1]
        return rotations

    def _remember(self, state: Floats, valid: Floats) -> None:
        self.history[:-1] = self.history[1:]
        self.history[-1] = state
        self.known[:-1] = self.known[1:]
        self.known[-1] = valid
