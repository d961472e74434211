"""Keep recordings as takes; list, describe and export takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import msgspec

from greenroom.capture.annotations import take_tiers
from greenroom.capture.formats.bvh import body_to_motion, write_bvh
from greenroom.capture.formats.face_npy import write_face
from greenroom.capture.ingest import IngestOptions, IngestResult, ingest, load_take
from greenroom.capture.labels import Tiers, read_labels, read_pattern
from greenroom.capture.readers import Recording
from greenroom.clock import TICK_HZ
from greenroom.consent.gate import refusal_reason, require_current, require_rights
from greenroom.consent.records import read_rights
from greenroom.errors import BadInput
from greenroom.manifests import Take, to_json
from greenroom.render.clips import ClipPanel, picture, side_by_side
from greenroom.services.listing import date_text
from greenroom.store.attribution import Attribution, require_actor_name
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace

CLIP_TICKS = 900
"""A drawn clip's length at most: 30 s."""
_PICTURES = (".png", ".webp", ".gif")
_MEDIUM_BY_ENDING = {
    **dict.fromkeys((".bvh", *_PICTURES), "body"),
    ".csv": "face",
    **dict.fromkeys((".wav", ".flac", ".ogg"), "audio"),
}


@dataclass(frozen=True)
class IngestRequest:
    """Recordings to keep.

    Attributes:
        paths: files, folders, archives.
        actor: the virtual performer.
        participant: the person in the recordings; "" for quarantine.
        rights: a licence, or the path of a JSON record; "" for quarantine.
        mapping: file with joint names, unit, up axis; a face's rate and channels.
        labels: CSV or JSON file of labels.
        label_pattern: of file names, such as "x_{style}_{n}".
    """

    paths: Sequence[Path]
    actor: str
    participant: str = ""
    rights: str = ""
    mapping: Path | None = None
    labels: Path | None = None
    label_pattern: str | None = None

    def attribution(self) -> Attribution:
        """Return who is in the recordings, and under which rights.

        Raises:
            BadInput: the actor's name is unusable, or only one of participant and rights is given.
        """
        require_actor_name(self.actor)
        if bool(self.participant) != bool(self.rights):
            raise BadInput(
                "--participant and --rights belong together",
                then="give both, or neither: quarantine",
            )
        if not self.rights:
            return Attribution(self.actor)
        record = read_rights(self.rights, self.participant)
        return Attribution(self.actor, (self.participant,), (record,))

    def options(self) -> IngestOptions:
        """Return the contents of the files that describe the recordings."""
        return IngestOptions(
            self.mapping.read_bytes() if self.mapping else None,
            read_labels(self.labels.read_bytes(), where=str(self.labels)) if self.labels else None,
            read_pattern(self.label_pattern) if self.label_pattern is not None else None,
        )


def ingest_recordings(
    workspace: Workspace, request: IngestRequest, by: str, progress: Callable[[int, int], None]
) -> IngestResult:
    """Keep recordings as takes.

    Args:
        workspace: the workspace.
        request: the recordings.
        by: name for the log.
        progress: called with (recordings read, total); the total is 0 until all are read.

    Raises:
        BadInput: the request cannot be used, or a consent's time is over. A recording that cannot
            be read is in the result.
    """
    attribution, options = request.attribution(), request.options()
    for record in attribution.rights:
        require_current(record, workspace.today())
    progress(0, 0)
    result = ingest(
        workspace,
        request.paths,
        attribution,
        by,
        options=options,
        progress=lambda done: progress(done, 0),
    )
    total = len(result.takes) + len(result.refused)
    progress(total, total)
    return result


class TakeRow(msgspec.Struct, frozen=True):
    """A row of the list of takes.

    Attributes:
        take: its hash.
        date: when it was kept, UTC.
        name: of the recording.
        actor: the virtual performer.
        medium: its media, joined by "+".
        seconds: its length.
        participants: the people in it.
        usable: whether a training may use it today.
        reason: why not; "" where it may.
        tiers: its labels.
    """

    take: str
    date: str
    name: str
    actor: str
    medium: str
    seconds: float
    participants: list[str]
    usable: bool
    reason: str
    tiers: Tiers


