"""Score a face that is driven by a voice: beside a ridge, and after half a minute of the new take.

Beside the error there is whether it belongs to its sound at all (`greenroom.metrics.matching`).

The model hears windows that end `LOOK_AHEAD` ticks after the tick it speaks of; so does the ridge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.contracts import LOOK_AHEAD, Backend, ModelShape
from greenroom.features.model_inputs import ModelInputs
from greenroom.frames import Array, Doubles, Floats
from greenroom.metrics.baselines import FOLDS, ridge_of_folds
from greenroom.metrics.matching import Matcher, match_tally
from greenroom.metrics.motion import SufficientStats
from greenroom.metrics.regression import active_channels, pearson, r2_tally

ADAPTED = 900
"""Ticks of a take that adaptation may learn from: 30 s. What is judged comes after them."""
_SHRINK = 5.0
STRETCH = 60
"""Ticks of the stretches by which a face is matched with its sound: two seconds."""
ROUNDING = ("pucker", "funnel", "_oo_", "_oh_")
"""Parts of the names of weights that round the lips. Takes use one or the other for one movement, so
that only their sum is compared."""


def speech_windows(speech: Floats, ticks: int, count: int) -> Floats:
    """Return the speech (count, S, F) that each tick's face is made from; the first tick repeats."""
    indices = np.arange(count)[:, None] + np.arange(LOOK_AHEAD - ticks + 1, LOOK_AHEAD + 1)
    out: Floats = speech[np.clip(indices, 0, len(speech) - 1)]
    return out


def predict_face(
    backend: Backend, shape: ModelShape, speech: Floats, labels: Floats | None = None
) -> Floats:
    """Return a model's face (T, B), window by window of speech.

    Args:
        backend: runs the graph.
        shape: of the model's tensors.
        speech: windows (T, S, F).
        labels: windows of labels (T, S, P + X); None for none.
    """
    inputs = ModelInputs(shape)
    out = np.zeros((len(speech), shape.face), dtype=np.float32)
    for t, window in enumerate(speech):
        inputs.set_speech(window)
        if labels is not None:
            inputs.set_conditioning(labels[t])
        out[t] = backend.run(inputs.tensors)["face"][0]
    return out


def fit_correction(predicted: Array, truth: Array, ticks: int = ADAPTED) -> tuple[Doubles, Doubles]:
    """Return (turn (B, B), shift (B,)) by which `said @ turn + shift` is nearer to the truth.

    An affine correction, shrunk towards none: channels that a person uses instead of others are told
    apart in half a minute, where no voice could tell. Ridge in closed form, penalty 5.

    Args:
        predicted: (T, B).
        truth: the first `ticks` rows at least are looked at (T, B).
        ticks: how many.
    """
    x, y = np.asarray(predicted[:ticks], np.float64), np.asarray(truth[:ticks], np.float64)
    complete = np.isfinite(y).all(axis=1)
    x, y = x[complete], y[complete]
    mx, my = x.mean(axis=0), y.mean(axis=0)
    residual = (y - my) - (x - mx)
    gram = (x - mx).T @ (x - mx) + _SHRINK * np.eye(x.shape[1])
    turn = np.eye(x.shape[1]) + np.linalg.solve(gram, (x - mx).T @ residual)
    return turn, my - mx @ turn


def apply_correction(predicted: Array, truth: Array, ticks: int = ADAPTED) -> Doubles:
    """Return predictions (T, B) corrected by the error of their first ticks; see `fit_correction`."""
    turn, shift = fit_correction(predicted, truth, ticks)
    return np.asarray(np.asarray(predicted, np.float64) @ turn + shift)


