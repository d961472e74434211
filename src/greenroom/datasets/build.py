"""Freeze takes into a dataset: which, in which split, under which feature specification."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec
import numpy as np

from greenroom.capture.ingest import load_take, media_formats
from greenroom.capture.readers import Recording
from greenroom.consent.gate import refusal_reason
from greenroom.errors import BadInput
from greenroom.features.pipeline import FeaturePipeline, FeatureSpec
from greenroom.frames import BONES, SAMPLES_PER_TICK, Body, Floats
from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace

SPLITS = ("train", "validation", "test")
MIN_TICKS = 12
HeldoutRules = Mapping[str, Sequence[str]]
"""{"validation" or "test": patterns of take names, as of the shell}; what fits both is for the test,
the rest for training."""


@dataclass(frozen=True)
class DatasetBuild:
    """A dataset, and the takes that are not in it, each with its reason."""

    dataset: str
    takes: list[str]
    left_out: list[dict[str, str]]


def build_dataset(
    workspace: Workspace,
    name: str,
    actor: str,
    by: str,
    day: datetime.date,
    heldout: HeldoutRules | None = None,
    like: Manifest | None = None,
) -> DatasetBuild:
    """Freeze every allowed take of an actor that something can be learned from.

    That is a take with a body, or with a face and the voice that it was recorded with. A recording that
    is there twice, such as with other labels, is used once; faces on another rig than most are left out.

    Args:
        workspace: where.
        name: of the dataset.
        actor: whose takes.
        by: who builds.
        day: for which the rights must hold.
        heldout: patterns held out of training; without it a tenth each, chosen by hash, of the takes
            with a body and of the others.
        like: another dataset, whose takes stay in their splits, and whose joints stay those that are
            learned, as long as every take has them; new takes are divided by hash. So a model trained on
            the one can be judged on the test split of the other.

    Raises:
        BadInput: too little is left, or a split is empty.
    """
    manifests: dict[str, Manifest] = {}
    bodies: list[Body] = []
    left_out = []
    for take, manifest, reason in _candidates(workspace, actor, day):
        body = None
        if not reason and "body" in media_formats(manifest):
            body = load_take(workspace, take, ("body",)).body
        if not reason and manifest["ticks"] < MIN_TICKS:
            reason = f"it is shorter than {MIN_TICKS} ticks"
        if reason:
            left_out.append({"take": take, "reason": reason})
            continue
        manifests[take] = manifest
        if body is not None:
            bodies.append(body)
    if len(bodies) < 3:
        raise BadInput(
            f"{len(bodies)} takes of '{actor}' with a body may be used; three are needed at least",
            then="ingest more with --participant and --rights",
        )
    joints = _joints(bodies)
    if like is not None and set(like["features"]["joints"]) <= set(joints):
        joints = tuple(like["features"]["joints"])  # else the two models could not be compared
    spec = FeatureSpec(joints)
    out = {
        "kind": "dataset",
        "version": 1,
        "name": name,
        "actor": actor,
        "features": spec.manifest(),
        "feature_spec": spec.hash,
        "splits": _by_name(manifests, heldout) if heldout else _by_hash(manifests, like),
        "parents": {"takes": sorted(manifests)},
    }
    return DatasetBuild(workspace.publish(out, by=by), sorted(manifests), left_out)


def _candidates(
    workspace: Workspace, actor: str, day: datetime.date
) -> list[tuple[str, Manifest, str]]:
    """Return each take of an actor, its manifest, and why it is left out; "" where it is not."""
    candidates = [
        (row.object, workspace.objects.manifest(row.object, "take"))
        for row in workspace.catalog.find("take", actor=actor)
    ]
    # Of a recording that is there twice, the one that more is said of.
    candidates.sort(key=lambda item: (-len(item[1].get("tiers", {})), item[0]))
    rig = _majority_rig(m for _, m in candidates if not refusal_reason(m, "train", day))
    take_by_media: dict[tuple[str, ...], str] = {}
    out = []
    for take, manifest in candidates:
        reason = refusal_reason(manifest, "train", day)
        media, blobs = media_formats(manifest), manifest["blobs"]
        if not reason and "body" not in media:
            if not {"face", "audio"} <= media.keys():
                reason = "it has no body, and no face with its voice"
            elif blobs["rig"] != rig:
                reason = "its face has another rig than most"
        if not reason:
            media_key = tuple(blobs[medium] for medium in media)
            if media_key in take_by_media:
                reason = f"the same recording as {take_by_media[media_key][:12]}"
            else:
                take_by_media[media_key] = take
        out.append((take, manifest, reason))
    return out


def _majority_rig(takes: Iterable[Manifest]) -> str:
    """Return the face rig of most takes that have one with its voice; "" where none has."""
    rigs = Counter(
        take["blobs"]["rig"] for take in takes if {"face", "audio"} <= media_formats(take).keys()
    )
    return min(rigs, key=lambda name: (-rigs[name], name), default="")


def face_rig(workspace: Workspace, dataset: Manifest) -> tuple[str, ...]:
    """Return the channels of a dataset's face rig: that of most of its training takes; () without."""
    takes = (workspace.objects.manifest(take, "take") for take in dataset["splits"]["train"])
    rig = _majority_rig(takes)
    return tuple(workspace.objects.manifest(rig, "rig")["channels"]) if rig else ()


