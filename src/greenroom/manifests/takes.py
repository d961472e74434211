"""Manifests of what is recorded: takes, labels, face rigs, datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from greenroom.manifests.base import (
    Hash,
    Manifest,
    Name,
    OptionalHash,
    Part,
    Positive,
    Rights,
    Share,
    Ticks,
    Weight,
)

MEDIA = ("body", "face", "audio", "video")
"""Every medium that a take can have, in this order."""


class Medium(Part, frozen=True, kw_only=True):
    """One medium of a take.

    Attributes:
        format: name of the reader, such as "bvh".
        blob: the original bytes.
        rate: the medium's own rate in hertz; 0 where the bytes say it.
    """

    format: Name
    blob: Hash
    rate: Annotated[float, Meta(ge=0)] = 0.0


class TakeClock(Part, frozen=True, kw_only=True):
    """Where a take lies in time.

    Attributes:
        ticks: its length.
        timecode: SMPTE timecode of its first tick; "" where none was recorded.
        timecode_rate: frames a second that the timecode counts; 0 without one.
    """

    ticks: Ticks
    timecode: str = ""
    timecode_rate: Annotated[float, Meta(ge=0)] = 0.0


class Take(Manifest, tag="take", frozen=True, kw_only=True):
    """One recorded stretch on one clock: the recording, its mapping and its clock, and nothing else.

    Who is in it, what they allow, its name, session and group are entries of the log; labels are
    annotations. So neither a renewed consent nor a new label makes another take.

    Attributes:
        media: by medium: "body", "face", "audio", "video".
        clock: its length and timecode.
        mapping: blob of the mapping file that the humanoid was derived with; "" without one.
        rig: hash of the face's rig; "" without a face.
    """

    media: dict[str, Medium]
    clock: TakeClock
    mapping: OptionalHash = ""
    rig: OptionalHash = ""

    @property
    def formats(self) -> dict[str, str]:
        """Format by medium, in the order body, face, audio, video."""
        return {name: self.media[name].format for name in MEDIA if name in self.media}

    def blob_hashes(self) -> Iterator[str]:
        """Yield the original bytes, the mapping file and the face's rig."""
        yield from (medium.blob for medium in self.media.values())
        yield from (name for name in (self.mapping, self.rig) if name)


class AnnotationLabel(Part, frozen=True, kw_only=True):
    """One stretch of one tier.

    Attributes:
        value: what it is labelled with.
        span: first tick and one past the last, at 30 Hz; None for the whole take.
        confidence: of the annotator, in [0, 1].
    """

    value: str
    span: tuple[Ticks, Ticks] | None = None
    confidence: Share = 1.0

    def __post_init__(self) -> None:
        """Check the span's order."""
        if self.span is not None and self.span[0] > self.span[1]:
            raise ValueError(f"a span ends at {self.span[1]}, before it begins at {self.span[0]}")


class AnnotationParents(Part, frozen=True, kw_only=True):
    """What an annotation is of."""

    take: Hash


class Annotation(Manifest, tag="annotation", frozen=True, kw_only=True):
    """Labels of one take by one annotator: tiers of values and stretches.

    Attributes:
        parents: what it was made from.
        tiers: labels by tier, in the order of time.
        annotator: person or program; "" where it is not known.
        scope: what the labels speak of: "take", "face", "body", "voice" or a participant's name.
    """

    tiers: dict[str, list[AnnotationLabel]]
    parents: AnnotationParents
    annotator: str = ""
    scope: str = "take"


class RigParents(Part, frozen=True, kw_only=True):
    """The rig, a list of channels, to which another one adds a mapping."""

    rig: Hash


class Rig(Manifest, tag="rig", frozen=True, kw_only=True):
    """A face rig: its channels, and how they map to ARKit's.

    Attributes:
        channels: names, in the order of a face's columns.
        name: of the mapping; "" for channels without one.
        arkit: channel → ARKit's name → weight; None where the channels have ARKit's own names.
        parents: the rig that this one gives a mapping to; None for the first.
    """

    channels: list[str]
    name: str = ""
    arkit: dict[str, dict[str, float]] | None = None
    parents: RigParents | None = None


class FeatureSettings(Part, frozen=True, kw_only=True):
    """Everything that decides a feature's bits; see `greenroom.features.pipeline.FeatureSpec`."""

    joints: list[str]
    version: Positive
    tick_hz: Positive
    sample_rate: Positive
    window: Positive
    padded: Positive
    mel_bands: Positive
    root: list[str]


class DatasetParents(Part, frozen=True, kw_only=True):
    """What a dataset was frozen from.

    Attributes:
        takes: sorted hashes.
        annotations: the labels that it uses, sorted hashes.
        dataset: the dataset that this one is a fold of; "" for none.
    """

    takes: list[Hash]
    annotations: list[Hash] = []
    dataset: OptionalHash = ""


class Dataset(Manifest, tag="dataset", frozen=True, kw_only=True):
    """A frozen list of takes with splits, feature settings and sample weights.

    Attributes:
        name: of the dataset, as people call it.
        actor: the actor that it is for.
        features: settings of the features.
        feature_spec: hash of these settings.
        parents: what it was made from.
        splits: takes by split: "train", "validation", "test"; no take is in two.
        rights: of the takes on the day on which it was frozen, each once.
        weights: sample weight by take; a take that is not named has 1.
    """

    name: str
    actor: Name
    features: FeatureSettings
    feature_spec: Hash
    splits: dict[str, list[Hash]]
    parents: DatasetParents
    rights: list[Rights] = []
    weights: dict[Hash, Weight] = {}

    def __post_init__(self) -> None:
        """Check that splits are known, and that no take is in two."""
        if unknown := set(self.splits) - {"train", "validation", "test"}:
            raise ValueError(f"there is no split '{min(unknown)}'")
        takes = [take for split in self.splits.values() for take in split]
        if len(set(takes)) < len(takes):
            raise ValueError("a take is in two splits, or twice in one")
