"""BigWig and BigBed: header, chromosomes and blocks.

Format: Kent et al. 2010 (Bioinformatics 26:2204), supplementary tables 5 (header), 8 to 11 (B+ tree of chromosomes),
13 (section of a BigWig) and 14 to 17 (R tree). Either byte order. Coordinates are 0-based and half-open.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.reader import ByteReader

__all__ = ["BIGBED_MAGIC", "BIGWIG_MAGIC", "BbiFile", "Blocks"]

BIGWIG_MAGIC = 0x888FFC26
BIGBED_MAGIC = 0x8789F2EB

_CHROMOSOMES_MAGIC = 0x78CA8C91
_INDEX_MAGIC = 0x2468ACE0
_HEADER_SIZE = 64
_LARGEST_BLOCK = 64 << 20
"""Bytes of a block, stored or inflated; what writers make is far below a tenth of it."""
_MOST_CHROMOSOMES = 1 << 24
_LONGEST_NAME = 1 << 12

I64 = NDArray[np.int64]


class Blocks(NamedTuple):
    """Blocks of data as parallel arrays, in the order of the R tree, which is that of the data."""

    first: I64
    """Start of the first item: chromosome in the upper half, base in the lower 32 bits."""
    last: I64
    """Largest end of an item, in the same form."""
    offset: I64
    """In the file."""
    size: I64
    """Bytes in the file."""


class BbiFile:
    """The structure of one BigWig or BigBed. Safe for use by several threads.

    Raises:
        FormatError: not such a file, or its header or chromosomes are damaged.
    """

    def __init__(self, reader: ByteReader, magic: int, what: str) -> None:
        self.reader = reader
        head = reader.read(0, _HEADER_SIZE)
        if len(head) < _HEADER_SIZE:
            raise FormatError(f"the file is too short for a {what}")
        self.order = next((order for order in "<>" if struct.unpack_from(f"{order}I", head)[0] == magic), "")
        if not self.order:
            raise FormatError(f"not a {what}: its magic is missing")
        fields = struct.unpack_from(f"{self.order}IHHQQQHHQQIQ", head)
        self.version = int(fields[1])
        if not 1 <= self.version <= 4:
            raise FormatError(f"the {what} is of version {self.version}, not 1 to 4")
        chromosomes, self._data_offset, self._index_offset = (int(field) for field in fields[3:6])
        self._inflated = int(fields[10])
        """Largest size of an inflated block; 0 when blocks are not compressed."""
        if self._inflated > _LARGEST_BLOCK:
            raise FormatError(f"the {what} states blocks of {self._inflated} bytes, more than 64 MiB")
        self.chromosomes = _read_chromosomes(self, chromosomes)
        """Name and bases by number, ascending."""

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Fields of a structure of the file.

        Raises:
            FormatError: the file ends before it.
        """
        size = struct.calcsize("=" + layout)
        return struct.unpack(self.order + layout, self.read(offset, size))

    def read(self, offset: int, length: int) -> bytes:
        """Exactly the bytes asked for.

        Raises:
            FormatError: they are not all in the file.
        """
        if not 0 <= offset <= self.reader.size - length:
            raise FormatError(f"{length} bytes at {offset} lie outside of the file: truncated or damaged")
        return self.reader.read(offset, length)

    @property
    def stated_count(self) -> int:
        """Blocks of a BigWig, items of a BigBed, by the file's own account."""
        return self.unpack("Q", self._data_offset)[0]

    def block(self, offset: int, size: int) -> bytes:
        """The data of a block.

        Raises:
            FormatError: it cannot be inflated, or lies outside of the file.
        """
        if size > _LARGEST_BLOCK:
            raise FormatError(f"the block at {offset} states {size} bytes, more than 64 MiB: damaged")
        data = self.read(offset, size)
        if not self._inflated:
            return data
        stream = zlib.decompressobj()
        try:
            inflated = stream.decompress(data, self._inflated + 1)
        except zlib.error as error:
            raise FormatError(f"the block at {offset} cannot be inflated ({error}); the file is damaged") from error
        if not stream.eof or len(inflated) > self._inflated:
            raise FormatError(f"the block at {offset} does not end where it should; the file is damaged")
        return inflated

    def blocks(self) -> Blocks:
        """All blocks, from the leaves of the R tree.

        Raises:
            FormatError: the tree is damaged, or not in the order of the data.
        """
        magic, _, _ = self.unpack("IIQ", self._index_offset)
        if magic != _INDEX_MAGIC:
            raise FormatError("the index of the file is damaged: its magic is missing")
        leaves = list(self._leaves(self._index_offset + 48))
        columns = np.concatenate(leaves) if leaves else np.zeros(0, _leaf_type(self.order))
        first = columns["c0"].astype(np.int64) << 32 | columns["b0"]
        last = columns["c1"].astype(np.int64) << 32 | columns["b1"]
        blocks = Blocks(first, last, columns["offset"].astype(np.int64), columns["size"].astype(np.int64))
        outside = (blocks.offset < 0) | (blocks.size <= 0) | (blocks.offset > self.reader.size - blocks.size)
        if bool(outside.any()):
            raise FormatError("the index of the file names blocks outside of it: truncated or damaged")
        if bool((first[1:] < first[:-1]).any() or (blocks.offset[1:] < (blocks.offset + blocks.size)[:-1]).any()):
            raise FormatError("the blocks of the file are not in order: its index is damaged")
        return blocks

    def _leaves(self, root: int) -> Iterator[NDArray[np.void]]:
        """Items of all leaves in order; each node must lie within what its parent says of it."""
        pending: list[tuple[int, tuple[int, int] | None]] = [(root, None)]
        budget = self.reader.size // 24 + 2
        while pending:
            offset, stated = pending.pop()
            leaf, _, count = self.unpack("BBH", offset)
            kind = _leaf_type(self.order) if leaf else _node_type(self.order)
            items = np.frombuffer(self.read(offset + 4, count * kind.itemsize), kind)
            budget -= count + 1
            if budget < 0:
                raise FormatError("the index of the file runs in circles: damaged")
            if count and stated is not None:
                first = items["c0"].astype(np.int64) << 32 | items["b0"]
                last = items["c1"].astype(np.int64) << 32 | items["b1"]
                if int(first.min()) < stated[0] or int(last.max()) > stated[1]:
                    raise FormatError(f"the index node at {offset} reaches beyond what the one above it says: damaged")
            if leaf:
                yield items
                continue
            for row in reversed(items):
                bounds = (int(row["c0"]) << 32 | int(row["b0"]), int(row["c1"]) << 32 | int(row["b1"]))
                pending.append((int(row["offset"]), bounds))


