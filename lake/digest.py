"""Content digests: BLAKE3-256, 64 lower-case hexadecimal digits, written ``b3:<hex>`` where the kind must show."""

from __future__ import annotations

import re
from typing import NewType

from blake3 import blake3

from lake.errors import InvalidInput

__all__ = ["Digest", "digest_of", "parse_digest"]

Digest = NewType("Digest", str)
"""64 lower-case hexadecimal digits of the BLAKE3-256 hash of an object's bytes."""

_PATTERN = re.compile(r"(?:b3:)?([0-9a-f]{64})")


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """Digest of bytes in memory."""
    return Digest(blake3(data).hexdigest())


def parse_digest(text: str) -> Digest:
    """Digest from ``<hex>`` or ``b3:<hex>``; upper case is accepted.

    Raises:
        InvalidInput: not 64 hexadecimal digits.
    """
    match = _PATTERN.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidInput(f"not a digest: {text!r}: wanted 64 hexadecimal digits, or b3: and 64 digits")
    return Digest(match.group(1))
