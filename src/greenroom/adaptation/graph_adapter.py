"""Read and update the last layers of an exported graph.

They are the last layers of the whole-body network (`trunk.ahead`: forecasts; `trunk.fill`: missing
joints) and the styles' centres. All are named initializers of the graph, so neither torch nor the
training code is needed: the inputs of these layers become outputs of the graph, and the gain of an
output is measured on the graph itself. A graph that averages over a body and its mirror image is run on
one side, and on mirror images of windows as on others, as it was trained.

Shapes: J joints, H horizons, W width of what the layers read, A discriminants of styles, D state width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from greenroom.adaptation.replay_reservoir import AFTER, BEFORE, Moments, concatenate_moments
from greenroom.contracts import RIDGE_HORIZON, ModelShape, golden_clip
from greenroom.errors import BadInput
from greenroom.extras import require
from greenroom.features.model_inputs import window_inputs
from greenroom.features.pose import mirror_of
from greenroom.frames import LIMBS, Doubles, Floats
from greenroom.serving.onnx_backend import OnnxBackend

AHEAD, FILL, CENTRES = "trunk.ahead", "trunk.fill", "style.centres"
_AHEAD, _FILL, _PLACE = "adapter_ahead", "adapter_fill", "adapter_place"
_MIRROR_WEIGHT = "trunk.mirror_weight"
_SCALES = ["trunk.scale", "core.std"]  # factors from a layer's output to a forecast
_NUDGE = 0.1  # of a bias, to measure the response of an output


class _Opened(ModelShape):
    """A model's shape with what the adapter reads as further outputs."""

    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Return each output's shape; those of the adapter are not looked at."""
        place = {_PLACE: (0,)} if self.styles else {}
        return {**super().outputs(), _AHEAD: (0,), _FILL: (0,), **place}


@dataclass(frozen=True)
class Predictions:
    """A graph's outputs on windows, and its errors.

    Attributes:
        takes: of each window (N,).
        styles: label of each (N,).
        hidden: inputs of the forecasts' layer with nothing missing (N, W).
        gains: gain of each forecast (N, H), which depends on the movement; (0, H) unless one side alone
            was run.
        ahead: truth less forecasts (N, H 6 J).
        place: among the discriminants (N, A); (N, 0) without styles.
        probabilities: of the styles (N, C); (N, 0) without.
        gaps: of each limb: indices of windows (M,), inputs of the other layer with it missing (M, W),
            and truth less completion (M, 6 joints of it).
    """

    takes: tuple[str, ...]
    styles: tuple[str, ...]
    hidden: Doubles
    gains: Doubles
    ahead: Doubles
    place: Doubles
    probabilities: Doubles
    gaps: tuple[tuple[Any, Doubles, Doubles], ...]


