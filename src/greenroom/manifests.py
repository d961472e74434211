"""Every kind of object as a typed, versioned Struct, so that a hash can be followed from take to show.

A manifest is canonical JSON (RFC 8785) with a `kind`, a `version`, and the hashes of what it was made
from (`parents`), of its own parts (`parts`) and of its bytes (`blobs`). Reading one checks every field;
an error names the object, the field and the value. A manifest holds no clock time, author or machine,
unless these are what it records, so that the same inputs give the same hash.

Units: ticks are at 30 Hz; hashes are SHA-256 in lower-case hex; UTC nanoseconds are decimal strings,
because JSON's numbers end at 2^53.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from greenroom.errors import BadInput

VERSION = 2
"""Of every manifest. Those of version 1 are refused: their takes held consent and labels."""

Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, lower-case hex")]
Name = Annotated[str, Meta(min_length=1, description="a name that people chose")]
Ticks = Annotated[int, Meta(ge=0, description="ticks at 30 Hz")]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="UTC day, YYYY-MM-DD")]
UtcNs = Annotated[str, Meta(pattern=r"^\d+$", description="UTC nanoseconds, decimal")]
Hertz = Annotated[float, Meta(gt=0, description="hertz")]
Span = tuple[float, float]
"""Start and end, seconds from the start of the take."""


class Part(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Base of what stands inside a manifest: immutable, and strict about unknown fields."""


class Manifest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="kind",
):
    """Base of every kind of object; `kind` is its tag."""

    VERSION: ClassVar[int] = VERSION


class Rights(Part, frozen=True, kw_only=True):
    """What may be done with a recording, and why: a licence or a person's consent.

    Attributes:
        participant: the person, or the publisher of a licensed recording.
        purposes: what is allowed.
        licence: SPDX name of a published recording's licence; "" for consent.
        start: first day on which consent holds; "" for a licence.
        expiry: last day on which consent holds; "" for a licence.
        document_sha256: hash of the signed document; "" for a licence.
    """

    participant: Name
    purposes: list[str]
    licence: str = ""
    start: str = ""
    expiry: str = ""
    document_sha256: str = ""


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


class Clock(Part, frozen=True, kw_only=True):
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
    clock: Clock
    mapping: str = ""
    rig: str = ""


class Label(Part, frozen=True, kw_only=True):
    """One stretch of one tier.

    Attributes:
        value: what it is labelled with.
        span: seconds; None for the whole take.
        confidence: of the annotator, in [0, 1].
    """

    value: str
    span: Span | None = None
    confidence: Share = 1.0


class AnnotationParents(Part, frozen=True, kw_only=True):
    """What an annotation is of."""

    take: Hash


class Annotation(Manifest, tag="annotation", frozen=True, kw_only=True):
    """Labels of one take by one annotator: tiers of values and stretches.

    Attributes:
        tiers: labels by tier, in the order of time.
        annotator: person or program; "" where it is not known.
        scope: what the labels speak of: "take", "face", "body", "voice" or a participant's name.
    """

    tiers: dict[str, list[Label]]
    parents: AnnotationParents
    annotator: str = ""
    scope: str = "take"


class Rig(Manifest, tag="rig", frozen=True, kw_only=True):
    """A face rig: its channels, and how they map to ARKit's.

    Attributes:
        channels: names, in the order of a face's columns.
        name: of the mapping; "" for channels without one.
        arkit: channel → ARKit's name → weight; None where the channels have ARKit's own names.
        parents: the rig that this one gives a mapping to.
    """

    channels: list[str]
    name: str = ""
    arkit: dict[str, dict[str, float]] | None = None
    parents: dict[str, Hash] = {}


class FeatureSettings(Part, frozen=True, kw_only=True):
    """Everything that decides a feature's bits; see `greenroom.features.pipeline.FeatureSpec`."""

    joints: list[str]
    version: int
    tick_hz: int
    sample_rate: int
    window: int
    padded: int
    mel_bands: int
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
    dataset: str = ""


