"""Read one file by its own reader, and join what was recorded on one clock.

A reader is told by a file's first bytes, not by its name alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Protocol

from greenroom.capture.formats.bvh import body_to_motion, read_bvh
from greenroom.capture.formats.deepmimic import read_deepmimic
from greenroom.capture.formats.face_npy import is_face, read_face_npy, to_face
from greenroom.capture.formats.pose_stream import read_pose_stream
from greenroom.capture.formats.wav import Audio, read_audio
from greenroom.capture.packets import BODY_BYTES, is_body
from greenroom.capture.skeleton.mapping import AUTOMATIC, Mapping
from greenroom.capture.skeleton.retarget import humanoid_error, to_body
from greenroom.errors import BadInput
from greenroom.frames import SAMPLE_RATE, TICK_HZ, Body, Face, Motion
from greenroom.plugins import Registry

HEAD = 4096
MEDIA = ("body", "face", "audio")


@dataclass(frozen=True)
class Original:
    """The bytes of one medium as they were handed over.

    Attributes:
        format: the reader's name.
        path: where they came from; a member of an archive is "archive.zip/member".
        data: the bytes.
    """

    format: str
    path: str
    data: bytes


@dataclass(frozen=True)
class Recording:
    """One stretch on one clock as it was handed over, and what we made of it.

    Attributes:
        originals: of each medium that it has, "body", "face" or "audio", in that order.
        seconds: how long its source is, of the first medium.
        motion: the source's own skeleton and rate, for a body.
        body: the humanoid at 30 Hz derived from it.
        face: weights at 30 Hz.
        face_rate: rows a second that the face had; its array does not say it.
        audio: mono 24 kHz.
        facts: what is worth saying of it: frames, rate, unit, error in mm, sample format.
    """

    originals: AnyMapping[str, Original]
    seconds: float
    motion: Motion | None = None
    body: Body | None = None
    face: Face | None = None
    face_rate: float | None = None
    audio: Audio | None = None
    facts: dict[str, str | int | float] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where it came from: the file with the shortest name, which a longer one adds to."""
        return min(
            (original.path for original in self.originals.values()),
            key=lambda path: len(PurePosixPath(path).stem),
        )


def join_media(parts: Sequence[Recording]) -> Recording:
    """Return recordings of different media as one; they were made on one clock."""
    parts = sorted(parts, key=lambda part: min(map(MEDIA.index, part.originals)))
    merged = parts[0]
    for part in parts[1:]:
        merged = Recording(
            {**merged.originals, **part.originals},
            merged.seconds,
            motion=merged.motion or part.motion,
            body=merged.body or part.body,
            face=merged.face or part.face,
            face_rate=merged.face_rate or part.face_rate,
            audio=merged.audio or part.audio,
            facts={**merged.facts, **part.facts},
        )
    return merged


@dataclass(frozen=True)
class Refusal:
    """A file that could not be used, and why, in one line that says what to do."""

    path: str
    reason: str


class Reader(Protocol):
    """One file format.

    Attributes:
        name: as takes record it; a plug-in's is the name of its entry point.
        suffixes: file endings, in lower case.
    """

    name: str
    suffixes: tuple[str, ...]

    def sniff(self, head: bytes, path: str) -> bool:
        """Return whether a file that begins with `head` is of this format."""

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        """Return the recording, or raise BadInput; never another exception."""


def body_recording(
    name: str, data: bytes, motion: Motion, *, where: str, mapping: Mapping
) -> Recording:
    """Return the recording of a body: its motion, and the humanoid at 30 Hz derived from it.

    Args:
        name: of the format.
        data: the file's bytes.
        motion: in metres, +Y up, at the source's own rate.
        where: path of the file, for error messages.
        mapping: names of joints, unit and axes as the person who ingests states them.

    Raises:
        BadInput: no humanoid can be derived from it.
    """
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
    originals = {"body": Original(name, where, data)}
    seconds = len(motion) / motion.rate
    return Recording(originals, seconds, motion=motion, body=body, facts=facts)


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
        return body_recording(self.name, data, motion, where=where, mapping=mapping)


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
        motion = read_deepmimic(data, where=where)
        return body_recording(self.name, data, motion, where=where, mapping=mapping)


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
        seconds = len(audio.samples) / SAMPLE_RATE
        facts: dict[str, str | int | float] = {
            "source_rate": audio.source_rate,
            "channels": audio.channels,
            "subtype": audio.subtype,
            "seconds": round(seconds, 3),
        }
        originals = {"audio": Original(self.name, where, data)}
        return Recording(originals, seconds, audio=audio, facts=facts)


