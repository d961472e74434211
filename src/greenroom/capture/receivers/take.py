"""Play a take as if it were captured now."""

from __future__ import annotations

from greenroom.capture.ingest import load_take
from greenroom.capture.packets import TakePlayer
from greenroom.store.workspace import Workspace

SCHEME = "take:"


def open_take(url: str, *, workspace: Workspace, first: int) -> TakePlayer:
    """Return a player of one take's body and sound.

    Args:
        url: take:HASH, or six or more of its first digits, or its name.
        workspace: where the take is.
        first: tick at which it begins.

    Raises:
        BadInput: there is no such take, or it has neither body nor sound.
    """
    name = workspace.resolve(url.removeprefix(SCHEME), "take")
    recording = load_take(workspace, name, ("body", "audio"))
    audio = None if recording.audio is None else recording.audio.samples
    return TakePlayer(recording.body, audio, first=first)
