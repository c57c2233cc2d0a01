"""BAM: regions compiled into record-exact slices.

The records of a slice are those that ``samtools view -M`` selects, in file order, each once, byte for byte; whole
BGZF blocks are copied untouched, and blocks at the edges are cut at records and compressed anew.
"""

from __future__ import annotations

from pathlib import Path

from lake.errors import FormatError
from lake.formats.alignments.bam_adoption import reason_to_refuse
from lake.formats.alignments.bam_indexing import IndexBuilder, scheme_of
from lake.formats.alignments.bam_source import BamSource
from lake.formats.base import IndexKind
from lake.formats.compression.bgzf import ENCODER, block_size_at, check_chain
from lake.formats.compression.containers import check_blocks
from lake.formats.intervals.batch import begins_sorted
from lake.formats.intervals.binning import parse_index
from lake.formats.intervals.blocks import TABLE_KIND, decode_table, encode_table, tabulate
from lake.formats.intervals.locators import IndexLocator, TableLocator
from lake.formats.intervals.record_file import RecordFile
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader

__all__ = ["BAM", "BamFormat"]

_MEDIA_TYPE = "application/vnd.ga4gh.bam"
_CHECKED_WHOLE = 8 << 20
"""Files up to this size are inflated to the end by `BamFormat.check`, which takes a tenth of a second."""


class BamFormat:
    """What a lake knows of BAM."""

    name = "BAM"
    media_type = _MEDIA_TYPE
    suffixes = (".bam",)
    planner = "bam/1"
    encoder = ENCODER
    indexes = (IndexKind("csi", (".csi", "^.csi")), IndexKind("bai", (".bai", "^.bai")))
    table_kind = TABLE_KIND

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Block chain, end marker and header; files of up to 8 MiB are read whole."""
        problems = check_chain(reader, whole=whole)
        if problems and block_size_at(reader, 0) is None:
            return problems
        try:
            source = BamSource(reader)
            if not problems and reader.size <= _CHECKED_WHOLE:
                for _ in source.walk_all():
                    pass
        except FormatError as error:
            problems.append(str(error))
        return problems

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """
        Raises:
            FormatError: a block of the chunk does not inflate to what it states.
        """
        check_blocks(chunk, offset)

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why the index cannot belong to the file (one sentence), or None when it can be adopted."""
        try:
            return reason_to_refuse(BamSource(reader), parse_index(kind, index), kind)
        except FormatError as error:
            return str(error)

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made: damaged, no contigs, or records out of order among the first ones."""
        try:
            source = BamSource(reader)
            if not source.header.contigs:
                return "the header names no contigs"
            if not begins_sorted(source.walk(source.start)):
                return "the records are not sorted by coordinate"
        except FormatError as error:
            return str(error)
        return None

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write a BAI of the file at ``path`` to ``out``, a CSI where a contig is too long for a BAI.

        One pass over all records makes the index and the block table, which is written to ``table`` where given.

        Raises:
            FormatError: the file cannot be indexed; nothing is written.
        """
        try:
            with PathReader(path) as reader:
                source = BamSource(reader)
                contigs = source.header.contigs
                scheme = scheme_of(max(contigs.values(), default=0))
                builder = IndexBuilder(scheme, len(contigs))
                rows = tabulate(builder.watch(source.scan_all(max(threads, 1))), reader.size)
            index = builder.finish()
        except FormatError as error:
            raise FormatError(f"cannot be indexed: {error}") from error
        out.write_bytes(index)
        if table is not None:
            table.write_bytes(encode_table(rows))
        return scheme.kind

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """The block table, from one pass over all records. The index is not needed.

        Raises:
            FormatError: the file is damaged, or not sorted by coordinate.
        """
        return encode_table(tabulate(BamSource(reader).scan_all(), reader.size))

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> RecordFile:
        """Open for queries: by the table where there is one, else by the index, else by scans.

        Raises:
            FormatError: header, index or table are damaged.
        """
        source = BamSource(reader)
        if table is not None:
            return RecordFile(source, TableLocator(source, decode_table(table, reader.size)), _MEDIA_TYPE)
        if index is not None:
            return RecordFile(source, IndexLocator(source, parse_index(kind or "bai", index)), _MEDIA_TYPE)
        return RecordFile(source, None, _MEDIA_TYPE)


BAM = BamFormat()
