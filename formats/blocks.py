"""The block table: where records start in a sorted BAM, block by block, and how far they reach.

One row for each run of records of one contig that start in one BGZF block, 20 bytes a row. With it a region needs no
search in the file: two or three blocks are inflated, those that are cut.
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
from lake.formats.records import NO_CONTIG, Batch, key_of

__all__ = ["TABLE_KIND", "BlockTable", "decode_table", "encode_table", "tabulate"]

TABLE_KIND = "bgzf-blocks/1"

_MAGIC = b"RLBLOCK\x01"
_HEAD = struct.Struct("<8sQQ")
_DIGEST_SIZE = 16
_ROW = np.dtype([("first", "<u8"), ("tid", "<i4"), ("pos", "<i4"), ("end", "<u4")])
_FARTHEST = (1 << 32) - 1

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

    @cached_property
    def key(self) -> I64:
        """Order of each row's first record, see `key_of`."""
        return np.where(self.tid < 0, NO_CONTIG << 32, self.tid << 32 | (self.pos + 1))

    @cached_property
    def reach(self) -> I64:
        """Running maximum of the ends of a contig, under the contig in the upper half, so that it only grows."""
        reach: I64 = np.maximum.accumulate(np.where(self.tid < 0, NO_CONTIG, self.tid) << 32 | self.end)
        return reach

    def row_at(self, tid: int, pos: int) -> int:
        """The first row whose first record lies at or behind a place in the order of the file."""
        return int(np.searchsorted(self.key, key_of(tid, pos), side="left"))

    def rows_reaching(self, tid: int, start: int, before: int) -> list[int]:
        """Rows of a contig, less than ``before``, with a record whose end lies behind ``start``."""
        start = min(start, _FARTHEST)
        begin = int(np.searchsorted(self.reach[:before], tid << 32 | start, side="right"))
        found = (self.end[begin:before] > start) & (self.tid[begin:before] == tid)
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
            raise FormatError("the records are not sorted by coordinate: sort the file with samtools sort")
        last_key = int(key[-1])
        block = batch.first >> 16
        starts = np.flatnonzero(np.r_[True, (block[1:] != block[:-1]) | (batch.tid[1:] != batch.tid[:-1])])
        rows = np.empty(len(starts), _ROW)
        rows["first"], rows["tid"], rows["pos"] = batch.first[starts], batch.tid[starts], batch.pos[starts]
        rows["end"] = np.minimum(np.maximum.reduceat(batch.end, starts), _FARTHEST)
        if (int(block[0]), int(batch.tid[0])) == last_row:
            # A block whose last record runs into the next batch: its row goes on.
            parts[-1]["end"][-1] = max(parts[-1]["end"][-1], rows["end"][0])
            rows = rows[1:]
        last_row = int(block[-1]), int(batch.tid[-1])
        if len(rows):
            parts.append(rows)
    return _table(np.concatenate(parts) if parts else np.empty(0, _ROW), size)


def _table(rows: NDArray[np.void], size: int) -> BlockTable:
    first, tid, pos, end = (rows[name].astype(np.int64) for name in ("first", "tid", "pos", "end"))
    return BlockTable(size, first, tid, pos, end)


def encode_table(table: BlockTable) -> bytes:
    """The table as bytes: magic with version, size of the file, number of rows, rows, and a digest of all that."""
    rows = np.empty(len(table.first), _ROW)
    rows["first"], rows["tid"], rows["pos"], rows["end"] = table.first, table.tid, table.pos, table.end
    body = _HEAD.pack(_MAGIC, table.size, len(rows)) + rows.tobytes()
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
    if magic != _MAGIC or len(body) != _HEAD.size + count * _ROW.itemsize:
        raise FormatError("the block table is of another version: make it again")
    if stated != size:
        raise FormatError(f"the block table belongs to a file of {stated} bytes, not to this one of {size}")
    return _table(np.frombuffer(body, _ROW, count, _HEAD.size), size)
