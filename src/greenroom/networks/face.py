"""A face from speech: a feed-forward network over a window of acoustic features and labels.

Shapes: N batch, T ticks, S speech ticks, F speech channels, B weights of a face, W width, P phonemes,
X context.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from greenroom.contracts import LOOK_AHEAD, ModelShape

_FIRST = 3  # layers up to the one that reads the speech


class FaceNet(nn.Module):
    """Face weights from speech and labels, `LOOK_AHEAD` ticks late.

    Args:
        shape: of the model's tensors.
        width: W.
    """

    def __init__(self, shape: ModelShape, width: int) -> None:
        """Make the layers; at first the output is the mean face."""
        super().__init__()
        first = nn.Linear(shape.speech * shape.speech_channels, width)
        second = nn.Linear(width, width)
        before = [nn.Flatten(), nn.Dropout(0.2), first]
        after = [nn.GELU(), nn.Dropout(0.5), second, nn.GELU(), nn.Dropout(0.5)]
        self.body = nn.Sequential(*before, *after)
        self.out = nn.Linear(width, shape.face)
        nn.init.zeros_(self.out.weight)
        self.register_buffer("mean_face", torch.zeros(shape.face))
        labels = shape.speech * shape.phonemes + shape.context
        self.conditioning = nn.Linear(labels, width, bias=False) if labels else None

    def weights(self, speech: Tensor, conditioning: Sequence[Tensor] = ()) -> Tensor:
        """Return weights (N, B), unbounded.

        Args:
            speech: normalised (N, S, F).
            conditioning: phonemes (N, S, P) and context (N, X), those of them that the shape has.
        """
        hidden = self.body[:_FIRST](speech)
        if self.conditioning is not None:  # zeros add nothing
            labels = torch.cat([tensor.flatten(1) for tensor in conditioning], -1)
            hidden = hidden + self.conditioning(labels)
        out: Tensor = self.mean_face + self.out(self.body[_FIRST:](hidden))
        return out

    def forward(self, speech: Tensor, conditioning: Sequence[Tensor] = ()) -> Tensor:
        """Return weights (N, B) in [0, 1]."""
        return self.weights(speech, conditioning).clamp(0, 1)


def face_windows(face: Tensor, speech: Tensor, ticks: int) -> tuple[Tensor, Tensor]:
    """Return the speech windows (T, S, F) from which each tick of a face (T, B) is made, and the face.

    The window of tick t ends `LOOK_AHEAD` ticks after it; before the first tick that one is repeated.

    Args:
        face: weights (T, B).
        speech: channels (T, F).
        ticks: S.
    """
    count = min(len(face), len(speech) - LOOK_AHEAD)
    at = torch.arange(count)[:, None] + torch.arange(LOOK_AHEAD - ticks + 1, LOOK_AHEAD + 1)
    return speech[at.clamp(min=0)], face[:count]
