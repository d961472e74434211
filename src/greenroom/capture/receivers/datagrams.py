"""Receive datagrams from the network: what is counted, and what a tick gets of them.

A receiver binds its port when it is first polled, and not when it is made: while one engine takes over
from another, only who performs listens. What was decoded passes a jitter buffer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from greenroom.capture.packets import FIRST_OF_CLIP as FIRST_OF_CLIP
from greenroom.capture.packets import encode_body, encode_face
from greenroom.capture.receivers.addresses import read_listen_url
from greenroom.capture.receivers.jitter_buffer import (
    DEFAULT_BUFFER_MS,
    MOST_BUFFER_MS,
    JitterBuffer,
    LiveFrame,
)
from greenroom.capture.receivers.udp_port import Datagram, UdpPort
from greenroom.clock import tick_at
from greenroom.contracts import Packet
from greenroom.errors import BadInput
from greenroom.plugins import scheme_of

_MOST_NS = 3_000_000
"""Of decoding in one poll, of the processor's time; a tick has other work."""
_BACK = 30
_LONGEST_GAP = 1200
"""Frames that may be lost at once; more, and the sender has begun anew."""


@dataclass
class ReceiverCounts:
    """What became of the datagrams of one receiver.

    Attributes:
        received: that came from an allowed sender.
        lost: that never came, by the sender's own numbers, or came faster than they can be decoded.
        duplicated: that came twice.
        reordered: that came after a later one.
        malformed: that could not be read, or held numbers that no body has.
        refused: from senders that are not allowed.
    """

    received: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    malformed: int = 0
    refused: int = 0
    _last: float | None = None
    _has_numbers: bool = False

    def accept(
        self, number: float, step: float = 1.0, counted: bool = True, back: int = _BACK
    ) -> bool:
        """Tell whether a frame is not older than those before; count what is lost, double or late.

        Args:
            number: the sender's number or time of the frame.
            step: between two frames.
            counted: whether each frame has the next number, so that a gap is a loss.
            back: frames by which a late one may be late; further back, the sender has begun anew.
        """
        last = self._last
        self._has_numbers = counted
        if last is not None:
            steps = round((number - last) / step)
            if number == last:
                self.duplicated += 1
            elif number < last and steps >= -back:
                self.reordered += 1
                return False
            elif counted and 1 < steps <= _LONGEST_GAP:
                self.lost += steps - 1
        self._last = number
        return True

    def drop(self, count: int) -> None:
        """Count datagrams that were not decoded, unless the sender's numbers will show the gap."""
        if not self._has_numbers:
            self.lost += count

    def report(self, url: str) -> dict[str, Any]:
        """Return the counts as `perform --json` prints them, of an input without a jitter buffer."""
        return {
            "url": url,
            "received": self.received,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "malformed": self.malformed,
            "refused": self.refused,
            "late": 0,
            "delay_ms": None,
            "buffer_ms": None,
            "skew_ppm": None,
            "calibrated": False,
        }


class DatagramDecoder(Protocol):
    """Read one protocol's datagrams."""

    gives: tuple[str, ...]

    def feed(self, data: bytes, arrival_ns: int) -> None:
        """Take one datagram.

        Raises:
            ValueError: it cannot be read, or holds numbers that no body has.
        """

    def frames(self, now_ns: int) -> list[LiveFrame]:
        """Return the frames that were read since the last call, oldest first."""

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return what is to be sent to the sender now, so that it begins or goes on."""


class DatagramReceiver:
    """A live input over UDP.

    Args:
        url: its own, for errors and reports.
        port: where it listens.
        decoder: reads what comes.
        counts: shared with the decoder.
        buffer_ms: playout delay of the jitter buffer, 0 … 200.
    """

    def __init__(
        self,
        url: str,
        port: UdpPort,
        decoder: DatagramDecoder,
        counts: ReceiverCounts,
        buffer_ms: float = DEFAULT_BUFFER_MS,
    ) -> None:
        """Store what it is; the port is bound at the first poll."""
        self.url, self.port = url, port
        self.decoder, self.counts = decoder, counts
        self.gives = decoder.gives
        self.buffer = JitterBuffer(round(buffer_ms * 1e6))
        self._closed = False
        self._had_body = False
        self._waiting: list[Datagram] = []
        self._cost_ns = 1.0
        self._is_behind = False

    def try_open(self) -> None:
        """Bind the port for a moment, alone.

        Raises:
            BadInput: somebody has it, or the address is not this machine's.
        """
        self.port.try_open(self.url)

    def prefetch(self, now_ns: int, budget_ns: int) -> None:
        """Decode what has arrived, so that the next poll has little left to do.

        Args:
            now_ns: as for `poll`.
            budget_ns: of the processor's time, at most.
        """
        if not self._closed:
            self._read(now_ns)
            self._decode(min(budget_ns, _MOST_NS))

    def poll(self, now_ns: int) -> list[Packet]:
        """Return this tick's body and face, at most one of each.

        What cannot be decoded within `_MOST_NS` waits for one poll; then the newest go first.
        """
        if self._closed:
            return []
        self._read(now_ns)
        room = max(1, int(_MOST_NS / self._cost_ns))
        late = len(self._waiting) - room
        if self._is_behind and late > 0:
            del self._waiting[:late]
            self.counts.drop(late)
        self._decode(_MOST_NS)
        self._is_behind = bool(self._waiting)
        for greeting in self.decoder.greetings(now_ns):
            self.port.send(greeting)
        for frame in self.decoder.frames(now_ns):
            self.buffer.put(frame)
        return self._packets(now_ns)

    def _read(self, now_ns: int) -> None:
        arrived = self.port.read(now_ns)
        self.counts.received += len(arrived)
        self.counts.refused = self.port.refused
        self._waiting += arrived

    def _decode(self, budget_ns: int) -> None:
        """Decode for so long at most, of the processor's time; what is left waits."""
        start_ns, spent_ns, done = time.thread_time_ns(), 0, 0
        for data, arrival_ns in self._waiting:
            try:
                self.decoder.feed(data, arrival_ns)
            except (ValueError, ArithmeticError, LookupError):
                self.counts.malformed += 1
            done += 1
            spent_ns = time.thread_time_ns() - start_ns
            if spent_ns >= budget_ns:
                break
        if done:
            self._cost_ns = max(1.0, spent_ns / done)
        del self._waiting[:done]

    def _packets(self, now_ns: int) -> list[Packet]:
        out, tick = [], tick_at(max(0, now_ns)) & 0xFFFFFFFF
        sample = self.buffer.sample(now_ns)
        if sample.rotations is not None and sample.root is not None and sample.validity is not None:
            flags = 0 if self._had_body else FIRST_OF_CLIP
            validity = sample.validity
            data = encode_body(tick, sample.root, sample.rotations, validity=validity, flags=flags)
            out.append(Packet(now_ns, data))
        self._had_body = bool(out)
        if sample.weights is not None:
            out.append(Packet(now_ns, encode_face(tick, sample.weights)))
        return out

    def reports(self) -> list[dict[str, Any]]:
        """Return what became of the datagrams; `delay_ms` is from arrival to playout, the median."""
        delay, skew = self.buffer.delay_ms, self.buffer.clock.skew_ppm
        timing = {
            "late": self.buffer.late,
            "delay_ms": None if delay is None else round(delay, 3),
            "buffer_ms": self.buffer.delay_ns / 1e6,
            "skew_ppm": None if skew is None else round(skew, 1),
        }
        return [{**self.counts.report(self.url), **timing}]

    def close(self) -> None:
        """Let go of the port; nothing is received afterwards."""
        self._closed = True
        self.port.close()


def read_buffer(options: dict[str, Any], url: str) -> float:
    """Return the playout delay of a URL's options, milliseconds; the default where it has none.

    Raises:
        BadInput: it is not within 0 … 200 ms.
    """
    buffer_ms = float(options.get("buffer", DEFAULT_BUFFER_MS))
    if not 0 <= buffer_ms <= MOST_BUFFER_MS:  # NaN is not
        raise BadInput(
            f"a jitter buffer of {buffer_ms:g} ms", where=url, then="give ?buffer=0 to buffer=200"
        )
    return buffer_ms


def listen(
    url: str, default: int, decoder: Callable[[ReceiverCounts], DatagramDecoder]
) -> DatagramReceiver:
    """Return the receiver that listens where a URL says.

    Args:
        url: SCHEME://[HOST]:PORT, with ?allow=NETWORK where HOST is not this machine alone, and
            ?buffer=MS for another playout delay.
        default: port of a URL that has none.
        decoder: makes what reads the protocol.

    Raises:
        BadInput: the address or an option cannot be used.
    """
    address, options = read_listen_url(url, default, {"buffer": float})
    buffer_ms, counts = read_buffer(options, url), ReceiverCounts()
    return DatagramReceiver(
        url, UdpPort(address), decoder(counts), counts=counts, buffer_ms=buffer_ms
    )


def playout_delay_ms(urls: Sequence[str]) -> float:
    """Return the longest playout delay of live inputs by their URLs, ms; 0 where none comes by network.

    >>> playout_delay_ms(["wav:a.wav"]), playout_delay_ms(["vmc://:39540?use=body&buffer=25"])
    (0.0, 25.0)
    """
    delays = [
        read_buffer(dict(parse_qsl(urlsplit(url).query)), url)
        for url in urls
        if scheme_of(url) in ("vmc", "livelink", "ifacialmocap", "mvn")
    ]
    return max(delays, default=0.0)
