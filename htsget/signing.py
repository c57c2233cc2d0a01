"""URLs that carry their own permission: claims, an end, and a signature over both."""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
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
from lake.keyfile import SECRET_BYTES, key_text, read_key
from lake.stores.durable import System
from lake.stores.modes import is_shared

__all__ = ["HOLDER", "Signer", "load_secret"]

HOLDER = "by"
"""Claim: the id of the token of the lake that was shown when a URL was given."""

_SIGNATURE_BYTES = 16
"""128 bits of the MAC: what cannot be guessed needs no more, and these stand in every URL of a ticket."""
_STEP = 64
"""Ends are put off to a multiple of so many seconds, so that the same request gives the same URL for a while."""
_LONGEST = 8192
_NOT_WRITTEN = (errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS)
"""Another process made the key, or nobody can here."""
_JSON = json.JSONEncoder(separators=(",", ":"))


class Signer:
    """Signs with HMAC-SHA-256 (RFC 2104)."""

    def __init__(self, secret: bytes) -> None:
        self._mac = hmac.new(secret, digestmod=hashlib.sha256)

    def sign(
        self, claims: Mapping[str, str | int], seconds: float, holder: str = "", until: float | None = None
    ) -> str:
        """A token of letters, digits, ``-``, ``_`` and one ``.``, good for ``seconds`` and up to a minute more.

        Claims of different routes must differ in their keys, or hold the route's name: a token says nothing else about
        what it is for.

        Args:
            claims: what it stands for; the keys ``exp`` and ``by`` are taken.
            seconds: how long it is good for.
            holder: id of the lake's token that was shown for it, which `HOLDER` gives back; without that it is no good.
            until: seconds since the epoch, UTC: it is not good for any longer than whoever asked.
        """
        end = -(-int(time.time() + seconds) // _STEP) * _STEP
        if until is not None:
            end = min(end, int(until))
        named = {HOLDER: holder} if holder else {}
        body = _encoded(_JSON.encode({**claims, **named, "exp": end}).encode())
        return f"{body}.{self._signature(body)}"

    def verify(self, token: str) -> dict[str, str | int]:
        """The claims of a token, and its holder as `HOLDER` where it has one: see `lake.htsget.state.Server.claims`.

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
        StorageError: the file cannot be read or made, holds something else, or others can read it.
    """
    path = root / "server.key"
    try:
        _make_secret(path, 0o640 if is_shared(root) else 0o600)
    except OSError as error:
        if error.errno not in _NOT_WRITTEN:
            raise StorageError(f"cannot make {path}: {error.strerror}") from error
    _refuse_open_secret(path)
    secret = read_key(path)
    return secret if secret is not None else secrets.token_bytes(SECRET_BYTES)


def _refuse_open_secret(path: Path) -> None:
    """Raises StorageError: who is not of the lake could read the key, and sign what they like."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_mode & (0o007 if is_shared(path.parent) else 0o077):
            raise StorageError(
                f"others can read {path}, and so could sign URLs of their own: remove it, and a new key is made"
            )


def _make_secret(path: Path, mode: int) -> None:
    """The name appears with its content, for the first of several workers that start at once."""
    if path.exists():
        return
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            file.write(key_text(secrets.token_bytes(SECRET_BYTES)))
            file.flush()
            os.fsync(descriptor)
        System().rename_new(os.fspath(fresh), os.fspath(path))
    finally:
        fresh.unlink(missing_ok=True)
