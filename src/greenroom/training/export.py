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
from greenroom.networks.input_batch import Drivers, Observation, assemble_batch, zero_inputs
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
        for observed in (True, False):
            inputs = _random_inputs(model.shape, torch.from_numpy(take), random, observed)
            worst = max(worst, _max_difference(model, session, inputs))
    return worst


def _random_inputs(
    shape: ModelShape, states: torch.Tensor, random: torch.Generator, observed: bool
) -> dict[str, torch.Tensor]:
    """Return inputs at a take's first tick with a history, with random gaps, speech and labels.

    Args:
        shape: of the model's tensors.
        states: of the take (T, D).
        random: of the draws.
        observed: whether some joints are captured, or none.
    """
    k, joints, labels = shape.history, shape.joints, shape.phonemes + shape.context

    def mask(share: float, *size: int) -> torch.Tensor:
        return (torch.rand(1, *size, generator=random) < share).float()

    captured = mask(0.8 * observed, k, joints)
    now = Observation(
        states[None, k],
        states[None, k - 1],
        valid=mask(0.7 * observed, joints),
        previous_valid=captured[:, -1],
        gap_ticks=torch.randint(1, 20, (1, joints), generator=random).float(),
    )
    drivers = Drivers(
        speech=torch.randn(1, shape.speech, shape.speech_channels, generator=random),
        speech_mask=mask(0.5, shape.speech),
        conditioning=mask(0.2, shape.speech, labels),
        noise=torch.randn(1, shape.noise, generator=random),
    )
    batch = assemble_batch(shape, states[None, :k], captured, now, drivers=drivers)
    return dict(zip(shape.inputs(), batch.tensors, strict=True))


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
