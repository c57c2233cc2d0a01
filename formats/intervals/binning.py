"""Binning indexes: BAI (SAM specification, section 5.2) and CSI (CSIv1 specification), one algebra for both.

A bin is a window of positions; level ``l`` of the tree splits the contig into ``8**l`` windows. A record belongs to
the smallest bin that holds all of it, and a bin lists chunks: ranges of virtual offsets where its records lie.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.bgzf import EOF_BLOCK, inflate, split_blocks
from lake.formats.compression.virtual import Range, merge_ranges

__all__ = ["BAI_LIMIT", "BinningIndex", "Chunks", "inflate_index", "parse_bai", "parse_csi", "parse_index"]

BAI_LIMIT = 1 << 29
"""Bases of a contig that a BAI can address."""

_BAI_SHIFT, _BAI_DEPTH = 14, 5
_MAX_INFLATED = 1 << 28
_HEAD = struct.Struct("<Ii")
_CSI_HEAD = struct.Struct("<IQi")

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


class Chunks(NamedTuple):
    """All chunks of one contig as parallel arrays, ordered by where they begin; the metadata bin left out."""

    first: I64
    """Virtual offset of the first record."""
    last: I64
    """Virtual offset behind the last record."""
    bin: I64
    low: I64
    """First position of the bin, 0-based."""
    high: I64
    """Position behind the bin."""


@dataclass(frozen=True, slots=True)
class BinningIndex:
    """An index in memory. ``contigs`` has an item for each contig that the index knows, in the order of the header."""

    min_shift: int
    depth: int
    contigs: tuple[Chunks, ...]
    unplaced: int | None
    """Number of reads without a position, where the index states it."""
    aux: bytes = b""
    """Auxiliary data of a CSI."""

    def bins(self, start: int, stop: int) -> list[range]:
        """Bins that records overlapping ``[start, stop)`` may belong to, a range of numbers a level."""
        highest = (1 << (self.min_shift + 3 * self.depth)) - 1
        start, stop = min(start, highest), min(stop - 1, highest)
        found, offset = [], 0
        for level in range(self.depth + 1):
            shift = self.min_shift + 3 * (self.depth - level)
            found.append(range(offset + (start >> shift), offset + (stop >> shift) + 1))
            offset += 1 << 3 * level
        return found

    def query(self, tid: int, start: int, stop: int) -> list[Range]:
        """Ranges of virtual offsets that hold every record of a contig that overlaps ``[start, stop)``, merged."""
        chunks = self.contigs[tid]
        wanted = np.zeros(len(chunks.bin), dtype=bool)
        for bins in self.bins(start, stop):
            wanted |= (chunks.bin >= bins.start) & (chunks.bin < bins.stop)
        return merge_ranges(zip(chunks.first[wanted].tolist(), chunks.last[wanted].tolist(), strict=True))


_NONE: I64 = np.empty(0, np.int64)
_NO_CHUNKS = Chunks(_NONE, _NONE, _NONE, _NONE, _NONE)


class _Cursor:
    """Bounds-checked reads over the bytes of an index."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data, self.at = data, start

    def take(self, length: int) -> bytes:
        piece = self.data[self.at : self.at + length] if length >= 0 else b""
        if length < 0 or len(piece) != length:
            raise FormatError(f"the index is damaged: it ends inside an item at byte {self.at}")
        self.at += length
        return piece

    def count(self, size: int) -> int:
        """A 32-bit count of items that take at least ``size`` bytes each, checked against what is left."""
        (number,) = struct.unpack("<i", self.take(4))
        if not 0 <= number <= (len(self.data) - self.at) // size:
            raise FormatError(f"the index is damaged: it states {number} items at byte {self.at - 4}")
        return int(number)


def inflate_index(data: bytes) -> bytes:
    """A CSI or TBI is stored as BGZF: its inflated bytes. What is not BGZF comes back as it is.

    Raises:
        FormatError: damaged, or larger than 256 MiB.
    """
    if data[:2] != b"\x1f\x8b":
        return data
    if not data.endswith(EOF_BLOCK):
        raise FormatError("the index is truncated: its BGZF end marker is missing")
    pieces, total, end = [], 0, 0
    for offset, size in split_blocks(data, 0):
        pieces.append(inflate(data[offset : offset + size], offset))
        total += len(pieces[-1])
        end = offset + size
        if total > _MAX_INFLATED:
            raise FormatError("the index inflates to more than 256 MiB")
    if end != len(data):
        raise FormatError(f"the index is damaged: no whole BGZF block at {end}")
    return b"".join(pieces)