def read_heldout(data: bytes, *, where: str) -> HeldoutRules:
    """Read a file that says what is held out.

    Raises:
        BadInput: it is not {"validation": [pattern, …], "test": [pattern, …]}.
    """
    try:
        heldout = msgspec.json.decode(data, type=dict[str, list[str]])
    except msgspec.DecodeError as error:
        raise BadInput(str(error), where=where, then=_HELD) from None
    if set(heldout) != {"validation", "test"}:
        raise BadInput(
            f"it speaks of {', '.join(sorted(heldout)) or 'nothing'}", where=where, then=_HELD
        )
    return heldout


_HELD = 'write {"validation": ["take-name*"], "test": ["other-*"]}; the rest is for training'


def _joints(bodies: Sequence[Body]) -> tuple[str, ...]:
    """Return the bones that every take has at every tick, hips first."""
    always = np.ones(len(BONES), dtype=bool)
    for body in bodies:
        always &= (body.validity > 0).all(axis=0)
    joints = tuple(bone for bone, present in zip(BONES, always, strict=True) if present)
    if joints[:1] != ("hips",) or len(joints) < 5:
        raise BadInput(f"the takes have only {', '.join(joints) or 'no bone'} in common")
    return joints


def _by_hash(takes: Mapping[str, Manifest], like: Manifest | None) -> dict[str, list[str]]:
    """Return 80/10/10 in the order of the hashes: no choice, the same everywhere."""
    assigned = {split: set() if like is None else set(like["splits"][split]) for split in SPLITS}
    out = {split: sorted(assigned[split] & set(takes)) for split in SPLITS}
    new = set(takes).difference(*assigned.values())
    bodies = [take for take in sorted(new) if "body" in media_formats(takes[take])]
    for order in (bodies, sorted(new - set(bodies))):
        tenth = max(1, round(len(order) / 10))
        out["test"] += order[:tenth]
        out["validation"] += order[tenth : 2 * tenth]
        out["train"] += order[2 * tenth :]
    return {split: sorted(names) for split, names in out.items()}


def _by_name(takes: Mapping[str, Manifest], heldout: HeldoutRules) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for take in sorted(takes, key=lambda take: (takes[take]["name"], take)):
        name = takes[take]["name"]
        fits = (
            split
            for split in ("test", "validation")
            if any(fnmatchcase(name, pattern) for pattern in heldout.get(split, ()))
        )
        splits[next(fits, "train")].append(take)
    empty = [split for split, names in splits.items() if not names]
    if empty:
        raise BadInput(f"no take is left for {', '.join(empty)}")
    return splits


def load_recordings(
    workspace: Workspace, dataset: Manifest, split: str, *media: str
) -> dict[str, Recording]:
    """Return the recordings of a split that have all these media, by take, in the dataset's order."""
    out = {}
    for take in dataset["splits"][split]:
        if set(media) <= media_formats(workspace.objects.manifest(take, "take")).keys():
            out[take] = load_take(workspace, take, media)
    return out


def load_bodies(workspace: Workspace, dataset: Manifest, split: str) -> dict[str, Body]:
    """Return the bodies of a split by take, in the dataset's order."""
    recordings = load_recordings(workspace, dataset, split, "body")
    return {
        take: recording.body for take, recording in recordings.items() if recording.body is not None
    }


def pose_states(spec: FeatureSpec, body: Body) -> Floats:
    """Return the states (T - 1, D) of a body; the first tick has no velocity and is left out."""
    ticks = len(body)
    silence = np.zeros((ticks, SAMPLES_PER_TICK), dtype=np.float32)
    features = FeaturePipeline(spec, listen=False).run(
        body.root, body.rotations, body.validity, silence, silence[:, 0].copy()
    )
    return features.state[1:]
