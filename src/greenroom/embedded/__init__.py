"""The release that ships in the package, and the published clips that the demo performs.

The bundle is objects under their hashes, as in any workspace; installing it puts them into a workspace's
store and records in its log who approved it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greenroom.capture import sample_data
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.config import cache
from greenroom.consent.records import read_rights
from greenroom.manifests import Approval, Dataset, Model, ReleaseManifest, Take
from greenroom.registry.approval import record_approval
from greenroom.registry.promote import live_ref
from greenroom.registry.signing import add_package_key, keys_of
from greenroom.store.attribution import Attribution
from greenroom.store.objects import Objects
from greenroom.store.workspace import Workspace

FOLDER = Path(__file__).parent
ACTOR = "mira"
_CLIP = "humanoid3d_"
TEST = tuple(_CLIP + name for name in ("dance_b", "punch", "walk", "kick"))
VALIDATION = tuple(_CLIP + name for name in ("jump", "spinkick", "getup_faceup"))
HELD = {"test": TEST, "validation": VALIDATION}
"""Clips that the embedded release was not trained on; on `test` nothing was chosen either."""


def ingest_clips(workspace: Workspace, by: str) -> dict[str, str]:
    """Keep the published clips as takes; return {clip name: take hash}."""
    out = {}
    for clip in sample_data.clips(cache()):
        participant = "deepmimic" if clip.kind == "body" else "phonlab"
        rights = read_rights(clip.licence, participant)
        recording = read_recording(clip.data, clip.path)
        out[clip.name] = store_take(
            workspace, recording, Attribution(ACTOR, (participant,), (rights,)), by
        )
    return out


def _closure(workspace: Workspace, release: str) -> Iterator[str]:
    """Yield the release, what it was made from down to the takes' manifests, and the models' blobs."""
    stack = [release]
    while stack:
        name = stack.pop()
        yield name
        manifest = workspace.objects.read_any(name)
        if not isinstance(manifest, Take):
            yield from manifest.blob_hashes()
            stack.extend(manifest.parent_hashes())


def _dataset(workspace: Workspace, release: str) -> Dataset:
    """Return the dataset that a release was trained on."""
    model = workspace.objects.read(release, ReleaseManifest).parents.model
    return workspace.objects.read(workspace.objects.read(model, Model).parents.dataset, Dataset)


def pack(workspace: Workspace, release: str, folder: Path = FOLDER) -> None:
    """Write a release and everything it names into the package."""
    shutil.rmtree(folder / "objects", ignore_errors=True)
    bundle = Objects(folder / "objects")
    for name in _closure(workspace, release):
        bundle.put(workspace.objects.get(name))
    approvals = [
        e.body["approval"]
        for e in workspace.log.entries()
        if e.event == "approve" and e.body["release"] == release
    ]
    keys = keys_of(workspace)
    signers = [keys[workspace.objects.read(name, Approval).key] for name in approvals]
    for name in approvals:
        bundle.put(workspace.objects.get(name))
    order = {
        "release": release,
        "approvals": approvals,
        "names": {
            take: workspace.attributions.name(take, ACTOR)
            for take in _dataset(workspace, release).parents.takes
        },
        "keys": [{"public": key.public, "owner": key.owner} for key in signers],
    }
    (folder / "release.json").write_bytes(msgspec.json.encode(order) + b"\n")


def install(workspace: Workspace, by: str = "greenroom") -> str:
    """Put the embedded release into a workspace; return its hash. Safe to repeat."""
    order = msgspec.json.decode((FOLDER / "release.json").read_bytes())
    release: str = order["release"]
    bundle = Objects(FOLDER / "objects")
    for name in bundle:
        workspace.objects.put(bundle.get(name))
    manifest = bundle.read(release, ReleaseManifest)
    model = manifest.parents.model
    for name in (bundle.read(model, Model).parents.dataset, model, release):
        workspace.publish(bundle.read_any(name), by=by)
    for key in order["keys"]:
        add_package_key(workspace, key["public"], key["owner"], by)
    for approval in order["approvals"]:
        signed = bundle.read(approval, Approval)
        workspace.publish(signed, by=by)
        if not any(
            e.event == "approve" and e.body["approval"] == approval for e in workspace.log.entries()
        ):
            record_approval(workspace, release, approval, by=signed.statement.by)
    if workspace.log.ref(live_ref(ACTOR)) is None:
        workspace.log.move(live_ref(ACTOR), release, expect=None, by=by)
    return release


def embedded_card(workspace: Workspace, release: str) -> str:
    """Return the card of the packed release, written from its manifests and the names of its takes."""
    names_by_take = msgspec.json.decode((FOLDER / "release.json").read_bytes())["names"]
    manifest = workspace.objects.read(release, ReleaseManifest)
    model = workspace.objects.read(manifest.parents.model, Model)
    data = _dataset(workspace, release)
    figures = model.figures
    takes = {
        split: ", ".join(sorted(names_by_take[take].removeprefix(_CLIP) for take in names))
        for split, names in data.splits.items()
    }
    rights = ", ".join(f"{r.licence} ({r.participant})" for r in manifest.rights)
    return f"""# The embedded release

Written from the manifests by `runs/embedded.py`, the script that made it.

| | |
|---|---|
| release | `{release}` |
| model | `{manifest.parents.model}` |
| dataset | `{model.parents.dataset}` |
| actor | {manifest.actor} |
| preset | {model.preset}, {model.parameters:,} numbers, the closed form's counted |
| rights | {rights} |
| drives | {", ".join(model.features.joints)} |
| driven by speech | {"yes" if model.uses_speech else "no: motion and speech were never recorded together"} |

| clips | |
|---|---|
| training | {takes["train"]}, and their mirror images |
| validation (weight of the residual, calibration) | {takes["validation"]} |
| test (nothing was chosen on them) | {takes["test"]} |

## On the {int(figures["test_takes"])} test clips
A limb is removed for 0.5 s, each of four, all along the clips ({int(figures["test_windows"])} windows); mean
geodesic error of its joints in degrees:

| holding the last pose | closed-form core | model |
|---|---|---|
| {figures["test_limb_hold_degrees"]:.2f} | {figures["test_limb_core_degrees"]:.2f} | {figures["test_limb_model_degrees"]:.2f} |

With everything captured its mean confidence is {manifest.reference.confidence_mean:.3f}.

## Limits
It has seen 15 short acrobatic clips, half a minute in all: its gain over holding is small, and what it does
without capture is plausible in speed, not in meaning. Its confidence is calibrated on three clips. The feet
may slide. It has no face, hands or fingers. It is for showing that the whole works, not for a stage.
"""
