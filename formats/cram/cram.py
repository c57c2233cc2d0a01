"""CRAM 2.1, 3.0 and 3.1: regions compiled into record-exact slices.

The records of a slice are those that ``samtools view -M`` selects, in file order, each once. Whole containers are
copied untouched; those at the edges are decoded, trimmed, and encoded anew in the version of the file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from lake.digest import Digest
from lake.errors import FormatError
from lake.formats.base import IndexKind
from lake.formats.cram.edges import ENCODER, Chooser, cut_container
from lake.formats.cram.source import CramSource, prove_block, walk_blocks, walk_containers
from lake.formats.cram.survey import exact_rows, reason_to_refuse, required_references, survey
from lake.formats.cram.table import (
    TABLE_KIND,
    Piece,
    SliceTable,
    decode_table,
    encode_table,
    from_crai,
    make_table,
    to_crai,
)
from lake.formats.outline import Gap, Outline
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.references import References, RequiredReference
from lake.formats.region import Region, Selection, select
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["CRAM", "CramFile", "CramFormat"]

_MEDIA_TYPE = "application/vnd.ga4gh.cram"
_CHECKED_WHOLE = 8 << 20
"""Files up to this size are compared with their checksums by `CramFormat.check`."""
_CUT_AT_ONCE = 8
"""Containers that are cut while a plan is made; more of them are cut while the answer is read."""
_BYTES_AT_ONCE = 64 << 20
_EFFORT_OF_CUT = 100


class CramFile:
    """One CRAM opened for region queries: a `lake.formats.outline.PartedFile`. Safe for use by several threads.

    Places are offsets of containers.
    """

    def __init__(self, source: CramSource, table: SliceTable, references: References | None) -> None:
        self._source = source
        self._table = table if table.exact else table.widened(sorted_by_place=source.sorted_by_place)
        self._references = references
        self._judged: dict[int, SliceTable] = {}
        self.media_type = _MEDIA_TYPE

    @property
    def contigs(self) -> dict[str, int]:
        """Length in bases by contig name, in the order of the header."""
        return self._source.contigs

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Compile regions (samtools notation) into a plan: every record once, in file order.

        Without regions and targets: the whole file. ``targets`` (of a BED file) narrow the regions to what both
        select, as ``samtools view -M -L`` does; alone, they are the regions.

        Raises:
            InvalidRegion: cannot be parsed, unknown contig, reversed.
            FormatError: the file is damaged where the query must look, or needs a reference that is missing.
        """
        selection = select(regions, targets, self.contigs)
        reader = self._source.reader
        if selection.everything:
            _ = self._source.end  # A file that may have lost its tail is not the whole file.
            return Plan(_MEDIA_TYPE, (Span(reader.source, 0, reader.size),), verbatim=True, query=selection.canonical)
        pieces = self._pieces(selection)
        segments = merge_segments([*self.header, *self._body(pieces, selection), self.marker])
        return Plan(_MEDIA_TYPE, segments, verbatim=all(piece.whole for piece in pieces), query=selection.canonical)

    def _pieces(self, selection: Selection) -> list[Piece]:
        """Containers with selected records; the same whatever the table was made from."""
        pieces = self._table.pieces(selection)
        if self._table.exact:
            return pieces
        found: list[Piece] = []
        for piece in pieces:
            found += [piece] if piece.whole else self._judge(piece).pieces(selection)
        return found

    def _judge(self, piece: Piece) -> SliceTable:
        """The exact table of one container, decoded the first time."""
        table = self._judged.get(piece.offset)
        if table is None:
            container = self._source.container(piece.offset)
            rows = exact_rows(self._source, container, self._source.slices(container))
            table = make_table(rows, self._table.size, piece.end, exact=True)
            self._judged[piece.offset] = table
        return table

    def _body(self, pieces: list[Piece], selection: Selection) -> Iterator[Segment]:
        chooser = Chooser(selection)
        edges = [piece for piece in pieces if not piece.whole]
        late = len(edges) > _CUT_AT_ONCE or sum(piece.end - piece.offset for piece in edges) > _BYTES_AT_ONCE
        if late:
            logging.getLogger(__name__).warning("%d containers must be decoded while the answer is read", len(edges))
        for piece in pieces:
            if piece.whole:
                yield Span(self._source.reader.source, piece.offset, piece.end - piece.offset)
            elif late:
                yield Stream(lambda piece=piece: iter([self._cut(piece, chooser)]))  # type: ignore[misc]
            else:
                yield Literal(self._cut(piece, chooser))

    def _cut(self, piece: Piece, chooser: Chooser) -> bytes:
        return cut_container(self._source, self._source.container(piece.offset), chooser, self._references)

    @cached_property
    def header(self) -> tuple[Segment, ...]:
        return (Span(self._source.reader.source, 0, self._source.body),)

    @cached_property
    def marker(self) -> Span:
        return Span(self._source.reader.source, self._source.end, len(self._source.marker))

    def query(self, selection: Selection) -> str:
        return selection.canonical

    def effort(self, selection: Selection) -> int:
        """To cut a container takes as long as to inflate some hundred blocks."""
        if selection.everything:
            return 0
        return _EFFORT_OF_CUT * sum(not piece.whole for piece in self._table.pieces(selection))

    def body(self, selection: Selection, first: int = 0, stop: int | None = None) -> tuple[Segment, ...]:
        if selection.everything:
            return (Span(self._source.reader.source, self._source.body, self._source.end - self._source.body),)
        pieces = self._pieces(selection)
        last = self._source.end if stop is None else stop
        inside = [piece for piece in pieces if first <= piece.offset and piece.end <= last]
        return merge_segments(list(self._body(inside, selection)))

    def cover(self, selection: Selection) -> tuple[Segment, ...]:
        if selection.everything:
            return self.body(selection)
        source = self._source.reader.source
        pieces = self._table.pieces(selection)
        return merge_segments([Span(source, piece.offset, piece.end - piece.offset) for piece in pieces])

    def outline(self, selection: Selection) -> Outline | None:
        if not self._table.exact or selection.everything:
            return None
        source = self._source.reader.source
        return tuple(
            Span(source, piece.offset, piece.end - piece.offset)
            if piece.whole
            else Gap(piece.offset, piece.end, self._table.narrowed(selection, piece))
            for piece in self._table.pieces(selection)
        )

    def windows(self, selection: Selection) -> list[Gap]:
        return [Gap(0, None, selection)]


