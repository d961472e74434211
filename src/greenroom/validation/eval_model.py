"""The model that is judged: its exported graph run as on stage, a tick at a time, on its own past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.contracts import Backend, ModelShape
from greenroom.features.conditioning import Vocabulary
from greenroom.features.model_inputs import ModelInputs
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
        return cls(backend, spec, shape, rest, styles=styles, channels=rig, words=words)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be judged on."""
        has = {"face": self.shape.face, "style": self.shape.styles}
        return tuple(task for task in TASKS if has.get(task, True))

    def forecast(self, past: Floats) -> Floats:
        """Return the 6D rotations (H, 6 J) at its horizons after the last row of a past (K, D)."""
        inputs, everything = self.inputs(), np.ones(self.shape.joints, dtype=np.float32)
        inputs.set_history(past[[0, *range(self.shape.history - 1)]])
        inputs.observe(past[-1], past[-2], everything, everything)
        forecast_row: Floats = self.backend.run(inputs.tensors)["forecast"][0]
        return forecast_row

    def inputs(self) -> ModelInputs:
        """Return its input tensors, all 0."""
        return ModelInputs(self.shape)

    def perform(self, window: Floats, valid: Floats, labels: Floats | None = None) -> Floats:
        """Return the states (L, D) of the last L ticks of a window that are captured in part.

        Args:
            window: complete states (K + L, D).
            valid: 1 for captured joints, 0 for missing ones (L, J).
            labels: of each tick of the window (K + L, P + X); None for none.
        """
        shape, k = self.shape, self.shape.history
        inputs = self.inputs()
        inputs.set_history(window[:k])
        before = np.ones(shape.joints, dtype=np.float32)
        out = np.zeros((len(valid), shape.state), dtype=np.float32)
        for t, now in enumerate(valid):
            inputs.observe(window[k + t], window[k + t - 1], now, before)
            if labels is not None:
                inputs.set_conditioning(labels[: k + t + 1])
            out[t] = self.backend.run(inputs.tensors)["pose"][0]
            inputs.advance(out[t])
            before = now
        return out
