"""Decide whether a take may be used for a purpose on a day; everything that uses takes asks here."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from greenroom.errors import Refused
from greenroom.store.workspace import Workspace


def refusal_reason(take: dict[str, Any], purpose: str, day: datetime.date) -> str:
    """Return why a take may not be used, or an empty string where it may.

    >>> refusal_reason({"rights": None}, "train", datetime.date(2026, 1, 1))
    'it is quarantined: nobody said who is in it and what they allow'
    """
    rights = take.get("rights")
    if not rights or not take.get("participant"):
        return "it is quarantined: nobody said who is in it and what they allow"
    if purpose not in rights["purposes"]:
        return f"its rights do not cover '{purpose}', only {', '.join(rights['purposes'])}"
    if "expiry" in rights:
        if day > datetime.date.fromisoformat(rights["expiry"]):
            return f"the consent of {take['participant']} expired on {rights['expiry']}"
        if day < datetime.date.fromisoformat(rights["start"]):
            return f"the consent of {take['participant']} starts on {rights['start']}"
    return ""


def require_rights(take: dict[str, Any], name: str, purpose: str, day: datetime.date) -> None:
    """Pass, or raise.

    Raises:
        Refused: the take may not be used for `purpose` on `day`.
    """
    reason = refusal_reason(take, purpose, day)
    if reason:
        raise Refused(
            f"take {name[:12]} may not be used: {reason}",
            then="ingest it again with --participant and --rights",
        )


def merge_rights(
    workspace: Workspace, existing_rights: Sequence[dict[str, Any]], takes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return rights that are known, such as a start's, and those of takes, each once."""
    all_rights = list(existing_rights)
    for take in takes:
        rights = workspace.objects.manifest(take, "take")["rights"]
        if rights not in all_rights:
            all_rights.append(rights)
    return all_rights


def initial_weights_refusal(model: dict[str, Any], day: datetime.date) -> str:
    """Return why a training may not begin with what a model has learned, or an empty string."""
    for rights in model["rights"]:
        reason = refusal_reason(
            {"rights": rights, "participant": rights["participant"]}, "train", day
        )
        if reason:
            return f"it learned from {rights['participant']}: {reason}"
    return ""
