"""BAI (SAM specification, section 5.2) and CSI (CSIv1 specification) made from the records of a sorted BAM.

What samtools would write: the same bins, chunks, linear index and counts as htslib's ``hts_idx_push`` and
``hts_idx_finish`` make. Only the order of the bins differs, which no reader depends on: theirs follows a hash table.

Positions are 0-based, windows half-open. Records come as arrays, so that no step is taken for a single one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.bgzf import EOF_BLOCK, compress
from lake.formats.intervals.batch import Batch
from lake.formats.intervals.binning import BAI_LIMIT

__all__ = ["IndexBuilder", "Scheme", "scheme_of"]

I64 = NDArray[np.int64]

_LOWER = (1 << 32) - 1

_SMALL_BIN = 1 << 16
"""Bytes of the file between the first and the last chunk of a bin below which htslib moves it into its parent."""

_MAX_INDEX = 1 << 28
"""Bytes of the largest index that is made: 25 times that of a human genome."""

_MARGIN = 256
"""Bases that htslib adds to the longest contig before it chooses the depth of a CSI."""


class Scheme(NamedTuple):
    """How positions are split into bins: ``depth`` levels below the root, the lowest of ``1 << min_shift`` bases."""

    kind: str
    """``bai`` or ``csi``."""
    min_shift: int
    depth: int

    @property
    def limit(self) -> int:
        """Bases that the root spans."""
        return 1 << (self.min_shift + 3 * self.depth)

    @property
    def metadata(self) -> int:
        """Number of the bin that holds counts instead of chunks."""
        return self.first_of(self.depth + 1) + 1

    def first_of(self, level: int) -> int:
        """Number of the first bin of a level."""
        return ((1 << 3 * level) - 1) // 7

    def bins(self, start: I64, stop: I64) -> I64:
        """The smallest bin that holds ``[start, stop)``, for each of many windows of at least one base."""
        low, high = start >> self.min_shift, (stop - 1) >> self.min_shift
        found = low + self.first_of(self.depth)
        rest = np.flatnonzero(low != high)
        low, high = low[rest], high[rest]
        for level in range(self.depth - 1, -1, -1):
            low, high = low >> 3, high >> 3
            fits = low == high
            found[rest[fits]] = low[fits] + self.first_of(level)
            rest, low, high = rest[~fits], low[~fits], high[~fits]
        return found


def scheme_of(longest: int) -> Scheme:
    """BAI where it can address a contig of ``longest`` bases, else a CSI as deep as samtools makes it."""
    if longest <= BAI_LIMIT:
        return Scheme("bai", 14, 5)
    depth = 5
    while 1 << (14 + 3 * depth) < longest + _MARGIN:
        depth += 1
    return Scheme("csi", 14, depth)


class _Pieces(NamedTuple):
    """Chunks as parallel arrays."""

    key: I64
    """Contig in the upper half, bin in the lower."""
    first: I64
    last: I64
    """Virtual offsets of the first record and behind the last one."""

    def merged(self) -> _Pieces:
        """Sorted by bin and place, and those of a bin made one that meet in a block."""
        if not len(self.key):
            return self
        order = np.lexsort((self.first, self.key))
        key, first, last = self.key[order], self.first[order], self.last[order]
        rank = np.cumsum(_changes(key)) - 1
        blocks = np.unique(np.append(first, last) >> 16)
        # The bin above the block, so that one running maximum serves all bins.
        reach = np.maximum.accumulate(rank << 32 | np.searchsorted(blocks, last >> 16))
        begin = rank << 32 | np.searchsorted(blocks, first >> 16)
        starts = np.flatnonzero(np.append(True, reach[:-1] < begin[1:]))
        return _Pieces(key[starts], first[starts], np.maximum.reduceat(last, starts))


class _Steps(NamedTuple):
    """Linear index with its gaps filled: windows of a contig up to ``reach`` that no earlier step has."""

    tid: I64
    reach: I64
    """Last window of the step, counted from 0."""
    offset: I64
    """Virtual offset of the first record that reaches into them."""


class _Totals(NamedTuple):
    """Records of one contig in one batch."""

    tid: I64
    first: I64
    last: I64
    mapped: I64
    unmapped: I64

    def summed(self) -> _Totals:
        """One item a contig."""
        begins = np.flatnonzero(_changes(self.tid))
        if not len(begins):
            return self
        last = self.last[np.append(begins[1:], len(self.tid)) - 1]
        mapped, unmapped = (np.add.reduceat(counts, begins) for counts in (self.mapped, self.unmapped))
        return _Totals(self.tid[begins], self.first[begins], last, mapped, unmapped)


_Arrays = TypeVar("_Arrays", _Pieces, _Steps, _Totals)


class IndexBuilder:
    """Gathers an index from all records of a file in order.

    Memory goes with the bins and blocks of the file, not with its records.
    """

    def __init__(self, scheme: Scheme, n_contigs: int) -> None:
        self._scheme = scheme
        self._n_contigs = n_contigs
        self._pieces: list[_Pieces] = []
        self._steps: list[_Steps] = []
        self._totals: list[_Totals] = []
        self._unplaced = 0
        self._farthest = -1
        """Contig in the upper half, in the lower the last of its windows that a record has reached."""

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass batches on and take up what they hold. Whoever consumes them has to see that they are sorted.

        Raises:
            FormatError: a record lies where an index of this kind has no bins.
        """
        for batch in batches:
            self._add(batch)
            yield batch

    def _add(self, batch: Batch) -> None:
        placed = int(np.count_nonzero(batch.tid >= 0))
        self._unplaced += len(batch.tid) - placed
        if not placed:
            return
        tid, first, last = batch.tid[:placed], batch.first[:placed], batch.last[:placed]
        # A record with a contig but no position goes where position 0 does, as in htslib.
        start, stop = np.maximum(batch.pos[:placed], 0), np.maximum(batch.end[:placed], 1)
        if int(stop.max()) > self._scheme.limit:
            raise FormatError(
                f"a record ends at base {int(stop.max()):,}, but a {self._scheme.kind.upper()} of this file "
                f"reaches to {self._scheme.limit:,}"
            )
        key = tid << 32 | self._scheme.bins(start, stop)
        begins = np.flatnonzero(_changes(key))
        ends = np.append(begins[1:], placed) - 1
        self._pieces.append(_Pieces(key[begins], first[begins], last[ends]).merged())
        assert batch.unmapped is not None
        mapped = ~batch.unmapped[:placed]
        contigs = np.flatnonzero(_changes(tid))
        counts = np.add.reduceat(mapped.astype(np.int64), contigs)
        ends = np.append(contigs[1:], placed) - 1
        total = ends - contigs + 1
        self._totals.append(_Totals(tid[contigs], first[contigs], last[ends], counts, total - counts))
        self._extend(tid, (stop - 1) >> self._scheme.min_shift, first)

    def _extend(self, tid: I64, window: I64, offset: I64) -> None:
        """Take down the records that reach into a window farther than all before them in their contig.

        Sorted as they are, such a record is the first in all windows that it adds. Windows that it leaves out have no
        record, and htslib fills them with the offset of the next window that has one, which is the same.
        """
        place = tid << 32 | window
        before = np.maximum.accumulate(np.append(self._farthest, place))
        new = np.flatnonzero(place > before[:-1])
        self._steps.append(_Steps(tid[new], window[new], offset[new]))
        self._farthest = int(before[-1])

    def finish(self) -> bytes:
        """The index as a file.

        Raises:
            FormatError: it would be larger than 256 MiB.
        """
        pieces = _joined(_Pieces, self._pieces)
        steps, totals = _joined(_Steps, self._steps), _joined(_Totals, self._totals).summed()
        return _encode(self._scheme, self._n_contigs, _promoted(pieces, self._scheme), steps, totals, self._unplaced)


