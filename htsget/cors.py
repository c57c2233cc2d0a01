"""Which web pages may talk to the server (Fetch Standard, "CORS protocol"; htsget 1.3, "CORS")."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lake.htsget.errors import Problem, rendered
from lake.htsget.settings import Settings

__all__ = ["Cors", "is_local_name"]

_MAX_AGE = "2592000"
"""30 days (htsget 1.3)."""
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_EXPOSED = (
    "Accept-Ranges, Content-Disposition, Content-Length, Content-Location, Content-Range, ETag, Lake-Commit, "
    "Lake-Digest, Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, "
    "Tus-Version, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, WWW-Authenticate"
)
_HARMLESS = ("GET", "HEAD", "OPTIONS")


@lru_cache(maxsize=256)
def is_local_name(host: str) -> bool:
    """Whether a host of a URL can only be this machine or one of its own network: no page of the web has such a name.

    A name of one label is nobody's on the web; those with dots are, but for ``*.localhost`` (RFC 6761 section 6.3).
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host.rstrip(".") or host.rstrip(".").endswith(".localhost")


class Cors:
    """Echoes the origin, and what a preflight asks for.

    An open server asks nobody who they are, so any page that its user visits could read the lake, and write to it: by
    default it answers pages of the same machine alone, and refuses a name of itself that a page may have pointed at it
    (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._guarded = settings.open and settings.base_url is None
        self._origins = None if settings.cors_origins is None else frozenset(settings.cors_origins)
        self._open = settings.open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        host, origin = _host_and_origin(scope)
        if self._guarded and not _is_local_host(host):
            problem = Problem(421, "InvalidInput", "this server is not known by that name: say --base-url")
            return await rendered(problem, scope["path"])(scope, receive, send)
        if origin is None:
            return await self._app(scope, receive, send)
        if not self._allows(origin):
            if self._open and scope["method"] not in _HARMLESS:
                problem = Problem(403, "PermissionDenied", "pages of this origin may not do that: say --cors-origin")
                return await rendered(problem, scope["path"])(scope, receive, send)
            return await self._app(scope, receive, send)
        if scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "access-control-request-method" in headers:
                return await _preflight(origin, headers)(scope, receive, send)

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["Access-Control-Allow-Origin"] = origin
                answer["Access-Control-Expose-Headers"] = _EXPOSED
                answer.add_vary_header("Origin")
            await send(message)

        return await self._app(scope, receive, send_allowed)

    def _allows(self, origin: str) -> bool:
        if self._origins is not None:
            return origin in self._origins or "*" in self._origins
        if not self._open:
            return True
        try:
            return is_local_name(urlsplit(origin).hostname or "an.unknown.page")
        except ValueError:
            return False


def _host_and_origin(scope: Scope) -> tuple[str, str | None]:
    """The first of each of these headers. Every request comes by here: one look at each header is enough."""
    host = origin = None
    for name, value in scope["headers"]:
        if name == b"host" and host is None:
            host = value.decode("latin-1")
        elif name == b"origin" and origin is None:
            origin = value.decode("latin-1")
    return host or "", origin


@lru_cache(maxsize=256)
def _is_local_host(host: str) -> bool:
    """`is_local_name` of a Host header, which may name a port."""
    return is_local_name(urlsplit(f"//{host}").hostname or "localhost")


def _preflight(origin: str, asked: Headers) -> Response:
    allowed = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Max-Age": _MAX_AGE,
        "Vary": "Origin, Access-Control-Request-Headers",
    }
    if "access-control-request-headers" in asked:
        allowed["Access-Control-Allow-Headers"] = asked["access-control-request-headers"]
    return Response(status_code=204, headers=allowed)
