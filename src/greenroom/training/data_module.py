"""From a dataset's takes to what is taught: states, voices with faces, and labelled styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenroom.capture.annotations import dataset_tiers, whole_label
from greenroom.capture.ingest import load_take
from greenroom.capture.sequence import concatenate, mirror_body
from greenroom.datasets.build import face_rig, pose_states
from greenroom.features.conditioning import Conditioning, Vocabulary
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import extract_speech
from greenroom.frames import Body, Floats
from greenroom.manifests import Dataset
from greenroom.networks.motion_net import Preset
from greenroom.store.workspace import Workspace
from greenroom.training.objectives import TrainingData

STREAMS = 6
FEW = 20_000
"""Ticks below which takes are joined in several orders, so that windows cross between them."""


@dataclass(frozen=True)
class SplitData:
    """What the takes of one split have.

    Attributes:
        bodies: of the takes with one.
        style: what each body's take was labelled with; "" where nothing was said of the whole take.
        content: the same of what it shows.
        weights: how much each body's take counts; 1 unless the dataset says otherwise.
        faces: (speech (T, F), weights (T, B)) of the takes with both.
        channels: names of the face rig's weights; empty without faces.
        labels: the labels of each body's take.
        face_labels: those of each face's.
    """

    bodies: list[Body]
    style: list[str]
    content: list[str]
    weights: list[float]
    faces: list[tuple[Floats, Floats]]
    channels: tuple[str, ...]
    labels: list[Conditioning]
    face_labels: list[Conditioning]

    @property
    def vocabulary(self) -> Vocabulary:
        """What its takes are told by, in words."""
        return Vocabulary.of([*self.labels, *self.face_labels])

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles, sorted; empty unless there are two."""
        names = tuple(sorted(set(self.style) - {""}))
        return names if len(names) > 1 else ()


def load_splits(workspace: Workspace, dataset: Dataset, spec: FeatureSpec) -> dict[str, SplitData]:
    """Return what each split of a dataset has, each take read once."""
    return {split: _split(workspace, dataset, split) for split in dataset.splits}


def _split(workspace: Workspace, dataset: Dataset, split: str) -> SplitData:
    split_data = SplitData([], [], [], [], [], (), [], [])
    channels, tiers_by_take = face_rig(workspace, dataset), dataset_tiers(workspace, dataset)
    for take in dataset.splits[split]:
        tiers = tiers_by_take.get(take, {})
        recording = load_take(workspace, take)
        if recording.body is not None:
            split_data.bodies.append(recording.body)
            split_data.labels.append(tiers)
            split_data.style.append(whole_label(tiers, "style"))
            split_data.content.append(whole_label(tiers, "content"))
            split_data.weights.append(dataset.weights.get(take, 1.0))
        if recording.face is None or recording.audio is None:
            continue
        if recording.face.channels == channels:
            split_data.faces.append(
                (extract_speech(recording.audio.samples), recording.face.weights)
            )
            split_data.face_labels.append(tiers)
    return replace(split_data, channels=channels if split_data.faces else ())


def are_joined(split: SplitData) -> bool:
    """Return whether a split's takes are so few that roll-outs go from one to another."""
    return 2 * sum(len(body) for body in split.bodies) < FEW


def make_training_data(
    split: SplitData, spec: FeatureSpec, preset: Preset, seed: int
) -> TrainingData:
    """Return what is taught of a training split: every take, and its mirror image."""
    with_mirrored = split.bodies + [mirror_body(body) for body in split.bodies]
    if are_joined(split):
        draws = np.random.default_rng(seed)
        orders = [draws.permutation(len(with_mirrored)) for _ in range(STREAMS)]
        streams = [
            pose_states(spec, concatenate([with_mirrored[i] for i in order])) for order in orders
        ]
    else:
        orders = [np.asarray([i]) for i in range(len(with_mirrored))]
        streams = [pose_states(spec, body) for body in with_mirrored]
    stream_tensors = [tensor(stream) for stream in streams]
    words = _words(split, orders)
    if not preset.trunk:
        return TrainingData(stream_tensors, words=words)
    takes = (
        [tensor(pose_states(spec, b)) for b in with_mirrored]
        if are_joined(split)
        else stream_tensors
    )
    return TrainingData(
        stream_tensors,
        takes,
        [(tensor(speech), tensor(face)) for speech, face in split.faces],
        labelled_states(split, takes),
        split.weights * 2,
        words,
    )


def _words(split: SplitData, orders: Sequence[NDArray[np.intp]]) -> dict[str, list[Tensor]]:
    """Return what is known of each tick of the material; nothing where the takes have no words.

    Args:
        split: the takes.
        orders: which of them and of their mirror images are joined to each stream.
    """
    vocabulary = split.vocabulary
    if not vocabulary.phonemes and not vocabulary.context:
        return {}
    rows = [
        tensor(vocabulary.rows(labels, len(body)))
        for labels, body in zip(split.labels, split.bodies, strict=True)
    ] * 2
    # The first tick of a take, or of takes that are joined, has no velocity and no state.
    return {
        "streams": [torch.cat([rows[i] for i in order])[1:] for order in orders],
        "takes": [row[1:] for row in rows],
        "faces": [
            tensor(vocabulary.rows(labels, len(speech)))
            for labels, (speech, _) in zip(split.face_labels, split.faces, strict=True)
        ],
    }


def labelled_states(split: SplitData, takes: Sequence[Tensor]) -> list[tuple[Tensor, int, str]]:
    """Return (states, number of the style, content) of what has a style.

    Args:
        split: of a training split.
        takes: states (T, D) of every body, then of every body's mirror image.
    """
    kinds = [split.styles.index(s) if s in split.styles else -1 for s in split.style * 2]
    return [
        (take, kind, content or f"take {n % len(split.bodies)}")
        for n, (take, kind, content) in enumerate(zip(takes, kinds, split.content * 2, strict=True))
        if kind >= 0
    ]


def tensor(values: Floats) -> Tensor:
    """Return a tensor over an array's numbers."""
    return torch.from_numpy(np.ascontiguousarray(values))
