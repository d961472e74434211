"""Manifests of what is measured: validations, studies, searches, comparisons."""

from __future__ import annotations

from typing import Any, Literal

from greenroom.manifests.base import (
    Count,
    Direction,
    Hash,
    Manifest,
    Name,
    OptionalHash,
    Part,
    Share,
    Weight,
)


class TakeStats(Part, frozen=True, kw_only=True):
    """Sufficient statistics of one metric on one take; see `greenroom.metrics.motion`.

    Attributes:
        kind: how a figure is made of the sums: "mean" or "skill".
        sums: by who is judged: "model", and each baseline.
        weight: what the sums are divided by, or the take's weight.
    """

    kind: Literal["mean", "skill"]
    sums: dict[str, float]
    weight: Weight


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
        confidence: mean confidence, of a calibration error; None of another figure.
    """

    model: float
    baseline: float
    ci: tuple[float, float]
    gain: tuple[float, float]
    baselines: dict[str, float]
    takes: Count
    groups: dict[str, dict[str, GroupFigure]] = {}
    confidence: float | None = None


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
        figures: task → metric → figure.
        parents: the model.
    """

    actor: Name
    on: Literal["test split", "recordings"]
    stats: dict[str, dict[str, dict[str, TakeStats]]]
    figures: dict[str, dict[str, Figure]]
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
    """One fold of a cross-validation that is done.

    Attributes:
        parents: what it was made from.
    """

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
    grouped_by: Literal["participant", "take"]
    preset: str
    steps: Count
    seed: int
    figures: dict[str, dict[str, Figure]]
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
    state: Literal["complete", "pruned"]
    losses: dict[str, float]
    value: float | None = None
    model: OptionalHash = ""
    validation: OptionalHash = ""


class Search(Manifest, tag="search", frozen=True, kw_only=True):
    """A search for hyperparameters: every trial, and the best.

    Attributes:
        actor: the actor.
        space: what could be chosen, by name.
        metric: "task.metric".
        preset: size of the models, unless it was searched for.
        recipe: hyperparameters that were not searched for.
        recipe_version: version of the training code.
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
    better: Direction
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


class PairFigure(Part, frozen=True, kw_only=True):
    """How two models did at one metric on the same takes and shows.

    Attributes:
        challenger: its figure.
        champion: its figure.
        better: "higher" or "lower".
        gain: mean relative gain of the challenger, in [-1, 1].
        ci: interval of that, valid after every pair.
        verdict: whether they are told apart, and which is better.
        decided_after: pairs after which they were; None while they are not.
        takes: pairs.
    """

    challenger: float
    champion: float
    better: Direction
    gain: float
    ci: tuple[float, float]
    verdict: str
    decided_after: Count | None
    takes: Count


class PairSequence(Part, frozen=True, kw_only=True):
    """Interval of the mean gain after each pair.

    Attributes:
        takes: hashes of takes and shows, in order.
        gain: mean gain after each.
        low: lower end.
        high: upper end.
    """

    takes: list[Hash]
    gain: list[float]
    low: list[float]
    high: list[float]


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
    unit: Literal["participant", "take"]
    level: Share
    left_out: dict[str, str]
    figures: dict[str, dict[str, PairFigure]]
    sequences: dict[str, dict[str, PairSequence]]
    parents: SandboxParents
