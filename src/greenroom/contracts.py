"""What the stages promise each other: the messages that cross a boundary, and the Protocols.

The live side and the workshop side meet only here and in the store. By stage, of those that exist:
collection is `Packet` and `Receiver` (files have their `Reader` in `greenroom.capture.readers`);
features, the tensors of `ModelShape`; training, whoever makes a graph with those tensors; deployment is
`Backend`, which runs it, and `Sink`, which shows it; monitoring is `Observer` and `Alert`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenroom.frames import Floats, Frame
from greenroom.manifests import Shape

INPUTS = (
    "history",
    "captured",
    "state",
    "velocity",
    "valid",
    "age",
    "speech",
    "speech_mask",
    "noise",
)
"""Input tensors of every model; `ModelShape.inputs` adds those of labels."""
OUTPUTS = ("pose", "sigma", "confidence", "attention")
"""Output tensors of every model; `ModelShape.outputs` adds those of its task heads."""

PHONEMES = "phonemes"
"""Tier of phonemes, an interval each; symbols of any alphabet, as the takes have them."""
CONTEXT = ("emotion", "language", "scene")
"""Tiers of the context of a tick."""

RIDGE_HORIZON = 1
"""Ticks ahead of the forecast that is added to the closed form's, and not to the current pose."""
LOOK_AHEAD = 2
"""Ticks of speech that a face waits for: 67 ms."""
STYLE_TICKS = 30
"""Ticks that a style is classified from: one second, the length of the history."""
REFERENCE_TICKS = 10
"""Ticks of a stretch of a release's reference statistics."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model's tensors, all float32 with a batch of one in front.

    Attributes:
        joints: J, joints that it drives.
        state: D, the width of a state (see `greenroom.features.pose`).
        speech_channels: F.
        history: K, ticks of its own past.
        speech: S, ticks of speech; even.
        noise: Z, width of the draw that free running follows; 0 is the mean way.
        lags: past ticks of the closed form's regressors; the first is 1.
        horizons: ticks ahead of the forecasts; none without that task.
        face: B, weights of its face rig; 0 without that task.
        styles: C, styles that it classifies; 0 without that task.
        phonemes: P, phonemes of its vocabulary; 0 where its takes had none.
        context: X, emotions, languages and scenes of its vocabulary; 0 where its takes had none.
    """

    joints: int
    state: int
    speech_channels: int
    history: int = 16
    speech: int = 8
    noise: int = 16
    lags: tuple[int, ...] = (1, 2, 3, 5, 8, 12)
    horizons: tuple[int, ...] = ()
    face: int = 0
    styles: int = 0
    phonemes: int = 0
    context: int = 0

    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Return each input's shape without the batch.

        `history` performed states, oldest first; `captured` the joints that were captured in them;
        `state`, `velocity`, `valid` of this tick's capture; `age` ln(1 + ticks since the joint was
        captured) / 6; `speech` of the last ticks, and `speech_mask` where it was received; `noise` the
        draw. With labels: `phonemes` of the same ticks as `speech`, and `context` of this one, 1 in the
        columns of the labels (`greenroom.features.conditioning`), else 0; all 0 is unlabelled.
        """
        j, k, s = self.joints, self.history, self.speech
        sizes = ((k, self.state), (k, j), (self.state,), (6 * j,), (j,), (j,))
        out: dict[str, tuple[int, ...]] = dict(
            zip(INPUTS, (*sizes, (s, self.speech_channels), (s,), (self.noise,)), strict=True)
        )
        if self.phonemes:
            out["phonemes"] = (s, self.phonemes)
        if self.context:
            out["context"] = (self.context,)
        return out

    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Return each output's shape without the batch.

        `pose` this tick's state; `sigma` degrees and `confidence` of each joint; `attention` of each
        joint to the joints and, last, to speech and labels. By task: `forecast` the 6D
        rotations at each horizon after the last captured tick; `face` the weights of the tick
        `LOOK_AHEAD` ticks ago; `style` the probability of each style, of the `STYLE_TICKS` ticks before
        this one.
        """
        j = self.joints
        out = dict(zip(OUTPUTS, ((self.state,), (j,), (j,), (j, j + 1)), strict=True))
        if self.horizons:
            out["forecast"] = (len(self.horizons), 6 * j)
        if self.face:
            out["face"] = (self.face,)
        if self.styles:
            out["style"] = (self.styles,)
        return out

    def manifest(self) -> Shape:
        """Return the sizes as a model's manifest has them."""
        sizes = {**asdict(self), "lags": list(self.lags), "horizons": list(self.horizons)}
        return Shape(**sizes)

    @classmethod
    def load(cls, shape: Shape) -> ModelShape:
        """Return the sizes that a model's manifest has."""
        sizes = {name: getattr(shape, name) for name in shape.__struct_fields__}
        return cls(**{**sizes, "lags": tuple(shape.lags), "horizons": tuple(shape.horizons)})


def flat_width(shapes: dict[str, tuple[int, ...]]) -> int:
    """Return how many numbers the tensors of one tick have."""
    return sum(math.prod(size) for size in shapes.values())


