"""Remember what a model has learned, evenly and by few examples, so that an update can be held to it.

A sample of each class by itself, so that a rare one is kept beside a frequent one: algorithm R (Vitter
1985, "Random sampling with a reservoir"). What is kept is the place of a moment in its take and not its
frames: they are read again when needed, and only while the take's rights cover training.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from greenroom.capture.annotations import take_tiers, whole_label
from greenroom.capture.ingest import load_take
from greenroom.consent.gate import refusal_reason, require_rights
from greenroom.datasets.build import pose_states
from greenroom.errors import BadInput
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import Floats
from greenroom.manifests import Dataset, ReplayParents, ReplayReservoir, Take
from greenroom.store.workspace import Workspace

EVERY = 15
"""Ticks from one moment of a take to the next that is offered."""
BEFORE, AFTER = 30, 15
"""Ticks before and after a moment that come with it: a model's history, its longest forecast."""
LENGTH = BEFORE + 1 + AFTER


@dataclass(frozen=True)
class Moments:
    """Stretches of takes around moments.

    Attributes:
        states: (N, 46, D) float32; row 30 is the moment itself.
        takes: hash of the take of each (N,).
        styles: what its take was labelled with, "" where with nothing (N,).
    """

    states: Floats
    takes: tuple[str, ...]
    styles: tuple[str, ...]

    def __len__(self) -> int:
        """Return N."""
        return len(self.takes)

    def only(self, keep: Any) -> Moments:
        """Return those that a mask or indices choose."""
        indices = np.arange(len(self))[keep]
        index_list = [int(i) for i in indices]
        return Moments(
            self.states[indices],
            tuple(self.takes[i] for i in index_list),
            tuple(self.styles[i] for i in index_list),
        )


@dataclass
class Reservoir:
    """A sample of moments, some of each class.

    Attributes:
        seed: which samples are drawn; the same offers in the same order give the same ones.
        size: moments kept of each class.
        counts: how many of each class were offered.
        samples: of each class, (take, first tick of its 46 states).

    >>> reservoir = Reservoir(size=2)
    >>> for tick in range(100):
    ...     reservoir.offer("calm", "a" * 64, tick)
    >>> reservoir.offer("angry", "b" * 64, 7)
    >>> [tick for _, tick in reservoir.samples["calm"]], reservoir.samples["angry"][0][1]
    ([93, 62], 7)
    """

    seed: int = 0
    size: int = 200
    counts: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def offer(self, style: str, take: str, tick: int) -> None:
        """Offer one moment: it is kept with the chance that each of its class has.

        The draw depends on seed, class and count alone, so that a reservoir that was saved goes on as
        one that was not.

        Args:
            style: its class.
            take: hash.
            tick: first of its states.
        """
        count = self.counts[style] = self.counts.get(style, 0) + 1
        class_samples = self.samples.setdefault(style, [])
        if len(class_samples) < self.size:
            class_samples.append((take, tick))
            return
        draw = np.random.default_rng([self.seed, crc32(style.encode()), count]).integers(count)
        if draw < self.size:
            class_samples[int(draw)] = (take, tick)

    def offer_take(self, workspace: Workspace, take: str, day: datetime.date) -> None:
        """Offer moments all along a take.

        Raises:
            Refused: its rights do not cover training on this day.
            BadInput: it has no body.
        """
        manifest = workspace.objects.read(take, Take)
        require_rights(workspace, take, "train", day)
        if "body" not in manifest.media:
            raise BadInput(f"take {take[:12]} has no body", then="offer another take")
        style = whole_label(take_tiers(workspace, take), "style")
        for tick in range(0, manifest.clock.ticks - LENGTH, EVERY):
            self.offer(style, take, tick)

    def save(self, workspace: Workspace, actor: str, by: str) -> str:
        """Keep it as an object that names its takes as parents; return its hash."""
        takes = sorted(
            {take for class_samples in self.samples.values() for take, _ in class_samples}
        )
        reservoir = ReplayReservoir(
            actor=actor,
            seed=self.seed,
            size=self.size,
            counts=self.counts,
            moments=self.samples,
            parents=ReplayParents(takes=takes),
        )
        return workspace.publish(reservoir, by=by)

    @classmethod
    def load(cls, workspace: Workspace, name: str) -> Reservoir:
        """Read what :meth:`save` wrote.

        Raises:
            BadInput: there is no such object, or it is of another kind.
        """
        manifest = workspace.objects.read(name, ReplayReservoir)
        samples = {style: list(places) for style, places in manifest.moments.items()}
        return cls(manifest.seed, manifest.size, dict(manifest.counts), samples)

    def moments(self, workspace: Workspace, spec: FeatureSpec, day: datetime.date) -> Moments:
        """Return what is kept, read anew; takes whose rights are over are left out.

        Raises:
            BadInput: nothing is left.
        """
        ticks_by_take: dict[str, list[int]] = {}
        for _, class_samples in sorted(self.samples.items()):
            for take, tick in class_samples:
                ticks_by_take.setdefault(take, []).append(tick)
        allowed = [
            take
            for take in sorted(ticks_by_take)
            if not refusal_reason(workspace, take, "train", day)
        ]
        parts = [
            m
            for take in allowed
            if (m := _read(workspace, spec, take, sorted(ticks_by_take[take])))
        ]
        if not parts:
            raise BadInput("the reservoir holds nothing that may be used", then="offer it takes")
        return concatenate_moments(parts)


def build_reservoir(workspace: Workspace, dataset: str, day: datetime.date) -> Reservoir:
    """Return a sample of what a dataset is trained on; takes whose rights are over are left out."""
    out = Reservoir()
    for take in workspace.objects.read(dataset, Dataset).splits["train"]:
        manifest = workspace.objects.read(take, Take)
        if "body" in manifest.media and not refusal_reason(workspace, take, "train", day):
            out.offer_take(workspace, take, day)
    return out


def take_moments(workspace: Workspace, spec: FeatureSpec, take: str, every: int) -> Moments:
    """Return the moments of a whole take, `every` ticks; before its first tick that one stands in."""
    return _read(workspace, spec, take, range(1 - BEFORE, 1 << 30, every))


def _read(workspace: Workspace, spec: FeatureSpec, take: str, ticks: range | list[int]) -> Moments:
    body = load_take(workspace, take, ("body",)).body
    assert body is not None  # `load` refuses a take without
    states = pose_states(spec, body)
    cut = [states[np.maximum(np.arange(t, t + LENGTH), 0)] for t in _fitting(ticks, len(states))]
    shape = (len(cut), LENGTH, spec.state_width)
    rows = np.asarray(cut, dtype=np.float32).reshape(shape)
    style = whole_label(take_tiers(workspace, take), "style")
    return Moments(rows, (take,) * len(cut), (style,) * len(cut))


def _fitting(ticks: range | list[int], length: int) -> Iterator[int]:
    for tick in ticks:
        if tick + LENGTH > length:
            return
        yield tick


def concatenate_moments(parts: list[Moments]) -> Moments:
    """Return several as one."""
    return Moments(
        np.concatenate([part.states for part in parts]),
        tuple(take for part in parts for take in part.takes),
        tuple(style for part in parts for style in part.styles),
    )
