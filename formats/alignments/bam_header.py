"""The header of a BAM (SAM specification, section 4.2): text, contigs, and where the records start."""

from __future__ import annotations

import struct
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.compression.bgzf import BgzfReader, single_runs

__all__ = ["BamHeader", "read_header"]

_MAX_HEADER = 1 << 28
"""Inflated bytes of the largest header that is read: 10,000 times that of a human genome."""


class BamHeader(NamedTuple):
    """What stands before the records."""

    text: bytes
    """The SAM header, as stored."""
    contigs: dict[str, int]
    """Length in bases by name, from the binary list, which holds even where the text lacks or garbles it."""
    end: int
    """Virtual offset of the first record."""


class _Feed:
    """Inflated bytes from the start of a file, as many as are asked for."""

    def __init__(self, blocks: BgzfReader) -> None:
        self.data = bytearray()
        self._runs = single_runs(blocks, 0)
        self._places: list[tuple[int, int]] = []
        self._next = 0

    def need(self, size: int) -> None:
        """Hold at least ``size`` bytes."""
        if size > _MAX_HEADER:
            raise FormatError("the BAM header is larger than 256 MiB, or its lengths are damaged")
        while len(self.data) < size:
            run = next(self._runs, None)
            if run is None:
                raise FormatError("the file ends inside its BAM header: it is truncated or damaged")
            self._places.append((len(self.data), run.coffsets[0]))
            self.data += run.data
            self._next = run.next

    def virtual(self, at: int) -> int:
        """Virtual offset of a byte that is held, or of the first one that is not."""
        if at == len(self.data):
            return self._next << 16
        bound, coffset = next(place for place in reversed(self._places) if place[0] <= at)
        return coffset << 16 | (at - bound)


def read_header(blocks: BgzfReader) -> BamHeader:
    """Read the header.

    Raises:
        FormatError: not a BAM, truncated, or damaged.
    """
    feed = _Feed(blocks)
    data = feed.data
    feed.need(4)
    if data[:4] != b"BAM\x01":
        raise FormatError("not a BAM: the inflated data does not begin with BAM and 1")
    feed.need(12)
    (text_size,) = struct.unpack_from("<i", data, 4)
    if text_size < 0:
        raise FormatError(f"the BAM header is damaged: its text has a length of {text_size}")
    at = 8 + text_size
    feed.need(at + 4)
    (count,) = struct.unpack_from("<i", data, at)
    if count < 0:
        raise FormatError(f"the BAM header is damaged: it states {count} contigs")
    at += 4
    contigs: dict[str, int] = {}
    unpack = struct.Struct("<i").unpack_from
    for _ in range(count):
        if at + 8 > len(data):
            feed.need(at + 8)
        (size,) = unpack(data, at)
        if size < 1:
            raise FormatError(f"the BAM header is damaged: the name of contig {len(contigs)} has a length of {size}")
        if at + size + 8 > len(data):
            feed.need(at + size + 8)
        name = data[at + 4 : at + 3 + size].decode("utf-8", "surrogateescape")
        (length,) = unpack(data, at + 4 + size)
        if data[at + 3 + size] or not name or length < 0 or name in contigs:
            raise FormatError(f"the BAM header is damaged: contig {len(contigs)} has no valid, unique name and length")
        contigs[name] = length
        at += size + 8
    return BamHeader(bytes(data[8 : 8 + text_size]), contigs, feed.virtual(at))
