"""Parts of a model that are objects of their own, with a hash, a fit and a release of their own.

A style part holds all that the style head needs: its numbers and, as these are about normalised states,
the mean and spread by which its model normalises. So it is a function of a dataset, a feature
specification and this normalisation; the same three give the same hash in whatever model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from greenroom.frames import Floats
from greenroom.manifests import Model, ModelPart, PartParents, Rig
from greenroom.store.workspace import Workspace

STYLE: Literal["style"] = "style"
RIG = "rig"
CENTRES = "centres"


def publish_parts(workspace: Workspace, model: Model, trained: Any, by: str) -> Model:
    """Publish the parts of a newly trained model; return its manifest with their hashes.

    Args:
        workspace: where they are published.
        model: its manifest, complete but for its parts.
        trained: the network.
        by: name of who trains.
    """
    parts: dict[str, str] = {}
    style = getattr(trained, "style", None)  # the token model has no such head
    if style is not None:
        tensors = tensors_of(style, trained.core.mean, trained.core.std)
        part = ModelPart(
            part=STYLE,
            actor=model.actor,
            styles=model.styles,
            features=model.features,
            feature_spec=model.feature_spec,
            recipe_version=model.recipe_version,
            rights=model.rights,
            figures=model.figures,
            parents=PartParents(dataset=model.parents.dataset),
            blobs={},
        )
        parts[STYLE] = publish_style(workspace, part, tensors, by)
    if model.rig:
        parts[RIG] = _rig(workspace, model, by)
    return msgspec.structs.replace(model, parts=parts)


def _rig(workspace: Workspace, model: Model, by: str) -> str:
    """Return the rig's hash; the initial model's rig where the channels are the same."""
    start = model.parents.start
    parts = workspace.objects.read(start, Model).parts if start else {}
    if RIG in parts and workspace.objects.read(parts[RIG], Rig).channels == model.rig:
        return parts[RIG]
    return workspace.publish(Rig(channels=model.rig), by=by)


def publish_style(
    workspace: Workspace, part: ModelPart, tensors: Mapping[str, Floats], by: str
) -> str:
    """Publish a style part; return its hash.

    Args:
        workspace: where it is published.
        part: its manifest but for shape and blobs; of its figures those of styles are used.
        tensors: of :func:`tensors_of`.
        by: name of who publishes.
    """
    from safetensors.numpy import save

    style_figures = {
        n: round(v, 4) for n, v in sorted(part.figures.items()) if n.startswith("style_")
    }
    complete = msgspec.structs.replace(
        part,
        shape={name: list(tensors[name].shape) for name in sorted(tensors)},
        figures=style_figures,
        blobs={"tensors": workspace.objects.put(save(dict(sorted(tensors.items()))))},
    )
    return workspace.publish(complete, by=by)


def tensors_of(style: Any, mean: Any, std: Any) -> dict[str, Floats]:
    """Return the tensors of a style head, and the mean (D,) and spread (D,) of its states."""
    tensors = {**style.state_dict(), "state_mean": mean, "state_std": std}
    return {name: np.asarray(value).copy() for name, value in tensors.items()}


def with_centres(workspace: Workspace, part: ModelPart, centres: Floats, by: str) -> str:
    """Publish a style part with other centres; return its hash.

    Args:
        workspace: where it is published.
        part: its manifest, with the tensors of the original part.
        centres: of the styles (C, A).
        by: name of who updates.
    """
    from safetensors.numpy import load

    tensors = load(workspace.objects.get(part.blobs["tensors"]))
    moved = {**tensors, CENTRES: centres.astype(tensors[CENTRES].dtype)}
    return publish_style(workspace, msgspec.structs.replace(part, figures={}), moved, by)
