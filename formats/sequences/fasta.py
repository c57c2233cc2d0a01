"""FASTA, plain or BGZF: regions of sequences, as ``samtools faidx`` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.base import IndexKind
from lake.formats.compression.bgzf import ENCODER, check_chain
from lake.formats.compression.gzi import (
    BLOCK_MAP_KIND,
    decode_block_map,
    encode_block_map,
    map_blocks,
    reason_to_refuse_gzi,
)
from lake.formats.compression.inflated import container_of, open_content
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader
from lake.formats.region import EVERYTHING, UNPLACED, Region, parse_region
from lake.formats.sequences.fai_build import build_fai
from lake.formats.sequences.faidx import FaiRecord, encode_fai, parse_fai, same_places
from lake.formats.sequences.fasta_source import FastaSource
from lake.segments import Literal, Plan, Segment, Span, Stream, merge_segments

__all__ = ["FASTA", "FastaFile", "FastaFormat"]

_MEDIA_TYPE = "text/x-fasta"
_WRAP = 60
"""Bases a line in the output of ``samtools faidx``."""
_LITERAL = 1 << 20
"""Bases up to which a region is worked out when it is planned."""


class FastaFile:
    """One FASTA opened for region queries. Safe for use by several threads."""

    def __init__(self, source: FastaSource, container: str) -> None:
        self._source = source
        self._container = container

    @cached_property
    def contigs(self) -> dict[str, int]:
        """Bases by name of the sequence, in file order."""
        return {name: record.length for name, record in self._source.records.items()}

    def fetch(self, name: str, start: int, stop: int) -> bytes:
        """The bases ``[start, stop)`` of a sequence as they are written, 0-based and half-open, without line ends.

        Raises:
            InvalidRegion: no such sequence, or not all of these bases are in it.
            FormatError: the file is damaged there.
        """
        return self._source.fetch(name, start, stop)

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Sequences of the regions, in the order in which they are asked, as often as they are asked.

        Each is headed by ``>`` and the region as it was written, and wrapped at 60 bases: not verbatim, as with
        ``samtools faidx``. Without regions, or with ``.``: the whole file, verbatim.

        Raises:
            InvalidRegion: cannot be parsed, unknown sequence, reversed.
            Unsupported: targets.
            FormatError: file or index are damaged where the query must look.
        """
        if targets is not None:
            raise Unsupported("FASTA takes no targets file: name the regions")
        contigs = self.contigs
        whole = not regions or (EVERYTHING in regions and EVERYTHING not in contigs)
        if whole:
            reader = self._source.reader
            media_type = _MEDIA_TYPE if self._container == "plain" else "application/gzip"
            return Plan(media_type, (Span(reader.source, 0, reader.size),), verbatim=True, query=".")
        segments: list[Segment] = []
        for text in regions:
            if text == UNPLACED and UNPLACED not in contigs:
                raise InvalidRegion("'*' selects reads without a position: a FASTA has sequences only")
            region = parse_region(text, contigs)
            length = contigs[region.contig]
            stop = length if region.stop is None else min(region.stop, length)
            segments.append(Literal(f">{text}\n".encode("utf-8", "surrogateescape")))
            segments.extend(self._sequence(region.contig, min(region.start, stop), stop))
        return Plan(_MEDIA_TYPE, merge_segments(segments), verbatim=False, query=";".join(regions))

    def _sequence(self, name: str, start: int, stop: int) -> Iterator[Segment]:
        if start == stop:
            return
        record = self._source.records[name]
        wrapped = (record.line_bases, record.line_bytes) == (_WRAP, _WRAP + 1)
        if self._container == "plain" and wrapped and start % _WRAP == 0:
            first, last = self._source.place(name, start, stop)
            yield Span(self._source.reader.source, first, last - first)
            yield Literal(b"\n")
        elif stop - start <= _LITERAL:
            yield Literal(b"".join(self._wrap(name, start, stop)))
        else:
            yield Stream(lambda: self._wrap(name, start, stop))

    def _wrap(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        rest = b""
        for piece in self._source.pieces(name, start, stop):
            bases = rest + piece
            lines = len(bases) // _WRAP
            text = np.full((lines, _WRAP + 1), 10, np.uint8)
            text[:, :_WRAP] = np.frombuffer(bases, np.uint8, lines * _WRAP).reshape(lines, _WRAP)
            yield text.tobytes()
            rest = bases[lines * _WRAP :]
        if rest:
            yield rest + b"\n"


def _scan(reader: ByteReader) -> list[FaiRecord]:
    return build_fai(piece.data for piece in open_content(reader).all())


class FastaFormat:
    """What a lake knows of FASTA."""

    name = "FASTA"
    media_type = _MEDIA_TYPE
    suffixes = (".fasta.gz", ".fna.gz", ".fasta", ".fa.gz", ".fna", ".ffn", ".faa", ".frn", ".fa")
    planner = "fasta/1"
    encoder = ENCODER
    indexes = (IndexKind("fai", (".fai",)),)
    table_kind = BLOCK_MAP_KIND

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """The block chain and the end marker of BGZF."""
        return check_chain(reader, whole=whole) if container_of(reader) == "bgzf" else []

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Nothing to prove: bases come from blocks whose CRC32 is checked, or from plain text."""

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why a ``fai`` or ``gzi`` cannot be adopted (one sentence), or None when it says what the file says.

        The file is scanned, at about the speed at which it can be hashed: no cheaper look finds a line that is off.
        """
        try:
            if kind == "gzi":
                return reason_to_refuse_gzi(map_blocks(reader), index)
            known = parse_fai(index)
            if not same_places(known, _scan(reader)):
                return "the .fai is not what the file says: stale, or of another file"
        except FormatError as error:
            return str(error)
        return None

    def indexable(self, reader: ByteReader) -> str | None:
        """Why no index can be made: plain gzip has no blocks to go to."""
        if container_of(reader) == "gzip":
            return "FASTA compressed with plain gzip, not BGZF, cannot be indexed: recompress it with bgzip"
        return None

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write a FAI of the file at ``path`` to ``out``.

        Raises:
            FormatError: not FASTA, damaged, or its lines are of different lengths; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            try:
                out.write_bytes(encode_fai(_scan(reader)))
            except FormatError as error:
                raise FormatError(f"cannot be indexed: {error}") from error
        return "fai"

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """Which block holds which bytes, from the headers of all blocks; empty for plain files.

        Raises:
            FormatError: the chain of blocks is broken.
        """
        if container_of(reader) != "bgzf":
            return b""
        return encode_block_map(map_blocks(reader), reader.size)

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> FastaFile:
        """Open for queries; what is missing of index and table is found by reading the file.

        Raises:
            FormatError: the file cannot be indexed, or index or table are damaged.
        """
        container = container_of(reader)
        if (reason := self.indexable(reader)) is not None:
            raise FormatError(reason)
        records = parse_fai(index) if index is not None else _scan(reader)
        blocks = None
        if container == "bgzf":
            blocks = decode_block_map(table, reader.size) if table else map_blocks(reader)
        return FastaFile(FastaSource(reader, records, blocks), container)


FASTA = FastaFormat()
