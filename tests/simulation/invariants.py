"""What has to hold after every event of a simulation, told from the log and the store alone.

None of this asks the code that decides: approvals are weighed here a second time and more simply, and
refs are projected anew, so that a fault in the one is not excused by the other.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from greenroom.clock import NS_PER_S
from greenroom.consent.gate import refusal_reason
from greenroom.registry.promote import canary_ref, live_ref
from greenroom.retraining.requests import ASKED, ENDED
from greenroom.store.catalog import blobs_of, parents_of
from greenroom.store.log import Entry
from greenroom.store.workspace import Workspace


class Broken(AssertionError):
    """Something does not hold that always has to."""


def day_of(ns: int) -> datetime.date:
    """Return the UTC day of a time of the log."""
    return datetime.datetime.fromtimestamp(ns / NS_PER_S, datetime.UTC).date()


def check(workspace: Workspace, since: int = 0) -> int:
    """Look at what was added to the log since an entry; return how many entries there are.

    Args:
        workspace: opened anew, so that nothing is remembered.
        since: entries that were looked at before.

    Raises:
        Broken: the sentence says what does not hold.
    """
    entries = workspace.log.entries()
    _refs(workspace, entries, since)
    _runs(entries)
    for entry in entries[since:]:
        if entry.event == "ref":
            _moved(workspace, entries, entry)
        elif entry.event == "publish":
            _published(workspace, entries, entry)
    return len(entries)


def _refs(workspace: Workspace, entries: Sequence[Entry], since: int) -> None:
    refs: dict[str, str] = {}
    for entry in entries:
        if entry.event == "ref":
            body = entry.body
            if refs.get(body["name"]) != body["old"]:
                raise Broken(f"entry {entry.index} moves {body['name']} from where it was not")
            refs[body["name"]] = body["new"]
    if refs != workspace.log.refs():
        raise Broken("the refs are not what the log says")
    for name, at in refs.items():
        if at not in workspace.objects:
            raise Broken(f"{name} is at {at[:12]}, which is lost")


def _runs(entries: Sequence[Entry]) -> None:
    going: dict[str, str] = {}
    ended: set[str] = set()
    for entry in entries:
        if entry.event == ASKED:
            actor = entry.body["actor"]
            if actor in going:
                raise Broken(f"{entry.body['run']} began while {going[actor]} went on")
            going[actor] = entry.body["run"]
        elif entry.event == ENDED:
            run = entry.body["run"]
            if run in ended or run not in going.values():
                raise Broken(f"{run} ended twice, or never began")
            ended.add(run)
            going = {actor: name for actor, name in going.items() if name != run}


def _moved(workspace: Workspace, entries: Sequence[Entry], entry: Entry) -> None:
    """Ask who stood behind a release at the moment at which it came on stage."""
    name, new = entry.body["name"], entry.body["new"]
    kind = workspace.objects.manifest(new)["kind"]
    if kind != "release":
        return
    actor = workspace.objects.manifest(new)["actor"]
    if name not in (live_ref(actor), canary_ref(actor)):
        raise Broken(f"{name} is at {actor}'s release")
    before = entries[: entry.index]
    if name == canary_ref(actor) and new == _at(before, live_ref(actor)):
        return  # the end of a trial: nothing comes on stage that was not there
    if not _approved(workspace, before, new):
        raise Broken(f"{name} came to {new[:12]} while nobody stood behind it")
    manifest = workspace.objects.manifest(new)
    model = workspace.objects.manifest(manifest["parents"]["model"])
    if manifest["graph_sha256"] != model["blobs"]["graph"]:
        raise Broken(f"{new[:12]} performs another graph than its model's")
    for blob in (*blobs_of(manifest), *blobs_of(model)):
        workspace.objects.get(blob)


def _at(entries: Sequence[Entry], ref: str) -> str | None:
    moves = (e.body["new"] for e in reversed(entries) if e.event == "ref" and e.body["name"] == ref)
    return next(moves, None)


def _approved(workspace: Workspace, entries: Sequence[Entry], release: str) -> bool:
    """Tell whether an approval counted: given after the last revocation, by a key that counted."""
    withdrawn = {e.body["public"] for e in entries if e.event == "revoke-key"}
    good, revoked = False, False
    for entry in entries:
        if entry.body.get("release") != release:
            continue
        if entry.event == "revoke":
            good, revoked = False, True
        elif entry.event == "approve":
            approval = workspace.objects.manifest(entry.body["approval"], "approval")
            key = approval.get("key")
            if key is None and not revoked:  # by a policy, which gives nothing back
                policy = approval["statement"]["policy"]
                actor = workspace.objects.manifest(release)["actor"]
                in_force = _at(entries[: entry.index], f"actors/{actor}/policy") == policy
                signed = workspace.objects.manifest(policy, "policy")
                standing = signed["statement"].get("standing")
                if in_force and standing and _within(workspace, release, standing, entry.at_ns):
                    key = signed["key"]
            good |= key is not None and key not in withdrawn
    return good


def _within(workspace: Workspace, release: str, standing: dict[str, Any], at_ns: int) -> bool:
    """Tell whether what a policy approves by itself is meant for a release, which keeps its bounds."""
    if day_of(at_ns).isoformat() > standing["until"]:
        return False
    name = workspace.objects.manifest(release)["parents"]["model"]
    update = workspace.objects.manifest(name).get("update")
    if update is None:
        return "retrain" in standing["kinds"]
    bounds = dict(standing["bounds"])
    row = bounds.pop("in_a_row", 0)
    within_bounds = all(update[figure] <= most for figure, most in bounds.items())
    return "online" in standing["kinds"] and within_bounds and len(_updates(workspace, name)) <= row


def _updates(workspace: Workspace, model: str) -> list[dict[str, Any]]:
    """Return the online updates since the training that a model comes from, newest first."""
    manifest = workspace.objects.manifest(model, "model")
    if "update" not in manifest:
        return []
    return [manifest, *_updates(workspace, manifest["parents"]["start"])]


def _published(workspace: Workspace, entries: Sequence[Entry], entry: Entry) -> None:
    manifest = workspace.objects.manifest(entry.body["object"])
    for part in (*parents_of(manifest), *blobs_of(manifest)):
        if part not in workspace.objects:
            raise Broken(f"{manifest['kind']} {entry.body['object'][:12]} names what is lost")
    takes = manifest["parents"].get("takes", ()) if "parents" in manifest else ()
    if manifest["kind"] == "model" and "update" in manifest:
        _news(workspace, manifest, takes)
    elif manifest["kind"] == "model":
        dataset = workspace.objects.manifest(manifest["parents"]["dataset"], "dataset")
        takes = dataset["parents"]["takes"]
    if manifest["kind"] in ("dataset", "model", "replay"):
        for name in takes:
            reason = refusal_reason(
                workspace.objects.manifest(name, "take"), "train", day_of(entry.at_ns)
            )
            if reason:
                raise Broken(f"take {name[:12]} is in a {manifest['kind']}, and {reason}")


def _news(workspace: Workspace, update: dict[str, Any], takes: Sequence[str]) -> None:
    """Ask whether an update learned from what those before it in its row learned from already."""
    dataset = workspace.objects.manifest(update["parents"]["dataset"], "dataset")
    learned_takes = set(dataset["parents"]["takes"])
    for before in _updates(workspace, update["parents"]["start"]):
        learned_takes |= set(before["parents"]["takes"])
    if learned_takes & set(takes):
        raise Broken(f"an update learned from take {min(learned_takes & set(takes))[:12]} again")
