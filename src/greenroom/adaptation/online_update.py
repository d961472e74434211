"""Online update: a bounded step of a few layers on new takes and replay, as a model of its own.

From takes and a reservoir to a model's manifest; `update_step` chooses the step. The evidence that a
standing policy's bounds ask for stands in the manifest under "update"; an update that breaks a bound, or
helps nothing, is refused and publishes nothing.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from msgspec import structs

from greenroom.adaptation.graph_adapter import CENTRES, Adapter, golden_outputs
from greenroom.adaptation.replay_reservoir import (
    Moments,
    Reservoir,
    concatenate_moments,
    take_moments,
)
from greenroom.adaptation.update_step import (
    EVERY,
    UpdateBounds,
    UpdateData,
    UpdateGoal,
    UpdateSplit,
    fit_update,
)
from greenroom.consent.gate import merge_rights, require_rights
from greenroom.contracts import ModelShape
from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import Floats
from greenroom.manifests import (
    Model,
    ModelBlobs,
    ModelParents,
    ModelPart,
    PartParents,
    ReleaseManifest,
    ReplayReservoir,
)
from greenroom.platform import run_in_background
from greenroom.store.workspace import Workspace
from greenroom.training.model_parts import STYLE, with_centres

UPDATE_VERSION = "1"
"""Raise it whenever a change of code changes an update's bits."""
_MOST = 600  # new windows, and replayed ones
_LATE = "give it a core of its own, or widen the policy's bounds"


@dataclass(frozen=True)
class UpdateRequest:
    """An online update that is asked for.

    Attributes:
        start: hash of the initial model, or of its release.
        takes: hashes of the new takes.
        replay: hash of the reservoir.
        style: label of the new takes; None for the one that all of them have, if any.
        bounds: of the update.
        seed: of the gaps that are made.
    """

    start: str
    takes: Sequence[str]
    replay: str
    style: str | None = None
    bounds: UpdateBounds = UpdateBounds()
    seed: int = 0


def online_update(workspace: Workspace, request: UpdateRequest, by: str) -> str:
    """Publish a model that was updated on new takes within bounds; return its hash.

    Frames of a running show are ingested as a take first, with its rights and labels. The same request
    gives the same model on one machine.

    Args:
        workspace: where all is published.
        request: takes, reservoir and bounds.
        by: name of who asks.

    Raises:
        BadInput: takes, reservoir and model don't belong together, or are too short.
        Refused: a take's rights do not cover training, or no step within the bounds helps.
    """
    bounds, started_s = request.bounds, time.monotonic()
    model = _model(workspace, request.start)
    manifest = workspace.objects.read(model, Model)
    day, new_takes = workspace.today(), sorted(set(request.takes))
    _require_same_actor(workspace, manifest.actor, new_takes, request.replay, day=day)
    spec = FeatureSpec.load(manifest.features)
    graph = workspace.objects.get(manifest.blobs.graph)
    adapter = Adapter(graph, ModelShape.load(manifest.shape), spec.joints)
    data = _update_data(workspace, spec, new_takes, request.replay, day=day)
    style_name = _common_style(data.new) if request.style is None else request.style
    goal = UpdateGoal(style_name, tuple(manifest.styles), bounds)
    weights, evidence = fit_update(adapter, data, goal, request.seed)
    elapsed_s = time.monotonic() - started_s
    if elapsed_s > bounds.seconds:
        raise Refused(
            f"the update took {elapsed_s:.0f} s, where {bounds.seconds:g} are allowed", then=_LATE
        )
    past_takes = sorted(set(data.past.fit.takes))
    updated = structs.replace(
        manifest,
        figures={},  # they were of the model that it starts from
        rights=merge_rights(workspace, manifest.rights, [*new_takes, *past_takes]),
        parents=ModelParents(
            dataset=manifest.parents.dataset, start=model, takes=new_takes, replay=request.replay
        ),
        blobs=_updated_blobs(workspace, manifest.blobs, adapter, weights),
        update=structs.replace(
            evidence,
            style=style_name,
            seed=request.seed,
            in_a_row=1 + (manifest.update.in_a_row if manifest.update else 0),
            recipe_version=UPDATE_VERSION,
        ),
    )
    return workspace.publish(_with_style_part(workspace, updated, weights, by), by=by)


def _require_same_actor(
    workspace: Workspace, actor: str, takes: Sequence[str], replay: str, day: datetime.date
) -> None:
    """Check that takes may be trained on, and that takes and reservoir are an actor's.

    Raises:
        BadInput: one is another actor's.
        Refused: a take's rights do not cover training.
    """
    for take in takes:
        require_rights(workspace, take, "train", day)
        workspace.attributions.require_actor(take, actor)
    if workspace.objects.read(replay, ReplayReservoir).actor != actor:
        raise BadInput(f"reservoir {replay[:12]} is another actor's")


