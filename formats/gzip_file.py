"""Anything in gzip: ranges of the bytes that ``gzip -dc`` gives.

Plain gzip is read from access points; BGZF, which is gzip too, from the blocks that hold the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.base import IndexKind
from lake.formats.compression.bgzf import BgzfReader, block_size_at
from lake.formats.compression.containers import check_blocks
from lake.formats.compression.gzi import BLOCK_MAP_KIND, decode_block_map, encode_block_map, map_blocks, read_content
from lake.formats.compression.gzip_access import GZIP_INDEX_KIND, GzipAccess, build_gzip_index
from lake.formats.compression.inflated import container_of, inflate_gzip
from lake.formats.ordinals import merge_runs, parse_byte_ranges
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.region import EVERYTHING, Region
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["GZIP", "GzipFile", "GzipFormat"]

_MEDIA_TYPE = "application/gzip"
_CHECKED_WHOLE = 8 << 20
"""Files up to this size are inflated to the end by `GzipFormat.check`."""
_LITERAL = 1 << 20
"""Bytes up to which a range is read when it is planned."""


class _Access(Protocol):
    """Reads of ranges of a content."""

    @property
    def reader(self) -> ByteReader: ...

    @property
    def size(self) -> int: ...

    def pieces(self, start: int, stop: int) -> Iterator[bytes]: ...


class _BlockAccess:
    """Ranges of the content of a BGZF file; the CRC32 of every block that is read is checked."""

    def __init__(self, reader: ByteReader, index: bytes | None) -> None:
        """
        Raises:
            FormatError: the chain of blocks or the index is damaged, or the end marker is missing.
        """
        self.reader = reader
        self._blocks = BgzfReader(reader)
        if not self._blocks.complete:
            raise FormatError("the BGZF end marker is missing: the file may be truncated, and the answer incomplete")
        self._map = decode_block_map(index, reader.size) if index is not None else map_blocks(reader, prove=True)
        self.size = self._map.size

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        return read_content(self._blocks, self._map, start, stop)


class GzipFile:
    """One gzip file opened for ranges of its content. Safe for use by several threads."""

    def __init__(self, access: _Access) -> None:
        self._access = access

    @property
    def contigs(self) -> dict[str, int]:
        """None: bytes have no places."""
        return {}

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return self._access.size

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Bytes of the content, not compressed: every byte once, in order.

        A query is ``bytes=0-99`` (0-based and closed, as in HTTP; ``100-``, ``-100`` and several divided by commas
        too). Bytes behind the end select nothing. Without regions, or with ``.``: the whole file as it is stored.

        Raises:
            InvalidRegion: not a query, or reversed.
            Unsupported: targets.
            FormatError: the file is damaged where the query must look.
        """
        if targets is not None:
            raise Unsupported("gzip takes no targets file: its bytes have no places")
        reader = self._access.reader
        if not regions or EVERYTHING in regions:
            return Plan(_MEDIA_TYPE, (Span(reader.source, 0, reader.size),), verbatim=True, query=EVERYTHING)
        runs = []
        for text in regions:
            word, equals, value = text.partition("=")
            if word != "bytes" or not equals:
                raise InvalidRegion(f"{text!r} is not a query of a gzip file: write bytes=FIRST-LAST")
            runs += parse_byte_ranges(value, text, self.size)
        chosen = merge_runs(runs, self.size)
        segments = merge_segments([self._segment(start, stop) for start, stop in chosen])
        query = ",".join(f"{start}-{stop}" for start, stop in chosen)
        return Plan("application/octet-stream", segments, verbatim=False, query=query)

    def _segment(self, start: int, stop: int) -> Segment:
        if stop - start <= _LITERAL:
            return Literal(b"".join(self._access.pieces(start, stop)))
        return Stream(lambda: self._access.pieces(start, stop))


class GzipFormat:
    """What a lake knows of gzip (RFC 1952)."""

    name = "gzip"
    media_type = _MEDIA_TYPE
    suffixes = (".gz",)
    planner = "gzip/1"
    encoder = "none"
    indexes = (IndexKind(GZIP_INDEX_KIND, ()), IndexKind(BLOCK_MAP_KIND, ()))
    table_kind = None

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Files of up to 8 MiB are inflated to the end, with their CRC32."""
        if reader.size <= _CHECKED_WHOLE:
            try:
                for _ in inflate_gzip(reader):
                    pass
            except FormatError as error:
                return [str(error)]
        return []

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Making the index checks every CRC32, but the whole file is handed out without an index, too.

        Raises:
            FormatError: a BGZF block of the chunk does not inflate to what it states.
        """
        if block_size_at(BytesReader(chunk), 0) is not None:
            check_blocks(chunk, offset)

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why an index cannot be adopted: a foreign one cannot be trusted with what it holds of the content."""
        return "access points into gzip are made by the lake alone"

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made: not gzip."""
        return "not gzip" if container_of(reader) == "plain" else None

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write access points of the file at ``path`` to ``out``, or a map of its blocks if it is BGZF.

        Raises:
            FormatError: the file is damaged or cut off; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            try:
                if container_of(reader) == "bgzf":
                    out.write_bytes(encode_block_map(map_blocks(reader, prove=True), reader.size))
                    return BLOCK_MAP_KIND
                out.write_bytes(build_gzip_index(reader))
            except FormatError as error:
                raise FormatError(f"cannot be indexed: {error}") from error
        return GZIP_INDEX_KIND

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """There is none.

        Raises:
            Unsupported: always.
        """
        raise Unsupported("gzip needs no table beside its index")

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> GzipFile:
        """Open for queries; without an index the file is read once to make one.

        Raises:
            FormatError: file or index are damaged.
        """
        if container_of(reader) == "bgzf":
            return GzipFile(_BlockAccess(reader, index if kind == BLOCK_MAP_KIND else None))
        return GzipFile(GzipAccess(reader, index if index is not None else build_gzip_index(reader)))


GZIP = GzipFormat()
