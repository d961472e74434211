"""Write faces as the CSV of Live Link Face, which animation tools read.

Convention (ours → theirs): 52 ARKit weights in [0, 1] as they are, names with a capital, in the app's
order of columns; a row a tick; timecode HH:MM:SS:FF.mmm counts 60 frames a second, so a tick is two.
"""

from __future__ import annotations

import numpy as np

from greenroom.clock import Timecode
from greenroom.frames import ARKIT, Face

_JAW_AND_MOUTH = {
    "jawLeft": "jawRight",
    "jawRight": "jawLeft",
    "mouthLeft": "mouthRight",
    "mouthRight": "mouthLeft",
}
"""The app writes these two pairs the other way round than it sends them."""
ORDER: tuple[str, ...] = tuple(_JAW_AND_MOUTH.get(name, name) for name in ARKIT)
"""The 52 weights in the order of the file's columns."""
TURNS: tuple[str, ...] = tuple(
    part + axis for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll")
)
"""Columns that follow them: 0, as the app writes them while it does not follow the head."""


def write_live_link_csv(face: Face, timecode: Timecode) -> bytes:
    """Write a face as Live Link Face does: timecode, 61, 52 weights, nine turns of head and eyes.

    Args:
        face: on ARKit's 52 channels; cells of weights that nothing drives (NaN) are empty, and so are
            the nine turns of a row in which nothing is driven.
        timecode: of the first row.

    Returns:
        The file, with LF line ends and ten decimals.
    """
    columns = [face.channels.index(name) for name in ORDER]
    names = [name[0].upper() + name[1:] for name in ORDER]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, *TURNS])]
    for tick, weights in enumerate(np.asarray(face.weights)[:, columns].tolist()):
        clock, frame = timecode.text(tick).rsplit(":", 1)
        cells = ["" if weight != weight else f"{weight:.10f}" for weight in weights]
        turns = ["0.0000000000" if any(cells) else ""] * len(TURNS)
        count = len(ORDER) + len(TURNS)
        lines.append(f"{clock}:{2 * int(frame):02}.000,{count},{','.join([*cells, *turns])}")
    return ("\n".join(lines) + "\n").encode()
