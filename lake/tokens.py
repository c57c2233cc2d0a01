"""Tokens: secrets that let a program do, over the network, what their grants say.

A token is ``lake_ID_SECRET``. The lake keeps the SHA-256 of the secret alone. A slow password hash would protect no
better: the secret has 256 random bits, so nobody can try them all however fast the hash is, and a server checks it with
every request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from lake.clock import now
from lake.errors import InvalidInput
from lake.grants import Grant, grants_of
from lake.journal.base import Journal
from lake.journal.values import Token

__all__ = ["IssuedToken", "Tokens", "granted", "is_token"]

_TEXT = re.compile(r"lake_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_LONGEST_NAME = 200


class IssuedToken(NamedTuple):
    token: Token
    text: str
    """What to send: the only copy."""


class Tokens:
    """The tokens of a lake."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def create(
        self, grants: Iterable[Grant], *, name: str = "", expires: timedelta | None = timedelta(days=30)
    ) -> IssuedToken:
        """Make a token. Its text can be had now and never again.

        Args:
            name: whose it is or what it is for, for lists and logs.
            expires: after which time it is good no more; None: never.

        Raises:
            InvalidInput: no grants, an end in the past, or an unreasonable name.
            ReadOnly: the lake cannot be written.
        """
        given = list(grants)
        if not given:
            raise InvalidInput("a token that lets do nothing is of no use: grant something, as --read 'study1/*'")
        if len(name) > _LONGEST_NAME or not (name.isprintable()):
            raise InvalidInput(f"the name of a token is one line of at most {_LONGEST_NAME} characters")
        if expires is not None and expires <= timedelta():
            raise InvalidInput("a token cannot have expired before it is made")
        created = now()
        secret = secrets.token_urlsafe(32)
        token = Token(
            secrets.token_hex(8),
            name,
            _hash(secret),
            json.dumps([grant.data() for grant in given]),
            created,
            None if expires is None else created + int(expires.total_seconds() * 1e9),
        )
        self._journal.add_token(token)
        return IssuedToken(token, f"lake_{token.id}_{secret}")

    def list(self) -> list[Token]:
        """All that are not revoked, expired ones too, oldest first."""
        return self._journal.tokens()

    def revoke(self, token: str) -> None:
        """Raises `NotFound`: no token of that id."""
        self._journal.revoke_token(token)

    def is_good(self, token: str) -> bool:
        """Whether there is a token of that id that has not expired."""
        found = self._journal.token(token)
        return found is not None and found.live

    def verify(self, text: str) -> Token | None:
        """The token of that text; None when it is not known, was revoked or has expired."""
        parsed = _TEXT.fullmatch(text)
        token = None if parsed is None else self._journal.token(parsed[1])
        if parsed is None or token is None or not hmac.compare_digest(token.hash, _hash(parsed[2])):
            return None
        return token if token.live else None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def is_token(text: str) -> bool:
    """Whether it looks like a token of a lake."""
    return _TEXT.fullmatch(text) is not None


def granted(token: Token) -> tuple[Grant, ...]:
    """What a token lets do."""
    return grants_of(json.loads(token.grants))
