"""Say who stands behind a release: signed approvals, policies on how many it takes, and revocations.

An approval is an object: a statement (which release, by whom, when, until when) signed with the
approver's key; the log says when it was given. It counts only while nobody revoked the release after
it. A policy, itself an object signed by a named person, says who may approve for an actor and how many
must; without one, one named person is enough. What a policy lets through without asking is bounded
there too (`greenroom.registry.auto_approval`).
"""

from __future__ import annotations

import datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.manifests import (
    Approval,
    ApprovalParents,
    ApprovalStatement,
    PolicyStatement,
    ReleaseManifest,
    to_json,
)
from greenroom.registry import auto_approval
from greenroom.registry.names import folded_name
from greenroom.registry.policy import policy_of
from greenroom.registry.signing import sign, verify
from greenroom.store.log import Entry, Log
from greenroom.store.objects import canonical
from greenroom.store.workspace import Workspace


def sign_approval(
    workspace: Workspace, release: str, by: str, until: datetime.date | None = None
) -> str:
    """Sign an approval of a release and enter it in the log; return the approval's hash.

    Raises:
        BadInput: this person has no key here, or the last day is over.
        Refused: the policy does not name this person.
    """
    if until is not None and until < workspace.today():
        raise BadInput(f"--until {until} is over", then="give today or a later day")
    manifest = workspace.objects.read(release, ReleaseManifest)
    rules = policy_of(workspace, manifest.actor)
    if rules.approvers and by not in rules.approvers:
        approver_names = ", ".join(rules.approvers)
        raise Refused(f"'{by}' may not approve for {manifest.actor}", then=f"ask {approver_names}")
    if by in valid_approvers(workspace, release):
        entries = workspace.log.entries()
        before = (
            str(e.body["approval"])
            for e in reversed(entries)
            if e.event == "approve" and e.body.get("release") == release and e.by == by
        )
        if name := next(before, ""):
            return name
    statement = ApprovalStatement(
        release=release,
        at_ns=str(workspace.log.clock.utc_ns()),
        by=by,
        until=None if until is None else until.isoformat(),
    )
    signed = sign(workspace, by, to_json(statement))
    approval = Approval(
        statement=statement,
        parents=ApprovalParents(release=release),
        key=signed["key"],
        signature=signed["signature"],
    )
    name = workspace.publish(approval, by=by)
    record_approval(workspace, release, name, by)
    return name


def record_approval(workspace: Workspace, release: str, approval: str, by: str) -> None:
    """Record an approval that is in the store already."""
    workspace.log.append("approve", {"release": release, "approval": approval}, by=by)


def revoke(workspace: Workspace, release: str, by: str, reason: str) -> None:
    """Withdraw every approval that a release has."""
    workspace.objects.read(release, ReleaseManifest)
    workspace.log.append("revoke", {"release": release, "reason": reason}, by=by)


def valid_approvers(workspace: Workspace, release: str) -> list[str]:
    """Return who approved a release, as far as it counts; a policy as "the policy of NAME"."""
    return [approver.text for approver in _count_approvals(workspace, release)[0]]


class Approver(NamedTuple):
    """Who approved a release.

    Attributes:
        name: the person, or who signed the policy that approved it automatically.
        automatic: whether a policy approved it.
        key: public key of the person; "" for a policy.
    """

    name: str
    automatic: bool = False
    key: str = ""

    @property
    def text(self) -> str:
        """The approver as people read it."""
        return f"the policy of {self.name}" if self.automatic else self.name


def _count_approvals(workspace: Workspace, release: str) -> tuple[list[Approver], list[str]]:
    """Return whose approvals count, and why the others do not.

    None counts while another release of the same model is revoked and not yet approved again by as
    many as its policy asks: a copy is no way around it.
    """
    model = workspace.objects.read(release, ReleaseManifest).parents.model
    for other in sorted(_decisions(workspace).revoked - {release}):
        if auto_approval.model_of(workspace, other) == model:
            approvers, faults = _count_own(workspace, other)
            rules = policy_of(workspace, workspace.objects.read(other, ReleaseManifest).actor)
            counting, missing = _counting(rules, approvers)
            if missing:
                reason = (
                    f"of which {faults[0]}"
                    if faults and not counting
                    else f"which was revoked, and only {len(counting)} of {rules.needed} gave it back"
                )
                return [], [
                    f"its model is that of release {other[:12]}, {reason}; "
                    "approve that one again first"
                ]
    return _count_own(workspace, release)


class _Decisions(NamedTuple):
    """Approvals and revocations of a log.

    Attributes:
        size: entries of the log that were read.
        of_release: by release, in the log's order.
        revoked: releases that were ever revoked.
    """

    size: int
    of_release: dict[str, list[Entry]]
    revoked: set[str]


_READ: WeakKeyDictionary[Log, _Decisions] = WeakKeyDictionary()


