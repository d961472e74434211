"""Let the operator control a show from its page, by the same path as `greenroom control`.

Who shows the operator's token may; a page of another origin may not, whatever it shows. Each act is an
entry of the log under the token's name, which the show reads there.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.errors import BadInput, GreenroomError
from greenroom.live.control import ACTS, Act
from greenroom.live.show_notice import find_show
from greenroom.services.operator import OperatorToken
from greenroom.services.shows import control_show
from greenroom.stage.access import error_body
from greenroom.stage.viewing import is_same_origin
from greenroom.store.workspace import Workspace

PATH = "/api/control/"
LARGEST = 1024
"""Bytes of a request, at most."""
BURST, A_SECOND = 10, 5.0
"""Requests at once and a second, at most; wrong tokens are counted like right ones, and apart."""


class _Order(msgspec.Struct):
    """What a request asks for."""

    act: Act


class RateLimit:
    """A token bucket.

    Args:
        clock: seconds, monotonic.

    >>> limit = RateLimit(lambda: 0.0)
    >>> [limit.wait_s() for _ in range(BURST)] == [0.0] * BURST, limit.wait_s()
    (True, 0.2)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start full."""
        self._clock = clock
        self._left, self._at = float(BURST), clock()

    def wait_s(self) -> float:
        """Take one; return 0, or the seconds until there is one again."""
        now = self._clock()
        self._left = min(float(BURST), self._left + (now - self._at) * A_SECOND)
        self._at = now
        if self._left < 1.0:
            return (1.0 - self._left) / A_SECOND
        self._left -= 1.0
        return 0.0


def routes(workspace: Workspace, token: OperatorToken) -> list[BaseRoute]:
    """Return `/api/control/ACTOR`: POST {"act": …} acts, GET says whether the token is the right one.

    Args:
        workspace: whose log acts are entered in; this route opens a log of its own.
        token: the operator's.
    """
    thread_workspace, lock = Workspace(workspace.home, workspace.log.clock), threading.Lock()
    limit, wrong_tokens = RateLimit(), RateLimit()

    def enter(actor: str, act: Act) -> None:
        with lock:
            control_show(thread_workspace, actor, act, token.name)

    async def control(request: Request) -> Response:
        refusal = refusal_of(request, token, limit, wrong_tokens)
        if refusal is not None:
            return refusal
        actor = request.path_params["actor"]
        if request.method != "POST":
            on = await run_in_threadpool(find_show, workspace.home, actor) is not None
            return JSONResponse({"actor": actor, "by": token.name, "acts": ACTS, "on": on})
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST:
                return problem(413, f"more than {LARGEST:,} bytes", _FORM)
        try:
            act = msgspec.json.decode(bytes(data), type=_Order).act
        except (msgspec.DecodeError, UnicodeDecodeError):
            return problem(422, "this is no act", _FORM)
        try:
            await run_in_threadpool(enter, actor, act)
        except BadInput as error:
            return problem(404, error.what, error.then or "greenroom show list")
        except (GreenroomError, OSError) as error:
            return problem(500, f"the log could not be written: {error}", "greenroom fsck")
        return JSONResponse({"actor": actor, "act": act, "by": token.name})

    return [Route(PATH + "{actor}", control, methods=["GET", "POST"])]


_FORM = 'send {"act": "hold"}, or ' + ", ".join(ACTS[1:])


def refusal_of(
    request: Request, token: OperatorToken, limit: RateLimit, wrong_tokens: RateLimit
) -> Response | None:
    """Return why a request may not act; None where it may.

    Args:
        request: what came.
        token: that it has to show.
        limit: of requests that show it.
        wrong_tokens: of the others.
    """
    if not is_same_origin(request):
        return problem(403, "this request comes from another page", "open the show's own page")
    authorization = request.headers.get("authorization", "").encode("latin-1")
    right = hmac.compare_digest(authorization, f"Bearer {token.secret}".encode())
    wait_s = (limit if right else wrong_tokens).wait_s()
    if wait_s:
        answer = problem(429, "too many requests", f"wait {wait_s:.1f} s")
        answer.headers["retry-after"] = str(int(wait_s) + 1)
        return answer
    if right:
        return None
    then = f"send Authorization: Bearer TOKEN; the token is in {token.path.name} of the workspace"
    answer = problem(401, "this is not the operator's token", then)
    answer.headers["www-authenticate"] = "Bearer"
    return answer


def problem(status: int, what: str, then: str) -> Response:
    """Return the answer to a request that is refused."""
    return JSONResponse(error_body(what, then), status)
