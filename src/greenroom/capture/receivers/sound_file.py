"""Play a sound file as the performer's voice, in real time from the show's start."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from greenroom.capture.formats.wav import read_audio
from greenroom.capture.packets import TakePlayer
from greenroom.errors import BadInput
from greenroom.frames import Floats
from greenroom.plugins import scheme_of
from greenroom.store.workspace import Workspace


def open_sound_file(url: str, *, workspace: Workspace, first: int) -> TakePlayer:
    """Return a player of wav:FILE: any format that libsndfile reads, resampled to 24 kHz mono.

    Args:
        url: wav:FILE; a relative path is from the folder in which the command runs.
        workspace: not needed.
        first: tick at which it begins.

    Raises:
        BadInput: there is no such file, or no sound in it.
    """
    path = Path(url[len(scheme_of(url)) + 1 :].removeprefix("//"))
    try:
        facts = path.stat()
        samples = _decode(path, facts.st_mtime_ns, facts.st_size)
    except OSError as error:
        raise BadInput(
            f"cannot be read: {error.strerror}", where=str(path), then="check the path"
        ) from error
    return TakePlayer(None, samples, first=first)


@lru_cache(maxsize=4)
def _decode(path: Path, modified_ns: int, size: int) -> Floats:
    """Return a file's sound, kept: an engine that is called to perform has no second to decode it."""
    samples = np.ascontiguousarray(read_audio(path.read_bytes(), where=str(path)).samples)
    samples.flags.writeable = False
    return samples
