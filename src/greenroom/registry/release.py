"""Models that were approved: what a release holds, how it is made, loaded and refused.

A release names its model by hash; the model names its graph, feature specification and baselines. Who
approved it is signed (`greenroom.registry.approval`). A release without the approvals that its actor's
policy asks for is refused, and so is every byte that does not match its hash.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.contracts import LOOK_AHEAD, ModelShape
from greenroom.errors import BadInput, Refused
from greenroom.features.conditioning import Vocabulary
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import BONES, PARENTS, Doubles, Floats, Skeleton
from greenroom.manifests import GateDecision, Model, ReleaseManifest, ReleaseParents
from greenroom.registry import approval
from greenroom.registry.card import model_card
from greenroom.registry.rigs import arkit_mapping
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class PerformerSpec:
    """What a release says about how to perform it.

    Attributes:
        spec: the features.
        shape: the model's tensors.
        rest: state (D,) to begin from and to return to on `hold`.
        uses_speech: whether the model hears: its face, so far, and not its body, is driven by speech.
        rig: names of the weights of the face that it drives.
        arkit: (channel of the rig, ARKit's name, weight): what of it is emitted, and as what.
        words: that it may be told.
        offsets: where the performer's bones sit on their parents (55, 3), metres: by these the feet of
            a body that nobody captures are kept from sliding.
    """

    spec: FeatureSpec
    shape: ModelShape
    rest: Floats
    uses_speech: bool
    rig: tuple[str, ...] = ()
    arkit: tuple[tuple[str, str, float], ...] = ()
    words: Vocabulary = Vocabulary()
    offsets: Doubles | None = None

    @classmethod
    def of(cls, workspace: Workspace, model: Model) -> PerformerSpec:
        """Return the role that a model's manifest and its parts describe."""
        return cls(
            FeatureSpec.load(model.features),
            ModelShape.load(model.shape),
            np.asarray(model.rest_state, dtype=np.float32),
            model.uses_speech,
            tuple(model.rig),
            arkit_mapping(workspace, model),
            Vocabulary.load(model.vocabulary),
            np.asarray(model.offsets, dtype=np.float64),
        )

    @property
    def look_ahead_ms(self) -> int:
        """How far a frame's face lies behind its body, for the speech that it waits for."""
        return round(1000 * LOOK_AHEAD / TICK_HZ) if self.shape.face else 0


@dataclass(frozen=True)
class Release:
    """A release, loaded and verified.

    Attributes:
        name: its hash.
        actor: whose.
        graph: the ONNX file.
        role: how to perform it.
        skeleton: the performer's bones.
        manifest: the release's own.
        model: the model's manifest.
        golden: what the graph said on the golden clip when it was trained; None for an older model.
    """

    name: str
    actor: str
    graph: bytes
    role: PerformerSpec
    skeleton: Skeleton
    manifest: ReleaseManifest
    model: Model
    golden: bytes | None = None


def approve(
    workspace: Workspace,
    model: str,
    by: str,
    until: datetime.date | None = None,
    validation: str | None = None,
    decisions: Sequence[GateDecision] = (),
) -> str:
    """Make a release of a model, sign its approval, and return its hash.

    Args:
        workspace: where.
        model: its hash.
        by: who approves.
        until: the last day on which this approval counts; None for no end.
        validation: the object that says how the model was judged.
        decisions: of the gates that it passed.

    Raises:
        BadInput: there is no such model, or no name was given.
        Refused: this person may not approve.
    """
    if not by.strip():
        raise BadInput("an approval needs a name", then="give --by NAME")
    name = make_release(workspace, model, by, validation, decisions)
    approval.sign_approval(workspace, name, by, until)
    return name


def make_release(
    workspace: Workspace,
    model: str,
    by: str,
    validation: str | None = None,
    decisions: Sequence[GateDecision] = (),
) -> str:
    """Make a release of a model, which nobody has approved yet; return its hash.

    Args:
        workspace: where.
        model: its hash.
        by: who makes it.
        validation: the object that says how the model was judged.
        decisions: of the gates that it passed.

    Raises:
        BadInput: there is no such model.
    """
    model_manifest = workspace.objects.read(model, Model)
    for blob in model_manifest.blob_hashes():
        workspace.objects.get(blob)
    text = model_card(workspace, model, validation, list(decisions))
    release = ReleaseManifest(
        actor=model_manifest.actor,
        parents=ReleaseParents(model=model, validation=validation or ""),
        gates=list(decisions),
        blobs={"card": workspace.objects.put(text.encode())},
        reference=model_manifest.reference,
        rights=model_manifest.rights,
        graph_sha256=model_manifest.blobs.graph,
        feature_spec=model_manifest.feature_spec,
    )
    return workspace.publish(release, by=by)


def load_release(workspace: Workspace, name: str, *, past: bool = False) -> Release:
    """Return a release with every byte verified.

    Args:
        workspace: where it is.
        name: its hash.
        past: what it performed is looked at, and it performs no more: then nobody has to approve of it
            today.

    Raises:
        Refused: it is not approved, or its parts contradict each other.
        CorruptObject: a byte changed.
    """
    manifest = workspace.objects.read(name, ReleaseManifest)
    if not past:
        approval.require_approved(workspace, name, manifest)
    model = workspace.objects.read(manifest.parents.model, Model)
    role = PerformerSpec.of(workspace, model)
    if not role.spec.hash == model.feature_spec == manifest.feature_spec:
        raise Refused(f"release {name[:12]} was made for other features", then="train it again")
    if manifest.graph_sha256 != model.blobs.graph:
        raise Refused(f"release {name[:12]} names another graph than its model")
    skeleton = Skeleton(BONES, PARENTS, np.asarray(model.offsets, dtype=np.float64))
    for blob in manifest.blob_hashes():
        workspace.objects.get(blob)
    graph = workspace.objects.get(model.blobs.graph)
    golden_blob = model.blobs.golden
    golden = None if not golden_blob else workspace.objects.get(golden_blob)
    return Release(name, manifest.actor, graph, role, skeleton, manifest, model, golden)
