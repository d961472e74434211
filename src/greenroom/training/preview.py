"""Show now and then in a run what the model makes of a held-out take by then, beside the truth.

An *epoch* is a tenth of a run's steps, and `LEAST` of them at least: windows are drawn by chance, so a
pass over the data ends nowhere, and a clip takes as long as fifteen steps (`docs/log/benchmarks.md`).
Making one draws nothing by chance and leaves the model as it was, so that a run ends in the same bits
with clips and without.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from greenroom.capture.annotations import dataset_tiers
from greenroom.capture.ingest import load_take
from greenroom.capture.labels import Tiers
from greenroom.capture.readers import Recording
from greenroom.consent.gate import refusal_reason
from greenroom.contracts import ModelShape
from greenroom.datasets.build import pose_states
from greenroom.datasets.gaps import LOST, fill_gaps
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import extract_speech
from greenroom.frames import Body, Floats
from greenroom.manifests import Dataset, Take
from greenroom.networks.conditioning_tokens import conditioning_inputs
from greenroom.networks.motion_net import MotionNet
from greenroom.networks.trunk import face_windows
from greenroom.render.clips import ClipPanel, side_by_side
from greenroom.render.traces import traces
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace
from greenroom.training.data_module import SplitData
from greenroom.training.rollout import roll_out

EPOCHS = 10
LEAST = 400
TICKS = 5 * LOST
"""Of a clip: 2.5 s, in which two limbs are lost for half a second each."""
_SIZE, _EVERY = (200, 240), 3


class FaceStretch(NamedTuple):
    """A stretch of a face, and what it is made from.

    Attributes:
        speech: what is heard for each tick (T, S, F).
        words: what is known of the same ticks (T, S, P + X).
        weights: as recorded (T, B).
        channels: their names.
    """

    speech: Tensor
    words: Tensor
    weights: Floats
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """What is shown of a run, and where it is kept.

    Attributes:
        folder: of the clips, a file each.
        epoch: steps from one to the next.
        spec: the features.
        body: the stretch that loses limbs, after a history of its own.
        words: what is known of each of its ticks.
        takes: whose clip it is.
        face: None without one.
    """

    folder: Path
    epoch: int
    spec: FeatureSpec
    body: Body
    words: Tensor
    takes: tuple[str, ...]
    face: FaceStretch | None = None

    def path(self, step: int) -> Path:
        """Return where the clip of a step is."""
        return self.folder / f"{step:06d}.webp"

    def keep(self, model: MotionNet, step: int) -> None:
        """Draw and keep the clip of a step, if an epoch ends with it; a failure ends no training."""
        if step % self.epoch == 0:
            was = model.training
            model.eval()
            try:
                write_durably(self.path(step), self.draw(model, f"step {step} (amber: its own)"))
            except Exception as error:  # whatever a library or a full disk raises
                warnings.warn(f"no clip of step {step}: {error}", stacklevel=2)
            finally:
                model.train(was)

    def draw(self, model: MotionNet, label: str) -> bytes:
        """Return the clip: what was recorded, what the model completes, and under them the face."""

        def perform(window: Floats, valid: Floats) -> Floats:
            with torch.no_grad():
                rollout = roll_out(
                    model,
                    torch.from_numpy(window)[None],
                    torch.from_numpy(valid)[None],
                    words=self.words[None, 1:],  # the body's first tick has no state
                )
            out: Floats = rollout.pose[0].numpy()
            return out

        completion = fill_gaps(perform, self.spec, model.shape.history, self.body)
        assert completion is not None  # or it would not have been chosen
        truth, completed, captured = completion
        below = []
        if model.face is not None and self.face is not None:
            speech, words, channels = self.face.speech, self.face.words, self.face.channels
            with torch.no_grad():
                weights = model.face(
                    model.hear(speech), conditioning_inputs(model.shape, words, len(speech))
                )
            below = traces(self.face.weights, weights.numpy(), channels, 2 * _SIZE[0])
        panels = [ClipPanel(truth, "truth"), ClipPanel(completed, label, captured)]
        return side_by_side(panels, _SIZE, every=_EVERY, below=below)


def make_preview(
    workspace: Workspace,
    dataset: Dataset,
    spec: FeatureSpec,
    shape: ModelShape,
    split: SplitData,
    folder: Path,
    steps: int,
) -> Preview | None:
    """Return what is shown of a run: the liveliest stretch of a held-out take; None where there is none.

    Trackers are often elsewhere, so a take is shown only if its rights cover `export` today. Takes with
    a face come first, then the longest; where no take has both, body and face are of two takes.

    Args:
        workspace: where the dataset is.
        dataset: its manifest.
        spec: the features.
        shape: of the model.
        split: what is learned from.
        folder: where clips go.
        steps: of the run.
    """
    day, tiers_by_take = workspace.today(), dataset_tiers(workspace, dataset)
    manifests = {
        name: workspace.objects.read(name, Take)
        for name in dataset.splits["validation"]
        if not refusal_reason(workspace, name, "export", day)
    }
    takes = list(manifests)
    takes.sort(key=lambda name: (-len(manifests[name].media), -manifests[name].clock.ticks, name))
    for name in takes:
        body = (
            load_take(workspace, name, ("body",)).body if "body" in manifests[name].media else None
        )
        if body is None or len(body) < 2 * LOST or not np.isfinite(pose_states(spec, body)).all():
            continue
        ticks = min(TICKS, len(body))
        first = _liveliest(pose_states(spec, body), ticks)
        # Before the first tick of a take that one stands in.
        rows = np.arange(first - shape.history - 1, first + ticks).clip(0)
        stretch = Body(body.skeleton, body.root[rows], body.rotations[rows], body.validity[rows])
        words = split.vocabulary.rows(tiers_by_take.get(name, {}), len(body))[rows]
        epoch = max(LEAST, steps // EPOCHS)
        clip_recorder = Preview(folder, epoch, spec, stretch, torch.from_numpy(words), (name,))
        for face_take in (name, *takes) if shape.face else ():
            first_tick = first if face_take == name else None
            face = _face(
                load_take(workspace, face_take),
                tiers_by_take.get(face_take, {}),
                split,
                shape.speech,
                first_tick,
                ticks,
            )
            if face is not None:
                return replace(clip_recorder, takes=tuple(sorted({name, face_take})), face=face)
        return clip_recorder
    return None


def _face(
    recording: Recording,
    tiers: Tiers,
    split: SplitData,
    window: int,
    first_tick: int | None,
    ticks: int,
) -> FaceStretch | None:
    """Return a stretch of a take's face; None where it has none that is learned, or none so long.

    Args:
        recording: what the take has.
        tiers: its labels.
        split: what is learned from.
        window: S.
        first_tick: its first tick; None for the liveliest stretch.
        ticks: T.
    """
    face, audio = recording.face, recording.audio
    if face is None or audio is None or face.channels != split.channels:
        return None
    speech = torch.from_numpy(extract_speech(audio.samples))
    words = torch.from_numpy(split.vocabulary.rows(tiers, len(speech)))
    inputs, weights = face_windows(
        torch.from_numpy(face.weights), torch.cat([speech, words], -1), window
    )
    if len(weights) < (first_tick or 0) + ticks:
        return None
    first = _liveliest(np.nan_to_num(weights.numpy()), ticks) if first_tick is None else first_tick
    part = slice(first, first + ticks)
    own_speech, own_words = inputs[part].split_with_sizes([speech.shape[-1], words.shape[-1]], -1)
    return FaceStretch(own_speech, own_words, weights[part].numpy(), face.channels)


def _liveliest(rows: Floats, ticks: int) -> int:
    """Return where the stretch of so many ticks begins in which rows (T, N) change most."""
    speed = np.abs(np.diff(rows, axis=0)).mean(axis=1)
    return int(np.argmax(np.convolve(speed, np.ones(min(ticks - 1, len(speed))), "valid")))
