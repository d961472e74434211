"""Fetch, once, the published wheels that carry real motion and real speech, so that a demo is real.

Each wheel is pinned by SHA-256, downloaded without its dependencies, never installed, and read as
an archive. Only speech is taken from phonlab: no noise, no lone fricatives; its ``mono`` and
``stereo`` files are ``im_twelve`` again and are left out.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from greenroom.capture.archive import members
from greenroom.errors import BadInput

TIMEOUT_S = 900


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel.

    Attributes:
        project: what pip calls it.
        version: exactly.
        file: the wheel's file name.
        sha256: of the file.
        licence: SPDX.
        credit: the line that is shown wherever its recordings are.
        folder: where its recordings lie inside.
        names: the recordings' names without suffix.
        suffix: theirs.
        kind: "body" or "audio".
    """

    project: str
    version: str
    file: str
    sha256: str
    licence: str
    credit: str
    folder: str
    names: tuple[str, ...]
    suffix: str
    kind: str


PYBULLET = Wheel(
    "pybullet",
    "3.2.7",
    file="pybullet-3.2.7-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256="5d858abf7c12a21ef3ed351cf81dac1b5e486ec25c9ab59bfc84beb89034edff",
    licence="Zlib",
    credit="Motion: DeepMimic clips in PyBullet 3.2.7 "
    "by Erwin Coumans, Yunfei Bai and Jasmine Hsu (zlib)",
    folder="pybullet_data/data/motions/",
    names=tuple(
        f"humanoid3d_{name}"
        for name in (
            "backflip cartwheel crawl dance_a dance_b getup_facedown getup_faceup jump kick punch "
            "roll run spin spinkick walk"
        ).split()
    ),
    suffix=".txt",
    kind="body",
)
PHONLAB = Wheel(
    "phonlab",
    "0.0.70",
    file="phonlab-0.0.70-py3-none-any.whl",
    sha256="8de4e92a9e67de469417e71beb9a70d8cf17c90a28b32c80cfc4fa58122d8fb6",
    licence="BSD-3-Clause",
    credit="Speech: examples in phonlab 0.0.70, The Regents of the University of California (BSD)",
    folder="phonlab/data/example_audio/",
    names=tuple(
        "F1_bha24_1 FR_bon_beau FR_patte_pente im_twelve might_have_a_class sf3_cln "
        "the_soviet_union three_plus_five two_plus_two".split()
    ),
    suffix=".wav",
    kind="audio",
)
WHEELS = (PYBULLET, PHONLAB)


@dataclass(frozen=True)
class Clip:
    """A published recording.

    Attributes:
        name: such as "humanoid3d_walk".
        kind: "body" or "audio".
        path: the wheel and the member in it.
        data: the original bytes.
        licence: SPDX.
        credit: the line to show with it.
    """

    name: str
    kind: str
    path: str
    data: bytes
    licence: str
    credit: str


def fetch(cache: Path, wheels: tuple[Wheel, ...] = WHEELS) -> list[Path]:
    """Return the wheels' paths in `cache`, downloading what is not there; whole or not at all.

    Args:
        cache: a folder; made where it is missing.
        wheels: which.

    Raises:
        BadInput: no network, or the file is not the pinned one.
    """
    cache.mkdir(parents=True, exist_ok=True)
    out = []
    for wheel in wheels:
        path = cache / wheel.file
        if not (path.is_file() and _sha256(path) == wheel.sha256):
            _download(wheel, cache)
        out.append(path)
    return out


def fetched(cache: Path, wheels: tuple[Wheel, ...] = WHEELS) -> bool:
    """Return whether every wheel lies in `cache`; contacts nobody."""
    return all((cache / wheel.file).is_file() for wheel in wheels)


def _command(wheel: Wheel, folder: Path) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--dest",
        str(folder),
    ]
    command += ["--disable-pip-version-check", "--only-binary=:all:"]
    if "-cp311-" in wheel.file:  # the same file on every machine: it is read, never run
        command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
        command += ["--platform", "manylinux2014_x86_64"]
    return [*command, f"{wheel.project}=={wheel.version}"]


def _download(wheel: Wheel, cache: Path) -> None:
    label = f"{wheel.project} {wheel.version}"
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as temporary:
        try:
            process = subprocess.run(
                _command(wheel, Path(temporary)),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            problem = process.stderr.strip().splitlines()[-1:] if process.returncode else []
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = [str(error)[:200]]
        downloaded = Path(temporary) / wheel.file
        if problem or not downloaded.is_file():
            raise BadInput(
                f"cannot download {label}: {problem[0][:200] if problem else 'another file came'}",
                then=f"connect to the network and try again, or put {wheel.file} into {cache}",
            )
        if (actual_sha256 := _sha256(downloaded)) != wheel.sha256:
            raise BadInput(
                f"{label} has SHA-256 {actual_sha256}, expected {wheel.sha256}",
                where=wheel.file,
                then="do not use it; check which package index pip is set to",
            )
        os.replace(downloaded, cache / wheel.file)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def clips(cache: Path, wheels: tuple[Wheel, ...] = WHEELS) -> list[Clip]:
    """Return the published recordings, in the order of the pins; contacts nobody.

    Args:
        cache: where :func:`fetch` put the wheels.
        wheels: which.

    Raises:
        BadInput: a wheel is missing, is not the pinned one, or lacks a recording.
    """
    out: list[Clip] = []
    for wheel in wheels:
        path = cache / wheel.file
        if not path.is_file() or _sha256(path) != wheel.sha256:
            state = "is not the pinned file" if path.is_file() else "is not there"
            raise BadInput(f"{wheel.file} {state}", where=str(cache), then="run: make setup")
        paths = {f"{wheel.folder}{name}{wheel.suffix}" for name in wheel.names}
        contents = dict(members(path, paths.__contains__))
        for member in sorted(paths):
            if member not in contents:
                raise BadInput(f"no {member}", where=wheel.file, then="run: make setup")
            out.append(
                Clip(
                    PurePosixPath(member).stem,
                    wheel.kind,
                    path=f"{wheel.file}/{member}",
                    data=contents[member],
                    licence=wheel.licence,
                    credit=wheel.credit,
                )
            )
    return out


if __name__ == "__main__":  # `make setup` fetches them so that the first demo need not
    from greenroom.config import cache as _cache

    fetch(_cache())
