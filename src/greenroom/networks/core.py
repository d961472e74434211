"""The closed-form part of a motion network: its arithmetic in the graph; training fits its numbers.

A ridge forecast of the state from its own past; and for a gap, the last observation of the missing
joints plus the conditional mean of their displacement since, given that of the captured joints and the
body's state and step then, under a Gaussian. With nothing captured the forecast alone counts.

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
from greenroom.networks.input_batch import joint_mask_to_state

_STEPS = 8
"""Steps of the solver; more change nothing measurable on recordings (docs/log/experiments.md)."""
_LEAST = 1e-12
"""Lower bound of divisors; added instead, the exporter takes it for 0."""


class LastObserved(NamedTuple):
    """The last observation of each channel before a gap, normalised (N, D) each.

    Attributes:
        state: then.
        step: difference to the tick before it; 0 where the history does not reach back to it.
        pace: displacement in the time since, relative to that in one tick.
        mean_pace: the same of the mean displacement; 0 where the history does not reach back.
        memory: 1 for the newer half of the history, then falling to 0 at its end.
    """

    state: Tensor
    step: Tensor
    pace: Tensor
    mean_pace: Tensor
    memory: Tensor


class Core(nn.Module):
    """The closed-form part; its numbers are fitted in closed form, not by gradient.

    Args:
        shape: of the model's tensors.
    """

    def __init__(self, shape: ModelShape) -> None:
        """Make zeros, until `greenroom.training.closed_form` fits them."""
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
        """Return the conditional mean of all channels (N, D), in spreads, given the captured ones.

        With P the precision, t the trust, r the residual and y = r / t, it is the z that minimises
        zᵀ P z plus the sum of t / (1 - t) (z - y)²: a captured channel is a measurement of variance
        (1 - t) / t. Written as z = r + (1 - t) x, it holds for t of 0 and 1 too.
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
        """Return the last observation of each channel before the gap of this tick.

        For a missing joint, when it was last captured; for a captured one, when all joints that are
        missing now were captured. Where the history does not reach back to that, its oldest tick.

        Args:
            history: normalised states (N, K, D), oldest first.
            history_mask: joints that were captured in it (N, K, J).
            trust: (N, D), 0 missing to 1 trusted.
        """
        present = some(history_mask)
        lost = (1 - trust[:, : 6 * history_mask.shape[-1] : 6]).unsqueeze(1)
        own_last = present * (1 - (self.later @ present).clamp(max=1.0))
        all_present = 1 - (lost * (1 - present)).amax(-1, keepdim=True)
        first = all_present * (1 - (self.later @ all_present).clamp(max=1.0))
        weight = lost * own_last + (1 - lost) * first
        weight = joint_mask_to_state(weight)
        remaining_weight = 1 - weight.sum(1)
        before = torch.cat([history[:, :1], history[:, :-1]], 1)
        state, step = (weight * history).sum(1), (weight * (history - before)).sum(1)
        pace = (weight * self.pace.unsqueeze(-1)).sum(1)
        memory = (weight * self.memory.unsqueeze(-1)).sum(1)
        return LastObserved(
            state=state + remaining_weight * history[:, 0],
            step=step,
            pace=pace + remaining_weight * self.pace[0],
            mean_pace=pace,
            memory=memory,
        )


def rows_without_guesses(
    past: Tensor, history_mask: Tensor, last_state: Tensor, trust: Tensor
) -> Tensor:
    """Return the history (N, K, D) with missing joints at their last observation.

    The model's own completions are left out, so that training needs no roll-out for them. With nothing
    captured the history is the model's own past and stays.
    """
    present = some(history_mask)
    imputed = (1 - joint_mask_to_state(present)) * ((1 - trust) * share_captured(trust)).unsqueeze(
        1
    )
    return past + imputed * (last_state.unsqueeze(1) - past)


def share_captured(trust: Tensor) -> Tensor:
    """Return (N, 1): 0 where nothing is captured, rising to 1 where a quarter is."""
    return torch.clamp(4 * trust.mean(-1, keepdim=True), max=1.0)


def some(trust: Tensor) -> Tensor:
    """Return 1 where there is any trust at all, else 0."""
    return torch.clamp(1e6 * trust, max=1.0)
