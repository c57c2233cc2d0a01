"""A BAM that arrives as a stream of bytes: its header, then batches of records. Nothing is read twice."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.alignments.bam_records import BamCodec
from lake.formats.compression.bgzf import EOF_BLOCK, Run, inflate, split_blocks
from lake.formats.intervals.assembly import BGZF_SHIFT, assemble
from lake.formats.intervals.batch import Batch

__all__ = ["BamStream", "open_bam_stream", "stream_runs"]

_MAX_HEADER = 1 << 28
_BLOCKS_AT_ONCE = 128
"""At most 8 MiB when they are inflated."""


class BamStream(NamedTuple):
    """An open stream."""

    text: bytes
    """The SAM header."""
    contigs: tuple[str, ...]
    """Names in the order by which records count."""
    batches: Iterator[Batch]
    """The records, in bounded memory."""


def open_bam_stream(pieces: Iterator[bytes]) -> BamStream:
    """Read the header; the records follow as they are asked for.

    Args:
        pieces: the bytes of a whole BAM, cut anywhere.

    Raises:
        FormatError: not a BAM, damaged, or cut off: also raised by the batches.
    """
    runs = stream_runs(pieces)
    data = bytearray()

    def need(size: int) -> None:
        if size > _MAX_HEADER:
            raise FormatError("the BAM header is larger than 256 MiB, or its lengths are damaged")
        while len(data) < size:
            run = next(runs, None)
            if run is None:
                raise FormatError("the stream ends inside its BAM header")
            data.extend(run.data)

    def number(at: int) -> int:
        need(at + 4)
        (value,) = struct.unpack_from("<i", data, at)
        if value < 0:
            raise FormatError(f"the BAM header is damaged: it states a length of {value}")
        return int(value)

    need(4)
    if data[:4] != b"BAM\1":
        raise FormatError("not a BAM: the inflated data does not begin with BAM and 1")
    at = 8 + number(4)
    text_end, count = at, number(at)
    at += 4
    names = []
    for _ in range(count):
        size = number(at)
        need(at + size + 8)
        names.append(bytes(data[at + 4 : at + 3 + size]).decode("utf-8", "replace"))
        at += size + 8
    rest = Run(bytes(data[at:]), [0], [0], 0)
    return BamStream(bytes(data[8:text_end]), tuple(names), _batches(rest, runs, len(names)))


def _batches(rest: Run, runs: Iterator[Run], contigs: int) -> Iterator[Batch]:
    def all_runs() -> Iterator[Run]:
        if rest.data:
            yield rest
        yield from runs

    return assemble(all_runs(), 0, BamCodec(contigs), BGZF_SHIFT)


def stream_runs(pieces: Iterator[bytes]) -> Iterator[Run]:
    """Blocks as they come, some MiB of inflated bytes at once; places count from the start of the stream.

    Raises:
        FormatError: damaged, or without the end marker.
    """
    waiting, offset, ended = b"", 0, False
    for piece in pieces:
        waiting += piece
        done = 0
        blocks: list[bytes] = []
        coffsets: list[int] = []
        for start, size in split_blocks(waiting, offset):
            blocks.append(inflate(waiting[start : start + size], offset + start))
            coffsets.append(offset + start)
            done = start + size
            ended = waiting[start:done] == EOF_BLOCK
            if len(blocks) == _BLOCKS_AT_ONCE:
                yield _run(blocks, coffsets, offset + done)
                blocks, coffsets = [], []
        if blocks:
            yield _run(blocks, coffsets, offset + done)
        offset, waiting = offset + done, waiting[done:]
    if waiting or not ended:
        raise FormatError("the stream ends without the BGZF end marker: records may be missing")


def _run(blocks: list[bytes], coffsets: list[int], following: int) -> Run:
    bounds = [0, *accumulate(len(block) for block in blocks)]
    return Run(b"".join(blocks), coffsets, bounds[:-1], following)
