"""Read what a show performed from its ledger: body, face and voice, a key a tick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.clock import Timecode
from greenroom.errors import BadInput
from greenroom.frames import ARKIT, SAMPLES_PER_TICK, Body, Face, Floats
from greenroom.live.recorder import read_ledger
from greenroom.live.ring import place_sounds, sounds_of
from greenroom.manifests import Show
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class Performance:
    """A stretch of a show, tick by tick.

    Attributes:
        body: the humanoid, on the release's skeleton.
        face: ARKit's 52 weights; NaN where nothing drove them.
        voice: 24 kHz mono, 800 samples a tick; silence where nothing was heard.
        timecode: of the first tick.
    """

    body: Body
    face: Face
    voice: Floats
    timecode: Timecode

    def __len__(self) -> int:
        """Return the number of ticks."""
        return len(self.body)

    @property
    def driven_face(self) -> Face | None:
        """The face, or None where nothing drove any weight at any tick."""
        return self.face if np.isfinite(self.face.weights).any() else None


def read_performance(
    workspace: Workspace, show: str, first: int | None = None, last: int | None = None
) -> Performance:
    """Return what a show performed, from one tick to another.

    At a tick that nobody performed (an engine was lost) the frame before stands on; before the first
    frame of all, that one does.

    Args:
        workspace: where the show is.
        show: its hash.
        first: first tick; None for the show's first frame.
        last: one past the last tick; None for the show's end.

    Raises:
        BadInput: the show has no frames, or no such ticks.
    """
    manifest = workspace.objects.read(show, Show)
    release = load_release(workspace, manifest.parents.releases[0], past=True)
    ticks: list[int] = []
    roots, rotations, faces = [], [], []
    sounds: dict[int, Floats] = {}
    for row in read_ledger(workspace, manifest, release.role.shape):
        tick = int(row["tick"])
        ticks.append(tick)
        roots.append(row["root"].copy())
        rotations.append(row["rotations"].copy())
        faces.append(row["face"].copy())
        place_sounds(sounds, tick, list(sounds_of(row)))
    if not ticks:
        raise BadInput(f"show {show[:12]} has no frames", then="export another show")
    first, last = _stretch(ticks, first, last)
    indices = np.searchsorted(ticks, np.arange(first, last), side="right") - 1
    indices = np.maximum(indices, 0)
    turns = np.stack(rotations)[indices]
    voice = np.zeros((last - first, SAMPLES_PER_TICK), dtype=np.float32)
    for tick, sound in sounds.items():
        if first <= tick < last:
            voice[tick - first] = sound
    validity = np.ones(turns.shape[:2], dtype=np.float32)
    return Performance(
        Body(release.skeleton, np.stack(roots)[indices], turns, validity),
        Face(ARKIT, np.stack(faces)[indices]),
        voice.ravel(),
        Timecode(int(manifest.started_utc_ns), first),
    )


def _stretch(ticks: list[int], first: int | None, last: int | None) -> tuple[int, int]:
    """Return the first tick and one past the last, checked against what the show has."""
    end = ticks[-1] + 1
    first = ticks[0] if first is None else first
    last = end if last is None else last
    if last > end:
        raise BadInput(f"the show ends at tick {end}, before {last}", then=f"give --to {end}")
    if first >= last:
        raise BadInput(
            f"from tick {first} to {last} there is nothing",
            then=f"give ticks from {ticks[0]} to {end}",
        )
    return first, last
