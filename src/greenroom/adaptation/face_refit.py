"""Face adaptation: an affine correction after the face head, fitted to half a minute of one person.

Which of two channels a person uses for one movement cannot be heard in a voice. The model's face from a
take's voice is compared with the take's face, and the correction (ridge, closed form) is appended to the
graph. All else of the model is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from msgspec import structs

from greenroom.adaptation.graph_adapter import golden_outputs
from greenroom.capture.fingerprint import take_fingerprints
from greenroom.capture.ingest import load_take
from greenroom.consent.gate import merge_rights, require_rights_of_all
from greenroom.contracts import LOOK_AHEAD
from greenroom.errors import BadInput, Refused
from greenroom.extras import require
from greenroom.features.speech import extract_speech
from greenroom.frames import Doubles, Floats
from greenroom.manifests import Dataset, Model, ModelParents, ModelPart, PartParents, Take
from greenroom.metrics.regression import r2
from greenroom.registry.lineage import require_trained
from greenroom.serving.onnx_backend import OnnxBackend, open_model
from greenroom.store.workspace import Workspace
from greenroom.validation.face_evaluator import (
    ADAPTED,
    fit_correction,
    predict_face,
    speech_windows,
)

FACE: Literal["face"] = "face"
LEAST = 300
"""Ticks of a take below which nothing is fitted: 10 s. More than half a minute is not looked at."""
REFIT_VERSION = "1"
"""Raise it whenever a change of code changes a correction's bits."""
_PLAIN, _OWN = "face_plain", "face_correction."


def adapt_face(workspace: Workspace, model: str, take: str, by: str) -> str:
    """Adapt a model's face to the person in a take; return the hash of the adapted model.

    Of the first half minute of the take: a correction of its first half has to improve its second.

    Args:
        workspace: where all is.
        model: hash of the initial model.
        take: hash of a take with a face, on the channels of the model's rig, and its voice.
        by: name of who asks.

    Raises:
        BadInput: model and take do not belong together, or the take is too short.
        Refused: the take's rights do not cover training, or what it teaches does not help.
    """
    before = workspace.objects.read(model, Model)
    _check(workspace, model, before, take)
    graph = workspace.objects.get(before.blobs.graph)
    backend = open_model(workspace, before)
    predicted, truth = _prediction_and_truth(workspace, take, before.rig, backend)
    plain, better = _held_out_gain(predicted, truth)
    if not better > plain:
        raise Refused(
            f"what the first half of take {take[:12]} teaches makes its second half no better: "
            f"R² {plain:.3f} before, {better:.3f} after",
            then="give half a minute in which the whole face moves, or keep the model as it is",
        )
    turn, shift = fit_correction(predicted, truth, len(truth))
    new, operations = _with_correction(graph, turn, shift)
    part = ModelPart(
        part=FACE,
        actor=before.actor,
        channels=before.rig,
        figures={"r2_before": round(plain, 4), "r2_after": round(better, 4)},
        ticks=len(truth),
        recipe_version=REFIT_VERSION,
        rights=merge_rights(workspace, [], [take]),
        parents=PartParents(start=model, takes=[take]),
        blobs={"tensors": workspace.objects.put(_tensors(turn, shift))},
    )
    golden = workspace.objects.put(golden_outputs(new, backend.shape))
    adapted = structs.replace(
        _adapted_manifest(workspace, before, part),
        operations=operations,
        parameters=before.parameters + turn.size + shift.size,
        parts={**before.parts, FACE: workspace.publish(part, by=by)},
        blobs=structs.replace(before.blobs, graph=workspace.objects.put(new), golden=golden),
    )
    return workspace.publish(adapted, by=by)


def _held_out_gain(predicted: Floats, truth: Floats) -> tuple[float, float]:
    """Return R² on the second half (T, B), without and with the correction of the first half."""
    half = len(truth) // 2
    turn, shift = fit_correction(predicted, truth, half)
    corrected = np.clip(predicted[half:] @ turn + shift, 0, 1)
    return r2(truth[half:], predicted[half:]), r2(truth[half:], corrected)


def _adapted_manifest(workspace: Workspace, before: Model, part: ModelPart) -> Model:
    """Return the manifest of a model with the rights and parents of its face part.

    Args:
        workspace: where the takes are.
        before: manifest of the initial model.
        part: manifest of the face part.
    """
    return structs.replace(
        before,
        figures={},  # they were of the model that it starts from
        rights=merge_rights(workspace, before.rights, part.parents.takes),
        parents=ModelParents(
            dataset=before.parents.dataset, start=part.parents.start, takes=part.parents.takes
        ),
    )


