"""A BAM as a source of records: its blocks, its header, and walks from any virtual offset."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lake.errors import FormatError
from lake.formats.alignments.bam_header import BamHeader, read_header
from lake.formats.alignments.bam_records import BamCodec
from lake.formats.compression.bgzf import bulk_runs
from lake.formats.compression.containers import BgzfContainer
from lake.formats.intervals.assembly import BGZF_SHIFT, assemble
from lake.formats.intervals.batch import NO_CONTIG, Batch, key_of
from lake.formats.intervals.source import RecordSource
from lake.formats.reader import ByteReader

__all__ = ["BamSource"]

_PLACE = struct.Struct("<iii")


class BamSource(RecordSource):
    """Records of one BAM by virtual offset. Safe for use by several threads.

    Raises:
        FormatError: not a BAM, or its header is damaged.
    """

    unplaced = True

    def __init__(self, reader: ByteReader) -> None:
        container = BgzfContainer(reader)
        super().__init__(container)
        self.blocks = container.blocks
        self.header: BamHeader = read_header(self.blocks)
        if len(self.header.contigs) >= NO_CONTIG:
            raise FormatError(f"the header names {len(self.header.contigs)} contigs: more than {NO_CONTIG - 1}")

    @property
    def contigs(self) -> dict[str, int]:
        """Length in bases by name, in the order of the header."""
        return self.header.contigs

    @property
    def start(self) -> int:
        """Virtual offset of the first record."""
        return self.header.end

    def codec(self) -> BamCodec:
        return BamCodec(len(self.header.contigs))

    def scan_all(self, threads: int = 2) -> Iterator[Batch]:
        """All records, in batches whose data may be views: for those who want nothing but the arrays, fast."""
        runs = bulk_runs(self.reader, self.start >> 16, threads, views=True)
        codec = BamCodec(len(self.header.contigs), views=True)
        return assemble(runs, self.start & 0xFFFF, codec, BGZF_SHIFT)

    def peek(self, at: int) -> int | None:
        """Key (see `key_of`) of the record at a virtual offset; None at the end of the file.

        Raises:
            FormatError: no record of this header can start there.
        """
        coffset, inside = at >> 16, at & 0xFFFF
        block = self.blocks.block(coffset)
        if inside > len(block.data):
            raise FormatError(f"the BGZF block at {coffset} is shorter than {inside} bytes: index damaged")
        head = block.data[inside : inside + _PLACE.size]
        while len(head) < _PLACE.size and block.next != coffset:
            coffset = block.next
            block = self.blocks.block(coffset)
            head += block.data[: _PLACE.size - len(head)]
        if not head:
            return None
        if len(head) < _PLACE.size:
            raise FormatError("the file ends inside a record: it is truncated, or its index is damaged")
        size, tid, pos = _PLACE.unpack(head)
        if size < 32 or not -1 <= tid < len(self.header.contigs) or pos < -1:
            raise FormatError(f"no record starts at byte {at & 0xFFFF} of the BGZF block at {at >> 16}: index damaged")
        return key_of(tid, pos)
