"""Put a release on stage: one append to the log, with the release that was there before."""

from __future__ import annotations

from greenroom.errors import Refused
from greenroom.registry.release import load_release
from greenroom.store.log import require_ref
from greenroom.store.workspace import Workspace


def live_ref(actor: str) -> str:
    """Return the name of an actor's live ref."""
    return f"actors/{actor}/live"


def promote(workspace: Workspace, actor: str, release: str, by: str) -> str | None:
    """Make `release` the one that performs; return the one before.

    Raises:
        Refused: it is another actor's, or may not be performed.
    """
    loaded = load_release(workspace, release)
    if loaded.actor != actor:
        raise Refused(f"release {release[:12]} is {loaded.actor}'s, not {actor}'s")
    previous = workspace.log.ref(live_ref(actor))
    if previous != release:
        workspace.log.move(live_ref(actor), release, expect=previous, by=by)
    return previous


def on_stage(workspace: Workspace, actor: str) -> str:
    """Return the release that performs for an actor, by the log."""
    return require_ref(workspace.log, live_ref(actor))
