"""Manifests of what is trained: models, and parts of models that are released alone."""

from __future__ import annotations

from typing import Any, Literal

from greenroom.manifests.base import (
    Count,
    Hash,
    Manifest,
    Name,
    OptionalHash,
    Part,
    Rights,
    Share,
    Ticks,
)
from greenroom.manifests.takes import FeatureSettings


class Shape(Part, frozen=True, kw_only=True):
    """Sizes of a model's tensors; see `greenroom.contracts.ModelShape`."""

    joints: Count
    state: Count
    speech_channels: Count
    history: Count
    speech: Count
    noise: Count
    lags: list[int]
    horizons: list[int] = []
    face: Count = 0
    styles: Count = 0
    phonemes: Count = 0
    context: Count = 0


class ReferenceSummary(Part, frozen=True, kw_only=True):
    """What a model's outputs are like on held-out takes with everything captured.

    Attributes:
        blocks: how many blocks of ticks each take gave.
        confidence_mean: mean confidence over all blocks.
        confidence_p05: its 5th percentile.
    """

    blocks: list[int]
    confidence_mean: Share
    confidence_p05: Share


class ModelParents(Part, frozen=True, kw_only=True):
    """What a model was made from.

    Attributes:
        dataset: what it was trained on.
        start: the model whose weights it began with; "" for none.
        takes: what an update or an adaptation learned from beside the dataset.
        replay: the replay reservoir that an update was held to; "" for none.
    """

    dataset: Hash
    start: OptionalHash = ""
    takes: list[Hash] = []
    replay: OptionalHash = ""


class ModelBlobs(Part, frozen=True, kw_only=True):
    """Bytes of a model.

    Attributes:
        graph: the ONNX file.
        golden: its outputs on the golden clip; "" for a model made without one.
        weights: the learned numbers, safetensors; "" where they were not kept.
        reference: statistics of its outputs on held-out takes; "" without any.
    """

    graph: Hash
    golden: OptionalHash = ""
    weights: OptionalHash = ""
    reference: OptionalHash = ""


class Update(Part, frozen=True, kw_only=True):
    """Evidence of an online update, by which a policy judges it.

    Attributes:
        norm: the largest share of its own norm by which a part moved.
        replay_loss: the largest rise of a part's loss on the replayed past, as a share of it.
        seconds: how long it was allowed to take.
        in_a_row: online updates since the last training, this one counted.
        gain: mean fall of the parts' losses on the new moments, as a share of them.
        bounds: the bounds that it kept, by name.
        norms: share of its own norm by which each layer moved.
        loss_before: loss of each part on the new moments before.
        loss_after: the same after.
        replay_before: loss of each part on the replayed past before.
        replay_after: the same after.
        moments: how many it was judged on: "new", "replay".
        style: the style that it was for; "" where it is not known.
        seed: of the split of moments.
        recipe_version: version of the code that made it.
    """

    norm: float
    replay_loss: float
    seconds: float
    in_a_row: Count
    gain: float = 0.0
    bounds: dict[str, float] = {}
    norms: dict[str, float] = {}
    loss_before: dict[str, float] = {}
    loss_after: dict[str, float] = {}
    replay_before: dict[str, float] = {}
    replay_after: dict[str, float] = {}
    moments: dict[str, int] = {}
    style: str = ""
    seed: int = 0
    recipe_version: str = ""


class Model(Manifest, tag="model", frozen=True, kw_only=True):
    """Trained weights with their feature settings and rigs, exported to ONNX.

    Attributes:
        actor: the actor that it is for.
        preset: its size: a name in `greenroom.networks.motion_net.PRESETS`.
        parameters: how many numbers it has.
        recipe: hyperparameters, by name.
        recipe_version: version of the training code; another one gives other weights.
        features: settings of its features.
        feature_spec: hash of these.
        shape: sizes of its tensors.
        operations: names of its graph's ONNX operations, sorted.
        rest_state: state (D,) to begin from and to return to on `hold`.
        offsets: (55, 3), metres: where the performer's bones sit on their parents.
        uses_speech: whether its face is driven by speech.
        figures: figures of its training, by name.
        reference: summary of its outputs on held-out takes.
        rights: under which it was trained.
        parents: what it was made from.
        blobs: its bytes.
        rig: channels of its face; none without a face.
        styles: names of the styles that it tells apart.
        vocabulary: phonemes and context values that it knows, by tier.
        parts: hashes of its parts: "style", "rig", "face".
        update: evidence of the online update that made it; None for a trained model.
    """

    actor: Name
    preset: str
    parameters: Count
    recipe: dict[str, Any]
    recipe_version: str
    features: FeatureSettings
    feature_spec: Hash
    shape: Shape
    operations: list[str]
    rest_state: list[float]
    offsets: list[tuple[float, float, float]]
    uses_speech: bool
    figures: dict[str, float]
    reference: ReferenceSummary
    rights: list[Rights]
    parents: ModelParents
    blobs: ModelBlobs
    rig: list[str] = []
    styles: list[str] = []
    vocabulary: dict[str, list[str]] = {}
    parts: dict[str, Hash] = {}
    update: Update | None = None


class PartParents(Part, frozen=True, kw_only=True):
    """What a part of a model was fitted on: a dataset, or takes, after another part or a model."""

    dataset: OptionalHash = ""
    start: OptionalHash = ""
    takes: list[Hash] = []
    replay: OptionalHash = ""


class ModelPart(Manifest, tag="part", frozen=True, kw_only=True):
    """A part of a model that is fitted, judged and released by itself.

    Attributes:
        part: "style" or "face".
        actor: the actor that it is for.
        figures: of its fit.
        recipe_version: version of the code that fitted it.
        rights: under which it was fitted.
        parents: what it was fitted on.
        blobs: "tensors", its numbers.
        features: settings of the features that it reads; None for a face.
        feature_spec: hash of these; "" for a face.
        styles: names that it tells apart.
        channels: of the face that it corrects.
        shape: by tensor.
        ticks: of the take that a face was fitted on.
    """

    part: Literal["style", "face"]
    actor: Name
    figures: dict[str, float]
    recipe_version: str
    rights: list[Rights]
    parents: PartParents
    blobs: dict[str, Hash]
    features: FeatureSettings | None = None
    feature_spec: OptionalHash = ""
    styles: list[str] = []
    channels: list[str] = []
    shape: dict[str, list[int]] = {}
    ticks: Ticks = 0
