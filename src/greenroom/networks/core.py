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

from typing import NamedTuple

import torch
from torch import Tensor, nn

from greenroom.contracts import ModelShape

_STEPS = 8
"""Of the solver. More change nothing that can be measured on recordings (docs/log/experiments.md)."""
_LEAST = 1e-12
"""Below which there is nothing left to solve; added instead, the exporter takes it for nought."""


class LastObserved(NamedTuple):
    """Where each channel was before what is missing went missing, normalised (N, D) each.

    Attributes:
        state: then.
        step: what the tick then had added to the one before it; 0 where there is no memory of it.
        pace: how far channels go in the time since, over how far they go in a tick.
        mean_pace: the same of their mean; 0 where there is no memory of when it was.
        memory: 1 for the newer half of the history, then falling to 0 where there is none.
    """

    state: Tensor
    step: Tensor
    pace: Tensor
    mean_pace: Tensor
    memory: Tensor


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
        self.register_buffer("pace", torch.ones(shape.history))
        recent = torch.arange(1, shape.history + 1) / (shape.history // 2)
        self.register_buffer("memory", recent.clamp(max=1.0))
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
        self, history: Tensor, last_seen: LastObserved, state: Tensor, trust: Tensor
    ) -> Tensor:
        """Return the completed state, normalised (N, D).

        Args:
            history: normalised states (N, K, D), oldest first.
            last_seen: of :meth:`last_seen`.
            state: normalised captured state (N, D), 0 where missing.
            trust: (N, D), 0 missing to 1 trusted.
        """
        drift = torch.cat([last_seen.state, last_seen.step], -1) @ self.drift + self.onset
        expected = last_seen.state + last_seen.mean_pace * drift
        spread = last_seen.pace * self.spread
        # No gradient through the solver: where it has converged its quotients are noise.
        residual = trust * (state - expected) / spread
        conditional = expected + spread * self._conditional_mean(residual.detach(), trust)
        captured = share_captured(trust)
        estimate = (1 - captured) * self.ahead(history) + captured * conditional
        estimate = torch.minimum(torch.maximum(estimate, self.low), self.high)
        return trust * state + (1 - trust) * estimate

    def _conditional_mean(self, residual: Tensor, trust: Tensor) -> Tensor:
        """Return how far all channels are off their means (N, D), in spreads, given what was captured.

        With P the precision, t the trust and y = off / t, it is the z that makes zᵀ P z plus the sum of
        t / (1 - t) (z - y)² least: what was captured counts as a measurement whose variance is
        (1 - t) / t. Put as z = off + (1 - t) x, it holds for t of 0 and 1 too.
        """
        lost = 1 - trust
        remainder = lost * (residual - residual @ self.precision)
        direction, solution = remainder, torch.zeros_like(remainder)
        norm = (remainder * remainder).sum(-1, keepdim=True)
        for _ in range(_STEPS):
            product = lost * (trust * direction + (lost * direction) @ self.precision)
            step = norm / (direction * product).sum(-1, keepdim=True).clamp(min=_LEAST)
            solution = solution + step * direction
            remainder = remainder - step * product
            previous, norm = norm, (remainder * remainder).sum(-1, keepdim=True)
            direction = remainder + norm / previous.clamp(min=_LEAST) * direction
        return residual + lost * solution

    def last_seen(self, history: Tensor, history_mask: Tensor, trust: Tensor) -> LastObserved:
        """Return where each channel was before what is missing now went missing.

        A missing joint: when it was last captured. A captured one: when all that are missing now were
        there. Where the history does not reach back to that, its oldest tick, from which only what was
        captured since moves anything.

        Args:
            history: normalised states (N, K, D), oldest first.
            history_mask: which of its joints were captured (N, K, J).
            trust: (N, D), 0 missing to 1 trusted.
        """
        present = some(history_mask)
        lost = (1 - trust[:, : 6 * history_mask.shape[-1] : 6]).unsqueeze(1)
        own_last = present * (1 - (self.later @ present).clamp(max=1.0))
        all_present = 1 - (lost * (1 - present)).amax(-1, keepdim=True)
        first = all_present * (1 - (self.later @ all_present).clamp(max=1.0))
        weight = lost * own_last + (1 - lost) * first
        weight = torch.cat([weight.repeat_interleave(6, -1), weight[..., :1].expand(-1, -1, 4)], -1)
        remaining_weight = 1 - weight.sum(1)
        before = torch.cat([history[:, :1], history[:, :-1]], 1)
        state, step = (weight * history).sum(1), (weight * (history - before)).sum(1)
        pace = (weight * self.pace.unsqueeze(-1)).sum(1)
        memory = (weight * self.memory.unsqueeze(-1)).sum(1)
        return LastObserved(
            state + remaining_weight * history[:, 0],
            step,
            pace + remaining_weight * self.pace[0],
            pace,
            memory,
        )


def rows_without_guesses(
    past: Tensor, history_mask: Tensor, last_state: Tensor, trust: Tensor
) -> Tensor:
    """Return the history (N, K, D) in which what is missing now stands where it was last seen.

    What the model guessed for it since is left out, so that a gap's third tick is no guess about guesses
    and training needs no roll-out for it. With nothing captured its own past is all it has, and stays.
    """
    present = some(history_mask)
    wide_mask = torch.cat(
        [present.repeat_interleave(6, -1), present[..., :1].expand(-1, -1, 4)], -1
    )
    imputed = (1 - wide_mask) * ((1 - trust) * share_captured(trust)).unsqueeze(1)
    return past + imputed * (last_state.unsqueeze(1) - past)


def share_captured(trust: Tensor) -> Tensor:
    """Return (N, 1): 0 where nothing is captured, rising to 1 where a quarter is."""
    return torch.clamp(4 * trust.mean(-1, keepdim=True), max=1.0)


def some(trust: Tensor) -> Tensor:
    """Return 1 where there is any trust at all, else 0."""
    return torch.clamp(1e6 * trust, max=1.0)
