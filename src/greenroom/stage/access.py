"""Who may ask a page's server: which host names it answers to, and the token that it asks for.

On this machine (loopback) no token is asked for. A server that listens elsewhere does not start without
one. It is shown as `Authorization: Bearer TOKEN`, or once as `/?token=TOKEN`, which sets a cookie.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from greenroom.errors import BadInput

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names under which a browser on this machine reaches the page."""
TOKEN_LENGTH = 16
"""Characters of a token, at least."""
COOKIE = "greenroom_token"

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server that listens at `host`.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    try:
        return host in LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_token(host: str, token: bytes | None) -> None:
    """Pass, or raise where a server would answer other machines without asking for a token.

    Raises:
        BadInput: `host` is not loopback and there is no token.
    """
    if token is None and not is_loopback(host):
        raise BadInput(
            f"a page at '{host}' is open to other machines, and has no token",
            then="openssl rand -hex 32 > FILE, then give --token FILE; or listen at 127.0.0.1",
        )


def read_token(path: Path) -> bytes:
    """Return the token in a file, without the line's end.

    Raises:
        BadInput: it cannot be read, has more than one word, or is too short to be a secret.
    """
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise BadInput(f"this token cannot be read: {error.strerror}", where=str(path)) from None
    if len(token) < TOKEN_LENGTH or len(token.split()) != 1:
        raise BadInput(
            f"a token is one word of at least {TOKEN_LENGTH} characters",
            where=str(path),
            then="make one: openssl rand -hex 32",
        )
    return token


def host_name(netloc: str) -> str:
    """Return the host of a Host header, without its port, in lower case.

    >>> host_name("LocalHost:80"), host_name("[::1]:80"), host_name("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.partition(":")[0].lower()


def error_body(what: str, then: str) -> dict[str, str]:
    """Return an error as the API answers it."""
    return {"error": what, "then": then}


class AccessGuard:
    """Add the security headers to every answer; turn away other host names, and who has no token.

    The host is checked because a name that a stranger controls may point at this machine (DNS
    rebinding); such a page would otherwise count as the same origin.

    Args:
        app: what is guarded.
        hosts: names that it answers to; "*" for every name.
        token: what has to be shown; None where nothing has to.
        open_paths: paths that ask for no token, or for their own; after a "/", each name below it.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Sequence[str],
        token: bytes | None = None,
        open_paths: Sequence[str] = (),
    ) -> None:
        """Store the arguments."""
        self.app = app
        self.hosts = frozenset(hosts)
        self.token = token
        self.open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send_guarded)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008)
        else:
            await refusal(scope, receive, send_guarded)

    def _is_open(self, path: str) -> bool:
        return path in self.open_paths or path.rpartition("/")[0] + "/" in self.open_paths - {"/"}

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer that takes the place of the app's; None where it may answer."""
        host = host_name(Headers(scope=scope).get("host", ""))
        if "*" not in self.hosts and host not in self.hosts:
            body = error_body(
                "this page answers only on this machine", f"open http://{LOOPBACK[0]}"
            )
            return JSONResponse(body, 421)
        if self.token is None or self._is_open(scope["path"]):
            return None
        connection = HTTPConnection(scope)
        authorization = connection.headers.get("authorization", "").encode()
        cookie = connection.cookies.get(COOKIE, "").encode()
        if hmac.compare_digest(authorization, b"Bearer " + self.token):
            return None
        if hmac.compare_digest(cookie, self.token):
            return None
        query = parse_qs(scope["query_string"].decode("ascii", "replace"))
        token = query.get("token", [""])[0].encode()
        if scope["type"] == "http" and hmac.compare_digest(token, self.token):
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(COOKIE, self.token.decode(), httponly=True, samesite="strict")
            return answer
        body = error_body(
            "this page asks for a token", "open /?token=TOKEN, or send Authorization: Bearer TOKEN"
        )
        return JSONResponse(body, 401, headers={"www-authenticate": "Bearer"})
