"""Bases of a FASTA by sequence and position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lake.errors import FormatError, InvalidRegion
from lake.formats.compression.bgzf import BgzfReader
from lake.formats.compression.gzi import BlockMap, read_content
from lake.formats.reader import ByteReader
from lake.formats.sequences.faidx import FaiRecord

__all__ = ["FastaSource"]

_PIECE = 1 << 20
"""Bases that are handed out at once."""


class FastaSource:
    """Random access by a FAI and, for BGZF, a map of blocks. Safe for use by several threads."""

    def __init__(self, reader: ByteReader, records: Sequence[FaiRecord], blocks: BlockMap | None) -> None:
        """
        Raises:
            FormatError: the index points behind the end of the file.
        """
        self.reader = reader
        self.records: dict[str, FaiRecord] = {}
        for record in records:
            self.records.setdefault(record.name, record)
        self._map = blocks
        self._blocks = BgzfReader(reader) if blocks is not None else None
        self._size = reader.size if blocks is None else blocks.size
        for record in self.records.values():
            if record.length and record.place(record.length - 1) >= self._size:
                raise FormatError(f"the .fai has bases of {record.name!r} behind the end of the file: wrong index")

    def fetch(self, name: str, start: int, stop: int) -> bytes:
        """The bases ``[start, stop)`` of a sequence as they are written, 0-based and half-open, without line ends.

        Raises:
            InvalidRegion: no such sequence, or not all of these bases are in it.
            FormatError: the file is damaged there.
        """
        return b"".join(self.pieces(name, start, stop))

    def pieces(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """Like `fetch`, in pieces of at most 1 Mi bases."""
        record = self.records.get(name)
        if record is None:
            raise InvalidRegion(f"no sequence {name!r} in the file")
        if not 0 <= start <= stop <= record.length:
            raise InvalidRegion(f"{name!r} has {record.length} bases: [{start}, {stop}) is not inside")
        while start < stop:
            end = min(start + _PIECE, stop)
            yield self._bases(record, start, end)
            start = end

    def place(self, name: str, start: int, stop: int) -> tuple[int, int]:
        """Bytes ``[first, last)`` of the content in which the bases lie, line ends between them included."""
        record = self.records[name]
        return record.place(start), record.place(stop - 1) + 1

    def _bases(self, record: FaiRecord, start: int, stop: int) -> bytes:
        first, last = record.place(start), record.place(stop - 1) + 1
        raw = self._read(first, last)
        if len(raw) != last - first:
            raise FormatError(f"the file ends inside {record.name!r}; it is damaged")
        width, skip = record.line_bytes, start % record.line_bases
        ending = width - record.line_bases
        lines = -(-(skip + stop - start) // record.line_bases)
        # Whole lines, so that the ends of lines are columns of a matrix.
        grid = np.full(lines * width, 10, np.uint8)
        grid[skip : skip + len(raw)] = np.frombuffer(raw, np.uint8)
        columns = grid.reshape(lines, width)
        ends = columns[:-1, record.line_bases :]
        if lines > 1 and bool(((ends[:, -1] != 10) | (ends[:, : ending - 1] > 32).any(axis=1)).any()):
            raise FormatError(f"the lines of {record.name!r} are not as long as the index says: wrong index")
        bases = columns[:, : record.line_bases].tobytes()[skip : skip + stop - start]
        if b"\n" in bases or b">" in bases:
            raise FormatError(f"bases of {record.name!r} are not where the index has them: wrong index")
        return bases

    def _read(self, first: int, last: int) -> bytes:
        if self._blocks is None or self._map is None:
            return self.reader.read(first, last - first)
        return b"".join(read_content(self._blocks, self._map, first, last))
