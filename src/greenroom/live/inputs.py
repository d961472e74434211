"""Inputs of a show by URL: takes that play one after another, and live receivers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from greenroom.capture.receivers import open_receiver
from greenroom.capture.receivers.take import SCHEME
from greenroom.contracts import Packet, Receiver
from greenroom.live.playlist import Playlist, open_playlist
from greenroom.store.workspace import Workspace


class MergedReceiver:
    """Several receivers as one; packets of a poll are in the order of their arrival.

    Args:
        receivers: open; they are closed together.
    """

    def __init__(self, receivers: Sequence[Receiver]) -> None:
        """Store the receivers."""
        self.receivers = tuple(receivers)

    def poll(self, now_ns: int) -> list[Packet]:
        """Return what arrived until `now_ns`, oldest first."""
        packets = [packet for receiver in self.receivers for packet in receiver.poll(now_ns)]
        return sorted(packets, key=lambda packet: packet.arrival_ns)

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
    """

    workspace: Workspace
    playlist: Playlist
    urls: tuple[str, ...] = ()

    def receiver(self, cuts: Sequence[tuple[int, int]] = (), first: int = 0) -> Receiver:
        """Return the open receiver of all inputs.

        Args:
            cuts: (first, one past the last) ticks without capture from the takes.
            first: tick at which it begins.
        """
        player = self.playlist.player(cuts, first)
        if not self.urls:
            return player
        live = [open_receiver(url, self.workspace, first) for url in self.urls]
        return MergedReceiver([player, *live])


def open_inputs(workspace: Workspace, urls: Sequence[str], ticks: int | None) -> Inputs:
    """Return the inputs that URLs name; live receivers are opened when they are needed.

    Args:
        workspace: where takes are.
        urls: take:HASH, or of a live receiver.
        ticks: length of the show; takes repeat until then.

    Raises:
        BadInput: no take can play, and there is no live receiver.
    """
    takes = [url.removeprefix(SCHEME) for url in urls if url.startswith(SCHEME)]
    live = tuple(url for url in urls if not url.startswith(SCHEME))
    if live and not takes:
        return Inputs(workspace, Playlist(None, None, (), False), live)
    return Inputs(workspace, open_playlist(workspace, takes, ticks), live)
