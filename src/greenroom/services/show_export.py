"""Hand a show, or a stretch of it, to post-production as files that lie beside each other."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.capture.formats.bvh import body_to_motion, write_bvh
from greenroom.capture.formats.glb import write_glb
from greenroom.capture.formats.live_link_csv import write_live_link_csv
from greenroom.capture.formats.vrma import write_vrma
from greenroom.capture.formats.wav import write_broadcast_wav
from greenroom.clock import TICK_HZ
from greenroom.consent.gate import require_rights_of_all, rights_refusal
from greenroom.consent.records import read_rights
from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.live.performance import Performance, read_performance
from greenroom.manifests import Show
from greenroom.render.film import (
    SIZE,
    find_encoder,
    pictures_of,
    png_of,
    read_picture,
    write_mp4,
)
from greenroom.render.mannequin import Picture
from greenroom.store.objects import sync_folder, write_durably
from greenroom.store.workspace import Workspace

Progress = Callable[[int, int], None]


def _voice(performance: Performance, notes: dict[str, Any]) -> bytes:
    description = f"{notes['actor']}, show {notes['show']}, tick {notes['firstTick']}"
    return write_broadcast_wav(performance.voice, performance.timecode, description)


_WRITERS: dict[str, Callable[[Performance, dict[str, Any]], bytes]] = {
    "bvh": lambda p, notes: write_bvh(body_to_motion(p.body)),
    "vrma": lambda p, notes: write_vrma(p.body, p.driven_face, p.timecode, notes),
    "glb": lambda p, notes: write_glb(p.body, p.driven_face, p.timecode, notes),
    "csv": lambda p, notes: write_live_link_csv(p.face, p.timecode),
    "wav": _voice,
}
"""Kinds that are one file of bytes; each needs nothing but the base install."""
KINDS = (*_WRITERS, "png", "mp4")
_ENDINGS = {"png": "_png"}
"""What follows the common beginning of names, where it is not the kind: pictures have a folder."""
DEFAULT_KINDS = ",".join(_WRITERS)
_TIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d(?:\.\d{1,9})?)")


@dataclass(frozen=True)
class ExportedFile:
    """A file, or a folder of pictures, that an export wrote.

    Attributes:
        path: where it is.
        kind: one of `KINDS`.
        frames: how many ticks it covers.
    """

    path: Path
    kind: str
    frames: int

    def json(self) -> dict[str, Any]:
        """Return it as people read it."""
        return {"path": str(self.path), "kind": self.kind, "frames": self.frames}


@dataclass(frozen=True)
class ExportRequest:
    """What of a show is exported, and as what.

    Attributes:
        kinds: of `KINDS`.
        first: first tick; None for the show's first frame.
        last: one past the last tick; None for the show's end.
        participant: whom the live inputs recorded; "" where the show had none.
        rights: what that person allows: a licence, or the path of a JSON record.
    """

    kinds: Sequence[str]
    first: int | None = None
    last: int | None = None
    participant: str = ""
    rights: str = ""


def parse_kinds(text: str) -> tuple[str, ...]:
    """Return the kinds of a list with commas, each once.

    Raises:
        BadInput: one is not known, or there is none.

    >>> parse_kinds("wav, BVH,wav")
    ('wav', 'bvh')
    """
    kinds = dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip())
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(f"a show is not exported as '{kind}'", then=f"give {', '.join(KINDS)}")
    if not kinds:
        raise BadInput("--as names nothing", then=f"give some of {', '.join(KINDS)}")
    return tuple(kinds)


def parse_tick(text: str) -> int:
    """Return a tick, given as itself or as the time from the show's start.

    Raises:
        BadInput: it is neither.

    >>> parse_tick("45"), parse_tick("00:00:01.500"), parse_tick("01:00:00")
    (45, 45, 108000)
    """
    if text.isascii() and text.isdigit():
        return int(text)
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadInput(f"'{text}' is no time", then="give a tick, or HH:MM:SS or HH:MM:SS.mmm")
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    return round(seconds * TICK_HZ)


def export_kind(file: Path) -> str:
    """Return the kind that a file's ending names.

    Raises:
        BadInput: no kind that is one file ends so.
    """
    kind = file.suffix.lower().removeprefix(".")
    if kind not in _WRITERS:
        endings = ", ".join(f".{name}" for name in _WRITERS)
        raise BadInput(f"a show is not exported as '{file.name}'", then=f"end it in {endings}")
    return kind


def export_file(workspace: Workspace, show: str, file: Path) -> int:
    """Write a whole show as one file, of the kind that its ending names; return its size in bytes.

    Args:
        workspace: the workspace.
        show: its hash.
        file: see :func:`export_kind`.

    Raises:
        BadInput: its ending is not known.
        Refused: a take's rights do not cover an export, or the show had live inputs.
    """
    kind = export_kind(file)
    manifest = _permitted(workspace, show)
    performance = read_performance(workspace, show)
    data = _WRITERS[kind](performance, _notes(show, manifest, performance))
    write_durably(file, data)
    return len(data)


def export_show(
    workspace: Workspace,
    show: str,
    folder: Path,
    request: ExportRequest,
    progress: Progress = lambda done, total: None,
) -> list[ExportedFile]:
    """Write a stretch of a show into a folder, a file a kind: all of them, or none.

    Args:
        workspace: the workspace.
        show: its hash, or the beginning of it.
        folder: where they go; it is made.
        request: which ticks, and which kinds.
        progress: called with (pictures drawn, total).

    Raises:
        BadInput: there is no such show, or no such ticks.
        MissingExtra: an MP4 needs `video`.
        Refused: a take's rights, or the given ones of who was heard live, do not cover an export.
        GreenroomError: a kind could not be written; nothing was.
    """
    name = workspace.resolve(show, "show")
    manifest = _permitted(workspace, name, request.participant, request.rights)
    _check_target(folder, request)
    performance = read_performance(workspace, name, request.first, request.last)
    notes = _notes(name, manifest, performance)
    stem = _stem(notes, performance, request)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        paths = {
            kind: staging / f"{stem}{_ENDINGS.get(kind, '.' + kind)}" for kind in request.kinds
        }
        for kind in sorted(
            paths, key=lambda kind: kind == "mp4"
        ):  # it takes the pictures there are
            _write(kind, paths[kind], performance, notes, progress=progress)
        files = [
            ExportedFile(folder / path.name, kind, len(performance)) for kind, path in paths.items()
        ]
        _publish(staging, [file.path for file in files])
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
    return files


def _check_target(folder: Path, request: ExportRequest) -> None:
    """Pass, or raise before anything is read: the files can be written."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"'{folder}' is a file", then="name a folder")
    if "mp4" in request.kinds:
        find_encoder()


