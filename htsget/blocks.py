"""Signed URLs of byte ranges of stored objects: they carry the leave of whoever asked for them, and need no Range."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request

from lake.digest import Digest
from lake.htsget.access import Principal
from lake.htsget.errors import Problem
from lake.htsget.state import Server

__all__ = ["Block", "block_url", "read_block"]


class Block(NamedTuple):
    """Bytes ``[offset, offset + length)`` of an object, 0-based."""

    digest: Digest
    offset: int
    length: int


def block_url(
    server: Server,
    request: Request,
    principal: Principal,
    digest: Digest,
    offset: int,
    length: int,
    seconds: float | None = None,
) -> str:
    """The absolute URL of some bytes of an object; whoever holds it may read them, and nothing else, until it expires.

    The caller has to know that the principal may read them. ``seconds``: `Settings.url_seconds` unless said otherwise.
    """
    lasts = principal.seconds(server.settings.url_seconds if seconds is None else seconds)
    claims: dict[str, str | int] = {"d": digest, "o": offset, "n": length}
    token = server.signer.sign(claims, lasts, principal.token, principal.expires)
    return server.url(request, f"/blocks/{token}")


async def read_block(server: Server, token: str) -> Block:
    """What the token of such a URL stands for.

    Raises:
        Problem: 403, it was not made here, not for this, or has expired.
    """
    match await server.claims(token):
        case {"d": str(digest), "o": int(offset), "n": int(length), **others} if not others:
            return Block(Digest(digest), offset, length)
    raise Problem(403, "PermissionDenied", "this URL is not one of a block: ask for a new ticket")
