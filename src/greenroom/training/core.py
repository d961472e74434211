"""The closed-form part of a performer: its arithmetic in the graph; `closed_form` fits its numbers.

A ridge forecast of the state from its own past; and for a gap, where the missing joints were
last seen plus the mean of how far they moved given how far the captured ones moved since, under a
low-rank Gaussian of displacements (Tipping and Bishop 1999, "Probabilistic principal component
analysis": the posterior mean from the observed rows). With nothing captured the forecast alone counts.

Shapes: N batch, K history ticks, D state width, J joints. The small inverse is a fixed number of
Newton-Schulz steps, so that the exported graph has only operations that give the same bits on every
instruction set that was tried.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from greenroom.contracts import ModelShape

_NEWTON_STEPS = 18


class Core(nn.Module):
    """The closed-form part; its numbers are fitted, not learned.

    Args:
        shape: of the model's tensors.
        rank: of the Gaussian.
    """

    def __init__(self, shape: ModelShape, rank: int) -> None:
        """Make room for the numbers that `greenroom.training.closed_form` fits."""
        super().__init__()
        d = shape.state
        self.lags = shape.lags
        for name, size in {
            "mean": (d,),
            "std": (d,),
            "low": (d,),
            "high": (d,),
            "forecast": (len(self.lags) * d, d),
            "bias": (d,),
            "factors": (d, rank),
            "noise": (d,),
        }.items():
            self.register_buffer(name, torch.zeros(size))
        self.register_buffer("eye", torch.eye(rank))
        self.register_buffer("later", torch.triu(torch.ones(shape.history, shape.history), 1))
        self.register_buffer("mix", torch.zeros(()))
        self.register_buffer("gain", torch.ones(()))

    def lagged(self, history: Tensor) -> Tensor:
        """Return the regressors (N, lags·D): the newest row, then differences to older ones."""
        newest = history[:, -1]
        older = [newest - history[:, -lag] for lag in self.lags[1:]]
        return torch.cat([newest, *older], dim=-1)

    def ahead(self, history: Tensor) -> Tensor:
        """Return the ridge forecast of the next normalised state (N, D)."""
        return history[:, -1] + self.lagged(history) @ self.forecast + self.bias

    def forward(self, history: Tensor, seen: Tensor, state: Tensor, trust: Tensor) -> Tensor:
        """Return the completed state, normalised (N, D).

        Args:
            history: normalised states (N, K, D), oldest first.
            seen: of :meth:`last_seen` (N, D).
            state: normalised captured state (N, D), 0 where missing.
            trust: (N, D), 0 missing to 1 trusted.
        """
        forecast = self.ahead(history)
        weight = trust / self.noise
        scaled = self.factors * weight.unsqueeze(-1)
        precision = self.eye + self.factors.transpose(0, 1) @ scaled
        pull = scaled.transpose(1, 2) @ (trust * (state - seen)).unsqueeze(-1)
        hidden = _invert(precision, self.eye) @ pull
        given = seen + self.gain * (self.factors @ hidden).squeeze(-1)
        ahead = 1 - (1 - self.mix) * share_captured(trust)
        own = ahead * forecast + (1 - ahead) * given
        own = torch.minimum(torch.maximum(own, self.low), self.high)
        return trust * state + (1 - trust) * own

    def last_seen(self, history: Tensor, known: Tensor, trust: Tensor) -> Tensor:
        """Return the state (N, D) at the last tick at which the joints now missing were captured.

        Where that is longer ago than the history, or nothing is missing: the newest state.
        """
        later = (self.later @ known.flatten(2)).clamp(max=1.0)
        last = known * (1 - later)
        lost = 1 - trust[:, : 6 * known.shape[-1] : 6]
        weight = (last * lost.unsqueeze(1)).sum(-1)
        total = weight.sum(-1, keepdim=True)
        weight = weight / torch.clamp(total, min=1e-3)
        rest = 1 - torch.clamp(weight.sum(-1, keepdim=True), max=1.0)
        return (weight.unsqueeze(1) @ history).squeeze(1) + rest * history[:, -1]


def rows_without_guesses(past: Tensor, known: Tensor, seen: Tensor, trust: Tensor) -> Tensor:
    """Return the history (N, K, D) in which what is missing now stands where it was last seen.

    What the model guessed for it since is left out, so that a gap's third tick is no guess about guesses
    and training needs no roll-out for it. With nothing captured its own past is all it has, and stays.
    """
    wide = torch.cat([known.repeat_interleave(6, -1), known[..., :1].expand(-1, -1, 4)], -1)
    guessed = (1 - wide) * ((1 - trust) * share_captured(trust)).unsqueeze(1)
    return past + guessed * (seen.unsqueeze(1) - past)


def share_captured(trust: Tensor) -> Tensor:
    """Return (N, 1): 0 where nothing is captured, rising to 1 where a quarter is."""
    return torch.clamp(4 * trust.mean(-1, keepdim=True), max=1.0)


def _invert(matrix: Tensor, eye: Tensor) -> Tensor:
    """Return the inverse of symmetric positive matrices (N, r, r) by Newton and Schulz's steps."""
    size = matrix.abs().sum(-1).amax(-1).unsqueeze(-1).unsqueeze(-1)
    guess = eye / size
    for _ in range(_NEWTON_STEPS):
        guess = guess @ (2 * eye - matrix @ guess)
    return guess
