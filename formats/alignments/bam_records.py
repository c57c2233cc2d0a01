"""BAM records as parallel arrays (SAM specification, section 4.2): places, positions, ends.

A record may start in any byte of any BGZF block and run over many blocks. Coordinates are 0-based, half-open.
"""

from __future__ import annotations

import struct
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.intervals.assembly import Places
from lake.formats.intervals.batch import Batch

__all__ = ["BamCodec"]

I64 = NDArray[np.int64]

MAX_RECORD = 1 << 28
"""Longest record that is read, in bytes: far beyond any real one, and a bound for a length that lies."""

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


class BamCodec:
    """Records of a BAM whose header has ``n_contigs`` contigs; for one walk by one thread."""

    def __init__(self, n_contigs: int, *, views: bool = False) -> None:
        self._n_contigs = n_contigs
        self.takes_views = views
        self._together = True

    def decode(self, data: bytes, at: int, places: Places, *, final: bool) -> tuple[Batch | None, int]:
        """
        Raises:
            FormatError: the fields of a record contradict each other.
        """
        offsets = None
        if self._together and len(places.bounds) > 1:
            offsets = _walk_together(data, at, places.bounds)
            # Where records straddle blocks once, they do so everywhere.
            self._together = offsets is not None
        if offsets is None:
            offsets = np.array(_walk(data, at), np.int64)
        if not len(offsets):
            return None, at
        # A record that ends with the data ends where the next block begins, also an empty one, as in htslib.
        behind = bisect_left(places.bounds, places.total)
        if behind < len(places.bounds):
            following = places.coffsets[behind] << places.shift
            places = places._replace(bounds=places.bounds[:behind], coffsets=places.coffsets[:behind], next=following)
        batch = _decode(data, offsets, places, self._n_contigs)
        return batch, int(batch.stop[-1])

    def wanted(self, data: bytes, at: int, places: Places) -> int:
        """Bytes that the record at ``at`` takes, which lies in ``data`` in part; 4 where even its length is not known.

        Raises:
            FormatError: it states a length that cannot be.
        """
        if at + 4 > len(data):
            return 4
        (size,) = _SIZE.unpack_from(data, at)
        if not _SMALLEST <= size <= MAX_RECORD - 4:
            block = places.block_of(at)
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


def _decode(data: bytes, offsets: I64, places: Places, n_contigs: int) -> Batch:
    """Fields of the records at ``offsets``."""
    raw: NDArray[np.void] = np.ndarray((len(data) - 35,), _RAW, data, 0, (1,))
    fixed = raw[offsets].view(_FIXED)
    edges = np.append(offsets, offsets[-1] + int(fixed["size"][-1]) + 4)
    virtual = places.of(edges)
    tid, pos = fixed["tid"].astype(np.int64), fixed["pos"].astype(np.int64)
    name, ops, bases = (fixed[field].astype(np.int64) for field in ("name", "ops", "bases"))
    tags = 4 + _SMALLEST + name + 4 * ops + ((bases + 1) >> 1) + bases
    _check_fields(fixed, tags, virtual, n_contigs)
    unmapped = fixed["flag"] & _UNMAPPED != 0
    length = np.ones(len(offsets), np.int64)
    aligned = np.flatnonzero(~unmapped & (ops > 0))
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
    return Batch(data, offsets, edges[1:], virtual[:-1], virtual[1:], tid, pos, pos + length, unmapped)


def _check_fields(fixed: NDArray[np.void], tags: I64, virtual: I64, n_contigs: int) -> None:
    """``tags`` are the bytes of each record before its tags; ``virtual`` tells where the records are."""
    tid, mate = fixed["tid"], fixed["mate"]
    bad = (tid < -1) | (tid >= n_contigs) | (mate < -1) | (mate >= n_contigs)
    bad |= (fixed["pos"] < -1) | (fixed["bases"] < 0) | (fixed["name"] < 1) | (tags - 4 > fixed["size"])
    if bad.any():
        where = int(virtual[int(np.argmax(bad))])
        raise FormatError(f"damaged record in the BGZF block at {where >> 16}: its fields contradict each other")


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
