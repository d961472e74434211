"""Inputs of a show by URL: takes that play one after another, and live receivers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from greenroom.capture.packets import FIRST_OF_CLIP, is_body
from greenroom.capture.receivers import open_receiver, prepare_receiver
from greenroom.capture.receivers.calibrated import calibrated
from greenroom.capture.receivers.datagrams import ReceiverCounts
from greenroom.capture.receivers.selection import has_pose, kind_of, prefetch, root_of, with_root
from greenroom.capture.receivers.take import SCHEME
from greenroom.contracts import Packet, Receiver
from greenroom.frames import HUMANOID, Body, Floats
from greenroom.live.playlist import Playlist, open_playlist
from greenroom.store.workspace import Workspace

VALID_NS = 500_000_000
"""How long a source keeps its precedence after it was heard last."""
_FLAGS = 3


@dataclass
class _Source:
    """A receiver, and when each kind was last heard from it."""

    receiver: Receiver
    url: str = ""
    heard_ns: dict[str, int] = field(default_factory=dict)
    newest: dict[str, Packet] = field(default_factory=dict)
    packets: int = 0

    def poll(self, now_ns: int) -> None:
        """Keep the newest packet of each kind of this poll."""
        self.newest = {}
        for packet in self.receiver.poll(now_ns):
            self.packets += 1
            for kind in _kinds(packet):
                self.newest[kind] = packet
                self.heard_ns[kind] = now_ns

    def is_valid(self, kind: str, now_ns: int) -> bool:
        """Tell whether a kind was heard within `VALID_NS`."""
        return kind in self.heard_ns and now_ns - self.heard_ns[kind] <= VALID_NS


def _kinds(packet: Packet) -> tuple[str, ...]:
    """Return what a packet gives; what is not Greenroom's own is a kind by itself."""
    if not is_body(packet.data):
        return (kind_of(packet),)
    pose = ("body",) if has_pose(packet.data) else ()
    return pose if root_of(packet.data) is None else (*pose, "root")