class Dataset(Manifest, tag="dataset", frozen=True, kw_only=True):
    """A frozen list of takes with splits, feature settings and sample weights.

    Attributes:
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
    weights: dict[str, float] = {}


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
    start: str = ""
    takes: list[Hash] = []
    replay: str = ""


class ModelBlobs(Part, frozen=True, kw_only=True):
    """Bytes of a model.

    Attributes:
        graph: the ONNX file.
        golden: its outputs on the golden clip; "" for a model made without one.
        weights: the learned numbers, safetensors; "" where they were not kept.
        reference: statistics of its outputs on held-out takes; "" without any.
    """

    graph: Hash
    golden: str = ""
    weights: str = ""
    reference: str = ""


class Update(Part, frozen=True, kw_only=True):
    """Evidence of an online update, by which a policy judges it.

    Attributes:
        norm: the largest share of its own norm by which a part moved.
        replay_loss: the largest rise of a part's loss on the replayed past, as a share of it.
        seconds: how long it was allowed to take.
        in_a_row: online updates since the last training, this one counted.
        style: the style that it was for; "" where it is not known.
        seed: of the split of moments.
        code: version of the code that made it.
        parts: the step and the losses of each part that moved.
    """

    norm: float
    replay_loss: float
    seconds: float
    in_a_row: int
    style: str = ""
    seed: int = 0
    code: str = ""
    parts: dict[str, Any] = {}


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

    dataset: str = ""
    start: str = ""
    takes: list[Hash] = []
    replay: str = ""


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

    part: Name
    actor: Name
    figures: dict[str, float]
    recipe_version: str
    rights: list[Rights]
    parents: PartParents
    blobs: dict[str, Hash]
    features: FeatureSettings | None = None
    feature_spec: str = ""
    styles: list[str] = []
    channels: list[str] = []
    shape: dict[str, list[int]] = {}
    ticks: Ticks = 0


class Gate(Part, frozen=True, kw_only=True):
    """One condition that a model has to pass.

    Attributes:
        metric: "task.metric".
        against: "baseline" or "champion".
        margin: by how much the gain's lower bound has to be above 0.
        level: confidence of that one-sided bound.
        worst: True: every single take; a tier's name: every group by it; False: all takes together.
    """

    metric: str
    against: str
    margin: float
    level: float
    worst: bool | str = False


class GateDecision(Gate, frozen=True, kw_only=True):
    """A gate, and whether a model passes it.

    Attributes:
        passed: the decision.
        why: the sentence that says why.
        model: the model's figure.
        rival: the baseline's or champion's figure.
        gain: the gain's interval.
        takes: how many were compared.
    """

    passed: bool
    why: str
    model: float | None = None
    rival: float | None = None
    gain: tuple[float, float] | None = None
    takes: Count = 0


class ReleaseParents(Part, frozen=True, kw_only=True):
    """What a release was made from; `validation` is "" where the model was not judged."""

    model: Hash
    validation: str = ""


class Release(Manifest, tag="release", frozen=True, kw_only=True):
    """A model that may be approved: its hash, card, gates, rights, reference summary."""

    actor: Name
    gates: list[GateDecision]
    blobs: dict[str, Hash]
    reference: ReferenceSummary
    rights: list[Rights]
    graph_sha256: Hash
    feature_spec: Hash
    parents: ReleaseParents


class PolicyStatement(Part, frozen=True, kw_only=True):
    """The rules of a policy, as they are signed.

    Attributes:
        actor: the actor that it is for.
        by: the person who signs it.
        needed: how many different people must approve.
        approvers: who may; nobody named means anybody with a key that counts.
        gates: what a model has to pass.
        auto_approval: what is approved automatically, and within which bounds; None for nothing.
        learning: when a model is retrained; None for the defaults.
        previous: the policy that this one follows; None for the first.
    """

    actor: Name
    by: Name
    needed: Annotated[int, Meta(ge=1)] = 1
    approvers: list[str] = []
    gates: list[Gate] = []
    auto_approval: dict[str, Any] | None = None
    learning: dict[str, Any] | None = None
    previous: Hash | None = None


class Policy(Manifest, tag="policy", frozen=True, kw_only=True):
    """A signed rule: who may approve for an actor, how many must, what a model has to pass.

    Attributes:
        actor: the actor that it is for.
        statement: the rules.
        key: public key that signed it, 64 hex digits.
        signature: Ed25519, of the statement's canonical JSON, hex.
    """

    actor: Name
    statement: PolicyStatement
    key: Hash
    signature: str


class ApprovalStatement(Part, frozen=True, kw_only=True):
    """What an approver signs.

    Attributes:
        at_ns: when.
        by: the person; "" where a policy approves automatically.
        release: the release that is approved; "" where it is a policy.
        policy: the policy that is approved, or by which a release is approved automatically.
        until: last day on which the approval counts; None for no end.
        change: of an automatic approval: "retrain" or "online".
    """

    at_ns: UtcNs
    by: str = ""
    release: str = ""
    policy: str = ""
    until: Day | None = None
    change: str = ""


class ApprovalParents(Part, frozen=True, kw_only=True):
    """What is approved, and the policy that approved it automatically."""

    release: str = ""
    policy: str = ""


class Approval(Manifest, tag="approval", frozen=True, kw_only=True):
    """A signed approval of a release or of a policy; without a key where a policy approved it.

    Attributes:
        statement: what is signed.
        parents: what it is about.
        key: public key that signed it, 64 hex digits; "" for an automatic one.
        signature: Ed25519, of the statement's canonical JSON, hex; "" for an automatic one.
    """

    statement: ApprovalStatement
    parents: ApprovalParents
    key: str = ""
    signature: str = ""


class TakeStats(Part, frozen=True, kw_only=True):
    """Sufficient statistics of one metric on one take; see `greenroom.metrics.motion`.

    Attributes:
        kind: how a figure is made of the sums: "mean", "skill" or "ratio".
        sums: by who is judged: "model", and each baseline.
        weight: what the sums are divided by, or the take's weight.
    """

    kind: str
    sums: dict[str, float | list[float]]
    weight: float


class GroupFigure(Part, frozen=True, kw_only=True):
    """A figure over one group of takes."""

    model: float
    baseline: float
    gain: tuple[float, float]
    takes: Count


class Figure(Part, frozen=True, kw_only=True):
    """A figure over all takes of a validation.

    Attributes:
        model: the model's.
        baseline: that of the baseline that it is compared with.
        ci: 95 % bootstrap interval of the model's.
        gain: 95 % interval of how much better the model is.
        baselines: figures of every baseline, by name.
        takes: how many.
        groups: tier → value → figure.
    """

    model: float
    baseline: float
    ci: tuple[float, float]
    gain: tuple[float, float]
    baselines: dict[str, float]
    takes: Count
    groups: dict[str, dict[str, GroupFigure]] = {}


class ValidationParents(Part, frozen=True, kw_only=True):
    """The model that was judged."""

    model: Hash


class Validation(Manifest, tag="validation", frozen=True, kw_only=True):
    """How a model did on takes that it never saw, beside baselines on the same takes.

    Attributes:
        actor: the actor that the model is for.
        on: "test split" or "recordings".
        labels: take → tier → value, for groups.
        stats: task → metric → take → sufficient statistics.
        figures: task → metric → figure; a calibration error is a bare number.
        parents: the model.
    """

    actor: Name
    on: str
    stats: dict[str, dict[str, dict[str, TakeStats]]]
    figures: dict[str, dict[str, Figure | float]]
    parents: ValidationParents
    labels: dict[str, dict[str, str]] = {}


class StudyParents(Part, frozen=True, kw_only=True):
    """The validation whose clips were rated, and its model."""

    validation: Hash
    model: Hash


class Study(Manifest, tag="study", frozen=True, kw_only=True):
    """Ratings that people gave, kept beside a validation; raters are numbers.

    Attributes:
        actor: the actor that the model is for.
        ratings: (clip, rater, condition, value), sorted.
        summary: opinions, differences and agreement, as `greenroom ratings --json` prints them.
        parents: what was rated.
    """

    actor: Name
    ratings: list[tuple[str, int, str, float]]
    summary: dict[str, Any]
    parents: StudyParents


class FoldParents(Part, frozen=True, kw_only=True):
    """One part of a cross-validation: its dataset, model and validation."""

    dataset: Hash
    model: Hash
    validation: Hash


class Fold(Manifest, tag="fold", frozen=True, kw_only=True):
    """One fold of a cross-validation that is done."""

    parents: FoldParents


class CrossValidationParents(Part, frozen=True, kw_only=True):
    """The dataset, and each fold's validation."""

    dataset: Hash
    validations: list[Hash]


