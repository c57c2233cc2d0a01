"""Which principal a token stands for."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from lake.htsget.access import Principal, refusal
from lake.htsget.settings import Oidc
from lake.lake import Lake
from lake.tokens import granted, is_token

__all__ = ["Doorman"]

_REMEMBERED = 4096
_TOKEN_SECONDS = 5.0
"""A revoked token is good for at most so long."""
_JWT_SECONDS = 60.0
_LONGEST = 16_384


class Doorman:
    """Knows tokens of the lake and, where one is configured, of an issuer."""

    def __init__(self, lake: Lake, oidc: Oidc | None) -> None:
        self._tokens = lake.tokens
        self._issuer = None
        if oidc is not None:
            from lake.htsget.oidc import Issuer

            self._issuer = Issuer(oidc)
        self._seen: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._holders: OrderedDict[str, float] = OrderedDict()

    def remembered(self, token: str) -> Principal | None:
        """The principal, if the token was seen lately; costs nothing. For the thread of the event loop."""
        found = self._seen.get(_key(token))
        return found[1] if found is not None and time.monotonic() < found[0] else None

    def holder_remembered(self, holder: str) -> bool:
        """Whether the token of that id was good a moment ago. For the thread of the event loop."""
        return time.monotonic() < self._holders.get(holder, 0.0)

    def holder_is_good(self, holder: str) -> bool:
        """Whether the token of that id is neither revoked nor expired. Blocking."""
        return self._tokens.is_good(holder)

    def remember_holder(self, holder: str) -> None:
        """For `holder_remembered`, for as long as a token is. On the event loop's thread."""
        self._holders[holder] = time.monotonic() + _TOKEN_SECONDS
        self._holders.move_to_end(holder)
        if len(self._holders) > _REMEMBERED:
            self._holders.popitem(last=False)

    def principal(self, token: str) -> Principal:
        """Blocking.

        Raises:
            Problem: 401; the token is not good. 503: that cannot be told now.
        """
        if is_token(token):
            found = self._tokens.verify(token)
            if found is None:
                raise refusal("this token is not known, has expired or was revoked")
            expires = None if found.expires is None else found.expires / 1e9
            return Principal(f"token:{found.id}", granted(found), expires, found.id)
        if self._issuer is None or len(token) > _LONGEST:
            raise refusal("this is no token of this server")
        return self._issuer.principal(token)

    def remember(self, token: str, principal: Principal) -> None:
        """For `remembered`; good tokens only, so that bad ones cannot push them out. On the event loop's thread."""
        lasts = _TOKEN_SECONDS if is_token(token) else _JWT_SECONDS
        self._seen[_key(token)] = (time.monotonic() + principal.seconds(lasts), principal)
        self._seen.move_to_end(_key(token))
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def _key(token: str) -> bytes:
    """Tokens are not kept in memory for longer than needed, nor compared byte by byte."""
    return hashlib.sha256(token.encode()).digest()
