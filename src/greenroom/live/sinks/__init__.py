"""Outputs of a show, a file a protocol, and the registry that opens them by URL."""

from __future__ import annotations

from typing import Any, Protocol

from greenroom.contracts import Sink
from greenroom.frames import HUMANOID, Array
from greenroom.plugins import Registry, scheme_of


class OpenSink(Protocol):
    """What a member of `SINKS` is: a function or a class."""

    def __call__(self, url: str, *, offsets: Array) -> Sink:
        """Return the open sink of a URL; `offsets` (55, 3), metres, places bones on their parents."""


SINKS: Registry[OpenSink] = Registry(
    "greenroom.sinks",
    {"vmc": "greenroom.live.sinks.vmc:open_vmc", "null": "greenroom.live.sinks.null:open_null"},
)
"""Scheme → what opens it."""


def open_sink(url: str, offsets: Array = HUMANOID.offsets) -> Sink:
    """Return the open sink of a URL.

    Args:
        url: such as "vmc://127.0.0.1:39539".
        offsets: (55, 3), metres: where each bone sits on its parent.

    Raises:
        BadInput: the scheme is not known, or the sink cannot be opened.
    """
    return SINKS.get(scheme_of(url) or url)(url, offsets=offsets)


def resolve_sink(url: str) -> str:
    """Return the URL with addresses in place of names, so that no name is looked up during a show.

    Raises:
        BadInput: the scheme is not known, or the sink cannot be opened.
    """
    sink = open_sink(url)
    resolved = sink.url
    sink.close()
    return resolved


def sink_report(sink: Sink, frames: int) -> dict[str, Any]:
    """Return what a sink sent and could not send, as `perform --json` prints it.

    Args:
        sink: any; `sent` of our own counts datagrams.
        frames: that were given to it.
    """
    return {"url": sink.url, "sent": int(getattr(sink, "sent", frames)), "failed": int(sink.lost)}
