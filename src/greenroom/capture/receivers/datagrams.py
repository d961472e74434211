"""Receive datagrams from the network: who may send, what is counted, and what a tick gets of them.

A receiver binds its port when it is first polled, and not when it is made: while one engine takes over
from another, only who performs listens. Arrival is the time of the poll that found the datagram.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from greenroom.capture.packets import FIRST_OF_CLIP as FIRST_OF_CLIP
from greenroom.capture.packets import encode_body, encode_face
from greenroom.capture.receivers.addresses import ListenAddress, read_listen_url
from greenroom.clock import NS_PER_S, tick_at
from greenroom.contracts import Packet
from greenroom.errors import BadInput
from greenroom.frames import Floats

HOLD_NS = 150_000_000
"""How long the last pose stands in for one that is late: senders are no metronomes."""
FRESH_NS = 500_000_000
"""How long a bone or a weight counts that was not sent again."""
MOST_DATAGRAMS = 256
"""Read in one poll; the others wait for the next one."""
_MOST_NS = 3_000_000
"""Of decoding in one poll, of the processor's time; a tick has other work."""
_LONGEST = 65_536
_RETRY_NS = NS_PER_S
_RECEIVE_BUFFER = 1 << 20
_BACK = 30
_LONGEST_GAP = 1200
"""Frames that may be lost at once; more, and the sender has begun anew."""
_DELAYS = 1800


@dataclass
class ReceiverCounts:
    """What became of the datagrams of one receiver.

    Attributes:
        received: that came from an allowed sender.
        lost: that never came, by the sender's own numbers, or came faster than they can be decoded.
        duplicated: that came twice.
        reordered: that came after a later one, and were passed over.
        malformed: that could not be read, or held numbers that no body has.
        refused: from senders that are not allowed.
        delays_ns: arrival less the sender's clock, of the last minute.
    """

    received: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    malformed: int = 0
    refused: int = 0
    delays_ns: deque[float] = field(default_factory=lambda: deque(maxlen=_DELAYS))
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
            elif number < last:
                self.delays_ns.clear()
            elif counted and 1 < steps <= _LONGEST_GAP:
                self.lost += steps - 1
        self._last = number
        return True

    def drop(self, count: int) -> None:
        """Count datagrams that were not decoded, unless the sender's numbers will show the gap."""
        if not self._has_numbers:
            self.lost += count

    def clocked(self, now_ns: int, sent_s: float) -> None:
        """Note when a frame arrived that the sender made at `sent_s` of its own clock."""
        self.delays_ns.append(now_ns - sent_s * NS_PER_S)

    def report(self, url: str) -> dict[str, Any]:
        """Return the counts as `perform --json` prints them; the delay is beyond the minute's least."""
        delay = None
        if self.delays_ns:
            median = float(np.median(self.delays_ns))
            delay = round((median - min(self.delays_ns)) / 1e6, 3)
        return {
            "url": url,
            "received": self.received,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "malformed": self.malformed,
            "refused": self.refused,
            "delay_ms": delay,
        }


@dataclass(frozen=True)
class LiveSample:
    """What a decoder knows at one tick.

    Attributes:
        root: position of the hips (3,), metres; NaN where missing.
        rotations: (55, 4), unit quaternions xyzw; NaN where missing.
        validity: (55,).
        weights: (52,), NaN where missing.
    """

    root: Floats | None = None
    rotations: Floats | None = None
    validity: Floats | None = None
    weights: Floats | None = None


