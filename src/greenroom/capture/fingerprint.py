"""Content fingerprint of a recording: a hash of what was decoded, not of the file's bytes.

Two files that differ in line ends or headers alone decode to the same numbers, so they are the same
recording, and must not stand on both sides of a split.
"""

from __future__ import annotations

import hashlib

from greenroom.capture.ingest import load_take
from greenroom.capture.readers import Recording
from greenroom.frames import Array
from greenroom.manifests import Take
from greenroom.store.workspace import Workspace


def content_fingerprints(recording: Recording) -> dict[str, str]:
    """Return the SHA-256 of each medium's decoded numbers, by "body", "face" and "audio"."""
    out = {}
    if recording.body is not None:
        body = recording.body
        out["body"] = _digest(body.root, body.rotations, body.validity)
    if recording.face is not None:
        channels = "\0".join(recording.face.channels).encode()
        out["face"] = _digest(recording.face.weights, prefix=channels)
    if recording.audio is not None:
        out["audio"] = _digest(recording.audio.samples)
    return out


def _digest(*arrays: Array, prefix: bytes = b"") -> str:
    state = hashlib.sha256(prefix)
    for array in arrays:
        state.update(f"{array.dtype}{array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def take_fingerprints(
    workspace: Workspace, take: str, media: tuple[str, ...] = ("body", "face")
) -> set[str]:
    """Return the fingerprints of some media of a take; empty where it has none of them, or no bytes.

    Args:
        workspace: where the take is.
        take: its hash.
        media: which to read.
    """
    manifest = workspace.objects.read(take, Take)
    names = [name for name in media if name in manifest.media]
    if not names or any(manifest.media[name].blob not in workspace.objects for name in names):
        return set()
    return set(content_fingerprints(load_take(workspace, take, names)).values())
