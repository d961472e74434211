"""Self-attention over a body's tokens, and attention roll-out (Abnar and Zuidema 2020).

Softmax is written out, so that the exported graph has only operations that give the same bits on every
instruction set that was tried.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CLOSED = -1e4
"""Added to the scores of a token that nothing may attend to."""


class AttentionBlock(nn.Module):
    """A pre-norm transformer block that also returns its attention, averaged over heads."""

    def __init__(self, width: int, heads: int) -> None:
        """Make the projections."""
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 2 * width)
        self.mlp_out = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return (tokens (N, T, W), attention (N, T, T)); `bias` (N, 1, 1, T) is added to the scores."""
        n, t, w = x.shape
        projected = self.qkv(self.norm_attention(x)).reshape((n, t, 3, self.heads, w // self.heads))
        query, key, value = projected.permute((2, 0, 3, 1, 4))
        scores = query @ key.transpose(-1, -2) / math.sqrt(w // self.heads) + bias
        scores = torch.exp(scores - scores.amax(-1, keepdim=True))
        weights = scores / scores.sum(-1, keepdim=True)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(n, t, w))
        x = x + self.mlp_out(nn.functional.gelu(self.mlp_in(self.norm_mlp(x))))
        return x, weights.mean(1)


class AttentionStack(nn.ModuleList):
    """Attention blocks one after another."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        """Make the blocks."""
        super().__init__(AttentionBlock(width, heads) for _ in range(layers))

    def forward(self, tokens: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens (N, T, W) and the attention rolled out over the blocks (N, T, T)."""
        rollout = None
        for block in self:
            tokens, weights = block(tokens, bias)
            weights = 0.5 * weights + 0.5 * torch.eye(weights.shape[-1], device=weights.device)
            rollout = weights if rollout is None else weights @ rollout
        assert rollout is not None
        return tokens, rollout


def attention_of_joints(rollout: Tensor, joints: int) -> Tensor:
    """Return the attention of each joint to the joints and, last, to speech and labels (N, J, J + 1).

    Args:
        rollout: attention of all tokens (N, T, T): joints, root, noise, then speech and labels.
        joints: J.
    """
    rows = rollout[:, :joints]
    hips = rows[:, :, :1] + rows[:, :, joints : joints + 1]  # the root's token is the hips' motion
    speech = rows[:, :, joints + 2 :].sum(-1, keepdim=True)
    out = torch.cat([hips, rows[:, :, 1:joints], speech], -1)
    return out / out.sum(-1, keepdim=True)
