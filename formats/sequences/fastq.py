"""FASTQ, plain, BGZF or plain gzip: reads by number or by name, in the container of the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from isal import isal_zlib

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.base import IndexKind
from lake.formats.compression.bgzf import ENCODER, EOF_BLOCK, check_chain
from lake.formats.compression.gzip_access import GZIP_INDEX_KIND, GzipAccess, GzipAccessContent, build_gzip_index
from lake.formats.compression.inflated import BgzfContent, Content, container_of, open_content
from lake.formats.compression.virtual import compile_ranges
from lake.formats.ordinals import Run, merge_runs, parse_ordinals
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader
from lake.formats.region import EVERYTHING, Region
from lake.formats.sequences.fastq_index import (
    RECORDS_KIND,
    FastqRecords,
    decode_records,
    encode_records,
    first_word,
    index_records,
)
from lake.formats.sequences.fastq_names import NAMES_KIND, NameIndex
from lake.formats.sequences.fastq_records import read_fastq
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["FASTQ", "FastqFile", "FastqFormat", "build_name_index"]

_MEDIA_TYPE = "text/x-fastq"
_CHECKED_WHOLE = 8 << 20
"""Files up to this size are read to the end by `FastqFormat.check`."""


def build_name_index(reader: ByteReader) -> bytes:
    """The index that `FastqFile.with_names` takes, kind ``fastq-names/1``; 8 bytes a read.

    Raises:
        FormatError: the file is malformed or damaged.
    """
    return NameIndex.build(read_fastq(open_content(reader).all())).encode(reader.size)


class FastqFile:
    """One FASTQ opened for queries. Safe for use by several threads."""

    def __init__(self, records: FastqRecords, names: NameIndex | None = None) -> None:
        self._records = records
        self._content = records.content
        self._names = names

    @property
    def contigs(self) -> dict[str, int]:
        """None: reads have no places."""
        return {}

    @property
    def reads(self) -> int:
        """Number of records."""
        return self._records.index.total

    def with_names(self, index: bytes) -> FastqFile:
        """The same file with an index of its read names.

        Raises:
            FormatError: the index is damaged or belongs to another file.
        """
        return FastqFile(self._records, NameIndex.decode(index, self._content.reader.size))

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Compile queries into a plan: every read once, in file order, verbatim, in the container of the file.

        A query is ``reads=1000-2000`` (1-based, closed; several runs divided by commas) or ``name=READ`` (the first
        word of the title). Numbers behind the last read select nothing. Without regions, or with ``.``: the whole file.

        Raises:
            InvalidRegion: not a query, reversed, or no read of that name.
            Unsupported: targets.
            FormatError: file or index are damaged where the query must look.
        """
        if targets is not None:
            raise Unsupported("FASTQ takes no targets file: its reads have no places")
        if not regions or EVERYTHING in regions:
            reader = self._content.reader
            return Plan(self._media_type, (Span(reader.source, 0, reader.size),), verbatim=True, query=EVERYTHING)
        runs: list[Run] = []
        names: dict[bytes, str] = {}
        for text in regions:
            word, equals, value = text.partition("=")
            if word == "reads" and equals:
                runs += parse_ordinals(value, text)
            elif word == "name" and value:
                names[value.encode("utf-8", "surrogateescape")] = text
            else:
                raise InvalidRegion(f"{text!r} is not a query of a FASTQ: write reads=FIRST-LAST or name=READ")
        runs += self._find(names)
        chosen = merge_runs(runs, self.reads)
        query = ",".join(f"{start}-{stop}" for start, stop in chosen)
        return Plan(self._media_type, self._segments(chosen), verbatim=True, query=query)

    @property
    def _media_type(self) -> str:
        return _MEDIA_TYPE if self._content.container == "plain" else "application/gzip"

    def _find(self, names: dict[bytes, str]) -> list[Run]:
        if not names:
            return []
        found: dict[bytes, list[int]] = {name: [] for name in names}
        if self._names is not None:
            for name in names:
                found[name] += self._records.named(self._names.candidates(name), name)
        else:
            logging.getLogger(__name__).warning("no index of names: every read of the file is looked at")
            for batch in read_fastq(self._content.all()):
                bounds = zip(batch.start.tolist(), batch.title_stop.tolist(), strict=True)
                for row, (start, stop) in enumerate(bounds):
                    name = first_word(batch.data[start + 1 : stop])
                    if name in found:
                        found[name].append(batch.number + row)
        for name, numbers in found.items():
            if not numbers:
                raise InvalidRegion(f"no read is called {name.decode('utf-8', 'replace')!r}")
        return [(number, number + 1) for numbers in found.values() for number in numbers]

    def _segments(self, runs: Sequence[Run]) -> tuple[Segment, ...]:
        ranges = [(self._records.address(start), self._records.address(stop)) for start, stop in runs]
        source = self._content.reader.source
        if isinstance(self._content, BgzfContent):
            return merge_segments([*compile_ranges(self._content.blocks, ranges), Literal(EOF_BLOCK)])
        if isinstance(self._content, GzipAccessContent):
            access = self._content.access
            return (Stream(lambda: _gzip(piece for range_ in ranges for piece in access.pieces(*range_))),)
        return merge_segments([Span(source, first, last - first) for first, last in ranges])


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """One gzip member (RFC 1952) without name and time, so that the same reads are the same bytes."""
    member = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    for piece in pieces:
        yield member.compress(piece)
    yield member.flush()


