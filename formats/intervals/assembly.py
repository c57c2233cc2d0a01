"""Records out of runs of inflated bytes, whatever the borders of the runs: what every codec of records shares."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.bgzf import Run
from lake.formats.intervals.batch import Batch

__all__ = ["BGZF_SHIFT", "PLAIN_SHIFT", "Codec", "Places", "assemble"]

I64 = NDArray[np.int64]

BGZF_SHIFT = 16
PLAIN_SHIFT = 0
"""Bits that the offset of a block is shifted by in a place: none where a place is the offset of a byte."""


class Places(NamedTuple):
    """From offsets in inflated bytes to places in the file."""

    bounds: list[int]
    """Where each block starts in the bytes; may be negative for the first one."""
    coffsets: list[int]
    """File offset of each block."""
    total: int
    """Inflated bytes at hand."""
    next: int
    """Place of the byte after them."""
    shift: int

    def of(self, flat: I64) -> I64:
        """Places of bytes, ascending; a byte behind the end of a block is the first one of the next block."""
        bounds = np.array([*self.bounds, self.total], np.int64)
        begins = np.array([*(coffset << self.shift for coffset in self.coffsets), self.next], np.int64)
        counts = np.diff(np.append(np.searchsorted(flat, bounds), len(flat)))
        return flat + np.repeat(begins - bounds, counts)

    def block_of(self, at: int) -> int:
        """File offset of the block in which a byte lies."""
        return self.coffsets[max(bisect_right(self.bounds, at) - 1, 0)]


class Codec(Protocol):
    """Knows where a record ends and what it says."""

    @property
    def takes_views(self) -> bool:
        """Whether data may come as a view of bytes, which saves a copy of everything."""
        ...

    def decode(self, data: bytes, at: int, places: Places, *, final: bool) -> tuple[Batch | None, int]:
        """The whole records from byte ``at`` on, and where the first one begins that is not whole.

        ``final`` says that nothing follows the data.

        Raises:
            FormatError: a record is damaged.
        """
        ...

    def wanted(self, data: bytes, at: int, places: Places) -> int:
        """Bytes from ``at`` on without which another look at a record that is not whole makes no sense.

        Raises:
            FormatError: no record can be that long.
        """
        ...


def assemble(runs: Iterator[Run], uoffset: int, codec: Codec, shift: int, last: int | None = None) -> Iterator[Batch]:
    """All records from byte ``uoffset`` of the first run to the end of the runs, a batch for a run or for several.

    With runs of single blocks, ``last`` is a place where a record ends, behind which nothing is looked at.

    A record that is not whole in a run is kept back until the runs that complete it have come.

    Raises:
        FormatError: a record is damaged, or the data ends inside one.
    """
    pieces: list[bytes] = []
    bounds: list[int] = []
    coffsets: list[int] = []
    total, at, wanted, following = 0, uoffset, 1, 0
    for run in runs:
        if not coffsets and at > [*run.bounds, len(run.data)][1]:
            raise FormatError(f"the BGZF block at {run.coffsets[0]} is shorter than {at} bytes; index damaged")
        begin = run.coffsets[0] << shift
        bounds += [total + bound for bound in run.bounds]
        coffsets += run.coffsets
        following = run.next << shift
        piece = run.data
        if last is not None and begin + len(piece) >= last:
            piece, following = piece[: last - begin], last
        pieces.append(piece)
        total += len(piece)
        if last is not None and following < last and following >> shift == last >> shift:
            # The next block is the last one: a single look at both costs half as much as one at each.
            continue
        if total >= at + wanted:
            data = pieces[0] if len(pieces) == 1 and codec.takes_views else b"".join(pieces)
            places = Places(bounds, coffsets, total, following, shift)
            batch, at = codec.decode(data, at, places, final=False)
            if batch is not None:
                yield batch
            wanted = codec.wanted(data, at, places)
            block = max(bisect_right(bounds, at) - 1, 0)
            bounds, coffsets = [bound - at for bound in bounds[block:]], coffsets[block:]
            pieces, total, at = [bytes(data[at:])] if at < total else [], total - at, 0
        if last is not None and following >= last:
            break
    if total > at:
        batch, at = codec.decode(b"".join(pieces), at, Places(bounds, coffsets, total, following, shift), final=True)
        if batch is not None:
            yield batch
    if total != at:
        raise FormatError("the file ends inside a record: it is truncated, or its index is damaged")
