"""Export a trained network as an ONNX graph, and check that both have the same outputs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from greenroom.contracts import ModelShape, golden_clip
from greenroom.errors import CheckFailed
from greenroom.frames import Floats
from greenroom.networks.input_batch import zero_inputs
from greenroom.networks.motion_net import MotionNet

PARITY = 2e-3
"""Largest difference between graph and network, in the outputs' own units."""
STYLE_PARITY = 1e-2
"""The same of a style's probability, which depends on the difference of distances: on synthetic windows
these are thousands, and a probability was 0.0023 off where all other outputs were 2e-6."""


def export(model: MotionNet) -> tuple[bytes, list[str]]:
    """Return the ONNX graph and the names of its operations, sorted."""
    import onnx

    inputs = zero_inputs(model.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            model,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(model.shape.outputs()),
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
    graph = program.model_proto
    clear_metadata(graph)
    onnx.checker.check_model(graph)
    return graph.SerializeToString(), sorted({node.op_type for node in graph.graph.node})


def clear_metadata(graph: Any) -> None:
    """Remove from an ONNX model what depends on the exporting machine and on names in the code."""
    body = graph.graph
    for entry in (graph, body):
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")
    for field in ("node", "input", "output", "initializer", "value_info"):
        for entry in getattr(body, field):
            entry.ClearField("metadata_props")
            entry.ClearField("doc_string")


def golden(graph: bytes, shape: ModelShape) -> bytes:
    """Return the graph's outputs on the golden clip (ticks, outputs), float32, little-endian."""
    session = _session(graph)
    input_names = {node.name for node in session.get_inputs()}
    outputs = []
    for inputs in golden_clip(shape):
        feed = {name: value for name, value in inputs.items() if name in input_names}
        outputs.append(np.concatenate(session.run(None, feed), axis=None))
    return np.stack(outputs).astype("<f4").tobytes()


def check_parity(model: MotionNet, graph: bytes, takes: Sequence[Floats]) -> float:
    """Return the largest difference between graph and model on real states (T, D).

    Raises:
        CheckFailed: it is more than `PARITY`.
    """
    session, worst = _session(graph), 0.0
    random = torch.Generator().manual_seed(0)
    for take in takes:
        if len(take) <= model.shape.history:
            continue
        inputs = _random_inputs(model.shape, torch.from_numpy(take), random)
        worst = max(worst, _max_difference(model, session, inputs))
        for name in ("captured", "valid", "state", "velocity"):  # and with nothing captured
            inputs[name] = torch.zeros_like(inputs[name])
        worst = max(worst, _max_difference(model, session, inputs))
    return worst


def _random_inputs(
    shape: ModelShape, states: torch.Tensor, random: torch.Generator
) -> dict[str, torch.Tensor]:
    """Return inputs at a take's first tick with a history: its states (T, D), all else random."""
    inputs, k = zero_inputs(shape), shape.history
    inputs["history"] = states[None, :k]
    inputs["captured"] = (torch.rand(1, k, shape.joints, generator=random) < 0.8).float()
    inputs["valid"] = (torch.rand(1, shape.joints, generator=random) < 0.7).float()
    inputs["state"] = states[None, k]
    inputs["noise"] = torch.randn(1, shape.noise, generator=random)
    inputs["speech_mask"] = (torch.rand(1, shape.speech, generator=random) < 0.5).float()
    captured = inputs["valid"] * inputs["captured"][:, -1]
    step = 30 * (states[k] - states[k - 1])[None, : 6 * shape.joints]
    inputs["velocity"] = step * captured.repeat_interleave(6, -1)
    inputs["age"] = (1 - inputs["valid"]) * torch.rand(1, shape.joints, generator=random) / 2
    inputs["speech"] = torch.randn(1, shape.speech, shape.speech_channels, generator=random)
    for name in ("phonemes", "context"):
        if name in inputs:
            inputs[name] = (torch.rand(inputs[name].shape, generator=random) < 0.2).float()
    return inputs


def _max_difference(model: MotionNet, session: Any, inputs: dict[str, torch.Tensor]) -> float:
    """Return the largest difference between graph and model at inputs."""
    with torch.no_grad():
        ours = model(*inputs.values())
    theirs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    worst = 0.0
    for name, a, b in zip(model.shape.outputs(), ours, theirs, strict=True):
        error = float(np.abs(a.numpy() - b).max())
        if error > (STYLE_PARITY if name == "style" else PARITY):
            raise CheckFailed(
                f"the exported graph's {name} differs from the model's by {error:.2g}"
            )
        worst = max(worst, error)
    return worst


def _session(graph: bytes) -> Any:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
