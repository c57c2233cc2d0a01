"""Records of any format as parallel arrays: where they lie, and which interval each covers.

Coordinates are 0-based, half-open. A place is a virtual offset: of BGZF where the file is compressed, else the plain
offset of a byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FARTHEST", "NO_CONTIG", "POSITION_BITS", "Batch", "begins_sorted", "key_of"]

I64 = NDArray[np.int64]

POSITION_BITS = 38
"""Bits of a key that hold a position: 274 Gbp, seven times the largest genome known."""

NO_CONTIG = (1 << 25) - 1
"""Stands in keys for the missing contig, which sorts behind all others."""

_RECORDS_SAMPLED = 50_000

FARTHEST = (1 << POSITION_BITS) - 1
"""Ends beyond are taken for this one; positions must be less."""


class Batch(NamedTuple):
    """Some consecutive records. Every array has one item a record."""

    data: bytes
    """Inflated bytes in which the records lie; a view of bytes where the source was asked for views."""
    offset: I64
    """Where each record starts in ``data``."""
    stop: I64
    """Where each record ends in ``data``."""
    first: I64
    """Place of each record."""
    last: I64
    """Place behind each record."""
    tid: I64
    """Number of the contig; -1 for none."""
    pos: I64
    """Leftmost base, -1 for none."""
    end: I64
    """Base behind the rightmost one, by the rules of the format; may be ``pos`` or less where the format allows it."""
    unmapped: NDArray[np.bool_] | None = None
    """Whether each record is a read that is not aligned; None where the format has no such records, or does not say."""

    @property
    def key(self) -> I64:
        """The order of a sorted file, see `key_of`."""
        return np.where(self.tid < 0, NO_CONTIG << POSITION_BITS, self.tid << POSITION_BITS | (self.pos + 1))

    def pick(self, chosen: NDArray[np.bool_]) -> Batch:
        """Only some of the records; the bytes of all stay."""
        return Batch(self.data, *(None if column is None else column[chosen] for column in self[1:]))  # type: ignore[arg-type]


def key_of(tid: int, pos: int) -> int:
    """Order of a record in a sorted file; records without a contig come last, in any order."""
    return NO_CONTIG << POSITION_BITS if tid < 0 else tid << POSITION_BITS | min(pos + 1, FARTHEST)


def begins_sorted(batches: Iterable[Batch]) -> bool:
    """Whether the first 50,000 records are in the order of a sorted file; a few more may be looked at."""
    seen, last = 0, -1
    for batch in batches:
        keys = batch.key
        if int(keys[0]) < last or bool((keys[1:] < keys[:-1]).any()):
            return False
        last = int(keys[-1])
        seen += len(keys)
        if seen >= _RECORDS_SAMPLED:
            break
    return True
