"""Record what live inputs give as a take: body, face and voice on one clock, with their gaps.

What arrives at each tick is a row of the ring, as in a show, but nothing performs it; the recorder's
process keeps the rows, and the take is made from them when the recording ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.formats.pose_stream import write_pose_stream
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.packets import BodySample, FaceSample, NewestSamples, newest
from greenroom.capture.readers import Recording, join_media, readers
from greenroom.capture.skeleton.mapping import AUTOMATIC, Mapping
from greenroom.clock import PERIOD_NS, TICK_HZ, tick_ns
from greenroom.contracts import ModelShape, Packet, Receiver
from greenroom.frames import ARKIT, BONES, SAMPLES_PER_TICK, Floats
from greenroom.live.ring import (
    STAMPS,
    Ring,
    newest_fitting,
    place_sounds,
    put_packets,
    samples_of,
    slot_type,
    sounds_of,
)
from greenroom.live.sources import HOLD, RUNGS
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

NO_MODEL = ModelShape(joints=1, state=1, speech_channels=1, history=1, speech=2, noise=1, lags=(1,))
"""Lays out rows that no model performs: its tensors stay 0."""

NOBODY = BodySample(
    0,
    False,
    root=np.full(3, np.nan, dtype=np.float32),
    rotations=np.full((len(BONES), 4), np.nan, dtype=np.float32),
    validity=np.zeros(len(BONES), dtype=np.float32),
)
"""A tick at which no bone was captured."""


class TakeCapture:
    """Write what arrives at each tick into the ring.

    Args:
        receiver: of all inputs.
        ring: laid out for `NO_MODEL`.
    """

    def __init__(self, receiver: Receiver, ring: Ring) -> None:
        """Nothing has arrived yet."""
        self.receiver, self.ring = receiver, ring
        self._row = np.zeros((), dtype=slot_type(NO_MODEL))
        self._row["rung"] = RUNGS.index(HOLD)
        self._row["previous"] = self._row["followed"] = -1
        self._row["rotations"][:, 3] = 1

    def tick(self, tick: int, now_ns: int) -> NewestSamples:
        """Take what has arrived; return it.

        Args:
            tick: of the recording, at 30 Hz.
            now_ns: since its start.
        """
        row = self._row
        packets: list[Packet] = newest_fitting(self.receiver.poll(now_ns))
        samples = newest(packets)
        row["tick"], row["due"] = tick, tick_ns(tick)
        for stamp in STAMPS[1:]:
            row[stamp] = min(now_ns, tick_ns(tick) + PERIOD_NS)
        put_packets(row, packets)
        row["capture"] = samples.body is not None
        self.ring.write(row)
        return samples


@dataclass
class _Media:
    """What rows hold, by tick."""

    bodies: dict[int, BodySample]
    faces: dict[int, FaceSample]
    sounds: dict[int, Floats]

    @property
    def stretch(self) -> tuple[int, int]:
        """The first tick at which anything arrived, and one past the last; (0, 0) for nothing."""
        ticks = [tick for each in (self.bodies, self.faces, self.sounds) for tick in each]
        return (min(ticks), max(ticks) + 1) if ticks else (0, 0)


def _media_of(rows: Iterable[NDArray[Any]]) -> _Media:
    media = _Media({}, {}, {})
    for row in rows:
        tick, samples = int(row["tick"]), samples_of(row)
        if samples.body is not None and (samples.body.validity > 0).any():
            media.bodies[tick] = samples.body
        if samples.face is not None and np.isfinite(samples.face.weights).any():
            media.faces[tick] = samples.face
        place_sounds(media.sounds, tick, list(sounds_of(row)))
    return media


def make_recording(rows: Iterable[NDArray[Any]], name: str) -> Recording | None:
    """Return what was recorded, from the first arrival to the last; None where nothing arrived.

    Args:
        rows: of the ring, in the order of ticks.
        name: of the take.
    """
    media = _media_of(rows)
    first, end = media.stretch
    by_name = {reader.name: reader for reader in readers()}
    parts = []
    if media.bodies:
        bodies = {tick - first: each for tick, each in media.bodies.items()}
        bodies.setdefault(end - first - 1, NOBODY)  # all media are of one length
        data = write_pose_stream(list(bodies.items()))
        parts.append(by_name["poses"].read(data, f"{name}.poses", AUTOMATIC))
    if media.faces:
        weights = np.full((end - first, len(ARKIT)), np.nan, dtype=np.float32)
        for tick, face in media.faces.items():
            weights[tick - first] = face.weights
        file = BytesIO()
        np.save(file, weights)
        mapping = Mapping(rate=float(TICK_HZ), channels=ARKIT)
        parts.append(by_name["npy"].read(file.getvalue(), f"{name}.npy", mapping))
    if media.sounds:
        voice = np.zeros((end - first, SAMPLES_PER_TICK), dtype=np.float32)
        for tick, sound in media.sounds.items():
            voice[tick - first] = sound
        data = write_wav(voice.ravel())
        parts.append(by_name["audio"].read(data, f"{name}.wav", AUTOMATIC))
    return join_media(parts) if parts else None


def store_recording(
    workspace: Workspace, rows: Iterable[NDArray[Any]], attribution: Attribution, by: str
) -> str:
    """Keep what was recorded as a take; return its hash, or "" where nothing arrived.

    Args:
        workspace: where.
        rows: of the ring.
        attribution: whose it is, with the take's name.
        by: who recorded it, for the log.
    """
    recording = make_recording(rows, attribution.name)
    return "" if recording is None else store_take(workspace, recording, attribution, by)
