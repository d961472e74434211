"""What a model has to beat: hold, mean, retrieval, ridge, and the Gaussian of displacements.

All are fitted on training takes alone, in closed form. States are those of `greenroom.features.pose`,
as (T, D) per take without gaps; as floors they predict the 6 J numbers of rotations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from greenroom.frames import Array, Doubles

LAGS = (1, 2, 3, 5, 8, 12)
_PENALTIES = (1e1, 1e2, 1e3, 1e4)
_RAISES = (0.01, 0.1, 0.5, 2.0, 10.0)
_ALONE = 0.5
"""The raise where there is one take only, and so nothing to choose it by."""
FOLDS = 5
_MOST = 60_000
_GAPS = (1, 2, 4, 7, 11, 15)
"""Ages of the gaps that the Gaussian learns from, ticks."""


def _scaled(takes: Sequence[Array]) -> tuple[Doubles, Doubles]:
    rows: Doubles = np.concatenate(takes).astype(np.float64)
    return rows.mean(0), np.maximum(rows.std(0), 0.03)


def _past(take: Array, ticks: NDArray[np.signedinteger]) -> Doubles:
    """Return regressors (n, lags·D) at ticks of a take: the newest, and differences to older ones."""
    newest = take[ticks]
    older = [newest - take[np.maximum(ticks - lag + 1, 0)] for lag in LAGS[1:]]
    return np.concatenate([newest, *older], axis=1).astype(np.float64)


class Ridge:
    """Forecast each horizon directly from the past; λ by five folds over takes.

    Args:
        takes: (T, D) each, for training.
        horizons: ticks ahead.
        width: how many of the D numbers are predicted, 6 J.
    """

    def __init__(self, takes: Sequence[Array], horizons: Sequence[int], width: int) -> None:
        """Fit every horizon."""
        self.mean, self.std = _scaled(takes)
        self.width = width
        self.weights: dict[int, Doubles] = {}
        scaled = [(take - self.mean) / self.std for take in takes]
        for ahead in horizons:
            parts = []
            for i, take in enumerate(scaled):
                ticks = np.arange(len(take) - ahead)
                if len(ticks):
                    x = np.concatenate([_past(take, ticks), np.ones((len(ticks), 1))], axis=1)
                    parts.append((i % FOLDS, x, (take[ticks + ahead] - take[ticks])[:, :width]))
            self.weights[ahead] = ridge_of_folds(parts)

    def at(self, past: Array, ahead: int) -> Doubles:
        """Return 6D rotations (6 J,) `ahead` ticks after the last row of a past (K, D)."""
        scaled = (past - self.mean) / self.std
        x = np.append(_past(scaled, np.asarray([len(past) - 1]))[0], 1.0)
        step = x @ self.weights[ahead]
        return np.asarray(past[-1, : self.width] + step * self.std[: self.width])


def ridge_of_folds(parts: list[tuple[int, Doubles, Doubles]]) -> Doubles:
    """Return weights (X, Y) by ridge, the penalty chosen by folds over takes.

    Args:
        parts: of each take (fold below 5, regressors (n, X) of which the last is 1, values (n, Y)).
    """
    features, width = parts[0][1].shape[1], parts[0][2].shape[1]
    grams = np.zeros((FOLDS, features, features))
    crosses = np.zeros((FOLDS, features, width))
    for fold, x, y in parts:
        grams[fold] += x.T @ x
        crosses[fold] += x.T @ y
    gram, cross = grams.sum(axis=0), crosses.sum(axis=0)

    def solve(fold: int | None, penalty: float) -> Doubles:
        eye = penalty * np.eye(features)
        eye[-1, -1] = 1e-6  # the constant is not shrunk
        if fold is None:
            return np.asarray(np.linalg.solve(gram + eye, cross))
        return np.asarray(np.linalg.solve(gram - grams[fold] + eye, cross - crosses[fold]))

    errors = dict.fromkeys(_PENALTIES, 0.0)
    for penalty in _PENALTIES:
        for fold in {part[0] for part in parts}:
            weights = solve(fold, penalty)
            errors[penalty] += sum(
                float(((x @ weights - y) ** 2).sum()) for other, x, y in parts if other == fold
            )
    return solve(None, min(errors, key=lambda penalty: errors[penalty]))


class Gaussian:
    """Fill lost joints from how far the seen ones moved: the conditional mean of a full Gaussian.

    What is modelled is (displacement since the joint was last seen, state then, velocity then), pooled
    over gaps of 1 to 15 ticks. How much the covariance's diagonal is raised is chosen by folds over
    takes, on the gaps that it will be judged by.

    Args:
        takes: (T, D) each, for training.
        masks: (masks, W), True where a likely gap has lost a channel; the first W of the D are filled.
        paced: count displacements over how far channels go in a gap of that age, and not as they are.

    Attributes:
        width: W.
        mean: of the 3 W numbers.
        covariance: of them, raised.
        raised: how much, as a share of its diagonal.
    """

    def __init__(
        self, takes: Sequence[Array], masks: NDArray[np.bool_], paced: bool = False
    ) -> None:
        """Fit mean and covariance."""
        self.width = masks.shape[1]
        self._pace = self._paces(takes) if paced else np.ones(len(_GAPS))
        random = np.random.default_rng(0)
        share = _MOST // len(takes)
        rows = []
        for take in takes:
            take_rows = self._rows(np.asarray(take, dtype=np.float64))
            few = len(take_rows) <= share
            rows.append(
                take_rows if few else take_rows[random.choice(len(take_rows), share, False)]
            )
        rows = [take_rows for take_rows in rows if len(take_rows)]
        errors = dict.fromkeys(_RAISES, 0.0)
        for fold in range(min(FOLDS, len(rows)) if len(rows) > 1 else 0):
            heldout = np.concatenate([r for i, r in enumerate(rows) if i % FOLDS == fold])
            self._fit(np.concatenate([r for i, r in enumerate(rows) if i % FOLDS != fold]))
            plain = self.covariance
            for raised in _RAISES:
                self._raise(plain, raised)
                for lost in masks:
                    error = self._guess(heldout, lost) - heldout[:, : self.width][:, lost]
                    errors[raised] += float((error**2).sum())
        self._fit(np.concatenate(rows))
        chosen = len(rows) > 1 and len(masks) > 0
        self.raised = min(errors, key=lambda raised: errors[raised]) if chosen else _ALONE
        self._raise(self.covariance, self.raised)

    def pace_of(self, ages: NDArray[np.signedinteger]) -> Doubles:
        """Return how far channels go in gaps of these ages, ticks, over how far in one tick."""
        return np.asarray(np.interp(ages, _GAPS, self._pace))

    def _paces(self, takes: Sequence[Array]) -> Doubles:
        means: list[float] = []
        for gap in _GAPS:
            moved = [np.asarray(t[gap:] - t[:-gap])[:, : self.width] for t in takes if len(t) > gap]
            far = np.sqrt(np.mean(np.concatenate(moved) ** 2)) if moved else means[-1]
            means.append(float(far))
        return np.asarray(means) / max(means[0], 1e-9)

    def _rows(self, take: Doubles) -> Doubles:
        x = take[:, : self.width]
        parts = [np.zeros((0, 3 * self.width))]
        for gap, pace in zip(_GAPS, self._pace, strict=True):
            t = np.arange(1, len(x) - gap)
            parts.append(
                np.concatenate([(x[t + gap] - x[t]) / pace, x[t], x[t] - x[t - 1]], axis=1)
            )
        return np.concatenate(parts)

    def _fit(self, rows: Doubles) -> None:
        self.mean = rows.mean(axis=0)
        self.covariance = np.cov(rows.T)

    def _raise(self, covariance: Doubles, raised: float) -> None:
        diagonal = np.diag(np.diag(covariance)) + 1e-6 * np.eye(len(covariance))
        self.covariance = covariance + raised * diagonal
        self._solved: dict[bytes, Doubles] = {}

    def _guess(self, rows: Doubles, lost: NDArray[np.bool_]) -> Doubles:
        """Return the lost displacements (n, lost) of rows (n, 3 W), whatever stands there."""
        observed = np.concatenate([np.logical_not(lost), np.ones(2 * self.width, dtype=bool)])
        hidden = np.logical_not(observed)
        key = lost.tobytes()
        if key not in self._solved:
            c = self.covariance
            self._solved[key] = np.linalg.solve(
                c[np.ix_(observed, observed)], c[np.ix_(observed, hidden)]
            )
        guess = self.mean[hidden] + (rows - self.mean)[:, observed] @ self._solved[key]
        return np.asarray(guess)

    def fill(self, before: Array, last: Array, now: Array, lost: NDArray[np.bool_]) -> Doubles:
        """Return the first W numbers (L, W) of the ticks of a gap.

        Args:
            before: the tick before the last complete one (D,).
            last: the last complete tick (D,).
            now: the gap's ticks (L, D), whatever where lost; the first of them follows `last`.
            lost: (W,), True where missing.
        """
        w = self.width
        pace = self.pace_of(np.arange(1, len(now) + 1))[:, None]
        then = np.concatenate([last[:w], last[:w] - before[:w]])
        moved = (now[:, :w] - last[:w]) / pace
        rows = np.concatenate([moved, np.tile(then, (len(now), 1))], axis=1)
        out = np.array(now[:, :w], dtype=np.float64)
        out[:, lost] = last[:w][lost] + pace * self._guess(rows.astype(np.float64), lost)
        return out


class Retrieval:
    """Go on as the training take that was nearest went on.

    Args:
        takes: (T, D) each.
        horizons: the longest decides which ticks can be retrieved.
        width: 6 J.
    """

    def __init__(self, takes: Sequence[Array], horizons: Sequence[int], width: int) -> None:
        """Keep at most 20,000 ticks, evenly."""
        self.mean, self.std = _scaled(takes)
        self.width, reach = width, max(horizons)
        positions = [(i, t) for i, take in enumerate(takes) for t in range(3, len(take) - reach)]
        self.at_ticks = positions[:: max(1, len(positions) // 20_000)]
        self.takes = takes
        keys = [self._key(takes[i][: t + 1]) for i, t in self.at_ticks]
        self.keys = np.asarray(keys)

    def _key(self, past: Array) -> Doubles:
        now = ((past[-1] - self.mean) / self.std)[: self.width]
        step = ((past[-1] - past[-4]) / self.std)[: self.width]
        return np.concatenate([now, 2 * step])

    def at(self, past: Array, ahead: int) -> Doubles:
        """Return 6D rotations (6 J,): this pose, moved as the nearest one moved."""
        i, t = self.at_ticks[int(np.argmin(((self.keys - self._key(past)) ** 2).sum(axis=1)))]
        move = self.takes[i][t + ahead] - self.takes[i][t]
        out: Doubles = (past[-1] + move)[: self.width].astype(np.float64)
        return out
