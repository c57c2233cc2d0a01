"""Regions of a BigWig or BigBed: what the two share."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError, InvalidRegion, Unsupported
from lake.formats.base import IndexKind
from lake.formats.path_reader import PathReader
from lake.formats.reader import ByteReader
from lake.formats.region import Region, Selection, select
from lake.formats.sealed import seal, unseal
from lake.formats.signals.bbi import BbiFile, Blocks
from lake.formats.signals.bbi_items import Items
from lake.segments import Literal, Plan, Segment, Span, Stream

__all__ = ["BLOCKS_KIND", "BbiFormat", "BbiRegions", "Dialect"]

BLOCKS_KIND = "bbi-blocks/1"

_MAGIC = b"RLBBIBL\x01"
_COUNT = struct.Struct("<Q")
_CHECKED_WHOLE = 8 << 20
"""Files up to this size are decoded whole by `BbiFormat.check`."""
_LITERAL_BLOCKS = 16
"""Blocks up to which a region is worked out when it is planned."""
_END = (1 << 32) - 1
"""Behind every base: positions have 32 bits."""

I64 = NDArray[np.int64]


class Dialect(NamedTuple):
    """What tells a BigWig from a BigBed."""

    name: str
    magic: int
    text_type: str
    """Media type of a slice."""
    counts_items: bool
    """The file states the number of items, not of blocks."""
    read: Callable[[BbiFile, int, int], Items]


class BbiRegions:
    """One file opened for region queries. Safe for use by several threads."""

    def __init__(self, file: BbiFile, blocks: Blocks, dialect: Dialect, media_type: str) -> None:
        self._file = file
        self._blocks = blocks
        self._dialect = dialect
        self._media_type = media_type
        self._numbers = list(file.chromosomes)
        self._reach = np.maximum.accumulate(blocks.last) if len(blocks.last) else blocks.last

    @property
    def contigs(self) -> dict[str, int]:
        """Bases by name, in the order of the file."""
        return dict(self._file.chromosomes.values())

    def plan(self, regions: Sequence[str], targets: Sequence[Region] | None = None) -> Plan:
        """Items that overlap the regions, each once, in file order, as text: bedGraph or BED. Not verbatim.

        Without regions and targets, or with ``.``: the whole file as it is stored. ``targets`` narrow the regions to
        what both select; alone, they are the regions.

        Raises:
            InvalidRegion: cannot be parsed, unknown chromosome, reversed.
            FormatError: the file is damaged where the query must look.
        """
        selection = select(regions, targets, self.contigs)
        if selection.unplaced:
            raise InvalidRegion(f"'*' selects reads without a position: a {self._dialect.name} has none")
        if selection.everything:
            reader = self._file.reader
            whole = (Span(reader.source, 0, reader.size),)
            return Plan(self._media_type, whole, verbatim=True, query=selection.canonical)
        segments = self._segments(selection)
        return Plan(self._dialect.text_type, segments, verbatim=False, query=selection.canonical)

    def _segments(self, selection: Selection) -> tuple[Segment, ...]:
        lows = np.array(
            [self._numbers[tid] << 32 | min(start, _END) for tid, start, _ in selection.intervals], np.int64
        )
        highs = np.array([self._numbers[tid] << 32 | min(stop, _END) for tid, _, stop in selection.intervals], np.int64)
        rows = self._overlapping(lows, highs)
        if not len(rows):
            return ()
        if len(rows) <= _LITERAL_BLOCKS:
            text = b"".join(self._text(rows, lows, highs))
            return (Literal(text),) if text else ()
        return (Stream(lambda: self._text(rows, lows, highs)),)

    def _overlapping(self, lows: I64, highs: I64) -> I64:
        """Rows of blocks with a chance of an item in one of the intervals."""
        blocks = self._blocks
        if not len(lows):
            return lows
        # All that begins before the last end, and from the first whose items, or those before it, reach a start.
        first = int(np.searchsorted(self._reach, lows[0], side="right"))
        last = int(np.searchsorted(blocks.first, highs[-1], side="left"))
        here = slice(first, last)
        found = _hits(blocks.first[here], blocks.last[here], lows, highs)
        rows: I64 = first + np.flatnonzero(found)
        return rows

    def _text(self, rows: I64, lows: I64, highs: I64) -> Iterator[bytes]:
        names = {number: name for number, (name, _) in self._file.chromosomes.items()}
        for row in rows.tolist():
            items = _read_block(self._file, self._blocks, row, self._dialect)
            upper = items.chromosome << 32
            chosen = np.flatnonzero(_hits(upper | items.start, upper | items.stop, lows, highs))
            if len(chosen):
                yield items.text(chosen, names)


def _hits(first: I64, last: I64, lows: I64, highs: I64) -> NDArray[np.bool_]:
    """Which of some extents overlap one of some intervals, which are sorted and disjoint."""
    candidate = np.searchsorted(highs, first, side="right")
    hit = candidate < len(lows)
    hit[hit] = lows[candidate[hit]] < last[hit]
    return hit


def _read_block(file: BbiFile, blocks: Blocks, row: int, dialect: Dialect) -> Items:
    """Items of a block.

    Raises:
        FormatError: damaged, or with items outside of the extent that the index states.
    """
    offset = int(blocks.offset[row])
    items = dialect.read(file, offset, int(blocks.size[row]))
    if not len(items.start):
        return items
    upper = items.chromosome << 32
    # A wider extent, which some writers state, loses nothing.
    if int(upper[0] | items.start[0]) < blocks.first[row] or int((upper | items.stop).max()) > blocks.last[row]:
        raise FormatError(f"the block at {offset} has items outside of what the index says: the file is damaged")
    if any(number not in file.chromosomes for number in np.unique(items.chromosome).tolist()):
        raise FormatError(f"the block at {offset} names a chromosome that the file does not have: damaged")
    return items


def _prove(file: BbiFile, dialect: Dialect) -> Blocks:
    """The blocks of a file after all of them have been decoded.

    Raises:
        FormatError: something is damaged, or missing by the file's own account.
    """
    blocks = file.blocks()
    items = sum(len(_read_block(file, blocks, row, dialect).start) for row in range(len(blocks.first)))
    count = items if dialect.counts_items else len(blocks.first)
    if count != file.stated_count:
        raise FormatError(f"the file states {file.stated_count} records, but its index leads to {count}: damaged")
    return blocks


class BbiFormat:
    """What a lake knows of BigWig and BigBed."""

    planner = "bbi/1"
    encoder = "none"
    indexes = (IndexKind(BLOCKS_KIND, ()),)
    table_kind = None

    def __init__(self, dialect: Dialect, media_type: str, suffixes: tuple[str, ...]) -> None:
        self.name = dialect.name
        self.media_type = media_type
        self.suffixes = suffixes
        self._dialect = dialect

    def check(self, reader: ByteReader, *, whole: bool = False) -> list[str]:
        """Header, chromosomes and R tree; files of up to 8 MiB are decoded whole."""
        try:
            file = self._file(reader)
            if reader.size <= _CHECKED_WHOLE:
                _prove(file, self._dialect)
            else:
                file.blocks()
        except FormatError as error:
            return [str(error)]
        return []

    def check_chunk(self, chunk: bytes, offset: int) -> None:
        """Nothing to prove: nothing is passed on that was not inflated, with its Adler-32."""

    def check_index(self, reader: ByteReader, kind: str, index: bytes) -> str | None:
        """Why an index cannot be adopted: the file brings its own."""
        return f"a {self.name} has its index inside"

    def indexable(self, reader: ByteReader) -> str | None:
        """Every sound file can be."""
        return None

    def build_index(self, path: Path, out: Path, threads: int, table: Path | None = None) -> str:
        """Write the blocks of the file at ``path``, all of them decoded once, to ``out``.

        Raises:
            FormatError: the file is damaged; nothing is left at ``out``.
        """
        with PathReader(path) as reader:
            try:
                blocks = _prove(self._file(reader), self._dialect)
            except FormatError as error:
                raise FormatError(f"cannot be indexed: {error}") from error
            columns = b"".join(column.astype("<i8").tobytes() for column in blocks)
            out.write_bytes(seal(_MAGIC, reader.size, _COUNT.pack(len(blocks.first)) + columns))
        return BLOCKS_KIND

    def build_table(self, reader: ByteReader, index: bytes | None) -> bytes:
        """There is none.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"a {self.name} needs no table beside its index")

    def open(self, reader: ByteReader, *, kind: str | None, index: bytes | None, table: bytes | None) -> BbiRegions:
        """Open for queries: by the proven blocks, else by the file's own R tree.

        Raises:
            FormatError: file or index are damaged.
        """
        file = self._file(reader)
        if index is None:
            blocks = file.blocks()
        else:
            body = unseal(_MAGIC, reader.size, index, "block index")
            (count,) = _COUNT.unpack_from(body)
            columns = np.frombuffer(body, "<i8", 4 * count, _COUNT.size).astype(np.int64).reshape(4, count)
            blocks = Blocks(*columns)
        return BbiRegions(file, blocks, self._dialect, self.media_type)

    def _file(self, reader: ByteReader) -> BbiFile:
        return BbiFile(reader, self._dialect.magic, self.name)