def _permitted(workspace: Workspace, show: str, participant: str = "", rights: str = "") -> Show:
    """Return a show's manifest, if who is in its takes and its live inputs allows an export today."""
    manifest = workspace.objects.read(show, Show)
    require_rights_of_all(workspace, manifest.parents.takes, "export")
    if bool(participant) != bool(rights):
        raise BadInput("--participant and --rights belong together", then="give both")
    if rights:
        reason = rights_refusal(read_rights(rights, participant), "export", workspace.today())
    elif manifest.receivers:
        reason = f"nobody recorded what the person of {manifest.receivers[0]} allows"
    else:
        reason = ""
    if reason:
        raise Refused(
            f"show {show[:12]} may not be exported: {reason}",
            then=f"greenroom show export {show[:12]} DIR --participant NAME --rights FILE|LICENCE",
        )
    return manifest


def _notes(show: str, manifest: Show, performance: Performance) -> dict[str, Any]:
    """Return what files say of where they come from."""
    return {
        "show": show,
        "actor": manifest.actor,
        "firstTick": performance.timecode.first,
        "frames": len(performance),
    }


def _stem(notes: dict[str, Any], performance: Performance, request: ExportRequest) -> str:
    """Return what the files' names begin with: actor, date, six digits, and the ticks of a stretch."""
    actor = re.sub(r"[^\w-]+", "-", notes["actor"]).strip("-")[:60] or "actor"
    stem = f"{actor}_{performance.timecode.day.isoformat()}_{notes['show'][:6]}"
    if request.first is None and request.last is None:
        return stem
    first = performance.timecode.first
    return f"{stem}_{first}-{first + len(performance)}"


def _write(
    kind: str, path: Path, performance: Performance, notes: dict[str, Any], progress: Progress
) -> None:
    """Write one kind, or raise an error that names it."""
    try:
        if kind == "mp4":
            drawn = sorted(path.with_name(path.stem + _ENDINGS["png"]).glob("*.png"))
            pictures = map(read_picture, drawn) if drawn else _counted(performance, progress)
            voice = _voice(performance, notes)
            write_mp4(path, pictures, voice, performance.timecode, size=SIZE)
        elif kind == "png":
            stem = path.name.removesuffix(_ENDINGS["png"])
            for tick, picture in enumerate(_counted(performance, progress)):
                data = png_of(picture, performance.timecode.text(tick))
                write_durably(path / f"{stem}_{tick:06}.png", data)
        else:
            write_durably(path, _WRITERS[kind](performance, notes))
    except Exception as error:
        reason = error.what if isinstance(error, GreenroomError) else str(error)
        then = error.then if isinstance(error, GreenroomError) else ""
        raise GreenroomError(
            f"{kind} could not be written: {reason or type(error).__name__}; nothing was", then=then
        ) from error


def _counted(performance: Performance, progress: Progress) -> Iterator[Picture]:
    """Draw and yield the pictures, and tell how many there are so far."""
    for tick, picture in enumerate(pictures_of(performance.body), 1):
        yield picture
        progress(tick, len(performance))


def _publish(staging: Path, paths: Sequence[Path]) -> None:
    """Move what is ready to where it belongs; what was there before goes, and comes back on an error."""
    moved: list[tuple[Path, Path | None]] = []
    try:
        for number, path in enumerate(paths):
            earlier = None
            if path.exists():
                earlier = staging / f"earlier-{number}"
                os.replace(path, earlier)
            moved.append((path, earlier))
            os.replace(staging / path.name, path)
    except OSError as error:
        for path, earlier in reversed(moved):
            if path.exists():
                os.replace(path, staging / path.name)
            if earlier is not None:
                os.replace(earlier, path)
        raise GreenroomError(
            f"cannot write: {error.strerror}; nothing was written", where=str(error.filename)
        ) from error
    sync_folder(staging.parent)
