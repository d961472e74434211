"""Freeze takes into a dataset: which, in which split, under which feature specification."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from greenroom.capture.annotations import take_tiers
from greenroom.capture.fingerprint import take_fingerprints
from greenroom.capture.ingest import load_take
from greenroom.capture.readers import Recording
from greenroom.consent.gate import merge_rights, refusal_reason
from greenroom.errors import BadInput
from greenroom.features.pipeline import FeaturePipeline, FeatureSpec
from greenroom.frames import BONES, SAMPLES_PER_TICK, Body, Floats
from greenroom.manifests import Dataset, DatasetParents, Rig, Take
from greenroom.store.objects import decode_json
from greenroom.store.workspace import Workspace

SPLITS = ("train", "validation", "test")
MIN_TICKS = 12
LEAST_BODIES = 3
"""Takes with a body that a dataset needs."""
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
    like: Dataset | None = None,
) -> DatasetBuild:
    """Freeze every allowed take of an actor that something can be learned from.

    That is a take with a body, or with a face and the voice that it was recorded with. A recording that
    is there twice, such as with other line ends, is used once; faces on another rig than most are left
    out.

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
    takes, bodies, left_out = _usable(workspace, actor, day)
    if len(bodies) < LEAST_BODIES:
        raise BadInput(
            f"{len(bodies)} take{'' if len(bodies) == 1 else 's'} of '{actor}' with a body may be "
            f"used; {LEAST_BODIES} are needed at least",
            then="ingest more with --participant and --rights",
        )
    spec = _feature_spec(bodies, like)
    names = {take: workspace.attributions.name(take, actor) for take in takes}
    annotations = {name for take in takes for name in workspace.attributions.annotations(take)}
    dataset = Dataset(
        name=name,
        actor=actor,
        features=spec.manifest(),
        feature_spec=spec.hash,
        splits=_by_name(names, heldout) if heldout else _by_hash(takes, like),
        rights=merge_rights(workspace, [], sorted(takes)),
        parents=DatasetParents(takes=sorted(takes), annotations=sorted(annotations)),
    )
    return DatasetBuild(workspace.publish(dataset, by=by), sorted(takes), left_out)


def usable_bodies(workspace: Workspace, actor: str, day: datetime.date) -> int:
    """Return how many takes of an actor a dataset may use that have a body, by their manifests."""
    return sum(
        not reason and "body" in manifest.media and manifest.clock.ticks >= MIN_TICKS
        for _, manifest, reason in _candidates(workspace, actor, day)
    )


def _feature_spec(bodies: list[Body], like: Dataset | None) -> FeatureSpec:
    """Return the features of the joints that bodies have; another dataset's, where they have these."""
    joints = _joints(bodies)
    if like is not None and set(like.features.joints) <= set(joints):
        joints = tuple(like.features.joints)  # else the two models could not be compared
    return FeatureSpec(joints)


def _usable(
    workspace: Workspace, actor: str, day: datetime.date
) -> tuple[dict[str, Take], list[Body], list[dict[str, str]]]:
    """Return the takes that are used, their bodies, and what is left out with its reason."""
    takes: dict[str, Take] = {}
    bodies: list[Body] = []
    left_out = []
    for take, manifest, reason in _candidates(workspace, actor, day):
        body = None
        if not reason and "body" in manifest.media:
            body = load_take(workspace, take, ("body",)).body
        if not reason and manifest.clock.ticks < MIN_TICKS:
            reason = f"it is shorter than {MIN_TICKS} ticks"
        if reason:
            left_out.append({"take": take, "reason": reason})
            continue
        takes[take] = manifest
        if body is not None:
            bodies.append(body)
    return takes, bodies, left_out


def _candidates(
    workspace: Workspace, actor: str, day: datetime.date
) -> list[tuple[str, Take, str]]:
    """Return each take of an actor, its manifest, and why it is left out; "" where it is not."""
    candidates = [
        (row.object, workspace.objects.read(row.object, Take))
        for row in workspace.catalog.find("take", actor=actor)
    ]
    reasons = {take: refusal_reason(workspace, take, "train", day) for take, _ in candidates}
    labels = {take: len(take_tiers(workspace, take)) for take, _ in candidates}
    # Of a recording that is there twice, the take that has more media, then more labels, is used.
    candidates.sort(key=lambda item: (-len(item[1].media), -labels[item[0]], item[0]))
    rig = _majority_rig(manifest for take, manifest in candidates if not reasons[take])
    take_by_content: dict[str, str] = {}
    out = []
    for take, manifest in candidates:
        reason, media = reasons[take], manifest.media
        if not reason and "body" not in media:
            if not {"face", "audio"} <= media.keys():
                reason = "it has no body, and no face with its voice"
            elif manifest.rig != rig:
                reason = "its face has another rig than most"
        if not reason:
            contents = take_fingerprints(workspace, take)
            twins = [take_by_content[each] for each in contents if each in take_by_content]
            if twins:
                reason = f"the same recording as {min(twins)[:12]}"
            else:
                take_by_content |= dict.fromkeys(contents, take)
        out.append((take, manifest, reason))
    return out


def _majority_rig(takes: Iterable[Take]) -> str:
    """Return the face rig of most takes that have one with its voice; "" where none has."""
    rigs = Counter(take.rig for take in takes if {"face", "audio"} <= take.media.keys())
    return min(rigs, key=lambda name: (-rigs[name], name), default="")


def face_rig(workspace: Workspace, dataset: Dataset) -> tuple[str, ...]:
    """Return the channels of a dataset's face rig: that of most of its training takes; () without."""
    takes = (workspace.objects.read(take, Take) for take in dataset.splits["train"])
    rig = _majority_rig(takes)
    return tuple(workspace.objects.read(rig, Rig).channels) if rig else ()


def read_heldout(data: bytes, *, where: str) -> HeldoutRules:
    """Read a file that says what is held out.

    Raises:
        BadInput: it is not {"validation": [pattern, …], "test": [pattern, …]}.
    """
    heldout = decode_json(data, dict[str, list[str]], where=where, then=_HELD)
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


def _by_hash(takes: Mapping[str, Take], like: Dataset | None) -> dict[str, list[str]]:
    """Return 80/10/10 in the order of the hashes: no choice, the same everywhere."""
    assigned = {split: set() if like is None else set(like.splits[split]) for split in SPLITS}
    out = {split: sorted(assigned[split] & set(takes)) for split in SPLITS}
    new = set(takes).difference(*assigned.values())
    bodies = [take for take in sorted(new) if "body" in takes[take].media]
    for order in (bodies, sorted(new - set(bodies))):
        tenth = max(1, round(len(order) / 10))
        out["test"] += order[:tenth]
        out["validation"] += order[tenth : 2 * tenth]
        out["train"] += order[2 * tenth :]
    return {split: sorted(names) for split, names in out.items()}


def _by_name(names: Mapping[str, str], heldout: HeldoutRules) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for take in sorted(names, key=lambda take: (names[take], take)):
        name = names[take]
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
    workspace: Workspace, dataset: Dataset, split: str, *media: str
) -> dict[str, Recording]:
    """Return the recordings of a split that have all these media, by take, in the dataset's order."""
    out = {}
    for take in dataset.splits[split]:
        if set(media) <= workspace.objects.read(take, Take).media.keys():
            out[take] = load_take(workspace, take, media)
    return out


def load_bodies(workspace: Workspace, dataset: Dataset, split: str) -> dict[str, Body]:
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
        body.root,
        body.rotations,
        validity=body.validity,
        audio=silence,
        speech_mask=silence[:, 0].copy(),
    )
    return features.state[1:]
