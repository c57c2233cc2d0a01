"""What the formats of spectra have in common: a pass makes the table, and that answers all queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lake.errors import FormatError, Unsupported
from lake.formats.base import IndexKind
from lake.formats.compression.bgzf import ENCODER
from lake.formats.compression.gzi import BLOCK_MAP_KIND, encode_block_map, map_blocks
from lake.formats.compression.gzip_access import GZIP_INDEX_KIND, build_gzip_index
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader
from lake.formats.region import EVERYTHING, Region
from lake.formats.spectra.content import MEDIA_TYPES, compression_of, content_reader
from lake.formats.spectra.query import SpectrumQuery, parse_query
from lake.formats.spectra.source import SpectrumSource
from lake.formats.spectra.table import RunTable
from lake.formats.spectra.table_codec import TABLE_KIND, decode_run, encode_run
from lake.segments import Plan, Span

__all__ = ["RunFile", "RunFormat", "Stored", "scan_file"]

_CHECKED_WHOLE = 8 << 20
"""Files up to this size are read to the end by `RunFormat.check`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of spectra and what is known of it."""

    reader: ByteReader
    """The file as it is stored."""
    content: ByteReader
    """What that holds, to which the offsets of the table refer; ``reader`` itself where it is not compressed."""
    run: RunTable


@dataclass(frozen=True, slots=True)
class RunFile:
    """One file of spectra opened for queries. Safe for use by several threads."""

    stored: Stored
    source: SpectrumSource
    media_type: str
    slice: Callable[[Stored, SpectrumQuery], Plan]

    @property
    def contigs(self) -> dict[str, int]:
        """None: spectra have no places on a genome."""
        return {}

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Compile regions into a plan: every spectrum once, in file order, a valid file of the same format.

        Regions are conditions on spectra, see `lake.formats.spectra.query`. Without any, or with ``.``: the whole file.

        Raises:
            InvalidRegion: not a condition, or no spectrum has an id that is asked for.
            Unsupported: targets.
            FormatError: the file is damaged where the query must look.
        """
        if targets is not None:
            raise Unsupported("spectra take no targets file: they have no places on a genome")
        query = parse_query(regions)
        if query.everything:
            whole = Span(self.stored.reader.source, 0, self.stored.reader.size)
            return Plan(self.media_type, (whole,), verbatim=True, query=EVERYTHING)
        return self.slice(self.stored, query)


@dataclass(frozen=True)
class RunFormat:
    """A `lake.formats.base.RegionFormat` of files of spectra, plain or in gzip, BGZF or bzip2."""

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    planner: str
    scan: Callable[[ByteReader], RunTable]
    """Makes the table of a content; raises `FormatError` where that is damaged."""
    slice: Callable[[Stored, SpectrumQuery], Plan]
    """Plans a slice, for a query that does not select everything."""
    points: Callable[[ByteReader, RunTable], SpectrumSource]
    encoder: str = ENCODER
    indexes: tuple[IndexKind, ...] = (IndexKind(TABLE_KIND, ()),)
    table_kind: str | None = GZIP_INDEX_KIND

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Files of up to 8 MiB are read to the end."""
        if 0 < reader.size <= _CHECKED_WHOLE:
            try:
                scan_file(self.scan, reader)
            except FormatError as error:
                return [str(error)]
        return []

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Nothing to prove: making the table reads the whole file, and gzip has checksums."""

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why an index cannot be adopted: tables of spectra are made by the lake alone."""
        return "spectra are indexed by the lake alone"

    def indexable(self, reader: ByteReader) -> str | None:
        """Every file of spectra can be indexed."""
        return None

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write the table of spectra of the file at ``path`` to ``out``.

        Raises:
            FormatError: malformed or damaged; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            try:
                access = self.build_table(reader, None)
                out.write_bytes(encode_run(self.scan(self._content(reader, access)), reader.size))
            except FormatError as error:
                raise FormatError(f"cannot be indexed: {error}") from error
            if table is not None:
                table.write_bytes(access)
        return TABLE_KIND

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """Access points of gzip, or the block map of BGZF; empty for other files.

        Raises:
            FormatError: the compressed data is damaged.
        """
        compression = compression_of(reader)
        if compression == "bgzf":
            return encode_block_map(map_blocks(reader, prove=True), reader.size)
        return build_gzip_index(reader) if compression == "gzip" else b""

    def _content(self, reader: ByteReader, access: bytes | None) -> ByteReader:
        kind = BLOCK_MAP_KIND if compression_of(reader) == "bgzf" else GZIP_INDEX_KIND
        return content_reader(reader, kind, access or None)

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> RunFile:
        """Open for queries; what is missing of index and table is found by reading the file.

        Raises:
            FormatError: the file is malformed, or index or table are damaged.
        """
        content = self._content(reader, table)
        run = decode_run(index, reader.size) if index is not None else self.scan(content)
        media_type = MEDIA_TYPES.get(compression_of(reader), self.media_type)
        return RunFile(Stored(reader, content, run), self.points(content, run), media_type, self.slice)


def scan_file(scan: Callable[[ByteReader], RunTable], reader: ByteReader) -> RunTable:
    """The table of a file that may be compressed.

    Raises:
        FormatError: malformed or damaged.
    """
    return scan(content_reader(reader))
