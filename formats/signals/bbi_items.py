"""Items in the blocks of a BigWig or BigBed, as arrays and as text."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.signals.bbi import BbiFile

__all__ = ["BedItems", "Items", "WigItems", "read_bed_items", "read_wig_items"]

_SECTION = 24
_BEDGRAPH, _VARIABLE_STEP, _FIXED_STEP = 1, 2, 3

I64 = NDArray[np.int64]


class Items(Protocol):
    """Items of one block, in the order of the file."""

    @property
    def chromosome(self) -> I64:
        """Number of the chromosome."""
        ...

    @property
    def start(self) -> I64: ...

    @property
    def stop(self) -> I64: ...

    def text(self, rows: I64, names: dict[int, str]) -> bytes:
        """Some items as lines of text."""
        ...


class WigItems(NamedTuple):
    """Items of a BigWig: runs of bases with one value."""

    chromosome: I64
    start: I64
    stop: I64
    value: NDArray[np.float32]

    def text(self, rows: I64, names: dict[int, str]) -> bytes:
        """bedGraph; values with the fewest digits that give the same 32-bit number back."""
        if not len(rows):
            return b""
        name = names[int(self.chromosome[0])].encode("utf-8", "surrogateescape").replace(b"%", b"%%")
        columns = self.start[rows].tolist(), self.stop[rows].tolist(), self.value[rows].astype("S32").tolist()
        return (name + b"\t%d\t%d\t%b\n") * len(rows) % tuple(chain.from_iterable(zip(*columns, strict=True)))


class BedItems(NamedTuple):
    """Items of a BigBed."""

    chromosome: I64
    start: I64
    stop: I64
    rest: list[bytes]
    """The columns from the fourth on."""

    def text(self, rows: I64, names: dict[int, str]) -> bytes:
        """BED."""
        lines = []
        for row in rows.tolist():
            name = names[int(self.chromosome[row])].encode("utf-8", "surrogateescape")
            rest = self.rest[row]
            place = b"%b\t%d\t%d" % (name, int(self.start[row]), int(self.stop[row]))
            lines.append(place + b"\t" + rest + b"\n" if rest else place + b"\n")
        return b"".join(lines)


def read_wig_items(file: BbiFile, offset: int, size: int) -> WigItems:
    """Items of a block of a BigWig; libBigWig writes blocks without any between chromosomes.

    Raises:
        FormatError: the block is damaged.
    """
    data = file.block(offset, size)
    order = file.order
    if len(data) < _SECTION:
        raise FormatError(f"the block at {offset} is too short for a header: damaged")
    chromosome, first, _, step, span = np.frombuffer(data, f"{order}u4", 5).astype(np.int64).tolist()
    kind, count = data[20], int(np.frombuffer(data, f"{order}u2", 1, 22)[0])
    columns = {
        _BEDGRAPH: [("start", f"{order}u4"), ("stop", f"{order}u4"), ("value", f"{order}f4")],
        _VARIABLE_STEP: [("start", f"{order}u4"), ("value", f"{order}f4")],
        _FIXED_STEP: [("value", f"{order}f4")],
    }.get(kind)
    if columns is None:
        raise FormatError(f"the block at {offset} is of the unknown kind {kind}: damaged")
    layout = np.dtype(columns)
    if len(data) != _SECTION + count * layout.itemsize:
        raise FormatError(f"the block at {offset} does not have the {count} items that it states: damaged")
    rows = np.frombuffer(data, layout, count, _SECTION)
    if kind == _FIXED_STEP:
        start = first + step * np.arange(count, dtype=np.int64)
    else:
        start = rows["start"].astype(np.int64)
    stop = rows["stop"].astype(np.int64) if kind == _BEDGRAPH else start + span
    if bool((stop < start).any()) or bool((start[1:] < start[:-1]).any()):
        raise FormatError(f"the items of the block at {offset} are not in order: damaged")
    return WigItems(np.full(count, chromosome), start, stop, rows["value"].astype(np.float32))


def read_bed_items(file: BbiFile, offset: int, size: int) -> BedItems:
    """Items of a block of a BigBed.

    Raises:
        FormatError: the block is damaged.
    """
    data = file.block(offset, size)
    heads: list[int] = []
    rest: list[bytes] = []
    cursor = 0
    while cursor < len(data):
        end = data.find(b"\0", cursor + 12)
        if end < 0:
            raise FormatError(f"the last item of the block at {offset} is cut off: damaged")
        heads.append(cursor)
        rest.append(data[cursor + 12 : end])
        cursor = end + 1
    if any(b"\n" in columns for columns in rest):
        raise FormatError(f"an item of the block at {offset} has a line end inside: it cannot be written as BED")
    if not heads:
        raise FormatError(f"the block at {offset} is empty: damaged")
    place = np.frombuffer(data, np.uint8)[np.array(heads)[:, None] + np.arange(12)].copy()
    numbers = place.view(f"{file.order}u4").astype(np.int64)
    chromosome, start, stop = numbers[:, 0], numbers[:, 1], numbers[:, 2]
    key = chromosome << 32 | start
    if bool((stop < start).any()) or bool((key[1:] < key[:-1]).any()):
        raise FormatError(f"the items of the block at {offset} are not in order: damaged")
    return BedItems(chromosome, start, stop, rest)
