"""Show what a model makes of a take that loses one limb after the other, beside the truth."""

from __future__ import annotations

from greenroom.consent.gate import refusal_reason
from greenroom.contracts import Backend
from greenroom.datasets.build import load_bodies
from greenroom.datasets.gaps import fill_gaps
from greenroom.manifests import Dataset, Model
from greenroom.render.clips import clip_of
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import EvalModel


def clip_for(workspace: Workspace, model: str, backend: Backend) -> bytes | None:
    """Return a clip of the longest take of a model's test split, or None where none may be shown.

    A report leaves the house, so a take is shown only if its rights cover `export` today.

    Args:
        workspace: where the model is.
        model: its hash.
        backend: runs its graph.
    """
    manifest = workspace.objects.read(model, Model)
    subject = EvalModel.of(manifest, backend)
    dataset = workspace.objects.read(manifest.parents.dataset, Dataset)
    day = workspace.today()
    bodies = [
        body
        for take, body in load_bodies(workspace, dataset, "test").items()
        if not refusal_reason(workspace, take, "export", day)
    ]
    for body in sorted(bodies, key=len, reverse=True):
        filled_clip = fill_gaps(subject.perform, subject.spec, subject.shape.history, body)
        if filled_clip is not None:
            return clip_of(*filled_clip)
    return None
