"""Senders for the tests of receivers: python-osc's bundles, a free port, a line to a receiver."""

import socket
from collections.abc import Sequence
from typing import Any

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from greenroom.capture.packets import NewestSamples, newest
from greenroom.capture.receivers import open_receiver
from greenroom.capture.receivers.jitter_buffer import JitterBuffer, LiveSample
from greenroom.clock import tick_ns
from greenroom.contracts import Packet

Message = tuple[str, Sequence[Any]]


def bundle(*messages: Message) -> bytes:
    """One OSC bundle as python-osc builds it."""
    builder = OscBundleBuilder(IMMEDIATELY)
    for address, arguments in messages:
        message = OscMessageBuilder(address)
        for argument in arguments:
            message.add_arg(argument)
        builder.add_content(message.build())
    return builder.build().dgram


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def decoded(decoder: Any, now_ns: int = 0) -> LiveSample:
    """What a decoder gives at once, without a delay."""
    buffer = JitterBuffer(0)
    for frame in decoder.frames(now_ns):
        buffer.put(frame)
    return buffer.sample(now_ns)


class Line:
    """A receiver of this machine, and a socket that sends to it.

    Args:
        scheme: of its URL.
        options: of its URL, with the question mark.
    """

    def __init__(self, scheme: str, options: str = "?buffer=0") -> None:
        self.port = free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}{options}"
        self.receiver: Any = open_receiver(self.url, None)  # type: ignore[arg-type]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tick = 0
        plain = getattr(self.receiver, "receiver", self.receiver)
        plain.port.is_stamped = False  # polls are at virtual times
        self.receiver.poll(0)  # it listens from now on

    def send(self, *datagrams: bytes) -> None:
        for data in datagrams:
            self.socket.sendto(data, ("127.0.0.1", self.port))

    def poll(self, ticks: int = 1) -> NewestSamples:
        """What a tick gets, so many ticks later; on loopback what was sent is there."""
        self.tick += ticks
        return newest(self.packets(tick_ns(self.tick)))

    def packets(self, now_ns: int) -> list[Packet]:
        packets: list[Packet] = self.receiver.poll(now_ns)
        return packets

    @property
    def report(self) -> dict[str, Any]:
        [report] = self.receiver.reports()
        return dict(report)

    def close(self) -> None:
        self.receiver.close()
        self.socket.close()
