"""Training hyperparameters, and the version of the code that turns them into a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from greenroom.store.objects import canonical, digest

RECIPE_VERSION = "1"
"""Raise it whenever a change of code changes a trained model's bits: features, objectives, networks,
closed-form fits, the order of random draws. A rename or a comment changes none."""
_LIBRARIES = ("torch", "numpy", "scipy")

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each step with (step, steps, figures)."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training.

    Attributes:
        steps: optimiser steps.
        batch: roll-out windows a step.
        rollout: ticks of a window at the end of training; it grows from a quarter of this.
        rate: peak learning rate, followed by a cosine to 0.
        seed: of everything random.
        kl: weight of the encoder's divergence from the standard normal.
        windows: windows a step of the gap objective, which needs no roll-out; the face has half as many.
        every: steps from one roll-out to the next, where there is a gap objective.
        weights: of the objectives' losses: "fixed", or "learned" from each one's uncertainty.
    """

    steps: int = 1500
    batch: int = 32
    rollout: int = 24
    rate: float = 1e-3
    seed: int = 0
    kl: float = 0.02
    windows: int = 512
    every: int = 8
    weights: str = "fixed"

    def manifest(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON."""
        return asdict(self)


DEFAULT = Recipe()


@cache
def code_version() -> str:
    """Return the version of what decides a model's bits: the recipe's, and the libraries'."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return digest(canonical({"recipe": RECIPE_VERSION, **libraries}))[:16]