def _leaf_type(order: str) -> np.dtype[np.void]:
    return np.dtype(
        [(name, f"{order}u4") for name in ("c0", "b0", "c1", "b1")] + [("offset", f"{order}u8"), ("size", f"{order}u8")]
    )


def _node_type(order: str) -> np.dtype[np.void]:
    return np.dtype([(name, f"{order}u4") for name in ("c0", "b0", "c1", "b1")] + [("offset", f"{order}u8")])


def _read_chromosomes(file: BbiFile, offset: int) -> dict[int, tuple[str, int]]:
    magic, _, key_size, value_size, count = file.unpack("IIIIQ", offset)
    if magic != _CHROMOSOMES_MAGIC or value_size != 8 or not 0 < key_size <= _LONGEST_NAME:
        raise FormatError("the list of chromosomes is damaged: its header is not one")
    if count > min(_MOST_CHROMOSOMES, file.reader.size // (key_size + 8)):
        raise FormatError(f"the list of chromosomes states {count} of them: damaged")
    found: dict[int, tuple[str, int]] = {}
    pending, seen = [offset + 32], {offset + 32}
    item = struct.Struct(f"{file.order}{key_size}sII")
    child = struct.Struct(f"{file.order}{key_size}sQ")
    while pending:
        at = pending.pop()
        leaf, _, items = file.unpack("BBH", at)
        data = file.read(at + 4, items * item.size)
        if leaf:
            for key, number, bases in item.iter_unpack(data):
                if number in found:
                    raise FormatError(f"two chromosomes have the number {number}: the file is damaged")
                found[number] = key.rstrip(b"\0").decode("utf-8", "surrogateescape"), bases
        else:
            for _, below in child.iter_unpack(data):
                if below in seen:
                    raise FormatError("the list of chromosomes runs in circles: damaged")
                seen.add(below)
                pending.append(below)
        if len(found) > count or len(seen) > count + 2:
            break
    if len(found) != count or len({name for name, _ in found.values()}) != count:
        raise FormatError(f"the list of chromosomes does not have the {count} that it states: damaged")
    return dict(sorted(found.items()))
