"""Does a BAI or CSI belong to a BAM? A cheap look, since a wrong index loses reads without a word.

Every chunk must begin and end inside a block of the file, the chunks of a contig must follow one another without a
gap from the first record to the unplaced reads, and in a sample of blocks each chunk must begin with a record of its
contig and bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.alignments.bam_source import BamSource
from lake.formats.compression.bgzf import block_size_at
from lake.formats.intervals.batch import NO_CONTIG, POSITION_BITS
from lake.formats.intervals.binning import BAI_LIMIT, BinningIndex, Chunks

__all__ = ["reason_to_refuse"]

_SAMPLE = 64
"""Blocks that are inflated; a few milliseconds."""

_EMPTY_BLOCKS = 64

I64 = NDArray[np.int64]


def reason_to_refuse(source: BamSource, index: BinningIndex, kind: str) -> str | None:
    """Why the index cannot belong to the file (one sentence), or None."""
    try:
        contigs = source.header.contigs
        if len(index.contigs) > len(contigs):
            return f"the index has {len(index.contigs)} contigs, the file {len(contigs)}"
        if kind == "bai" and max(contigs.values(), default=0) > BAI_LIMIT:
            return "the file has a contig of more than 2^29 bases, which a BAI cannot address"
        known = [(tid, chunks) for tid, chunks in enumerate(index.contigs) if len(chunks.first)]
        return _tiling(source, known) or _blocks(source, known) or _sample(source, known)
    except FormatError as error:
        return str(error)


def _tiling(source: BamSource, known: list[tuple[int, Chunks]]) -> str | None:
    """Do the chunks, contig after contig, cover all from the first record to the unplaced reads?"""
    reached = source.start
    for tid, chunks in known:
        begin = int(chunks.first[0])
        if begin < reached and not _same_place(source, begin, reached):
            return f"the chunks of contig {tid} begin before those of the contig ahead of it end"
        before = np.maximum.accumulate(np.r_[reached, chunks.last[:-1]])
        for gap in np.flatnonzero(chunks.first > before).tolist():
            if not _same_place(source, int(before[gap]), int(chunks.first[gap])):
                return f"the chunks of contig {tid} leave a gap at {int(before[gap]) >> 16}"
        reached = max(reached, int(chunks.last.max()))
    key = source.peek(reached)
    if key is not None and key >> POSITION_BITS != NO_CONTIG:
        return f"records with a contig follow at {reached >> 16}, where the chunks of the index end"
    return None


def _same_place(source: BamSource, left: int, right: int) -> bool:
    """Whether nothing lies between two virtual offsets: the end of a block is the start of the next."""
    for _ in range(_EMPTY_BLOCKS):
        if left >= right:
            break
        block = source.blocks.block(left >> 16)
        if left & 0xFFFF != len(block.data) or block.next == left >> 16:
            return False
        left = block.next << 16
    return left == right


def _blocks(source: BamSource, known: list[tuple[int, Chunks]]) -> str | None:
    """Is every offset inside a block of the file?"""
    if not known:
        return None
    offsets = np.unique(np.concatenate([np.r_[chunks.first, chunks.last] for _, chunks in known]))
    coffsets, inside = offsets >> 16, offsets & 0xFFFF
    last = np.flatnonzero(np.r_[coffsets[1:] != coffsets[:-1], True])
    reader = source.reader
    for coffset, highest in zip(coffsets[last].tolist(), inside[last].tolist(), strict=True):
        if coffset == reader.size and not highest:
            continue
        size = block_size_at(reader, coffset) if coffset < reader.size else None
        if size is None or coffset + size > reader.size:
            return f"no block of the file starts at {coffset}, where the index has one"
        if highest > int.from_bytes(reader.read(coffset + size - 4, 4), "little"):
            return f"the block at {coffset} has less than {highest} bytes"
    return None


def _sample(source: BamSource, known: list[tuple[int, Chunks]]) -> str | None:
    """In some blocks, does each chunk begin with a record of its contig and bin, and end where a record ends?"""
    if not known:
        return None
    first, last, low, high = (
        np.concatenate([getattr(chunks, name) for _, chunks in known]) for name in ("first", "last", "low", "high")
    )
    tids = np.concatenate([np.full(len(chunks.first), tid) for tid, chunks in known])
    blocks = np.unique(first >> 16)
    picked = blocks[np.unique(np.linspace(0, len(blocks) - 1, _SAMPLE).astype(np.int64))]
    for coffset in picked.tolist():
        here = slice(*np.searchsorted(first, [coffset << 16, (coffset + 1) << 16]).tolist())
        begins = _Begins(first[here], tids[here], low[here], high[here])
        reason = _check_block(source, begins, np.unique(last[(last >> 16) == coffset]))
        if reason:
            return reason
    return None


class _Begins(NamedTuple):
    """Chunks that begin in one block: where, of which contig, and the window of their bin."""

    first: I64
    tid: I64
    low: I64
    high: I64


def _check_block(source: BamSource, begins: _Begins, ends: I64) -> str | None:
    first = begins.first
    coffset = int(first[0]) >> 16
    batch = next(source.walk(int(first[0])), None)
    if batch is None:
        return f"no record starts in the block at {coffset}, where a chunk begins"
    whole = first <= batch.first[-1]
    record = np.searchsorted(batch.first, first[whole])
    if bool((batch.first[record] != first[whole]).any()):
        return f"a chunk begins inside a record of the block at {coffset}"
    inside = ends[(ends >= first[0]) & (ends < batch.last[-1])]
    if not np.isin(inside, batch.first).all():
        return f"a chunk ends inside a record of the block at {coffset}"
    if bool((batch.tid[record] != begins.tid[whole]).any()):
        return f"a chunk in the block at {coffset} begins with a record of another contig"
    # A small bin may have been merged into the one above it, so the bin need not be the smallest that fits.
    if bool(((batch.pos[record] < begins.low[whole]) | (batch.end[record] > begins.high[whole])).any()):
        return f"a record in the block at {coffset} does not lie in the bin that names it"
    return None
