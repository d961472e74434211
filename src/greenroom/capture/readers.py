"""Open whatever a person hands over, file, folder or archive, each recording by its own reader.

A reader is told by a file's first bytes, not by its name alone. One bad recording is a refusal with
its reason; it never stops the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from greenroom.capture.archive import is_archive, members
from greenroom.capture.bvh import read_bvh
from greenroom.capture.deepmimic import read_deepmimic
from greenroom.capture.mapping import AUTOMATIC, Mapping
from greenroom.capture.retarget import humanoid_error, to_body
from greenroom.capture.wav import Audio, read_audio
from greenroom.errors import BadInput
from greenroom.frames import Body, Motion

HEAD = 4096
MAX_FILE = 2 << 30


@dataclass(frozen=True)
class Recording:
    """One stretch as it was handed over, and what we made of it.

    Attributes:
        kind: "body" or "audio".
        format: the reader's name.
        path: where it came from; a member of an archive is "archive.zip/member".
        original: the bytes as they were.
        motion: the source's own skeleton and rate, for a body.
        body: the humanoid at 30 Hz derived from it.
        audio: mono 24 kHz, for audio.
        facts: what is worth saying of it: frames, rate, unit, error in mm, sample format.
    """

    kind: str
    format: str
    path: str
    original: bytes
    motion: Motion | None = None
    body: Body | None = None
    audio: Audio | None = None
    facts: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """A file that could not be used, and why, in one line that says what to do."""

    path: str
    reason: str


class Reader(Protocol):
    """One format. ``name`` is what we call it, ``suffixes`` are its file endings, in lower case."""

    name: str
    suffixes: tuple[str, ...]

    def sniff(self, head: bytes, path: str) -> bool:
        """Return whether a file that begins with `head` is of this format."""

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        """Return the recording, or raise BadInput; never another exception."""


def _body_recording(
    name: str, data: bytes, motion: Motion, where: str, mapping: Mapping
) -> Recording:
    body = to_body(motion, mapping, where=where)
    error = humanoid_error(motion, body, mapping)
    facts: dict[str, str | int | float] = {
        "frames": len(motion),
        "rate": motion.rate,
        "joints": len(motion.skeleton.names),
        "metres_per_unit": motion.metres_per_unit,
        "ticks": len(body),
        "humanoid_error_mm_mean": round(error.mean, 3),
        "humanoid_error_mm_max": round(error.worst, 3),
    }
    return Recording("body", name, where, data, motion=motion, body=body, facts=facts)


class BvhReader:
    """BVH (source → ours: degrees → quaternions, unit → metres, any axes → +Y up, 30 Hz)."""

    name = "bvh"
    suffixes: tuple[str, ...] = (".bvh",)

    def sniff(self, head: bytes, path: str) -> bool:
        """Return whether the file starts with HIERARCHY, or is named .bvh."""
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:9].upper()
        return start == b"HIERARCHY" or path.lower().endswith(self.suffixes)

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        """Return the body of a BVH file."""
        motion = read_bvh(data, where=where, metres_per_unit=mapping.unit)
        return _body_recording(self.name, data, motion, where, mapping)


class DeepMimicReader:
    """DeepMimic text (source → ours: +X ahead → +Z, w first → xyzw, durations → 30 Hz)."""

    name = "deepmimic"
    suffixes: tuple[str, ...] = (".txt", ".json")

    def sniff(self, head: bytes, path: str) -> bool:
        """Return whether the file is an object with Frames of numbers near its start."""
        return (
            path.lower().endswith(self.suffixes)
            and head.lstrip()[:1] == b"{"
            and b'"Frames"' in head
            and (b'"Loop"' in head or b"[" in head.partition(b'"Frames"')[2])
        )

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        """Return the body of a DeepMimic clip."""
        return _body_recording(self.name, data, read_deepmimic(data, where=where), where, mapping)


class AudioReader:
    """WAV, FLAC, OGG (source → ours: any rate, channels, sample format → 24 kHz mono float32)."""

    name = "audio"
    suffixes: tuple[str, ...] = (".wav", ".flac", ".ogg")

    def sniff(self, head: bytes, path: str) -> bool:
        """Return whether the file starts as RIFF WAVE, RF64, FLAC or OGG, or is named so."""
        wave = head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"
        return wave or head[:4] in (b"fLaC", b"OggS") or path.lower().endswith(self.suffixes)

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        """Return the sound; the mapping says nothing about it."""
        audio = read_audio(data, where=where)
        facts: dict[str, str | int | float] = {
            "source_rate": audio.source_rate,
            "channels": audio.channels,
            "subtype": audio.subtype,
            "seconds": round(len(audio.samples) / 24_000, 3),
        }
        return Recording("audio", self.name, where, data, audio=audio, facts=facts)


READERS: tuple[Reader, ...] = (BvhReader(), DeepMimicReader(), AudioReader())


def reader_of(head: bytes, path: str) -> Reader | None:
    """Return the reader for a file, None if there is none.

    >>> reader = reader_of(b"HIERARCHY", "walk.txt")
    >>> reader.name if reader else None
    'bvh'
    """
    return next((reader for reader in READERS if reader.sniff(head[:HEAD], path)), None)


def read_recording(data: bytes, path: str, mapping: Mapping = AUTOMATIC) -> Recording:
    """Return the recording in a file's bytes.

    Raises:
        BadInput: no reader knows it, or its reader refuses it.
    """
    reader = reader_of(data[:HEAD], path)
    if reader is None:
        known = ", ".join(suffix for reader in READERS for suffix in reader.suffixes)
        raise BadInput("no reader knows this file", where=path, then=f"known: {known}")
    return reader.read(data, path, mapping)


def _wanted(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    known = tuple(suffix for reader in READERS for suffix in reader.suffixes)
    return not name.startswith(".") and name.lower().endswith(known)


def open_recordings(path: Path, mapping: Mapping = AUTOMATIC) -> Iterator[Recording | Refusal]:
    """Yield every recording under a path, sorted in folders, in their own order in archives.

    In folders and archives, files that no reader knows are passed over; a file named by itself is
    refused with its reason.

    Args:
        path: a file, a folder (looked into), or an archive.
        mapping: what a person says of the joints, for every body.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if (
                file.is_file()
                and not file.is_symlink()
                and (is_archive(file) or _wanted(file.name))
            ):
                yield from _open_file(file, mapping, alone=False)
    elif path.is_file():
        yield from _open_file(path, mapping, alone=True)
    else:
        yield Refusal(str(path), f"{path}: there is no such file or folder; check the path")


def _open_file(path: Path, mapping: Mapping, *, alone: bool) -> Iterator[Recording | Refusal]:
    try:
        if is_archive(path):
            for name, data in members(path, _wanted):
                yield from _one(data, f"{path}/{name}", mapping, alone=False)
        elif path.stat().st_size > MAX_FILE:
            yield Refusal(str(path), f"{path}: larger than {MAX_FILE} bytes; split it")
        else:
            yield from _one(path.read_bytes(), str(path), mapping, alone=alone)
    except BadInput as error:
        yield Refusal(str(path), str(error))
    except OSError as error:
        yield Refusal(str(path), f"{path}: {error.strerror or error}; check that it can be read")


def _one(data: bytes, path: str, mapping: Mapping, *, alone: bool) -> Iterator[Recording | Refusal]:
    if not alone and reader_of(data[:HEAD], path) is None:
        return
    try:
        yield read_recording(data, path, mapping)
    except BadInput as error:
        yield Refusal(path, str(error))