def get_tensors(flat: Floats, shapes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    """Return the tensors that lie in one flat row, as views with a batch of one in front."""
    out, at = {}, 0
    for name, size in shapes.items():
        end = at + math.prod(size)
        out[name] = flat[at:end].reshape(1, *size)
        at = end
    return out


CAUSES = ("capture fault", "machine", "new style", "new person", "new sound", "model")
"""What an alert most likely comes from; the first two are mended where they are, and not by learning."""


@dataclass(frozen=True)
class Alert:
    """A signal out of control: what, who, since when, how sure.

    Attributes:
        signal: its name; of motion "missing", "held" (exact repeats), "freeze" (trembling in place),
            "jitter" or "style".
        cause: the likely class, one of `CAUSES`.
        where: names of the limbs or sensors that stand out; empty where all do or none is named.
        size: in the signal's own unit; missing and held: the share of the last ten ticks; jitter and
            freeze: 1 is a typical one, of 2° and of 0.1°; style: how many times as far from the
            reference as usual.
        tick: when it was raised.
        began: the tick at which what is seen most likely began.
        began_low: start of the confidence set of that.
        began_high: its end.
        joints: indices of the joints that stand out, of those that were charted.
    """

    signal: str
    cause: str
    where: tuple[str, ...]
    size: float
    tick: int
    began: int
    began_low: int
    began_high: int
    joints: tuple[int, ...] = ()


GOLDEN_TICKS = 4


def golden_clip(shape: ModelShape) -> list[dict[str, Floats]]:
    """Return the inputs of a few ticks, the same everywhere, by which a graph is tried.

    Numbers in [-1, 1) by multiplicative hashing (Knuth, TAOCP 6.4), so that no library's generator
    decides them; what says "there or not" is 0 or 1, and ages are not negative.
    """
    sizes = shape.inputs()
    width = flat_width(sizes)
    out = []
    for tick in range(GOLDEN_TICKS):
        places = np.arange(1 + tick * width, 1 + (tick + 1) * width, dtype=np.uint64)
        hashed = places * np.uint64(2654435761) % np.uint64(2**32)
        inputs = get_tensors((hashed / 2**31 - 1).astype(np.float32), sizes)
        for name in {"captured", "valid", "speech_mask", "phonemes", "context"} & inputs.keys():
            inputs[name][:] = inputs[name] > 0
        inputs["age"][:] = np.abs(inputs["age"]) * (1 - inputs["valid"])
        out.append(inputs)
    return out


class Packet(NamedTuple):
    """Bytes as they arrived.

    Attributes:
        arrival_ns: nanoseconds after the show's start.
        data: the bytes.
    """

    arrival_ns: int
    data: bytes


class Receiver(Protocol):
    """A live input: opened when made, polled once a tick, closed; `poll` never blocks."""

    def poll(self, now_ns: int) -> list[Packet]:
        """Return what arrived until `now_ns` nanoseconds after the show's start, oldest first."""

    def close(self) -> None:
        """Let go of sockets and files."""


class Backend(Protocol):
    """Run a model's graph: load, warm, run each tick, close; used by one thread.

    `run` may raise nothing for numbers it dislikes: it returns them, and the ladder judges.
    """

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        """Return the outputs of one tick; arrays with a batch of one in front.

        Raises:
            ModelUnavailable: a server that runs the model gave no answer in time; the show falls back.
        """

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the bits: runtime, version, provider, options, instruction set."""


class Sink(Protocol):
    """An output: opened when made, given each frame, closed. None of it blocks or raises.

    Several processes open it for one show: the one that starts it to try it, each engine, and the
    watchdog. So opening it changes nothing that a viewer sees.

    Attributes:
        url: that opens the same again, with addresses in place of names.
        lost: frames or datagrams that could not be sent.
    """

    url: str
    lost: int

    def send(self, frame: Frame) -> None:
        """Pass a frame on."""

    def rehearse(self, frame: Frame) -> None:
        """Do what `send` does with nobody seeing it, so that the next `send` is faster."""

    def close(self) -> None:
        """Let go of sockets; nothing is sent afterwards, and `send` still does not raise."""


class Detector(Protocol):
    """A drift detector: fitted on data in control, then updated each tick; alerts are its state."""

    @property
    def learning(self) -> bool:
        """Whether the reference holds too little for any alert."""

    @property
    def alerts(self) -> Sequence[Alert]:
        """What was raised since the last reset, oldest first."""

    def fit(self, takes: Sequence[Any]) -> Any:
        """Learn from takes in control, (T, F) each with NaN where missing, and return itself."""

    def update(self, x: ArrayLike, *, excused: bool = False) -> None:
        """Take one tick (F,), NaN where missing; an excused one is no evidence of a new style."""

    def lasts(self, signal: str) -> bool:
        """Return whether what was alerted goes on."""

    def reset(self) -> None:
        """Forget the stream; keep the fit."""


class Observer(Protocol):
    """Watch a show from outside; never in its way. Called in the recording process."""

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """See one frame: the ring's row, and the model's outputs by name."""
