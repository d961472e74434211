"""Sizes of networks by name, and the tensor shapes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.contracts import STYLE_TICKS, ModelShape
from greenroom.errors import BadInput

HORIZONS = (1, 3, 6, 10, 15)
"""Ticks ahead of the forecasts: 33, 100, 200, 333 and 500 ms; the middle ones help the others."""


@dataclass(frozen=True)
class Preset:
    """The size of a network.

    Attributes:
        name: its name.
        width: of a token, in channels; the attention has width // 32 heads.
        layers: attention blocks.
        trunk: width of the whole-body network and of the task heads; 0 for the token model, which has
            neither and learns roll-outs only.
        depth: residual blocks of the whole-body network.
        steps: default number of optimiser steps.
    """

    name: str
    width: int
    layers: int
    trunk: int = 0
    depth: int = 2
    steps: int = 1500

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.width // 32

    def shape(
        self, joints: int, state: int, speech: int, face: int = 0, styles: int = 0
    ) -> ModelShape:
        """Return the tensor shapes of a model of this size.

        Args:
            joints: J, joints that it drives.
            state: D, width of a state.
            speech: F, speech channels.
            face: B, weights of the face rig; 0 without one.
            styles: C, labelled styles; 0 without labels.
        """
        if not self.trunk:
            return ModelShape(joints, state, speech)
        return ModelShape(
            joints,
            state,
            speech,
            history=STYLE_TICKS,
            speech=12,
            horizons=HORIZONS,
            face=face,
            styles=styles,
        )


TOKENS = Preset("tokens", width=96, layers=3)
MINI = Preset("mini", width=32, layers=1, trunk=256, steps=7000)
SMALL = Preset("small", width=32, layers=1, trunk=640, steps=7000)
PRESETS = {preset.name: preset for preset in (TOKENS, MINI, SMALL)}


def preset_of(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        BadInput: the name is unknown.
    """
    if name not in PRESETS:
        raise BadInput(f"there is no preset '{name}'", then=f"use one of {', '.join(PRESETS)}")
    return PRESETS[name]