def _changes(values: I64) -> NDArray[np.bool_]:
    """Whether a value differs from the one before it; the first one does."""
    return np.append(np.ones(min(len(values), 1), bool), values[1:] != values[:-1])


def _joined(kind: type[_Arrays], parts: list[_Arrays]) -> _Arrays:
    """The same arrays of all parts, one behind the other."""
    columns = zip(*parts, strict=True) if parts else [[np.empty(0, np.int64)] for _ in kind._fields]
    return kind(*(np.concatenate(list(column)) for column in columns))


def _promoted(pieces: _Pieces, scheme: Scheme) -> _Pieces:
    """Chunks merged, and small bins moved into their parents where there are any, from the lowest level up."""
    pieces = pieces.merged()
    for level in range(scheme.depth, 0, -1):
        begins = np.flatnonzero(_changes(pieces.key))
        if not len(begins):
            break
        keys = pieces.key[begins]
        number = keys & _LOWER
        size = (np.maximum.reduceat(pieces.last, begins) >> 16) - (pieces.first[begins] >> 16)
        parents = keys - number + ((number - 1) >> 3)
        found = keys[np.minimum(np.searchsorted(keys, parents), len(keys) - 1)] == parents
        here = (number >= scheme.first_of(level)) & (number < scheme.first_of(level + 1))
        moved = np.where(here & (size < _SMALL_BIN) & found, parents, keys)
        pieces = pieces._replace(key=np.repeat(moved, np.diff(np.append(begins, len(pieces.key))))).merged()
    return pieces


