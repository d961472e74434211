"""Labels of a tick (phonemes; emotion, language, scene) as tokens that the joints attend to.

Shapes: N batch, T ticks, S speech ticks, P phonemes, X context, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from greenroom.contracts import ModelShape
from greenroom.networks.attention import CLOSED


class ConditioningTokens(nn.Module):
    """Tokens of labels: two ticks of phonemes each, and one for the context.

    A token without a label is closed to attention, so that it changes no bit of any other.

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
        self.position = nn.Parameter(torch.randn(self.pairs, width) * 0.02)

    def forward(self, conditioning: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return tokens (N, tokens, W), and the bias of their scores (N, tokens): 0, or `CLOSED`.

        Args:
            conditioning: phonemes (N, S, P) and context (N, X), those of them that the shape has.
        """
        tokens, has_value = [], []
        if self.phonemes is not None:
            pairs = conditioning[0].reshape(len(conditioning[0]), self.pairs, -1)
            tokens.append(self.phonemes(pairs) + self.position)
            has_value.append(pairs.amax(-1))
        if self.context is not None:
            tokens.append(self.context(conditioning[-1]).unsqueeze(1))
            has_value.append(conditioning[-1].amax(-1, keepdim=True))
        return torch.cat(tokens, 1), (1 - torch.cat(has_value, -1)) * CLOSED
