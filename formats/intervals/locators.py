"""Where the records of an interval lie in a sorted file: by the block table, or in a BAM by a BAI or CSI alone.

Sorted, the records that overlap ``[start, stop)`` are those from the first one at or behind ``start`` to the first
one at or behind ``stop``, all of them, and before them some that start left of ``start`` and reach over it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

import numpy as np

from lake.errors import FormatError
from lake.formats.alignments.bam_source import BamSource
from lake.formats.compression.virtual import Range
from lake.formats.intervals.batch import POSITION_BITS, Batch, key_of
from lake.formats.intervals.binning import BinningIndex, Chunks
from lake.formats.intervals.blocks import BlockTable
from lake.formats.intervals.source import RecordSource
from lake.formats.region import UNBOUNDED, Interval

__all__ = ["IndexLocator", "Locator", "TableLocator"]


_ROWS_KEPT = 64
"""Rows whose records are kept as arrays: at most some ten thousand numbers each."""


class Locator(Protocol):
    """Finds records. Errors are `FormatError`: file or index are damaged where one had to look."""

    def overlapping(self, interval: Interval) -> list[Range]:
        """Ranges of all records that overlap the interval, as the field's own tool selects them."""
        ...

    def unplaced(self) -> Range:
        """The range of the records without a contig."""
        ...

    def effort(self, interval: Interval) -> int:
        """About how many blocks `overlapping` inflates."""
        ...


def _reaching(batch: Batch, tid: int, start: int) -> list[Range]:
    """Records of a contig that start left of ``start`` and end behind it."""
    found = np.flatnonzero((batch.end > start) & (batch.pos < start) & (batch.tid == tid))
    return list(zip(batch.first[found].tolist(), batch.last[found].tolist(), strict=True))