class FaceEvaluator:
    """A model's face beside a ridge that was fitted on the model's own training takes.

    Args:
        backend: runs the graph.
        shape: of its tensors.
        training: (speech (T, F), weights (T, B)) of each training take.
        channels: names of the weights.
    """

    def __init__(
        self,
        backend: Backend,
        shape: ModelShape,
        training: Sequence[tuple[Floats, Floats]],
        channels: Sequence[str] = (),
    ) -> None:
        """Fit the ridge, and find the channel that opens the mouth: it follows the level most."""
        self.backend, self.shape = backend, shape
        parts = []
        loud, moved = [], []
        for fold, (speech, face) in enumerate(training):
            count = min(len(face), len(speech) - LOOK_AHEAD)
            complete = np.isfinite(face[:count]).all(axis=1)
            x = (
                speech_windows(speech, shape.speech, count)
                .reshape(count, -1)[complete]
                .astype(np.float64)
            )
            parts.append((fold % FOLDS, x, face[:count][complete].astype(np.float64)))
            loud.append(speech[:count, -3][complete])
            moved.append(face[:count][complete])
        rows, faces = np.concatenate([x for _, x, _ in parts]), np.concatenate(moved)
        self.mean, self.std = rows.mean(axis=0), rows.std(axis=0) + 1e-3
        self.rest = faces.mean(axis=0).astype(np.float64)
        self.weights = ridge_of_folds(
            [(fold, self._scaled(x), y - self.rest) for fold, x, y in parts]
        )
        level = np.repeat(np.concatenate(loud)[:, None], faces.shape[1], axis=1)
        follows = np.where(active_channels(faces), pearson(faces, level), -1.0)
        self.opening = int(np.nanargmax(follows))
        self.rounding = [
            i for i, name in enumerate(channels) if any(p in name.lower() for p in ROUNDING)
        ]
        self.moving = np.flatnonzero(active_channels(faces))
        complete_pairs = [
            (sound[: len(face)], face[: len(sound)])
            for sound, face in training
            if np.isfinite(face).all()
        ]
        self.matcher = (
            Matcher(
                [_sound(s) for s, _ in complete_pairs],
                [f[:, self.moving] for _, f in complete_pairs],
            )
            if complete_pairs and len(self.moving)
            else None
        )
        self.stretches: list[tuple[str, Floats, dict[str, Array]]] = []

    def _scaled(self, x: Doubles) -> Doubles:
        scaled = (x - self.mean) / self.std
        return np.concatenate([scaled, np.ones((len(x), 1))], axis=1)

    def take(
        self, name: str, speech: Floats, face: Floats, words: Floats | None = None
    ) -> dict[str, SufficientStats]:
        """Return the tallies of one take.

        `r2w`, `opening_r`, `rounding_r` where the rig has weights that round the lips, and the first
        and last of these again where it is long enough to adapt to. "conditioned" is the model with
        its words, beside the same model told nothing.

        Args:
            name: of the take.
            speech: channels (T, F).
            face: weights (T, B).
            words: what is known of each tick (T, P + X); None for a model that knows none.
        """
        count = min(len(face), len(speech) - LOOK_AHEAD)
        truth, audio_windows = face[:count], speech_windows(speech, self.shape.speech, count)
        ridge = (
            self.rest
            + self._scaled(audio_windows.reshape(count, -1).astype(np.float64)) @ self.weights
        )
        predictions: dict[str, Array] = {
            "model": predict_face(self.backend, self.shape, audio_windows),
            "ridge": ridge,
        }
        predictions["mean"] = np.broadcast_to(self.rest, truth.shape)
        if words is not None:
            conditioning_windows = speech_windows(words, self.shape.speech, count)
            predictions["conditioned"] = (
                predict_face(self.backend, self.shape, audio_windows, conditioning_windows)
                if words.any()
                else predictions["model"]
            )
        group = [self.opening]
        out = {
            "r2w": r2_tally(truth, predictions),
            "opening_r": _follows(truth, predictions, group),
        }
        if self.rounding:
            out["rounding_r"] = _follows(truth, predictions, self.rounding)
        self._cut(name, speech[:count], {**predictions, "truth": truth})
        if count > 2 * ADAPTED:
            late = {name: values[ADAPTED:] for name, values in predictions.items()}
            late["model"] = apply_correction(predictions["model"], truth)[ADAPTED:]
            late["ridge adapted"] = apply_correction(ridge, truth)[ADAPTED:]
            out["r2w_adapted"] = r2_tally(truth[ADAPTED:], late)
            if self.rounding:
                out["rounding_r_adapted"] = _follows(truth[ADAPTED:], late, self.rounding)
        return out

    def _cut(self, name: str, speech: Floats, predictions: dict[str, Array]) -> None:
        """Keep the stretches of a take in which nobody's face lacks anything."""
        for start in range(0, len(speech) - STRETCH + 1, STRETCH):
            segment = {
                w: values[start : start + STRETCH][:, self.moving]
                for w, values in predictions.items()
            }
            if all(np.isfinite(values).all() for values in segment.values()):
                self.stretches.append((name, _sound(speech[start : start + STRETCH]), segment))

    def matched(self) -> dict[str, SufficientStats]:
        """Return take → how often its own sound goes better with a face than another stretch's."""
        if self.matcher is None or len(self.stretches) < 2:
            return {}
        names, sounds, predictions = zip(*self.stretches, strict=True)
        by_source: dict[str, Sequence[Array]] = {
            w: [faces[w] for faces in predictions] for w in predictions[0]
        }
        return match_tally(self.matcher, sounds, names, by_source)


def _sound(speech: Floats) -> Floats:
    """Return what a face is matched by: the mel bands and the level."""
    out: Floats = speech[:, :-2]
    return out


def _follows(truth: Floats, predictions: dict[str, Array], group: Sequence[int]) -> SufficientStats:
    """Return 1 - r of the sum of some weights, so that the figure is the mean r of takes."""
    reference = truth[:, group].sum(axis=1, keepdims=True)
    sums = {
        name: 1
        - float(
            np.nan_to_num(pearson(reference, values[:, group].sum(axis=1, keepdims=True), 0.0)[0])
        )
        for name, values in predictions.items()
    }
    return SufficientStats("skill", sums, 1.0)