class CrossValidation(Manifest, tag="cross_validation", frozen=True, kw_only=True):
    """A training that was judged on every take by a model that never saw it.

    Attributes:
        actor: the actor.
        folds: each fold's dataset, model and validation.
        grouped_by: "participant" or "take".
        preset: size of the models.
        steps: of each training.
        seed: of the folds.
        figures: pooled over all folds; as of a validation.
        parents: the dataset and each fold's validation.
    """

    actor: Name
    folds: list[FoldParents]
    grouped_by: str
    preset: str
    steps: Count
    seed: int
    figures: dict[str, dict[str, Figure | float]]
    parents: CrossValidationParents


class SearchTrial(Part, frozen=True, kw_only=True):
    """One trial of a search.

    Attributes:
        recipe: hyperparameters, by name.
        state: "complete" or "pruned".
        losses: training loss by part of the trial, "1" to "20".
        value: the metric; None for a pruned trial.
        model: its hash; "" for a pruned trial.
        validation: its hash; "" for a pruned trial.
    """

    recipe: dict[str, Any]
    state: str
    losses: dict[str, float]
    value: float | None = None
    model: str = ""
    validation: str = ""


class Search(Manifest, tag="search", frozen=True, kw_only=True):
    """A search for hyperparameters: every trial, and the best.

    Attributes:
        actor: the actor.
        space: what could be chosen, by name.
        metric: "task.metric".
        preset: size of the models, unless it was searched for.
        recipe: hyperparameters that were not searched for.
        code: version of the training code.
        better: "higher" or "lower".
        trials: in their order.
        best: index of the best trial; None where none was completed.
        parents: the dataset and each trial's validation.
    """

    actor: Name
    space: dict[str, Any]
    metric: str
    preset: str
    recipe: dict[str, Any]
    recipe_version: str
    better: str
    trials: list[SearchTrial]
    best: int | None
    parents: CrossValidationParents


