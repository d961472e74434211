"""Name the sources of a frame, in the order in which one stands in for another."""

from __future__ import annotations

from typing import Literal

RUNGS = ("capture", "speech", "previous", "idle", "free", "hold")
CAPTURE, SPEECH, PREVIOUS, IDLE, FREE, HOLD = RUNGS
LostCapture = Literal["idle", "free", "hold"]
"""What the performer does when nothing is captured any more."""