class FaceReader:
    """Face weights as .npy (source → ours: floats, named columns, own rate → (T, B) at 30 Hz)."""

    name = "npy"
    suffixes: tuple[str, ...] = (".npy",)

    def sniff(self, head: bytes, path: str) -> bool:
        """Return whether the file starts as an array of anything but text."""
        return is_face(head)

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        """Return the face; its channels' names, and its rate (30 if unsaid), are the mapping's."""
        rows = read_face_npy(data, where=where)
        rate = mapping.rate or float(TICK_HZ)
        face = to_face(rows, mapping.channels, rate, where=where)
        facts: dict[str, str | int | float] = {
            "face_frames": len(rows),
            "face_rate": rate,
            "face_channels": len(face.channels),
            "face_ticks": len(face),
            "face_missing": round(1 - float(face.validity.mean()), 4),
        }
        originals = {"face": Original(self.name, where, data)}
        return Recording(originals, len(rows) / rate, face=face, face_rate=rate, facts=facts)


class PoseStreamReader:
    """A body that was recorded live (source → ours: it is ours already, with its gaps)."""

    name = "poses"
    suffixes: tuple[str, ...] = (".poses",)

    def sniff(self, head: bytes, path: str) -> bool:
        """Return whether the file starts as a body packet."""
        return is_body(head[:BODY_BYTES])

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        """Return the body; the mapping says nothing about it."""
        body = read_pose_stream(data, where=where)
        missing = round(1 - float((body.validity > 0).mean()), 4)
        facts: dict[str, str | int | float] = {"ticks": len(body), "missing": missing}
        originals = {"body": Original(self.name, where, data)}
        motion, seconds = body_to_motion(body), len(body) / TICK_HZ
        return Recording(originals, seconds, motion=motion, body=body, facts=facts)


class _PlugInReader:
    """A plug-in's reader that fails only as BadInput."""

    def __init__(self, reader: Reader) -> None:
        self.name, self.suffixes, self._reader = reader.name, tuple(reader.suffixes), reader

    def sniff(self, head: bytes, path: str) -> bool:
        try:
            return bool(self._reader.sniff(head, path))
        except Exception as error:  # it may be anybody's code
            _logger.warning("the format '%s' could not look at %s: %r", self.name, path, error)
            return False

    def read(self, data: bytes, where: str, mapping: Mapping) -> Recording:
        try:
            return self._reader.read(data, where, mapping)
        except BadInput:
            raise
        except Exception as error:  # it may be anybody's code
            raise BadInput(
                f"the format '{self.name}' failed: {error!r}",
                where=where,
                then="update the package that has this format",
            ) from error


_logger = logging.getLogger(__name__)
_HERE = "greenroom.capture.readers"
FORMATS: Registry[Callable[[], Reader]] = Registry(
    "greenroom.formats",
    {
        "bvh": f"{_HERE}:BvhReader",
        "deepmimic": f"{_HERE}:DeepMimicReader",
        "audio": f"{_HERE}:AudioReader",
        "npy": f"{_HERE}:FaceReader",
        "poses": f"{_HERE}:PoseStreamReader",
    },
)
"""Name → class of a reader."""


@cache
def readers() -> tuple[Reader, ...]:
    """Return a reader of every format: our own, then those of plug-ins."""
    out = [FORMATS.get(name)() for name in FORMATS.built_in]
    for name, make in FORMATS.installed():
        try:
            reader = _PlugInReader(make())
        except Exception as error:  # it may be anybody's code
            _logger.warning("the format '%s' is ignored: %r; update its package", name, error)
            continue
        if reader.name == name:
            out.append(reader)
        else:
            message = "the format '%s' is ignored: its reader is named '%s'; update its package"
            _logger.warning(message, name, reader.name)
    return tuple(out)


def find_reader(head: bytes, path: str) -> Reader | None:
    """Return the reader for a file, None if there is none.

    >>> reader = find_reader(b"HIERARCHY", "walk.txt")
    >>> reader.name if reader else None
    'bvh'
    """
    return next((reader for reader in readers() if reader.sniff(head[:HEAD], path)), None)


def read_recording(data: bytes, path: str, mapping: Mapping = AUTOMATIC) -> Recording:
    """Return the recording in a file's bytes.

    Raises:
        BadInput: no reader knows it, or its reader refuses it.
    """
    reader = find_reader(data[:HEAD], path)
    if reader is None:
        suffixes = ", ".join(suffix for reader in readers() for suffix in reader.suffixes)
        raise BadInput("no reader knows this file", where=path, then=f"known: {suffixes}")
    return reader.read(data, path, mapping)
