"""How a network reads what is told in words, and how it learns to do without.

Shapes: N batch, T ticks, S speech ticks, P phonemes, X context, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from greenroom.contracts import ModelShape

MASKED, FORGOTTEN = 0.3, 0.2
"""How often a lesson tells nothing of one kind, and how often it leaves out one value of a context."""


class ConditioningTokens(nn.Module):
    """Tokens that the joints attend to: two ticks of phonemes each, and one for the context.

    A token of which nothing is told is shut, so that it changes no bit of any other.

    Args:
        shape: of the model's tensors.
        width: W.
    """

    def __init__(self, shape: ModelShape, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.pairs = shape.speech // 2 if shape.phonemes else 0
        self.phonemes = nn.Linear(2 * shape.phonemes, width) if shape.phonemes else None
        self.context = nn.Linear(shape.context, width) if shape.context else None
        self.place = nn.Parameter(torch.randn(self.pairs, width) * 0.02)

    def forward(self, conditioning: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return tokens (N, tokens, W), and what is added to their scores (N, tokens): 0, or far below.

        Args:
            conditioning: phonemes (N, S, P) and context (N, X), those of them that the shape has.
        """
        tokens, has_value = [], []
        if self.phonemes is not None:
            pairs = conditioning[0].reshape(len(conditioning[0]), self.pairs, -1)
            tokens.append(self.phonemes(pairs) + self.place)
            has_value.append(pairs.amax(-1))
        if self.context is not None:
            tokens.append(self.context(conditioning[-1]).unsqueeze(1))
            has_value.append(conditioning[-1].amax(-1, keepdim=True))
        return torch.cat(tokens, 1), (1 - torch.cat(has_value, -1)) * -1e4


def conditioning_inputs(shape: ModelShape, words: Tensor | None, count: int) -> tuple[Tensor, ...]:
    """Return what a network is told at a tick: phonemes (N, S, P), context (N, X), if it has them.

    Args:
        shape: of its tensors.
        words: what is known of ticks (N, T, P + X), S of them at least, the last one now; None: nothing.
        count: N.
    """
    if words is None:
        words = torch.zeros(count, shape.speech, shape.phonemes + shape.context)
    out = (words[:, -shape.speech :, : shape.phonemes], words[:, -1, shape.phonemes :])
    return tuple(tensor for tensor in out if tensor.shape[-1])


def conditioning_dropout(shape: ModelShape, words: Tensor, random: torch.Generator) -> Tensor:
    """Return words (N, T, P + X) with some of them not told, the same in all ticks of a window.

    Without any words nothing is drawn.
    """
    n, width = len(words), words.shape[-1]
    if not width:
        return words
    keep_phonemes = (torch.rand(n, 1, 1, generator=random) >= MASKED).expand(-1, -1, shape.phonemes)
    keep_all = torch.rand(n, 1, 1, generator=random) >= MASKED
    keep_each = torch.rand(n, 1, shape.context, generator=random) >= FORGOTTEN
    return words * torch.cat([keep_phonemes, keep_all & keep_each], -1)


def append_conditioning(rows: Sequence[Tensor], words: Sequence[Tensor]) -> list[Tensor]:
    """Return the rows (T, D) of takes with what is known of each tick beside them (T, D + P + X)."""
    if not words:
        return list(rows)
    return [torch.cat(both, -1) for both in zip(rows, words, strict=True)]
