"""Draw how channels go over time, recorded and said, to go under a clip of the same ticks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from greenroom.frames import Floats
from greenroom.render.mannequin import LIT, Picture

SHOWN = 5
"""Channels at most: those that move most in what was recorded, and not as one that is shown already."""
_ROW, _NAMES, _EDGE = 24, 112, 8
_ALIKE = 0.98
_DIM, _WORDS = (60, 62, 67), (200, 198, 194)
_LEAST = 0.05
"""A channel that moves less than this is not stretched to its row's full height."""


def traces(truth: Floats, predicted: Floats, channels: Sequence[str], width: int) -> list[Picture]:
    """Return a picture of each tick: the channels as curves, recorded in grey, said in amber.

    Args:
        truth: what was recorded (T, B); NaN where missing.
        predicted: what a model says (T, B).
        channels: B names.
        width: of the pictures, pixels.

    >>> pictures = traces(np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32), ["a", "b"], 200)
    >>> len(pictures), pictures[0].shape
    (3, (54, 200, 3))
    """
    rows = _channels_shown(truth)
    height = _ROW * len(rows) + 6
    image = Image.new("RGB", (width, height), LIT.back)
    drawn = ImageDraw.Draw(image)
    font = ImageFont.load_default(11)
    x = np.linspace(_NAMES, width - _EDGE, len(truth))
    for n, channel in enumerate(rows):
        bottom = _ROW * (n + 1)
        name = channels[channel]
        drawn.text((_EDGE, bottom - _ROW / 2), name[:15], _WORDS, font, anchor="lm")
        drawn.line([(_NAMES, bottom), (width - _EDGE, bottom)], _DIM)
        both = np.stack([truth[:, channel], predicted[:, channel]])
        low, high = float(np.nanmin(both)), float(np.nanmax(both))
        high = max(high, low + _LEAST)
        for values, colour in zip(both, (LIT.skin, LIT.lost), strict=True):
            y = bottom - 2 - (_ROW - 5) * (np.nan_to_num(values, nan=low) - low) / (high - low)
            drawn.line(list(zip(x.tolist(), y.tolist(), strict=True)), colour, 2)
    background = np.asarray(image)
    out = []
    for column in x.astype(int):
        picture = background.copy()
        picture[:, column] = _WORDS
        out.append(picture)
    return out


def _channels_shown(truth: Floats) -> list[int]:
    """Return which channels are shown, in their order."""
    finite = np.isfinite(truth)
    moves = np.where(finite, truth, 0) - np.where(finite, truth, 0).mean(axis=0)
    amplitudes = np.linalg.norm(moves, axis=0)
    chosen: list[int] = []
    for channel in np.argsort(-amplitudes, kind="stable").tolist():
        uncorrelated = [
            abs(moves[:, channel] @ moves[:, other])
            <= _ALIKE * amplitudes[channel] * amplitudes[other]
            for other in chosen
        ]
        if all(uncorrelated) and len(chosen) < SHOWN:
            chosen.append(channel)
    return sorted(chosen)
