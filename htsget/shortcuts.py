"""The way of those requests that come most often: past the framework, whose search for a route and whose preparations
take longer than all that is to be done for them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Direct", "Shortcuts"]


class Direct(APIRoute):
    """A route whose handler reads the request itself; the framework only describes it.

    Its path is ``/word/{parameter:path}``.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


class Shortcuts:
    """Takes a GET of a `Direct` route to its handler; every other request goes the usual way, to ``app``."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        direct = [route for route in routes if isinstance(route, Direct) and "GET" in (route.methods or ())]
        self._routes = {_first_part(route.path): route for route in direct}
        # Paths without parameters are reserved, as service-info is.
        self._reserved = frozenset(
            route.path for route in routes if isinstance(route, Route) and not route.param_convertors
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route(scope)
        found = None if route is None else route.path_regex.match(scope["path"])
        if route is None or found is None:
            return await self._app(scope, receive, send)
        scope["route"] = route
        scope["path_params"] = found.groupdict()
        response: Response = await route.endpoint(Request(scope, receive, send))
        return await response(scope, receive, send)

    def _route(self, scope: Scope) -> Direct | None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("root_path"):
            return None
        path: str = scope["path"]
        return None if path in self._reserved else self._routes.get(_first_part(path))


def _first_part(path: str) -> str:
    """``/reads/`` of ``/reads/runs/s1.bam``."""
    return path[: path.find("/", 1) + 1]
