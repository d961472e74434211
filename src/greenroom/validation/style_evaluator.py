"""Score how a model tells styles apart, a second at a time, and whether it knows what it never saw.

The floor is a logistic regression on the means and spreads of pose and speed over the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.contracts import STYLE_TICKS, Backend, ModelShape
from greenroom.features.model_inputs import ModelInputs
from greenroom.frames import Array, Doubles, Floats
from greenroom.manifests import Figure
from greenroom.metrics.calibration import expected_calibration_error
from greenroom.metrics.motion import SufficientStats

_EVERY = 10
"""Ticks between two windows of a take."""
_ROUNDS = 300
_PENALTY = 1e-3


def second_windows(states: Floats) -> Floats:
    """Return windows (N, 30, D) along a take (T, D)."""
    windows = [
        states[start : start + STYLE_TICKS]
        for start in range(0, len(states) - STYLE_TICKS + 1, _EVERY)
    ]
    return np.asarray(windows, dtype=np.float32).reshape(-1, STYLE_TICKS, states.shape[1])


class Logistic:
    """Multinomial logistic regression with a little shrinkage, by L-BFGS.

    Args:
        windows: (N, 30, D).
        kinds: class of each (N,).
        classes: how many.
    """

    def __init__(self, windows: Floats, kinds: NDArray[np.intp], classes: int) -> None:
        """Fit it."""
        from scipy.optimize import minimize

        x = self._read(windows)
        self.mean, self.std = x.mean(axis=0), x.std(axis=0) + 1e-3
        x = self._scaled(x)
        truth = np.eye(classes)[kinds]

        def objective(flat: Doubles) -> tuple[float, Doubles]:
            weights = flat.reshape(-1, classes)
            chance = _softmax(x @ weights)
            loss = -np.log((chance * truth).sum(axis=1) + 1e-12).mean()
            slope = x.T @ (chance - truth) / len(x) + 2 * _PENALTY * weights
            return float(loss + _PENALTY * (weights**2).sum()), slope.ravel()

        start = np.zeros(x.shape[1] * classes)
        solution = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
        self.weights = solution.x.reshape(-1, classes)

    @staticmethod
    def _read(windows: Floats) -> Doubles:
        steps = np.diff(windows.astype(np.float64), axis=1)
        parts = [
            windows.mean(axis=1),
            windows.std(axis=1),
            np.abs(steps).mean(axis=1),
            steps.std(axis=1),
        ]
        return np.concatenate(parts, axis=1).astype(np.float64)

    def _scaled(self, x: Doubles) -> Doubles:
        return np.concatenate([(x - self.mean) / self.std, np.ones((len(x), 1))], axis=1)

    def predict(self, windows: Floats) -> Doubles:
        """Return probabilities (N, C)."""
        return _softmax(self._scaled(self._read(windows)) @ self.weights)


def _softmax(scores: Doubles) -> Doubles:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class StyleEvaluator:
    """A model's styles beside the floor; takes are added, and the tallies asked for at the end.

    Args:
        backend: runs the graph.
        shape: of its tensors.
        styles: their names, in the order of the output.
        training: (states (T, D), style) of each labelled training take.
    """

    def __init__(
        self,
        backend: Backend,
        shape: ModelShape,
        styles: Sequence[str],
        training: Sequence[tuple[Floats, str]],
    ) -> None:
        """Fit the floor."""
        self.backend, self.shape, self.styles = backend, shape, tuple(styles)
        cut = [
            (second_windows(states), style) for states, style in training if style in self.styles
        ]
        kinds = np.concatenate([np.full(len(w), self.styles.index(s)) for w, s in cut])
        self.baseline = Logistic(np.concatenate([w for w, _ in cut]), kinds, len(self.styles))
        self.predictions: dict[str, tuple[str, dict[str, Doubles]]] = {}

    def add(self, name: str, states: Floats, style: str) -> None:
        """Judge one take; one shorter than a second says nothing."""
        windows = second_windows(states)
        if len(windows):
            probabilities = {
                "model": self._predict(windows),
                "logistic": self.baseline.predict(windows),
            }
            self.predictions[name] = (style, probabilities)

    def _predict(self, windows: Floats) -> Doubles:
        inputs, everything = ModelInputs(self.shape), np.ones(self.shape.joints, np.float32)
        out = np.zeros((len(windows), self.shape.styles))
        for row, window in enumerate(windows):  # the style is of the history alone
            inputs.set_history(window)
            inputs.observe(window[-1], window[-1], everything, everything)
            out[row] = self.backend.run(inputs.tensors)["style"][0]
        return out

    def tallies(self) -> dict[str, dict[str, SufficientStats]]:
        """Return metric → take → tally: `accuracy`; `auc_unseen` where a style was never learned."""
        trained = {n: s for n, s in self.predictions.items() if s[0] in self.styles}
        unseen = {n: s for n, s in self.predictions.items() if s[0] not in self.styles}
        out: dict[str, dict[str, SufficientStats]] = {}
        for name, (style, probabilities) in trained.items():
            kind = self.styles.index(style)
            sums = {w: float((p.argmax(axis=1) != kind).sum()) for w, p in probabilities.items()}
            sums["chance"] = len(probabilities["model"]) * (1 - 1 / len(self.styles))
            out.setdefault("accuracy", {})[name] = SufficientStats(
                "skill", sums, float(len(probabilities["model"]))
            )
        if trained and unseen:
            confidences = {
                w: np.sort(np.concatenate([s[1][w].max(axis=1) for s in trained.values()]))
                for w in ("model", "logistic")
            }
            for name, (_, probabilities) in unseen.items():
                sums = {
                    w: float(_above(confidences[w], p.max(axis=1)).sum())
                    for w, p in probabilities.items()
                }
                sums["chance"] = 0.5 * len(probabilities["model"])
                tally = SufficientStats("skill", sums, float(len(probabilities["model"])))
                out.setdefault("auc_unseen", {})[name] = tally
        return out

    def calibration(self) -> Figure | None:
        """Return the figure of the expected calibration error, resampled over takes like the others."""
        trained = [
            (s, probabilities) for s, probabilities in self.predictions.values() if s in self.styles
        ]
        if not trained:
            return None
        confidences = {w: [p[w].max(axis=1) for _, p in trained] for w in ("model", "logistic")}
        hits = {
            w: [(p[w].argmax(axis=1) == self.styles.index(s)).astype(float) for s, p in trained]
            for w in ("model", "logistic")
        }

        def error(source: str, picks: NDArray[np.intp]) -> float:
            a = np.concatenate([confidences[source][i] for i in picks])
            b = np.concatenate([hits[source][i] for i in picks])
            return expected_calibration_error(a, b)

        everyone = np.arange(len(trained))
        random = np.random.default_rng(0)
        resamples = [random.integers(0, len(trained), len(trained)) for _ in range(_ROUNDS)]
        model, baseline = ([error(w, picks) for picks in resamples] for w in ("model", "logistic"))
        gains = np.asarray(baseline) - np.asarray(model)
        return Figure(
            model=round(error("model", everyone), 4),
            baseline=round(error("logistic", everyone), 4),
            ci=_interval(model),
            gain=_interval(gains),
            baselines={"logistic": round(error("logistic", everyone), 4)},
            takes=len(trained),
            confidence=round(float(np.mean(np.concatenate(confidences["model"]))), 4),
        )


def _above(confidences: Doubles, other: Array) -> Doubles:
    """Return, for each confidence in the unseen, the share of the seen that is not above it."""
    below = np.searchsorted(confidences, other, "left")
    equal = np.searchsorted(confidences, other, "right") - below
    return np.asarray((below + 0.5 * equal) / len(confidences))


def _interval(values: Any) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)
