"""How formats see bytes: a size, and reads of ranges. Nothing here knows where the bytes lie."""

from __future__ import annotations

from typing import Protocol

from lake.digest import Digest, digest_of
from lake.errors import FormatError

__all__ = ["ByteReader", "BytesReader"]


class ByteReader(Protocol):
    """Random access to the bytes of one immutable object."""

    @property
    def source(self) -> Digest:
        """Name of the object, for the spans of a plan."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the object."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly the bytes ``[offset, offset + length)``, clamped at the end of the object."""
        ...


class BytesReader:
    """A `ByteReader` over bytes in memory."""

    def __init__(self, data: bytes, source: Digest | None = None) -> None:
        self._data = data
        self.source = source if source is not None else digest_of(data)
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise FormatError(f"cannot read {length} bytes at {offset}")
        return self._data[offset : offset + length]
