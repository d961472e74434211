"""What has to hold after every event of a simulation, told from the log and the store alone.

None of this asks the code that decides: approvals are weighed here a second time and more simply, and
refs are projected anew, so that a fault in the one is not excused by the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.clock import utc_day
from greenroom.consent.gate import refusal_reason
from greenroom.manifests import (
    Approval,
    AutoApproval,
    Dataset,
    Model,
    Policy,
    ReleaseManifest,
    ReplayReservoir,
    kind_of,
)
from greenroom.registry.promote import canary_ref, live_ref
from greenroom.retraining.requests import ASKED, ENDED
from greenroom.store.log import Entry
from greenroom.store.workspace import Workspace


class Broken(AssertionError):
    """Something does not hold that always has to."""


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
    manifest = workspace.objects.read_any(new)
    if not isinstance(manifest, ReleaseManifest):
        return
    actor = manifest.actor
    if name not in (live_ref(actor), canary_ref(actor)):
        raise Broken(f"{name} is at {actor}'s release")
    before = entries[: entry.index]
    if name == canary_ref(actor) and new == _at(before, live_ref(actor)):
        return  # the end of a trial: nothing comes on stage that was not there
    if not _approved(workspace, before, new):
        raise Broken(f"{name} came to {new[:12]} while nobody stood behind it")
    model = workspace.objects.read(manifest.parents.model, Model)
    if manifest.graph_sha256 != model.blobs.graph:
        raise Broken(f"{new[:12]} performs another graph than its model's")
    for blob in (*manifest.blob_hashes(), *model.blob_hashes()):
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
            approval = workspace.objects.read(entry.body["approval"], Approval)
            key = approval.key
            if not key and not revoked:  # by a policy, which gives nothing back
                policy = approval.statement.policy
                actor = workspace.objects.read(release, ReleaseManifest).actor
                in_force = _at(entries[: entry.index], f"actors/{actor}/policy") == policy
                signed = workspace.objects.read(policy, Policy)
                standing = signed.statement.auto_approval
                if in_force and standing and _within(workspace, release, standing, entry.at_ns):
                    key = signed.key
            good |= bool(key) and key not in withdrawn
    return good


def _within(workspace: Workspace, release: str, standing: AutoApproval, at_ns: int) -> bool:
    """Tell whether what a policy approves by itself is meant for a release, which keeps its bounds."""
    if utc_day(at_ns).isoformat() > standing.until:
        return False
    name = workspace.objects.read(release, ReleaseManifest).parents.model
    update = workspace.objects.read(name, Model).update
    if update is None:
        return "retrain" in standing.kinds
    bounds = dict(standing.bounds)
    row = bounds.pop("in_a_row", 0)
    within_bounds = all(getattr(update, figure) <= most for figure, most in bounds.items())
    return "online" in standing.kinds and within_bounds and len(_updates(workspace, name)) <= row


def _updates(workspace: Workspace, model: str) -> list[Model]:
    """Return the online updates since the training that a model comes from, newest first."""
    manifest = workspace.objects.read(model, Model)
    if manifest.update is None:
        return []
    return [manifest, *_updates(workspace, manifest.parents.start)]


def _published(workspace: Workspace, entries: Sequence[Entry], entry: Entry) -> None:
    manifest = workspace.objects.read_any(entry.body["object"])
    kind = kind_of(manifest)
    for part in (*manifest.parent_hashes(), *manifest.blob_hashes()):
        if part not in workspace.objects:
            raise Broken(f"{kind} {entry.body['object'][:12]} names what is lost")
    takes: Sequence[str] = ()
    if isinstance(manifest, Dataset | ReplayReservoir):
        takes = manifest.parents.takes
    elif isinstance(manifest, Model) and manifest.update is not None:
        takes = manifest.parents.takes
        _news(workspace, manifest, takes)
    elif isinstance(manifest, Model):
        takes = workspace.objects.read(manifest.parents.dataset, Dataset).parents.takes
    for name in takes:
        reason = refusal_reason(workspace, name, "train", utc_day(entry.at_ns))
        if reason:
            raise Broken(f"take {name[:12]} is in a {kind}, and {reason}")


def _news(workspace: Workspace, update: Model, takes: Sequence[str]) -> None:
    """Ask whether an update learned from what those before it in its row learned from already."""
    dataset = workspace.objects.read(update.parents.dataset, Dataset)
    learned_takes = set(dataset.parents.takes)
    for before in _updates(workspace, update.parents.start):
        learned_takes |= set(before.parents.takes)
    if learned_takes & set(takes):
        raise Broken(f"an update learned from take {min(learned_takes & set(takes))[:12]} again")
