"""The few numbers of a model that an update may move, and what has to be known to move them.

They are the last layers of the whole-body network (`trunk.ahead`: forecasts; `trunk.fill`: what is
missing) and one style's centre. All stand in the graph as named initializers, so neither torch nor the
training code is needed: what these layers read becomes an output, and how far an output moves with them
is asked of the graph itself. A graph that says the mean over a body and its mirror image is asked of one
side, and of the mirror images of moments as of others, as it was taught: the mean errs no more.

Shapes: J joints, H horizons, W width of what the layers read, A discriminants of styles, D state width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from greenroom.adaptation.replay_reservoir import AFTER, BEFORE, Moments, concatenate_moments
from greenroom.contracts import RIDGE_HORIZON, ModelShape, golden_clip
from greenroom.errors import BadInput, MissingExtra
from greenroom.features.model_inputs import window_inputs
from greenroom.features.pose import mirror_of
from greenroom.frames import LIMBS, Doubles, Floats
from greenroom.serving.onnx_backend import OnnxBackend

AHEAD, FILL, CENTRES = "trunk.ahead", "trunk.fill", "style.centres"
_AHEAD, _FILL, _PLACE = "adapter_ahead", "adapter_fill", "adapter_place"
_MIRROR_WEIGHT = "trunk.mirror_weight"
_SCALES = ["trunk.scale", "core.std"]  # by which a forecast is more than its layer's output
_NUDGE = 0.1  # of a bias, to see how far an output follows


class _Opened(ModelShape):
    """A model's shape with what the adapter reads as further outputs."""

    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Return each output's shape; those of the adapter are not looked at."""
        place = {_PLACE: (0,)} if self.styles else {}
        return {**super().outputs(), _AHEAD: (0,), _FILL: (0,), **place}


