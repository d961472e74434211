"""Score a face that is driven by a voice: beside a ridge, and after half a minute of the new take.

The model hears windows that end `LOOK_AHEAD` ticks after the tick it speaks of; so does the ridge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.contracts import LOOK_AHEAD, Backend, ModelShape
from greenroom.frames import Array, Doubles, Floats
from greenroom.metrics.channels import active, pearson, r2_tally
from greenroom.metrics.floors import FOLDS, ridge_of_folds
from greenroom.metrics.motion import Tally

ADAPTED = 900
"""Ticks of a take that adaptation may learn from: 30 s. What is judged comes after them."""
_SHRINK = 5.0


def windows(speech: Floats, ticks: int, count: int) -> Floats:
    """Return the speech (count, S, F) that each tick's face is made from; the first tick repeats."""
    at = np.arange(count)[:, None] + np.arange(LOOK_AHEAD - ticks + 1, LOOK_AHEAD + 1)
    out: Floats = speech[np.clip(at, 0, len(speech) - 1)]
    return out


def say(backend: Backend, shape: ModelShape, speech: Floats) -> Floats:
    """Return what a model says of a face (T, B), window by window of speech (T, S, F)."""
    inputs = {n: np.zeros((1, *size), dtype=np.float32) for n, size in shape.inputs().items()}
    inputs["heard"][:] = 1
    out = np.zeros((len(speech), shape.face), dtype=np.float32)
    for t, window in enumerate(speech):
        inputs["speech"][0] = window
        out[t] = backend.run(inputs)["face"][0]
    return out


def adapt(said: Array, truth: Array, ticks: int = ADAPTED) -> Doubles:
    """Return what is said (T, B), corrected by how its first ticks were off.

    An affine correction, shrunk towards none: channels that a person uses instead of others are told
    apart in half a minute, where no voice could tell. Ridge in closed form, penalty 5.

    Args:
        said: (T, B).
        truth: the first `ticks` rows at least are looked at (T, B).
        ticks: how many.
    """
    x, y = np.asarray(said[:ticks], np.float64), np.asarray(truth[:ticks], np.float64)
    whole = np.isfinite(y).all(axis=1)
    x, y = x[whole], y[whole]
    mx, my = x.mean(axis=0), y.mean(axis=0)
    off = (y - my) - (x - mx)
    gram = (x - mx).T @ (x - mx) + _SHRINK * np.eye(x.shape[1])
    turn = np.linalg.solve(gram, (x - mx).T @ off)
    centred = np.asarray(said, np.float64) - mx
    return np.asarray(my + centred + centred @ turn)


class FaceJudge:
    """A model's face beside a ridge that was fitted on the model's own training takes.

    Args:
        backend: runs the graph.
        shape: of its tensors.
        training: (speech (T, F), weights (T, B)) of each training take.
    """

    def __init__(
        self, backend: Backend, shape: ModelShape, training: Sequence[tuple[Floats, Floats]]
    ) -> None:
        """Fit the ridge, and find the channel that opens the mouth: it follows the level most."""
        self.backend, self.shape = backend, shape
        parts = []
        loud, moved = [], []
        for fold, (speech, face) in enumerate(training):
            count = min(len(face), len(speech) - LOOK_AHEAD)
            there = np.isfinite(face[:count]).all(axis=1)
            x = windows(speech, shape.speech, count).reshape(count, -1)[there].astype(np.float64)
            parts.append((fold % FOLDS, x, face[:count][there].astype(np.float64)))
            loud.append(speech[:count, -3][there])
            moved.append(face[:count][there])
        rows, faces = np.concatenate([x for _, x, _ in parts]), np.concatenate(moved)
        self.mean, self.std = rows.mean(axis=0), rows.std(axis=0) + 1e-3
        self.rest = faces.mean(axis=0).astype(np.float64)
        self.weights = ridge_of_folds(
            [(fold, self._scaled(x), y - self.rest) for fold, x, y in parts]
        )
        level = np.repeat(np.concatenate(loud)[:, None], faces.shape[1], axis=1)
        follows = np.where(active(faces), pearson(faces, level), -1.0)
        self.opening = int(np.nanargmax(follows))

    def _scaled(self, x: Doubles) -> Doubles:
        scaled = (x - self.mean) / self.std
        return np.concatenate([scaled, np.ones((len(x), 1))], axis=1)

    def take(self, speech: Floats, face: Floats) -> dict[str, Tally]:
        """Return the tallies of one take: `r2w`, `opening_r`, and `r2w_adapted` where it is long."""
        count = min(len(face), len(speech) - LOOK_AHEAD)
        truth, heard = face[:count], windows(speech, self.shape.speech, count)
        ridge = self.rest + self._scaled(heard.reshape(count, -1).astype(np.float64)) @ self.weights
        who: dict[str, Array] = {"model": say(self.backend, self.shape, heard), "ridge": ridge}
        who["mean"] = np.broadcast_to(self.rest, truth.shape)
        out = {"r2w": r2_tally(truth, who), "opening_r": self._opening(truth, who)}
        if count > 2 * ADAPTED:
            late = {name: said[ADAPTED:] for name, said in who.items()}
            late["model"] = adapt(who["model"], truth)[ADAPTED:]
            late["ridge adapted"] = adapt(ridge, truth)[ADAPTED:]
            out["r2w_adapted"] = r2_tally(truth[ADAPTED:], late)
        return out

    def _opening(self, truth: Floats, who: dict[str, Array]) -> Tally:
        """Return 1 - r of the mouth's opening as a sum, so that the figure is the mean r of takes."""
        one = slice(self.opening, self.opening + 1)
        sums = {
            name: 1 - float(np.nan_to_num(pearson(truth[:, one], said[:, one], 0.0)[0]))
            for name, said in who.items()
        }
        return Tally("skill", sums, 1.0)
