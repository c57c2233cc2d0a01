"""URLs that carry their own permission: claims, an end, and a signature over both."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from lake.errors import StorageError
from lake.htsget.errors import Problem

__all__ = ["Signer", "load_secret"]

_SECRET_BYTES = 32
_SIGNATURE_BYTES = 16
"""128 bits of the MAC: what cannot be guessed needs no more, and these stand in every URL of a ticket."""
_STEP = 64
"""Ends are put off to a multiple of so many seconds, so that the same request gives the same URL for a while."""
_LONGEST = 8192
_JSON = json.JSONEncoder(separators=(",", ":"))


class Signer:
    """Signs with HMAC-SHA-256 (RFC 2104)."""

    def __init__(self, secret: bytes) -> None:
        self._mac = hmac.new(secret, digestmod=hashlib.sha256)

    def sign(self, claims: Mapping[str, str | int], seconds: float) -> str:
        """A token of letters, digits, ``-``, ``_`` and one ``.``, good for ``seconds`` and up to a minute more.

        The key ``exp`` is taken. Claims of different routes must differ in their keys, or hold the route's name:
        a token says nothing else about what it is for.
        """
        end = -(-int(time.time() + seconds) // _STEP) * _STEP
        body = _encoded(_JSON.encode({**claims, "exp": end}).encode())
        return f"{body}.{self._signature(body)}"

    def verify(self, token: str) -> dict[str, str | int]:
        """The claims of a token.

        Raises:
            Problem: 403, whatever is wrong with it.
        """
        body, _, signature = token.partition(".")
        # Compared as bytes: strings must be ASCII for that, and a URL may hold anything.
        if len(token) > _LONGEST or not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise _refusal("this URL is not signed by this server: ask for a new ticket")
        claims: dict[str, str | int] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if int(claims.pop("exp")) < time.time():
            raise _refusal("this URL has expired: ask for a new ticket")
        return claims

    def _signature(self, body: str) -> str:
        mac = self._mac.copy()
        mac.update(body.encode())
        return _encoded(mac.digest()[:_SIGNATURE_BYTES])


def _encoded(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _refusal(message: str) -> Problem:
    return Problem(403, "PermissionDenied", message)


def load_secret(root: Path) -> bytes:
    """The secret of a lake's servers: ``server.key``, made when it is not there; all workers share it.

    A lake that cannot be written gets a secret for this process alone.

    Raises:
        StorageError: the file cannot be read, or holds something else.
    """
    path = root / "server.key"
    with contextlib.suppress(FileExistsError, PermissionError):
        _make_secret(path)
    try:
        text = path.read_text("ascii")
        secret = bytes.fromhex(text)
    except FileNotFoundError:
        return secrets.token_bytes(_SECRET_BYTES)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read as a key: remove it, and a new one is made") from error
    if len(secret) != _SECRET_BYTES:
        raise StorageError(f"{path} holds no key of {_SECRET_BYTES} bytes: remove it, and a new one is made")
    return secret


def _make_secret(path: Path) -> None:
    """A link makes the name appear with its content, for the first of several workers that start at once."""
    if path.exists():
        return
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_SECRET_BYTES))
        os.link(fresh, path)
    finally:
        fresh.unlink()
