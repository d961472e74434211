"""Send each page the show that it asks for: what comes by WebSocket, what went by as one download."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from greenroom.observers.hub import Hub, HubDirectory, Viewer

HISTORY_PATH = "/history"


def routes(hubs: HubDirectory) -> list[BaseRoute]:
    """Return `/ws` and `/history`; both take `?actor=`, the newest show where it is left out."""

    async def ws(socket_: WebSocket) -> None:
        if not is_same_origin(socket_):
            await socket_.close(1008)
            return
        await _watch(hubs, socket_)

    async def history(request: Request) -> Response:
        hub = hubs.hub_of(request.query_params.get("actor", ""))
        return StreamingResponse(
            _batches(hub),
            media_type="application/octet-stream",
            headers={"cache-control": "no-store"},
        )

    return [WebSocketRoute("/ws", ws), Route(HISTORY_PATH, history)]


def is_same_origin(connection: HTTPConnection) -> bool:
    """Return whether the page that connects came from this very server; programs send no origin."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    scheme, _, netloc = origin.partition("://")
    return scheme in ("http", "https") and netloc == connection.headers.get("host")


async def _batches(hub: Hub) -> AsyncIterator[bytes]:
    """Yield each batch of the history after its length, 4 bytes big-endian; the newest first."""
    for batch in hub.history():
        yield len(batch).to_bytes(4, "big") + batch


async def _watch(hubs: HubDirectory, socket_: WebSocket) -> None:
    """Send one page all it must hear, until it goes or is sent away."""
    await socket_.accept()
    sender = asyncio.create_task(_send_shows(hubs, socket_))
    try:
        while (await socket_.receive())["type"] != "websocket.disconnect":
            pass  # a page has nothing to say; whatever comes is dropped
    finally:
        sender.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect):
            await sender


async def _send_shows(hubs: HubDirectory, socket_: WebSocket) -> None:
    """Send one show after the other, where a newer one takes the place of the one asked for."""
    actor = socket_.query_params.get("actor", "")
    while True:
        hub = hubs.hub_of(actor)
        viewer = hub.join()
        try:
            await _send_all(viewer, socket_)
        finally:
            hub.leave(viewer)
        if not viewer.dismissed:
            break
    with suppress(RuntimeError, WebSocketDisconnect):  # it may have closed first
        await socket_.close(1013)


async def _send_all(viewer: Viewer, socket_: WebSocket) -> None:
    while (message := await viewer.take()) is not None:
        await socket_.send_text(message.decode())