class FastqFormat:
    """What a lake knows of FASTQ."""

    name = "FASTQ"
    media_type = _MEDIA_TYPE
    suffixes = (".fastq.bgz", ".fastq.gz", ".fq.bgz", ".fastq", ".fq.gz", ".fq")
    planner = "fastq/1"
    encoder = ENCODER
    indexes = (IndexKind(RECORDS_KIND, ()),)
    table_kind = GZIP_INDEX_KIND
    names_kind = NAMES_KIND

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """The container's structure; files of up to 8 MiB are read whole, record by record."""
        problems = check_chain(reader, whole=whole) if container_of(reader) == "bgzf" else []
        if not problems and 0 < reader.size <= _CHECKED_WHOLE:
            try:
                index_records(open_content(reader))
            except FormatError as error:
                problems.append(str(error))
        return problems

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Nothing to prove: an index is never adopted, and making one decodes the whole file."""

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why an index cannot be adopted: none is customary for FASTQ."""
        return "record numbers are indexed by the lake alone"

    def indexable(self, reader: ByteReader) -> str | None:
        """Every FASTQ can be indexed."""
        return None

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write the numbers and places of some reads of the file at ``path`` to ``out``.

        Raises:
            FormatError: malformed, with the number of the read, or damaged; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            try:
                out.write_bytes(encode_records(index_records(open_content(reader)), reader.size))
            except FormatError as error:
                raise FormatError(f"cannot be indexed: {error}") from error
        return RECORDS_KIND

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """Access points of a plain gzip file; empty for other containers, whose index says all.

        Raises:
            FormatError: the gzip data is damaged.
        """
        return build_gzip_index(reader) if container_of(reader) == "gzip" else b""

    def build_names(self, reader: ByteReader) -> bytes:
        """The index of read names, 8 bytes a read.

        Raises:
            FormatError: the file is malformed or damaged.
        """
        return build_name_index(reader)

    def open(
        self,
        reader: ByteReader,
        *,
        kind: str | None,
        index: bytes | None,
        table: bytes | None,
        names: bytes | None = None,
    ) -> FastqFile:
        """Open for queries; what is missing of index and table is found by reading the file.

        Raises:
            FormatError: the file is malformed, or index or table are damaged.
        """
        content: Content = open_content(reader)
        if content.container == "gzip":
            content = GzipAccessContent(GzipAccess(reader, table or build_gzip_index(reader)))
        records = decode_records(index, reader.size) if index is not None else index_records(content)
        file = FastqFile(FastqRecords(content, records))
        return file if names is None else file.with_names(names)


FASTQ = FastqFormat()
