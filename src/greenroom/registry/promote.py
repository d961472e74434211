"""Put a release on stage: one append to the log, with the release that was there before."""

from __future__ import annotations

from greenroom.errors import BadInput, Refused
from greenroom.registry.release import Release, load_release
from greenroom.store.workspace import Workspace


def live_ref(actor: str) -> str:
    """Return the name of an actor's live ref."""
    return f"actors/{actor}/live"


def canary_ref(actor: str) -> str:
    """Return the name of the ref to the release that is tried on stage; it is the live one's else."""
    return f"actors/{actor}/canary"


def promote(
    workspace: Workspace, actor: str, release: str, by: str, over: str | None = None
) -> str | None:
    """Make `release` the one that performs; return the one before.

    Args:
        workspace: where.
        actor: who performs it.
        release: its hash.
        by: who does it.
        over: what it has to replace, "" for nothing; None for whatever is there.

    Raises:
        Refused: it is another actor's, or may not be performed.
        Moved: something else than `over` is on stage; nothing was changed.
    """
    loaded = load_release(workspace, release)
    if loaded.actor != actor:
        raise Refused(f"release {release[:12]} is {loaded.actor}'s, not {actor}'s")
    previous = workspace.log.ref(live_ref(actor))
    if previous != release:
        expect = previous if over is None else over or None
        workspace.log.move(live_ref(actor), release, expect=expect, by=by)
    return previous


def start_canary(workspace: Workspace, actor: str, release: str, by: str) -> None:
    """Let a running show perform a release on trial: the live ref stays where it is.

    Trying out the live release ends a trial.

    Raises:
        Refused: it is another actor's, or may not be performed.
    """
    loaded = load_release(workspace, release)
    if loaded.actor != actor:
        raise Refused(f"release {release[:12]} is {loaded.actor}'s, not {actor}'s")
    before = workspace.log.ref(canary_ref(actor))
    if before != release:
        workspace.log.move(canary_ref(actor), release, expect=before, by=by)


def end_canary(workspace: Workspace, actor: str, by: str) -> None:
    """Put the ref of what is tried back on the live release, where there is a trial.

    It asks nothing of the live release: a trial ends also where nobody stands behind that any more.
    """
    trying, live = (workspace.log.ref(ref(actor)) for ref in (canary_ref, live_ref))
    if trying is not None and live is not None and trying != live:
        workspace.log.move(canary_ref(actor), live, expect=trying, by=by)


def live_release(workspace: Workspace, actor: str) -> str:
    """Return the release that performs for an actor, by the log.

    Raises:
        BadInput: nobody put one on stage.
    """
    release = workspace.log.ref(live_ref(actor))
    if release is None:
        raise BadInput(
            f"no release of '{actor}' was put on stage",
            then=f"greenroom promote {actor} RELEASE, with one that greenroom approve made",
        )
    return release


def previous_of(workspace: Workspace, actor: str) -> Release | None:
    """Return the release that a rollback would put on stage; None where there is none."""
    for name in _earlier(workspace, actor):
        try:
            return load_release(workspace, name)
        except Refused:
            continue
    return None


def _earlier(workspace: Workspace, actor: str) -> list[str]:
    """Return the releases that were on stage before the one that is, newest first, by the log.

    Going back to a release forgets those after it, so that two rollbacks go back by two.
    """
    stack: list[str] = []
    for entry in workspace.log.entries():
        if entry.event == "ref" and entry.body["name"] == live_ref(actor):
            new = str(entry.body["new"])
            if new in stack:
                del stack[stack.index(new) + 1 :]
            else:
                stack.append(new)
    return stack[-2::-1]


def rollback(workspace: Workspace, actor: str, by: str) -> tuple[str, str]:
    """Put the release before the one on stage back on stage; return (it, the one that leaves).

    While a release is on trial, that one leaves, and the live one is back. A release that may not be
    performed any more (revoked, expired) is passed over.

    Raises:
        Refused: there is none before it that may be performed.
    """
    leaving = live_release(workspace, actor)
    canary = workspace.log.ref(canary_ref(actor))
    if canary not in (None, leaving) and canary_active(workspace, actor):
        end_canary(workspace, actor, by)
        return leaving, str(canary)
    refusals = []
    for release in _earlier(workspace, actor):
        try:
            load_release(workspace, release)
        except Refused as error:
            refusals.append(error.what)
            continue
        workspace.log.move(live_ref(actor), release, expect=leaving, by=by)
        return release, leaving
    reasons = "; ".join(refusals) or "it is the first"
    raise Refused(
        f"there is no release of {actor} to go back to: {reasons}",
        then=f"run: greenroom promote {actor} RELEASE",
    )


def canary_active(workspace: Workspace, actor: str) -> bool:
    """Tell whether the ref of what is tried moved after the live one did."""
    last = ""
    for entry in workspace.log.entries():
        if entry.event == "ref" and entry.body["name"] in (live_ref(actor), canary_ref(actor)):
            last = entry.body["name"]
    return last == canary_ref(actor)
