"""The model that is judged: its exported graph run as on stage, a tick at a time, on its own past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.contracts import Backend, ModelShape
from greenroom.features.conditioning import Vocabulary
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import Floats
from greenroom.manifests import Model

FREE_RUN = "free_run"
"""The task of minutes with nothing captured."""
FLOOR = {
    "infill": "gaussian",
    "forecast": "ridge",
    "face": "ridge",
    "style": "logistic",
    FREE_RUN: "recordings",
}
"""The floor of each task that counts in a gate; the others are printed beside it."""
TASKS = ("infill", "forecast", "face", "style")
"""What is judged take by take; being alone is asked for beside it."""


@dataclass(frozen=True)
class EvalModel:
    """A model that is judged: its graph, and what it says of itself.

    Attributes:
        backend: runs the graph.
        spec: the features.
        shape: of its tensors.
        rest: its state at rest (D,).
        styles: names of its styles, in the order of the output.
        channels: names of its face's weights.
        words: that it may be told.
    """

    backend: Backend
    spec: FeatureSpec
    shape: ModelShape
    rest: Floats
    styles: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    words: Vocabulary = Vocabulary()

    @classmethod
    def of(cls, model: Model, backend: Backend) -> EvalModel:
        """Return the subject that a model's manifest describes."""
        spec = FeatureSpec.load(model.features)
        shape = ModelShape.load(model.shape)
        rest = np.asarray(model.rest_state, dtype=np.float32)
        styles, rig = tuple(model.styles), tuple(model.rig)
        words = Vocabulary.load(model.vocabulary)
        return cls(backend, spec, shape, rest, styles, rig, words)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be judged on."""
        has = {"face": self.shape.face, "style": self.shape.styles}
        return tuple(task for task in TASKS if has.get(task, True))

    def forecast(self, past: Floats) -> Floats:
        """Return the 6D rotations (H, 6 J) at its horizons after the last row of a past (K, D)."""
        k, six = self.shape.history, 6 * self.shape.joints
        inputs = self.inputs()
        inputs["history"][0], inputs["known"][0] = past[[0, *range(k - 1)]], 1
        inputs["state"][0], inputs["valid"][0] = past[-1], 1
        inputs["velocity"][0] = (past[-1] - past[-2])[:six] * 30
        forecast_row: Floats = self.backend.run(inputs)["forecast"][0]
        return forecast_row

    def inputs(self) -> dict[str, Floats]:
        """Return its input tensors, one of each, all nought."""
        sizes = self.shape.inputs()
        return {name: np.zeros((1, *size), dtype=np.float32) for name, size in sizes.items()}

    def perform(self, window: Floats, valid: Floats, words: Floats | None = None) -> Floats:
        """Return states (L, D) where a window's last L ticks are captured as `valid` says.

        Args:
            window: (K + L, D), complete.
            valid: (L, J), 1 captured, 0 lost.
            words: what is told of each tick of the window (K + L, P + X); None for nothing.
        """
        shape, k = self.shape, self.shape.history
        six = 6 * shape.joints
        inputs = self.inputs()
        inputs["history"][0], inputs["known"][0] = window[:k], 1
        age, before = np.zeros(shape.joints, dtype=np.float32), np.ones(shape.joints)
        out = np.zeros((len(valid), shape.state), dtype=np.float32)
        for t, see in enumerate(valid):
            truth = window[k + t]
            trust = np.append(np.repeat(see, 6), np.repeat(see[:1], 4))
            age = np.where(see > 0, 0, age + 1)
            inputs["state"][0] = truth * trust
            inputs["velocity"][0] = (
                (truth - window[k + t - 1])[:six] * 30 * np.repeat(see * before, 6)
            )
            inputs["valid"][0], inputs["age"][0] = see, np.log1p(age) / 6
            if words is not None:
                set_conditioning(inputs, words[: k + t + 1])
            out[t] = self.backend.run(inputs)["pose"][0]
            for name, value in (("history", out[t]), ("known", see)):
                inputs[name][0, :-1] = inputs[name][0, 1:].copy()
                inputs[name][0, -1] = value
            before = see
        return out


def set_conditioning(inputs: dict[str, Floats], words: Floats) -> None:
    """Put into input tensors what is known of ticks (T, P + X), the last one now."""
    spoken = inputs["phonemes"].shape[-1] if "phonemes" in inputs else 0
    if spoken:
        ticks = inputs["phonemes"].shape[1]
        inputs["phonemes"][0] = words[-ticks:, :spoken]
    if "context" in inputs:
        inputs["context"][0] = words[-1, spoken:]
