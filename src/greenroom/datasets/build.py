"""Freeze takes into a dataset: which, in which split, under which feature specification."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from greenroom.capture.takes import load, media_of
from greenroom.consent.gate import refusal
from greenroom.errors import BadInput
from greenroom.features.pipeline import FeatureSpec, Pipeline
from greenroom.frames import BONES, SAMPLES_PER_TICK, Body, Floats
from greenroom.store.workspace import Workspace

SPLITS = ("train", "validation", "test")
MIN_TICKS = 12


@dataclass(frozen=True)
class Built:
    """A dataset, and the takes that are not in it, each with its reason."""

    dataset: str
    takes: list[str]
    left_out: list[dict[str, str]]


def build(
    workspace: Workspace,
    name: str,
    actor: str,
    by: str,
    day: datetime.date,
    held: dict[str, Sequence[str]] | None = None,
) -> Built:
    """Freeze every allowed body take of an actor.

    Args:
        workspace: where.
        name: of the dataset.
        actor: whose takes.
        by: who builds.
        day: for which the rights must hold.
        held: {"validation" or "test": names of takes}; without it a tenth each, chosen by hash.

    Raises:
        BadInput: nothing is left.
    """
    taken: dict[str, Body] = {}
    names: dict[str, str] = {}
    left_out = []
    for row in workspace.catalog.find("take", actor=actor):
        manifest = workspace.objects.manifest(row.object, "take")
        reason = refusal(manifest, "train", day)
        if not reason and "body" not in media_of(manifest):
            reason = "it has no body"
        body = None if reason else load(workspace, row.object, ("body",)).body
        if body is not None and len(body) < MIN_TICKS:
            reason = f"it is shorter than {MIN_TICKS} ticks"
        if reason or body is None:
            left_out.append({"take": row.object, "reason": reason})
            continue
        taken[row.object], names[row.object] = body, manifest["name"]
    if len(taken) < 3:
        raise BadInput(
            f"{len(taken)} takes of '{actor}' may be used; three are needed at least",
            then="ingest more with --participant and --rights",
        )
    spec = FeatureSpec(_joints(list(taken.values())))
    splits = _by_name(names, held) if held else _by_hash(list(taken))
    manifest = {
        "kind": "dataset",
        "version": 1,
        "name": name,
        "actor": actor,
        "features": spec.manifest(),
        "feature_spec": spec.hash,
        "splits": splits,
        "parents": {"takes": sorted(taken)},
    }
    return Built(workspace.publish(manifest, by=by), sorted(taken), left_out)


def _joints(bodies: Sequence[Body]) -> tuple[str, ...]:
    """Return the bones that every take has at every tick, hips first."""
    always = np.ones(len(BONES), dtype=bool)
    for body in bodies:
        always &= (body.validity > 0).all(axis=0)
    found = tuple(bone for bone, there in zip(BONES, always, strict=True) if there)
    if found[:1] != ("hips",) or len(found) < 5:
        raise BadInput(f"the takes have only {', '.join(found) or 'no bone'} in common")
    return found


def _by_hash(takes: Sequence[str]) -> dict[str, list[str]]:
    """Return 80/10/10 in the order of the hashes: no choice, the same everywhere."""
    order = sorted(takes)
    tenth = max(1, round(len(order) / 10))
    return {
        "test": order[:tenth],
        "validation": order[tenth : 2 * tenth],
        "train": order[2 * tenth :],
    }


def _by_name(names: dict[str, str], held: dict[str, Sequence[str]]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for take, name in sorted(names.items()):
        split = next((s for s, wanted in held.items() if name in wanted), "train")
        splits[split].append(take)
    empty = [split for split, takes in splits.items() if not takes]
    if empty:
        raise BadInput(f"no take is left for {', '.join(empty)}")
    return splits


def bodies_of(workspace: Workspace, dataset: dict[str, Any], split: str) -> list[Body]:
    """Return the bodies of a split, in the dataset's order."""
    out = []
    for take in dataset["splits"][split]:
        body = load(workspace, take, ("body",)).body
        assert body is not None
        out.append(body)
    return out


def states_of(spec: FeatureSpec, body: Body) -> Floats:
    """Return the states (T - 1, D) of a body; the first tick has no velocity and is left out."""
    ticks = len(body)
    silence = np.zeros((ticks, SAMPLES_PER_TICK), dtype=np.float32)
    features = Pipeline(spec, listen=False).run(
        body.root, body.rotations, body.validity, silence, silence[:, 0].copy()
    )
    return features.state[1:]
