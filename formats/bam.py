"""BAM: regions compiled into record-exact slices.

The records of a slice are those that ``samtools view -M`` selects, in file order, each once, byte for byte; whole
BGZF blocks are copied untouched, and blocks at the edges are cut at records and compressed anew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from lake.errors import FormatError
from lake.formats.adoption import reason_to_refuse
from lake.formats.bam_source import BamSource
from lake.formats.base import IndexKind
from lake.formats.bgzf import ENCODER, EOF_BLOCK, block_size_at, check_chain, inflate, split_blocks
from lake.formats.binning import parse_index
from lake.formats.blocks import TABLE_KIND, decode_table, encode_table, tabulate
from lake.formats.indexing import IndexBuilder, scheme_of
from lake.formats.locators import IndexLocator, Locator, TableLocator
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader
from lake.formats.region import Region, Selection, intersect, merge_regions, parse_region
from lake.formats.scanning import scan
from lake.formats.virtual import compile_ranges, merge_ranges
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["BAM", "BamFile", "BamFormat"]

_MEDIA_TYPE = "application/vnd.ga4gh.bam"
_CHECKED_WHOLE = 8 << 20
"""Files up to this size are inflated to the end by `BamFormat.check`, which takes a tenth of a second."""

_RECORDS_SAMPLED = 50_000


class BamFile:
    """One BAM opened for region queries. Safe for use by several threads."""

    def __init__(self, source: BamSource, locator: Locator | None) -> None:
        self._source = source
        self._locator = locator

    @property
    def contigs(self) -> dict[str, int]:
        """Length in bases by contig name, in the order of the header."""
        return self._source.header.contigs

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Compile regions (samtools notation) into a plan: every record once, in file order.

        Without regions and targets: the whole file. ``targets`` (of a BED file) narrow the regions to what both
        select, as ``samtools view -M -L`` does; alone, they are the regions.

        Raises:
            InvalidRegion: cannot be parsed, unknown contig, reversed.
            FormatError: the file or the index is damaged where the query must look.
        """
        contigs = self.contigs
        if regions or targets is None:
            selection = merge_regions([parse_region(text, contigs) for text in regions], contigs)
            if not regions:
                selection = Selection((), everything=True)
            if targets is not None:
                selection = intersect(selection, merge_regions(targets, contigs))
        else:
            selection = merge_regions(targets, contigs)
        return Plan(_MEDIA_TYPE, self._segments(selection), verbatim=True, query=selection.canonical)

    def _segments(self, selection: Selection) -> tuple[Segment, ...]:
        source = self._source
        if selection.everything:
            _ = source.end  # A file that may have lost its tail is not the whole file.
            return (Span(source.reader.source, 0, source.reader.size),)
        body: list[Segment] = []
        if self._locator is not None:
            ranges = [found for interval in selection.intervals for found in self._locator.overlapping(interval)]
            if selection.unplaced:
                ranges.append(self._locator.unplaced())
            body.extend(compile_ranges(source.blocks, merge_ranges(ranges)))
        elif selection.intervals or selection.unplaced:
            logging.getLogger(__name__).warning("no index: every record of the file is read to find those of a region")
            _ = source.end
            body.append(Stream(lambda: scan(source, selection)))
        return merge_segments([*self._header, *body, Literal(EOF_BLOCK)])

    @cached_property
    def _header(self) -> tuple[Segment, ...]:
        return compile_ranges(self._source.blocks, [(0, self._source.start)])


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
        end = 0
        for start, size in split_blocks(chunk, offset):
            end = start + size
            inflate(chunk[start:end], offset + start)
        if end != len(chunk):
            raise FormatError(f"no whole BGZF block at {offset + end}; the file is damaged")

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
            seen, last = 0, -1
            for batch in source.walk(source.start):
                keys = batch.key
                if int(keys[0]) < last or bool((keys[1:] < keys[:-1]).any()):
                    return "the records are not sorted by coordinate"
                last = int(keys[-1])
                seen += len(keys)
                if seen >= _RECORDS_SAMPLED:
                    break
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
                rows = tabulate(builder.watch(source.walk_all(max(threads, 1))), reader.size)
            index = builder.finish()
        except FormatError as error:
            raise FormatError(f"{path.name} cannot be indexed: {error}") from error
        out.write_bytes(index)
        if table is not None:
            table.write_bytes(encode_table(rows))
        return scheme.kind

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """The block table, from one pass over all records. The index is not needed.

        Raises:
            FormatError: the file is damaged, or not sorted by coordinate.
        """
        return encode_table(tabulate(BamSource(reader).walk_all(), reader.size))

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> BamFile:
        """Open for queries: by the table where there is one, else by the index, else by scans.

        Raises:
            FormatError: header, index or table are damaged.
        """
        source = BamSource(reader)
        if table is not None:
            return BamFile(source, TableLocator(source, decode_table(table, reader.size)))
        if index is not None:
            return BamFile(source, IndexLocator(source, parse_index(kind or "bai", index)))
        return BamFile(source, None)


BAM = BamFormat()
