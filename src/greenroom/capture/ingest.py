"""Turn recordings into takes, and takes back into recordings.

A take's manifest names the original bytes of each medium, the mapping if there was one, the labels and
the rights. The humanoid and the face at 30 Hz are derived from the bytes whenever they are needed, so
that a better derivation needs no new recording.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from greenroom.capture.discovery import LABELS_FILES, InputFiles
from greenroom.capture.labels import Labels, Pattern, Tiers, read_labels
from greenroom.capture.readers import MEDIA, READERS, Recording, Refusal, join_media
from greenroom.capture.skeleton.mapping import AUTOMATIC, Mapping, read_mapping
from greenroom.errors import BadInput, GreenroomError
from greenroom.frames import SAMPLES_PER_TICK
from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class IngestResult:
    """What became of the files that were handed over.

    Attributes:
        takes: hashes.
        refused: files that could not be used.
        notes: what a person may want to look at, a sentence each.
    """

    takes: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class IngestOptions:
    """What a person says of the files beside what is in them.

    Attributes:
        mapping: a mapping file's bytes; None without one.
        labels: a labels file that was named; None for those that lie beside the recordings.
        pattern: what the files' names say; a labels file's word comes before it.
    """

    mapping: bytes | None = None
    labels: Labels | None = None
    pattern: Pattern | None = None


@dataclass(frozen=True)
class Attribution:
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
    workspace: Workspace,
    paths: Sequence[Path],
    attribution: Attribution,
    by: str,
    options: IngestOptions | None = None,
) -> IngestResult:
    """Keep every recording under `paths` as a take; files on one clock are one take.

    Args:
        workspace: where.
        paths: files, folders, archives.
        attribution: in them.
        by: who ingests.
        options: a mapping, labels.

    Raises:
        BadInput: the mapping is wrong, or the labels or the pattern speak of none of the files.
    """
    options = options or IngestOptions()
    mapping = (
        AUTOMATIC if options.mapping is None else read_mapping(options.mapping, where="--mapping")
    )
    handed = InputFiles(paths, mapping)
    tiers = _LabelResolver(handed, options)
    out = IngestResult()
    for recording in handed:
        if isinstance(recording, Recording):
            try:
                labels = tiers.of(recording)
                out.takes.append(
                    store_take(workspace, recording, attribution, by, options.mapping, labels)
                )
            except BadInput as error:
                out.refused.append(Refusal(recording.path, str(error)))
            except OSError as error:
                raise GreenroomError(
                    f"{error.strerror or error}: {len(out.takes)} takes were kept before it",
                    where=recording.path,
                    then="mend the disk and ingest the same again: what was kept is recognised",
                ) from error
        else:
            out.refused.append(recording)
    out.notes.extend(tiers.notes())
    return out


class _LabelResolver:
    """Find what labels files and file names say of each recording of one ingest."""

    def __init__(self, handed: InputFiles, options: IngestOptions) -> None:
        self.handed, self.options = handed, options
        self.files: dict[str, Labels] = {}
        self.meant: dict[str, set[str]] = {}
        self.without: list[str] = []  # recordings that the pattern does not fit
        labels, pattern = options.labels, options.pattern
        if handed.names and labels and not labels.meant(handed.names):
            then = (
                f"call a take by its file's stem, such as {PurePosixPath(handed.names[0]).stem!r}"
            )
            raise BadInput("it speaks of none of these recordings", where=labels.where, then=then)
        if handed.names and pattern and not any(pattern.of([name]) for name in handed.names):
            then = f"a name is such as {PurePosixPath(handed.names[0]).stem!r}"
            raise BadInput(f"no file's name fits --label-pattern {pattern.text!r}", then=then)

    def of(self, recording: Recording) -> Tiers:
        paths = [recording.path, *(original.path for original in recording.originals.values())]
        out: Tiers = {}
        if self.options.pattern:
            out = self.options.pattern.of(paths)
            if not out:
                self.without.append(recording.path)
        labels = self.options.labels or self._beside(recording.path)
        if labels:
            self.files[labels.where] = labels
            self.meant.setdefault(labels.where, set()).update(labels.meant(paths))
            out |= labels.of(paths, duration_ticks(recording))
        return out

    def _beside(self, path: str) -> Labels | None:
        labels_file = self.handed.nearest(path, LABELS_FILES)
        if labels_file is None:
            return None
        where, data = labels_file
        return self.files.get(where) or read_labels(data, where=where)

    def notes(self) -> Iterator[str]:
        for where, labels in self.files.items():
            lost = sorted(set(labels.labels_by_take) - self.meant[where])
            if lost:
                yield f"{where}: no recording here for {_some(lost)}"
        if self.without:
            yield f"--label-pattern does not fit {_some(self.without)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def store_take(
    workspace: Workspace,
    recording: Recording,
    attribution: Attribution,
    by: str,
    mapping: bytes | None = None,
    tiers: Tiers | None = None,
) -> str:
    """Keep one recording as a take; return its hash. The same recording gives the same hash.

    Args:
        workspace: where.
        recording: with one medium or several.
        attribution: in it.
        by: who keeps it.
        mapping: a mapping file's bytes, for a body.
        tiers: its labels; the same recording with others is another take.
    """
    originals = recording.originals
    blobs = {medium: workspace.objects.put(original.data) for medium, original in originals.items()}
    formats = {medium: original.format for medium, original in originals.items()}
    if mapping is not None and "body" in originals:
        blobs["mapping"] = workspace.objects.put(mapping)
    title = PurePosixPath(recording.path).stem
    manifest: Manifest = {
        "kind": "take",
        "version": 1,
        "actor": attribution.actor,
        "name": title.encode("utf-8", "replace").decode(),  # it may hold bytes that are no UTF-8
        "participant": attribution.participant,
        "rights": attribution.rights,
        "ticks": duration_ticks(recording),
        "blobs": blobs,
    }
    if len(formats) == 1:
        ((manifest["medium"], manifest["format"]),) = formats.items()
    else:
        manifest |= {"version": 2, "media": formats}
    if recording.face is not None:
        rig = {"kind": "rig", "version": 1, "channels": list(recording.face.channels)}
        blobs["rig"] = workspace.objects.put_manifest(rig)
        manifest["face_rate"] = recording.face_rate
    if tiers:
        manifest["tiers"] = tiers
    return workspace.publish(manifest, by=by)


def duration_ticks(recording: Recording) -> int:
    """Return how many ticks it lasts: its body, else its face, else its sound."""
    if recording.body is not None:
        return len(recording.body)
    if recording.face is not None:
        return len(recording.face)
    assert recording.audio is not None
    return -(-len(recording.audio.samples) // SAMPLES_PER_TICK)


def media_formats(manifest: Manifest) -> dict[str, str]:
    """Return the format of each medium that a take has: body, face, audio, in this order.

    >>> media_formats({"medium": "body", "format": "bvh"})
    {'body': 'bvh'}
    """
    several: dict[str, str] | None = manifest.get("media")
    media = several or {manifest["medium"]: manifest["format"]}
    return {medium: media[medium] for medium in MEDIA if medium in media}


def load_take(workspace: Workspace, name: str, only: Collection[str] = MEDIA) -> Recording:
    """Return a take's recording, read anew from its original bytes.

    Args:
        workspace: where it is.
        name: its hash.
        only: which media to read; those that it does not have are passed over.

    Raises:
        BadInput: there is no such take, or it has none of these media.
        CorruptObject: its bytes changed.
    """
    manifest = workspace.objects.manifest(name, "take")
    media = {
        medium: format_name
        for medium, format_name in media_formats(manifest).items()
        if medium in only
    }
    if not media:
        raise BadInput(f"take {name[:12]} has no {' or '.join(only)}", then="give another take")
    blobs = manifest["blobs"]
    mapping: Mapping = AUTOMATIC
    if "mapping" in blobs:
        mapping = read_mapping(workspace.objects.get(blobs["mapping"]), where=name[:12])
    if "face" in media:
        channels = workspace.objects.manifest(blobs["rig"], "rig")["channels"]
        mapping = replace(mapping, channels=tuple(channels), rate=manifest["face_rate"])
    readers = {reader.name: reader for reader in READERS}
    parts = []
    for medium, format_name in media.items():
        if format_name not in readers:
            raise BadInput(
                f"no reader for '{format_name}'", where=name[:12], then="update Greenroom"
            )
        data = workspace.objects.get(blobs[medium])
        parts.append(readers[format_name].read(data, manifest["name"], mapping))
    return join_media(parts)
