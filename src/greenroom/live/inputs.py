"""Make one input of what `--in` names: takes played one after another, bodies beside voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.capture.packets import TakePlayer
from greenroom.capture.sequence import join
from greenroom.capture.takes import load
from greenroom.errors import BadInput
from greenroom.frames import SAMPLES_PER_TICK, Body, Floats
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class Playlist:
    """What plays.

    Attributes:
        body: the bodies, joined; None if there is none.
        audio: the voices, one after another.
        clips: (first tick, name, whether it is a repeat) of each body.
        repeats: whether the takes were too short and play again.
    """

    body: Body | None
    audio: Floats | None
    clips: tuple[tuple[int, str, bool], ...]
    repeats: bool

    @property
    def ticks(self) -> int:
        """How long it lasts."""
        if self.body is not None:
            return len(self.body)
        return 0 if self.audio is None else -(-len(self.audio) // SAMPLES_PER_TICK)

    def player(self, cuts: Sequence[tuple[int, int]] = (), first: int = 0) -> TakePlayer:
        """Return a receiver that plays it from tick `first` on."""
        return TakePlayer(self.body, self.audio, [clip[0] for clip in self.clips], cuts, first)


def open_playlist(workspace: Workspace, takes: Sequence[str], ticks: int | None) -> Playlist:
    """Return the takes as one input.

    Args:
        workspace: where they are.
        takes: their hashes, in order.
        ticks: for how long; they repeat until then, or end early. None: each plays once.

    Raises:
        BadInput: no take can play.
    """
    bodies: list[tuple[str, Body]] = []
    voices: list[Floats] = []
    for name in takes:
        recording = load(workspace, name)
        title = str(workspace.objects.manifest(name, "take")["name"])
        if recording.body is not None:
            bodies.append((title, recording.body))
        if recording.audio is not None:
            voices.append(recording.audio.samples)
    if not bodies and not voices:
        raise BadInput("there is nothing to play", then="give --in take:HASH")
    body, clips = _bodies(bodies, ticks) if bodies else (None, ())
    length = len(body) if body is not None else ticks
    audio = _voices(voices, length) if voices else None
    return Playlist(body, audio, clips, any(clip[2] for clip in clips))


def _bodies(
    bodies: Sequence[tuple[str, Body]], ticks: int | None
) -> tuple[Body, tuple[tuple[int, str, bool], ...]]:
    total = sum(len(body) for _, body in bodies)
    rounds = 1 if ticks is None else -(-ticks // total)
    clips, order, at = [], [], 0
    for turn in range(rounds):
        for title, body in bodies:
            if ticks is not None and at >= ticks:
                break
            clips.append((at, title, turn > 0))
            order.append(body)
            at += len(body)
    joined = join(order)
    if ticks is not None:
        joined = Body(
            joined.skeleton, joined.root[:ticks], joined.rotations[:ticks], joined.validity[:ticks]
        )
    return joined, tuple(clips)


def _voices(voices: Sequence[Floats], ticks: int | None) -> Floats:
    once = np.concatenate(voices)
    if ticks is None:
        return once
    return np.resize(once, ticks * SAMPLES_PER_TICK)