class MergedReceiver:
    """Several receivers as one: at most one packet of each kind in a poll.

    Where two give the same kind, the one named first wins while it is valid.

    Args:
        receivers: open, those that win first; they are closed together.
        urls: of the receivers, for reports; "" for one that needs none.
        height: metres of the hips above the floor where a body comes and nobody says where it stands.
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        urls: Sequence[str] = (),
        height: float = float(HUMANOID.offsets[0, 1]),
    ) -> None:
        """Store the receivers."""
        self.receivers = tuple(receivers)
        names = urls or [""] * len(self.receivers)
        self._sources = [_Source(*each) for each in zip(self.receivers, names, strict=True)]
        self._middle = np.asarray([0, height, 0], dtype=np.float32)
        self._root: Floats | None = None
        self._body_source: _Source | None = None

    def prefetch(self, now_ns: int, budget_ns: int) -> None:
        """Let each receiver decode what has arrived."""
        for receiver in self.receivers:
            prefetch(receiver, now_ns, budget_ns // len(self.receivers))

    def poll(self, now_ns: int) -> list[Packet]:
        """Return what arrived until `now_ns`: the newest body, sound and face."""
        for source in self._sources:
            source.poll(now_ns)
        out = [self._body(now_ns)]
        kinds = dict.fromkeys(kind for source in self._sources for kind in source.newest)
        for kind in kinds.keys() - {"body", "root"}:
            winner = self._winner(kind, now_ns)
            out.append(None if winner is None else winner.newest.get(kind))
        arrived = [packet for packet in out if packet is not None]
        return sorted(arrived, key=lambda packet: (packet.arrival_ns, packet.data[:4]))

    def _winner(self, kind: str, now_ns: int) -> _Source | None:
        return next((each for each in self._sources if each.is_valid(kind, now_ns)), None)

    def _body(self, now_ns: int) -> Packet | None:
        """Return the winning body, at the place of the winning root."""
        rooted = self._winner("root", now_ns)
        if rooted is not None and "root" in rooted.newest:
            self._root = root_of(rooted.newest["root"].data)
        source = self._winner("body", now_ns)
        packet = None if source is None else source.newest.get("body")
        if packet is None:
            return None
        root = self._root if rooted is not None else None
        if root is None and root_of(packet.data) is None and self._has_hips(packet.data):
            root = self._middle
        data = packet.data if root is None else with_root(packet.data, root)
        if source is not self._body_source and self._body_source is not None:
            data = data[:_FLAGS] + bytes([data[_FLAGS] | FIRST_OF_CLIP]) + data[_FLAGS + 1 :]
        self._body_source = source
        return packet._replace(data=data)

    @staticmethod
    def _has_hips(data: bytes) -> bool:
        return bool(np.isfinite(np.frombuffer(data, "<f4", count=4, offset=20)).all())

    def reports(self) -> list[dict[str, Any]]:
        """Return what became of what each live input sent."""
        out: list[dict[str, Any]] = []
        for source in self._sources:
            reports = getattr(source.receiver, "reports", None)
            if reports is not None:
                out += reports()
            elif source.url:
                counts = ReceiverCounts(received=source.packets)
                out.append(counts.report(source.url))
        return out

    def close(self) -> None:
        """Close every receiver."""
        for receiver in self.receivers:
            receiver.close()


@dataclass(frozen=True)
class Inputs:
    """What a show is performed from.

    Attributes:
        workspace: where takes are.
        playlist: the takes, joined; empty without any.
        urls: of the live receivers.
        rank: how many of these were named before the first take.
        actor: who performs, whose calibrations of live receivers count; "" for none.
    """

    workspace: Workspace
    playlist: Playlist
    urls: tuple[str, ...] = ()
    rank: int = 0
    actor: str = ""

    def prepare(self) -> None:
        """Decode and load what live receivers need; no port is bound and no device opened.

        Raises:
            BadInput: a receiver cannot be opened.
        """
        for url in self.urls:
            prepare_receiver(url, self.workspace)

    def receiver(
        self,
        cuts: Sequence[tuple[int, int]] = (),
        first: int = 0,
        height: float = float(HUMANOID.offsets[0, 1]),
        dark: Sequence[tuple[int, Body]] = (),
    ) -> Receiver:
        """Return the open receiver of all inputs.

        Args:
            cuts: (first, one past the last) ticks without capture from the takes.
            first: tick at which it begins.
            height: metres of the hips of a body of which nobody says where it stands.
            dark: (first tick, body) of stretches that play in place of the takes.
        """
        player = self.playlist.player(cuts, first, dark)
        if not self.urls:
            return player
        receivers = [self._open(url, first) for url in self.urls]
        receivers.insert(self.rank, player)
        names = list(self.urls)
        names.insert(self.rank, "")
        return MergedReceiver(receivers, names, height)

    def _open(self, url: str, first: int) -> Receiver:
        receiver = open_receiver(url, self.workspace, first)
        if not self.actor:
            return receiver
        return calibrated(receiver, self.workspace, self.actor, url=url)


def open_inputs(
    workspace: Workspace, urls: Sequence[str], ticks: int | None, actor: str = ""
) -> Inputs:
    """Return the inputs that URLs name; live receivers are opened when they are needed.

    Args:
        workspace: where takes are.
        urls: take:HASH, or of a live receiver.
        ticks: length of the show; takes repeat until then.
        actor: who performs, whose calibrations of live receivers count; "" for none.

    Raises:
        BadInput: no take can play, and there is no live receiver.
    """
    takes = [url.removeprefix(SCHEME) for url in urls if url.startswith(SCHEME)]
    live = tuple(url for url in urls if not url.startswith(SCHEME))
    if live and not takes:
        return Inputs(workspace, Playlist(), live, actor=actor)
    rank = next((i for i, url in enumerate(urls) if url.startswith(SCHEME)), 0)
    return Inputs(workspace, open_playlist(workspace, takes, ticks), live, rank=rank, actor=actor)
