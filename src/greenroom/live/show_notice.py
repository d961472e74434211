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

from greenroom.contracts import ModelShape
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
        self.path = home / "on-air" / f"{actor}.json"
        self._published: list[str] = []

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
        ring = Ring(Path(message["ring"]), ModelShape.load(msgspec.convert(message["room"], Shape)))
    except (ValueError, OSError, KeyError):
        return None
    return ShowView(ring, tuple(message["releases"]))


def _read(path: Path) -> dict[str, Any]:
    try:
        message: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    except (ValueError, OSError, msgspec.DecodeError):
        return {}
    return message
