"""Parts of a model that are objects of their own, with a hash, a fit and a release of their own.

A style part holds all that the style head needs: its numbers and, as these are about normalised states,
the mean and spread by which its model normalises. So it is a function of a dataset, a feature
specification and this normalisation; the same three give the same hash in whatever model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from greenroom.frames import Floats
from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace

STYLE, RIG = "style", "rig"
CENTRES = "centres"


def publish_parts(workspace: Workspace, model: Manifest, trained: Any, by: str) -> Manifest:
    """Publish the parts of a newly trained model; return the entry of its manifest.

    Args:
        workspace: where they are published.
        model: its manifest, complete but for its parts.
        trained: the network.
        by: name of who trains.

    Returns:
        {"parts": {"style": hash, "rig": hash}}, those that it has; {} for a model without parts.
    """
    parts = {}
    style = getattr(trained, "style", None)  # the token model has no such head
    if style is not None:
        tensors = tensors_of(style, trained.core.mean, trained.core.std)
        parents = {"dataset": model["parents"]["dataset"]}
        parts[STYLE] = publish_style(workspace, {**model, "parents": parents}, tensors, by)
    if "rig" in model:
        parts[RIG] = _rig(workspace, model, by)
    return {"parts": parts} if parts else {}


def _rig(workspace: Workspace, model: Manifest, by: str) -> str:
    """Return the rig's hash; the initial model's rig where the channels are the same."""
    start = model["parents"].get("start")
    parts = workspace.objects.manifest(start, "model").get("parts", {}) if start else {}
    if RIG in parts and workspace.objects.manifest(parts[RIG])["channels"] == model["rig"]:
        return str(parts[RIG])
    return workspace.publish({"kind": "rig", "version": 1, "channels": model["rig"]}, by=by)


def publish_style(
    workspace: Workspace, manifest: Manifest, tensors: Mapping[str, Floats], by: str
) -> str:
    """Publish a style part; return its hash.

    Args:
        workspace: where it is published.
        manifest: has "actor", "styles", "features", "feature_spec", "code", "rights", "parents" and
            "figures", of which those of styles are used.
        tensors: of :func:`tensors_of`.
        by: name of who publishes.
    """
    from safetensors.numpy import save

    same = ("actor", "styles", "features", "feature_spec", "code", "rights", "parents")
    figures = {
        n: round(v, 4) for n, v in sorted(manifest["figures"].items()) if n.startswith("style_")
    }
    out = {
        "kind": "part",
        "version": 1,
        "part": STYLE,
        **{key: manifest[key] for key in same},
        "shape": {name: list(tensors[name].shape) for name in sorted(tensors)},
        "figures": figures,
        "blobs": {"tensors": workspace.objects.put(save(dict(sorted(tensors.items()))))},
    }
    return workspace.publish(out, by=by)


def tensors_of(style: Any, mean: Any, std: Any) -> dict[str, Floats]:
    """Return the tensors of a style head, and the mean (D,) and spread (D,) of its states."""
    tensors = {**style.state_dict(), "state_mean": mean, "state_std": std}
    return {name: np.asarray(value).copy() for name, value in tensors.items()}


def with_centres(
    workspace: Workspace, part: str, centres: Floats, changes: Manifest, by: str
) -> str:
    """Publish a style part with other centres; return its hash.

    Args:
        workspace: where it is published.
        part: hash of the original part.
        centres: of the styles (C, A).
        changes: other changes: "rights", "parents", "code".
        by: name of who updates.
    """
    from safetensors.numpy import load

    before = workspace.objects.manifest(part, "part")
    tensors = load(workspace.objects.get(before["blobs"]["tensors"]))
    moved = {**tensors, CENTRES: centres.astype(tensors[CENTRES].dtype)}
    return publish_style(workspace, {**before, "figures": {}, **changes}, moved, by)
