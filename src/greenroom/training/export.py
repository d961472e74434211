"""From a trained network to an ONNX graph, and whether the graph does what the network does."""

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
from greenroom.networks.motion_net import MotionNet, example

PARITY = 2e-3
"""How far the exported graph may be from the trained one, in the outputs' own units."""
STYLE_PARITY = 1e-2
"""The same of a style's probability, which hangs on the difference of distances: on windows made up to
be wild these are thousands, and a probability was 0.0023 off where all other outputs were 2e-6."""


def export(model: MotionNet) -> tuple[bytes, list[str]]:
    """Return the ONNX graph and the names of its operations, sorted."""
    import onnx

    inputs = example(model.shape)
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
    for node in graph.graph.node:  # where it was exported on is nobody's business, nor the same
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    onnx.checker.check_model(graph)
    return graph.SerializeToString(), sorted({node.op_type for node in graph.graph.node})


def golden(graph: bytes, shape: ModelShape) -> bytes:
    """Return what the graph says on the golden clip (ticks, outputs), float32, little-endian."""
    session = _session(graph)
    input_names = {node.name for node in session.get_inputs()}
    outputs = []
    for inputs in golden_clip(shape):
        feed = {name: value for name, value in inputs.items() if name in input_names}
        outputs.append(np.concatenate(session.run(None, feed), axis=None))
    return np.stack(outputs).astype("<f4").tobytes()


def check_parity(model: MotionNet, graph: bytes, takes: Sequence[Floats]) -> float:
    """Return the largest difference between graph and model on real states.

    Raises:
        CheckFailed: it is more than `PARITY`.
    """
    shape = model.shape
    session = _session(graph)
    worst = 0.0
    random = torch.Generator().manual_seed(0)
    for take in takes:
        k = shape.history
        if len(take) <= k:
            continue
        state = torch.from_numpy(take)
        inputs = example(shape)
        inputs["history"] = state[None, :k]
        inputs["known"] = (torch.rand(1, k, shape.joints, generator=random) < 0.8).float()
        inputs["valid"] = (torch.rand(1, shape.joints, generator=random) < 0.7).float()
        inputs["state"] = state[None, k]
        inputs["noise"] = torch.randn(1, shape.noise, generator=random)
        inputs["heard"] = (torch.rand(1, shape.speech, generator=random) < 0.5).float()
        captured = inputs["valid"] * inputs["known"][:, -1]
        step = 30 * (state[k] - state[k - 1])[None, : 6 * shape.joints]
        inputs["velocity"] = step * captured.repeat_interleave(6, -1)
        inputs["age"] = (1 - inputs["valid"]) * torch.rand(1, shape.joints, generator=random) / 2
        inputs["speech"] = torch.randn(1, shape.speech, shape.speech_channels, generator=random)
        for name in ("phonemes", "context"):
            if name in inputs:
                inputs[name] = (torch.rand(inputs[name].shape, generator=random) < 0.2).float()
        worst = max(worst, _max_difference(model, session, inputs))
        for name in ("known", "valid", "state", "velocity"):  # and as when nobody is captured
            inputs[name] = torch.zeros_like(inputs[name])
        worst = max(worst, _max_difference(model, session, inputs))
    return worst


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
