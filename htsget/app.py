"""The application: every interface of a lake over HTTP, behind one door."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from lake.errors import LakeError
from lake.htsget.cors import Cors
from lake.htsget.door import Door
from lake.htsget.errors import Problem, problem_of, rendered
from lake.htsget.heads import Heads
from lake.htsget.limits import Limits
from lake.htsget.metrics import Metrics
from lake.htsget.openapi import described
from lake.htsget.settings import Settings
from lake.htsget.shortcuts import Shortcuts
from lake.htsget.state import Server

__all__ = ["create_app"]

_ROUTES: tuple[str, ...] = (
    "htsget",
    "slices",
    "spectra",
    "proxi",
    "objects",
    "files",
    "refget",
    "seqcol",
    "drs",
    "services",
    "uploads",
    "tus",
    "watch",
    "sql",
    "monitoring",
)
"""Modules of `lake.htsget.routes`. Their routes are tried in this order, so what is asked for most stands first."""


def create_app(settings: Settings | Mapping[str, Any] | None = None) -> FastAPI:
    """The server of a lake, for any ASGI runner.

    Raises:
        LakeError: the lake cannot be opened, or a setting cannot be used.
    """
    server = Server(Settings.of(settings))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"stopping": server.stopping}
        server.close()

    app = FastAPI(
        title="regionlake",
        version=version("regionlake"),
        summary="A data lake for scientific files that answers a region of a file with a small, exact file",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Spans would hold signed URLs; figures are given by /metrics.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.server = server
    app.state.metrics = Metrics()
    routers: list[APIRouter] = [import_module(f"lake.htsget.routes.{name}").router for name in _ROUTES]
    for router in routers:
        app.include_router(router)
    # Of the routers themselves: the application shows each of them as one route.
    routes = [each for router in routers for each in router.routes]
    _handle_errors(app, server, routes)
    authenticated = not (server.settings.open or server.settings.public)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(app, authenticated=authenticated)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    heads = [each for each in routes if "HEAD" in (getattr(each, "methods", None) or ())]
    app.router.middleware_stack = Shortcuts(app.router.middleware_stack, routes)
    # The last one added is the outermost.
    app.add_middleware(Heads, routes=heads)
    app.add_middleware(Limits, settings=server.settings)
    app.add_middleware(Cors, settings=server.settings)
    app.add_middleware(Door, server=server, metrics=app.state.metrics)
    return app


def _handle_errors(app: FastAPI, server: Server, routes: Sequence[BaseRoute]) -> None:
    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return rendered(error, request.url.path)

    async def on_lake_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, LakeError)
        problem = problem_of(error, server.lake.root)
        if problem.status == 500:
            raise error  # to the door, which keeps a record of it
        return rendered(problem, request.url.path)

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "InvalidInput")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            # The framework names the methods of one route; a path may have several.
            headers["Allow"] = ", ".join(_methods(routes, request.scope))
        return rendered(Problem(error.status_code, kind, str(error.detail), headers), request.url.path)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return rendered(Problem(400, "InvalidInput", _explained(error)), request.url.path)

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(LakeError, on_lake_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)


def _methods(routes: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """What can be done with the path of a request (RFC 9110, section 10.2.1)."""
    matching = [each for each in routes if isinstance(each, Route) and each.matches(dict(scope))[0] is not Match.NONE]
    # Where patterns overlap, the first one has the path to itself.
    found = {method for each in matching if each.path == matching[0].path for method in each.methods or ()}
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _explained(error: RequestValidationError) -> str:
    """The first thing wrong, without the value that was sent."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return f"{where}: {first['msg']}"
