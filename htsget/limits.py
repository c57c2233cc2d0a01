"""How much one client may ask of the server, and how slowly."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lake.htsget.errors import Problem, rendered
from lake.htsget.settings import Settings

__all__ = ["Buckets", "Limits"]

_UPLOADS = ("/files/", "/uploads/", "/uploads")
_BODY_SECONDS = 20.0
"""Silence that ends the reading of a body, and the time that any body has before its rate counts."""
_BODY_RATE = 500.0
"""Bytes a second: what drips slower than a modem holds a place that others want."""
_REMEMBERED = 65_536


class Buckets:
    """Token buckets: each key may spend ``burst`` at once, and gets ``rate`` a second back."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._levels: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def take(self, key: bytes, now: float) -> float:
        """Take one; 0.0, or the seconds to wait until there is one."""
        level, seen = self._levels.pop(key, (float(self._burst), now))
        level = min(float(self._burst), level + (now - seen) * self._rate)
        wait = 0.0 if level >= 1 else (1 - level) / self._rate
        self._levels[key] = (level if wait else level - 1, now)
        if len(self._levels) > _REMEMBERED:
            self._levels.popitem(last=False)  # whoever was not seen for longest has the fullest bucket
        return wait


class Limits:
    """Refuses what is too much: 413, 429, 503; and 408 what comes too slowly."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._running = 0
        self._buckets = None if settings.rate is None else Buckets(settings.rate, settings.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        refused = self._refused(scope)
        if refused is not None:
            return await rendered(refused, scope["path"])(scope, receive, send)
        self._running += 1
        try:
            return await self._app(scope, _Body(scope, receive, self._longest(scope["path"])), send)
        finally:
            self._running -= 1

    def _refused(self, scope: Scope) -> Problem | None:
        if scope["path"] == "/healthz":
            return None
        if self._running >= self._settings.max_requests:
            return Problem(503, "Unavailable", "the server is busy: try again", {"Retry-After": "1"})
        if self._buckets is not None:
            wait = self._buckets.take(_who(scope), time.monotonic())
            if wait:
                return Problem(429, "TooManyRequests", "too many requests", {"Retry-After": str(math.ceil(wait))})
        longest, stated = self._longest(scope["path"]), _header(scope, b"content-length")
        if longest is not None and stated is not None and stated.isdigit() and int(stated[:20]) > longest:
            return _too_large(longest)
        return None

    def _longest(self, path: str) -> int | None:
        return self._settings.max_upload if path.startswith(_UPLOADS) else self._settings.max_body


class _Body:
    """``receive`` of a request whose body must be neither too long nor too slow."""

    def __init__(self, scope: Scope, receive: Receive, longest: int | None) -> None:
        self._receive = receive
        self._longest = longest
        self._done = _header(scope, b"content-length") is None and _header(scope, b"transfer-encoding") is None
        self._read = 0
        self._waited = 0.0

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        asked = time.monotonic()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow() from None
        # Only time spent waiting counts: the handler may take its own over what it has read.
        self._waited += time.monotonic() - asked
        self._read += len(message.get("body", b""))
        self._done = message["type"] != "http.request" or not message.get("more_body", False)
        if self._longest is not None and self._read > self._longest:
            raise _too_large(self._longest)
        if not self._done and self._waited > _BODY_SECONDS + self._read / _BODY_RATE:
            raise _too_slow()
        return message


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


def _who(scope: Scope) -> bytes:
    """Who spends: an address, and behind it the tokens that it sends each for themselves, up to a point.

    Sixteen buckets an address, chosen by a hash: many users may share one address, but made-up tokens buy little more.
    """
    address = scope["client"][0].encode() if scope.get("client") else b""
    token = _header(scope, b"authorization")
    return address if token is None else address + hashlib.sha256(token).hexdigest()[:1].encode()


def _too_large(longest: int) -> Problem:
    # The rest of the body is still on its way: it cannot be told from a next request but by reading it all.
    return Problem(413, "PayloadTooLarge", f"the body is longer than {longest} bytes", {"Connection": "close"})


def _too_slow() -> Problem:
    return Problem(408, "RequestTimeout", "the body came too slowly", {"Connection": "close"})
