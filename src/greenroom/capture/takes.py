"""Turn recordings into takes, and takes back into recordings.

A take's manifest names the original bytes, the mapping if there was one, and the rights. The humanoid
is derived from the bytes whenever it is needed, so that a better derivation needs no new recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.capture.mapping import AUTOMATIC, Mapping, read_mapping
from greenroom.capture.readers import Recording, Refusal, open_recordings, read_recording
from greenroom.frames import SAMPLES_PER_TICK
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class Ingested:
    """What became of the files that were handed over."""

    takes: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Who:
    """Whose takes they are.

    Attributes:
        actor: the virtual performer.
        participant: the person in the recording; empty if nobody said.
        rights: a record of `greenroom.consent.records`; None quarantines the take.
    """

    actor: str
    participant: str = ""
    rights: dict[str, Any] | None = None


def ingest(
    workspace: Workspace, paths: Sequence[Path], who: Who, by: str, mapping: bytes | None = None
) -> Ingested:
    """Keep every recording under `paths` as a take.

    Args:
        workspace: where.
        paths: files, folders, archives.
        who: in them.
        by: who ingests.
        mapping: a mapping file's bytes, for bodies.
    """
    said = AUTOMATIC if mapping is None else read_mapping(mapping, where="--mapping")
    out = Ingested()
    for path in paths:
        for found in open_recordings(path, said):
            if isinstance(found, Refusal):
                out.refused.append(found)
            else:
                out.takes.append(keep(workspace, found, who, by, mapping))
    return out


def keep(
    workspace: Workspace, recording: Recording, who: Who, by: str, mapping: bytes | None = None
) -> str:
    """Keep one recording as a take; return its hash. The same recording gives the same hash."""
    blobs = {recording.kind: workspace.objects.put(recording.original)}
    if mapping is not None and recording.kind == "body":
        blobs["mapping"] = workspace.objects.put(mapping)
    title = recording.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    manifest = {
        "kind": "take",
        "version": 1,
        "actor": who.actor,
        "name": title.encode("utf-8", "replace").decode(),  # it may hold bytes that are no UTF-8
        "participant": who.participant,
        "rights": who.rights,
        "medium": recording.kind,
        "format": recording.format,
        "ticks": ticks_of(recording),
        "blobs": blobs,
    }
    return workspace.publish(manifest, by=by)


def ticks_of(recording: Recording) -> int:
    """Return how many ticks it lasts."""
    if recording.body is not None:
        return len(recording.body)
    assert recording.audio is not None
    return -(-len(recording.audio.samples) // SAMPLES_PER_TICK)


def load(workspace: Workspace, name: str) -> Recording:
    """Return a take's recording, read anew from its original bytes.

    Raises:
        BadInput: there is no such take.
        CorruptObject: its bytes changed.
    """
    manifest = workspace.objects.manifest(name, "take")
    blobs = manifest["blobs"]
    mapping: Mapping = AUTOMATIC
    if "mapping" in blobs:
        mapping = read_mapping(workspace.objects.get(blobs["mapping"]), where=name[:12])
    data = workspace.objects.get(blobs[manifest["medium"]])
    suffix = {"bvh": ".bvh", "deepmimic": ".txt", "audio": ".wav"}[manifest["format"]]
    return read_recording(data, manifest["name"] + suffix, mapping)
