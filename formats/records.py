"""BAM records as parallel arrays (SAM specification, section 4.2): places, positions, ends.

A record may start in any byte of any BGZF block and run over many blocks. Coordinates are 0-based, half-open.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.bgzf import Run

__all__ = ["NO_CONTIG", "Batch", "key_of", "read_records"]

I64 = NDArray[np.int64]

MAX_RECORD = 1 << 28
"""Longest record that is read, in bytes: far beyond any real one, and a bound for a length that lies."""

NO_CONTIG = (1 << 31) - 1
"""Stands in keys for the missing contig, which sorts behind all others."""

_SIZE = struct.Struct("<i")
_SMALLEST = 32
_OPS_AT_ONCE = 1 << 20
_FIXED = np.dtype(
    {
        "names": ["size", "tid", "pos", "name", "ops", "flag", "bases", "mate"],
        "formats": ["<i4", "<i4", "<i4", "u1", "<u2", "<u2", "<i4", "<i4"],
        "offsets": [0, 4, 8, 12, 16, 18, 20, 24],
        "itemsize": 36,
    }
)
_UNMAPPED = 4
_SOFT_CLIP = 4
_CONSUMES = np.array([op in (0, 2, 3, 7, 8) for op in range(16)], dtype=np.int64)
"""Whether a CIGAR operation consumes reference bases: M, D, N, = and X."""

_TAG_SIZES = {b"A": 1, b"c": 1, b"C": 1, b"s": 2, b"S": 2, b"i": 4, b"I": 4, b"f": 4, b"d": 8}


class Batch(NamedTuple):
    """Some consecutive records. Every array has one item a record."""

    data: bytes
    """Inflated bytes in which the records lie."""
    offset: I64
    """Where each record starts in ``data``, at its length field."""
    stop: I64
    """Where each record ends in ``data``."""
    first: I64
    """Virtual offset of each record."""
    last: I64
    """Virtual offset behind each record."""
    tid: I64
    """Index of the contig in the header; -1 for none."""
    pos: I64
    """Leftmost base, -1 for none."""
    end: I64
    """Base behind the rightmost one, as htslib's ``bam_endpos``: at least one base, also for unmapped reads."""

    @property
    def key(self) -> I64:
        """The order of a sorted file, see `key_of`."""
        return np.where(self.tid < 0, NO_CONTIG, self.tid) << 32 | (self.pos + 1)


def key_of(tid: int, pos: int) -> int:
    """Place of a record in the order of a sorted file; records without a contig come last."""
    return (NO_CONTIG if tid < 0 else tid) << 32 | min(pos + 1, (1 << 32) - 1)


def read_records(runs: Iterator[Run], uoffset: int, n_contigs: int) -> Iterator[Batch]:
    """All records from byte ``uoffset`` of the first run to the end of the runs, a batch for a run or for several.

    A record that is not whole in a run is kept back until the runs that complete it have come.

    Raises:
        FormatError: a record is damaged, or the data ends inside one.
    """
    pieces: list[bytes] = []
    bounds: list[int] = []
    coffsets: list[int] = []
    total, at, wanted, together = 0, uoffset, 4, True
    for run in runs:
        if not coffsets and at > [*run.bounds, len(run.data)][1]:
            raise FormatError(f"the BGZF block at {run.coffsets[0]} is shorter than {at} bytes; index damaged")
        bounds += [total + bound for bound in run.bounds]
        coffsets += run.coffsets
        pieces.append(run.data)
        total += len(run.data)
        if total < at + wanted:
            continue
        data = b"".join(pieces) if len(pieces) > 1 else pieces[0]
        offsets = _walk_together(data, at, bounds) if together and len(bounds) > 1 else None
        if offsets is None:
            # Where records straddle blocks once, they do so everywhere.
            together = len(bounds) == 1
            offsets = np.array(_walk(data, at), np.int64)
        if len(offsets):
            places = np.array([*bounds, total], np.int64), np.array([*coffsets, run.next], np.int64)
            batch = _decode(data, offsets, places, n_contigs)
            at = int(batch.stop[-1])
            yield batch
        wanted = _wanted(data, at, bounds, coffsets)
        block = bisect_right(bounds, at) - 1
        bounds, coffsets = [bound - at for bound in bounds[block:]], coffsets[block:]
        pieces, total, at = [data[at:]] if at < total else [], total - at, 0
    if total != at:
        raise FormatError("the file ends inside a record: it is truncated, or its index is damaged")


def _wanted(data: bytes, at: int, bounds: list[int], coffsets: list[int]) -> int:
    """Bytes that the record at ``at`` takes, which lies in ``data`` in part; 4 where even its length is not known."""
    if at + 4 > len(data):
        return 4
    (size,) = _SIZE.unpack_from(data, at)
    if not _SMALLEST <= size <= MAX_RECORD - 4:
        block = coffsets[bisect_right(bounds, at) - 1]
        raise FormatError(f"damaged record in the BGZF block at {block}: it states a length of {size} bytes")
    return int(size) + 4


def _walk(data: bytes, at: int) -> list[int]:
    """Offsets of the whole records from ``at`` on, up to the first that is not whole or not possible."""
    offsets: list[int] = []
    unpack, last, stop = _SIZE.unpack_from, len(data) - 4, len(data)
    while at <= last:
        (size,) = unpack(data, at)
        following = at + 4 + size
        if size < _SMALLEST or following > stop:
            break
        offsets.append(at)
        at = following
    return offsets