def _decisions(workspace: Workspace) -> _Decisions:
    """Return the approvals and revocations of the log; what was read before is not read again."""
    cached = _READ.get(workspace.log) or _Decisions(0, {}, set())
    fresh = workspace.log.entries(cached.size)
    if not fresh:
        return cached
    of_release = {name: list(entries) for name, entries in cached.of_release.items()}
    revoked = set(cached.revoked)
    for entry in fresh:
        if entry.event in ("approve", "revoke"):
            release = str(entry.body.get("release"))
            of_release.setdefault(release, []).append(entry)
            if entry.event == "revoke":
                revoked.add(release)
    read = _Decisions(cached.size + len(fresh), of_release, revoked)
    _READ[workspace.log] = read
    return read


def _count_own(workspace: Workspace, release: str) -> tuple[list[Approver], list[str]]:
    """Return whose approvals count of all that were given to this very release."""
    approvals: dict[str, int] = {}
    entered: set[bytes] = set()
    revoked = ""
    for entry in _decisions(workspace).of_release.get(release, ()):
        if entry.event == "revoke":
            revoked = f"{entry.by} revoked it: {entry.body['reason']}"
            approvals.clear()
        elif entry.event == "approve":
            # What was given before a revocation is not given again by entering it again.
            approval = str(entry.body.get("approval"))
            statement = _statement_of(workspace, approval)
            if statement not in entered:
                approvals[approval] = entry.index
            elif revoked:
                revoked += "; an old approval was entered again"
            entered.add(statement)
    approvers: list[Approver] = []
    faults: list[str] = [revoked] if revoked and not approvals else []
    for approval, index in approvals.items():
        try:
            approver = _check(workspace, release, approval, index)
        except GreenroomError as error:
            faults.append(error.what)
        else:
            if not any(approver[:2] == other[:2] for other in approvers):
                approvers.append(approver)
    return approvers, faults


def _statement_of(workspace: Workspace, approval: str) -> bytes:
    """Return what an approval signs, which stays what it is in a copy of the object; else its hash."""
    try:
        statement = workspace.objects.read(approval, Approval).statement
    except GreenroomError:
        return approval.encode()
    return bytes(canonical(to_json(statement)))


def _check(workspace: Workspace, release: str, approval: str, index: int) -> Approver:
    if approval == "None":
        raise Refused("its approval is not signed")
    manifest = workspace.objects.read(approval, Approval)
    if manifest.parents.policy:
        signer = auto_approval.verify_auto_approval(workspace, release, manifest, index)
        return Approver(signer, automatic=True)
    key = verify(workspace, to_json(manifest))
    statement = manifest.statement
    if manifest.parents.release != statement.release or statement.release != release:
        raise Refused(f"the approval is of another release, {statement.release[:12]}")
    if statement.by != key.owner:
        raise Refused(f"the approval says {statement.by} but the key is {key.owner}'s")
    until = statement.until
    if until is not None and workspace.today() > datetime.date.fromisoformat(until):
        raise Refused(f"the approval of {key.owner} ended on {until}")
    return Approver(key.owner, key=key.public)


def require_approved(workspace: Workspace, release: str, manifest: ReleaseManifest) -> list[str]:
    """Return who approved a release.

    Raises:
        Refused: not enough people did whose approval counts; the sentence says why.
    """
    approvers, faults = _count_approvals(workspace, release)
    rules = policy_of(workspace, manifest.actor)
    counting, missing = _counting(rules, approvers)
    if not missing:
        return counting
    approvable, fault_text = manifest.parents.model[:12], "; ".join(faults)
    if counting:  # what is approved in part is what others have to approve, not its model again
        approvable = release[:12]
        problem = f"has {len(counting)} of {rules.needed} approvals ({', '.join(counting)})"
    else:
        problem = "was approved by nobody" if not fault_text else f"is not approved: {fault_text}"
    raise Refused(
        f"release {release[:12]} {problem}", then=f"run: greenroom approve {approvable} --by NAME"
    )


def approval_status(
    workspace: Workspace, release: str, rules: PolicyStatement | None = None
) -> tuple[list[str], int]:
    """Return whose approvals of a release count, and how many more it takes.

    Args:
        workspace: where.
        release: its hash.
        rules: of its actor, verified; None to read them.
    """
    if rules is None:
        rules = policy_of(workspace, workspace.objects.read(release, ReleaseManifest).actor)
    return _counting(rules, _count_approvals(workspace, release)[0])


def _counting(rules: PolicyStatement, approvers: list[Approver]) -> tuple[list[str], int]:
    """Return whose approvals count under a policy, and how many more it asks for."""
    automatic = [approver.text for approver in approvers if approver.automatic]
    if automatic:
        return automatic, 0
    allowed = [a for a in approvers if not rules.approvers or a.name in rules.approvers]
    counting: list[str] = []
    counted: set[str] = set()
    for approver in allowed:  # a person counts once, whatever key or spelling of the name it takes
        marks = {approver.key, folded_name(approver.name)}
        if not marks & counted:
            counting.append(approver.name)
        counted |= marks
    return counting, max(0, rules.needed - len(counting))
