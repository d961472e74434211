"""What a receiver hands to the engine: raw packets with arrival times; and a player of takes.

A packet keeps the bytes as they came, because a replay starts from them. Greenroom's own packets
(little-endian) begin with `GR`, a kind (1 body, 2 audio, 3 face), flags (1: first of a clip) and the
tick as u32. A body follows with root 3 f32 (metres), 55 × 4 f32 rotations (xyzw, NaN where missing) and
55 f32 validity; audio with 800 f32 samples; a face with 52 f32 ARKit weights (NaN where missing).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from greenroom.clock import tick_ns
from greenroom.contracts import Packet
from greenroom.errors import BadInput
from greenroom.frames import ARKIT, BONES, SAMPLES_PER_TICK, Body, Face, Floats

BODY, AUDIO, FACE = 1, 2, 3
FIRST_OF_CLIP = 1
_HEAD = struct.Struct("<2sBBI")
_MAGIC = b"GR"
_J = len(BONES)
_F4 = np.dtype("<f4")
BODY_BYTES = _HEAD.size + 4 * (3 + 5 * _J)
_ONE, _ZERO = np.float32(1), np.float32(0)
_FARTHEST = 1000.0
"""Metres from the middle of the stage; farther off is a fault."""
AUDIO_BYTES = _HEAD.size + 4 * SAMPLES_PER_TICK
FACE_BYTES = _HEAD.size + 4 * len(ARKIT)


@dataclass(frozen=True)
class BodySample:
    """One tick of captured body: root (3,), rotations (55, 4), validity (55,).

    Validity is in [0, 1], and 0 wherever the rotation is not a unit quaternion, or, for the hips, the
    root is not a place on a stage (then it is NaN).
    """

    tick: int
    first_of_clip: bool
    root: Floats
    rotations: Floats
    validity: Floats


@dataclass(frozen=True)
class FaceSample:
    """One tick of a captured face: ARKit weights (52,) in [0, 1], NaN where missing."""

    tick: int
    weights: Floats


class NewestSamples(NamedTuple):
    """The last sample of each kind in a tick's packets; None where there is none."""

    body: BodySample | None = None
    sound: Floats | None = None
    face: FaceSample | None = None


def is_body(data: bytes) -> bool:
    """Tell whether a packet is one of ours with a body in it."""
    return len(data) == BODY_BYTES and data[:3] == _MAGIC + bytes([BODY])


def encode_body(tick: int, root: Floats, rotations: Floats, validity: Floats, flags: int) -> bytes:
    """Return the packet of one captured tick."""
    return b"".join(
        (
            _HEAD.pack(_MAGIC, BODY, flags, tick),
            np.ascontiguousarray(root, dtype="<f4").tobytes(),
            np.ascontiguousarray(rotations, dtype="<f4").tobytes(),
            np.ascontiguousarray(validity, dtype="<f4").tobytes(),
        )
    )


def encode_audio(tick: int, samples: Floats) -> bytes:
    """Return the packet of one tick's 800 samples."""
    return _HEAD.pack(_MAGIC, AUDIO, 0, tick) + np.ascontiguousarray(samples, "<f4").tobytes()


def encode_face(tick: int, weights: Floats) -> bytes:
    """Return the packet of one captured face: weights (52,), NaN where missing."""
    return _HEAD.pack(_MAGIC, FACE, 0, tick) + np.ascontiguousarray(weights, "<f4").tobytes()


def decode(data: bytes) -> BodySample | FaceSample | Floats:
    """Return a packet's body sample, its face sample, or its audio (800,).

    Raises:
        BadInput: it is not one of ours, or cut short.
    """
    if len(data) < _HEAD.size or data[:2] != _MAGIC:
        raise BadInput("this packet is not Greenroom's")
    _, kind, flags, tick = _HEAD.unpack_from(data)
    if kind == BODY and len(data) == BODY_BYTES:
        body = np.frombuffer(data, _F4, offset=_HEAD.size)
        rotations, validity = body[3 : 3 + 4 * _J].reshape(_J, 4), body[3 + 4 * _J :]
        squares = np.einsum("ij,ij->i", rotations, rotations)
        # Comparisons with NaN are false, so that what is not a number is not trusted either.
        trusted = squares > 0.99
        trusted &= squares < 1.01
        trusted &= validity > 0
        validity = np.where(trusted, np.minimum(validity, _ONE), _ZERO)
        root = body[:3]
        if not all(abs(metres) < _FARTHEST for metres in root.tolist()):
            root, validity[0] = np.full(3, np.nan, dtype=np.float32), 0
        return BodySample(
            tick, bool(flags & FIRST_OF_CLIP), root=root, rotations=rotations, validity=validity
        )
    if kind == AUDIO and len(data) == AUDIO_BYTES:
        sound = np.frombuffer(data, _F4, offset=_HEAD.size)
        if not np.logical_and.reduce(np.isfinite(sound)):
            raise BadInput("the sound of a packet is not finite")
        return sound
    if kind == FACE and len(data) == FACE_BYTES:
        weights = np.frombuffer(data, _F4, offset=_HEAD.size)
        weights = np.where(np.isfinite(weights), np.clip(weights, _ZERO, _ONE), np.float32(np.nan))
        return FaceSample(tick, weights)
    raise BadInput(f"a packet of kind {kind} with {len(data)} bytes is damaged")


