"""The block table: where records start in a sorted file, block by block, and how far they reach.

One row for each run of records of one contig that start in one BGZF block, or in 64 KiB of a plain file. With it a
region needs no search in the file: two or three blocks are inflated, those that are cut.

A row takes 20 bytes where all coordinates fit in 32 bits and every record covers a base, as in BAM, else 36.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.intervals.batch import FARTHEST, NO_CONTIG, POSITION_BITS, Batch, key_of

__all__ = ["TABLE_KIND", "BlockTable", "decode_table", "encode_table", "tabulate"]

TABLE_KIND = "bgzf-blocks/1"

_NARROW = b"RLBLOCK\x01"
_WIDE = b"RLBLOCK\x02"
_HEAD = struct.Struct("<8sQQ")
_DIGEST_SIZE = 16
_ROWS = {
    _NARROW: np.dtype([("first", "<u8"), ("tid", "<i4"), ("pos", "<i4"), ("end", "<u4")]),
    _WIDE: np.dtype([("first", "<u8"), ("tid", "<i4"), ("pos", "<i8"), ("end", "<i8"), ("least", "<i8")]),
}
_ROW = _ROWS[_WIDE]
_NARROW_LIMIT = 1 << 31

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class BlockTable:
    """Rows as parallel arrays, in file order, which is the order of contig and position."""

    size: int
    """Bytes of the file."""
    first: I64
    """Virtual offset of the row's first record."""
    tid: I64
    """Contig of all records of the row, -1 for none."""
    pos: I64
    """Position of the row's first record, 0-based."""
    end: I64
    """Largest end of the row's records, exclusive."""
    least: I64
    """Smallest end among those of the row's records that end at or before their position; `FARTHEST` without such."""

    @cached_property
    def key(self) -> I64:
        """Order of each row's first record, see `key_of`."""
        return np.where(self.tid < 0, NO_CONTIG << POSITION_BITS, self.tid << POSITION_BITS | (self.pos + 1))

    @cached_property
    def reach(self) -> I64:
        """Running maximum of the ends of a contig, under the contig in the upper half, so that it only grows."""
        reach: I64 = np.maximum.accumulate(np.where(self.tid < 0, NO_CONTIG, self.tid) << POSITION_BITS | self.end)
        return reach

    @cached_property
    def some_fall_short(self) -> bool:
        """Whether any record ends at or before its position."""
        return bool((self.least < FARTHEST).any())

    def row_at(self, tid: int, pos: int) -> int:
        """The first row whose first record lies at or behind a place in the order of the file."""
        return int(np.searchsorted(self.key, key_of(tid, pos), side="left"))

    def rows_reaching(self, tid: int, start: int, before: int) -> list[int]:
        """Rows of a contig, less than ``before``, with a record whose end lies behind ``start``."""
        start = min(start, FARTHEST)
        begin = int(np.searchsorted(self.reach[:before], tid << POSITION_BITS | start, side="right"))
        found = (self.end[begin:before] > start) & (self.tid[begin:before] == tid)
        return [begin + int(row) for row in np.flatnonzero(found)]

    def rows_falling_short(self, tid: int, start: int, begin: int, end: int) -> list[int]:
        """Rows of a contig in ``[begin, end)`` with a record that ends before it begins, at or before ``start``."""
        found = (self.least[begin:end] <= start) & (self.tid[begin:end] == tid)
        return [begin + int(row) for row in np.flatnonzero(found)]


def tabulate(batches: Iterator[Batch], size: int) -> BlockTable:
    """The table of a file of ``size`` bytes from all its records.

    Raises:
        FormatError: the records are not sorted by contig and position.
    """
    parts: list[NDArray[np.void]] = []
    last_key, last_row = -1, (-1, -1)
    for batch in batches:
        key = batch.key
        if int(key[0]) < last_key or bool((key[1:] < key[:-1]).any()):
            raise FormatError("the records are not sorted by coordinate: sort the file by contig and position")
        last_key = int(key[-1])
        block = batch.first >> 16
        starts = np.flatnonzero(np.r_[True, (block[1:] != block[:-1]) | (batch.tid[1:] != batch.tid[:-1])])
        rows = np.empty(len(starts), _ROW)
        rows["first"], rows["tid"], rows["pos"] = batch.first[starts], batch.tid[starts], batch.pos[starts]
        rows["end"] = np.minimum(np.maximum.reduceat(batch.end, starts), FARTHEST)
        rows["least"] = np.minimum.reduceat(np.where(batch.end <= batch.pos, batch.end, FARTHEST), starts)
        if (int(block[0]), int(batch.tid[0])) == last_row:
            # A block whose last record runs into the next batch: its row goes on.
            parts[-1]["end"][-1] = max(parts[-1]["end"][-1], rows["end"][0])
            parts[-1]["least"][-1] = min(parts[-1]["least"][-1], rows["least"][0])
            rows = rows[1:]
        last_row = int(block[-1]), int(batch.tid[-1])
        if len(rows):
            parts.append(rows)
    return _table(np.concatenate(parts) if parts else np.empty(0, _ROW), size)


def _table(rows: NDArray[np.void], size: int) -> BlockTable:
    first, tid, pos, end = (rows[name].astype(np.int64) for name in ("first", "tid", "pos", "end"))
    wide = rows.dtype == _ROW
    least = rows["least"].astype(np.int64) if wide else np.full(len(rows), FARTHEST, np.int64)
    return BlockTable(size, first, tid, pos, end, least)


def encode_table(table: BlockTable) -> bytes:
    """The table as bytes: magic with version, size of the file, number of rows, rows, and a digest of all that."""
    narrow = bool(((table.least == FARTHEST) & (table.end < _NARROW_LIMIT) & (table.pos < _NARROW_LIMIT)).all())
    magic = _NARROW if narrow else _WIDE
    rows = np.empty(len(table.first), _ROWS[magic])
    for name in rows.dtype.names or ():
        rows[name] = getattr(table, name)
    body = _HEAD.pack(magic, table.size, len(rows)) + rows.tobytes()
    return body + blake3(body).digest(_DIGEST_SIZE)


def decode_table(data: bytes, size: int) -> BlockTable:
    """The table of a file of ``size`` bytes from its bytes.

    Raises:
        FormatError: damaged, of another version, or of another file.
    """
    body = data[:-_DIGEST_SIZE]
    if len(body) < _HEAD.size or blake3(body).digest(_DIGEST_SIZE) != data[-_DIGEST_SIZE:]:
        raise FormatError("the block table is damaged: make it again")
    magic, stated, count = _HEAD.unpack_from(body)
    row = _ROWS.get(magic)
    if row is None or len(body) != _HEAD.size + count * row.itemsize:
        raise FormatError("the block table is of another version: make it again")
    if stated != size:
        raise FormatError(f"the block table belongs to a file of {stated} bytes, not to this one of {size}")
    return _table(np.frombuffer(body, row, count, _HEAD.size), size)
