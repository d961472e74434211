"""Correct what a live sender gives by its calibration, before anything is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from greenroom.capture.body_calibration import (
    BodyCalibration,
    PoseCorrection,
    load_calibration,
)
from greenroom.capture.packets import FIRST_OF_CLIP, BodySample, decode, encode_body, is_body
from greenroom.capture.receivers.selection import prefetch
from greenroom.contracts import Packet, Receiver
from greenroom.rotations import normalise
from greenroom.store.workspace import Workspace


class CalibratedReceiver:
    """A receiver whose bodies are brought into the T-pose's axes, onto the floor, to the actor's size.

    Args:
        receiver: open.
        calibration: of its sender.
    """

    def __init__(self, receiver: Receiver, calibration: BodyCalibration) -> None:
        """Prepare the correction."""
        self.receiver = receiver
        self._correction = PoseCorrection(calibration)

    def prefetch(self, now_ns: int, budget_ns: int) -> None:
        """Let the receiver decode what has arrived."""
        prefetch(self.receiver, now_ns, budget_ns)

    def poll(self, now_ns: int) -> list[Packet]:
        """Return what arrived, its bodies corrected."""
        return [
            packet._replace(data=self._correct(packet.data)) if is_body(packet.data) else packet
            for packet in self.receiver.poll(now_ns)
        ]

    def _correct(self, data: bytes) -> bytes:
        sample = decode(data)
        assert isinstance(sample, BodySample)
        trusted = sample.validity > 0
        rotations = np.full_like(sample.rotations, np.nan)
        rotations[trusted] = normalise(self._correction.rotations(sample.rotations)[trusted])
        flags = FIRST_OF_CLIP if sample.first_of_clip else 0
        root = self._correction.root(sample.root)
        return encode_body(sample.tick, root, rotations, validity=sample.validity, flags=flags)

    def reports(self) -> list[dict[str, Any]]:
        """Return the receiver's own reports, and that it is calibrated."""
        reports: list[dict[str, Any]] = getattr(self.receiver, "reports", list)()
        return [{**report, "calibrated": True} for report in reports]

    def close(self) -> None:
        """Close the receiver."""
        self.receiver.close()


def calibrated(receiver: Receiver, workspace: Workspace, actor: str, url: str) -> Receiver:
    """Return a receiver with its calibration, where there is one.

    Args:
        receiver: open.
        workspace: where calibrations are.
        actor: who performs.
        url: of the receiver.

    Raises:
        BadInput: the calibration is damaged.
    """
    calibration = load_calibration(workspace, actor, url)
    return receiver if calibration is None else CalibratedReceiver(receiver, calibration)
