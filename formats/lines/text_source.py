"""Files of lines as sources of records: a header of leading lines, then a record a line, in BGZF or plain.

What the columns mean is said by a dialect; lines are cut as bytes and never rewritten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.containers import Container
from lake.formats.intervals.assembly import Places
from lake.formats.intervals.batch import FARTHEST, Batch
from lake.formats.intervals.numbered_source import NumberedSource
from lake.formats.intervals.numbering import Numbering
from lake.formats.lines.columns import Lines

__all__ = ["Dialect", "Spans", "TextCodec", "TextSource", "unreadable"]

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_LINE = 1 << 26
"""Longest line that is read, in bytes."""
_MAX_HEADER = 1 << 28
_LINE_SHOWN = 60
_TELLING = 64
"""Bytes of a line by which every dialect can tell whether it belongs to the header."""


class Spans(NamedTuple):
    """What lines cover, an item a line; see `lake.formats.intervals.batch.Batch`."""

    tid: I64
    pos: I64
    end: I64
    unmapped: NDArray[np.bool_] | None = None


class Dialect(Protocol):
    """The meaning of lines. One object serves all walks over a file, also at once."""

    @property
    def flavour(self) -> str:
        """See `lake.formats.intervals.source.RecordSource.flavour`."""
        ...

    @property
    def unplaced(self) -> bool: ...

    @property
    def keeps_header(self) -> bool:
        """Whether `learn` wants the text of the header."""
        ...

    def in_header(self, line: bytes, number: int) -> bool:
        """Whether a line, the first being number 1, belongs to the header when all before it do."""
        ...

    def learn(self, header: bytes) -> None:
        """Take in the header, before any record.

        Raises:
            FormatError: it is damaged.
        """
        ...

    def declared(self) -> Mapping[str, int]:
        """Contigs that the header names, with lengths in bases; 0 for an unknown length."""
        ...

    def comments(self, lines: Lines) -> Bools:
        """Which lines behind the header are no records."""
        ...

    def spans(self, lines: Lines, numbering: Numbering) -> Spans:
        """
        Raises:
            FormatError: a line cannot be read.
        """
        ...


def unreadable(lines: Lines, line: int, wanted: str) -> FormatError:
    """The error for a line that cannot be read; ``wanted`` says what it should have had."""
    text = lines.text(line)
    shown = text[:_LINE_SHOWN].decode("utf-8", "replace") + ("…" if len(text) > _LINE_SHOWN else "")
    return FormatError(f"the line {shown!r} cannot be read: wanted {wanted}")


class TextCodec:
    """Lines to records."""

    takes_views = False

    def __init__(self, dialect: Dialect, numbering: Numbering) -> None:
        self._dialect = dialect
        self._numbering = numbering

    def decode(self, data: bytes, at: int, places: Places, *, final: bool) -> tuple[Batch | None, int]:
        """
        Raises:
            FormatError: a line cannot be read.
        """
        lines = Lines.of(data, at, final=final)
        if not len(lines.start):
            return None, at
        behind = int(lines.stop[-1])
        comments = self._dialect.comments(lines)
        if comments.any():
            lines = lines.pick(~comments)
        if not len(lines.start):
            return None, behind
        tid, pos, end, unmapped = self._dialect.spans(lines, self._numbering)
        if bool((pos >= FARTHEST - 1).any()):
            line = int(np.argmax(pos))
            raise unreadable(lines, line, f"a position below {FARTHEST}")
        first, last = places.of(lines.start), places.of(lines.stop)
        return Batch(data, lines.start, lines.stop, first, last, tid, pos, end, unmapped), behind

    def wanted(self, data: bytes, at: int, places: Places) -> int:
        """Twice of what there is of a line, so that a long one is not searched again for every block.

        Raises:
            FormatError: the line is longer than any that is read.
        """
        length = len(data) - at
        if length > MAX_LINE:
            raise FormatError(f"a line of more than 64 MiB ends behind the block at {places.block_of(at)}")
        return max(2 * length, 1)


class _Head(NamedTuple):
    text: bytes
    """The header, or nothing where it was not asked for."""
    start: int
    """Place of the first record."""


class TextSource(NumberedSource):
    """Records of one file of lines. Safe for use by several threads.

    Raises:
        FormatError: the header is damaged.
    """

    def __init__(self, container: Container, dialect: Dialect, numbering: Numbering | None = None) -> None:
        super().__init__(container, numbering)
        self.dialect = dialect
        self.flavour = dialect.flavour
        self.unplaced = dialect.unplaced
        head = _read_head(container, dialect)
        self._start = head.start
        dialect.learn(head.text)

    @property
    def start(self) -> int:
        return self._start

    def declared(self) -> Mapping[str, int]:
        return self.dialect.declared()

    def codec_for(self, numbering: Numbering) -> TextCodec:
        return TextCodec(self.dialect, numbering)


class _Blocks:
    """Where blocks start in the inflated bytes, forgotten as soon as they are passed."""

    def __init__(self, shift: int) -> None:
        self._starts: deque[tuple[int, int]] = deque()
        self._shift = shift

    def add(self, start: int, coffset: int) -> None:
        self._starts.append((start, coffset))

    def place(self, at: int) -> int:
        """The place of a byte, which is not before one that was asked for earlier."""
        while len(self._starts) > 1 and self._starts[1][0] <= at:
            self._starts.popleft()
        start, coffset = self._starts[0]
        return (coffset << self._shift) + at - start


def _read_head(container: Container, dialect: Dialect) -> _Head:
    """Follow the leading lines as far as they belong to the header."""
    text, line = bytearray(), bytearray()
    number, total = 1, 0
    blocks = _Blocks(container.shift)
    blocks.add(0, 0)
    for run in container.runs(0)[0]:
        total += len(run.data)
        searched = len(line)
        line += run.data
        begin = 0
        while (feed := line.find(b"\n", max(searched, begin))) >= 0:
            if not dialect.in_header(bytes(line[begin:feed]), number):
                return _Head(bytes(text), blocks.place(total - len(line) + begin))
            if dialect.keeps_header:
                text += line[begin : feed + 1]
            begin = feed + 1
            number += 1
        del line[:begin]
        # Enough of a line tells what it is, however long it goes on.
        if len(line) >= _TELLING and not dialect.in_header(bytes(line[:_TELLING]), number):
            break
        if len(text) + len(line) > _MAX_HEADER:
            raise FormatError("the header is larger than 256 MiB")
        blocks.add(total, run.next)
        blocks.place(total - len(line))
    if line and dialect.in_header(bytes(line), number):
        text += line
        line.clear()
    return _Head(bytes(text), blocks.place(total - len(line)))
