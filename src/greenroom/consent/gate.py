"""Decide whether a take may be used for a purpose on a day; everything that uses takes asks here.

The log says who is in a take and what they allow; each person's newest rights count. Where several
people are in it, all of them have to allow the use, whichever actor it was ingested for.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from greenroom.errors import Refused
from greenroom.manifests import Model, Rights
from greenroom.store.workspace import Workspace

_QUARANTINED = "it is quarantined: nobody said who is in it and what they allow"


def refusal_reason(workspace: Workspace, take: str, purpose: str, day: datetime.date) -> str:
    """Return why a take may not be used, or an empty string where it may.

    Args:
        workspace: where its attribution is.
        take: its hash.
        purpose: one of `greenroom.consent.records.PURPOSES`.
        day: UTC day of the use.
    """
    rights_by_participant = workspace.attributions.rights(take)
    if not any(rights_by_participant.values()):
        return _QUARANTINED
    for participant, granted in rights_by_participant.items():
        if not granted:
            return f"nobody recorded what {participant} allows"
        reasons = [rights_refusal(rights, purpose, day) for rights in granted]
        if all(reasons):
            return reasons[-1]
    return ""


def rights_refusal(rights: Rights, purpose: str, day: datetime.date) -> str:
    """Return why rights do not cover a purpose on a day, or an empty string where they do.

    >>> rights = Rights(participant="ann", purposes=["train"], start="2026-01-01", expiry="2026-12-31")
    >>> rights_refusal(rights, "train", datetime.date(2027, 1, 1))
    'the consent of ann expired on 2026-12-31'
    """
    if purpose not in rights.purposes:
        return f"its rights do not cover '{purpose}', only {', '.join(rights.purposes)}"
    if rights.expiry and day > datetime.date.fromisoformat(rights.expiry):
        return f"the consent of {rights.participant} expired on {rights.expiry}"
    if rights.start and day < datetime.date.fromisoformat(rights.start):
        return f"the consent of {rights.participant} starts on {rights.start}"
    return ""


def require_current(rights: Rights, day: datetime.date) -> None:
    """Pass, or raise: a recording is not taken in under a consent that is over.

    Raises:
        Refused: the consent expired before `day`.
    """
    if rights.expiry and day > datetime.date.fromisoformat(rights.expiry):
        raise Refused(
            f"the consent of {rights.participant} expired on {rights.expiry}; nothing was taken",
            then="get a new consent, and give its record: --rights FILE",
        )


def require_rights(workspace: Workspace, take: str, purpose: str, day: datetime.date) -> None:
    """Pass, or raise.

    Raises:
        Refused: the take may not be used for `purpose` on `day`.
    """
    reason = refusal_reason(workspace, take, purpose, day)
    if reason:
        raise Refused(
            f"take {take[:12]} may not be used: {reason}",
            then="ingest it again with --participant and --rights",
        )


def require_rights_of_all(workspace: Workspace, takes: Iterable[str], purpose: str) -> None:
    """Pass, or raise: every take may be used today.

    Raises:
        Refused: one of the takes may not be used for `purpose`.
    """
    day = workspace.today()
    for take in takes:
        require_rights(workspace, take, purpose, day)


def merge_rights(
    workspace: Workspace, existing: Sequence[Rights], takes: Sequence[str]
) -> list[Rights]:
    """Return existing rights, such as a start's, and those of takes today, each once."""
    merged = list(existing)
    for take in takes:
        for granted in workspace.attributions.rights(take).values():
            merged += [rights for rights in granted if rights not in merged]
    return merged


def initial_weights_refusal(model: Model, day: datetime.date) -> str:
    """Return why a training may not begin with a model's weights, or an empty string."""
    for rights in model.rights:
        reason = rights_refusal(rights, "train", day)
        if reason:
            return f"it learned from {rights.participant}: {reason}"
    return ""