def _common_style(new: UpdateSplit) -> str:
    """Return the label that all new takes have; "" where they have none or several."""
    labels = set(new.fit.styles) | set(new.judged.styles)
    return labels.pop() if len(labels) == 1 else ""


def _updated_blobs(
    workspace: Workspace,
    before: ModelBlobs,
    adapter: Adapter,
    weights: Mapping[str, Floats],
) -> ModelBlobs:
    """Store the updated graph, its golden outputs and weights; return all blobs of the model."""
    graph = adapter.apply_delta(weights)
    return structs.replace(
        before,
        graph=workspace.objects.put(graph),
        golden=workspace.objects.put(golden_outputs(graph, adapter.shape)),
        weights=_weights(workspace, before.weights, weights) if before.weights else "",
    )


def _with_style_part(
    workspace: Workspace, model: Model, weights: Mapping[str, Floats], by: str
) -> Model:
    """Publish the style part with updated centres, if any; return the model's manifest with it."""
    name = model.parts.get(STYLE)
    if name is None or CENTRES not in weights:
        return model
    part = structs.replace(
        workspace.objects.read(name, ModelPart),
        rights=model.rights,
        parents=PartParents(start=name, takes=model.parents.takes, replay=model.parents.replay),
        recipe_version=UPDATE_VERSION,
    )
    updated = with_centres(workspace, part, weights[CENTRES], by)
    return structs.replace(model, parts={**model.parts, STYLE: updated})


def _model(workspace: Workspace, start: str) -> str:
    manifest = workspace.objects.read_any(start)
    return manifest.parents.model if isinstance(manifest, ReleaseManifest) else start


def _update_data(
    workspace: Workspace,
    spec: FeatureSpec,
    takes: Sequence[str],
    replay: str,
    day: datetime.date,
) -> UpdateData:
    """Return new windows and replayed ones, each in halves.

    Raises:
        BadInput: one is too short to be judged.
    """
    if not takes:
        raise BadInput("an update without takes", then="give what is new")
    new = concatenate_moments([take_moments(workspace, spec, take, EVERY) for take in takes])
    past = Reservoir.load(workspace, replay).moments(workspace, spec, day)
    past = past.only(~np.isin(past.takes, list(takes)))
    data = UpdateData(UpdateSplit.of(_some(new)), UpdateSplit.of(_some(past)))
    if not all(len(half.fit) and len(half.judged) for half in (data.new, data.past)):
        raise BadInput(
            f"{len(new)} new moments and {len(past)} replayed ones are too few to make a step and "
            "judge it",
            then="give longer takes, and a reservoir of other ones",
        )
    return data


def _some(moments: Moments) -> Moments:
    """Return `_MOST` moments at most, evenly."""
    picks = np.linspace(0, len(moments) - 1, min(len(moments), _MOST)).astype(int)
    return moments.only(np.unique(picks))


def _weights(workspace: Workspace, blob: str, moved: Mapping[str, Floats]) -> str:
    """Store the learned weights with the updated ones; return the blob's hash."""
    from safetensors.numpy import load, save

    tensors = load(workspace.objects.get(blob))
    return workspace.objects.put(
        save({name: moved.get(name, value) for name, value in tensors.items()})
    )


def online_update_subprocess(home: Path, request: UpdateRequest, by: str) -> str:
    """Do :func:`online_update` in a process of its own, on one core and in the background.

    Args:
        home: the workspace's folder.
        request: see :func:`online_update`.
        by: name of who asks.

    Raises:
        GreenroomError: what :func:`online_update` raises, or its process ended without an answer.
    """
    bounds = request.bounds
    order = {**asdict(request), "takes": list(request.takes), "by": by}
    single_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "greenroom.adaptation.online_update", str(home)]
    try:
        process = subprocess.run(
            command,
            input=json.dumps(order),
            capture_output=True,
            text=True,
            env={**os.environ, **single_thread},
            timeout=bounds.seconds,
        )
        answer = json.loads(process.stdout)
    except subprocess.TimeoutExpired:
        raise Refused(f"the update took more than {bounds.seconds:g} s", then=_LATE) from None
    except json.JSONDecodeError as error:
        raise GreenroomError("the update's process gave no answer", then="try it again") from error
    if "model" in answer:
        return str(answer["model"])
    kind = next((k for k in (Refused, BadInput) if k.__name__ == answer["kind"]), GreenroomError)
    raise kind(answer["what"], where=answer["where"], then=answer["then"])


def _main() -> None:
    """Read a request from standard input; print the model's hash, or the error."""
    run_in_background()
    order = json.load(sys.stdin)
    by, bounds = order.pop("by"), UpdateBounds(**order.pop("bounds"))
    answer: dict[str, str]
    try:
        request = UpdateRequest(**order, bounds=bounds)
        answer = {"model": online_update(Workspace(Path(sys.argv[1])), request, by)}
    except GreenroomError as error:
        error_fields = {"what": error.what, "where": error.where, "then": error.then}
        answer = {"kind": type(error).__name__, **error_fields}
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
