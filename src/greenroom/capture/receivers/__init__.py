"""Live inputs, a file a protocol, and the registry that opens them by URL."""

from __future__ import annotations

from typing import Protocol

from greenroom.contracts import Receiver
from greenroom.plugins import Registry, scheme_of
from greenroom.store.workspace import Workspace


class OpenReceiver(Protocol):
    """What a member of `RECEIVERS` is: a function or a class."""

    def __call__(self, url: str, *, workspace: Workspace, first: int) -> Receiver:
        """Return the open receiver of a URL, which begins at the show's tick `first`."""


RECEIVERS: Registry[OpenReceiver] = Registry(
    "greenroom.receivers", {"take": "greenroom.capture.receivers.take:open_take"}
)
"""Scheme → what opens it."""


def open_receiver(url: str, workspace: Workspace, first: int = 0) -> Receiver:
    """Return the open receiver of a URL.

    Args:
        url: such as "take:HASH".
        workspace: where takes are.
        first: the show's tick at which it begins.

    Raises:
        BadInput: the scheme is not known, or the receiver cannot be opened.
    """
    return RECEIVERS.get(scheme_of(url) or url)(url, workspace=workspace, first=first)