def list_takes(workspace: Workspace, actor: str | None = None) -> list[TakeRow]:
    """Return a row per take, in the order in which they were kept.

    Args:
        workspace: the workspace.
        actor: only of this actor; None for all.
    """
    rows, day = [], workspace.today()
    for row in workspace.catalog.find("take", actor=actor):
        manifest = workspace.objects.read(row.object, Take)
        reason = refusal_reason(workspace, row.object, "train", day)
        rows.append(
            TakeRow(
                take=row.object,
                date=date_text(row.at_ns),
                name=row.name,
                actor=row.actor,
                medium="+".join(manifest.formats),
                seconds=round(manifest.clock.ticks / TICK_HZ, 2),
                participants=list(workspace.attributions.of(row.object, row.actor).participants),
                usable=not reason,
                reason=reason,
                tiers=take_tiers(workspace, row.object),
            )
        )
    return rows


class TakeDescription(msgspec.Struct, frozen=True):
    """All that is recorded of a take.

    Attributes:
        take: its hash.
        attribution: who is in it and what they allow, as the log has it.
        manifest: as JSON.
        facts: what its reader measured.
        tiers: its labels.
    """

    take: str
    attribution: dict[str, Any]
    manifest: dict[str, Any]
    facts: dict[str, Any]
    tiers: Tiers


def describe_take(workspace: Workspace, take: str) -> TakeDescription:
    """Return all that is recorded of a take.

    Args:
        workspace: the workspace.
        take: its hash, or the beginning of it.
    """
    name = workspace.resolve(take, "take")
    return TakeDescription(
        take=name,
        attribution=workspace.attributions.of(name).entry(name),
        manifest=to_json(workspace.objects.read(name, Take)),
        facts=load_take(workspace, name).facts,
        tiers=take_tiers(workspace, name),
    )


class TakeExport(msgspec.Struct, frozen=True):
    """A file that was written from a take: the take's hash, and the file's path and size."""

    take: str
    file: str
    bytes: int


def export_take(workspace: Workspace, take: str, file: Path, humanoid: bool) -> TakeExport:
    """Write a body as BVH or as a picture, a face as CSV, a voice as its original bytes.

    Args:
        workspace: the workspace.
        take: its hash, or the beginning of it.
        file: its ending says which medium of several is written, and how.
        humanoid: whether a body is written on the humanoid's skeleton instead of its source's.

    Raises:
        BadInput: the take has no such medium, or the ending does not say which.
        Refused: the take's rights do not cover an export.
    """
    name = workspace.resolve(take, "take")
    media = list(workspace.objects.read(name, Take).formats)
    require_rights(workspace, name, "export", workspace.today())
    ending = file.suffix.lower()
    recording = load_take(workspace, name, (_medium_for(media, file),))
    if ending in _PICTURES:
        data = _draw_body(recording, ending)
    else:
        data = _encode_medium(recording, humanoid)
    write_durably(file, data)
    return TakeExport(name, str(file), len(data))


def _medium_for(media: Sequence[str], file: Path) -> str:
    ending = file.suffix.lower()
    medium = media[0] if len(media) == 1 else _MEDIUM_BY_ENDING.get(ending, "")
    if ending in _PICTURES and "body" not in media:
        raise BadInput(
            f"this take has no body to draw in '{file.name}'", then="end it with .csv or .wav"
        )
    if medium not in media:
        raise BadInput(
            f"this take has {' and '.join(media)}; '{file.name}' does not say which to write",
            then="end the name with .bvh or .webp for a body, .csv for a face, .wav for a voice",
        )
    return medium


def _draw_body(recording: Recording, ending: str) -> bytes:
    """Return a picture of the middle pose, or a clip of the first 30 s."""
    body = recording.body
    assert body is not None
    if ending == ".png":
        return picture(body, len(body) // 2)
    name = PurePath(recording.path).stem
    return side_by_side([ClipPanel(body, name)], (360, 400), ending[1:], most=CLIP_TICKS)


def _encode_medium(recording: Recording, humanoid: bool) -> bytes:
    """Return a body as BVH, a face as CSV, or the original bytes of a voice."""
    if recording.motion is not None and recording.body is not None:
        return write_bvh(body_to_motion(recording.body) if humanoid else recording.motion)
    if recording.face is not None:
        return write_face(recording.face)
    return recording.originals["audio"].data
