"""Learn a rare style while the show goes on: a bounded step of a few layers, as a model of its own.

From takes and a reservoir to a model's manifest; `steps` has what is done to the numbers. The evidence
that a standing policy's bounds ask for stands in the manifest under "update"; an update that breaks a
bound, or helps nothing, is refused and leaves nothing behind.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from greenroom.adaptation.graph_adapter import CENTRES, Adapter, golden_outputs
from greenroom.adaptation.replay_reservoir import (
    Moments,
    Reservoir,
    concatenate_moments,
    take_moments,
)
from greenroom.adaptation.update_step import EVERY, UpdateBounds, UpdateSplit, fit_update
from greenroom.consent.gate import merge_rights, require_rights
from greenroom.contracts import ModelShape
from greenroom.errors import BadInput, GreenroomError, Refused
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import Floats
from greenroom.platform import run_in_background
from greenroom.store.workspace import Workspace
from greenroom.training.model_parts import STYLE, with_centres

UPDATE_VERSION = "1"
"""Raise it whenever a change of code changes an update's bits."""
_MOST = 600  # new moments, and replayed ones
_LATE = "give it a core of its own, or widen the policy's bounds"


def online_update(
    workspace: Workspace,
    start: str,
    takes: Sequence[str],
    replay: str,
    by: str,
    style: str | None = None,
    bounds: UpdateBounds | None = None,
    seed: int = 0,
) -> str:
    """Make a model that has learned from new takes a little; return its hash.

    Frames of a running show are kept as a take first, with its rights and labels. The same inputs and
    seed give the same model on one machine.

    Args:
        workspace: where all is.
        start: hash of the model, or of the release, that it starts from.
        takes: hashes of the new takes.
        replay: hash of the reservoir.
        by: who asks.
        style: what the new takes show; by default what all of them are labelled with, if anything.
        bounds: what it may do.
        seed: of the gaps that are made.

    Raises:
        MissingExtra: `onnx` is not installed.
        BadInput: takes, reservoir and model don't belong together, or are too short.
        Refused: a take's rights do not cover training, or no step within the bounds helps; the sentence
            has the numbers.
    """
    bounds, started_s = bounds or UpdateBounds(), time.monotonic()
    model = _model(workspace, start)
    manifest = workspace.objects.manifest(model, "model")
    day = datetime.datetime.now(datetime.UTC).date()
    new_takes = sorted(set(takes))
    for take in new_takes:
        take_manifest = workspace.objects.manifest(take, "take")
        require_rights(take_manifest, take, "train", day)
        if take_manifest["actor"] != manifest["actor"]:
            raise BadInput(
                f"take {take[:12]} is {take_manifest['actor']}'s, not {manifest['actor']}'s"
            )
    if workspace.objects.manifest(replay, "replay")["actor"] != manifest["actor"]:
        raise BadInput(f"reservoir {replay[:12]} is another actor's")
    spec = FeatureSpec.load(manifest["features"])
    graph = workspace.objects.get(manifest["blobs"]["graph"])
    adapter = Adapter(graph, ModelShape.load(manifest["shape"]), spec.joints)
    new, past = _material(workspace, spec, new_takes, replay, day)
    labels = set(new.fit.styles) | set(new.judged.styles)
    style_name = style if style is not None else (labels.pop() if len(labels) == 1 else "")
    kinds = tuple(manifest.get("styles", ()))
    weights, evidence = fit_update(adapter, new, past, style_name, kinds, bounds, seed)
    elapsed_s = time.monotonic() - started_s
    if elapsed_s > bounds.seconds:
        raise Refused(
            f"the update took {elapsed_s:.0f} s, where {bounds.seconds:g} are allowed", then=_LATE
        )
    moved = adapter.moved(weights)
    blobs = {"graph": workspace.objects.put(moved), "golden": ""}
    blobs["golden"] = workspace.objects.put(golden_outputs(moved, adapter.shape))
    if "reference" in manifest["blobs"]:
        blobs["reference"] = manifest["blobs"]["reference"]
    if "weights" in manifest["blobs"]:
        blobs["weights"] = _weights(workspace, manifest["blobs"]["weights"], weights)
    learned = {"takes": new_takes, "replay": replay}
    rights = merge_rights(workspace, manifest["rights"], [*new_takes, *sorted(set(past.fit.takes))])
    out = {
        **manifest,
        "figures": {},  # they were of the model that it starts from
        "rights": rights,
        "parents": {"dataset": manifest["parents"]["dataset"], "start": model, **learned},
        "blobs": blobs,
        "update": {
            **evidence,
            "seconds": bounds.seconds,  # it took no longer; how long exactly would change the hash
            "style": style_name,
            "seed": seed,
            "in_a_row": 1 + manifest.get("update", {}).get("in_a_row", 0),
            "code": UPDATE_VERSION,
        },
    }
    style_part = manifest.get("parts", {}).get(STYLE)
    if style_part is not None and CENTRES in weights:
        part_changes = {
            "rights": rights,
            "parents": {"start": style_part, **learned},
            "code": UPDATE_VERSION,
        }
        moved_part = with_centres(workspace, style_part, weights[CENTRES], part_changes, by)
        out["parts"] = {**manifest["parts"], STYLE: moved_part}
    return workspace.publish(out, by=by)