class SandboxParents(Part, frozen=True, kw_only=True):
    """The two models, and what they were compared on."""

    challenger: Hash
    champion: Hash
    validations: list[Hash] = []
    shows: list[Hash] = []
    takes: list[Hash] = []


class Sandbox(Manifest, tag="sandbox", frozen=True, kw_only=True):
    """A comparison of two models on the same shows and takes.

    Attributes:
        actor: the actor.
        unit: what is resampled: "participant" or "take".
        level: confidence of the sequences.
        left_out: show or take → why it was left out.
        figures: task → metric → each model's figure.
        sequences: task → metric → interval of the mean gain after each take.
        parents: the models, shows and takes.
    """

    actor: Name
    unit: str
    level: float
    left_out: dict[str, str]
    figures: dict[str, dict[str, Any]]
    sequences: dict[str, dict[str, Any]]
    parents: SandboxParents


class ReplayParents(Part, frozen=True, kw_only=True):
    """The takes that a reservoir remembers."""

    takes: list[Hash]


class ReplayReservoir(Manifest, tag="replay_reservoir", frozen=True, kw_only=True):
    """Places of moments in takes, by which an update is held to what was learned before.

    Attributes:
        actor: the actor.
        seed: of the sample.
        size: most moments of a class.
        counts: class → moments that were offered.
        moments: class → (take, tick).
        parents: the takes.
    """

    actor: Name
    seed: int
    size: Count
    counts: dict[str, int]
    moments: dict[str, list[tuple[Hash, Ticks]]]
    parents: ReplayParents


class Swap(Part, frozen=True, kw_only=True):
    """A change of release in a show: its first tick, and the release."""

    tick: Ticks
    release: Hash