def parse_index(kind: str, data: bytes) -> BinningIndex:
    """Parse a ``bai`` or a ``csi``.

    Raises:
        FormatError: damaged, or of another kind.
    """
    return parse_bai(data) if kind == "bai" else parse_csi(data)


def parse_bai(data: bytes) -> BinningIndex:
    """Parse a BAI (SAM specification, section 5.2). The linear index is passed over: old writers left zeros in it.

    Raises:
        FormatError: damaged.
    """
    if data[:4] != b"BAI\x01":
        raise FormatError("the index is not a BAI: its first bytes are not BAI and 1")
    cursor = _Cursor(data, 4)
    contigs = []
    for _ in range(cursor.count(8)):
        if data.startswith(b"\0\0\0\0\0\0\0\0", cursor.at):
            # No bins and no linear index, as thousands of contigs of an assembly have it.
            contigs.append(_NO_CHUNKS)
            cursor.at += 8
            continue
        contigs.append(_contig(cursor, _BAI_SHIFT, _BAI_DEPTH, with_offset=False))
        cursor.take(8 * cursor.count(8))
    return BinningIndex(_BAI_SHIFT, _BAI_DEPTH, tuple(contigs), _unplaced(cursor))


def parse_csi(data: bytes) -> BinningIndex:
    """Parse a CSI (CSIv1 specification), compressed or not.

    Raises:
        FormatError: damaged.
    """
    data = inflate_index(data)
    if data[:4] != b"CSI\x01":
        raise FormatError("the index is not a CSI: its first bytes are not CSI and 1")
    cursor = _Cursor(data, 4)
    min_shift, depth = struct.unpack("<ii", cursor.take(8))
    if not (1 <= min_shift <= 48 and 1 <= depth <= 16 and min_shift + 3 * depth <= 61):
        raise FormatError(f"the index is damaged: a minimal shift of {min_shift} and a depth of {depth}")
    aux = cursor.take(cursor.count(1))
    contigs = [_contig(cursor, min_shift, depth, with_offset=True) for _ in range(cursor.count(4))]
    return BinningIndex(min_shift, depth, tuple(contigs), _unplaced(cursor), aux)


def _unplaced(cursor: _Cursor) -> int | None:
    left = len(cursor.data) - cursor.at
    if left == 0:
        return None
    if left != 8:
        raise FormatError(f"the index is damaged: {left} bytes behind its last contig, wanted 8 or none")
    return int.from_bytes(cursor.take(8), "little")


def _contig(cursor: _Cursor, min_shift: int, depth: int, *, with_offset: bool) -> Chunks:
    """The bins of one contig."""
    head = _CSI_HEAD if with_offset else _HEAD
    metadata = (8 ** (depth + 1) - 1) // 7 + 1
    numbers: list[int] = []
    counts: list[int] = []
    pieces: list[bytes] = []
    data, size, at = cursor.data, head.size, cursor.at + 4
    for _ in range(cursor.count(size)):
        if at + size > len(data):
            raise FormatError(f"the index is damaged: it ends inside a bin at byte {at}")
        fields = head.unpack_from(data, at)
        at += size
        number, count = fields[0], fields[-1]
        if not 0 <= count <= (len(data) - at) // 16 or number > metadata:
            raise FormatError(f"the index is damaged: bin {number} states {count} chunks at byte {at}")
        if number < metadata:
            numbers.append(number)
            counts.append(count)
            pieces.append(data[at : at + 16 * count])
        at += 16 * count
    cursor.at = at
    if not numbers:
        return _NO_CHUNKS
    return _chunks(np.array(numbers, np.int64), np.array(counts, np.int64), b"".join(pieces), min_shift, depth)


def _chunks(numbers: I64, counts: I64, data: bytes, min_shift: int, depth: int) -> Chunks:
    pairs = np.frombuffer(data, dtype="<u8").reshape(-1, 2)
    if pairs.size and (int(pairs.max()) >= 1 << 62 or bool((pairs[:, 0] >= pairs[:, 1]).any())):
        raise FormatError("the index is damaged: a chunk ends before it begins")
    bins = np.repeat(numbers, counts)
    first, last = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    order = np.argsort(first, kind="stable")
    first, last, bins = first[order], last[order], bins[order]
    offsets = np.array(list(_level_offsets(depth)), np.int64)
    level = np.searchsorted(offsets, bins, side="right") - 1
    shift = min_shift + 3 * (depth - level)
    low = (bins - offsets[level]) << shift
    return Chunks(first, last, bins, low, low + (np.int64(1) << shift))


def _level_offsets(depth: int) -> Iterator[int]:
    """Number of the first bin of each level."""
    for level in range(depth + 1):
        yield (8**level - 1) // 7
