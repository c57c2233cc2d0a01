"""Names of files under a lake's directory that hold objects: `objects/ab/<digest>`, and `packs/<digest>` for many."""

from __future__ import annotations

import re

from lake.digest import Digest
from lake.errors import InvalidInput
from lake.stores.base import Location

__all__ = ["checked_handle", "is_pack", "is_plain", "pack_digest", "pack_handle", "plain_handle", "plain_location"]

_PLAIN = re.compile(r"objects/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_PACK = re.compile(r"packs/[0-9a-f]{64}")


def plain_handle(digest: Digest) -> str:
    """The file that holds one object and nothing else."""
    return f"objects/{digest[:2]}/{digest}"


def plain_location(digest: Digest, size: int) -> Location:
    return Location(plain_handle(digest), 0, size)


def pack_handle(digest: Digest) -> str:
    """The pack whose own bytes, those of all its objects, have that digest."""
    return f"packs/{digest}"


def pack_digest(handle: str) -> bytes | None:
    """The digest of the pack that a handle names; None for one of a file that holds one object."""
    return bytes.fromhex(handle[6:]) if is_pack(handle) else None


def is_pack(handle: str) -> bool:
    return _PACK.fullmatch(handle) is not None


def is_plain(handle: str) -> bool:
    return _PLAIN.fullmatch(handle) is not None


def checked_handle(handle: str) -> str:
    """The handle itself. Raises InvalidInput unless it can name a file that holds objects."""
    if not is_plain(handle) and not is_pack(handle):
        raise InvalidInput(f"not the place of an object: {handle!r}")
    return handle