class CramFormat:
    """What a lake knows of CRAM."""

    name = "CRAM"
    media_type = _MEDIA_TYPE
    suffixes = (".cram",)
    planner = "cram/1"
    indexes = (IndexKind("crai", (".crai", "^.crai")),)
    table_kind = TABLE_KIND

    @cached_property
    def encoder(self) -> str:
        """What writes the bytes of edges, with the version of htslib that does so."""
        from pysam.version import __htslib_version__

        return f"{ENCODER} htslib-{__htslib_version__}"

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Header, end marker and the chain of containers; the checksums of files of up to 8 MiB."""
        try:
            source = CramSource(reader)
            for container in source.containers():
                if reader.size <= _CHECKED_WHOLE:
                    for block in source.blocks(container):
                        prove_block(reader, source.major, block)
        except FormatError as error:
            return [str(error)]
        return []

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """
        Raises:
            FormatError: the chunk is not of whole containers whose blocks have the checksums that they state.
        """
        reader = BytesReader(chunk, Digest("0" * 64))
        if offset == 0:
            source = CramSource(reader)
            _prove(reader, source.major, source.body)
            return
        try:
            _prove(reader, 3, 0)
        except FormatError as error:
            # A chunk does not tell its version. Without checksums, as in 2.1, its containers must fit all the same.
            try:
                _prove(reader, 2, 0)
            except FormatError:
                raise FormatError(f"in the chunk at {offset}: {error}") from error

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why the index cannot belong to the file (one sentence), or None when it can be adopted."""
        try:
            source = CramSource(reader)
            return reason_to_refuse(source, from_crai(index, reader.size, source.end))
        except FormatError as error:
            return str(error)

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made: damaged, or slices out of order."""
        try:
            return None if survey(CramSource(reader)).sorted else "the records are not sorted by coordinate"
        except FormatError as error:
            return str(error)

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write a CRAI of the file at ``path`` to ``out``.

        Raises:
            FormatError: the file cannot be indexed; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            slices = survey(CramSource(reader))
        if not slices.sorted:
            raise FormatError("cannot be indexed: the records are not sorted by coordinate")
        out.write_bytes(to_crai(slices))
        return "crai"

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """The slice table from all records, and on the way every checksum of the file. The index is not needed.

        Raises:
            FormatError: the file is damaged.
        """
        return encode_table(survey(CramSource(reader), exact=True))

    def open(
        self,
        reader: ByteReader,
        *,
        kind: str | None,
        index: bytes | None,
        table: bytes | None,
        references: References | None = None,
    ) -> CramFile:
        """Open for queries: by the table where there is one, else by the index, else by the file's own headers.

        Raises:
            FormatError: header, index or table are damaged, or the file lacks its end marker.
        """
        source = CramSource(reader)
        if table is not None:
            return CramFile(source, decode_table(table, reader.size), references)
        if index is not None:
            return CramFile(source, from_crai(index, reader.size, source.end), references)
        return CramFile(source, survey(source), references)

    def required_references(self, reader: ByteReader) -> list[RequiredReference]:
        """Sequences without which not all records can be decoded, in header order.

        Raises:
            FormatError: the file is damaged.
        """
        return required_references(CramSource(reader))


def _prove(reader: ByteReader, major: int, start: int) -> None:
    for container in walk_containers(reader, major, start, reader.size):
        for block in walk_blocks(reader, major, container):
            prove_block(reader, major, block)


CRAM = CramFormat()
