"""A simulation of two senders and the network between them and us; no socket is opened.

A body sways by VMC (python-osc's bundles), 60 times a second; a face speaks by Live Link Face, as
often. Everything is drawn from one seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from greenroom.capture.receivers.udp_port import Datagram
from greenroom.clock import NS_PER_S
from tests.capture.receivers.senders import bundle
from tests.capture.receivers.test_live_link import packet as face_packet

RATE = 60
WAY_S = 0.003
ABSURD = (math.nan, math.inf, -math.inf, 1e30, -5000.0)


def sway(seconds: float) -> float:
    """Where the hips stand, metres to the left: under 0.4 m/s."""
    return 0.2 * math.sin(2 * seconds)


def jaw(seconds: float) -> float:
    """How far the jaw is open."""
    return 0.5 + 0.4 * math.sin(3 * seconds)


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        loss: share of the datagrams that are lost, each by itself.
        burst: datagrams that are lost in a row, once in about two seconds.
        silence: (first, one past the last) second without a datagram.
        duplicates: share that comes twice.
        overtaken: share that comes after the next one.
        restart_s: second at which the sender begins anew, its clock at 0.
        jump: (second, by how many seconds) the sender's clock jumps.
        pace: of the sender's clock: 1 is ours, 0 a clock that stands.
        absurd: share that has a number in it that no body and no face has.
        jitter_s: mean of the exponential delay beyond the least.
    """

    loss: float = 0.0
    burst: int = 0
    silence: tuple[float, float] = (0.0, 0.0)
    duplicates: float = 0.0
    overtaken: float = 0.0
    restart_s: float | None = None
    jump: tuple[float, float] = (math.inf, 0.0)
    pace: float = 1.0
    absurd: float = 0.0
    jitter_s: float = 0.001


@dataclass
class Tally:
    """What the network did, as the receiver ought to count it."""

    delivered: int = 0
    dropped: list[int] = field(default_factory=list)
    last: int = -1
    duplicated: int = 0
    overtaken: int = 0
    absurd: int = 0

    @property
    def lost(self) -> int:
        """Dropped before the last one that was delivered: only a gap shows a loss."""
        return sum(number < self.last for number in self.dropped)


@dataclass
class Message:
    """One datagram on its way: which it is, when it arrives, what it says."""

    number: int
    arrival_s: float
    data: bytes
    is_absurd: bool = False
    is_duplicate: bool = False


def body_bundle(at_s: float, clock_s: float, absurd: float | None = None) -> bytes:
    """A swaying body, Unity's axes: the hips' x is to the right there."""
    still = (0.0, 0.0, 0.0, 1.0)
    bones = "Spine Chest Neck Head LeftUpperLeg RightUpperLeg LeftLowerLeg RightLowerLeg".split()
    bones += "LeftFoot RightFoot LeftUpperArm RightUpperArm LeftLowerArm RightLowerArm".split()
    turn = 0.2 * math.sin(2 * at_s)
    arm = (0.0, 0.0, math.sin(turn / 2), math.cos(turn / 2))
    messages = [("/VMC/Ext/Bone/Pos", ["Hips", -sway(at_s), 0.95, 0.0, *still])]
    for bone in bones:
        turned = arm if "Arm" in bone else still
        place = absurd if absurd is not None and bone == "Head" else 0.1
        messages.append(("/VMC/Ext/Bone/Pos", [bone, 0.0, place, 0.0, *turned]))
    return bundle(*messages, ("/VMC/Ext/T", [clock_s]))


def face_message(at_s: float, frame: int, absurd: float | None = None) -> bytes:
    """A speaking face."""
    weights = [jaw(at_s)] * 61
    if absurd is not None:
        weights[7] = absurd if abs(absurd) > 1e6 or math.isnan(absurd) else 1e6
    return face_packet(frame, weights)


@dataclass
class SimulatedPort:
    """A port that gives what the simulated network delivers, in place of a `UdpPort`."""

    kind: str
    fault: Fault
    seed: int
    seconds: float
    tally: Tally = field(default_factory=Tally)
    refused: int = 0

    def __post_init__(self) -> None:
        self._messages = sorted(self._send(), key=lambda message: message.arrival_s)
        self._next = 0

    def _send(self) -> Iterator[Message]:
        rng = np.random.default_rng(self.seed)
        before = 0.0
        left_out = 0
        count = int(self.seconds * RATE)
        for k in range(count):
            at_s = k / RATE
            draws = rng.random(4)
            arrival_s = max(before, at_s + WAY_S + float(rng.exponential(self.fault.jitter_s)))
            bad = float(rng.choice(ABSURD))
            if self.fault.burst and left_out == 0 and draws[3] < 1 / (2 * RATE):
                left_out = self.fault.burst
            is_silent = self.fault.silence[0] <= at_s < self.fault.silence[1]
            if is_silent or left_out or (0 < k < count - 1 and draws[0] < self.fault.loss):
                left_out = max(0, left_out - 1)
                self.tally.dropped.append(k)
                continue
            message = self._message(k, arrival_s, bad if draws[1] < self.fault.absurd else None)
            if draws[2] < self.fault.overtaken:
                message.arrival_s = arrival_s = at_s + 1.2 / RATE + WAY_S
                self.tally.overtaken += 1
            else:
                before = arrival_s
            yield message
            if draws[2] < self.fault.duplicates:
                yield replace(message, is_duplicate=True)

    def _message(self, k: int, arrival_s: float, absurd: float | None) -> Message:
        at_s = k / RATE
        clock_s = 100.0 + at_s * self.fault.pace
        restart_s = self.fault.restart_s
        if restart_s is not None and at_s >= restart_s:
            clock_s = at_s - restart_s
        if at_s >= self.fault.jump[0]:
            clock_s += self.fault.jump[1]
        if self.kind == "vmc":
            data = body_bundle(at_s, clock_s, absurd)
        else:
            data = face_message(at_s, round(clock_s * RATE), absurd)
        return Message(k, arrival_s, data, absurd is not None)

    def read(self, now_ns: int) -> list[Datagram]:
        out = []
        while self._next < len(self._messages):
            message = self._messages[self._next]
            arrival_ns = round(message.arrival_s * NS_PER_S)
            if arrival_ns > now_ns:
                break
            out.append(Datagram(message.data, arrival_ns))
            self.tally.delivered += 1
            self.tally.last = max(self.tally.last, message.number)
            self.tally.absurd += message.is_absurd
            self.tally.duplicated += message.is_duplicate
            self._next += 1
        return out

    def try_open(self, url: str) -> None:
        pass

    def send(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass
