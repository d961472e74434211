"""Hear a microphone through PortAudio, with the extra `sound`.

Convention (source → ours): 24 kHz mono of the sound card's clock → exactly 800 samples a tick of ours.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from time import monotonic_ns
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.packets import encode_audio
from greenroom.capture.receivers.datagrams import ReceiverCounts
from greenroom.capture.receivers.sound_buffer import SoundBuffer
from greenroom.clock import NS_PER_S, tick_at, tick_ns
from greenroom.contracts import Packet
from greenroom.errors import BadInput
from greenroom.extras import require
from greenroom.frames import SAMPLE_RATE, SAMPLES_PER_TICK
from greenroom.store.workspace import Workspace

BLOCK = SAMPLES_PER_TICK // 2
"""Samples that the card gives at once: 17 ms."""
_MOST_BLOCKS = 64
_MOST_TICKS = 8
"""Ticks whose sound is given after a stall."""

Block = tuple[NDArray[np.float32], int]


class Microphone:
    """Give one tick of sound at a time.

    Args:
        url: mic://[DEVICE], for reports.
        device: number or name of the input; None for the system's own.
        portaudio: the module `sounddevice`.
    """

    gives = ("voice",)

    def __init__(self, url: str, device: int | str | None, portaudio: Any) -> None:
        """Store what it is; the device is opened at the first poll."""
        self.url, self.device, self._portaudio = url, device, portaudio
        self._stream: Any = None
        self.buffer = SoundBuffer()
        self._blocks: deque[Block] = deque(maxlen=_MOST_BLOCKS)
        self._received = self._faults = self._next = 0
        self._closed = False
        self._next_try_ns: int | None = None
        self._opening: threading.Thread | None = None

    def try_open(self) -> None:
        """Ask the system whether the device gives 24 kHz mono.

        Raises:
            BadInput: it does not, or there is none.
        """
        try:
            self._portaudio.check_input_settings(
                device=self.device, channels=1, samplerate=SAMPLE_RATE, dtype="float32"
            )
        except Exception as error:  # PortAudio's own, and ValueError for an unknown name
            raise BadInput(
                f"the microphone cannot be opened: {error}",
                where=self.url,
                then="give another: mic://NUMBER, as `python -m sounddevice` lists them",
            ) from error

    def _hear(self, samples: Any, frames: int, time: Any, status: Any) -> None:
        """Take a block; called in a thread of PortAudio's."""
        self._faults += bool(status)
        self._blocks.append((np.array(samples[:, 0], dtype=np.float32), monotonic_ns()))

    def poll(self, now_ns: int) -> list[Packet]:
        """Return the sound of each tick that is due, where it came; after a stall, of the last ones."""
        if self._closed:
            return []
        if self._stream is None:
            self._try(now_ns)
        self._take_blocks(now_ns)
        tick, packets = tick_at(max(0, now_ns)), []
        for due in range(max(self._next, tick - _MOST_TICKS + 1), tick + 1):
            sound = self.buffer.pull(tick_ns(due))
            if sound is not None:
                packets.append(Packet(now_ns, encode_audio(due & 0xFFFFFFFF, sound)))
        self._next = tick + 1
        self._received += len(packets)
        return packets

    def _take_blocks(self, now_ns: int) -> None:
        """Hand to the buffer what the card's thread has left, at the times at which it came."""
        offset_ns = now_ns - monotonic_ns()
        while self._blocks:
            samples, heard_ns = self._blocks.popleft()
            if np.isfinite(samples).all():
                self.buffer.push(samples, min(now_ns, heard_ns + offset_ns))
            else:
                self._faults += 1

    def _try(self, now_ns: int) -> None:
        """Open the device; where that failed, each second anew, beside the show and not in its way."""
        if self._next_try_ns is None:
            self._open()
        elif now_ns >= self._next_try_ns and not (self._opening and self._opening.is_alive()):
            self._opening = threading.Thread(target=self._open, daemon=True)
            self._opening.start()
        else:
            return
        self._next_try_ns = now_ns + NS_PER_S

    def _open(self) -> None:
        stream = None
        try:
            stream = self._portaudio.InputStream(
                samplerate=SAMPLE_RATE,
                blocksize=BLOCK,
                device=self.device,
                channels=1,
                dtype="float32",
                callback=self._hear,
            )
            stream.start()
        except Exception:  # tried before the show; it goes on without a voice, which may come back
            self._faults += 1
            if stream is not None:
                with suppress(Exception):
                    stream.close()
            return
        if self._closed:  # meanwhile
            stream.close()
        else:
            self._stream = stream

    def reports(self) -> list[dict[str, Any]]:
        """Return how many ticks were heard, and how many came too late; the delay is the median."""
        delay, skew = self.buffer.delay_ms, self.buffer.clock.skew_ppm
        counts = ReceiverCounts(
            received=self._received, lost=self.buffer.lost, malformed=self._faults
        )
        timing = {
            "delay_ms": None if delay is None else round(delay, 3),
            "buffer_ms": self.buffer.delay_ns / 1e6,
            "skew_ppm": None if skew is None else round(skew, 1),
        }
        return [{**counts.report(self.url), **timing}]

    def close(self) -> None:
        """Let go of the device."""
        self._closed = True
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()


def open_microphone(url: str, *, workspace: Workspace, first: int) -> Microphone:
    """Return the microphone of mic://[DEVICE].

    Args:
        url: DEVICE is a number or a name, as PortAudio lists them; without it, the system's own.
        workspace: not needed.
        first: not needed.

    Raises:
        MissingExtra: the extra is not installed.
        BadInput: the system has no PortAudio.
    """
    name = unquote(urlsplit(url).netloc)
    device: int | str | None = int(name) if name.isdecimal() else (name or None)
    try:
        portaudio = require("sounddevice", "sound", "a microphone")
    except OSError as error:
        raise BadInput(
            "this system has no PortAudio, through which microphones are heard",
            where=url,
            then="install it (Debian: apt-get install libportaudio2)",
        ) from error
    return Microphone(url, device, portaudio)
