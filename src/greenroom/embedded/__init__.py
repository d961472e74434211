"""The release that ships in the package, and the published clips that the demo performs.

The bundle is objects under their hashes, as in any workspace; installing it puts them into a workspace's
store and records in its log who approved it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greenroom.capture import published
from greenroom.capture.readers import read_recording
from greenroom.capture.takes import Who, keep
from greenroom.config import cache
from greenroom.consent.records import read_rights
from greenroom.registry.promote import live_ref
from greenroom.registry.release import approver
from greenroom.store.catalog import blobs_of, parents_of
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
    for clip in published.clips(cache()):
        participant = "deepmimic" if clip.kind == "body" else "phonlab"
        rights = read_rights(clip.licence, participant)
        recording = read_recording(clip.data, clip.path)
        out[clip.name] = keep(workspace, recording, Who(ACTOR, participant, rights), by)
    return out


def _closure(workspace: Workspace, release: str) -> Iterator[str]:
    """Yield the release, what it was made from down to the takes' manifests, and the models' blobs."""
    stack = [release]
    while stack:
        name = stack.pop()
        yield name
        manifest = workspace.objects.manifest(name)
        if manifest["kind"] != "take":
            yield from blobs_of(manifest)
            stack.extend(parents_of(manifest))


def pack(workspace: Workspace, release: str, folder: Path = FOLDER) -> None:
    """Write a release and everything it names into the package."""
    shutil.rmtree(folder / "objects", ignore_errors=True)
    bundle = Objects(folder / "objects")
    for name in _closure(workspace, release):
        bundle.put(workspace.objects.get(name))
    order = {"release": release, "approved_by": approver(workspace, release)}
    (folder / "release.json").write_bytes(msgspec.json.encode(order) + b"\n")


def install(workspace: Workspace, by: str = "greenroom") -> str:
    """Put the embedded release into a workspace; return its hash. Safe to repeat."""
    order = msgspec.json.decode((FOLDER / "release.json").read_bytes())
    release: str = order["release"]
    bundle = Objects(FOLDER / "objects")
    for name in bundle:
        workspace.objects.put(bundle.get(name))
    manifest = bundle.manifest(release, "release")
    model = manifest["parents"]["model"]
    for name in (bundle.manifest(model)["parents"]["dataset"], model, release):
        workspace.publish(bundle.manifest(name), by=by)
    if approver(workspace, release) is None:
        body = {"release": release, "model": model}
        workspace.log.append("approve", body, by=order["approved_by"])
    if workspace.log.ref(live_ref(ACTOR)) is None:
        workspace.log.move(live_ref(ACTOR), release, expect=None, by=by)
    return release