class TableLocator:
    """Binary search in the block table; only blocks that must be cut are inflated."""

    def __init__(self, source: RecordSource, table: BlockTable) -> None:
        self._source = source
        self._table = table
        self._rows: OrderedDict[int, list[Batch]] = OrderedDict()
        self._lock = threading.Lock()

    def overlapping(self, interval: Interval) -> list[Range]:
        tid, start, stop = interval
        begin, end = self._table.row_at(tid, start), self._table.row_at(tid, stop)
        ranges: list[Range] = []
        for row in self._table.rows_reaching(tid, start, begin):
            for batch in self._records(row):
                ranges += _reaching(batch, tid, start)
        first, last = self._seek(begin, tid, start), self._seek(end, tid, stop)
        for row in self._table.rows_falling_short(tid, start, max(begin - 1, 0), end):
            for hole, behind in self._falling_short(row, tid, start):
                if first <= hole < last:
                    ranges.append((first, hole))
                    first = behind
        return [*ranges, (first, last)]

    def unplaced(self) -> Range:
        return self._offset(self._table.row_at(-1, -1)), self._source.end

    def effort(self, interval: Interval) -> int:
        tid, start, _ = interval
        return 2 + len(self._table.rows_reaching(tid, start, self._table.row_at(tid, start)))

    def covering(self, interval: Interval) -> list[Range]:
        """Ranges of whole rows that hold the records which overlap the interval, and others; by the table alone."""
        tid, start, stop = interval
        begin, end = self._table.row_at(tid, start), self._table.row_at(tid, stop)
        reaching = self._table.rows_reaching(tid, start, begin)
        ranges = [(self._offset(row), self._offset(row + 1)) for row in reaching]
        if begin and int(self._table.tid[begin - 1]) == tid:
            begin -= 1
        return [*ranges, (self._offset(begin), self._offset(end))]

    def sure(self, interval: Interval | None) -> Range:
        """Places of whole blocks all of whose records overlap the interval; by the table alone.

        Without an interval those of the records without a contig. Where there are no such blocks, the second place
        is not behind the first, but still the start of a block near the end of the interval.
        """
        if interval is None:
            begin, end, last = self._table.row_at(-1, -1), len(self._table.first), self._source.end
        else:
            tid, start, stop = interval
            begin, end = self._table.row_at(tid, start), self._table.row_at(tid, stop)
            # The first record behind the interval may lie in the last row that begins inside.
            last = self._offset(end if stop >= UNBOUNDED else max(end - 1, 0))
            if self._table.some_fall_short and self._table.rows_falling_short(tid, start, max(begin - 1, 0), end):
                return last, self._block_of(last)
        return self._block_behind(begin), self._block_of(last)

    def record_near(self, interval: Interval | None) -> int:
        """The place of a record not far from the end of an interval; the end of the file where there is none."""
        if interval is None:
            return self._source.end
        return self._offset(max(self._table.row_at(interval.tid, interval.stop) - 1, 0))

    def key_before(self, place: int) -> int:
        """Order (see `key_of`) of a record that begins before a place, as near as the table knows; -1: none does."""
        row = int(np.searchsorted(self._table.first, place)) - 1
        return int(self._table.key[row]) if row >= 0 else -1

    def key_behind(self, place: int) -> int:
        """Order of a record that begins at or behind a place, as near as the table knows; the last of all: none."""
        row = int(np.searchsorted(self._table.first, place))
        return int(self._table.key[row]) if row < len(self._table.first) else key_of(-1, -1)

    def _block_of(self, place: int) -> int:
        shift = self._source.container.shift
        return place >> shift << shift

    def _block_behind(self, row: int) -> int:
        """The first block that begins with or behind the first record of a row."""
        place = self._offset(row)
        if place == self._block_of(place):
            return place
        shift = self._source.container.shift
        following = int(np.searchsorted(self._table.first, (place >> shift) + 1 << shift))
        return self._block_of(self._offset(following))

    def _offset(self, row: int) -> int:
        """Where a row starts, which is where the one before it ends."""
        return int(self._table.first[row]) if row < len(self._table.first) else self._source.end

    def _seek(self, row: int, tid: int, pos: int) -> int:
        """The first record at or behind a place; ``row`` is the first row at or behind it."""
        if row and int(self._table.tid[row - 1]) == tid and pos < UNBOUNDED:
            wanted = key_of(tid, pos)
            for batch in self._records(row - 1):
                found = np.flatnonzero(batch.key >= wanted)
                if len(found):
                    return int(batch.first[found[0]])
        return self._offset(row)

    def _falling_short(self, row: int, tid: int, start: int) -> list[Range]:
        """Records of a row that lie at or behind ``start`` but do not reach over it."""
        ranges: list[Range] = []
        for batch in self._records(row):
            found = np.flatnonzero((batch.end <= start) & (batch.pos >= start) & (batch.tid == tid))
            ranges += zip(batch.first[found].tolist(), batch.last[found].tolist(), strict=True)
        return ranges

    def _records(self, row: int) -> list[Batch]:
        """The records of a row, without their bytes; those of the last used rows are kept."""
        with self._lock:
            known = self._rows.get(row)
            if known is not None:
                self._rows.move_to_end(row)
                return known
        limit = int(self._table.first[row + 1]) if row + 1 < len(self._table.first) else None
        records = [batch._replace(data=b"") for batch in self._source.walk(int(self._table.first[row]), limit)]
        with self._lock:
            self._rows[row] = records
            while len(self._rows) > _ROWS_KEPT:
                self._rows.popitem(last=False)
        return records


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

    def effort(self, interval: Interval) -> int:
        """Some dozen blocks by bisection, and the chunks that hold what starts further left."""
        tid, start, _ = interval
        chunks = self._index.query(tid, start, start + 1) if tid < len(self._index.contigs) else []
        return 32 + sum((end - begin >> 32) + 1 for begin, end in chunks)

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
        if key is None or key >> POSITION_BITS != tid:
            raise FormatError("the index is damaged, or belongs to another file: a chunk begins in another contig")
        return key

    def _end_of_contig(self, tid: int, end: int) -> int:
        """The end of a contig's chunks, where its records must end too."""
        key = self._source.peek(end)
        if key is None:
            return self._source.end
        if key >> POSITION_BITS <= tid:
            raise FormatError("the index does not cover all records of a contig: make it again")
        return end
