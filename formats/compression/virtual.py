"""From ranges of virtual offsets to segments: the step that every record format in BGZF shares.

Whole blocks become spans, without a look inside; parts of blocks are compressed anew. Inflated and concatenated, the
segments are exactly the bytes of the ranges, so a record that straddles blocks needs no care, and every segment ends
where a block of the output ends.
"""

from __future__ import annotations

from collections.abc import Iterable

from lake.errors import FormatError
from lake.formats.compression.bgzf import BgzfReader, compress
from lake.segments import Literal, Segment, Span, merge_segments

__all__ = ["Range", "compile_ranges", "merge_ranges"]

_PENDING = 64
"""Parts of blocks that are held before they are compressed; each keeps its whole block in memory."""

Range = tuple[int, int]
"""Virtual offsets ``[first, last)`` of records."""


def merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in file order, joined where they overlap or touch; empty ones dropped."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if first >= last:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def compile_ranges(blocks: BgzfReader, ranges: Iterable[Range]) -> tuple[Segment, ...]:
    """Segments whose inflated bytes are those of the ranges, which must be ordered and disjoint.

    Raises:
        FormatError: a block at an edge is damaged, or a range does not lie in the file.
    """
    segments: list[Segment] = []
    pending: list[memoryview] = []

    def flush() -> None:
        if pending:
            segments.append(Literal(compress(b"".join(pending))))
            pending.clear()

    def add(data: bytes, start: int, stop: int, coffset: int) -> None:
        pending.append(_part(data, start, stop, coffset))
        if len(pending) > _PENDING:
            flush()

    for first, last in ranges:
        coffset, inside = first >> 16, first & 0xFFFF
        last_block, last_inside = last >> 16, last & 0xFFFF
        if inside and coffset < last_block:
            block = blocks.block(coffset)
            add(block.data, inside, len(block.data), coffset)
            coffset, inside = block.next, 0
        if coffset < last_block:
            flush()
            segments.append(Span(blocks.reader.source, coffset, last_block - coffset))
        elif coffset > last_block:
            raise FormatError(f"the virtual offset {last:#x} does not name a block of the file; its index is damaged")
        if last_inside:
            add(blocks.block(last_block).data, inside, last_inside, last_block)
    flush()
    return merge_segments(segments)


def _part(data: bytes, start: int, stop: int, coffset: int) -> memoryview:
    if not start <= stop <= len(data):
        raise FormatError(f"the BGZF block at {coffset} has {len(data)} bytes, not {max(start, stop)}; index damaged")
    return memoryview(data)[start:stop]
