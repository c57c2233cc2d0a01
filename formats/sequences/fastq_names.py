"""Read names of a FASTQ: a table of 32-bit hashes, sorted, with the number of each record, 8 bytes a read.

A hash only names candidates; whoever looks a name up reads those records and compares.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.sealed import seal, unseal
from lake.formats.sequences.fastq_records import Batch

__all__ = ["NAMES_KIND", "NameIndex", "hash_names"]

NAMES_KIND = "fastq-names/1"

_MAGIC = b"RLFQNAM\x01"
_COUNT = struct.Struct("<Q")
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MOST = (1 << 32) - 1

U32 = NDArray[np.uint32]


class NameIndex:
    """Record numbers by hash of the name."""

    def __init__(self, hashes: U32, numbers: U32) -> None:
        self._hashes = hashes
        self._numbers = numbers

    @classmethod
    def build(cls, batches: Iterable[Batch]) -> NameIndex:
        """From all records; takes some 24 bytes of memory a read.

        Raises:
            FormatError: the file is malformed, or has more than 2^32 reads.
        """
        parts = [hash_names(batch.data, batch.start + 1, batch.title_stop) for batch in batches]
        hashes = np.concatenate(parts) if parts else np.zeros(0, np.uint32)
        if len(hashes) > _MOST:
            raise FormatError(f"{len(hashes)} reads are too many for an index of names")
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], order.astype(np.uint32))

    def candidates(self, name: bytes) -> list[int]:
        """Ascending numbers of records that may have the name, 0-based."""
        wanted = hash_names(name, np.zeros(1, np.int64), np.array([len(name)], np.int64))[0]
        first, last = (int(np.searchsorted(self._hashes, wanted, side=side)) for side in ("left", "right"))
        return [int(number) for number in self._numbers[first:last]]

    def encode(self, size: int) -> bytes:
        """The index of a file of ``size`` bytes, sealed."""
        columns = self._hashes.astype("<u4").tobytes() + self._numbers.astype("<u4").tobytes()
        return seal(_MAGIC, size, _COUNT.pack(len(self._hashes)) + columns)

    @classmethod
    def decode(cls, data: bytes, size: int) -> NameIndex:
        """
        Raises:
            FormatError: damaged, or of another file.
        """
        body = unseal(_MAGIC, size, data, "index of read names")
        (count,) = _COUNT.unpack_from(body)
        columns = np.frombuffer(body, "<u4", offset=_COUNT.size)
        return cls(columns[:count], columns[count:])


def hash_names(data: bytes, start: NDArray[np.int64], title_stop: NDArray[np.int64]) -> U32:
    """Hashes of the first words of titles, all titles at once.

    A word is a number modulo 2^64, its first byte the lowest digit; after a multiplication, the upper half counts.
    """
    array = np.frombuffer(data, np.uint8)
    blank = np.flatnonzero((array == 32) | ((array >= 9) & (array <= 13)))
    after = np.r_[blank, len(array)][np.searchsorted(blank, start)]
    size = np.maximum(np.minimum(after, title_stop) - start, 0)
    total = int(size.sum())
    ends = np.cumsum(size)
    inside = np.arange(total) - np.repeat(ends - size, size)
    powers = np.cumprod(np.full(int(size.max(initial=0)) + 1, _PRIME, np.uint64))
    digits = (array[np.repeat(start, size) + inside].astype(np.uint64) + np.uint64(1)) * powers[inside]
    # Sums that wrap around come out right as differences, too.
    sums = np.r_[np.zeros(1, np.uint64), np.cumsum(digits, dtype=np.uint64)]
    hashes: U32 = ((sums[ends] - sums[ends - size]) * _MIX >> np.uint64(32)).astype(np.uint32)
    return hashes
