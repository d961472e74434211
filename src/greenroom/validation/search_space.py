"""What a search may choose from: values and ranges of hyperparameters, read from a file and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.contracts import Backend
from greenroom.errors import BadInput
from greenroom.manifests import Model
from greenroom.store.objects import read_json_file


@dataclass(frozen=True)
class Choice:
    """What a hyperparameter may be: some values, or a range.

    Attributes:
        values: to choose from; empty for a range.
        low: smallest of a range.
        high: largest of a range.
        step: between values of a range of whole numbers.
        log: draw evenly in the logarithm.
    """

    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: int = 1
    log: bool = False

    def manifest(self) -> dict[str, Any]:
        """Return it as in a space's file."""
        if self.values:
            return {"choices": list(self.values)}
        out: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            return {**out, "log": True}
        return out if isinstance(self.low, float) else {**out, "step": self.step}


Space = dict[str, Choice]
SPACE: Space = {
    "rate": Choice(low=2e-4, high=4e-3, log=True),
    "batch": Choice(values=(16, 32, 64)),
    "rollout": Choice(values=(16, 24, 36)),
}
"""What is searched without a file; the rest is as the recipe's own."""


def read_space(document: Any, where: str, defaults: Mapping[str, Any]) -> Space:
    """Return a space, checked, from decoded JSON: {name: {"choices": […]} or {"low", "high", …}}.

    Args:
        document: decoded JSON.
        where: the file, for messages.
        defaults: {hyperparameter: its default}, whose type a value must have.

    Raises:
        BadInput: it is no space.
    """
    if not isinstance(document, dict) or not document:
        raise BadInput(
            'a space is an object such as {"rate": {"low": 1e-4, "high": 1e-2, "log": true}}',
            where=where,
        )
    out = {}
    for name, spec in document.items():
        location = f"{where}, {name}"
        if name not in defaults or name == "seed":
            allowed = ", ".join(sorted(set(defaults) - {"seed"}))
            raise BadInput(f"'{name}' is no hyperparameter; there are {allowed}", where=location)
        out[name] = _read_choice(spec, location, type(defaults[name]))
    return out


def load_space(path: Path | None) -> Space:
    """Return the space in a JSON file, or the default one without a file.

    Raises:
        BadInput: the file holds no space.
    """
    from greenroom.training.recipe import Recipe

    defaults = {**Recipe().manifest(), "preset": "mini"}
    if path is None:
        return {name: choice for name, choice in SPACE.items() if name in defaults}
    return read_space(read_json_file(path), str(path), defaults)


def _read_choice(spec: Any, location: str, kind: type) -> Choice:
    if not isinstance(spec, dict) or not ({"choices"} == set(spec) or {"low", "high"} <= set(spec)):
        raise BadInput('give "choices", or "low" and "high"', where=location)
    if "choices" in spec:
        values = spec["choices"]
        if not isinstance(values, list) or not values:
            raise BadInput("choices are a list of values", where=location)
        return Choice(values=tuple(_value(value, kind, location) for value in values))
    if set(spec) - {"low", "high", "step", "log"} or kind is str:
        raise BadInput("a range has low, high, and step or log, of numbers", where=location)
    low, high = _value(spec["low"], kind, location), _value(spec["high"], kind, location)
    step, log = spec.get("step", 1), spec.get("log", False)
    if not isinstance(log, bool) or isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise BadInput("step is a whole number of 1 or more, log true or false", where=location)
    if "step" in spec and (kind is float or log):
        raise BadInput(
            "a step is for whole numbers that are not drawn by logarithm", where=location
        )
    if not low < high or (log and low <= 0):
        raise BadInput(f"{low} to {high} is no range", where=location)
    return Choice(low=low, high=high, step=step, log=log)


def _value(value: Any, kind: type, location: str) -> Any:
    good = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if isinstance(value, bool) or not good or (kind is not str and not 0 < value < 1e9):
        raise BadInput(f"{value!r} is no positive {kind.__name__}", where=location)
    return kind(value)


Report = Callable[[int, int], None]
"""Called with (done, total), in thousandths of all trials."""
Opened = Callable[[Model], Backend]


@dataclass(frozen=True)
class SearchPlan:
    """What is asked.

    Attributes:
        trials: how many in all; a study that has them is finished.
        metric: task.metric of the validation that is made better.
        preset: the models' size, where the space does not choose it.
        steps: optimiser steps of each trial, where the space does not choose it.
        seed: of trainings and sampler.
        space: what is chosen.
    """

    trials: int
    metric: str = "infill.limb_deg"
    preset: str = "mini"
    steps: int = 500
    seed: int = 0
    space: Space = field(default_factory=lambda: dict(SPACE))
