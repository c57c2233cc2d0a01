"""What every request passes first and last: it is counted and logged, and its failure answered."""

from __future__ import annotations

import logging
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lake.errors import LakeError
from lake.htsget.errors import Problem, problem_of, rendered
from lake.htsget.logs import ACCESS, redacted
from lake.htsget.metrics import Metrics
from lake.htsget.state import Server

__all__ = ["Door"]

_LOG = logging.getLogger("lake.htsget")
_CLOSED = 499
"""The status in figures and logs of a request whose client left before the answer began."""


class Door:
    """The outermost application."""

    def __init__(self, app: ASGIApp, server: Server, metrics: Metrics) -> None:
        self._app = app
        self._root = server.lake.root
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()
        status, sent = 0, 0

        async def send_counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        self._metrics.running.inc()
        try:
            await self._app(scope, receive, send_counted)
        except Exception as error:  # the last one: whatever it is, the client gets an answer that tells nothing
            problem = self._answered(error, scope)
            if status:
                raise  # too late for another answer: the connection is cut, and the client sees that it is
            await rendered(problem, scope["path"])(scope, receive, send_counted)
        finally:
            self._metrics.running.dec()
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "")
            self._metrics.count(route, scope["method"], status or _CLOSED, seconds, sent)
            if ACCESS.isEnabledFor(logging.INFO):
                _log(scope, route, status or _CLOSED, seconds, sent)
        return None

    def _answered(self, error: Exception, scope: Scope) -> Problem:
        problem: Problem | None = None
        if isinstance(error, Problem):
            problem = error
        elif isinstance(error, LakeError):
            problem = problem_of(error, self._root)
        if problem is not None and problem.status != 500:
            return problem
        number = secrets.token_hex(6)
        _LOG.error("failure %s: %s %s", number, scope["method"], scope["path"], exc_info=error)
        return Problem(500, "InternalError", f"the server failed; its log tells why, under {number}")


def _log(scope: Scope, route: str, status: int, seconds: float, sent: int) -> None:
    fields = {
        "client": scope["client"][0] if scope.get("client") else None,
        "principal": scope.get("principal", ""),
        "method": scope["method"],
        "path": redacted(scope["path"])[:500],
        "query": redacted(scope["query_string"].decode("latin-1"))[:500],
        "route": route,
        "status": status,
        "sent": sent,
        "seconds": round(seconds, 6),
    }
    ACCESS.info("", extra={"fields": fields})
