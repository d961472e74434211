"""Open whatever a person hands over, files, folders and archives, and join what lies on one clock.

Files belong together by their names: a body and a sound of one stem in one folder; a face and the
sound whose whole stem ends its own, wherever that lies (`bs_value_07.npy` and `07.wav`). They are one
recording if their lengths agree. One bad recording is a refusal with its reason; it never stops the
rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from greenroom.capture.archive import is_archive, members
from greenroom.capture.formats.face_npy import NAMES_FILES, read_names
from greenroom.capture.readers import (
    HEAD,
    Recording,
    Refusal,
    find_reader,
    join_media,
    read_recording,
    readers,
)
from greenroom.capture.skeleton.mapping import AUTOMATIC, Mapping
from greenroom.errors import BadInput

MAX_FILE = 2 << 30
MAX_BESIDE = 32 << 20
APART_S = 0.25
"""Files whose lengths differ by more were not recorded on one clock."""
LABELS_FILES = ("labels.csv", "labels.json")
_OWN_NAMES = (".names.json", ".names.txt")
_SOUNDS, _FACES, _BODIES = (".wav", ".flac", ".ogg"), (".npy",), (".bvh", ".json", ".txt")

Found = Recording | Refusal


class InputFiles:
    """Everything that was handed over at once: what lies on one clock must lie in it.

    Args:
        paths: files, folders (looked into), archives. In folders and archives what no reader knows
            is passed over; a file named by itself is refused with its reason.
        mapping: what a person says of the sources.

    Attributes:
        names: the path of every file that may be a recording.
    """

    def __init__(self, paths: Sequence[Path], mapping: Mapping = AUTOMATIC) -> None:
        """List what is there; no recording is read yet."""
        self.mapping = mapping
        self.names: list[str] = []
        self._files: dict[str, bool] = {}  # path → whether it was named by itself
        self._members: dict[str, list[str]] = {}  # archive → its members that may be recordings
        self._roots: dict[str, Path] = {}
        self._beside: dict[str, bytes] = {}  # small files of archives, by their whole path
        self._missing: list[Refusal] = []
        for path in paths:
            self._list(path)

    def _list(self, path: Path) -> None:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    if is_archive(file):
                        self._list_archive(file, path)
                    elif _wanted(file.name) and not _helps(file.name):
                        self._add(str(file), path)
                        self._files.setdefault(str(file), False)
        elif not path.is_file():
            reason = f"{path}: there is no such file or folder; check the path"
            self._missing.append(Refusal(str(path), reason))
        elif is_archive(path):
            self._list_archive(path, path.parent)
        elif not _helps(path.name):
            self._add(str(path), path.parent)
            self._files[str(path)] = True

    def _add(self, name: str, root: Path) -> None:
        self.names.append(name)
        self._roots[name] = root

    def _list_archive(self, path: Path, root: Path) -> None:
        if str(path) in self._members:
            return
        recordings: list[str] = []

        def note(name: str) -> bool:
            if _wanted(name) and not _helps(name):
                recordings.append(name)
            return _helps(name)

        try:
            for name, data in members(path, note, max_unpacked=MAX_BESIDE):
                self._beside[f"{path}/{name}"] = data
        except BadInput as error:
            self._missing.append(Refusal(str(path), str(error)))
            return
        self._members[str(path)] = recordings = list(dict.fromkeys(recordings))
        for name in recordings:
            self._add(f"{path}/{name}", root)

    def __iter__(self) -> Iterator[Found]:
        """Yield every recording or refusal: of files, of archives, of what could not be listed."""
        for group in group_by_clock(list(self._files)):
            yield from self._open([(path, self._bytes(path)) for path in group])
        for path, names in self._members.items():
            yield from self._open_archive(path, names)
        yield from self._missing

    def _bytes(self, path: str) -> bytes | BadInput:
        try:
            if os.path.getsize(path) > MAX_FILE:
                return BadInput(f"larger than {MAX_FILE} bytes", where=path, then="split it")
            return Path(path).read_bytes()
        except OSError as error:
            problem = error.strerror or str(error)
            return BadInput(problem, where=path, then="check that it can be read")

    def _open_archive(self, path: str, names: list[str]) -> Iterator[Found]:
        """Read an archive once, in its order; a file waits until its whole group is there."""
        groups = group_by_clock(names)
        group_of = {name: k for k, group in enumerate(groups) for name in group}
        waiting: dict[int, list[tuple[str, bytes | BadInput]]] = {}
        problem = None
        try:
            for name, data in members(Path(path), group_of.__contains__):
                k = group_of[name]
                waiting.setdefault(k, []).append((f"{path}/{name}", data))
                if len(waiting[k]) == len(groups[k]):
                    yield from self._open(waiting.pop(k))
        except BadInput as error:
            problem = Refusal(path, str(error))
        for group in waiting.values():
            yield from self._open(group)
        if problem:
            yield problem

    def _open(self, files: Sequence[tuple[str, bytes | BadInput]]) -> Iterator[Found]:
        """Yield what is in files whose names say that they lie on one clock."""
        parts: list[Recording] = []
        for path, data in files:
            if not isinstance(data, BadInput):
                if not self._files.get(path) and find_reader(data[:HEAD], path) is None:
                    continue
                try:
                    parts.append(read_recording(data, path, self._mapping_of(path)))
                    continue
                except BadInput as error:
                    data = error
            yield Refusal(path, str(data))
        sound = next((part for part in parts if "audio" in part.originals), None)
        if sound is not None:
            same_length = [abs(part.seconds - sound.seconds) <= APART_S for part in parts]
            merged = join_media(
                [part for part, is_near in zip(parts, same_length, strict=True) if is_near]
            )
            parts = [
                merged,
                *(part for part, is_near in zip(parts, same_length, strict=True) if not is_near),
            ]
        yield from parts

    def _mapping_of(self, path: str) -> Mapping:
        """Return the mapping, with the names beside a face where it says none itself."""
        if not path.lower().endswith(_FACES) or self.mapping.channels:
            return self.mapping
        own_names = tuple(PurePosixPath(path).stem + ending for ending in _OWN_NAMES)
        names_file = self.nearest(path, (*own_names, *NAMES_FILES))
        if names_file is None:
            return self.mapping
        names_mapping = read_names(names_file[1], where=names_file[0])
        rate = self.mapping.rate or names_mapping.rate
        return replace(self.mapping, channels=names_mapping.channels, rate=rate)

    def nearest(self, path: str, names: Sequence[str]) -> tuple[str, bytes] | None:
        """Return the nearest file of these names: beside `path`, or in a folder above it.

        It goes up to the folder that was handed over, and one up at the least.

        Args:
            path: one of :attr:`names`.
            names: file names, the first one first.

        Returns:
            Where it lies and its bytes; None if there is none.

        Raises:
            BadInput: it cannot be read.
        """
        folder = Path(path).parent
        folders = [folder]
        while folder not in (self._roots[path], folder.parent):
            folder = folder.parent
            folders.append(folder)
        if len(folders) == 1:
            folders.append(Path(os.path.abspath(folder)).parent)
        for folder in folders:
            for name in names:
                where = str(folder / name)
                if where in self._beside:
                    return where, self._beside[where]
                if os.path.isfile(where):
                    data = self._bytes(where)
                    if isinstance(data, BadInput):
                        raise data
                    return where, data
        return None


def open_recordings(path: Path, mapping: Mapping = AUTOMATIC) -> Iterator[Found]:
    """Yield every recording under one path; see :class:`InputFiles`."""
    return iter(InputFiles([path], mapping))


def _wanted(path: str) -> bool:
    name = PurePosixPath(path).name
    suffixes = tuple(suffix for reader in readers() for suffix in reader.suffixes)
    return not name.startswith(".") and name.lower().endswith(suffixes)


def _helps(path: str) -> bool:
    """Tell whether a file is no recording but names or labels one."""
    name = PurePosixPath(path).name
    return name in (*NAMES_FILES, *LABELS_FILES) or name.endswith(_OWN_NAMES)


def group_by_clock(paths: Sequence[str]) -> list[list[str]]:
    """Group paths by what their names say of the clock; each path is in one group.

    A sound takes at most one body and one face. Two sounds equally near to a face are no answer.

    >>> group_by_clock(["a/w.bvh", "a/w.wav", "f/x_7.npy", "s/7.wav", "t/w.wav"])
    [['a/w.bvh', 'a/w.wav'], ['f/x_7.npy', 's/7.wav'], ['t/w.wav']]
    """
    sounds = [path for path in paths if path.lower().endswith(_SOUNDS)]
    beside: dict[tuple[str, str], str] = {}
    by_stem: dict[str, list[str]] = {}
    for path in sorted(sounds):
        folder, stem = _split(path)
        beside.setdefault((folder, stem), path)
        by_stem.setdefault(stem, []).append(path)
    claims: dict[tuple[str, str], tuple[int, str]] = {}  # (sound, medium) → best (rank, path)
    for path in sorted(paths):
        lower, sound, rank = path.lower(), None, 0
        if lower.endswith(_FACES):
            medium, sound, rank = "face", *_sound_of(path, by_stem)
        elif lower.endswith(_BODIES):
            medium, sound = "body", beside.get(_split(path))
            rank = 0 if lower.endswith(_BODIES[0]) else 1
        if sound is not None:
            key = (sound, medium)
            claims[key] = min(claims.get(key, (rank, path)), (rank, path))
    clock = {path: sound for (sound, _), (_, path) in claims.items()}
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(clock.get(path, path), []).append(path)
    return list(groups.values())


def _split(path: str) -> tuple[str, str]:
    parts = PurePosixPath(path)
    return str(parts.parent), parts.stem


def _sound_of(path: str, by_stem: dict[str, list[str]]) -> tuple[str | None, int]:
    """Return the sound whose stem is the longest end of a face's, and how much longer the face's is."""
    folder, stem = _split(path)
    for cut in range(len(stem)):
        candidates = by_stem.get(stem[cut:]) if cut == 0 or stem[cut - 1] in "_-. " else None
        if candidates:
            shared = [_shared(folder, sound) for sound in candidates]
            nearest = shared.index(max(shared))
            return (candidates[nearest] if shared.count(max(shared)) == 1 else None), cut
    return None, 0


def _shared(folder: str, sound: str) -> int:
    """Return how many folders, from the top, two paths share."""
    pairs = zip(PurePosixPath(folder).parts, PurePosixPath(sound).parent.parts, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
