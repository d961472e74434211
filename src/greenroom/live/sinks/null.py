"""Send frames nowhere, for measurements and for shows that are only recorded."""

from __future__ import annotations

from greenroom.frames import Array, Frame


class NullSink:
    """Take every frame and show it to nobody.

    Attributes:
        url: "null:".
        sent: frames that it took.
        lost: always 0.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self.url, self.sent, self.lost = "null:", 0, 0

    def send(self, frame: Frame) -> None:
        """Count a frame."""
        self.sent += 1

    def rehearse(self, frame: Frame) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Nothing to let go of."""


def open_null(url: str, *, offsets: Array) -> NullSink:
    """Return the sink of null:."""
    return NullSink()
