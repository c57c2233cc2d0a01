"""Tokens signed by somebody else: JWT (RFC 7519) of an OpenID Connect issuer, checked with its published keys."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import jwt

from lake.grants import Grant
from lake.htsget.access import Principal, refusal
from lake.htsget.errors import Problem
from lake.htsget.settings import Oidc

__all__ = ["Issuer"]

_REFRESH_SECONDS = 60.0
"""Unknown keys make us ask for new ones, but not more often: anybody can send a token with a made-up key id."""
_KEEP_SECONDS = 3600.0
"""Keys that their issuer has withdrawn are believed no longer than this."""
_FETCH_SECONDS = 5.0
_LARGEST_KEYS = 1 << 20
_LEEWAY_SECONDS = 30.0
"""Clocks differ."""
_LONGEST_NAME = 100


class Issuer:
    """Checks tokens of one issuer. Safe for threads; blocking."""

    def __init__(self, oidc: Oidc) -> None:
        self._oidc = oidc
        self._lock = threading.Lock()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._asked = self._fetched = float("-inf")

    def principal(self, token: str) -> Principal:
        """Who a token speaks for, with the grants of their groups; it lasts as long as the token.

        Raises:
            Problem: 401, the token is not good; 503, the keys of the issuer cannot be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=list(self._oidc.algorithms),
                audience=self._oidc.audience,
                issuer=self._oidc.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise refusal("this token is not good: get a new one from its issuer") from error
        subject = "".join(filter(str.isprintable, str(claims.get("sub", ""))))[:_LONGEST_NAME]
        return Principal(f"oidc:{subject}", self._granted(claims), float(claims["exp"]) + _LEEWAY_SECONDS)

    def _granted(self, claims: Mapping[str, Any]) -> tuple[Grant, ...]:
        groups = ["*", *_named(claims, self._oidc.claim)]
        return tuple(grant for group in dict.fromkeys(groups) for grant in self._oidc.grants.get(group, ()))

    def _key(self, kid: str | None) -> jwt.PyJWK:
        with self._lock:
            now = time.monotonic()
            stale = now - self._fetched > _KEEP_SECONDS
            if (stale or kid not in self._keys) and now - self._asked > _REFRESH_SECONDS:
                self._asked = now
                self._refresh(stale)
            if not self._keys:
                raise Problem(503, "Unavailable", "tokens cannot be checked now: try again", {"Retry-After": "60"})
            found = self._keys.get(kid)
            # Issuers with one key may leave its id out of their tokens.
            if found is None and kid is None and len(self._keys) == 1:
                (found,) = self._keys.values()
        if found is None:
            raise refusal("this token is signed with a key that its issuer does not publish")
        return found

    def _refresh(self, stale: bool) -> None:
        """Keys that cannot be had now leave the old ones in place, until those are too old."""
        try:
            self._keys = _public_keys(_loaded(self._oidc.jwks))
            self._fetched = time.monotonic()
        except (OSError, ValueError, HTTPException, jwt.PyJWTError):
            if stale:
                self._keys = {}


def _loaded(place: str) -> bytes:
    if not place.startswith(("https://", "http://")):
        return Path(place).read_bytes()
    with urllib.request.urlopen(place, timeout=_FETCH_SECONDS) as answer:
        body: bytes = answer.read(_LARGEST_KEYS + 1)
    if len(body) > _LARGEST_KEYS:
        raise ValueError("too many keys")
    return body


def _public_keys(body: bytes) -> dict[str | None, jwt.PyJWK]:
    """Keys for signatures, by id. Symmetric ones have no place in a public file: who reads it could sign with them."""
    keys: dict[str | None, jwt.PyJWK] = {}
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("no set of keys") from None
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("no set of keys")
    for item in document["keys"]:
        if not isinstance(item, dict) or item.get("kty") == "oct" or item.get("use", "sig") != "sig":
            continue
        kid = item.get("kid")
        try:
            key = jwt.PyJWK.from_dict(item)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):  # of a kind that we do not know, or damaged
            continue
        if kid is None or isinstance(kid, str):
            keys[kid] = key
    return keys


def _named(claims: Mapping[str, Any], name: str) -> list[str]:
    """The groups in a claim; ``a.b`` goes into objects where no claim has that very name."""
    value: Any = claims.get(name)
    if name not in claims:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value.split()
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