def _walk_together(data: bytes, at: int, bounds: list[int]) -> I64 | None:
    """The same walk by many lanes at once, each from the start of a block to the start of the next.

    Most writers start a block with a record. That is a guess, and proven when every lane arrives exactly where the
    next one began, since the first lane began at a record. Otherwise: None.
    """
    starts = np.unique(np.array([at, *(bound for bound in bounds if at < bound <= len(data) - 4)], np.int64))
    sizes: NDArray[np.int32] = np.ndarray((max(len(data) - 3, 0),), "<i4", data, 0, (1,))
    lanes, stops = starts[:-1], starts[1:]
    found = []
    while lanes.size:
        found.append(lanes)
        step = sizes[lanes]
        if int(step.min()) < _SMALLEST:
            return None
        lanes = lanes + step + 4
        alive = lanes < stops
        if not alive.all():
            if (lanes[~alive] != stops[~alive]).any():
                return None
            lanes, stops = lanes[alive], stops[alive]
    found.append(np.array(_walk(data, int(starts[-1])), np.int64))
    return np.sort(np.concatenate(found))


def _decode(data: bytes, offsets: I64, places: tuple[I64, I64], n_contigs: int) -> Batch:
    """Fields of the records at ``offsets``; ``places`` are starts and file offsets of the blocks in ``data``."""
    fixed = np.ndarray((len(data) - 35,), _FIXED, data, 0, (1,))[offsets]
    tid, pos, size = (fixed[name].astype(np.int64) for name in ("tid", "pos", "size"))
    name, ops, bases = (fixed[name].astype(np.int64) for name in ("name", "ops", "bases"))
    mate = fixed["mate"]
    bad = (tid < -1) | (tid >= n_contigs) | (mate < -1) | (mate >= n_contigs) | (pos < -1) | (bases < 0) | (name < 1)
    bad |= _SMALLEST + name + 4 * ops + (bases + 1) // 2 + bases > size
    stop = offsets + size + 4
    first = _virtual(offsets, places)
    if bad.any():
        where = int(first[int(np.argmax(bad))])
        raise FormatError(f"damaged record in the BGZF block at {where >> 16}: its fields contradict each other")
    length = np.ones(len(offsets), np.int64)
    aligned = np.flatnonzero((ops > 0) & (fixed["flag"] & _UNMAPPED == 0))
    if len(aligned):
        cigar = (offsets + 36 + name)[aligned]
        spans = _spans(data, cigar, ops[aligned])
        leading: NDArray[np.uint32] = np.ndarray((len(data) - 3,), "<u4", data, 0, (1,))[cigar]
        long = (leading & 15 == _SOFT_CLIP) & (leading >> 4 == bases[aligned]) & (tid[aligned] >= 0)
        for index in np.flatnonzero(long & (pos[aligned] >= 0)).tolist():
            record = int(aligned[index])
            tags = int(cigar[index] + 4 * ops[record] + (bases[record] + 1) // 2 + bases[record])
            spans[index] = _span_of_tag(data, tags, int(stop[record]), int(ops[record]), int(spans[index]))
        length[aligned] = np.maximum(spans, 1)
    return Batch(data, offsets, stop, first, _virtual(stop, places), tid, pos, pos + length)


def _virtual(flat: I64, places: tuple[I64, I64]) -> I64:
    bounds, coffsets = places
    block = np.searchsorted(bounds, flat, side="right") - 1
    return coffsets[block] << 16 | (flat - bounds[block])


def _spans(data: bytes, cigar: I64, ops: I64) -> I64:
    """Reference bases that each CIGAR covers. Long lists of operations are taken in parts to bound memory."""
    words: NDArray[np.uint32] = np.ndarray((len(data) - 3,), "<u4", data, 0, (1,))
    spans = np.empty(len(cigar), np.int64)
    behind = np.cumsum(ops)
    done = 0
    while done < len(cigar):
        before = int(behind[done - 1]) if done else 0
        upto = max(int(np.searchsorted(behind, before + _OPS_AT_ONCE, side="right")), done + 1)
        count = ops[done:upto]
        starts = behind[done:upto] - count - before
        index = np.repeat(cigar[done:upto] - 4 * starts, count) + 4 * np.arange(int(count.sum()))
        op = words[index]
        spans[done:upto] = np.add.reduceat(_CONSUMES[op & 15] * (op >> 4), starts)
        done = upto
    return spans


def _span_of_tag(data: bytes, at: int, stop: int, n_ops: int, span: int) -> int:
    """Reference bases of a CIGAR kept in the CG tag (SAM specification, section 4.2.2), else ``span``.

    htslib takes the tag when it is an array of 32-bit integers no shorter than the CIGAR that stands in for it.
    """
    while at + 3 <= stop:
        tag, kind = data[at : at + 2], data[at + 2 : at + 3]
        at += 3
        if kind in (b"Z", b"H"):
            at = data.find(b"\0", at, stop) + 1
            if at == 0:
                return span
        elif kind == b"B":
            width, count = _TAG_SIZES.get(data[at : at + 1], 0), int.from_bytes(data[at + 1 : at + 5], "little")
            if not width or at + 5 + width * count > stop:
                return span
            if tag == b"CG":
                if data[at : at + 1] not in (b"I", b"i") or not n_ops <= count < 1 << 29:
                    return span
                op = np.frombuffer(data, "<u4", count, at + 5)
                return int((_CONSUMES[op & 15] * (op >> 4)).sum())
            at += 5 + width * count
        elif kind in _TAG_SIZES:
            at += _TAG_SIZES[kind]
        else:
            return span
    return span
