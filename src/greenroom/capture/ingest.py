"""Turn recordings into takes, and takes back into recordings.

A take's manifest names the original bytes of each medium, and the mapping if there was one; the log says
whose it is, and labels are annotations. The humanoid and the face at 30 Hz are derived from the bytes
whenever they are needed, so that a better derivation needs no new recording.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from greenroom.capture.annotations import annotate
from greenroom.capture.discovery import LABELS_FILES, InputFiles
from greenroom.capture.labels import Labels, Pattern, Tiers, read_labels
from greenroom.capture.readers import MEDIA, Recording, Refusal, join_media, readers
from greenroom.capture.skeleton.mapping import AUTOMATIC, Mapping, read_mapping
from greenroom.errors import BadInput, GreenroomError
from greenroom.frames import SAMPLES_PER_TICK
from greenroom.manifests import Medium, Rig, Take, TakeClock
from greenroom.store.attribution import Attribution
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


def ingest(
    workspace: Workspace,
    paths: Sequence[Path],
    attribution: Attribution,
    by: str,
    options: IngestOptions | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> IngestResult:
    """Keep every recording under `paths` as a take; files on one clock are one take.

    Args:
        workspace: where.
        paths: files, folders, archives.
        attribution: actor, participants and rights of all of them.
        by: who ingests.
        options: a mapping, labels.
        progress: called with how many recordings were read.

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
    for done, recording in enumerate(handed):
        progress(done)
        if isinstance(recording, Recording):
            try:
                labels = tiers.of(recording)
                take = store_take(
                    workspace, recording, attribution, by, mapping=options.mapping, tiers=labels
                )
                out.takes.append(take)
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
    """Keep one recording as a take, and whose it is in the log; return the take's hash.

    The same recording gives the same hash, whoever is in it, whatever they allow and however it is
    labelled.

    Args:
        workspace: where.
        recording: one medium or several, on one clock.
        attribution: actor, participants and rights; its name is the file's stem where it has none.
        by: who keeps it.
        mapping: a mapping file's bytes, for a body.
        tiers: labels; they become an annotation of the take.
    """
    store_blob = workspace.objects.put
    rates = {"face": recording.face_rate} if recording.face is not None else {}
    media = {
        medium: Medium(
            format=original.format,
            blob=store_blob(original.data),
            rate=float(rates.get(medium) or 0),
        )
        for medium, original in recording.originals.items()
    }
    rig = ""
    if recording.face is not None:
        channels = list(recording.face.channels)
        rig = workspace.objects.put_manifest(Rig(channels=channels))
    take = Take(
        media=media,
        clock=TakeClock(ticks=duration_ticks(recording)),
        mapping=store_blob(mapping) if mapping is not None and "body" in media else "",
        rig=rig,
    )
    name = workspace.publish(take, by=by)
    if not attribution.name:
        title = PurePosixPath(recording.path).stem  # it may hold bytes that are no UTF-8
        attribution = replace(attribution, name=title.encode("utf-8", "replace").decode())
    workspace.attributions.ingest(name, attribution, by)
    if tiers:
        annotate(workspace, name, tiers, by)
    return name


def duration_ticks(recording: Recording) -> int:
    """Return how many ticks it lasts: its body, else its face, else its sound."""
    if recording.body is not None:
        return len(recording.body)
    if recording.face is not None:
        return len(recording.face)
    assert recording.audio is not None
    return -(-len(recording.audio.samples) // SAMPLES_PER_TICK)


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
    manifest = workspace.objects.read(name, Take)
    media = {medium: each for medium, each in manifest.media.items() if medium in only}
    if not media:
        raise BadInput(f"take {name[:12]} has no {' or '.join(only)}", then="give another take")
    mapping: Mapping = AUTOMATIC
    if manifest.mapping:
        mapping = read_mapping(workspace.objects.get(manifest.mapping), where=name[:12])
    if "face" in media:
        channels = workspace.objects.read(manifest.rig, Rig).channels
        mapping = replace(mapping, channels=tuple(channels), rate=media["face"].rate)
    by_name = {reader.name: reader for reader in readers()}
    title = workspace.attributions.name(name)
    parts = []
    for medium in (each for each in MEDIA if each in media):
        format_name = media[medium].format
        if format_name not in by_name:
            raise BadInput(
                f"no reader for the format '{format_name}'",
                where=name[:12],
                then="update Greenroom, or install the plug-in that has it",
            )
        data = workspace.objects.get(media[medium].blob)
        parts.append(by_name[format_name].read(data, title, mapping))
    return join_media(parts)