def _model(workspace: Workspace, start: str) -> str:
    manifest = workspace.objects.manifest(start)
    return str(manifest["parents"]["model"]) if manifest["kind"] == "release" else start


def _material(
    workspace: Workspace,
    spec: FeatureSpec,
    takes: Sequence[str],
    replay: str,
    day: datetime.date,
) -> tuple[UpdateSplit, UpdateSplit]:
    """Return new moments and replayed ones, each in halves.

    Raises:
        BadInput: one is too short to be judged.
    """
    if not takes:
        raise BadInput("an update without takes", then="give what is new")
    new = concatenate_moments([take_moments(workspace, spec, take, EVERY) for take in takes])
    past = Reservoir.load(workspace, replay).moments(workspace, spec, day)
    past = past.only(~np.isin(past.takes, list(takes)))
    both = UpdateSplit.of(_some(new)), UpdateSplit.of(_some(past))
    if not all(len(half.fit) and len(half.judged) for half in both):
        raise BadInput(
            f"{len(new)} new moments and {len(past)} replayed ones are too few to make a step and "
            "judge it",
            then="give longer takes, and a reservoir of other ones",
        )
    return both


def _some(moments: Moments) -> Moments:
    """Return `_MOST` moments at most, evenly."""
    picks = np.linspace(0, len(moments) - 1, min(len(moments), _MOST)).astype(int)
    return moments.only(np.unique(picks))


def _weights(workspace: Workspace, blob: str, moved: dict[str, Floats]) -> str:
    """Keep the learned weights with what moved; return the blob's hash."""
    from safetensors.numpy import load, save

    tensors = load(workspace.objects.get(blob))
    return workspace.objects.put(
        save({name: moved.get(name, value) for name, value in tensors.items()})
    )


def online_update_subprocess(
    home: Path,
    start: str,
    takes: Sequence[str],
    replay: str,
    by: str,
    style: str | None = None,
    bounds: UpdateBounds | None = None,
    seed: int = 0,
) -> str:
    """Do :func:`online_update` in a process of its own, on one core and after everybody else's work.

    Args:
        home: the workspace's folder.
        start: see :func:`online_update`, as all that follows.
        takes: the same.
        replay: the same.
        by: the same.
        style: the same.
        bounds: the same.
        seed: the same.

    Raises:
        GreenroomError: what :func:`online_update` raises, or its process ended without an answer.
    """
    bounds = bounds or UpdateBounds()
    request = {
        "start": start,
        "takes": list(takes),
        "replay": replay,
        "by": by,
        "style": style,
        "bounds": asdict(bounds),
        "seed": seed,
    }
    single_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "greenroom.adaptation.online_update", str(home)]
    try:
        process = subprocess.run(
            command,
            input=json.dumps(request),
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
    """Read what is asked from standard input; write the model's hash, or what went wrong."""
    run_in_background()
    request = json.load(sys.stdin)
    request["bounds"] = UpdateBounds(**request["bounds"])
    answer: dict[str, str]
    try:
        answer = {"model": online_update(Workspace(Path(sys.argv[1])), **request)}
    except GreenroomError as error:
        error_fields = {"what": error.what, "where": error.where, "then": error.then}
        answer = {"kind": type(error).__name__, **error_fields}
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
