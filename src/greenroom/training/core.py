"""The closed-form part of a performer: its arithmetic in the graph; `closed_form` fits its numbers.

A ridge forecast of the state from its own past; and for a gap, where the missing joints were
last seen plus the mean of how far they moved since, given how far the captured ones moved and the body's
state and step then, under a Gaussian. With nothing captured the forecast alone counts.

Shapes: N batch, K history ticks, D state width, J joints. The Gaussian's conditional mean solves a
system that depends on what is missing; a fixed number of conjugate gradient steps does it (Hestenes and
Stiefel 1952, "Methods of conjugate gradients for solving linear systems"), so that the exported graph
has only operations that give the same bits on every instruction set that was tried.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from greenroom.contracts import ModelShape

_STEPS = 8
"""Of the solver. More change nothing that can be measured on recordings (docs/log.md)."""
_LEAST = 1e-12
"""Below which there is nothing left to solve; added instead, the exporter takes it for nought."""


class Core(nn.Module):
    """The closed-form part; its numbers are fitted, not learned.

    Args:
        shape: of the model's tensors.
    """

    def __init__(self, shape: ModelShape) -> None:
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
            "drift": (2 * d, d),
            "onset": (d,),
            "precision": (d, d),
        }.items():
            self.register_buffer(name, torch.zeros(size))
        self.register_buffer("spread", torch.ones(d))
        self.register_buffer("later", torch.triu(torch.ones(shape.history, shape.history), 1))

    def lagged(self, history: Tensor) -> Tensor:
        """Return the regressors (N, lags·D): the newest row, then differences to older ones."""
        newest = history[:, -1]
        older = [newest - history[:, -lag] for lag in self.lags[1:]]
        return torch.cat([newest, *older], dim=-1)

    def ahead(self, history: Tensor) -> Tensor:
        """Return the ridge forecast of the next normalised state (N, D)."""
        return history[:, -1] + self.lagged(history) @ self.forecast + self.bias

    def forward(
        self, history: Tensor, seen: Tensor, step: Tensor, state: Tensor, trust: Tensor
    ) -> Tensor:
        """Return the completed state, normalised (N, D).

        Args:
            history: normalised states (N, K, D), oldest first.
            seen: of :meth:`last_seen` (N, D).
            step: likewise (N, D).
            state: normalised captured state (N, D), 0 where missing.
            trust: (N, D), 0 missing to 1 trusted.
        """
        usual = seen + torch.cat([seen, step], -1) @ self.drift + self.onset
        off = trust * (state - usual) / self.spread
        # No gradient through the solver: where it has converged its quotients are noise.
        given = usual + self.spread * self._missing(off.detach(), trust)
        alone = share_captured(trust)
        own = (1 - alone) * self.ahead(history) + alone * given
        own = torch.minimum(torch.maximum(own, self.low), self.high)
        return trust * state + (1 - trust) * own

    def _missing(self, off: Tensor, trust: Tensor) -> Tensor:
        """Return how far what is missing is off its mean (N, D), given how far the captured is.

        In spreads. With P the precision and m = 1 - trust, the likeliest x solves m P (m x) = -m P off.
        """
        lost = 1 - trust
        left = -lost * (off @ self.precision)
        way, found = left, torch.zeros_like(left)
        size = (left * left).sum(-1, keepdim=True)
        for _ in range(_STEPS):
            pull = lost * ((lost * way) @ self.precision)
            length = size / (way * pull).sum(-1, keepdim=True).clamp(min=_LEAST)
            found = found + length * way
            left = left - length * pull
            before, size = size, (left * left).sum(-1, keepdim=True)
            way = left + size / before.clamp(min=_LEAST) * way
        return found

    def last_seen(self, history: Tensor, known: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state when the joints now missing were last captured, and its step (N, D) each.

        Where that is longer ago than the history, or nothing is missing: those of the newest tick. A
        step is what was added to the tick before.
        """
        later = (self.later @ known.flatten(2)).clamp(max=1.0)
        last = known * (1 - later)
        lost = 1 - trust[:, : 6 * known.shape[-1] : 6]
        weight = (last * lost.unsqueeze(1)).sum(-1)
        total = weight.sum(-1, keepdim=True)
        weight = weight / torch.clamp(total, min=1e-3)
        rest = 1 - torch.clamp(weight.sum(-1, keepdim=True), max=1.0)
        seen = (weight.unsqueeze(1) @ history).squeeze(1) + rest * history[:, -1]
        before = (weight[:, 1:].unsqueeze(1) @ history[:, :-1]).squeeze(1)
        before = before + weight[:, :1] * history[:, 0] + rest * history[:, -2]
        return seen, seen - before


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
