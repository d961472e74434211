"""Pick what a live source gives: its body, the place of its hips, its face, its voice."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from greenroom.capture.packets import AUDIO, BODY, BODY_BYTES, FACE, is_body
from greenroom.contracts import Packet, Receiver
from greenroom.errors import BadInput
from greenroom.frames import BONES, Floats

KINDS = ("body", "face", "root", "voice")
_HEAD, _ROOT = 8, 12
_NO_ROOT = np.full(3, np.nan, dtype="<f4").tobytes()
_NO_BODY = (
    np.full(4 * len(BONES), np.nan, dtype="<f4").tobytes()
    + np.zeros(len(BONES), dtype="<f4").tobytes()
)


def split_use(url: str) -> tuple[str, tuple[str, ...]]:
    """Return a URL without its `use`, and what that names; nothing where there is none.

    Raises:
        BadInput: it names something else than a kind.

    >>> split_use("vmc://:39540?use=body,root&allow=10.0.0.0/8")
    ('vmc://:39540?allow=10.0.0.0%2F8', ('body', 'root'))
    """
    base, mark, query = url.rpartition("?")
    options = parse_qsl(query, keep_blank_values=True)
    if not mark or "use" not in dict(options):
        return url, ()
    kinds = tuple(k.strip() for name, value in options if name == "use" for k in value.split(","))
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(
                f"'{kind}' is nothing that a source gives", where=url, then="; ".join(KINDS)
            )
    rest = urlencode([option for option in options if option[0] != "use"])
    return (f"{base}?{rest}" if rest else base), kinds


def kind_of(packet: Packet) -> str:
    """Return the kind of a packet, by its head: "body", "face", "voice", or "" for another's."""
    if packet.data[:2] != b"GR" or len(packet.data) < _HEAD:
        return ""
    return {BODY: "body", FACE: "face", AUDIO: "voice"}.get(packet.data[2], "")


def root_of(data: bytes) -> Floats | None:
    """Return the root (3,) of a body's packet, metres; None where it has none."""
    root = np.frombuffer(data, "<f4", count=3, offset=_HEAD)
    return root if np.isfinite(root).all() else None


def has_pose(data: bytes) -> bool:
    """Tell whether any bone of a body's packet is there."""
    return bool(np.frombuffer(data, "<f4", offset=BODY_BYTES - 4 * len(BONES)).any())


def with_root(data: bytes, root: Floats | None) -> bytes:
    """Return a body's packet with another root, or with none."""
    place = _NO_ROOT if root is None else np.asarray(root, dtype="<f4").tobytes()
    return data[:_HEAD] + place + data[_HEAD + _ROOT :]


def prefetch(receiver: Receiver, now_ns: int, budget_ns: int) -> None:
    """Let a receiver decode what has arrived, before a tick is due, if it can.

    Args:
        receiver: open.
        now_ns: as for `poll`.
        budget_ns: of the processor's time, at most.
    """
    prefetch_it = getattr(receiver, "prefetch", None)
    if prefetch_it is not None:
        prefetch_it(now_ns, budget_ns)


class SelectedReceiver:
    """A receiver of which only some kinds are used.

    Args:
        receiver: open.
        kinds: of `KINDS`.
        url: with its `use`, for reports.
    """

    def __init__(self, receiver: Receiver, kinds: tuple[str, ...], url: str) -> None:
        """Store them."""
        self.receiver, self.kinds, self.url = receiver, kinds, url

    def try_open(self) -> None:
        """Try the receiver.

        Raises:
            BadInput: it cannot be opened, or gives nothing of what is used.
        """
        gives = getattr(self.receiver, "gives", KINDS)
        if not set(gives) & set(self.kinds):
            raise BadInput(
                f"it gives no {' and no '.join(self.kinds)}",
                where=self.url,
                then=f"it gives: {', '.join(gives)}",
            )
        if hasattr(self.receiver, "try_open"):
            self.receiver.try_open()

    def prefetch(self, now_ns: int, budget_ns: int) -> None:
        """Let the receiver decode what has arrived."""
        prefetch(self.receiver, now_ns, budget_ns)

    def poll(self, now_ns: int) -> list[Packet]:
        """Return what is used of what arrived."""
        return [
            selected
            for packet in self.receiver.poll(now_ns)
            if (selected := self._select(packet)) is not None
        ]

    def _select(self, packet: Packet) -> Packet | None:
        if not is_body(packet.data):
            return packet if kind_of(packet) in self.kinds else None
        if "body" in self.kinds:
            if "root" in self.kinds:
                return packet
            return packet._replace(data=with_root(packet.data, None))
        if "root" not in self.kinds:
            return None
        return packet._replace(data=packet.data[: _HEAD + _ROOT] + _NO_BODY)

    def reports(self) -> list[dict[str, Any]]:
        """Return the receiver's own reports."""
        if not hasattr(self.receiver, "reports"):
            return []
        reports: list[dict[str, Any]] = self.receiver.reports()
        return [{**report, "url": self.url} for report in reports]

    def close(self) -> None:
        """Close the receiver."""
        self.receiver.close()
