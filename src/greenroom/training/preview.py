"""Clips of a training run: a held-out take and the model's completion of it, side by side.

An *epoch* is a tenth of a run's steps, and `LEAST` of them at least: windows are drawn at random, so
that no pass over the data ends, and a clip takes as long as fifteen steps (`docs/log/benchmarks.md`).
Making one draws nothing at random and leaves the model as it was, so that a run ends in the same bits
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
from greenroom.consent.gate import refusal_reason
from greenroom.contracts import ModelShape
from greenroom.datasets.build import pose_states
from greenroom.datasets.gaps import LOST, fill_gaps
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import extract_speech
from greenroom.frames import Body, Floats
from greenroom.manifests import Dataset, Take
from greenroom.networks.face import face_windows
from greenroom.networks.input_batch import conditioning_inputs
from greenroom.networks.motion_net import MotionNet, TrunkNet
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
    """A stretch of a face, and the inputs that it is made from.

    Attributes:
        speech: window of each tick (T, S, F).
        conditioning: labels of the same ticks (T, S, P + X).
        weights: as recorded (T, B).
        channels: their names.
    """

    speech: Tensor
    conditioning: Tensor
    weights: Floats
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """The takes that clips of a run show, and the folder of the clips.

    Attributes:
        folder: of the clips, a file each.
        epoch: steps from one to the next.
        spec: the features.
        body: stretch in which limbs are hidden, after a history of its own.
        conditioning: labels of each of its ticks (T, P + X).
        takes: hashes.
        face: None without one.
    """

    folder: Path
    epoch: int
    spec: FeatureSpec
    body: Body
    conditioning: Tensor
    takes: tuple[str, ...]
    face: FaceStretch | None = None

    def path(self, step: int) -> Path:
        """Return where the clip of a step is."""
        return self.folder / f"{step:06d}.webp"

    def keep(self, model: MotionNet, step: int) -> None:
        """Write the clip of a step, if an epoch ends with it; a failure ends no training."""
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
        """Return the clip: the recording, the model's completion, and below them the face."""
        device = model.core.mean.device

        def perform(window: Floats, valid: Floats) -> Floats:
            with torch.no_grad():
                rollout = roll_out(
                    model,
                    torch.from_numpy(window)[None].to(device),
                    torch.from_numpy(valid)[None].to(device),
                    # The body's first tick has no state.
                    conditioning=self.conditioning[None, 1:].to(device),
                )
            out: Floats = rollout.pose[0].cpu().numpy()
            return out

        completion = fill_gaps(perform, self.spec, model.shape.history, self.body)
        assert completion is not None  # or it would not have been chosen
        truth, completed, captured = completion
        below = []
        if isinstance(model, TrunkNet) and model.face is not None and self.face is not None:
            speech, labels = self.face.speech.to(device), self.face.conditioning.to(device)
            with torch.no_grad():
                weights = model.face(
                    model.normalise_speech(speech),
                    conditioning_inputs(model.shape, labels, len(speech)),
                )
            truth_weights, channels = self.face.weights, self.face.channels
            below = traces(truth_weights, weights.cpu().numpy(), channels, 2 * _SIZE[0])
        panels = [ClipPanel(truth, "truth"), ClipPanel(completed, label, captured)]
        return side_by_side(panels, _SIZE, every=_EVERY, below=below)


@dataclass(frozen=True)
class PreviewSource:
    """What the takes of a preview are chosen from.

    Attributes:
        workspace: where the dataset is.
        dataset: its manifest.
        spec: the features.
        shape: of the model's tensors.
        split: the training split.
    """

    workspace: Workspace
    dataset: Dataset
    spec: FeatureSpec
    shape: ModelShape
    split: SplitData

    def face_window(
        self, take: str, tiers: Tiers, first_tick: int | None, ticks: int
    ) -> FaceStretch | None:
        """Return a stretch of a take's face; None where its rig is another, or it is too short.

        Args:
            take: hash.
            tiers: its labels.
            first_tick: of the stretch; None for the liveliest one.
            ticks: T.
        """
        recording = load_take(self.workspace, take)
        face, audio = recording.face, recording.audio
        if face is None or audio is None or face.channels != self.split.channels:
            return None
        speech = torch.from_numpy(extract_speech(audio.samples))
        labels = self.split.vocabulary.rows(tiers, len(speech))
        inputs, weights = face_windows(
            torch.from_numpy(face.weights),
            torch.cat([speech, torch.from_numpy(labels)], -1),
            self.shape.speech,
        )
        if len(weights) < (first_tick or 0) + ticks:
            return None
        if first_tick is None:
            first_tick = _liveliest(np.nan_to_num(weights.numpy()), ticks)
        part = slice(first_tick, first_tick + ticks)
        own_speech, own_labels = inputs[part].split_with_sizes(
            [speech.shape[-1], labels.shape[-1]], -1
        )
        return FaceStretch(own_speech, own_labels, weights[part].numpy(), face.channels)

    def exportable_takes(self) -> dict[str, Take]:
        """Return the held-out takes that may be shown: with a face first, then the longest."""
        day = self.workspace.today()
        manifests = {
            name: self.workspace.objects.read(name, Take)
            for name in self.dataset.splits["validation"]
            if not refusal_reason(self.workspace, name, "export", day)
        }
        order = sorted(
            manifests,
            key=lambda name: (-len(manifests[name].media), -manifests[name].clock.ticks, name),
        )
        return {name: manifests[name] for name in order}


def make_preview(source: PreviewSource, folder: Path, steps: int) -> Preview | None:
    """Return the preview of a run: the liveliest stretch of a held-out take; None where there is none.

    Trackers are often elsewhere, so a take is shown only if its rights cover `export` today. Takes with
    a face come first, then the longest; where no take has both, body and face are of two takes.

    Args:
        source: of the takes.
        folder: of the clips.
        steps: of the run.
    """
    takes, shape = source.exportable_takes(), source.shape
    tiers_by_take = dataset_tiers(source.workspace, source.dataset)
    for name, manifest in takes.items():
        body = (
            load_take(source.workspace, name, ("body",)).body if "body" in manifest.media else None
        )
        if body is None or len(body) < 2 * LOST:
            continue
        states = pose_states(source.spec, body)
        if not np.isfinite(states).all():
            continue
        ticks = min(TICKS, len(body))
        first = _liveliest(states, ticks)
        # Before the first tick of a take that one is repeated.
        rows = np.arange(first - shape.history - 1, first + ticks).clip(0)
        stretch = Body(body.skeleton, body.root[rows], body.rotations[rows], body.validity[rows])
        labels = source.split.vocabulary.rows(tiers_by_take.get(name, {}), len(body))[rows]
        preview = Preview(
            folder,
            max(LEAST, steps // EPOCHS),
            source.spec,
            stretch,
            conditioning=torch.from_numpy(labels),
            takes=(name,),
        )
        for other in (name, *takes) if shape.face else ():
            first_tick = first if other == name else None
            face = source.face_window(other, tiers_by_take.get(other, {}), first_tick, ticks)
            if face is not None:
                return replace(preview, takes=tuple(sorted({name, other})), face=face)
        return preview
    return None


def _liveliest(rows: Floats, ticks: int) -> int:
    """Return the first tick of the stretch in which rows (T, N) change most."""
    speed = np.abs(np.diff(rows, axis=0)).mean(axis=1)
    return int(np.argmax(np.convolve(speed, np.ones(min(ticks - 1, len(speed))), "valid")))
