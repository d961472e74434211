"""Manifests of what is decided: releases, policies, approvals, gates."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from greenroom.manifests.base import (
    Count,
    Day,
    Hash,
    Manifest,
    Name,
    OptionalHash,
    Part,
    Rights,
    Share,
    UtcNs,
    Weight,
)
from greenroom.manifests.models import ReferenceSummary

Change = Literal["retrain", "online"]
"""How a model came from the one before."""


class Gate(Part, frozen=True, kw_only=True):
    """One condition that a model has to pass.

    Attributes:
        metric: "task.metric".
        against: "baseline" or "champion".
        margin: by how much the gain's lower bound has to be above 0.
        level: confidence of that one-sided bound.
        worst: True: every single take; a tier's name: every group by it; False: all takes together.
    """

    metric: str
    against: Literal["baseline", "champion"]
    margin: float
    level: Share
    worst: bool | str = False


class GateDecision(Gate, frozen=True, kw_only=True):
    """A gate, and whether a model passes it.

    Attributes:
        passed: the decision.
        why: the sentence that says why.
        model: the model's figure.
        rival: the baseline's or champion's figure.
        gain: the gain's interval.
        takes: how many were compared.
    """

    passed: bool
    why: str
    model: float | None = None
    rival: float | None = None
    gain: tuple[float, float] | None = None
    takes: Count = 0


def gate_of(decision: GateDecision) -> Gate:
    """Return the gate that a decision is about."""
    names = Gate.__struct_fields__
    return Gate(**{name: getattr(decision, name) for name in names})


class ReleaseParents(Part, frozen=True, kw_only=True):
    """What a release was made from; `validation` is "" where the model was not judged."""

    model: Hash
    validation: OptionalHash = ""


class ReleaseManifest(Manifest, tag="release", frozen=True, kw_only=True):
    """A model that may be approved: its hash, card, gates, rights, reference summary.

    Attributes:
        actor: the actor that it is for.
        gates: decisions of the gates that the model passed.
        blobs: "card", its card as Markdown.
        reference: summary of the model's outputs on held-out takes.
        rights: under which the model was trained.
        graph_sha256: hash of the model's graph.
        feature_spec: hash of these settings.
        parents: what it was made from.
    """

    actor: Name
    gates: list[GateDecision]
    blobs: dict[str, Hash]
    reference: ReferenceSummary
    rights: list[Rights]
    graph_sha256: Hash
    feature_spec: Hash
    parents: ReleaseParents


class AutoApproval(Part, frozen=True, kw_only=True):
    """What a policy approves automatically, and within which bounds.

    Attributes:
        until: last day on which it does.
        per_day: most approvals on one UTC day.
        kinds: of change: "retrain", "online".
        bounds: of an online update, by name: "norm", "replay_loss", "seconds", "in_a_row".
    """

    until: Day
    per_day: Annotated[int, Meta(ge=1)]
    kinds: list[Change]
    bounds: dict[str, float] = {}


class LearningRules(Part, frozen=True, kw_only=True):
    """When a model is retrained; see `greenroom.retraining.requests.Rules`.

    Attributes:
        causes: of alerts that ask for it.
        cool_down_s: seconds between the end of a run and the next.
        per_day: most runs in 24 hours.
        freeze_after: rejections or failures in a row that stop it.
        nightly: cron expression of five fields; "" for no schedule.
        zone: time zone of that.
        preset: size of the model.
        steps: of the training; 0 for the preset's.
        canary_s: seconds under guard before a release is promoted.
        gather_s: seconds of capture after an alert before a run begins.
        spike_s: the same before an online update.
    """

    causes: list[str]
    cool_down_s: Weight
    per_day: Count
    freeze_after: Count
    nightly: str
    zone: str
    preset: str
    steps: Count
    canary_s: Weight
    gather_s: Weight
    spike_s: Weight


class PolicyStatement(Part, frozen=True, kw_only=True):
    """The rules of a policy, as they are signed.

    Attributes:
        actor: the actor that it is for.
        by: the person who signs it; "" for the rules that hold without a policy.
        needed: how many different people must approve.
        approvers: who may; nobody named means anybody with a key that counts.
        gates: what a model has to pass.
        auto_approval: what is approved automatically, and within which bounds; None for nothing.
        learning: when a model is retrained; None for the defaults.
        previous: the policy that this one follows; None for the first.
    """

    actor: Name
    by: str = ""
    needed: Annotated[int, Meta(ge=1)] = 1
    approvers: list[str] = []
    gates: list[Gate] = []
    auto_approval: AutoApproval | None = None
    learning: LearningRules | None = None
    previous: Hash | None = None


class Policy(Manifest, tag="policy", frozen=True, kw_only=True):
    """A signed rule: who may approve for an actor, how many must, what a model has to pass.

    Attributes:
        actor: the actor that it is for.
        statement: the rules.
        key: public key that signed it, 64 hex digits.
        signature: Ed25519, of the statement's canonical JSON, hex.
    """

    actor: Name
    statement: PolicyStatement
    key: Hash
    signature: str


class ApprovalStatement(Part, frozen=True, kw_only=True):
    """What an approver signs.

    Attributes:
        at_ns: when.
        by: the person; "" where a policy approves automatically.
        release: the release that is approved; "" where it is a policy.
        policy: the policy that is approved, or by which a release is approved automatically.
        until: last day on which the approval counts; None for no end.
        change: of an automatic approval: "retrain" or "online".
    """

    at_ns: UtcNs
    by: str = ""
    release: OptionalHash = ""
    policy: OptionalHash = ""
    until: Day | None = None
    change: Literal["", "retrain", "online"] = ""


class ApprovalParents(Part, frozen=True, kw_only=True):
    """What is approved, and the policy that approved it automatically."""

    release: OptionalHash = ""
    policy: OptionalHash = ""


class Approval(Manifest, tag="approval", frozen=True, kw_only=True):
    """A signed approval of a release or of a policy; without a key where a policy approved it.

    Attributes:
        statement: what is signed.
        parents: what it is about.
        key: public key that signed it, 64 hex digits; "" for an automatic one.
        signature: Ed25519, of the statement's canonical JSON, hex; "" for an automatic one.
    """

    statement: ApprovalStatement
    parents: ApprovalParents
    key: OptionalHash = ""
    signature: str = ""
