"""How the bytes of records lie in a file: in BGZF blocks, or plain. Nothing here knows what a record is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from lake.errors import FormatError
from lake.formats.compression.bgzf import (
    EOF_BLOCK,
    BgzfReader,
    Run,
    block_size_at,
    bulk_runs,
    check_chain,
    compress,
    inflate,
    single_runs,
    split_blocks,
)
from lake.formats.compression.virtual import Range, compile_ranges
from lake.formats.intervals.assembly import BGZF_SHIFT, PLAIN_SHIFT
from lake.formats.reader import ByteReader
from lake.segments import Segment, Span, merge_segments

__all__ = ["BgzfContainer", "Container", "PlainContainer", "check_blocks", "open_container"]

_PIECE = 1 << 16
_BULK = 4 << 20
_OTHERS = {
    b"\x1f\x8b": "plain gzip, not BGZF: recompress it with bgzip",
    b"BZ": "bzip2: recompress it with bgzip",
    b"\x28\xb5": "zstd: recompress it with bgzip",
    b"\xfd7": "xz: recompress it with bgzip",
}
_MAGIC = {b"\x1f\x8b": b"\x1f\x8b\x08", b"BZ": b"BZh", b"\x28\xb5": b"\x28\xb5\x2f\xfd", b"\xfd7": b"\xfd7zXZ\0"}


class Container(Protocol):
    """Inflated bytes by place, and segments of a slice from ranges of places."""

    @property
    def reader(self) -> ByteReader: ...

    @property
    def shift(self) -> int:
        """See `lake.formats.intervals.assembly.Places`."""
        ...

    @property
    def end(self) -> int:
        """The place behind the last record.

        Raises:
            FormatError: nobody can say, since the file may have lost its tail.
        """
        ...

    @property
    def marker(self) -> bytes:
        """What ends every file."""
        ...

    def runs(self, place: int) -> tuple[Iterator[Run], int]:
        """Small runs of inflated bytes to the end of the file, and where the place lies in the first one."""
        ...

    def bulk(self, place: int) -> tuple[Iterator[Run], int]:
        """The same in large runs, made ahead by threads."""
        ...

    def segments(self, ranges: Iterable[Range]) -> tuple[Segment, ...]:
        """Segments that hold exactly the bytes of ranges, which are ordered and disjoint."""
        ...

    def encode(self, data: bytes) -> bytes:
        """Bytes of a slice for inflated ones."""
        ...

    def problems(self, *, whole: bool = False) -> list[str]:
        """What is wrong with the container, one sentence each; reads no more than headers of blocks."""
        ...


class BgzfContainer:
    """Records in BGZF blocks (SAM specification, section 4.1). Safe for use by several threads."""

    shift = BGZF_SHIFT
    marker = EOF_BLOCK

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader
        self.blocks = BgzfReader(reader)

    @property
    def end(self) -> int:
        """
        Raises:
            FormatError: the file lacks its end marker, so that nobody can say what followed.
        """
        if not self.blocks.complete:
            raise FormatError("the BGZF end marker is missing: the file may be truncated, and the answer incomplete")
        return (self.reader.size - len(EOF_BLOCK)) << 16

    def runs(self, place: int) -> tuple[Iterator[Run], int]:
        return single_runs(self.blocks, place >> 16), place & 0xFFFF

    def bulk(self, place: int) -> tuple[Iterator[Run], int]:
        return bulk_runs(self.reader, place >> 16), place & 0xFFFF

    def segments(self, ranges: Iterable[Range]) -> tuple[Segment, ...]:
        return compile_ranges(self.blocks, ranges)

    def encode(self, data: bytes) -> bytes:
        return compress(data)

    def problems(self, *, whole: bool = False) -> list[str]:
        return check_chain(self.reader, whole=whole)


class PlainContainer:
    """Records in the bytes of the file as they are; a place is the offset of a byte."""

    shift = PLAIN_SHIFT
    marker = b""

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader

    @property
    def end(self) -> int:
        return self.reader.size

    def runs(self, place: int) -> tuple[Iterator[Run], int]:
        return self._pieces(place, _PIECE), 0

    def bulk(self, place: int) -> tuple[Iterator[Run], int]:
        return self._pieces(place, _BULK), 0

    def segments(self, ranges: Iterable[Range]) -> tuple[Segment, ...]:
        return merge_segments([Span(self.reader.source, first, last - first) for first, last in ranges])

    def encode(self, data: bytes) -> bytes:
        return data

    def problems(self, *, whole: bool = False) -> list[str]:
        return []

    def _pieces(self, offset: int, size: int) -> Iterator[Run]:
        while offset < self.reader.size:
            data = self.reader.read(offset, size)
            yield Run(data, [offset], [0], offset + len(data))
            offset += len(data)


def open_container(reader: ByteReader) -> Container:
    """The container of a file of text by its first bytes.

    Raises:
        FormatError: compressed in a way that has no blocks of its own.
    """
    head = reader.read(0, 18)
    if block_size_at(reader, 0) is not None:
        return BgzfContainer(reader)
    if head[:2] in _OTHERS and head.startswith(_MAGIC[head[:2]]):
        raise FormatError(f"no regions can be cut out of this file: it is compressed with {_OTHERS[head[:2]]}")
    return PlainContainer(reader)


def check_blocks(chunk: bytes, offset: int) -> None:
    """Inflate the BGZF blocks of a chunk that starts at ``offset`` of its file.

    Raises:
        FormatError: a block does not inflate to what it states, or is not whole.
    """
    end = 0
    for start, size in split_blocks(chunk, offset):
        end = start + size
        inflate(chunk[start:end], offset + start)
    if end != len(chunk):
        raise FormatError(f"no whole BGZF block at {offset + end}; the file is damaged")
