"""A simulated VMC sender of a body with other proportions, whose bones rest in other axes.

It stands elsewhere: turned, on a floor of another height. Datagrams are python-osc's.
"""

from __future__ import annotations

import socket
import threading

import numpy as np

from greenroom.frames import BONES, HUMANOID, PARENTS, Doubles
from greenroom.live.sinks.vmc import unity_name
from greenroom.rotations import from_vector, inverse, multiply, normalise, rotate
from tests.capture.receivers.senders import bundle


def lowest(offsets: Doubles) -> float:
    """How far the hips are above the lowest joint, in the T-pose."""
    places = np.zeros((len(BONES), 3))
    for bone, parent in enumerate(PARENTS):
        if parent >= 0:
            places[bone] = places[parent] + offsets[bone]
    return -float(places[:, 1].min())


class RawSender:
    """The sender.

    Args:
        seed: of the axes of its bones.
        size: of its body, in ours; each bone is up to a fifth longer or shorter.
        facing_deg: by which its person is turned.
        floor_m: height of its floor.
    """

    def __init__(
        self, seed: int = 0, size: float = 1.2, facing_deg: float = 130.0, floor_m: float = 0.4
    ) -> None:
        rng = np.random.default_rng(seed)
        self.axes = normalise(rng.normal(size=(len(BONES), 4)))
        self.offsets = HUMANOID.offsets * size * rng.uniform(0.8, 1.2, (len(BONES), 1))
        self.height = lowest(HUMANOID.offsets)  # hips above the lowest joint
        self.ratio = lowest(self.offsets) / self.height
        self.floor_m = floor_m
        yaw = np.asarray([0.0, np.deg2rad(facing_deg), 0.0])
        self.facing = np.asarray(from_vector(yaw), np.float64)
        self.still = np.tile(np.asarray([0.0, 0, 0, 1]), (len(BONES), 1))
        self.root = HUMANOID.offsets[0].copy()
        self.rotations = self.still

    def datagrams(self, seconds: float) -> list[bytes]:
        """The pose of `self.root` and `self.rotations` (ours), as this sender says it."""
        messages = []
        for bone, name in enumerate(BONES):
            parent = PARENTS[bone]
            before = self.facing if parent < 0 else inverse(self.axes[parent])
            turn = multiply(multiply(before, self.rotations[bone]), self.axes[bone])
            place = rotate(before, self.offsets[bone])
            if parent < 0:
                place = rotate(self.facing, self.root * self.ratio) + [0, self.floor_m, 0]
            x, y, z, w = turn.tolist()
            a, b, c = place.tolist()
            messages.append(("/VMC/Ext/Bone/Pos", [unity_name(name), -a, b, c, x, -y, -z, w]))
        return [
            bundle(*messages[:28]),
            bundle(*messages[28:], ("/VMC/Ext/OK", [1]), ("/VMC/Ext/T", [seconds])),
        ]


class Stage:
    """A thread that sends what a sender says, 30 times a second.

    Args:
        sender: may be moved meanwhile.
        port: of this machine.
    """

    def __init__(self, sender: RawSender, port: int) -> None:
        self.sender, self.port = sender, port
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            frame = 0
            while not self._end.wait(1 / 30):
                for data in self.sender.datagrams(frame / 30):
                    out.sendto(data, ("127.0.0.1", self.port))
                frame += 1

    def close(self) -> None:
        self._end.set()
        self._thread.join()


def bent(seed: int) -> Doubles:
    """A pose that no mirror leaves as it is: each bone turned by up to 25°."""
    rng = np.random.default_rng(seed)
    return np.asarray(from_vector(rng.uniform(-0.25, 0.25, (len(BONES), 3))), np.float64)