class DatagramDecoder(Protocol):
    """Read one protocol's datagrams; keep the newest body and face."""

    gives: tuple[str, ...]

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take one datagram.

        Raises:
            ValueError: it cannot be read, or holds numbers that no body has.
        """

    def sample(self, now_ns: int) -> LiveSample:
        """Return what is known at `now_ns`, not older than `HOLD_NS`."""

    def greetings(self, now_ns: int) -> Sequence[bytes]:
        """Return what is to be sent to the sender now, so that it begins or goes on."""


class DatagramReceiver:
    """A live input over UDP.

    Args:
        url: its own, for errors and reports.
        address: where it listens.
        decoder: reads what comes.
        counts: shared with the decoder.
    """

    def __init__(
        self, url: str, address: ListenAddress, decoder: DatagramDecoder, counts: ReceiverCounts
    ) -> None:
        """Store what it is; the port is bound at the first poll."""
        self.url, self.address = url, address
        self.decoder, self.counts = decoder, counts
        self.gives = decoder.gives
        self._socket: socket.socket | None = None
        self._next_try_ns = -(1 << 62)
        self._closed = False
        self._had_body = False
        self._waiting: list[bytes] = []
        self._cost_ns = 1.0
        self._is_behind = False

    def try_open(self) -> None:
        """Bind the port for a moment, alone.

        Raises:
            BadInput: somebody has it, or the address is not this machine's.
        """
        try:
            self._bind(shared=False).close()
        except (OSError, OverflowError, UnicodeError) as error:
            what = getattr(error, "strerror", None) or str(error)
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                what = "it is in use"
            raise BadInput(
                f"{self.address.host}:{self.address.port} cannot be listened at: {what}",
                where=self.url,
                then="end the program that has the port, or give another host or port",
            ) from error

    def _bind(self, shared: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if shared:  # the engine that leaves may not have closed it yet
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            opened.bind((self.address.host, self.address.port))
            opened.setblocking(False)
        except BaseException:
            opened.close()
            raise
        return opened

    def poll(self, now_ns: int) -> list[Packet]:
        """Return this tick's body and face, at most one of each."""
        if self._closed:
            return []
        if self._socket is None and now_ns >= self._next_try_ns:
            try:
                self._socket = self._bind(shared=True)
            except OSError:  # tried before the show; it may come back
                self._next_try_ns = now_ns + _RETRY_NS
        if self._socket is not None:
            self._drain(self._socket, now_ns)
        return self._packets(now_ns)

    def _drain(self, opened: socket.socket, now_ns: int) -> None:
        for _ in range(MOST_DATAGRAMS):
            try:
                data, sender = opened.recvfrom(_LONGEST)
            except BlockingIOError:
                break
            except OSError:  # such as an answer that nobody was there
                continue
            if not self._is_allowed(str(sender[0])):
                self.counts.refused += 1
                continue
            self.counts.received += 1
            self._waiting.append(data)
        self._decode(now_ns)
        if self.address.peer is not None:
            for greeting in self.decoder.greetings(now_ns):
                with suppress(OSError):
                    opened.sendto(greeting, self.address.peer)

    def _decode(self, now_ns: int) -> None:
        """Decode for `_MOST_NS` at most; what is left waits one poll, and then the newest go first."""
        room = max(1, int(_MOST_NS / self._cost_ns))
        late = len(self._waiting) - room
        if self._is_behind and late > 0:
            del self._waiting[:late]
            self.counts.drop(late)
        start_ns, spent_ns, done = time.thread_time_ns(), 0, 0
        for data in self._waiting:
            try:
                self.decoder.feed(data, now_ns)
            except (ValueError, ArithmeticError, LookupError):
                self.counts.malformed += 1
            done += 1
            spent_ns = time.thread_time_ns() - start_ns
            if spent_ns >= _MOST_NS:
                break
        if done:
            self._cost_ns = max(1.0, spent_ns / done)
        del self._waiting[:done]
        self._is_behind = bool(self._waiting)

    def _is_allowed(self, host: str) -> bool:
        if not self.address.allowed:
            return True  # the socket is bound to this machine alone
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.address.allowed)

    def _packets(self, now_ns: int) -> list[Packet]:
        out, tick = [], tick_at(max(0, now_ns)) & 0xFFFFFFFF
        sample = self.decoder.sample(now_ns)
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
        """Return what became of the datagrams."""
        return [self.counts.report(self.url)]

    def close(self) -> None:
        """Let go of the port; nothing is received afterwards."""
        self._closed = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def listen(
    url: str, default: int, decoder: Callable[[ReceiverCounts], DatagramDecoder]
) -> DatagramReceiver:
    """Return the receiver that listens where a URL says.

    Args:
        url: SCHEME://[HOST]:PORT, with ?allow=NETWORK where HOST is not this machine alone.
        default: port of a URL that has none.
        decoder: makes what reads the protocol.

    Raises:
        BadInput: the address or an option cannot be used.
    """
    address, _ = read_listen_url(url, default)
    counts = ReceiverCounts()
    return DatagramReceiver(url, address, decoder(counts), counts)
