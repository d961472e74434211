"""Whether motion belongs to its sound: does the right sound score higher than a wrong one?

The score is a closed form of what a learned synchrony network gives (Chung and Zisserman 2016, "Out of
time"): canonical correlation (Hotelling 1936), fitted on training takes, of sound with its surroundings
and motion. Nothing of it is fitted on what is judged, so that a model's face or motion is scored by how
real ones go with sound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles
from greenroom.metrics.motion import SufficientStats

LAGS = (-6, -3, 0, 3, 6)
"""Ticks around each at which the sound is heard too: motion leads and follows."""


def _with_lags(sound: Doubles) -> Doubles:
    ticks = np.arange(len(sound))
    return np.concatenate([sound[np.clip(ticks + lag, 0, len(sound) - 1)] for lag in LAGS], axis=1)


def _root(covariance: Doubles, shrink: float) -> Doubles:
    """Return C^(-1/2), the diagonal raised by `shrink` of its mean."""
    raised = covariance + shrink * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(raised)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-12)) @ vectors.T)


class Matcher:
    """Score pairs of sound and motion by canonical correlation.

    Args:
        sounds: features (T, A) of each training take, such as log-mel power and level.
        motions: (T, M) of each, such as face weights or joint velocities; finite.
        parts: how many canonical pairs are used, at most.
        shrink: raise of both covariances' diagonals, as a part of their mean.

    Raises:
        BadInput: a pair differs in length, there is no pair, or a number is missing.
    """

    def __init__(
        self,
        sounds: Sequence[Array],
        motions: Sequence[Array],
        parts: int = 4,
        shrink: float = 0.05,
    ) -> None:
        """Fit on pairs that belong together."""
        _check_pairs(sounds, motions)
        sound_rows = np.concatenate([_with_lags(np.asarray(s, dtype=np.float64)) for s in sounds])
        motion_rows = np.concatenate([np.asarray(m, dtype=np.float64) for m in motions])
        self._sound = sound_rows.mean(axis=0), np.maximum(sound_rows.std(axis=0), 1e-6)
        self._motion = motion_rows.mean(axis=0), np.maximum(motion_rows.std(axis=0), 1e-6)
        x, y = self._scaled(sound_rows, self._sound), self._scaled(motion_rows, self._motion)
        white = [_root(values.T @ values / len(values), shrink) for values in (x, y)]
        u, _, vt = np.linalg.svd(white[0] @ (x.T @ y / len(x)) @ white[1], full_matrices=False)
        self._maps = white[0] @ u[:, :parts], white[1] @ vt[:parts].T

    @staticmethod
    def _scaled(values: Doubles, by: tuple[Doubles, Doubles]) -> Doubles:
        return np.asarray((values - by[0]) / by[1])

    def _embed_sound(self, sound: Array) -> Doubles:
        lagged = _with_lags(np.asarray(sound, dtype=np.float64))
        return _unit(self._scaled(lagged, self._sound) @ self._maps[0])

    def _embed_motion(self, motion: Array) -> Doubles:
        values = self._scaled(np.asarray(motion, dtype=np.float64), self._motion)
        return _unit(values @ self._maps[1])

    def score(self, sound: Array, motion: Array) -> float:
        """Return how well they go together, in [-1, 1]: mean correlation of the canonical pairs.

        Args:
            sound: (T, A).
            motion: (T, M), finite.

        Raises:
            BadInput: they differ in length.
        """
        _check_pairs([sound], [motion])
        return float((self._embed_sound(sound) * self._embed_motion(motion)).sum(axis=0).mean())

    def scores(self, sounds: Sequence[Array], motions: Sequence[Array]) -> Doubles:
        """Return the score (sounds, motions) of every pair; all of one length.

        Raises:
            BadInput: they are not of one length, or not as many.
        """
        _check_pairs(sounds, motions)
        if len({len(s) for s in sounds}) != 1:
            raise BadInput("stretches that are compared are of one length")
        sound_embeddings = np.asarray([self._embed_sound(s) for s in sounds])
        motion_embeddings = np.asarray([self._embed_motion(m) for m in motions])
        return np.asarray(
            np.einsum("itp,jtp->ij", sound_embeddings, motion_embeddings)
            / sound_embeddings.shape[-1]
        )


def _unit(values: Doubles) -> Doubles:
    """Return columns without mean and of length 1; what does not move is nought."""
    own = values - values.mean(axis=0)
    length = np.linalg.norm(own, axis=0)
    return np.asarray(np.where(length > 1e-9, own / np.maximum(length, 1e-9), 0.0))


def _check_pairs(sounds: Sequence[Array], motions: Sequence[Array]) -> None:
    if not sounds or len(sounds) != len(motions):
        raise BadInput(f"{len(sounds)} stretches of sound for {len(motions)} of motion")
    for sound, motion in zip(sounds, motions, strict=True):
        if len(sound) != len(motion):
            raise BadInput(f"sound has {len(sound)} ticks, motion {len(motion)}")
        if not (np.isfinite(sound).all() and np.isfinite(motion).all()):
            raise BadInput("sound and motion are scored where neither is missing")


def chance_of_match(scores: Array) -> Doubles:
    """Return for each motion the probability (N,) that its own sound scores higher than another's.

    A tie is half. The mean is the area under the ROC curve of two-alternative choices (Hanley and McNeil
    1982, "The meaning and use of the area under a ROC curve"); 0.5 is chance. NaN for a single one.

    Args:
        scores: (N, N), sound by motion, those that belong together on the diagonal.

    >>> chance_of_match(np.asarray([[0.9, 0.1], [0.2, 0.1]])).tolist()
    [1.0, 0.5]
    """
    table = np.asarray(scores, dtype=np.float64)
    own = np.diag(table)
    wins = (own > table).sum(axis=0) + 0.5 * ((own == table).sum(axis=0) - 1)
    return np.asarray(wins / (len(table) - 1) if len(table) > 1 else np.full(1, np.nan))


def match_tally(
    matcher: Matcher,
    sounds: Sequence[Array],
    takes: Sequence[str],
    motions_by_source: dict[str, Sequence[Array]],
) -> dict[str, SufficientStats]:
    """Return take → tally of how often the right sound wins; higher is better, 0.5 is chance.

    Every stretch is compared with every other one, of its own take too, so that a voice alone tells
    nothing.

    Args:
        matcher: fitted on training takes.
        sounds: N stretches (L, A) of one length.
        takes: whose each is (N,).
        motions_by_source: {name: N stretches of motion (L, M)}; the truth may be one of them.

    Raises:
        BadInput: lengths or numbers differ.
    """
    if len(takes) != len(sounds):
        raise BadInput(f"{len(sounds)} stretches of sound of {len(takes)} takes")
    chances = {
        name: chance_of_match(matcher.scores(sounds, motions))
        for name, motions in motions_by_source.items()
    }
    out = {}
    for take in sorted(set(takes)):
        mine = np.asarray([other == take for other in takes])
        lost = {name: float(np.nansum(1 - values[mine])) for name, values in chances.items()}
        weight = float(mine.sum()) if len(takes) > 1 else 0.0
        out[take] = SufficientStats("skill", lost, weight)
    return out