def newest(packets: Iterable[Packet]) -> NewestSamples:
    """Return the last sample of each kind; damaged packets are passed over."""
    body: BodySample | None = None
    sound: Floats | None = None
    face: FaceSample | None = None
    for packet in packets:
        try:
            content = decode(packet.data)
        except BadInput:
            continue
        if isinstance(content, BodySample):
            body = content
        elif isinstance(content, FaceSample):
            face = content
        else:
            sound = content
    return NewestSamples(body, sound, face)


def newest_samples(packets: Iterable[Packet]) -> tuple[BodySample | None, Floats | None]:
    """Return the last body sample and the last sound (800,); damaged packets are passed over."""
    body, sound, _ = newest(packets)
    return body, sound


def body_packet(tick: int, row: Floats, is_first: bool) -> bytes:
    """Return the packet of one tick, of a row of :func:`body_rows`; whether it begins a clip."""
    return _HEAD.pack(_MAGIC, BODY, FIRST_OF_CLIP if is_first else 0, tick) + row.tobytes()


def body_rows(body: Body) -> Floats:
    """Return what body packets hold after their head, shape (T, 3 + 5 * 55)."""
    ticks = len(body)
    parts = (body.root, body.rotations.reshape(ticks, 4 * _J), body.validity)
    return np.concatenate(parts, axis=1, dtype=_F4)


def arkit_rows(face: Face | None) -> Floats | None:
    """Return a recorded face's ARKit weights (T, 52), NaN where missing; None where it has none.

    >>> rows = arkit_rows(Face(("jawOpen", "smirk"), np.float32([[0.5, 1.0]])))
    >>> rows is not None and int(np.isfinite(rows).sum()), arkit_rows(Face(("a",), np.ones((1, 1))))
    (1, None)
    """
    if face is None:
        return None
    columns = {name: i for i, name in enumerate(face.channels) if name in ARKIT}
    if not columns:
        return None
    out = np.full((len(face), len(ARKIT)), np.nan, dtype=np.float32)
    for name, column in columns.items():
        out[:, ARKIT.index(name)] = face.weights[:, column]
    return out


def packets_due(
    first: int, ticks: int, now_ns: int, packets_of: Callable[[int], list[bytes]]
) -> tuple[list[Packet], int]:
    """Return the packets of every tick that is due, and the next tick.

    Args:
        first: that has not played yet.
        ticks: one past the last.
        now_ns: since tick 0.
        packets_of: makes the packets of a tick.
    """
    out, tick = [], first
    while tick < ticks and tick_ns(tick) <= now_ns:
        out += [Packet(now_ns, data) for data in packets_of(tick)]
        tick += 1
    return out, tick


class TakePlayer:
    """Play recorded bodies and sound in real time, as if they were captured now.

    Args:
        body: what plays; None for sound alone.
        audio: 24 kHz mono; padded with silence to the body's length; None for no sound.
        firsts: ticks at which a clip begins.
        cuts: (first tick, one past the last) pairs in which the body is lost.
        first: the tick to begin at.
    """

    def __init__(
        self,
        body: Body | None,
        audio: Floats | None,
        firsts: Sequence[int] = (0,),
        cuts: Sequence[tuple[int, int]] = (),
        first: int = 0,
    ) -> None:
        """Keep what plays, a row a tick as packets have it; they are made when they are due."""
        self._rows = None if body is None else body_rows(body)
        self.audio = None if audio is None else np.ascontiguousarray(audio, _F4)
        self.firsts, self.cuts = frozenset(firsts), tuple(cuts)
        self._next = first
        sound = 0 if audio is None else -(-len(audio) // SAMPLES_PER_TICK)
        self.ticks = sound if body is None else len(body)

    def poll(self, now_ns: int) -> list[Packet]:
        """Return the packets of every tick that is due."""
        out, self._next = packets_due(self._next, self.ticks, now_ns, self._packets)
        return out

    def close(self) -> None:
        """Nothing to let go of."""

    def _packets(self, tick: int) -> list[bytes]:
        out = []
        if self._rows is not None and not any(a <= tick < b for a, b in self.cuts):
            out.append(body_packet(tick, self._rows[tick], tick in self.firsts))
        if self.audio is not None:
            samples = self.audio[tick * SAMPLES_PER_TICK : (tick + 1) * SAMPLES_PER_TICK]
            if len(samples) < SAMPLES_PER_TICK:
                samples = np.concatenate(
                    [samples, np.zeros(SAMPLES_PER_TICK - len(samples), dtype=np.float32)]
                )
            out.append(encode_audio(tick, samples))
        return out
