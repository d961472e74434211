"""Small valid manifests of every kind, for tests that need one and do not look inside."""

from __future__ import annotations

from typing import Any

import msgspec

from greenroom.contracts import ModelShape
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import BONES
from greenroom.manifests import (
    Dataset,
    DatasetParents,
    Medium,
    Model,
    ModelBlobs,
    ModelParents,
    ReferenceSummary,
    ReleaseManifest,
    ReleaseParents,
    Rights,
    Show,
    ShowBlobs,
    ShowParents,
    Take,
    TakeClock,
    Update,
    Validation,
    ValidationParents,
)
from greenroom.store.workspace import Workspace

SPEC = FeatureSpec(("hips", "spine", "head"))
NOTHING = "0" * 64
UPDATE = Update(norm=0.1, replay_loss=0.01, seconds=1.0, in_a_row=1)
MIT = Rights(participant="p", purposes=["train", "perform"], licence="MIT")


def take(workspace: Workspace, data: bytes = b"bvh", ticks: int = 30) -> Take:
    """Return a take of bytes that no reader knows."""
    blob = workspace.objects.put(data)
    return Take(media={"body": Medium(format="bvh", blob=blob)}, clock=TakeClock(ticks=ticks))


def dataset(
    takes: list[str], splits: dict[str, list[str]] | None = None, actor: str = "mira", **more: Any
) -> Dataset:
    """Return a dataset of takes, all of them for training unless `splits` says otherwise."""
    return Dataset(
        **{"name": "d", **more},
        actor=actor,
        features=SPEC.manifest(),
        feature_spec=SPEC.hash,
        splits=splits or {"train": takes, "validation": [], "test": []},
        parents=DatasetParents(takes=sorted(takes)),
    )


def model(
    workspace: Workspace, dataset: str, note: str = "", actor: str = "mira", **more: Any
) -> Model:
    """Return a model whose graph is no graph; another note is another hash."""
    fields: dict[str, Any] = {
        "parents": ModelParents(dataset=dataset),
        "blobs": ModelBlobs(
            graph=workspace.objects.put(f"no graph: {note}".encode()),
            weights=workspace.objects.put(f"no weights: {note}".encode()),
        ),
        "rights": [],
    }
    return Model(
        **{**fields, **more},
        actor=actor,
        preset="mini",
        parameters=0,
        recipe={"steps": 0, "note": note},
        recipe_version="",
        features=SPEC.manifest(),
        feature_spec=SPEC.hash,
        shape=ModelShape(len(SPEC.joints), SPEC.state_width, 43).manifest(),
        operations=[],
        rest_state=[0.0] * SPEC.state_width,
        offsets=[(0.0, 0.1, 0.0)] * len(BONES),
        uses_speech=False,
        figures={},
        reference=ReferenceSummary(blocks=[], confidence_mean=0.9, confidence_p05=0.8),
    )


def noted(manifest: Model, note: str, **changes: Any) -> Model:
    """Return a model like another one, with another hash."""
    recipe = {**manifest.recipe, "note": note}
    return msgspec.structs.replace(manifest, recipe=recipe, **changes)


def published_release(workspace: Workspace, note: str = "") -> str:
    """Publish a release of a model of no takes; return its hash."""
    data = workspace.publish(dataset([]), by="test")
    made = workspace.publish(model(workspace, data, note), by="test")
    return workspace.publish(release(made), by="test")


def noted_release(workspace: Workspace, name: str, note: str) -> ReleaseManifest:
    """Return a release like another one, of a model of its own."""
    manifest = workspace.objects.read(name, ReleaseManifest)
    other = noted(workspace.objects.read(manifest.parents.model, Model), note)
    parents = msgspec.structs.replace(manifest.parents, model=workspace.publish(other, by="test"))
    return msgspec.structs.replace(manifest, parents=parents)


def release(model: str, actor: str = "mira", **more: Any) -> ReleaseManifest:
    """Return a release of a model, with no card."""
    fields: dict[str, Any] = {"graph_sha256": NOTHING, "gates": [], "rights": [], "blobs": {}}
    return ReleaseManifest(
        **{**fields, **more},
        actor=actor,
        reference=ReferenceSummary(blocks=[], confidence_mean=0.9, confidence_p05=0.8),
        feature_spec=SPEC.hash,
        parents=ReleaseParents(model=model),
    )


def validation(model: str, actor: str = "mira", **more: Any) -> Validation:
    """Return a validation of a model that measured nothing, unless `more` says otherwise."""
    fields: dict[str, Any] = {"on": "test split", "stats": {}, "figures": {}}
    return Validation(**{**fields, **more}, actor=actor, parents=ValidationParents(model=model))


def show(release: str, actor: str = "mira", **more: Any) -> Show:
    """Return a show of a release that lasted for no tick."""
    fields: dict[str, Any] = {
        "playlist": [],
        "ticks": 0,
        "cuts": [],
        "seed": 0,
        "fingerprint": {},
        "started_utc_ns": "0",
        "engines": [],
        "swaps": [],
        "frames": 0,
        "late": 0,
        "missed": 0,
        "lost_to_recorder": 0,
        "rungs": {},
        "digest": "",
        "blobs": ShowBlobs(segments=[]),
        "parents": ShowParents(releases=[release]),
    }
    return Show(**{**fields, **more}, actor=actor)
