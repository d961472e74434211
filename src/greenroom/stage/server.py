"""Serve the stage page, its messages and the metrics, so that a browser here sees the show.

Nothing here is in the show's way: the engine publishes into a :class:`Hub` and goes on.

    hub = Hub()
    server = serve_in_thread(create_app(hub), "127.0.0.1", 8470)
    hub.publish("hello", b"...")
    server.stop()
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from greenroom.errors import BadInput
from greenroom.observers.hub import HubDirectory
from greenroom.stage import viewing
from greenroom.stage.access import LOOPBACK, AccessGuard, error_body, is_loopback, require_token
from greenroom.stage.control import PATH as CONTROL_PATH
from greenroom.stage.receiver import PATH as ALERTS_PATH
from greenroom.stage.replays import PATH as REPLAY_PATH

PAGE = Path(__file__).parent / "page"
"""Where `npm run build` in `web/` puts the page; the wheel carries it."""
START_S = 10.0

_NOT_BUILT = (
    "The stage page is not built yet.\n\n"
    "Build it:  make setup        (or: cd web && npm ci && npm run build)\n"
    "Then load this page again. The show itself does not need it.\n"
)


class _Assets(StaticFiles):
    """Files whose name holds their hash: they never change, so a browser may keep them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


class _Compressor(GZipMiddleware):
    """Compress what is large, but neither an avatar nor the history, which are compressed already."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.endswith(".vrm") or path == viewing.HISTORY_PATH:
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _problem(request: Request, error: Exception) -> Response:
    """Answer a wrong address or method in JSON that says what there is."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        what = f"there is nothing at {request.url.path}"
        return JSONResponse(
            error_body(what, "try / (page), /ws, /history, /metrics or /healthz"), 404
        )
    return JSONResponse(
        error_body(error.detail, "see docs/how-to/stage-page.md"),
        error.status_code,
        headers=error.headers,
    )


def hosts_for(host: str) -> tuple[str, ...]:
    """Return the names under which a page that listens at `host` may be asked for.

    >>> "127.0.0.1" in hosts_for("127.0.0.1"), hosts_for("0.0.0.0"), hosts_for("10.0.0.7")[-1]
    (True, ('*',), '10.0.0.7')
    """
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        return ("*",)
    return LOOPBACK if is_loopback(host) else (*LOOPBACK, host)


def create_app(
    hub: HubDirectory,
    *,
    api_routes: Sequence[BaseRoute] = (),
    registry: CollectorRegistry | None = None,
    hosts: Sequence[str] = LOOPBACK,
    token: bytes | None = None,
    page: Path = PAGE,
) -> Starlette:
    """Build the web app: `/` (page), `/ws`, `/history`, `/healthz`, `/metrics` and `api_routes`.

    Args:
        hub: where the messages of the show, or of each actor's show, come from.
        api_routes: further routes, such as the contracts over HTTP.
        registry: what `/metrics` shows; nothing when None.
        hosts: names under which the page may be asked for; ("*",) for every name.
        token: what has to be shown (see `greenroom.stage.access`); None where nothing has to.
        page: folder of the built page.

    >>> from greenroom.observers.hub import Hub
    >>> [route.path for route in create_app(Hub()).routes]
    ['/', '/overlay', '/favicon.svg', '/ws', '/history', '/healthz', '/metrics', '/assets']
    """
    metrics = registry if registry is not None else CollectorRegistry()

    async def index(request: Request) -> Response:
        if not (page / "index.html").is_file():
            return PlainTextResponse(_NOT_BUILT, 503, headers={"cache-control": "no-store"})
        return FileResponse(page / "index.html", headers={"cache-control": "no-cache"})

    async def favicon(request: Request) -> Response:
        if not (page / "favicon.svg").is_file():
            raise HTTPException(404)
        return FileResponse(page / "favicon.svg", headers={"cache-control": "no-cache"})

    async def healthz(request: Request) -> Response:
        return JSONResponse({"ok": True, "viewers": hub.viewers})

    async def exposition(request: Request) -> Response:
        return Response(generate_latest(metrics), headers={"content-type": CONTENT_TYPE_LATEST})

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/overlay", index),
            Route("/favicon.svg", favicon),
            *viewing.routes(hub),
            Route("/healthz", healthz),
            Route("/metrics", exposition),
            *api_routes,
            Mount("/assets", _Assets(directory=page / "assets", check_dir=False)),
        ],
        exception_handlers={HTTPException: _problem},
    )
    # All but the first ask for tokens of their own.
    open_paths = ("/healthz", ALERTS_PATH, CONTROL_PATH, REPLAY_PATH)
    app.add_middleware(_Compressor, minimum_size=1000, compresslevel=6)
    app.add_middleware(AccessGuard, hosts=hosts, token=token, open_paths=open_paths)
    app.state.token = token
    return app


class ServerHandle:
    """A server that runs in a thread.

    Attributes:
        host: where it listens.
        port: the port it got; useful when it was asked for port 0.
    """

    def __init__(self, server: uvicorn.Server, thread: threading.Thread, bound: tuple[str, int]):
        """Keep what :func:`serve_in_thread` started."""
        self.host, self.port = bound
        self._server = server
        self._thread = thread

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def stop(self) -> None:
        """Close every connection and wait for the thread; may be called twice."""
        self._server.should_exit = True
        self._thread.join(START_S)

    def __enter__(self) -> ServerHandle:
        """Return itself; the server already runs."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


def serve_in_thread(app: Starlette, host: str = LOOPBACK[0], port: int = 0) -> ServerHandle:
    """Serve `app` from a thread of its own and return once it answers.

    Args:
        app: what :func:`create_app` returned.
        host: address to listen on; only this machine reaches the default.
        port: 0 takes any free port.

    Raises:
        BadInput: the address cannot be listened on, or other machines reach it and the app asks for no
            token; with what to do about it.
    """
    require_token(host, app.state.token)
    listener = _listen(host, port)
    bound = (host, int(listener.getsockname()[1]))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ws="websockets-sansio",
            http="h11",
            loop="asyncio",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            ws_max_size=4096,
            ws_per_message_deflate=True,
            timeout_graceful_shutdown=2,
        )
    )
    thread = threading.Thread(
        target=server.run, args=([listener],), name="greenroom-stage", daemon=True
    )
    thread.start()
    patience = time.monotonic() + START_S
    while not server.started and thread.is_alive() and time.monotonic() < patience:
        time.sleep(0.005)
    if not server.started:
        server.should_exit = True
        raise BadInput("the page's server did not start", where=f"{host}:{port}", then="try again")
    return ServerHandle(server, thread, bound)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        other = port + 1 if port < 65535 else port - 1
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            what, then = (
                "the port is in use",
                f"stop the other program, or choose another port: --port {other}, or "
                f"--out ws://{host}:{other} where it performs",
            )
        elif number in (errno.EACCES, errno.EPERM):
            what, then = "the port needs more rights than you have", "choose a port above 1023"
        else:
            what, then = (
                "nothing can listen at this address",
                "use 127.0.0.1 and a port from 0 to 65535",
            )
        raise BadInput(what, where=f"{host}:{port}", then=then) from error
    return listener