class ShowParents(Part, frozen=True, kw_only=True):
    """Releases that performed, in the order of their first request, and takes that played."""

    releases: list[Hash]
    takes: list[Hash] = []


class ShowBlobs(Part, frozen=True, kw_only=True):
    """Segments of ten seconds of frames, compressed."""

    segments: list[Hash]


class Show(Manifest, tag="show", frozen=True, kw_only=True):
    """One live performance: what came in, what was decided, what went out.

    Attributes:
        actor: who performed.
        playlist: hashes of the takes that played, in order.
        ticks: for how long it was meant to last.
        cuts: (first, one past the last) ticks without capture.
        seed: of the noise by which a model chooses how to go on.
        fingerprint: runtime, version and instruction set that decide the bits.
        started_utc_ns: when.
        engines: first tick of each engine.
        swaps: changes of release.
        frames: how many were emitted.
        late: how many of them late.
        missed: ticks without a frame.
        lost_to_recorder: frames that the recorder did not get.
        lost_datagrams: datagrams that no socket took.
        rungs: frames by rung of the fallback ladder.
        digest: chained hash of every frame.
        blobs: the recorded segments.
        conditioning: tier → stretches of ticks with their value.
        parents: releases and takes.
    """

    actor: Name
    playlist: list[Hash]
    ticks: Ticks
    cuts: list[tuple[int, int]]
    seed: int
    fingerprint: dict[str, str]
    started_utc_ns: UtcNs
    engines: list[int]
    swaps: list[Swap]
    frames: Count
    late: Count
    missed: Count
    lost_to_recorder: Count
    rungs: dict[str, int]
    digest: str
    blobs: ShowBlobs
    parents: ShowParents
    lost_datagrams: Count = 0
    conditioning: dict[str, list[tuple[int, int, str]]] = {}


class SurveyParents(Part, frozen=True, kw_only=True):
    """The release that people rated, and the show; "" where no show is named."""

    release: Hash
    show: str = ""


class Survey(Manifest, tag="survey", frozen=True, kw_only=True):
    """What people answered after a show: scores from 1 to 5, without their names."""

    actor: Name
    scores: list[Annotated[int, Meta(ge=1, le=5)]]
    parents: SurveyParents


KINDS: dict[str, type[Manifest]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Take,
        Annotation,
        Rig,
        Dataset,
        Model,
        ModelPart,
        Release,
        Policy,
        Approval,
        Validation,
        Study,
        Fold,
        CrossValidation,
        Search,
        Sandbox,
        ReplayReservoir,
        Show,
        Survey,
    )
}
"""Tag → kind of manifest."""

AnyManifest = TypeVar("AnyManifest", bound=Manifest)


def kind_of(manifest: Manifest | type[Manifest]) -> str:
    """Return a manifest's tag, such as "take"."""
    return str(manifest.__struct_config__.tag)


def to_json(manifest: msgspec.Struct) -> dict[str, Any]:
    """Return a manifest, or a part of one, as JSON holds it; fields at their default are left out."""
    fields: dict[str, Any] = msgspec.to_builtins(manifest)
    if isinstance(manifest, Manifest):
        fields["version"] = type(manifest).VERSION
    return fields


def from_json(fields: Mapping[str, Any], name: str = "") -> Manifest:
    """Return the manifest that JSON describes, every field checked.

    Args:
        fields: decoded JSON.
        name: its hash, for messages.

    Raises:
        BadInput: its kind or version is unknown, or a field is missing, unknown or out of bounds; the
            sentence names the field.
    """
    what = f"object {name[:12]}" if name else "this object"
    kind = KINDS.get(str(fields.get("kind")))
    if kind is None:
        raise BadInput(f"{what} is of no known kind: '{fields.get('kind')}'")
    if fields.get("version") != kind.VERSION:
        raise BadInput(
            f"{what} is a {fields['kind']} of version {fields.get('version')}, not {kind.VERSION}",
            then="this version of Greenroom does not read it: begin with a new --home, and ingest again",
        )
    try:
        return msgspec.convert({k: v for k, v in fields.items() if k != "version"}, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{what} is no valid {fields['kind']}: {error}") from error