class Adapter:
    """A graph whose last layers can be read and updated.

    Args:
        graph: the ONNX file's bytes.
        shape: of its tensors.
        joints: their names, in the shape's order.

    Raises:
        MissingExtra: `onnx` is not installed.
        BadInput: the graph has no such layers.
    """

    def __init__(self, graph: bytes, shape: ModelShape, joints: Sequence[str]) -> None:
        """Read the graph and open it."""
        onnx = require("onnx", "train", "updating a model")
        self.shape, self._onnx, self._graph = shape, onnx, graph
        self.limbs = tuple(
            tuple(i for i, name in enumerate(joints) if name in limb) for limb in LIMBS.values()
        )
        self.weights: dict[str, Floats] = {
            initializer.name: onnx.numpy_helper.to_array(initializer)
            for initializer in onnx.load_from_string(graph).graph.initializer
        }
        need = [f"{layer}.{part}" for layer in (AHEAD, FILL) for part in ("weight", "bias")]
        need += _SCALES
        if any(name not in self.weights for name in need) or (
            shape.history,
            max(shape.horizons, default=0),
        ) != (BEFORE, AFTER):
            raise BadInput(
                "this model has no layer that an update may move", then="train 'mini' or 'small'"
            )
        self._one_sided = (
            {_MIRROR_WEIGHT: np.zeros((1, 1), np.float32)} if _MIRROR_WEIGHT in self.weights else {}
        )
        self._mirror = mirror_of(joints)
        self._backend = self._open(graph)
        self._one_side = self._open(self.one_sided({})) if self._one_sided else self._backend

    def _open(self, graph: bytes) -> OnnxBackend:
        """Return a backend of a graph, with what the last layers read among the outputs."""
        onnx = self._onnx
        proto = onnx.load_from_string(graph)
        readers = {name: node for node in proto.graph.node for name in node.input}
        wanted = {_AHEAD: f"{AHEAD}.weight", _FILL: f"{FILL}.weight"}
        if self.shape.styles:
            wanted[_PLACE] = CENTRES
        for name, weight in wanted.items():
            source = readers[weight].input[0]
            proto.graph.node.append(onnx.helper.make_node("Identity", [source], [name]))
            proto.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
        shape = _Opened(**{key: getattr(self.shape, key) for key in vars(self.shape)})
        return OnnxBackend(proto.SerializeToString(), shape)

    def apply_delta(self, weights: Mapping[str, Floats]) -> bytes:
        """Return the graph with other values of some initializers, each of the same shape."""
        onnx = self._onnx
        proto = onnx.load_from_string(self._graph)
        for initializer in proto.graph.initializer:
            if initializer.name in weights:
                array = np.ascontiguousarray(weights[initializer.name], dtype=np.float32)
                initializer.CopyFrom(onnx.numpy_helper.from_array(array, initializer.name))
        out: bytes = proto.SerializeToString()
        return out

    def one_sided(self, weights: Mapping[str, Floats]) -> bytes:
        """Return an updated graph without mirror images."""
        return self.apply_delta({**weights, **self._one_sided})

    def predict_sides(self, moments: Moments, seed: int) -> Predictions:
        """Return the predictions of one side, on windows and, where the graph uses them, mirror images.

        What is added to a ridge is fitted on the windows alone, so there the images' gains are 0.
        """
        if not self._one_sided:
            return self.predict(moments, seed, single=True)
        order, signs = self._mirror
        images = replace(moments, states=moments.states[..., order] * signs)
        predictions = self.predict(concatenate_moments([moments, images]), seed, single=True)
        for n, ahead in enumerate(self.shape.horizons):
            if ahead == RIDGE_HORIZON:
                predictions.gains[len(moments) :, n] = 0
                image_errors = predictions.ahead[len(moments) :]
                np.split(image_errors, len(self.shape.horizons), axis=1)[n][:] = 0
        return predictions

    def predict(
        self, moments: Moments, seed: int, graph: bytes | None = None, single: bool = False
    ) -> Predictions:
        """Return the predictions of the graph or an updated one, with nothing and each limb missing.

        A gap is 1 to 15 ticks old; ages are drawn, the same ones for one seed.

        Args:
            moments: windows.
            seed: of the ages.
            graph: updated; None for the original.
            single: run one side of the original graph, and measure its gains.
        """
        backend = self._one_side if single else self._backend
        if graph is not None:
            backend = self._open(graph)
        complete = [predict_window(backend, states) for states in moments.states]
        six, horizons = 6 * self.shape.joints, self.shape.horizons
        rows = [BEFORE + ahead for ahead in horizons]
        ahead = [
            (states[rows, :six] - outputs["forecast"][0]).ravel()
            for states, outputs in zip(moments.states, complete, strict=True)
        ]
        styles, hidden = self.shape.styles, [outputs[_AHEAD][0] for outputs in complete]
        place: list[Any] = [outputs[_PLACE].ravel() if styles else [] for outputs in complete]
        probabilities: list[Any] = [outputs["style"][0] if styles else [] for outputs in complete]
        width = len(hidden[0]) if hidden else 0
        return Predictions(
            takes=moments.takes,
            styles=moments.styles,
            hidden=_table(hidden, width),
            gains=_table(self._gains(moments, complete) if single else [], len(horizons)),
            ahead=_table(ahead, len(horizons) * six),
            place=_table(place, styles - 1 if styles else 0),
            probabilities=_table(probabilities, styles),
            gaps=self._gaps(backend, moments, seed, width),
        )

    def _gains(self, moments: Moments, complete: Sequence[dict[str, Floats]]) -> list[Doubles]:
        """Return the gain of each forecast (H,) of each window, by another bias of the layer."""
        scale = _NUDGE * self.forecast_scale()
        nudged, out = self._open(self._nudged(AHEAD)), []
        for states, outputs in zip(moments.states, complete, strict=True):
            response = (predict_window(nudged, states)["forecast"] - outputs["forecast"])[0]
            out.append((response * scale).sum(1) / (scale**2).sum(1))
        return out

    def _gaps(
        self, backend: OnnxBackend, moments: Moments, seed: int, width: int
    ) -> tuple[tuple[Any, Doubles, Doubles], ...]:
        """Return the gaps of :class:`Predictions`, each limb missing in each window.

        Args:
            backend: runs the graph.
            moments: windows.
            seed: of the gaps' ages.
            width: W.
        """
        random = np.random.default_rng(seed)
        gaps: list[list[tuple[int, Floats, Floats]]] = [[] for _ in self.limbs]
        for n, states in enumerate(moments.states):
            for rows, limb in zip(gaps, self.limbs, strict=True):
                age = int(random.integers(1, AFTER + 1))
                if limb:
                    outputs, columns = (
                        predict_window(backend, states, limb, age),
                        limb_columns(limb),
                    )
                    error = states[BEFORE, columns] - outputs["pose"][0, columns]
                    rows.append((n, outputs[_FILL][0], error))
        return tuple(
            (
                np.asarray([n for n, _, _ in rows], dtype=np.intp),
                _table([x for _, x, _ in rows], width),
                _table([error for _, _, error in rows], 6 * len(limb)),
            )
            for rows, limb in zip(gaps, self.limbs, strict=True)
        )

    def style_probabilities(self, moments: Moments, graph: bytes) -> Doubles:
        """Return the style probabilities (N, C) of an updated graph."""
        backend = self._open(graph)
        return np.asarray(
            [predict_window(backend, s)["style"][0] for s in moments.states], dtype=np.float64
        )

    def forecast_scale(self) -> Doubles:
        """Return the change of each forecast (H, 6 J) with its layer's output at a gain of 1."""
        trunk, std = (self.weights[name].astype(np.float64) for name in _SCALES)
        return np.asarray(trunk * std[: trunk.shape[1]])

    def pose_response(self, moments: Moments) -> Doubles:
        """Return the change of the pose (6 J,) with the bias of its layer, with a limb missing.

        The median of a few windows, as a clamped output does not change.
        """
        backend, six = self._open(self._nudged(FILL)), 6 * self.shape.joints
        rows = []
        for states in moments.states[:: max(1, len(moments) // 9)]:
            row = np.zeros(six)
            for limb in self.limbs:
                if limb:
                    columns = limb_columns(limb)
                    a, b = (predict_window(it, states, limb, 5) for it in (backend, self._one_side))
                    row[columns] = (a["pose"] - b["pose"])[0, columns] / _NUDGE
            rows.append(row)
        return np.asarray(np.median(rows, axis=0))

    def _nudged(self, layer: str) -> bytes:
        """Return the one-sided graph with another bias of a layer."""
        name = f"{layer}.bias"
        return self.one_sided({name: self.weights[name] + np.float32(_NUDGE)})


def _table(rows: Sequence[Any], width: int) -> Doubles:
    """Return rows as a table (N, width), also where there are none."""
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), width)


def golden_outputs(graph: bytes, shape: ModelShape) -> bytes:
    """Return a graph's outputs on the golden clip (ticks, outputs), float32, little-endian."""
    backend = OnnxBackend(graph, shape)
    outputs = [
        np.concatenate([*backend.run(tick).values()], axis=None) for tick in golden_clip(shape)
    ]
    return np.stack(outputs).astype("<f4").tobytes()


def limb_columns(limb: Sequence[int]) -> Any:
    """Return the columns of a state that hold the rotations of joints, six each."""
    return np.concatenate([np.arange(6 * joint, 6 * joint + 6) for joint in limb])


def predict_window(
    backend: OnnxBackend, states: Floats, lost: Sequence[int] = (), age: int = 0
) -> dict[str, Floats]:
    """Return a graph's outputs at the middle of a window.

    Args:
        backend: runs the graph.
        states: complete (46, D).
        lost: indices of missing joints.
        age: ticks for which they have been missing.
    """
    inputs = window_inputs(backend.shape, states[: BEFORE + 1], lost, age)
    return backend.run(inputs.tensors)