def _offsets_of(keys: I64, steps: _Steps, scheme: Scheme) -> I64:
    """The ``loffset`` of bins in a CSI: where the first record begins that reaches into the bin's first window."""
    starts = np.array([scheme.first_of(level) for level in range(scheme.depth + 1)], np.int64)
    number = keys & _LOWER
    level = np.searchsorted(starts, number, side="right") - 1
    window = (number - starts[level]) << 3 * (scheme.depth - level)
    places = steps.tid << 32 | steps.reach
    step = np.searchsorted(places, keys - number + window)
    known = step < len(places)
    step = np.minimum(step, len(places) - 1)
    return np.where(known & (steps.tid[step] == keys >> 32), steps.offset[step], 0) if len(places) else window * 0


def _encode(scheme: Scheme, n_contigs: int, pieces: _Pieces, steps: _Steps, totals: _Totals, unplaced: int) -> bytes:
    bai = scheme.kind == "bai"
    _check_size(pieces, steps, n_contigs)
    begins = np.append(np.flatnonzero(_changes(pieces.key)), len(pieces.key))
    keys = pieces.key[begins[:-1]]
    offsets = None if bai else _offsets_of(keys, steps, scheme)
    words, places = _words(pieces, begins, _heads(keys & _LOWER, np.diff(begins), offsets))
    bins = np.searchsorted(keys >> 32, np.append(totals.tid, n_contigs))
    windows = np.searchsorted(steps.tid, np.append(totals.tid, n_contigs))
    counts = np.full(1, 2)
    metadata = _heads(np.full(1, scheme.metadata), counts, None if bai else counts * 0).tobytes()
    empty = bytes(8 if bai else 4)
    parts = [b"BAI\1" if bai else b"CSI\1" + struct.pack("<iii", scheme.min_shift, scheme.depth, 0)]
    parts.append(struct.pack("<i", n_contigs))
    written = 0
    for row, tid in enumerate(totals.tid.tolist()):
        begin, end = int(bins[row]), int(bins[row + 1])
        parts += [empty * (tid - written), struct.pack("<i", end - begin + 1)]
        parts += [words[places[begin] : places[end]].tobytes(), metadata]
        parts.append(struct.pack("<4Q", *(int(column[row]) for column in totals[1:])))
        if bai:
            reach = steps.reach[windows[row] : windows[row + 1]]
            linear = np.repeat(steps.offset[windows[row] : windows[row + 1]], np.diff(reach, prepend=-1))
            parts += [struct.pack("<i", len(linear)), linear.astype("<u8").tobytes()]
        written = tid + 1
    data = b"".join([*parts, empty * (n_contigs - written), struct.pack("<Q", unplaced)])
    return data if bai else compress(data) + EOF_BLOCK


def _check_size(pieces: _Pieces, steps: _Steps, n_contigs: int) -> None:
    """A few records can claim to reach over every window of every contig."""
    # Before the first step of a contig lies the last one of another; -1 is the last of all.
    ends = np.flatnonzero(_changes(steps.tid)) - 1
    windows = int((steps.reach[ends] + 1).sum())
    if 8 * windows + 48 * len(pieces.key) + 8 * n_contigs > _MAX_INDEX:
        raise FormatError(f"its index would take more than {_MAX_INDEX >> 20} MiB")


def _heads(numbers: I64, counts: I64, offsets: I64 | None) -> I64:
    """What stands before the chunks of each bin, a row of 64-bit words for each: number, offset (CSI), count."""
    if offsets is None:
        return (numbers | counts << 32)[:, None]
    return np.stack([numbers | (offsets & _LOWER) << 32, offsets >> 32 | counts << 32], axis=1)


def _words(pieces: _Pieces, begins: I64, heads: I64) -> tuple[NDArray[np.uint64], I64]:
    """All bins as 64-bit words, and where each bin begins in them."""
    width = heads.shape[1]
    places = width * np.arange(len(begins)) + 2 * begins
    words = np.empty(int(places[-1]), "<u8")
    words[places[:-1, None] + np.arange(width)] = heads
    chunk = np.repeat(width * np.arange(1, len(begins)), np.diff(begins)) + 2 * np.arange(len(pieces.key))
    words[chunk], words[chunk + 1] = pieces.first, pieces.last
    return words, places
