"""Read and write sound: any WAV becomes 24 kHz mono float32, 800 samples a tick.

Convention (source → ours): any sample format (8, 16, 24, 32 bit, float, A-law, µ-law, extensible) →
float32, full scale ±1; any channels → mono by their mean; any rate → 24 kHz by a polyphase filter.
FLAC and OGG come through the same door.
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass

import numpy as np
import soundfile

from greenroom.clock import Timecode
from greenroom.errors import BadInput
from greenroom.frames import SAMPLE_RATE, SAMPLES_PER_TICK, Doubles, Floats

MAX_BYTES = 2 << 30
MAX_SAMPLES = 1 << 29
MIN_RATE, MAX_RATE, MAX_CHANNELS = 1000, 768_000, 64


@dataclass(frozen=True)
class Audio:
    """A sound recording.

    Attributes:
        samples: shape (S,), mono float32 at 24 kHz, full scale ±1.
        source_rate: samples a second in the source.
        channels: how many the source had.
        subtype: the source's sample format, as libsndfile names it, such as "PCM_16".
    """

    samples: Floats
    source_rate: int
    channels: int
    subtype: str


def read_audio(data: bytes, *, where: str) -> Audio:
    """Parse a sound file (source → ours: any format, channels and rate → float32 mono 24 kHz).

    Args:
        data: the file.
        where: what to call it in errors.

    Raises:
        BadInput: unreadable, empty, longer than six hours at 24 kHz, or with values that are no
            numbers.
    """
    if len(data) > MAX_BYTES:
        raise BadInput(f"{len(data)} bytes; at most {MAX_BYTES}", where=where, then="split it")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, channels, subtype = file.samplerate, file.channels, str(file.subtype)
            if not (MIN_RATE <= rate <= MAX_RATE and 1 <= channels <= MAX_CHANNELS):
                raise BadInput(
                    f"{rate} Hz, {channels} channels",
                    where=where,
                    then=f"{MIN_RATE} to {MAX_RATE} Hz and 1 to {MAX_CHANNELS} channels are read",
                )
            # In blocks, so that memory follows the samples present, not the header's promise.
            blocks: list[Doubles] = []
            total = 0
            while len(block := file.read(1 << 16, dtype="float64", always_2d=True)):
                blocks.append(_mono(block))
                total += len(block)
                if total > MAX_SAMPLES or total * SAMPLE_RATE / rate > MAX_SAMPLES:
                    raise BadInput(f"more than {MAX_SAMPLES} samples", where=where, then="split it")
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError, OSError) as error:
        problem = str(error).split(":")[-1].strip() or "unreadable"
        raise BadInput(
            f"not a readable sound file ({problem})", where=where, then="save it as WAV"
        ) from None
    if not total:
        raise BadInput("no samples", where=where, then="record it again")
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all() or np.abs(samples).max() > 1e4:
        bad = int(np.argmin(np.isfinite(samples) & (np.abs(samples) <= 1e4)))
        raise BadInput(
            f"sample {bad} is {samples[bad]}", where=where, then="cut the stretch, or record again"
        )
    return Audio(_at_24k(samples, rate).astype(np.float32), rate, channels, subtype)


def _mono(block: Doubles) -> Doubles:
    with np.errstate(invalid="ignore", over="ignore"):
        mono: Doubles = block.mean(axis=1)
    return mono


def _at_24k(samples: Doubles, rate: int) -> Doubles:
    """Return the samples at 24 kHz: ceil(S · 24000 / rate) of them."""
    if rate == SAMPLE_RATE:
        return samples
    shared = math.gcd(rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // shared, rate // shared
    if max(up, down) > 24_000:  # an odd rate: the filter would be longer than the recording
        positions = np.arange(math.ceil(len(samples) * SAMPLE_RATE / rate)) * (rate / SAMPLE_RATE)
        return np.asarray(np.interp(positions, np.arange(len(samples)), samples), dtype=np.float64)
    from scipy.signal import resample_poly  # 45 MB, which no show needs

    out: Doubles = resample_poly(samples, up, down)
    return out


def write_wav(samples: Floats, *, rate: int = SAMPLE_RATE) -> bytes:
    """Return a mono WAV of 32-bit floats: what is read back is equal, bit for bit, at 24 kHz.

    The same samples give the same bytes: the time of writing, which the library adds, is nought.

    Args:
        samples: shape (S,), full scale ±1.
        rate: samples a second.
    """
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="FLOAT")
    data = bytearray(out.getvalue())
    peak = data.find(b"PEAK", 12, 100)  # the chunk: name, size, version, time, peaks
    if peak > 0:
        data[peak + 12 : peak + 16] = bytes(4)
    return bytes(data)


def write_broadcast_wav(samples: Floats, timecode: Timecode, description: str = "") -> bytes:
    """Write a Broadcast Wave of 16-bit PCM: an editor lays it at its timecode.

    The chunk `bext` (EBU Tech 3285, version 1) stands before the sound. Its TimeReference counts samples
    since midnight UTC: the first tick's frame of the day, 800 samples a frame.

    Args:
        samples: shape (S,), mono at 24 kHz; beyond full scale ±1 they are clipped.
        timecode: of the first sample.
        description: what it is, 256 bytes of ASCII at most.
    """
    pcm = np.clip(np.round(np.asarray(samples, np.float64) * 32768), -32768, 32767).astype("<i2")
    texts = (  # description, originator, its reference, date, time; each padded with zeros
        (description.encode("ascii", "replace"), 256),
        (b"Greenroom", 32),
        (b"", 32),
        (timecode.day.isoformat().encode(), 10),
        (timecode.text()[:8].encode(), 8),
    )
    bext = b"".join(text[:size].ljust(size, b"\0") for text, size in texts)
    bext += struct.pack("<QH254x", timecode.frame() * SAMPLES_PER_TICK, 1)
    # PCM, one channel, samples a second, bytes a second, bytes a sample, bits a sample
    form = np.asarray([1, 1, SAMPLE_RATE, 0, 2 * SAMPLE_RATE, 0, 2, 16], "<u2").tobytes()
    chunks = b"".join(
        struct.pack("<4sI", name, len(data)) + data
        for name, data in ((b"bext", bext), (b"fmt ", form), (b"data", pcm.tobytes()))
    )
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks
