"""Live inputs, a file a protocol, and the registry that opens them by URL."""

from __future__ import annotations

from typing import Protocol

from greenroom.capture.receivers.selection import SelectedReceiver, split_use
from greenroom.contracts import Receiver
from greenroom.plugins import Registry, scheme_of
from greenroom.store.workspace import Workspace


class OpenReceiver(Protocol):
    """What a member of `RECEIVERS` is: a function or a class."""

    def __call__(self, url: str, *, workspace: Workspace, first: int) -> Receiver:
        """Return the open receiver of a URL, which begins at the show's tick `first`."""


_HERE = "greenroom.capture.receivers"
RECEIVERS: Registry[OpenReceiver] = Registry(
    "greenroom.receivers",
    {
        "take": f"{_HERE}.take:open_take",
        "vmc": f"{_HERE}.vmc:open_vmc_receiver",
        "livelink": f"{_HERE}.live_link:open_live_link",
        "ifacialmocap": f"{_HERE}.ifacialmocap:open_ifacialmocap",
        "mvn": f"{_HERE}.mvn:open_mvn",
        "wav": f"{_HERE}.sound_file:open_sound_file",
        "mic": f"{_HERE}.microphone:open_microphone",
    },
)
"""Scheme → what opens it."""
LISTENING = ("vmc", "livelink", "mvn")
"""Schemes of our own that listen at a port, to whom `allow` says who may send."""
_SLOW = ("wav", "mic")
"""Schemes of our own whose first opening takes long: to decode a file, to load PortAudio."""


def open_receiver(url: str, workspace: Workspace, first: int = 0) -> Receiver:
    """Return the open receiver of a URL.

    Args:
        url: such as "take:HASH", or "vmc://:39540?use=body,root".
        workspace: where takes are.
        first: the show's tick at which it begins.

    Raises:
        BadInput: the scheme is not known, or the receiver cannot be opened.
    """
    plain, kinds = split_use(url)
    receiver = RECEIVERS.get(scheme_of(plain) or plain)(plain, workspace=workspace, first=first)
    return SelectedReceiver(receiver, kinds, url) if kinds else receiver


def prepare_receiver(url: str, workspace: Workspace) -> None:
    """Do what takes long when a receiver is opened, so that it is opened in no time when it is called.

    No port and no device is touched: somebody else may perform from it meanwhile.

    Raises:
        BadInput: it cannot be opened.
    """
    if scheme_of(url) in _SLOW:
        open_receiver(url, workspace).close()


def resolve_receiver(url: str) -> str:
    """Return the URL with an address in place of a name, so that none is looked up during a show.

    Raises:
        BadInput: the name has no address.
    """
    if scheme_of(url) != "ifacialmocap":
        return url
    from greenroom.capture.receivers.ifacialmocap import resolve_phone

    return resolve_phone(url)


def try_receiver(url: str, workspace: Workspace) -> None:
    """Open a receiver for a moment, so that what cannot be opened is known before a show starts.

    Raises:
        BadInput: the scheme is not known, or the receiver cannot be opened.
    """
    receiver = open_receiver(url, workspace)
    try:
        if hasattr(receiver, "try_open"):
            receiver.try_open()
    finally:
        receiver.close()
