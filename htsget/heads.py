"""HEAD wherever GET is (RFC 9110 section 9.3.2), for routes that have no HEAD of their own."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Heads"]


_FOUND = ("route", "principal")
"""What the log wants to know of a request, and is found out on the way."""


class Heads:
    """Answers HEAD by GET, whose answer ends where its body would begin."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._has_own(scope):
            return await self._app(scope, receive, send)
        ended = False

        async def send_head(message: Message) -> None:
            # The end of the answer makes `receive` tell that the client is gone, which ends a stream.
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        asked = {**scope, "method": "GET"}
        try:
            return await self._app(asked, receive, send_head)
        finally:
            scope.update({name: asked[name] for name in _FOUND if name in asked})

    def _has_own(self, scope: Scope) -> bool:
        return any(route.matches(dict(scope))[0] is Match.FULL for route in self._routes)
