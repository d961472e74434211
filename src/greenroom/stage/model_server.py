"""The app of a model server: the Open Inference Protocol behind the same guard as the page."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from greenroom.serving.oip_server import HEALTH_PATHS, ServedModel
from greenroom.stage.access import LOOPBACK, AccessGuard


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path[:200]}"
    words = f"{asked}: {error.detail}; see docs/how-to/serve-a-model.md"
    return JSONResponse({"error": words}, error.status_code, headers=error.headers)


def create_model_app(
    served: ServedModel, hosts: Sequence[str] = LOOPBACK, token: bytes | None = None
) -> Starlette:
    """Return the app that serves a model.

    Args:
        served: the model.
        hosts: names under which the server may be asked; ("*",) for every name.
        token: what has to be shown; None where nothing has to. The health checks ask for none.
    """
    app = Starlette(routes=served.routes(), exception_handlers={HTTPException: _error})
    app.add_middleware(AccessGuard, hosts=hosts, token=token, open_paths=HEALTH_PATHS)
    app.state.token = token
    return app
