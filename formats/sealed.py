"""Derived artifacts as bytes that prove themselves: a magic with a version, the size of the file, and a digest."""

from __future__ import annotations

import struct

from blake3 import blake3

from lake.errors import FormatError

__all__ = ["seal", "unseal"]

_HEAD = struct.Struct("<8sQ")
_DIGEST_SIZE = 16


def seal(magic: bytes, size: int, body: bytes) -> bytes:
    """Wrap ``body``, derived from a file of ``size`` bytes; ``magic`` is 8 bytes, the last one the version."""
    sealed = _HEAD.pack(magic, size) + body
    return sealed + blake3(sealed).digest(_DIGEST_SIZE)


def unseal(magic: bytes, size: int, data: bytes, what: str) -> memoryview:
    """What `seal` wrapped; ``what`` names the artifact in messages.

    Raises:
        FormatError: damaged, of another version, or of another file.
    """
    if len(data) < _HEAD.size + _DIGEST_SIZE or blake3(data[:-_DIGEST_SIZE]).digest(_DIGEST_SIZE) != bytes(
        data[-_DIGEST_SIZE:]
    ):
        raise FormatError(f"the {what} is damaged: make it again")
    found, stated = _HEAD.unpack_from(data)
    if found != magic:
        raise FormatError(f"the {what} is of another version: make it again")
    if stated != size:
        raise FormatError(f"the {what} belongs to a file of {stated} bytes, not to this one of {size}")
    return memoryview(data)[_HEAD.size : -_DIGEST_SIZE]
