"""Records by contig, counted in the pass that makes a block table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.formats.intervals.batch import Batch

__all__ = ["Counter", "RecordCounts"]

I64 = NDArray[np.int64]


class RecordCounts(NamedTuple):
    """What a file holds. Lists have an item for each contig."""

    records: list[int]
    unmapped: list[int] | None
    """Reads among them that are not aligned; None of a format that has no such records."""
    unplaced: int
    """Records without a contig."""


class Counter:
    """Counts the records that pass by."""

    def __init__(self) -> None:
        self._records = np.zeros(1, np.int64)
        self._unmapped = np.zeros(1, np.int64)

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches."""
        for batch in batches:
            number = batch.tid + 1
            self._records = _added(self._records, number)
            if batch.unmapped is not None:
                self._unmapped = _added(self._unmapped, number[batch.unmapped])
            yield batch

    def counts(self, contigs: int, *, reads: bool) -> RecordCounts:
        """The result for so many contigs; ``reads`` says that the format tells which records are not aligned."""
        records = _widened(self._records, contigs + 1).tolist()
        unmapped = _widened(self._unmapped, contigs + 1).tolist()
        return RecordCounts(records[1:], unmapped[1:] if reads else None, records[0])


def _added(sums: I64, numbers: I64) -> I64:
    # Neighbours lie on the same contig, and there may be millions of contigs: only those at hand are counted.
    if not len(numbers):
        return sums
    first = int(numbers.min())
    here = np.bincount(numbers - first)
    sums = _widened(sums, first + len(here))
    sums[first : first + len(here)] += here
    return sums


def _widened(sums: I64, length: int) -> I64:
    return np.r_[sums, np.zeros(length - len(sums), np.int64)] if len(sums) < length else sums
