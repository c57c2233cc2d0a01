"""Depth of coverage from BAM records, tile by tile: memory does not grow with the length of the interval.

A base counts once for every read that has M, = or X over it; D and N do not count, and neither does the overlap of
mates count less. That, with reads of the flags `EXCLUDED` left out, is what ``samtools depth -a`` prints.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.alignments.read_fields import ReadFields
from lake.formats.intervals.batch import Batch

__all__ = ["EXCLUDED", "depths"]

I64 = NDArray[np.int64]

EXCLUDED = 0x4 | 0x100 | 0x200 | 0x400
"""Unmapped, secondary, quality failed, duplicate: the default of samtools depth."""

_ALIGNED = np.array([op in (0, 7, 8) for op in range(16)])
_CONSUMES = np.array([op in (0, 2, 3, 7, 8) for op in range(16)], np.int64)


def depths(
    batches: Iterator[Batch], start: int, stop: int, tile: int, *, exclude: int = EXCLUDED, min_quality: int = 0
) -> Iterator[tuple[int, I64]]:
    """First position and depth of every base of ``[start, stop)``, a tile of at most ``tile`` bases at once.

    Args:
        batches: the records that overlap the interval, all of its contig, in order.
        start: first base, 0-based.
        stop: base behind the last one.
        tile: bases at once.
        exclude: flags of reads that do not count.
        min_quality: reads of a lower mapping quality do not count.

    Raises:
        FormatError: the records are not sorted by position.
    """
    if start >= stop:
        return
    current, reached = _Tile(start, min(start + tile, stop)), -1
    for batch in batches:
        first = int(batch.pos[0])
        if first < reached or bool((batch.pos[1:] < batch.pos[:-1]).any()):
            raise FormatError("the records are not sorted by position: sort the file with samtools sort")
        reached = int(batch.pos[-1])
        # What lies ahead of the first record of this batch is final.
        while current.stop <= min(first, stop - 1):
            yield current.start, current.depth()
            current = current.next(min(current.stop + tile, stop))
        current.add(*_aligned(batch, exclude, min_quality))
    while current.stop < stop:
        yield current.start, current.depth()
        current = current.next(min(current.stop + tile, stop))
    yield current.start, current.depth()


class _Tile:
    """Depth of ``[start, stop)`` on its way, and the runs of bases that reach beyond."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self._change: I64 = np.zeros(stop - start + 1, np.int64)
        self._beyond: list[tuple[I64, I64]] = []

    def add(self, begins: I64, ends: I64) -> None:
        size = self.stop - self.start
        here = (begins < self.stop) & (ends > self.start)
        self._change += np.bincount(np.clip(begins[here] - self.start, 0, size), minlength=size + 1)
        self._change -= np.bincount(np.clip(ends[here] - self.start, 0, size), minlength=size + 1)
        beyond = ends > self.stop
        if beyond.any():
            self._beyond.append((begins[beyond], ends[beyond]))

    def depth(self) -> I64:
        depth: I64 = np.cumsum(self._change[:-1])
        return depth

    def next(self, stop: int) -> _Tile:
        """The tile behind this one."""
        following = _Tile(self.stop, stop)
        for begins, ends in self._beyond:
            following.add(begins, ends)
        return following


def _aligned(batch: Batch, exclude: int, min_quality: int) -> tuple[I64, I64]:
    """Runs of aligned bases of the reads that count."""
    keep = ReadFields(batch).wanted(exclude=exclude, min_quality=min_quality) & (batch.pos >= 0)
    kept = batch.pick(keep)
    words, counts = ReadFields(kept).cigars
    ops, lengths = words & 15, (words >> 4).astype(np.int64)
    spans = _CONSUMES[ops] * lengths
    before = np.cumsum(spans) - spans
    starts = np.cumsum(counts) - counts
    record = np.repeat(np.arange(len(counts)), counts)
    # A read without a CIGAR has no first operation; nothing is taken from it.
    base = np.zeros(len(counts), np.int64)
    has = counts > 0
    base[has] = before[starts[has]]
    begin = kept.pos[record] + before - base[record]
    aligned = _ALIGNED[ops]
    return begin[aligned], (begin + lengths)[aligned]
