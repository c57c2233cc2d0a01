"""Where the records of an interval lie in a sorted BAM: by the block table, or by a BAI or CSI alone.

Sorted, the records that overlap ``[start, stop)`` are those from the first one at or behind ``start`` to the first
one at or behind ``stop``, all of them, and before them some that start left of ``start`` and reach over it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from lake.errors import FormatError
from lake.formats.bam_source import BamSource
from lake.formats.binning import BinningIndex, Chunks
from lake.formats.blocks import BlockTable
from lake.formats.records import Batch, key_of
from lake.formats.region import UNBOUNDED, Interval
from lake.formats.virtual import Range

__all__ = ["IndexLocator", "Locator", "TableLocator"]


class Locator(Protocol):
    """Finds records. Errors are `FormatError`: file or index are damaged where one had to look."""

    def overlapping(self, interval: Interval) -> list[Range]:
        """Ranges of all records that overlap the interval, as ``samtools view`` selects them."""
        ...

    def unplaced(self) -> Range:
        """The range of the records without a contig."""
        ...


def _reaching(batch: Batch, tid: int, start: int) -> list[Range]:
    """Records of a contig that start left of ``start`` and end behind it."""
    found = np.flatnonzero((batch.end > start) & (batch.pos < start) & (batch.tid == tid))
    return list(zip(batch.first[found].tolist(), batch.last[found].tolist(), strict=True))


class TableLocator:
    """Binary search in the block table; only blocks that must be cut are inflated."""

    def __init__(self, source: BamSource, table: BlockTable) -> None:
        self._source = source
        self._table = table

    def overlapping(self, interval: Interval) -> list[Range]:
        tid, start, stop = interval
        row = self._table.row_at(tid, start)
        ranges: list[Range] = []
        for reaching in self._table.rows_reaching(tid, start, row):
            for batch in self._source.walk(self._offset(reaching), self._limit(reaching + 1)):
                ranges += _reaching(batch, tid, start)
        first = self._seek(row, tid, start)
        last = self._seek(self._table.row_at(tid, stop), tid, stop)
        return [*ranges, (first, last)]

    def unplaced(self) -> Range:
        return self._offset(self._table.row_at(-1, -1)), self._source.end

    def _offset(self, row: int) -> int:
        """Where a row starts, which is where the one before it ends."""
        return int(self._table.first[row]) if row < len(self._table.first) else self._source.end

    def _seek(self, row: int, tid: int, pos: int) -> int:
        """The first record at or behind a place; ``row`` is the first row at or behind it."""
        if row and int(self._table.tid[row - 1]) == tid and pos < UNBOUNDED:
            wanted = key_of(tid, pos)
            for batch in self._source.walk(int(self._table.first[row - 1]), self._limit(row)):
                found = np.flatnonzero(batch.key >= wanted)
                if len(found):
                    return int(batch.first[found[0]])
        return self._offset(row)

    def _limit(self, row: int) -> int | None:
        return int(self._table.first[row]) if row < len(self._table.first) else None


class IndexLocator:
    """Search among the chunks of a binning index, by looking at the records with which they begin.

    The linear index is not used: old writers left zeros in it, and a wrong one loses reads silently.
    """

    def __init__(self, source: BamSource, index: BinningIndex) -> None:
        if len(index.contigs) > len(source.header.contigs):
            raise FormatError(
                f"the index has {len(index.contigs)} contigs, the file {len(source.header.contigs)}: wrong index"
            )
        self._source = source
        self._index = index

    def overlapping(self, interval: Interval) -> list[Range]:
        tid, start, stop = interval
        if tid >= len(self._index.contigs) or not len(self._index.contigs[tid].first):
            return []
        first, last = self._seek(tid, start), self._seek(tid, stop)
        ranges: list[Range] = []
        for begin, end in self._index.query(tid, start, start + 1):
            if begin < first:
                for batch in self._source.walk(begin, min(end, first)):
                    ranges += _reaching(batch, tid, start)
        return [*ranges, (first, last)]

    def unplaced(self) -> Range:
        ends = [int(chunks.last.max()) for chunks in self._index.contigs if len(chunks.last)]
        first = max(ends, default=self._source.start)
        key = self._source.peek(first)
        if key is not None and key < key_of(-1, -1):
            raise FormatError("the index does not cover all records of the file: make it again")
        return first, self._source.end

    def _seek(self, tid: int, pos: int) -> int:
        """The first record at or behind a place of a contig that has records; at most the end of the contig."""
        chunks = self._index.contigs[tid]
        end = int(chunks.last.max())
        wanted = key_of(tid, pos)
        below, above = self._bracket(chunks, tid, pos, end)
        if below is None:
            return above
        for batch in self._source.walk(below, above):
            keys = batch.key
            if bool((keys[1:] < keys[:-1]).any()):
                raise FormatError("the records are not sorted by coordinate, or the index is damaged")
            found = np.flatnonzero(keys >= wanted)
            if len(found):
                return int(batch.first[found[0]])
        return self._end_of_contig(tid, end) if above == end else above

    def _bracket(self, chunks: Chunks, tid: int, pos: int, end: int) -> tuple[int | None, int]:
        """A record known to lie before the place, or None, and the first known one at or behind it."""
        begins = np.unique(chunks.first)
        # The bins narrow the search; what they say of positions is looked up in the records before it counts.
        left, right = chunks.first[chunks.high <= pos], chunks.first[chunks.low >= pos]
        low = int(np.searchsorted(begins, left.max())) if len(left) else 0
        high = int(np.searchsorted(begins, right.min())) if len(right) else len(begins) - 1
        if self._key(int(begins[low]), tid) >= key_of(tid, pos):
            if low:
                raise FormatError("the index is damaged: a record does not lie in the bin that names it")
            return None, int(begins[low])
        if self._key(int(begins[high]), tid) < key_of(tid, pos):
            if len(right):
                raise FormatError("the index is damaged: a record does not lie in the bin that names it")
            return int(begins[high]), end
        while high - low > 1:
            middle = (low + high) // 2
            if self._key(int(begins[middle]), tid) < key_of(tid, pos):
                low = middle
            else:
                high = middle
        return int(begins[low]), int(begins[high])

    def _key(self, at: int, tid: int) -> int:
        key = self._source.peek(at)
        if key is None or key >> 32 != tid:
            raise FormatError("the index is damaged, or belongs to another file: a chunk begins in another contig")
        return key

    def _end_of_contig(self, tid: int, end: int) -> int:
        """The end of a contig's chunks, where its records must end too."""
        key = self._source.peek(end)
        if key is None:
            return self._source.end
        if key >> 32 <= tid:
            raise FormatError("the index does not cover all records of a contig: make it again")
        return end
