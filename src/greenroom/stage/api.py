"""Answer what the page and other services ask of a workspace; reading only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.errors import BadInput, GreenroomError
from greenroom.manifests import KINDS as MANIFESTS
from greenroom.manifests import to_json
from greenroom.monitoring.alerts import alert_json, list_alerts
from greenroom.observers.hub import Hub
from greenroom.observers.relay import ShowRelay
from greenroom.services.operator import operator_token
from greenroom.services.shows import AVATAR_PATH, read_avatar
from greenroom.stage import control
from greenroom.stage.access import require_token
from greenroom.stage.server import ServerHandle, create_app, hosts_for, serve_in_thread
from greenroom.store.workspace import Workspace

KINDS = ("take", "dataset", "model", "part", "rig", "release", "show", "survey")


def routes(workspace: Workspace) -> list[BaseRoute]:
    """Return `/api/refs`, `/api/alerts`, `/api/KINDs` and `/api/KINDs/HASH`.

    Requests come in several threads and a workspace serves one: they share one of their own, in turn.
    """
    thread_workspace, lock = Workspace(workspace.home, workspace.log.clock), threading.Lock()

    def answer(look: Callable[[], dict[str, Any]]) -> Response:
        with lock:
            return _answer(look)

    def refs(request: Request) -> Response:
        return answer(lambda: {"refs": thread_workspace.log.refs()})

    def alerts(request: Request) -> Response:
        actor, cause = request.query_params.get("actor"), request.query_params.get("cause")
        return answer(
            lambda: {
                "alerts": [
                    alert_json(record) for record in list_alerts(thread_workspace.log, actor, cause)
                ]
            }
        )

    def many(request: Request) -> Response:
        kind = _kind(request)

        def look() -> dict[str, Any]:
            rows = thread_workspace.catalog.find(kind)
            entries = [{kind: r.object, "actor": r.actor, "name": r.name, "by": r.by} for r in rows]
            return {f"{kind}s": entries}

        return answer(look)

    def show_object(request: Request) -> Response:
        kind = _kind(request)

        def look() -> dict[str, Any]:
            name = thread_workspace.resolve(request.path_params["name"], kind)
            manifest = thread_workspace.objects.read(name, MANIFESTS[kind])
            return {kind: name, "manifest": to_json(manifest)}

        return answer(look)

    return [
        Route("/api/refs", refs),
        Route("/api/alerts", alerts),
        *(Route(f"/api/{kind}s", many, name=kind) for kind in KINDS),
        *(Route(f"/api/{kind}s/{{name}}", show_object, name=f"{kind} one") for kind in KINDS),
    ]


def page_server(
    workspace: Workspace,
    address: tuple[str, int] | None,
    token: bytes | None = None,
    avatar: bytes | None = None,
) -> Callable[[Hub, CollectorRegistry], ServerHandle] | None:
    """Return what serves the page of a show at (host, port); None for no page.

    Args:
        workspace: the workspace.
        address: host and port.
        token: that viewers show; None where nobody has to.
        avatar: a VRM file for every viewer of this show; None for the mannequin.

    Raises:
        BadInput: other machines reach the address, and there is no token.
    """
    if address is None:
        return None
    require_token(address[0], token)

    def serve(hub: Hub, registry: CollectorRegistry) -> ServerHandle:
        hosts = hosts_for(address[0])
        operator_routes = control.routes(workspace, operator_token(workspace.home))
        avatar_routes = [] if avatar is None else [_avatar_route(avatar)]
        app = create_app(
            hub,
            api_routes=[*routes(workspace), *operator_routes, *avatar_routes],
            registry=registry,
            hosts=hosts,
            token=token,
        )
        return serve_in_thread(app, *address)

    return serve


def relayed_avatar(relay: ShowRelay) -> Route:
    """Return the route of the avatars of shows that other processes perform: `?actor=` says whose."""

    def avatar(request: Request) -> Response:
        path = relay.avatar(request.query_params.get("actor", ""))
        if path is None:
            return JSONResponse({"error": "this show has no avatar"}, 404)
        return _answer(lambda: Response(read_avatar(path), media_type="model/gltf-binary"))

    return Route(AVATAR_PATH, avatar)


def _avatar_route(data: bytes) -> Route:
    async def avatar(request: Request) -> Response:
        return Response(data, media_type="model/gltf-binary", headers={"cache-control": "no-cache"})

    return Route(AVATAR_PATH, avatar)


def _kind(request: Request) -> str:
    return request.url.path.split("/")[2].removesuffix("s")


def _answer(look: Callable[[], dict[str, Any] | Response]) -> Response:
    try:
        found = look()
        return found if isinstance(found, Response) else JSONResponse(found)
    except (BadInput, FileNotFoundError) as error:
        return JSONResponse({"error": str(error)}, status_code=404)
    except GreenroomError as error:
        return JSONResponse({"error": str(error)}, status_code=500)
