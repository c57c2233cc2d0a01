"""BAM records as parallel arrays (SAM specification, section 4.2): places, positions, ends.

A record may start in any byte of any BGZF block and run over many blocks. Coordinates are 0-based, half-open.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
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
_LANE_ITEMS = 1 << 21
"""Most places that lanes may take down together, 16 MiB: short blocks beside long ones would take any number."""

_UNCHECKED_STEPS = 8
"""Records that lanes step over before it is asked whether all have arrived."""

_FIXED = np.dtype(
    {
        "names": ["size", "tid", "pos", "name", "ops", "flag", "bases", "mate"],
        "formats": ["<i4", "<i4", "<i4", "u1", "<u2", "<u2", "<i4", "<i4"],
        "offsets": [0, 4, 8, 12, 16, 18, 20, 24],
        "itemsize": 36,
    }
)
_RAW = np.dtype((np.void, _FIXED.itemsize))
"""The same bytes as one item: numpy gathers those four times as fast as items with fields."""

_UNMAPPED = 4
_SOFT_CLIP = 4
_CONSUMES = np.array([op in (0, 2, 3, 7, 8) for op in range(16)], dtype=np.int64)
"""Whether a CIGAR operation consumes reference bases: M, D, N, = and X."""

_TAG_SIZES = {b"A": 1, b"c": 1, b"C": 1, b"s": 2, b"S": 2, b"i": 4, b"I": 4, b"f": 4, b"d": 8}


class Batch(NamedTuple):
    """Some consecutive records. Every array has one item a record."""

    data: bytes | memoryview
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
    mapped: NDArray[np.bool_]
    """Whether the flag says so; a read that is not may have a place all the same, that of its mate."""

    @property
    def key(self) -> I64:
        """The order of a sorted file, see `key_of`."""
        return np.where(self.tid < 0, NO_CONTIG << 32, self.tid << 32 | (self.pos + 1))


def key_of(tid: int, pos: int) -> int:
    """Place of a record in the order of a sorted file; records without a contig come last, in any order."""
    return NO_CONTIG << 32 if tid < 0 else tid << 32 | min(pos + 1, (1 << 32) - 1)


def read_records(runs: Iterator[Run], uoffset: int, n_contigs: int) -> Iterator[Batch]:
    """All records from byte ``uoffset`` of the first run to the end of the runs, a batch for a run or for several.

    A record that is not whole in a run is kept back until the runs that complete it have come.

    Raises:
        FormatError: a record is damaged, or the data ends inside one.
    """
    pieces: list[bytes | memoryview] = []
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
            # A record that ends with the data ends where the next block begins, also an empty one, as in htslib.
            behind = bisect_left(bounds, total)
            starts, files = [*bounds[:behind], total], [*coffsets, run.next][: behind + 1]
            places = np.array(starts, np.int64), np.array(files, np.int64)
            batch = _decode(data, offsets, places, n_contigs)
            at = int(batch.stop[-1])
            yield batch
        wanted = _wanted(data, at, bounds, coffsets)
        block = bisect_right(bounds, at) - 1
        bounds, coffsets = [bound - at for bound in bounds[block:]], coffsets[block:]
        pieces, total, at = [bytes(data[at:])] if at < total else [], total - at, 0
    if total != at:
        raise FormatError("the file ends inside a record: it is truncated, or its index is damaged")


def _wanted(data: bytes | memoryview, at: int, bounds: list[int], coffsets: list[int]) -> int:
    """Bytes that the record at ``at`` takes, which lies in ``data`` in part; 4 where even its length is not known."""
    if at + 4 > len(data):
        return 4
    (size,) = _SIZE.unpack_from(data, at)
    if not _SMALLEST <= size <= MAX_RECORD - 4:
        block = coffsets[bisect_right(bounds, at) - 1]
        raise FormatError(f"damaged record in the BGZF block at {block}: it states a length of {size} bytes")
    return int(size) + 4


def _walk(data: bytes | memoryview, at: int) -> list[int]:
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


def _walk_together(data: bytes | memoryview, at: int, bounds: list[int]) -> I64 | None:
    """The same walk by many lanes at once, each from the start of a block to the start of the next.

    Most writers start a block with a record. That is a guess, and proven when every lane arrives exactly where the
    next one began, since the first lane began at a record. Otherwise: None.
    """
    starts = np.unique(np.array([at, *(bound for bound in bounds if at < bound <= len(data) - 4)], np.int64))
    sizes: NDArray[np.uint32] = np.ndarray((max(len(data) - 3, 0),), "<u4", data, 0, (1,))
    lanes, stops = starts[:-1], starts[1:]
    steps: list[I64] = []
    lengths: list[NDArray[np.uint32]] = []
    while len(steps) % _UNCHECKED_STEPS or bool((lanes < stops).any()):
        steps.append(lanes)
        lengths.append(sizes[lanes])
        lanes = lanes + lengths[-1]
        lanes += 4
        if lanes.size * len(steps) > _LANE_ITEMS:
            return None
        # A lane that has arrived stays where it is; one that has jumped too far shows when the records are chained.
        np.minimum(lanes, stops, out=lanes)
    last = np.array(_walk(data, int(starts[-1])), np.int64)
    if not steps:
        return last
    reached = np.array(steps).T
    under_way = reached < stops[:, None]
    offsets = np.concatenate([reached[under_way], last])
    length = np.concatenate([np.array(lengths).T[under_way], sizes[last]]).astype(np.int64)
    chained = bool((offsets[:-1] + length[:-1] + 4 == offsets[1:]).all())
    arrived = len(last) > 0 or int(offsets[-1] + length[-1] + 4) == int(starts[-1])
    return offsets if chained and arrived and int(length.min()) >= _SMALLEST else None


def _decode(data: bytes | memoryview, offsets: I64, places: tuple[I64, I64], n_contigs: int) -> Batch:
    """Fields of the records at ``offsets``; ``places`` are starts and file offsets of the blocks in ``data``."""
    raw: NDArray[np.void] = np.ndarray((len(data) - 35,), _RAW, data, 0, (1,))
    fixed = raw[offsets].view(_FIXED)
    edges = np.append(offsets, offsets[-1] + int(fixed["size"][-1]) + 4)
    virtual = _virtual(edges, places)
    tid, pos = fixed["tid"].astype(np.int64), fixed["pos"].astype(np.int64)
    name, ops, bases = (fixed[field].astype(np.int64) for field in ("name", "ops", "bases"))
    tags = 4 + _SMALLEST + name + 4 * ops + ((bases + 1) >> 1) + bases
    _check_fields(fixed, tags, virtual, n_contigs)
    mapped = fixed["flag"] & _UNMAPPED == 0
    length = np.ones(len(offsets), np.int64)
    aligned = np.flatnonzero(mapped & (ops > 0))
    if len(aligned):
        cigar = offsets[aligned] + 36 + name[aligned]
        leading: NDArray[np.uint32] = np.ndarray((len(data) - 3,), "<u4", data, 0, (1,))[cigar]
        spans = _CONSUMES[leading & 15] * (leading >> 4)
        several = np.flatnonzero(ops[aligned] > 1)
        if len(several):
            spans[several] = _spans(data, cigar[several], ops[aligned[several]])
        clipped = np.flatnonzero(leading & 15 == _SOFT_CLIP)
        record = aligned[clipped]
        long = (leading[clipped] >> 4 == bases[record]) & (tid[record] >= 0) & (pos[record] >= 0)
        for index in clipped[long].tolist():
            at = int(aligned[index])
            rest = bytes(data[int(offsets[at] + tags[at]) : int(edges[at + 1])])
            spans[index] = _span_of_tag(rest, int(ops[at]), int(spans[index]))
        length[aligned] = np.maximum(spans, 1)
    return Batch(data, offsets, edges[1:], virtual[:-1], virtual[1:], tid, pos, pos + length, mapped)


def _check_fields(fixed: NDArray[np.void], tags: I64, virtual: I64, n_contigs: int) -> None:
    """``tags`` are the bytes of each record before its tags; ``virtual`` tells where the records are."""
    tid, mate = fixed["tid"], fixed["mate"]
    bad = (tid < -1) | (tid >= n_contigs) | (mate < -1) | (mate >= n_contigs)
    bad |= (fixed["pos"] < -1) | (fixed["bases"] < 0) | (fixed["name"] < 1) | (tags - 4 > fixed["size"])
    if bad.any():
        where = int(virtual[int(np.argmax(bad))])
        raise FormatError(f"damaged record in the BGZF block at {where >> 16}: its fields contradict each other")


def _virtual(flat: I64, places: tuple[I64, I64]) -> I64:
    """Virtual offsets of ascending places in the data."""
    bounds, coffsets = places
    counts = np.diff(np.append(np.searchsorted(flat, bounds), len(flat)))
    return flat + np.repeat((coffsets << 16) - bounds, counts)


def _spans(data: bytes | memoryview, cigar: I64, ops: I64) -> I64:
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


def _span_of_tag(data: bytes, n_ops: int, span: int) -> int:
    """Reference bases of a CIGAR kept in the CG tag (SAM specification, section 4.2.2), else ``span``.

    ``data`` are the tags of a record.

    htslib takes the tag when it is an array of 32-bit integers no shorter than the CIGAR that stands in for it.
    """
    at, stop = 0, len(data)
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
