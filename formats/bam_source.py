"""A BAM as a source of records: its blocks, its header, and walks from any virtual offset."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from lake.errors import FormatError
from lake.formats.bam_header import BamHeader, read_header
from lake.formats.bgzf import EOF_BLOCK, BgzfReader, bulk_runs, single_runs
from lake.formats.reader import ByteReader
from lake.formats.records import Batch, key_of, read_records

__all__ = ["BamSource"]

_PLACE = struct.Struct("<iii")


class BamSource:
    """Records of one BAM by virtual offset. Safe for use by several threads.

    Raises:
        FormatError: not a BAM, or its header is damaged.
    """

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader
        self.blocks = BgzfReader(reader)
        self.header: BamHeader = read_header(self.blocks)

    @property
    def start(self) -> int:
        """Virtual offset of the first record."""
        return self.header.end

    @property
    def end(self) -> int:
        """Virtual offset behind the last record.

        Raises:
            FormatError: the file lacks its end marker, so that nobody can say what followed.
        """
        if not self.blocks.complete:
            raise FormatError("the BGZF end marker is missing: the file may be truncated, and the answer incomplete")
        return (self.reader.size - len(EOF_BLOCK)) << 16

    def walk(self, first: int, last: int | None = None) -> Iterator[Batch]:
        """Records from virtual offset ``first`` on, to those that start before ``last``, a block or so at once."""
        runs = single_runs(self.blocks, first >> 16)
        for batch in read_records(runs, first & 0xFFFF, len(self.header.contigs)):
            if last is not None and int(batch.last[-1]) >= last:
                count = int(np.searchsorted(batch.first, last, side="left"))
                if count:
                    yield batch._replace(
                        **{name: getattr(batch, name)[:count] for name in Batch._fields if name != "data"}
                    )
                return
            yield batch

    def walk_all(self, threads: int = 2) -> Iterator[Batch]:
        """All records, inflated by several threads, in large batches."""
        runs = bulk_runs(self.reader, self.start >> 16, threads)
        return read_records(runs, self.start & 0xFFFF, len(self.header.contigs))

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
