"""What a model is judged on: takes of its dataset, or recordings that it never saw."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.capture.readers import Recording
from greenroom.capture.takes import load
from greenroom.features.speech import heard
from greenroom.frames import Body, Face, Floats
from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class Scene:
    """One take to be judged on.

    Attributes:
        body: None where it has none.
        face: None where it has none.
        speech: channels (T, F) of its voice; None without one.
        style: what its whole is labelled with; "" where nobody said.
    """

    body: Body | None = None
    face: Face | None = None
    speech: Floats | None = None
    style: str = ""

    @classmethod
    def of(cls, recording: Recording, style: str = "") -> Scene:
        """Return a recording as a scene."""
        speech = None if recording.audio is None else heard(recording.audio.samples)
        return cls(recording.body, recording.face, speech, style)


def scenes_of(workspace: Workspace, dataset: Manifest, split: str) -> dict[str, Scene]:
    """Return the scenes of a split, by take."""
    out = {}
    for take in dataset["splits"][split]:
        style = workspace.objects.manifest(take, "take").get("tiers", {}).get("style", "")
        out[take] = Scene.of(load(workspace, take), style if isinstance(style, str) else "")
    return out
