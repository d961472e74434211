"""What a model is judged on: takes of its dataset, or recordings that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.capture.annotations import dataset_tiers, take_tiers
from greenroom.capture.ingest import load_take
from greenroom.capture.readers import Recording
from greenroom.features.conditioning import Conditioning
from greenroom.features.speech import extract_speech
from greenroom.frames import Body, Face, Floats
from greenroom.manifests import Dataset
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class EvalTake:
    """One take to be judged on.

    Attributes:
        body: None where it has none.
        face: None where it has none.
        speech: channels (T, F) of its voice; None without one.
        labels: what its whole is labelled with, by tier, such as style and content.
        conditioning: all its labels, those of parts too: what a model that knows words is told of it.
    """

    body: Body | None = None
    face: Face | None = None
    speech: Floats | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    conditioning: Conditioning = field(default_factory=dict)

    @property
    def style(self) -> str:
        """Its style; "" where nobody said."""
        return self.labels.get("style", "")

    @classmethod
    def of(cls, recording: Recording, labels: Conditioning) -> EvalTake:
        """Return a recording as a scene.

        Its voice is heard only where it has a face, which is what it is judged by.
        """
        both = recording.audio is not None and recording.face is not None
        speech = (
            extract_speech(recording.audio.samples)
            if recording.audio is not None and both
            else None
        )
        text_labels = {tier: label for tier, label in labels.items() if isinstance(label, str)}
        return cls(recording.body, recording.face, speech, text_labels, conditioning=labels)


def load_eval_take(workspace: Workspace, take: str) -> EvalTake:
    """Return a take as a scene."""
    return EvalTake.of(load_take(workspace, take), take_tiers(workspace, take))


def load_eval_takes(workspace: Workspace, dataset: Dataset, split: str) -> dict[str, EvalTake]:
    """Return the scenes of a split, by take."""
    tiers = dataset_tiers(workspace, dataset)
    return {
        take: EvalTake.of(load_take(workspace, take), tiers.get(take, {}))
        for take in dataset.splits[split]
    }
