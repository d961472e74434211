"""Show now and then in a run what the model makes of a held-out take by then, beside the truth.

An *epoch* is a tenth of a run's steps, and `LEAST` of them at least: windows are drawn by chance, so a
pass over the data ends nowhere, and a clip takes as long as some fifteen steps (`docs/benchmarks.md`).
Making one draws nothing by chance and leaves the model as it was, so that a run ends in the same bits
with clips and without.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from greenroom.capture.readers import Recording
from greenroom.capture.takes import load, media_of
from greenroom.consent.gate import refusal
from greenroom.contracts import ModelShape
from greenroom.datasets.build import states_of
from greenroom.datasets.gaps import LOST, filled
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import heard
from greenroom.frames import Body, Floats
from greenroom.render.clips import Panel, side_by_side
from greenroom.render.traces import traces
from greenroom.store.objects import Manifest, write_durably
from greenroom.store.workspace import Workspace
from greenroom.training.model import Performer
from greenroom.training.rollout import roll_out
from greenroom.training.trunk import heard_for
from greenroom.training.words import told_of

EPOCHS = 10
LEAST = 400
TICKS = 5 * LOST
"""Of a clip: 2.5 s, in which two limbs are lost for half a second each."""
_SIZE, _EVERY = (200, 240), 3


@dataclass(frozen=True)
class Shown:
    """What is shown of a run, and where it is kept.

    Attributes:
        folder: of the clips, a file each.
        epoch: steps from one to the next.
        spec: the features.
        body: the stretch that loses limbs, after a history of its own.
        speech: what is heard at each tick that is shown (T, S, F); None without a face.
        face: its recorded weights (T, B); None without.
        channels: their names.
    """

    folder: Path
    epoch: int
    spec: FeatureSpec
    body: Body
    speech: Floats | None = None
    face: Floats | None = None
    channels: tuple[str, ...] = ()

    def path(self, step: int) -> Path:
        """Return where the clip of a step is."""
        return self.folder / f"{step:06d}.webp"

    def keep(self, model: Performer, step: int) -> None:
        """Draw and keep the clip of a step, if an epoch ends with it."""
        if step % self.epoch == 0:
            was = model.training
            model.eval()
            try:
                clip = self.draw(model, f"step {step} (amber: its own)")
            finally:
                model.train(was)
            write_durably(self.path(step), clip)

    def draw(self, model: Performer, label: str) -> bytes:
        """Return the clip: what was recorded, what the model completes, and under them the face."""

        def perform(window: Floats, valid: Floats) -> Floats:
            with torch.no_grad():
                done = roll_out(
                    model, torch.from_numpy(window)[None], torch.from_numpy(valid)[None]
                )
            out: Floats = done.pose[0].numpy()
            return out

        made = filled(perform, self.spec, model.shape.history, self.body)
        assert made is not None  # or it would not have been chosen
        truth, performed, given = made
        below = []
        if model.face is not None and self.speech is not None and self.face is not None:
            with torch.no_grad():
                said = model.face(
                    model.hear(torch.from_numpy(self.speech)),
                    told_of(model.shape, None, len(self.speech)),
                ).numpy()
            below = traces(self.face, said, self.channels, 2 * _SIZE[0])
        panels = [Panel(truth, "truth"), Panel(performed, label, given)]
        return side_by_side(panels, _SIZE, every=_EVERY, below=below)


def shown_of(
    workspace: Workspace,
    dataset: Manifest,
    spec: FeatureSpec,
    shape: ModelShape,
    channels: tuple[str, ...],
    folder: Path,
    steps: int,
) -> Shown | None:
    """Return what is shown of a run: the liveliest stretch of a held-out take; None where there is none.

    Trackers are often elsewhere, so a take is shown only if its rights cover `export` today. Takes with
    a face come first, then the longest; where no take has both, body and face are of two takes.

    Args:
        workspace: where the dataset is.
        dataset: its manifest.
        spec: the features.
        shape: of the model.
        channels: of the face that is learned; () without.
        folder: where clips go.
        steps: of the run.
    """
    day = datetime.datetime.now(datetime.UTC).date()
    held = {name: workspace.objects.manifest(name) for name in dataset["splits"]["validation"]}
    takes = [name for name, take in held.items() if not refusal(take, "export", day)]
    takes.sort(key=lambda name: (-len(media_of(held[name])), -held[name]["ticks"], name))
    for name in takes:
        found = _stretch(load(workspace, name), spec, shape.history)
        if found is None:
            continue
        body, first = found
        shown = Shown(folder, max(LEAST, steps // EPOCHS), spec, body)
        ticks = len(body) - shape.history - 1
        for other in (name, *takes) if channels else ():
            at = first if other == name else None
            face = _face(load(workspace, other), channels, shape.speech, at, ticks)
            if face is not None:
                return replace(shown, speech=face[0], face=face[1], channels=channels)
        return shown
    return None


def _stretch(recording: Recording, spec: FeatureSpec, history: int) -> tuple[Body, int] | None:
    """Return the liveliest stretch of a body after a history, and its tick; None without one.

    Before the first tick of a take that one stands in.
    """
    body = recording.body
    if body is None or len(body) < 2 * LOST or not np.isfinite(states_of(spec, body)).all():
        return None
    ticks = min(TICKS, len(body))
    first = _liveliest(states_of(spec, body), ticks)
    at = np.arange(first - history - 1, first + ticks).clip(0)
    return Body(body.skeleton, body.root[at], body.rotations[at], body.validity[at]), first


def _face(
    recording: Recording, channels: tuple[str, ...], window: int, at: int | None, ticks: int
) -> tuple[Floats, Floats] | None:
    """Return what is heard (T, S, F) and the face (T, B) from a tick on; None where they are not there.

    Args:
        recording: with both, on one clock.
        channels: that the face must have.
        window: S.
        at: the tick; None for the liveliest stretch.
        ticks: T.
    """
    if recording.face is None or recording.audio is None or recording.face.channels != channels:
        return None
    speech = torch.from_numpy(heard(recording.audio.samples))
    windows, face = heard_for(torch.from_numpy(recording.face.weights), speech, window)
    if len(face) < (at or 0) + ticks:
        return None
    first = _liveliest(np.nan_to_num(face.numpy()), ticks) if at is None else at
    return windows[first : first + ticks].numpy(), face[first : first + ticks].numpy()


def _liveliest(rows: Floats, ticks: int) -> int:
    """Return where the stretch of so many ticks begins in which rows (T, N) change most."""
    speed = np.abs(np.diff(rows, axis=0)).mean(axis=1)
    return int(np.argmax(np.convolve(speed, np.ones(min(ticks - 1, len(speed))), "valid")))
