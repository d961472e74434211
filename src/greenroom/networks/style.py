"""Styles of movement from the last second: linear discriminants, and doubt about unknown styles.

`greenroom.training.style_fit` fits the numbers.

Shapes: N windows, K history ticks, D state width, C styles, A discriminants.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from greenroom.contracts import STYLE_TICKS, ModelShape

FAR = 1e6
"""A squared distance beyond all that occur."""


class StyleHead(nn.Module):
    """Probabilities of the styles of the last second; fitted in closed form, not by gradient.

    Args:
        shape: of the model's tensors.
    """

    def __init__(self, shape: ModelShape) -> None:
        """Make the numbers; until they are fitted all styles are equally likely."""
        super().__init__()
        size, axes = 4 * shape.state, shape.styles - 1
        self.styles = shape.styles
        for name, value in {
            "mean": torch.zeros(size),
            "std": torch.ones(size),
            "axes": torch.zeros(size, axes),
            "centres": torch.zeros(shape.styles, axes),
            "sharpness": torch.ones(()),
            "familiarity": torch.tensor([9.0, 1.0, 0.0, FAR]),
        }.items():
            self.register_buffer(name, value)

    @staticmethod
    def descriptors(rows: Tensor) -> Tensor:
        """Return mean, spread, speed and its spread (N, 4 D) of the last ticks of rows (N, K, D)."""
        rows = rows[:, -STYLE_TICKS:]
        steps = 5 * (rows[:, 1:] - rows[:, :-1])
        parts = []
        for values, middle in ((rows, rows.mean(1)), (steps, steps.abs().mean(1))):
            about = values - values.mean(1, keepdim=True)
            parts += [middle, torch.sqrt((about * about).mean(1) + 1e-8)]
        return torch.cat(parts, -1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return probabilities (N, C) of normalised states (N, K, D)."""
        place = ((self.descriptors(rows) - self.mean) / self.std) @ self.axes
        offsets = place.unsqueeze(1) - self.centres
        squared_distance = (offsets * offsets).mean(-1)
        # A minimum is not among the portable operations.
        nearest = -(-squared_distance).amax(-1, keepdim=True)
        scores = torch.exp(-self.sharpness * (squared_distance - nearest))
        probabilities = scores / scores.sum(-1, keepdim=True)
        others = squared_distance + FAR * (1 - (squared_distance > nearest).float())
        second = (-(-others).amax(-1, keepdim=True)).clamp(max=FAR)
        midpoint, rate, lead, reach = self.familiarity.unbind()
        log_nearest, log_second = torch.log(nearest + 1e-6), torch.log(second + 1e-6)
        familiarity = torch.sigmoid(
            midpoint - rate * log_nearest + lead * (log_second - log_nearest)
        )
        familiarity = familiarity * (reach / (nearest + 1e-6)).clamp(max=1.0)
        return familiarity * probabilities + (1 - familiarity) / self.styles
