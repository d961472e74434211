"""Let the operator have the show that is over replayed, and its verdict shown on the page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.errors import GreenroomError
from greenroom.observers.relay import ShowRelay
from greenroom.services.operator import OperatorToken
from greenroom.services.show_results import replay_in_new_process
from greenroom.stage.control import RateLimit, problem, refusal_of

PATH = "/api/replay/"


def routes(
    relay: ShowRelay, token: OperatorToken, warn: Callable[[str], None] = lambda what: None
) -> list[BaseRoute]:
    """Return `/api/replay/ACTOR`: POST replays the actor's last show, in a process of its own.

    Args:
        relay: of the shows; a replay waits until none is on.
        token: the operator's.
        warn: told why a replay could not run.
    """
    limit, wrong_tokens = RateLimit(), RateLimit()
    busy = threading.Lock()

    def replay(actor: str, end: dict[str, Any]) -> None:
        hub = relay.hubs.hub_of(actor)
        try:
            verdict = replay_in_new_process(relay.home, end["show"])
            hub.publish("verdict", msgspec.json.encode({"type": "verdict", **verdict}))
        except GreenroomError as error:
            warn(str(error))
            hub.publish("end", msgspec.json.encode(end))
        finally:
            busy.release()

    async def start(request: Request) -> Response:
        refusal = refusal_of(request, token, limit, wrong_tokens)
        if refusal is not None:
            return refusal
        actor = request.path_params["actor"]
        hub = relay.hubs.hub_of(actor)
        last = hub.latest("end")
        end = {"show": None} if last is None else msgspec.json.decode(last)
        if end["show"] is None:
            return problem(404, f"no show of '{actor}' is over here", "greenroom show list")
        if relay.is_on:
            return problem(409, "a show is on, and comes first", "ask again after it")
        if not busy.acquire(blocking=False):
            return problem(409, "another show is being replayed", "ask again after it")
        hub.publish("end", msgspec.json.encode({**end, "checking": True}))
        threading.Thread(target=replay, args=(actor, end), daemon=True).start()
        return JSONResponse({"actor": actor, "show": end["show"]}, 202)

    return [Route(PATH + "{actor}", start, methods=["POST"])]
