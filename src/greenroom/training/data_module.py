"""Load a dataset's splits, and make training data of them: states, speech with faces, styles, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from greenroom.networks.presets import Preset
from greenroom.store.workspace import Workspace
from greenroom.training.training_data import TrainingData

STREAMS = 6
FEW = 20_000
"""Ticks below which takes are joined in several orders, so that windows lie across them."""


@dataclass(frozen=True)
class SplitData:
    """The recordings and labels of one split.

    Attributes:
        bodies: of the takes with one.
        style: label of each body's take; "" where the take has none as a whole.
        content: label of each body's take, likewise.
        weights: sampling weight of each body's take; 1 unless the dataset sets it.
        faces: (speech (T, F), weights (T, B)) of the takes with both.
        channels: names of the face rig's weights; empty without faces.
        labels: all labels of each body's take.
        face_labels: all labels of each face's take.
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
        """The label values of its takes."""
        return Vocabulary.of([*self.labels, *self.face_labels])

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles, sorted; empty unless there are two."""
        names = tuple(sorted(set(self.style) - {""}))
        return names if len(names) > 1 else ()


def load_splits(workspace: Workspace, dataset: Dataset, spec: FeatureSpec) -> dict[str, SplitData]:
    """Return the recordings and labels of each split of a dataset."""
    return {split: _split(workspace, dataset, split) for split in dataset.splits}


def _split(workspace: Workspace, dataset: Dataset, split: str) -> SplitData:
    channels, tiers_by_take = face_rig(workspace, dataset), dataset_tiers(workspace, dataset)
    body_rows, face_rows = [], []
    for take in dataset.splits[split]:
        labels = tiers_by_take.get(take, {})
        recording = load_take(workspace, take)
        if recording.body is not None:
            style, content = whole_label(labels, "style"), whole_label(labels, "content")
            body_rows.append(
                (recording.body, style, content, dataset.weights.get(take, 1.0), labels)
            )
        if recording.face is None or recording.audio is None:
            continue
        if recording.face.channels == channels:
            speech = extract_speech(recording.audio.samples)
            face_rows.append(((speech, recording.face.weights), labels))
    bodies, styles, contents, weights, body_labels = _columns(body_rows, 5)
    faces, face_labels = _columns(face_rows, 2)
    return SplitData(
        bodies=bodies,
        style=styles,
        content=contents,
        weights=weights,
        faces=faces,
        channels=channels if faces else (),
        labels=body_labels,
        face_labels=face_labels,
    )


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """Return the columns of rows, also where there are none."""
    return [[row[i] for row in rows] for i in range(count)]


def are_joined(split: SplitData) -> bool:
    """Tell whether a split's takes are so few that they are joined for roll-outs."""
    return 2 * sum(len(body) for body in split.bodies) < FEW


def make_training_data(
    split: SplitData, spec: FeatureSpec, preset: Preset, seed: int
) -> TrainingData:
    """Return the training data of a split: every take, and its mirror image."""
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
    conditioning = _conditioning(split, orders)
    if not preset.trunk:
        return TrainingData(stream_tensors, conditioning=conditioning)
    takes = (
        [tensor(pose_states(spec, b)) for b in with_mirrored]
        if are_joined(split)
        else stream_tensors
    )
    return TrainingData(
        stream_tensors,
        takes,
        faces=[(tensor(speech), tensor(face)) for speech, face in split.faces],
        styles=labelled_states(split, takes),
        weights=split.weights * 2,
        conditioning=conditioning,
    )


def _conditioning(split: SplitData, orders: Sequence[NDArray[np.intp]]) -> dict[str, list[Tensor]]:
    """Return the labels of each tick of the training data; nothing where the takes have none.

    Args:
        split: the takes.
        orders: indices of the takes and their mirror images that are joined to each stream.
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
    """Return (states, number of the style, content) of takes with a style.

    Args:
        split: of the training takes.
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
