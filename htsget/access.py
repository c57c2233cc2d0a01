"""Who asks, and what they may do."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from lake.digest import Digest
from lake.grants import Grant, Verb
from lake.htsget.errors import Problem, missing
from lake.lake import Lake

__all__ = ["ANONYMOUS", "Grant", "Principal", "PrincipalOf", "Verb", "bearer", "object_regions", "refusal"]


def refusal(message: str = "this needs a token: send Authorization: Bearer …") -> Problem:
    """For who has not said who they are, or not so that it can be believed (RFC 6750 section 3)."""
    return Problem(401, "InvalidAuthentication", message, {"WWW-Authenticate": 'Bearer realm="lake"'})


@dataclass(frozen=True)
class Principal:
    """Somebody who asks. Paths are clean paths of the lake, without a ref."""

    name: str
    """For logs."""
    grants: tuple[Grant, ...] = ()
    expires: float | None = None
    """Seconds since the epoch, UTC; None: never."""
    token: str = ""
    """Id of the token of the lake that they showed; empty without one."""

    @cached_property
    def _everything(self) -> frozenset[Verb]:
        """Verbs that no grant limits: the usual case needs no look at patterns."""
        limited = any(grant.regions is not None for grant in self.grants)
        return frozenset(
            grant.verb for grant in self.grants if grant.pattern == "*" and not (grant.verb is Verb.READ and limited)
        )

    @property
    def anonymous(self) -> bool:
        return not self.name

    def may(self, verb: Verb, path: str = "") -> bool:
        """Whether a grant covers that; for ``read`` maybe only some regions of it, see `regions`."""
        if self.expires is not None and self.expires < time.time():
            return False
        return verb in self._everything or any(grant.covers(verb, path) for grant in self.grants)

    def require(self, verb: Verb, path: str = "", *, whole: bool = False) -> None:
        """
        Args:
            whole: all bytes of the file are asked for, so a grant of some regions is not enough.

        Raises:
            Problem: 401 where a token might help; 404, as for what does not exist, where a path may not be seen;
                403 for what may be seen, but not written, or not as a whole.
        """
        if not self.may(verb, path):
            if self.anonymous:
                raise refusal()
            if verb is Verb.READ or (verb is Verb.WRITE and not self.may(Verb.READ, path)):
                raise missing()
            raise Problem(403, "PermissionDenied", f"your token does not let you {_DOING[verb]}")
        if whole and self.regions(path) is not None:
            raise Problem(403, "PermissionDenied", "your token lets you read some regions of this, not the whole")

    def regions(self, path: str) -> tuple[str, ...] | None:
        """The only regions (samtools notation) of a file that may be read; None: no limit."""
        if Verb.READ in self._everything:
            return None
        limits = [g.regions for g in self.grants if g.regions is not None and g.covers(Verb.READ, path)]
        return tuple(dict.fromkeys(region for limit in limits for region in limit)) if limits else None

    def sees_below(self, directory: str) -> bool:
        """Whether something below a directory may be read; a hint for walks that is never wrongly False."""
        if Verb.READ in self._everything:
            return True
        return any(grant.verb is Verb.READ and grant.reaches(directory) for grant in self.grants)

    def seconds(self, longest: float) -> float:
        """How long something given to them now may be good for: at most as long as they are."""
        return longest if self.expires is None else max(0.0, min(longest, self.expires - time.time()))


_DOING = {
    Verb.READ: "read this",
    Verb.WRITE: "write this",
    Verb.SQL: "send queries",
    Verb.ADMIN: "look at the server itself",
}

ANONYMOUS = Principal("")
"""Somebody without a name, who may do nothing."""


def object_regions(principal: Principal, lake: Lake, digest: Digest) -> tuple[str, ...] | None:
    """What of an object may be read, by the paths that name it or did: as `Principal.regions`. Blocking.

    The most that one of its paths allows: who may read the bytes under one name may read them.

    Raises:
        Problem: as `Principal.require`; no path of it may be seen.
    """
    if Verb.READ in principal._everything and principal.may(Verb.READ):
        return None
    return _widest(principal, (path for path, _, _ in lake.repo.journal.paths_of(digest)))


def _widest(principal: Principal, paths: Iterable[str]) -> tuple[str, ...] | None:
    limits = [principal.regions(path) for path in dict.fromkeys(paths) if principal.may(Verb.READ, path)]
    if not limits:
        raise refusal() if principal.anonymous else missing()
    if None in limits:
        return None
    return tuple(dict.fromkeys(region for limit in limits for region in limit or ()))


def bearer(request: Request) -> str | None:
    """What stands behind ``Bearer`` in the headers of a request (RFC 6750, section 2.1)."""
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else None
    return None


_BEARER = HTTPBearer(auto_error=False, description="A token of 'lake token create', or a JWT of the configured issuer.")


async def _principal(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
) -> Principal:
    from lake.htsget.state import server_of  # which knows principals, hence imports this module

    server = server_of(request)
    principal = await server.principal(credentials.credentials if credentials is not None else None)
    request.scope["principal"] = principal.name  # for the log
    return principal


PrincipalOf = Annotated[Principal, Depends(_principal)]
