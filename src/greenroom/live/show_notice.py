"""Say which show is on and where its frames pass, so that others on this machine can look on.

One file an actor under HOME/on-air, there while a show runs. Who looks on reads the ring; nobody writes
into it but the engine and the watchdog.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from greenroom.contracts import ModelShape
from greenroom.errors import Refused
from greenroom.live.ring import Ring
from greenroom.manifests import Shape
from greenroom.registry.release import Release


class ShowNotice:
    """A show's notice.

    Args:
        home: of the workspace.
        actor: who performs.
    """

    def __init__(self, home: Path, actor: str) -> None:
        """Nothing is said yet."""
        self.actor = actor
        self.path = home / "on-air" / f"{actor}.json"
        self._published: list[str] = []
        self._lock = FileLock(self.path.with_suffix(".lock"))

    def __enter__(self) -> ShowNotice:
        """Take the stage for this process, until the end of the block, or of the process.

        Raises:
            Refused: a show of this actor is on.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            pid = _read(self.path).get("pid")
            who = "" if pid is None else f" in process {pid}"
            raise Refused(
                f"{self.actor} is on stage already{who}",
                then="wait for its end, or end it with Ctrl-C in its terminal",
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the stage."""
        self.take_down()
        self._lock.release()

    def put(self, ring: Ring, releases: Sequence[Release]) -> None:
        """Say it, or say it anew where a release has come."""
        names = [release.name for release in releases]
        if names == self._published:
            return
        self._published = names
        message = {
            "pid": os.getpid(),
            "ring": str(ring.path),
            "room": ring.shape.manifest(),
            "releases": names,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(f".{os.getpid()}")
        new.write_bytes(msgspec.json.encode(message))
        os.replace(new, self.path)

    def take_down(self) -> None:
        """The show is over."""
        if self._published and _read(self.path).get("pid") == os.getpid():  # else another show's
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class ShowView:
    """A look at a show that is on.

    Attributes:
        ring: its frames.
        releases: hashes, in the order in which its rows count them.
    """

    ring: Ring
    releases: tuple[str, ...]


def find_show(home: Path, actor: str) -> ShowView | None:
    """Return the show that is on for an actor; None where none is."""
    message = _read(home / "on-air" / f"{actor}.json")
    try:
        os.kill(message["pid"], 0)  # a show that was killed takes nothing down
        shape = ModelShape.load(msgspec.convert(message["room"], Shape))
        ring = Ring(Path(message["ring"]), shape, writable=False)
    except (ValueError, OSError, KeyError):
        return None
    return ShowView(ring, tuple(message["releases"]))


def _read(path: Path) -> dict[str, Any]:
    try:
        message: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    except (ValueError, OSError, msgspec.DecodeError):
        return {}
    return message
