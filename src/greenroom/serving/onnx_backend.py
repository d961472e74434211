"""Run a model's graph; the one place that knows ONNX Runtime.

The runtime's telemetry is switched off before it is imported: the product contacts nobody. Options
are fixed for the sake of exact replay: extended optimisation (the level above it changes bits between
instruction sets), sequential execution, one thread unless asked.
"""

from __future__ import annotations

import os
import platform
import time
from functools import cache
from typing import Any

import numpy as np

from greenroom.contracts import Backend, ModelShape, golden_clip
from greenroom.errors import BadInput, CheckFailed, ModelUnavailable
from greenroom.frames import Floats
from greenroom.manifests import Model
from greenroom.plugins import options_of
from greenroom.serving import ShapedBackend
from greenroom.store.workspace import Workspace

WARM_RUNS = 20
PATIENCE_S = 3.0
"""How long an answer is waited for before a show."""

PORTABLE_OPERATIONS = frozenset(
    """Add Sub Mul Div Sqrt Pow Neg Abs Exp Log Erf Tanh Sigmoid Relu Min Max Clip Where Cast MatMul Gemm
    LayerNormalization ReduceMax ReduceSum ReduceMean Reshape Transpose Concat Slice Split Gather Expand
    Unsqueeze Squeeze Constant ConstantOfShape Shape Identity Less Greater Equal Not And Or GRU LSTM Conv
    Range Tile Pad Flatten Gelu Reciprocal""".split()
)
"""Operations whose bits were equal between AVX-512 and AVX2; Softmax is not among them."""


def _runtime() -> Any:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


class OnnxBackend:
    """A model on ONNX Runtime's CPU provider.

    Args:
        graph: the ONNX file's bytes, already verified.
        shape: what the graph must take and give.
        threads: within an operation.

    Attributes:
        input_names: the inputs that the graph uses; a model without a task may leave some out.

    Raises:
        BadInput: the graph is unreadable or has other tensors.
    """

    def __init__(self, graph: bytes, shape: ModelShape, threads: int = 1) -> None:
        """Load the graph and check its signature."""
        ort = _runtime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.shape, self.threads = shape, threads
        try:
            self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own errors share no other base
            raise BadInput(f"this graph cannot be loaded: {error}") from error
        names = tuple(i.name for i in self.session.get_inputs())
        self._gives = tuple(shape.outputs())
        gives = tuple(output.name for output in self.session.get_outputs())
        takes = tuple(shape.inputs())
        if set(names) - set(takes) or gives != self._gives:
            raise BadInput(f"this graph takes {names}, not a performer's {takes}")
        self.input_names = names

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        """Return the outputs of one tick."""
        feed = {name: inputs[name] for name in self.input_names}
        return dict(zip(self._gives, self.session.run(self._gives, feed), strict=True))

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the bits."""
        return {
            "runtime": f"onnxruntime {_runtime().__version__}",
            "provider": "CPUExecutionProvider",
            "optimisation": "extended",
            "threads": str(self.threads),
            **machine_fingerprint(),
        }


def warm_up(backend: ShapedBackend, runs: int = WARM_RUNS) -> None:
    """Run a model a few times on zeros, so that the first frame is as fast as the others."""
    sizes = backend.shape.inputs()
    zeros = {name: np.zeros((1, *size), dtype=np.float32) for name, size in sizes.items()}
    for _ in range(runs):
        run_patiently(backend, zeros)


def run_patiently(backend: Backend, inputs: dict[str, Floats]) -> dict[str, Floats]:
    """Return the outputs of a backend before a show, when an answer may take a moment.

    Raises:
        ModelUnavailable: it gives none for some seconds.
    """
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return backend.run(inputs)
        except ModelUnavailable:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.02)


def open_onnxruntime(url: str, *, graph: bytes, shape: ModelShape) -> OnnxBackend:
    """Return the backend of a URL.

    Args:
        url: onnxruntime://cpu, and ?threads=N (1 to 64) if an operation may use more than one.
        graph: the ONNX file's bytes, already verified.
        shape: sizes of the graph's tensors.

    Raises:
        BadInput: another provider, a number of threads out of range, or an unusable graph.
    """
    parts, options = options_of(url, {"threads": int})
    if parts.netloc != "cpu":
        raise BadInput(f"'{url}' names no provider", then="give onnxruntime://cpu")
    threads = options.get("threads", 1)
    if not 1 <= threads <= 64:
        raise BadInput(f"'{url}' asks for {threads} threads", then="give 1 to 64")
    return OnnxBackend(graph, shape, threads)


def open_model(workspace: Workspace, model: Model) -> OnnxBackend:
    """Return a backend with the graph of a model.

    Args:
        workspace: where the graph is kept.
        model: the model's manifest.
    """
    graph = workspace.objects.get(model.blobs.graph)
    return OnnxBackend(graph, ModelShape.load(model.shape))


GOLDEN = 1e-2
"""How far an output may be, absolutely or relatively, from what it was where it was trained: other
runtimes and processors differ by less than a tenth of this."""


def self_test(backend: ShapedBackend, golden: bytes | None) -> None:
    """Try a graph on the golden clip before it may perform.

    Args:
        backend: has the graph.
        golden: what it said when it was trained, as `greenroom.training.export.golden` wrote it; None
            for a model that kept none, then its outputs only have to be finite.

    Raises:
        CheckFailed: it says something else, or no number, or nothing.
    """
    clip = golden_clip(backend.shape)
    outputs = np.stack(
        [np.concatenate([*run_patiently(backend, tick).values()], axis=None) for tick in clip]
    )
    if not np.isfinite(outputs).all():
        raise CheckFailed("the graph gives no finite numbers on the golden clip")
    if golden is None:
        return
    expected = np.frombuffer(golden, dtype="<f4")
    if expected.size != outputs.size:
        raise CheckFailed("the graph gives other outputs than those of its golden clip")
    expected = expected.reshape(outputs.shape)
    error = float((np.abs(outputs - expected) / np.maximum(1, np.abs(expected))).max())
    if error > GOLDEN:
        raise CheckFailed(
            f"on the golden clip the graph is {error:.2g} off what it was when trained"
        )


@cache
def machine_fingerprint() -> dict[str, str]:
    """Return the machine's part of a fingerprint: architecture, instruction set, NumPy."""
    info = np.show_config(mode="dicts") or {}
    simd = info.get("SIMD Extensions", {})
    return {
        "machine": platform.machine(),
        "instruction_set": " ".join((*simd.get("baseline", []), *simd.get("found", []))),
        "numpy": np.__version__,
    }


def replay_class(recorded: dict[str, str], now: dict[str, str], operations: set[str]) -> str:
    """Return EXACT, PORTABLE or TOLERANT: what may be promised of a replay here.

    The number of threads is left out: it was found not to change a bit. The protocol by which a model
    was asked passes the bits on as they are.
    """
    left_out = {"threads", "protocol"}
    same = {k: v for k, v in recorded.items() if k not in left_out} == {
        k: v for k, v in now.items() if k not in left_out
    }
    if same:
        return "EXACT"
    return "PORTABLE" if operations <= PORTABLE_OPERATIONS else "TOLERANT"
