"""What a model is trained on, as tensors.

Shapes: T ticks, D state width, F speech channels, B weights of a face, P phonemes, X context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class TrainingData:
    """Tensors of a training split.

    Attributes:
        streams: states (T, D) of takes one after another, for roll-outs.
        takes: states (T, D) of each take, and of its mirror image.
        faces: (speech (T, F), weights (T, B)) of each take with both.
        styles: (states (T, D), class, content) of each labelled take; the content may be "".
        weights: sampling weight of each of `takes`, times its length; empty: 1 each.
        conditioning: labels of each tick (T, P + X) of `streams`, `takes` and `faces`, if any.
    """

    streams: Sequence[Tensor]
    takes: Sequence[Tensor] = ()
    faces: Sequence[tuple[Tensor, Tensor]] = ()
    styles: Sequence[tuple[Tensor, int, str]] = ()
    weights: Sequence[float] = field(default=())
    conditioning: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)

    def with_conditioning(self, name: str, rows: Sequence[Tensor]) -> list[Tensor]:
        """Return rows (T, D) of `streams`, `takes` or `faces` with labels appended (T, D + P + X)."""
        labels = self.conditioning.get(name, ())
        if not labels:
            return list(rows)
        return [torch.cat(both, -1) for both in zip(rows, labels, strict=True)]
