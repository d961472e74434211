"""Rows of the lists of datasets, models, releases and shows."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from greenroom.clock import NS_PER_S, TICK_HZ, utc_day
from greenroom.errors import GreenroomError
from greenroom.manifests import Dataset, Manifest, Model, PolicyStatement, ReleaseManifest, Show
from greenroom.registry.approval import approval_status
from greenroom.registry.policy import policy_of
from greenroom.registry.promote import live_ref
from greenroom.store.workspace import Workspace

Rules = Callable[[str], PolicyStatement]
"""Returns the rules in force for an actor, or raises as `policy_of` does."""


def rows_of(
    workspace: Workspace, kind: str, actor: str | None = None, since: datetime.date | None = None
) -> list[dict[str, Any]]:
    """Return a row per object of a kind, in the order of publication.

    Args:
        workspace: the workspace.
        kind: "dataset", "model", "release" or "show".
        actor: only of this actor; None for all.
        since: only shows that began on this UTC day or later; None for all.

    Returns:
        Rows with the object's hash under `kind`, "date" (UTC), "length", "actor", "name" and "by". A
        show's date is that of its start; it has "started" (ISO 8601), "frames" and "seconds" too.
    """
    rows = []
    rules = cache(partial(policy_of, workspace))  # by actor: once a listing
    for row in workspace.catalog.find(kind, actor=actor):
        manifest = workspace.objects.read_any(row.object)
        if isinstance(manifest, Show) and since and utc_day(int(manifest.started_utc_ns)) < since:
            continue
        rows.append(
            {
                kind: row.object,
                "date": date_text(row.at_ns),
                "length": _length(manifest),
                "actor": row.actor,
                "name": row.name or _description(workspace, row.object, manifest, rules),
                "by": row.by,
            }
        )
        if isinstance(manifest, Show):
            rows[-1] |= _show_facts(manifest)
    return rows


def _show_facts(show: Show) -> dict[str, Any]:
    """Return what tells last night's show from others."""
    started_ns = int(show.started_utc_ns)
    started = datetime.datetime.fromtimestamp(started_ns // NS_PER_S, datetime.UTC)
    return {
        "date": date_text(started_ns),
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "frames": show.frames,
        "seconds": round(show.frames / TICK_HZ, 3),
    }


def date_text(utc_ns: int) -> str:
    """Return a UTC time as people read it, to the minute."""
    moment = datetime.datetime.fromtimestamp(utc_ns / NS_PER_S, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M")


def _length(manifest: Manifest) -> str:
    """Return how large an object is: takes of a dataset, numbers of a model, seconds of a show."""
    if isinstance(manifest, Dataset):
        count = len(manifest.parents.takes)
        return f"{count} take{'' if count == 1 else 's'}"
    if isinstance(manifest, Model):
        return f"{manifest.parameters:,}"
    if isinstance(manifest, Show):
        return f"{manifest.frames / TICK_HZ:.2f} s"
    return ""


def _description(workspace: Workspace, name: str, manifest: Manifest, rules: Rules) -> str:
    """Return what tells an object without a name from others."""
    if isinstance(manifest, Model):
        kind = "update" if manifest.update else "start" if manifest.parents.start else "trained"
        return f"{manifest.preset}, {kind} on dataset {manifest.parents.dataset[:12]}"
    if isinstance(manifest, Show):
        cut_off = ", cut off" if manifest.recovered else ""
        return f"release {manifest.parents.releases[0][:12]}, {manifest.late} late{cut_off}"
    if isinstance(manifest, ReleaseManifest):
        return f"model {manifest.parents.model[:12]}, {_status(workspace, name, manifest, rules)}"
    return ""


def _status(workspace: Workspace, name: str, manifest: ReleaseManifest, rules: Rules) -> str:
    if workspace.log.ref(live_ref(manifest.actor)) == name:
        return "on stage"
    try:
        approvers, missing = approval_status(workspace, name, rules(manifest.actor))
    except GreenroomError as error:
        return error.what
    if missing:
        return f"{missing} more must approve"
    return f"approved by {', '.join(approvers)}"
