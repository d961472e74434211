"""From a dataset's takes to what is taught: states, voices with faces, and labelled styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenroom.capture.sequence import join, mirrored
from greenroom.capture.takes import load
from greenroom.datasets.build import rig_of, states_of
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import heard
from greenroom.features.words import Told, Vocabulary
from greenroom.frames import Body, Floats
from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace
from greenroom.training.lessons import Material
from greenroom.training.model import Preset

STREAMS = 6
FEW = 20_000
"""Ticks below which takes are joined in several orders, so that windows cross between them."""


@dataclass(frozen=True)
class Found:
    """What the takes of one split have.

    Attributes:
        bodies: of the takes with one.
        style: what each body's take was labelled with; "" where nothing was said of the whole take.
        content: the same of what it shows.
        weights: how much each body's take counts; 1 unless the dataset says otherwise.
        faces: (speech (T, F), weights (T, B)) of the takes with both.
        channels: names of the face rig's weights; empty without faces.
        told: the labels of each body's take.
        told_faces: those of each face's.
    """

    bodies: list[Body]
    style: list[str]
    content: list[str]
    weights: list[float]
    faces: list[tuple[Floats, Floats]]
    channels: tuple[str, ...]
    told: list[Told]
    told_faces: list[Told]

    @property
    def vocabulary(self) -> Vocabulary:
        """What its takes are told by, in words."""
        return Vocabulary.of([*self.told, *self.told_faces])

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles, sorted; empty unless there are two."""
        names = tuple(sorted(set(self.style) - {""}))
        return names if len(names) > 1 else ()


def gather(workspace: Workspace, dataset: Manifest, spec: FeatureSpec) -> dict[str, Found]:
    """Return what each split of a dataset has, each take read once."""
    return {split: _split(workspace, dataset, split) for split in dataset["splits"]}


def _split(workspace: Workspace, dataset: Manifest, split: str) -> Found:
    out = Found([], [], [], [], [], (), [], [])
    channels = rig_of(workspace, dataset)
    for take in dataset["splits"][split]:
        manifest = workspace.objects.manifest(take, "take")
        recording = load(workspace, take)
        if recording.body is not None:
            out.bodies.append(recording.body)
            out.told.append(manifest.get("tiers", {}))
            out.style.append(whole_label(manifest, "style"))
            out.content.append(whole_label(manifest, "content"))
            out.weights.append(float(dataset.get("weights", {}).get(take, 1.0)))
        if recording.face is None or recording.audio is None:
            continue
        if recording.face.channels == channels:
            out.faces.append((heard(recording.audio.samples), recording.face.weights))
            out.told_faces.append(manifest.get("tiers", {}))
    return replace(out, channels=channels if out.faces else ())


def whole_label(take: Manifest, tier: str) -> str:
    """Return what a whole take is labelled with in a tier; "" where nothing was said of the whole."""
    said = take.get("tiers", {}).get(tier, "")
    return said if isinstance(said, str) else ""


def are_joined(found: Found) -> bool:
    """Return whether a split's takes are so few that roll-outs go from one to another."""
    return 2 * sum(len(body) for body in found.bodies) < FEW


def teaching(found: Found, spec: FeatureSpec, preset: Preset, seed: int) -> Material:
    """Return what is taught of a training split: every take, and its mirror image."""
    both = found.bodies + [mirrored(body) for body in found.bodies]
    if are_joined(found):
        draws = np.random.default_rng(seed)
        orders = [draws.permutation(len(both)) for _ in range(STREAMS)]
        streams = [states_of(spec, join([both[i] for i in order])) for order in orders]
    else:
        orders = [np.asarray([i]) for i in range(len(both))]
        streams = [states_of(spec, body) for body in both]
    whole = [tensor(stream) for stream in streams]
    words = _words(found, orders)
    if not preset.trunk:
        return Material(whole, words=words)
    takes = [tensor(states_of(spec, b)) for b in both] if are_joined(found) else whole
    return Material(
        whole,
        takes,
        [(tensor(speech), tensor(face)) for speech, face in found.faces],
        labelled(found, takes),
        found.weights * 2,
        words,
    )


def _words(found: Found, orders: Sequence[NDArray[np.intp]]) -> dict[str, list[Tensor]]:
    """Return what is known of each tick of the material; nothing where the takes have no words.

    Args:
        found: the takes.
        orders: which of them and of their mirror images are joined to each stream.
    """
    known = found.vocabulary
    if not known.phonemes and not known.context:
        return {}
    rows = [
        tensor(known.rows(told, len(body)))
        for told, body in zip(found.told, found.bodies, strict=True)
    ] * 2
    # The first tick of a take, or of takes that are joined, has no velocity and no state.
    return {
        "streams": [torch.cat([rows[i] for i in order])[1:] for order in orders],
        "takes": [row[1:] for row in rows],
        "faces": [
            tensor(known.rows(told, len(speech)))
            for told, (speech, _) in zip(found.told_faces, found.faces, strict=True)
        ],
    }


def labelled(found: Found, takes: Sequence[Tensor]) -> list[tuple[Tensor, int, str]]:
    """Return (states, number of the style, content) of what has a style.

    Args:
        found: of a training split.
        takes: states (T, D) of every body, then of every body's mirror image.
    """
    kinds = [found.styles.index(s) if s in found.styles else -1 for s in found.style * 2]
    return [
        (take, kind, content or f"take {n % len(found.bodies)}")
        for n, (take, kind, content) in enumerate(zip(takes, kinds, found.content * 2, strict=True))
        if kind >= 0
    ]


def tensor(values: Floats) -> Tensor:
    """Return a tensor over an array's numbers."""
    return torch.from_numpy(np.ascontiguousarray(values))
