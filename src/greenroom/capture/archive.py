"""Look into ZIP, wheel and TAR archives without unpacking them and without trusting them.

Members come one at a time as (path, bytes). A member that climbs out of the archive, a link, an
encrypted one, too many of them or too many bytes end the reading with
:class:`greenroom.errors.BadInput`.
"""

from __future__ import annotations

import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from greenroom.errors import BadInput

MAX_MEMBERS = 100_000
MAX_UNPACKED = 8 << 30
MAX_MEMBER = 1 << 30

Wanted = Callable[[str], bool]


def is_archive(path: Path) -> bool:
    """Return whether a file's name says that it is an archive that we read.

    >>> is_archive(Path("a.ZIP")), is_archive(Path("b.tar.gz")), is_archive(Path("c.bvh"))
    (True, True, False)
    """
    return path.name.lower().endswith((".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.xz"))


def members(
    path: Path, wanted: Wanted = lambda name: True, *, max_unpacked: int = MAX_UNPACKED
) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted members of an archive as (path inside, bytes), in the archive's order.

    Args:
        path: a .zip, .whl, .tar, .tar.gz, .tgz or .tar.xz file.
        wanted: says by its path whether a member is read; unsafe paths are refused all the same.
        max_unpacked: how many bytes all wanted members may have together.

    Raises:
        BadInput: the archive is damaged, encrypted, unsafe or too large.
    """
    try:
        if ".tar" in path.name.lower() or path.name.lower().endswith(".tgz"):
            yield from _tar(path, wanted, max_unpacked)
        else:
            yield from _zip(path, wanted, max_unpacked)
    except (
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
        *(OSError, NotImplementedError, ValueError, RuntimeError),
    ) as error:
        raise BadInput(
            f"not a readable archive ({error})", where=str(path), then="copy or download it again"
        ) from None


def check_member(name: str, where: str) -> None:
    """Refuse a path that leaves the archive's own folder.

    >>> check_member("../x", "a.zip")
    Traceback (most recent call last):
    ...
    greenroom.errors.BadInput: a.zip: member '../x' climbs out of the archive; do not use it
    """
    flat = name.replace("\\", "/")
    drive = len(flat) > 1 and flat[1] == ":"
    if drive or flat.startswith("/") or ".." in PurePosixPath(flat).parts or "\0" in flat:
        raise BadInput(
            f"member {name[:80]!r} climbs out of the archive", where=where, then="do not use it"
        )


class _Budget:
    """Count members and bytes as they are really read, not as the archive declares them."""

    def __init__(self, where: str, limit: int) -> None:
        self.where = where
        self.left = limit
        self.limit = limit
        self.members = 0

    def member(self, name: str) -> None:
        check_member(name, self.where)
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise BadInput(f"more than {MAX_MEMBERS} members", where=self.where, then="split it")

    def read(self, file: IO[bytes], name: str) -> bytes:
        allowed = min(self.left, MAX_MEMBER)
        out = io.BytesIO()
        while block := file.read(1 << 20):
            out.write(block)
            if out.tell() > allowed:
                raise BadInput(
                    f"member {name!r} unpacks beyond the limit of {allowed} bytes",
                    where=self.where,
                    then="unpack it yourself if you trust it",
                )
        self.left -= out.tell()
        return out.getvalue()


def _zip(path: Path, wanted: Wanted, limit: int) -> Iterator[tuple[str, bytes]]:
    where = str(path)
    with zipfile.ZipFile(path) as archive:
        budget = _Budget(where, limit)
        infos = archive.infolist()
        for info in infos:  # all names first: nothing is read from an archive that tries it on
            budget.member(info.filename)
        for info in infos:
            if info.is_dir() or not wanted(info.filename):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise BadInput(f"member {info.filename!r} is a link", where=where, then="remove it")
            if info.flag_bits & 1:
                raise BadInput(
                    f"member {info.filename!r} is encrypted", where=where, then="decrypt it"
                )
            with archive.open(info) as file:
                yield info.filename, budget.read(file, info.filename)


def _tar(path: Path, wanted: Wanted, limit: int) -> Iterator[tuple[str, bytes]]:
    where = str(path)
    with tarfile.open(path, "r:*") as archive:
        budget = _Budget(where, limit)
        for info in archive:
            budget.member(info.name)
            if info.issym() or info.islnk() or info.isdev():
                raise BadInput(
                    f"member {info.name!r} is a link or device", where=where, then="remove it"
                )
            if not info.isfile() or not wanted(info.name):
                continue
            file = archive.extractfile(info)
            if file is not None:
                yield info.name, budget.read(file, info.name)