def carry_face_adaptation(workspace: Workspace, start: str, model: str, by: str) -> str:
    """Return a model with its face fitted as its start's was, or as it is where that is refused.

    A training begins with the head alone, so what was fitted to it is fitted again.

    Args:
        workspace: where all is.
        start: hash of the model that it started from.
        model: its hash.
        by: who asks.
    """
    part = workspace.objects.read(start, Model).parts.get(FACE)
    if part is None:
        return model
    (take,) = workspace.objects.read(part, ModelPart).parents.takes
    with suppress(BadInput, Refused):
        return adapt_face(workspace, model, take, by)
    return model


def _check(workspace: Workspace, name: str, model: Model, take: str) -> None:
    """Check that a model's face can be fitted to a take, and judged after that.

    Args:
        workspace: where both are.
        name: hash of the model.
        model: its manifest.
        take: hash of the take.

    Raises:
        BadInput: the two do not belong together.
        Refused: the take's rights do not cover training.
    """
    take_manifest = workspace.objects.read(take, Take)
    if not model.rig:
        raise BadInput(f"model {name[:12]} drives no face", then="train one on voices with faces")
    require_trained(workspace, name)
    if FACE in model.parts:
        start = workspace.objects.read(model.parts[FACE], ModelPart).parents.start
        raise BadInput(
            f"the face of model {name[:12]} is fitted to a take already",
            then=f"fit the model that it was made of, {start[:12]}, and exchange its other parts again",
        )
    dataset = workspace.objects.read(model.parents.dataset, Dataset)
    # The model is made anew, of all of them.
    require_rights_of_all(workspace, [take, *dataset.parents.takes], "train")
    workspace.attributions.require_actor(take, model.actor)
    if not {"face", "audio"} <= take_manifest.media.keys():
        raise BadInput(
            f"take {take[:12]} has no face with its voice", then="give one that has both"
        )
    heldout = [take_fingerprints(workspace, name, ("face",)) for name in dataset.splits["test"]]
    if any(take_fingerprints(workspace, take, ("face",)) & faces for faces in heldout):
        raise BadInput(
            f"take {take[:12]} is held out to judge model {name[:12]}, which could not be done then",
            then="give a take that is not in its test split",
        )


def _prediction_and_truth(
    workspace: Workspace, take: str, rig: Sequence[str], backend: OnnxBackend
) -> tuple[Floats, Floats]:
    """Return a model's face from a take's voice (T, B), and the take's face (T, B), 30 s at most.

    Args:
        workspace: where the take is.
        take: its hash.
        rig: channels of the model.
        backend: runs the model.

    Raises:
        BadInput: the face is another rig's, or too short.
    """
    recording = load_take(workspace, take)
    assert recording.face is not None and recording.audio is not None
    if list(recording.face.channels) != list(rig):
        raise BadInput(f"take {take[:12]} has the channels of another rig")
    speech, face = extract_speech(recording.audio.samples), recording.face.weights
    count = min(len(face), len(speech) - LOOK_AHEAD, ADAPTED)
    complete = np.isfinite(face[: max(0, count)]).all(axis=1)
    if complete.sum() < LEAST:
        raise BadInput(
            f"take {take[:12]} shows a whole face for {complete.sum() / 30:.1f} s, which is too short",
            then=f"record {LEAST // 30} s at least; half a minute is what counts",
        )
    windows = speech_windows(speech, backend.shape.speech, count)
    predicted = predict_face(backend, backend.shape, windows)
    return predicted[complete], face[:count][complete]


def _with_correction(graph: bytes, turn: Doubles, shift: Doubles) -> tuple[bytes, list[str]]:
    """Return a graph whose face (N, B) is turned (B, B) and shifted (B,), and its operations."""
    onnx = require("onnx", "train", "fitting a face")
    proto = onnx.load_from_string(graph)
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [_PLAIN if name == FACE else name for name in names]
    low, high = np.float32(0), np.float32(1)
    for name, values in {"turn": turn, "shift": shift, "low": low, "high": high}.items():
        values = np.asarray(values, dtype=np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, _OWN + name))
    turned, moved = f"{_OWN}turned", f"{_OWN}moved"
    for operation, inputs, output in (
        ("MatMul", [_PLAIN, f"{_OWN}turn"], turned),
        ("Add", [turned, f"{_OWN}shift"], moved),
        ("Clip", [moved, f"{_OWN}low", f"{_OWN}high"], FACE),
    ):
        proto.graph.node.append(onnx.helper.make_node(operation, inputs, [output], name=output))
    onnx.checker.check_model(proto)
    out: bytes = proto.SerializeToString()
    return out, sorted({node.op_type for node in proto.graph.node})


def _tensors(turn: Doubles, shift: Doubles) -> Any:
    from safetensors.numpy import save

    return save({"shift": shift.astype(np.float32), "turn": turn.astype(np.float32)})
