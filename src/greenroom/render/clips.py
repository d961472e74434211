"""Pictures and animated clips of bodies: PNG, and WebP, GIF or APNG side by side, by Pillow alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter1d

from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput
from greenroom.frames import Array, Body, Doubles
from greenroom.render.mannequin import (
    LIT,
    Picture,
    draw,
    floor_of,
    frame_all,
    lost_limbs,
    shape_of,
)

FORMATS = {"webp": "WEBP", "gif": "GIF", "png": "PNG"}
"""Ending → what Pillow calls it; an animated PNG is APNG."""
EVERY = 2
"""Ticks a frame of a clip: 15 a second."""
MOST = 120
"""Ticks of a clip at most: 4 s."""
_BAR = 30
_WORDS = (232, 230, 226)


@dataclass(frozen=True)
class ClipPanel:
    """One side of a clip.

    Attributes:
        body: what is drawn.
        label: said above it.
        validity: (T, 55); bones that are 0 move limbs drawn in the colour of what was lost. None marks
            nothing.
    """

    body: Body
    label: str
    validity: Array | None = None


def picture(body: Body, tick: int, size: tuple[int, int] = (360, 480), yaw: float = 25.0) -> bytes:
    """Return one pose as a PNG.

    Args:
        body: whose pose; its lowest point in all its ticks is the floor.
        tick: which.
        size: width and height, pixels.
        yaw: degrees about +Y from which it is seen; 0 is from the front.

    Raises:
        BadInput: the body has no such tick.
    """
    if not 0 <= tick < len(body):
        raise BadInput(f"tick {tick} is not in 0 to {len(body) - 1}")
    ends, radii = shape_of(body)
    floor = floor_of(ends, radii)
    view = frame_all(ends[tick : tick + 1], size, floor, yaw)
    out = io.BytesIO()
    Image.fromarray(draw(ends[tick], radii, view, floor)).save(out, "PNG")
    return out.getvalue()


def side_by_side(
    panels: Sequence[ClipPanel],
    size: tuple[int, int] = (260, 320),
    ending: str = "webp",
    every: int = EVERY,
    most: int = MOST,
    below: Sequence[Picture] = (),
) -> bytes:
    """Return an animated clip of bodies beside each other, a label above each; it repeats for ever.

    All are seen from one side at one scale, over the first one's floor; the camera goes along with the
    first one's smoothed way, so that another's drift is seen.

    Args:
        panels: one or more bodies of one length.
        size: width and height of each, pixels.
        ending: one of `FORMATS`.
        every: ticks a frame.
        most: ticks that are shown.
        below: a picture for each tick, as wide as all bodies together, that goes under them.

    Raises:
        BadInput: no body, lengths that differ, no ticks, or another ending.
    """
    if ending not in FORMATS:
        raise BadInput(f"a clip ends in {', '.join(FORMATS)}, not '{ending}'")
    ticks = {len(panel.body) for panel in panels}
    if len(ticks) != 1 or not (frame_ticks := min(*ticks, most)):
        raise BadInput(f"bodies of a clip are of one length, not {sorted(ticks)} ticks")
    shapes = [shape_of(panel.body) for panel in panels]
    floor = floor_of(shapes[0][0][:frame_ticks], shapes[0][1])
    path = _way(panels[0].body.root[:frame_ticks])
    limb_ends = [ends[:frame_ticks] - path[:, None, None] for ends, _ in shapes]
    view = frame_all(np.concatenate(limb_ends, axis=1), size, floor)
    marks = [None if p.validity is None else lost_limbs(p.validity) for p in panels]
    labels = np.concatenate([_label(panel.label, size[0]) for panel in panels], axis=1)
    frames = []
    for t in range(0, frame_ticks, every):
        row = [
            draw(ends[t], radii, view, floor, lost=None if mark is None else mark[t])
            for ends, (_, radii), mark in zip(limb_ends, shapes, marks, strict=True)
        ]
        below_pictures = [below[t]] if below else []
        picture = np.concatenate([labels, np.concatenate(row, axis=1), *below_pictures], axis=0)
        frames.append(Image.fromarray(np.ascontiguousarray(picture)))
    return _animated(frames, ending, 1000 * every / TICK_HZ)


def _way(root: Array) -> Doubles:
    """Return where the camera goes (T, 3), metres: the smoothed way along the floor."""
    way: Doubles = np.asarray(
        gaussian_filter1d(root.astype(np.float64), 10, axis=0, mode="nearest")
    )
    way[:, 1] = 0
    return way


@cache
def _label(text: str, width: int) -> Picture:
    """Return a label (30, width, 3)."""
    image = Image.new("RGB", (width, _BAR), LIT.back)
    drawn = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    drawn.text((width / 2, _BAR / 2), text, fill=_WORDS, font=font, anchor="mm")
    return np.asarray(image)


def _animated(frames: Sequence[Image.Image], ending: str, milliseconds: float) -> bytes:
    out = io.BytesIO()
    # Frame times are whole milliseconds, in a GIF hundredths: what is cut from one is given to the next.
    unit = 10 if ending == "gif" else 1
    times = unit * np.round(np.arange(len(frames) + 1) * milliseconds / unit).astype(int)
    steps: NDArray[np.int64] = np.diff(times)
    extra = {"quality": 80, "method": 2} if ending == "webp" else {}
    frames[0].save(
        out,
        FORMATS[ending],
        save_all=True,
        append_images=list(frames[1:]),
        duration=steps.tolist(),
        loop=0,
        **extra,
    )
    return out.getvalue()


def clip_of(truth: Body, performed: Body, validity: Array | None = None) -> bytes:
    """Return a WebP clip with the truth on the left and the model's performance on the right.

    Args:
        truth: as recorded.
        performed: by the model, of the same length.
        validity: (T, 55), what the model was given; limbs that it had to make up are marked.

    Raises:
        BadInput: they differ in length.

    >>> from greenroom.frames import HUMANOID
    >>> turns = np.tile(np.float32([0, 0, 0, 1]), (2, 55, 1))
    >>> still = Body(HUMANOID, np.zeros((2, 3), np.float32), turns, np.ones((2, 55), np.float32))
    >>> clip_of(still, still)[8:12]
    b'WEBP'
    """
    label = "model" if validity is None else "model (amber: lost to it)"
    return side_by_side([ClipPanel(truth, "truth"), ClipPanel(performed, label, validity)])


def still_of(clip: bytes) -> bytes:
    """Return the middle frame of a clip as a PNG: for who does not want what moves."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(clip)) as image:
        image.seek(getattr(image, "n_frames", 1) // 2)
        image.convert("RGB").save(out, "PNG")
    return out.getvalue()


def as_gif(clip: bytes) -> tuple[bytes, tuple[int, int]]:
    """Return a clip as an animated GIF, with its width and height: for who shows no other."""
    with Image.open(io.BytesIO(clip)) as image:
        count = getattr(image, "n_frames", 1)
        frames, times = [], []
        for n in range(count):
            image.seek(n)
            frames.append(image.convert("RGB"))
            times.append(float(image.info.get("duration", 0)))
    return _animated(frames, "gif", sum(times) / count), frames[0].size
