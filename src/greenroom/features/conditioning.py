"""What is told of a tick in words: the phoneme that is spoken, and the emotion, language and scene.

A model knows the words that its training takes were labelled with, and keeps them in its manifest, so
that they are frozen and hashed with it. A word that it does not know is not told: all nought, as where
nobody said anything. Columns are phonemes first (P), then the values of each tier of `CONTEXT` (X).
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.contracts import CONTEXT, PHONEMES
from greenroom.frames import Floats

Conditioning = Mapping[str, str | Sequence[tuple[int, int, str]]]
"""By tier a value for the whole, or stretches (first tick, one past the last, value), as labels are."""


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows.

    Attributes:
        phonemes: P symbols.
        context: X pairs of a tier of `CONTEXT` and a value.
    """

    phonemes: tuple[str, ...] = ()
    context: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, takes: Iterable[Conditioning]) -> Vocabulary:
        """Return the words of takes; a tier that says the same everywhere tells nothing and is left out.

        >>> happy = {"emotion": "happy", "language": "en", "phonemes": [(0, 3, "AA"), (3, 5, "M")]}
        >>> words = Vocabulary.of([happy, {"emotion": "sad", "language": "en"}])
        >>> words.phonemes, words.context
        (('AA', 'M'), (('emotion', 'happy'), ('emotion', 'sad')))
        >>> words.rows(happy, 6)[2:4].tolist()
        [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]]
        """
        values_by_tier: dict[str, set[str]] = {tier: set() for tier in (PHONEMES, *CONTEXT)}
        for labels in takes:
            for tier in values_by_tier.keys() & labels.keys():
                values_by_tier[tier] |= {value for _, _, value in _stretches(labels[tier], 1)}
        informative = {
            tier: sorted(values) for tier, values in values_by_tier.items() if len(values) > 1
        }
        context = [(tier, value) for tier in CONTEXT for value in informative.get(tier, ())]
        return cls(tuple(informative.get(PHONEMES, ())), tuple(context))

    def rows(self, labels: Conditioning, ticks: int) -> Floats:
        """Return what is known of each tick (T, P + X): 1 in the columns of what is said, else 0."""
        column = self.columns()
        out = np.zeros((ticks, len(column)), dtype=np.float32)
        for tier, label in labels.items():
            for first, end, value in _stretches(label, ticks):
                if (tier, value) in column:
                    out[first:end, column[tier, value]] = 1
        return out

    def columns(self) -> dict[tuple[str, str], int]:
        """Return the column of each (tier, value)."""
        columns = [*((PHONEMES, symbol) for symbol in self.phonemes), *self.context]
        return {pair: n for n, pair in enumerate(columns)}

    def manifest(self) -> dict[str, list[str]]:
        """Return the values by tier; empty where there are none."""
        out: dict[str, list[str]] = {PHONEMES: list(self.phonemes)} if self.phonemes else {}
        for tier, value in self.context:
            out.setdefault(tier, []).append(value)
        return out

    @classmethod
    def load(cls, manifest: Mapping[str, Sequence[str]]) -> Vocabulary:
        """Read what :meth:`manifest` wrote."""
        context = [(tier, value) for tier in CONTEXT for value in manifest.get(tier, ())]
        return cls(tuple(manifest.get(PHONEMES, ())), tuple(context))


class ConditioningTrack:
    """Tell of one tick after another what is known, without a table as long as a show.

    Args:
        vocabulary: the words that are known.
        labels: of the show, in stretches that do not overlap within a tier.

    >>> words = Vocabulary(("AA", "M"), (("scene", "dance"),))
    >>> labels = {"phonemes": [(0, 3, "M"), (3, 4, "?")], "scene": [(2, 9, "dance")]}
    >>> track = ConditioningTrack(words, labels)
    >>> [track.row(tick).tolist() for tick in (2, 3)]
    [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, vocabulary: Vocabulary, labels: Conditioning) -> None:
        """Lay the stretches of each tier in their order."""
        column = vocabulary.columns()
        self._tiers: list[tuple[list[int], list[tuple[int, int]]]] = []
        for tier in sorted({tier for tier, _ in column} & labels.keys()):
            spans = sorted(_stretches(labels[tier], sys.maxsize))
            ends = [(end, column.get((tier, value), -1)) for _, end, value in spans]
            self._tiers.append(([first for first, _, _ in spans], ends))
        self._row = np.zeros(len(column), dtype=np.float32)

    def row(self, tick: int) -> Floats:
        """Return what is known of a tick (P + X,), as :meth:`Vocabulary.rows` lays it; written anew."""
        self._row.fill(0)
        for firsts, ends in self._tiers:
            index = bisect_right(firsts, tick) - 1
            if index >= 0 and tick < ends[index][0] and ends[index][1] >= 0:
                self._row[ends[index][1]] = 1
        return self._row


def _stretches(
    label: str | Sequence[tuple[int, int, str]], ticks: int
) -> Sequence[tuple[int, int, str]]:
    return [(0, ticks, label)] if isinstance(label, str) else label
