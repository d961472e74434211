"""Keep bytes under their own hash, so that a name can never come to mean other bytes.

An object is a file `objects/<first two digits>/<the other 62>` whose SHA-256 is its name. A manifest
is an object too: canonical JSON (RFC 8785) that names blobs and parent manifests by hash. Publishing
is atomic and durable: temporary file, fsync, rename, fsync of the folder. Reads hash what they read
and fail closed. The names hash the plaintext, so that encryption at rest can come between the file
and `get` without a change of any name.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import rfc8785

from greenroom.errors import BadInput, CorruptObject, GreenroomError
from greenroom.manifests import Manifest, from_json, kind_of, to_json

_HASH = re.compile(r"[0-9a-f]{64}")
_MANIFEST_LIMIT = 64 * 1024 * 1024

AnyManifest = TypeVar("AnyManifest", bound=Manifest)
Decoded = TypeVar("Decoded")


def digest(data: bytes | memoryview) -> str:
    """Return the SHA-256 of `data` in lower-case hex.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def read_json_file(path: Path) -> Any:
    """Return the content of a person's JSON file.

    Raises:
        BadInput: it cannot be read, is not UTF-8, is no JSON, or is nested too deep.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"not readable as JSON: {error}", where=str(path)) from error
    return decode_json(data, object, where=str(path))


def decode_json(data: bytes, kind: type[Decoded], *, where: str, then: str = "") -> Decoded:
    """Return what a person wrote as JSON, as a value of one type.

    Args:
        data: JSON, UTF-8.
        kind: type of the value; `object` for any.
        where: what to call the data in errors.
        then: an example of what to write, for errors.

    Raises:
        BadInput: it is not UTF-8, no JSON, nested too deep, or of another type.

    >>> decode_json(b'{"a": ["b"]}', dict[str, list[str]], where="file.json")
    {'a': ['b']}
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise BadInput(str(error), where=where, then=then) from error
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise BadInput(f"not readable as JSON: {error}", where=where, then=then) from error


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return JSON in the form of RFC 8785; NaN, infinity and integers beyond ±2⁵³ are refused."""
    try:
        return rfc8785.dumps(cast(Any, fields))
    except rfc8785.CanonicalizationError as error:
        raise BadInput(f"this JSON has no canonical form: {error}") from error


def write_durably(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise GreenroomError(
            f"cannot write: {error.strerror}",
            where=str(path),
            then="name a file"
            if isinstance(error, IsADirectoryError)
            else "free space or mend the disk",
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Objects:
    """Every blob and manifest of one workspace.

    Args:
        root: the folder; made when the first object is put.
    """

    def __init__(self, root: Path) -> None:
        """Keep the folder's path."""
        self.root = root

    def path(self, name: str) -> Path:
        """Return where the object is kept.

        Raises:
            BadInput: `name` is no SHA-256 in hex.
        """
        if not _HASH.fullmatch(name):
            raise BadInput(f"'{name[:80]}' is not an object's hash (64 hexadecimal digits)")
        return self.root / name[:2] / name[2:]

    def __contains__(self, name: str) -> bool:
        """Tell whether the object is here; its bytes are not checked."""
        return self.path(name).is_file()

    def __iter__(self) -> Iterator[str]:
        """Yield the name of every object, sorted."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for file in sorted(folder.iterdir()):
                if _HASH.fullmatch(folder.name + file.name):
                    yield folder.name + file.name

    def put(self, data: bytes | memoryview) -> str:
        """Keep `data`; return its hash. Putting what is already there costs one read."""
        name = digest(data)
        path = self.path(name)
        if path.is_file() and digest(path.read_bytes()) == name:
            return name
        write_durably(path, data)
        return name

    def get(self, name: str) -> bytes:
        """Return the object's bytes, checked against its name.

        Raises:
            BadInput: there is no such object.
            CorruptObject: the bytes do not match.
        """
        path = self.path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise BadInput(
                f"object {name[:12]} is not in this workspace", then="check --home, or ingest it"
            ) from None
        if digest(data) != name:
            raise CorruptObject(
                f"object {name} does not match its hash",
                where=str(path),
                then="restore it from a backup, or run greenroom fsck for the whole list",
            )
        return data

    def put_manifest(self, manifest: Manifest) -> str:
        """Keep a manifest in canonical form; return its hash."""
        return self.put(canonical(to_json(manifest)))

    def read(self, name: str, kind: type[AnyManifest]) -> AnyManifest:
        """Return a manifest of one kind, every field checked.

        Args:
            name: its hash.
            kind: what it must be, such as `Take`.

        Raises:
            BadInput: it is no manifest, of another kind, or a field of it is wrong.
        """
        manifest = self.read_any(name)
        if not isinstance(manifest, kind):
            raise BadInput(f"object {name[:12]} is a {kind_of(manifest)}, not a {kind_of(kind)}")
        return manifest

    def read_any(self, name: str) -> Manifest:
        """Return a manifest of whatever kind, every field checked.

        Raises:
            BadInput: it is no manifest, or a field of it is wrong.
        """
        data = self.get(name)
        try:
            if len(data) > _MANIFEST_LIMIT or not data.startswith(b"{"):
                raise ValueError
            fields = msgspec.json.decode(data)
        except (ValueError, RecursionError, msgspec.DecodeError):
            raise BadInput(f"object {name[:12]} is bytes, not a manifest") from None
        return from_json(fields, name)
