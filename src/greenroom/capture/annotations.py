"""Labels of takes as annotation objects: kept apart from the recording, by whom, and read back.

Whoever ingests a recording again with other labels adds an annotation and no second take. The newest
annotation of each annotator counts; where two label the same tier, the later name in the alphabet does.
A dataset names the annotations that it uses, so that its labels never change.
"""

from __future__ import annotations

from collections.abc import Iterable

from greenroom.capture.labels import Tiers
from greenroom.manifests import Annotation, AnnotationLabel, AnnotationParents, Dataset
from greenroom.store.workspace import Workspace


def annotate(workspace: Workspace, take: str, tiers: Tiers, by: str, annotator: str = "") -> str:
    """Keep labels of a take; return the annotation's hash.

    Args:
        workspace: where the take is.
        take: its hash.
        tiers: labels by tier, stretches in ticks at 30 Hz.
        by: who keeps them.
        annotator: who labelled it; "" where it is not known.
    """
    annotation = Annotation(
        tiers={tier: _to_labels(labels) for tier, labels in sorted(tiers.items())},
        parents=AnnotationParents(take=take),
        annotator=annotator,
    )
    name = workspace.publish(annotation, by=by)
    workspace.attributions.annotate(take, name, annotator, by)
    return name


def _to_labels(labels: str | list[tuple[int, int, str]]) -> list[AnnotationLabel]:
    if isinstance(labels, str):
        return [AnnotationLabel(value=labels)]
    return [AnnotationLabel(value=value, span=(first, end)) for first, end, value in labels]


def _to_tier(labels: Iterable[AnnotationLabel]) -> str | list[tuple[int, int, str]]:
    spans: list[tuple[int, int, str]] = []
    for label in labels:
        if label.span is None:
            return label.value
        spans.append((*label.span, label.value))
    return sorted(spans)


def read_tiers(annotations: Iterable[Annotation]) -> Tiers:
    """Return the tiers of annotations of one take; the last that labels a tier counts."""
    tiers: Tiers = {}
    for annotation in annotations:
        tiers |= {tier: _to_tier(labels) for tier, labels in annotation.tiers.items() if labels}
    return tiers


def take_tiers(workspace: Workspace, take: str) -> Tiers:
    """Return the tiers that a take is labelled with now."""
    names = workspace.attributions.annotations(take)
    return read_tiers(workspace.objects.read(name, Annotation) for name in names)


def dataset_tiers(workspace: Workspace, dataset: Dataset) -> dict[str, Tiers]:
    """Return the tiers of each take of a dataset, by the annotations that it names."""
    by_take: dict[str, list[Annotation]] = {take: [] for take in dataset.parents.takes}
    for name in dataset.parents.annotations:
        annotation = workspace.objects.read(name, Annotation)
        by_take.setdefault(annotation.parents.take, []).append(annotation)
    return {
        take: read_tiers(sorted(annotations, key=lambda each: each.annotator))
        for take, annotations in by_take.items()
    }


def whole_label(tiers: Tiers, tier: str) -> str:
    """Return what a whole take is labelled with in a tier; "" for none, or for stretches."""
    label = tiers.get(tier, "")
    return label if isinstance(label, str) else ""
