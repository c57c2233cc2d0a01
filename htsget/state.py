"""What all requests of one server share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, ParamSpec, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request

from lake.grants import Grant, Verb
from lake.htsget.access import ANONYMOUS, Principal
from lake.htsget.authentication import Doorman
from lake.htsget.errors import Problem
from lake.htsget.settings import Settings
from lake.htsget.signing import HOLDER, Signer, load_secret
from lake.lake import Lake

__all__ = ["Server", "ServerOf", "server_of"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_HOST = re.compile(rb"[A-Za-z0-9._-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_SAFE = "/@:+,;=~!$'()*&"
"""What may stand in the path of a URL as it is (RFC 3986 section 3.3)."""

_KEEPERS = 4
"""Files that are stored at a time; more would only wait for the disk and for each other's commits."""


class Server:
    """The lake, opened once, and what the settings make of it; ``app.state.server``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake = Lake.open_at(settings.root, ref=settings.ref, readonly=not settings.upload)
        self.signer = Signer(settings.secret or load_secret(self.lake.root))
        self.pool = ThreadPoolExecutor(settings.threads, "lake-http")
        self._keepers = ThreadPoolExecutor(_KEEPERS, "lake-keep")
        self.stopping = asyncio.Event()
        """Set when the server is told to stop: answers that have no end of their own have to end."""
        self._anonymous = _anonymous(settings)
        self._doorman = Doorman(self.lake, settings.oidc)

    async def run(
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """Call something that blocks, on a thread of the pool."""
        return await _on(self.pool, function, *arguments, **named)

    async def keep(
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """Call something that stores a file, on a thread of a pool for that alone: it may take minutes."""
        return await _on(self._keepers, function, *arguments, **named)

    async def principal(self, token: str | None) -> Principal:
        """Who sent a token. A server that lets everybody in does not look at it.

        Raises:
            Problem: 401; the token is not good. 503: that cannot be told now.
        """
        if self._anonymous is not ANONYMOUS or token is None:
            return self._anonymous
        known = self._doorman.remembered(token)
        if known is None:
            known = await self.run(self._doorman.principal, token)
            self._doorman.remember(token, known)
        return known

    async def claims(self, signed: str) -> dict[str, str | int]:
        """What a signed URL stands for. It is good for no longer than the token that was shown for it.

        Raises:
            Problem: 403; it was not made here, has expired, or the token was revoked more than a few seconds ago.
        """
        claims = self.signer.verify(signed)
        holder = str(claims.pop(HOLDER, ""))
        if holder and not self._doorman.holder_remembered(holder):
            if not await self.run(self._doorman.holder_is_good, holder):
                raise Problem(403, "PermissionDenied", "the token that this URL was given for is good no more")
            self._doorman.remember_holder(holder)
        return claims

    def url(self, request: Request, path: str) -> str:
        """The absolute URL of a path of this server, percent-encoded; ``path`` starts with ``/``, has no query.

        Raises:
            Problem: 400; neither the settings nor the request say a host that can be believed.
        """
        return f"{self.base(request)}{quote(path, safe=_SAFE)}"

    def base(self, request: Request) -> str:
        """The part of every URL of this server that stands before the path."""
        if self.settings.base_url is not None:
            return self.settings.base_url.rstrip("/")
        host = next((value for name, value in request.scope["headers"] if name == b"host"), b"")
        if not _HOST.fullmatch(host):
            raise Problem(400, "InvalidInput", "the request names no host: send a Host header")
        prefix = quote(request.scope.get("root_path", ""), safe=_SAFE)
        return f"{request.scope['scheme']}://{host.decode()}{prefix}"

    def close(self) -> None:
        self._keepers.shutdown(wait=True, cancel_futures=True)
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.lake.close()


async def _on(
    pool: ThreadPoolExecutor,
    function: Callable[Arguments, Result],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Result:
    loop = asyncio.get_running_loop()
    if named:
        return await loop.run_in_executor(pool, lambda: function(*arguments, **named))
    return await loop.run_in_executor(pool, function, *arguments)


def _anonymous(settings: Settings) -> Principal:
    """What those may do who do not say who they are."""
    if not (settings.open or settings.public):
        return ANONYMOUS
    verbs = [Verb.READ]
    if settings.sql:
        verbs.append(Verb.SQL)
    if settings.open:
        verbs.append(Verb.ADMIN)
        if settings.upload:
            verbs.append(Verb.WRITE)
    return Principal("", tuple(Grant(verb) for verb in verbs))


def server_of(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


async def _server(request: Request) -> Server:
    # The framework calls on another thread what is not async, which takes longer than most answers.
    return server_of(request)


ServerOf = Annotated[Server, Depends(_server)]
