"""Keep a live captured body as it came, with its gaps, which no BVH file can hold.

Convention (source → ours): Greenroom's body packets one after another (see `greenroom.capture.packets`),
already in our axes, metres and bone order; the packet's tick counts 30 a second from the take's start. A
tick without a packet, and a bone of validity 0, are missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.capture.packets import BODY_BYTES, BodySample, decode, encode_body, is_body
from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput
from greenroom.frames import BONES, HUMANOID, Body

MAX_TICKS = 7 * 24 * 3600 * TICK_HZ
"""Of one recording: a week."""


def write_pose_stream(samples: Sequence[tuple[int, BodySample]]) -> bytes:
    """Return the stream of samples by tick from the take's start, in the order of ticks."""
    return b"".join(
        encode_body(tick, sample.root, sample.rotations, validity=sample.validity, flags=0)
        for tick, sample in samples
    )


def read_pose_stream(data: bytes, *, where: str) -> Body:
    """Return a stream's body at 30 Hz, from its first tick, on the standard humanoid.

    Args:
        data: the stream.
        where: what to call it in errors.

    Raises:
        BadInput: a packet is damaged or cut off, or its tick is not after the one before.
    """
    if not data or len(data) % BODY_BYTES:
        raise BadInput("this recorded body is cut off", where=where, then="copy it again")
    samples: list[BodySample] = []
    for start in range(0, len(data), BODY_BYTES):
        packet = data[start : start + BODY_BYTES]
        sample = decode(packet) if is_body(packet) else None
        last = samples[-1].tick if samples else -1
        if not isinstance(sample, BodySample) or not last < sample.tick < MAX_TICKS:
            raise BadInput(
                f"packet {start // BODY_BYTES} of this recorded body is damaged",
                where=where,
                then="copy it again",
            )
        samples.append(sample)
    ticks = [sample.tick for sample in samples]
    length = ticks[-1] + 1
    rotations = np.full((length, len(BONES), 4), np.nan, dtype=np.float32)
    validity = np.zeros((length, len(BONES)), dtype=np.float32)
    root = np.zeros((length, 3), dtype=np.float32)
    validity[ticks] = np.stack([sample.validity for sample in samples])
    rotations[ticks] = np.stack([sample.rotations for sample in samples])
    rotations[validity <= 0] = np.nan
    roots = np.stack([sample.root for sample in samples])
    placed = np.flatnonzero(np.isfinite(roots).all(axis=1))
    if len(placed):  # where nobody said where it stands, it stays; before the first place, there
        known = np.asarray(ticks)[placed]
        latest = np.maximum(np.searchsorted(known, np.arange(length), side="right") - 1, 0)
        root = roots[placed][latest]
    else:
        root[:] = HUMANOID.offsets[0]
    return Body(HUMANOID, root, rotations, validity)