@dataclass(frozen=True)
class Predictions:
    """What a graph says of moments, beside the truth.

    Attributes:
        takes: of each moment (N,).
        styles: label of each (N,).
        hidden: what the layer of the forecasts reads with nothing missing (N, W).
        gains: how much of what it adds each forecast is given (N, H), which goes by the movement;
            (0, H) unless one side was asked.
        ahead: the truth less the forecasts (N, H 6 J).
        place: where each lies among the discriminants (N, A); (N, 0) without styles.
        probabilities: probabilities of the styles (N, C); (N, 0) without.
        gaps: of each limb: which moments (M,), what the other layer reads with it lost (M, W), and
            the truth less what was made up (M, 6 joints of it).
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
    """A graph whose last layers can be read and moved.

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
        try:
            import onnx
        except ImportError:
            raise MissingExtra("updating a model", "train") from None
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
        self._single = self._open(self.single({})) if self._one_sided else self._backend

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

    def moved(self, weights: Mapping[str, Floats]) -> bytes:
        """Return the graph with other numbers in some initializers, each of the same shape."""
        onnx = self._onnx
        proto = onnx.load_from_string(self._graph)
        for initializer in proto.graph.initializer:
            if initializer.name in weights:
                array = np.ascontiguousarray(weights[initializer.name], dtype=np.float32)
                initializer.CopyFrom(onnx.numpy_helper.from_array(array, initializer.name))
        out: bytes = proto.SerializeToString()
        return out

    def single(self, weights: Mapping[str, Floats]) -> bytes:
        """Return a moved graph that looks at one side only."""
        return self.moved({**weights, **self._one_sided})

    # -- asking ------------------------------------------------------------------------------------

    def study(self, moments: Moments, seed: int) -> Predictions:
        """Return what one side says of moments, and of their images where the graph looks at these too.

        What is added to a ridge is said of the moments alone: there an image says nothing.
        """
        if not self._one_sided:
            return self.hear(moments, seed, single=True)
        order, signs = self._mirror
        images = replace(moments, states=moments.states[..., order] * signs)
        predictions = self.hear(concatenate_moments([moments, images]), seed, single=True)
        for n, ahead in enumerate(self.shape.horizons):
            if ahead == RIDGE_HORIZON:
                predictions.gains[len(moments) :, n] = 0
                image_errors = predictions.ahead[len(moments) :]
                np.split(image_errors, len(self.shape.horizons), axis=1)[n][:] = 0
        return predictions

    def hear(
        self, moments: Moments, seed: int, graph: bytes | None = None, single: bool = False
    ) -> Predictions:
        """Return what the graph, or a moved one, says of moments: whole, and with each limb lost.

        Or what the graph says of one side, and how much of it is given.

        A gap is 1 to 15 ticks old; ages are drawn, for one seed the same ones.
        """
        backend = self._single if single else self._backend
        if graph is not None:
            backend = self._open(graph)
        nudged = self._open(self._nudged(AHEAD)) if single else None
        scale = _NUDGE * self.scale()
        random = np.random.default_rng(seed)
        six, horizon_rows = 6 * self.shape.joints, [BEFORE + ahead for ahead in self.shape.horizons]
        hidden, ahead, gains = [], [], []
        place: list[Any] = []
        probabilities: list[Any] = []
        gaps: list[list[tuple[int, Floats, Floats]]] = [[] for _ in self.limbs]
        for n, states in enumerate(moments.states):
            complete = predict_window(backend, states)
            hidden.append(complete[_AHEAD][0])
            ahead.append((states[horizon_rows, :six] - complete["forecast"][0]).ravel())
            if nudged is not None:
                response = (predict_window(nudged, states)["forecast"] - complete["forecast"])[0]
                gains.append((response * scale).sum(1) / (scale**2).sum(1))
            place.append(complete[_PLACE].ravel() if self.shape.styles else [])
            probabilities.append(complete["style"][0] if self.shape.styles else [])
            for limb_index, limb in enumerate(self.limbs):
                age = int(random.integers(1, AFTER + 1))
                if limb:
                    incomplete = predict_window(backend, states, limb, age)
                    columns = limb_columns(limb)
                    error = states[BEFORE, columns] - incomplete["pose"][0, columns]
                    gaps[limb_index].append((n, incomplete[_FILL][0], error))
        hidden_width = len(hidden[0]) if hidden else 0

        def table(rows: Sequence[Any], width: int) -> Doubles:
            return np.asarray(rows, dtype=np.float64).reshape(len(rows), width)

        return Predictions(
            moments.takes,
            moments.styles,
            table(hidden, hidden_width),
            table(gains, len(horizon_rows)),
            table(ahead, len(horizon_rows) * six),
            table(place, self.shape.styles - 1 if self.shape.styles else 0),
            table(probabilities, self.shape.styles),
            tuple(
                (
                    np.asarray([n for n, _, _ in rows], dtype=np.intp),
                    table([x for _, x, _ in rows], hidden_width),
                    table([error for _, _, error in rows], 6 * len(limb)),
                )
                for rows, limb in zip(gaps, self.limbs, strict=True)
            ),
        )

    def say(self, moments: Moments, graph: bytes) -> Doubles:
        """Return the probabilities (N, C) that a moved graph gives styles."""
        backend = self._open(graph)
        return np.asarray(
            [predict_window(backend, s)["style"][0] for s in moments.states], dtype=np.float64
        )

    def scale(self) -> Doubles:
        """Return how far each forecast (H, 6 J) moves with its layer's output where all is given."""
        trunk, std = (self.weights[name].astype(np.float64) for name in _SCALES)
        return np.asarray(trunk * std[: trunk.shape[1]])

    def reach(self, moments: Moments) -> Doubles:
        """Return how far the pose (6 J,) moves with the bias of its layer, with a limb lost.

        0 where nothing moves. A clamped output says nothing, so the median of a few moments is taken.
        """
        backend, six = self._open(self._nudged(FILL)), 6 * self.shape.joints
        rows = []
        for states in moments.states[:: max(1, len(moments) // 9)]:
            row = np.zeros(six)
            for limb in self.limbs:
                if limb:
                    columns = limb_columns(limb)
                    a, b = (predict_window(it, states, limb, 5) for it in (backend, self._single))
                    row[columns] = (a["pose"] - b["pose"])[0, columns] / _NUDGE
            rows.append(row)
        return np.asarray(np.median(rows, axis=0))

    def _nudged(self, layer: str) -> bytes:
        """Return the one-sided graph with another bias of a layer."""
        name = f"{layer}.bias"
        return self.single({name: self.weights[name] + np.float32(_NUDGE)})


def golden_outputs(graph: bytes, shape: ModelShape) -> bytes:
    """Return what a graph says on the golden clip (ticks, outputs), float32, little-endian."""
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
