"""Answer what the page and other services ask of a workspace; reading only."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.errors import BadInput, GreenroomError
from greenroom.store.workspace import Workspace

KINDS = ("take", "dataset", "model", "release", "show")


def routes(workspace: Workspace) -> list[BaseRoute]:
    """Return `/api/refs`, `/api/KINDs` and `/api/KINDs/HASH`."""

    def refs(request: Request) -> Response:
        return JSONResponse({"refs": workspace.log.refs()})

    def many(request: Request) -> Response:
        kind = _kind(request)
        rows = workspace.catalog.find(kind)
        found = [{kind: r.object, "actor": r.actor, "name": r.name, "by": r.by} for r in rows]
        return _answer(lambda: {f"{kind}s": found})

    def one(request: Request) -> Response:
        kind = _kind(request)

        def look() -> dict[str, Any]:
            name = workspace.resolve(request.path_params["name"], kind)
            return {kind: name, "manifest": workspace.objects.manifest(name, kind)}

        return _answer(look)

    return [
        Route("/api/refs", refs),
        *(Route(f"/api/{kind}s", many, name=kind) for kind in KINDS),
        *(Route(f"/api/{kind}s/{{name}}", one, name=f"{kind} one") for kind in KINDS),
    ]


def _kind(request: Request) -> str:
    return request.url.path.split("/")[2].removesuffix("s")


def _answer(look: Any) -> Response:
    try:
        return JSONResponse(look())
    except BadInput as error:
        return JSONResponse({"error": str(error)}, status_code=404)
    except GreenroomError as error:
        return JSONResponse({"error": str(error)}, status_code=500)
