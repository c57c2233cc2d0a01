"""The content of a file, whether it is stored plainly, as BGZF or as plain gzip.

A byte of the content has an address: its offset in plain files and in the inflated bytes of a gzip file, its virtual
offset in BGZF. Addresses only grow, and inside a run they grow by one a byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.bgzf import EOF_BLOCK, BgzfReader, block_size_at, bulk_runs, single_runs
from lake.formats.reader import ByteReader

__all__ = [
    "BgzfContent",
    "Content",
    "GzipContent",
    "Piece",
    "PlainContent",
    "container_of",
    "inflate_gzip",
    "open_content",
]

_PIECE = 2 << 20
_EDGE = 128 << 10
"""Bytes that are read at once where only a few records are wanted."""

I64 = NDArray[np.int64]


class Piece(NamedTuple):
    """Consecutive bytes of a content."""

    data: bytes
    bounds: I64
    """Offsets in ``data`` at which a run of addresses begins; the first is 0."""
    bases: I64
    """Address of the byte at each bound."""

    @classmethod
    def at(cls, data: bytes, address: int) -> Piece:
        """A piece that is one run."""
        return cls(data, np.zeros(1, np.int64), np.array([address], np.int64))


class Content(Protocol):
    """Bytes of a file without their container. Errors are `FormatError`: the file is damaged or cut off."""

    @property
    def reader(self) -> ByteReader: ...

    @property
    def container(self) -> str:
        """``plain``, ``bgzf`` or ``gzip``."""
        ...

    def all(self) -> Iterator[Piece]:
        """Everything in large pieces; ends only where the content is complete."""
        ...

    def after(self, address: int) -> Iterator[Piece]:
        """From an address on, in small pieces."""
        ...

    def end(self, size: int) -> int:
        """Address behind the last byte of a content of ``size`` bytes."""
        ...


def container_of(reader: ByteReader) -> str:
    """``bgzf``, ``gzip`` or ``plain``, by the first bytes."""
    if reader.read(0, 3) != b"\x1f\x8b\x08":
        return "plain"
    return "gzip" if block_size_at(reader, 0) is None else "bgzf"


def open_content(reader: ByteReader) -> Content:
    """The content of a file, by its container."""
    container = container_of(reader)
    if container == "bgzf":
        return BgzfContent(reader)
    return GzipContent(reader) if container == "gzip" else PlainContent(reader)


class PlainContent:
    """A file that is not compressed."""

    container = "plain"

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader

    def all(self) -> Iterator[Piece]:
        return self._read(0, _PIECE)

    def after(self, address: int) -> Iterator[Piece]:
        return self._read(address, _EDGE)

    def end(self, size: int) -> int:
        return size

    def _read(self, offset: int, length: int) -> Iterator[Piece]:
        while offset < self.reader.size:
            data = self.reader.read(offset, length)
            if not data:
                raise FormatError(f"the file ends at {offset}, before its {self.reader.size} bytes")
            yield Piece.at(data, offset)
            offset += len(data)


class BgzfContent:
    """A file in BGZF blocks."""

    container = "bgzf"

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader
        self.blocks = BgzfReader(reader)

    def all(self) -> Iterator[Piece]:
        self.end(0)
        for run in bulk_runs(self.reader, 0):
            yield Piece(run.data, np.array(run.bounds, np.int64), np.array(run.coffsets, np.int64) << 16)

    def after(self, address: int) -> Iterator[Piece]:
        inside = address & 0xFFFF
        for run in single_runs(self.blocks, address >> 16):
            if inside > len(run.data):
                raise FormatError(f"the BGZF block at {address >> 16} is shorter than {inside} bytes: index damaged")
            yield Piece.at(run.data[inside:], (run.coffsets[0] << 16) + inside)
            inside = 0

    def end(self, size: int) -> int:
        if not self.blocks.complete:
            raise FormatError("the BGZF end marker is missing: the file may be truncated, and the answer incomplete")
        return (self.reader.size - len(EOF_BLOCK)) << 16


class GzipContent:
    """A gzip file of any number of members, read from its start: other places are for `gzip_access`."""

    container = "gzip"

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader

    def all(self) -> Iterator[Piece]:
        offset = 0
        for data in inflate_gzip(self.reader):
            yield Piece.at(data, offset)
            offset += len(data)

    def after(self, address: int) -> Iterator[Piece]:
        start = 0
        for piece in self.all():
            if start + len(piece.data) > address:
                skip = max(address - start, 0)
                yield Piece.at(piece.data[skip:], start + skip)
            start += len(piece.data)

    def end(self, size: int) -> int:
        return size


def inflate_gzip(reader: ByteReader) -> Iterator[bytes]:
    """All bytes of a gzip file (RFC 1952), member after member, in pieces of at most 2 MiB.

    Zeros behind the last member are padding, as for ``gzip -dc``.

    Raises:
        FormatError: damaged, cut off, or followed by something else.
    """
    member = isal_zlib.decompressobj(wbits=31)
    offset, rest, begun = 0, b"", False
    while True:
        if not rest:
            rest = reader.read(offset, _PIECE >> 2)
            offset += len(rest)
            if not rest:
                break
        if not begun and offset > len(rest) and not rest.strip(b"\0"):
            rest = b""
            continue
        begun = True
        try:
            data = member.decompress(rest, _PIECE)
        except isal_zlib.error as error:  # type: ignore[misc]  # the stub has it as an instance
            raise FormatError(f"the gzip data before {offset} cannot be inflated ({error}): damaged") from error
        if data:
            yield data
        rest = member.unused_data if member.eof else member.unconsumed_tail
        if member.eof:
            member, begun = isal_zlib.decompressobj(wbits=31), False
    if begun or offset == 0:
        raise FormatError("the gzip data is cut off at the end of the file")
