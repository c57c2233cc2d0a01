"""The FAI of a FASTA, from one pass over its content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.sequences.faidx import FaiRecord

__all__ = ["build_fai"]

_LONGEST_TITLE = 1 << 20
"""Bytes of a header line that are held while its end has not been seen."""
_NEWLINE = 10
_TITLE = 62

I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


def build_fai(pieces: Iterable[bytes]) -> list[FaiRecord]:
    """The index of a FASTA from its content; memory does not grow with the length of lines or sequences.

    As ``samtools faidx`` has it: of sequences with one name the first counts. Unlike there, sequences without bases
    are listed, and lines with bases behind a blank are refused, for which the arithmetic of a FAI would be wrong.

    Raises:
        FormatError: not FASTA, or lines of different lengths in a sequence, and which one.
    """
    scan = _Scan()
    for piece in pieces:
        if piece:
            scan.add(piece)
    return scan.finish()


class _Lines(NamedTuple):
    """Lines as parallel arrays."""

    start: I64
    """Offset in the content."""
    size: I64
    """Bytes with the line's end."""
    bases: I64
    """Graphic characters, that is 33 to 126."""
    title: Mask
    gap: Mask
    """A graphic character follows one that is not."""

    def rows(self, which: slice) -> _Lines:
        return _Lines(self.start[which], self.size[which], self.bases[which], self.title[which], self.gap[which])


_ZERO, _FALSE = np.zeros(1, np.int64), np.zeros(1, np.bool_)
_NO_LINE = _Lines(_ZERO, _ZERO, _ZERO, _FALSE, _FALSE)


class _Sequence(NamedTuple):
    """What is known of a sequence whose end has not been seen."""

    name: str
    offset: int
    length: int = 0
    line_bases: int = 0
    line_bytes: int = 0
    closed: bool = False
    """A line that is not full has been seen: no bases may follow."""


class _Scan:
    """Divides pieces into lines, and lines into sequences."""

    def __init__(self) -> None:
        self._offset = 0
        self._tail = _NO_LINE
        """The line that goes on in the next piece, so far."""
        self._title = b""
        self._last = _NEWLINE
        """The byte before the piece."""
        self._open: _Sequence | None = None
        self._records: dict[str, FaiRecord] = {}

    def add(self, piece: bytes) -> None:
        data = np.frombuffer(piece, np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        starts = np.r_[0, ends + 1]
        lines = self._measure(data, starts, ends)
        if len(ends):
            rows = np.flatnonzero(lines.title[:-1]).tolist()
            titles = [piece[starts[row] : ends[row]] for row in rows]
            if rows and rows[0] == 0:
                titles[0] = self._title + titles[0]
            self._title = b""
            self._take(lines.rows(slice(None, -1)), rows, titles)
        self._tail = lines.rows(slice(-1, None))
        if lines.title[-1]:
            self._title += piece[starts[-1] :]
            if len(self._title) > _LONGEST_TITLE:
                raise FormatError(f"the header line at byte {int(lines.start[-1])} has no end within 1 MiB")
        self._last = piece[-1]
        self._offset += len(piece)

    def finish(self) -> list[FaiRecord]:
        if self._last != _NEWLINE:
            # samtools counts the end of a last line that has none.
            self.add(b"\n")
        self._emit()
        if not self._records:
            raise FormatError("no sequence in the file: not FASTA, or empty")
        return list(self._records.values())

    def _measure(self, data: NDArray[np.uint8], starts: I64, ends: I64) -> _Lines:
        """The lines of a piece, the last one unfinished; the first takes in what came of it before."""
        tail = self._tail
        title = np.zeros(len(starts), np.bool_)
        begun = starts < len(data)
        title[begun] = data[starts[begun]] == _TITLE
        other = (data - np.uint8(33)) > np.uint8(93)
        size = np.r_[ends + 1, len(data)] - starts
        gap = np.zeros(len(starts), np.bool_)
        if np.count_nonzero(other) == len(ends):
            bases = size.copy()
            bases[:-1] -= 1
        else:
            at = np.flatnonzero(other)
            line = np.searchsorted(ends, at)
            bases = size - np.bincount(line, minlength=len(starts))
            before_base = (at + 1 < len(data)) & (data[at] != _NEWLINE)
            before_base[before_base] = ~other[at[before_base] + 1]
            gap[line[before_base]] = True
        if tail.size[0]:
            size[0] += tail.size[0]
            bases[0] += tail.bases[0]
            title[0] = tail.title[0]
            gap[0] |= tail.gap[0] or (not 33 <= self._last <= 126 and not other[0])
        start = starts + self._offset
        start[0] -= tail.size[0]
        return _Lines(start, size, bases, title, gap)

    def _take(self, lines: _Lines, rows: list[int], titles: list[bytes]) -> None:
        """Whole lines; ``rows`` are those of header lines, ``titles`` their text."""
        first = rows[0] if rows else len(lines.size)
        if self._open is None:
            if first and lines.bases[:first].any():
                raise FormatError("the first line that is not blank does not begin with '>': not FASTA")
            opened = _Sequence("", 0, closed=True)
        else:
            opened = self._open
        bodies = np.array([0, *(row + 1 for row in rows)])
        body_ends = np.array([*rows, len(lines.size)])
        known = bodies < body_ends
        # Dimensions of a full line: those of the sequence's first one.
        line_bytes, line_bases = np.zeros(len(bodies), np.int64), np.zeros(len(bodies), np.int64)
        line_bytes[known], line_bases[known] = lines.size[bodies[known]], lines.bases[bodies[known]]
        if opened.line_bytes or opened.closed:
            line_bytes[0], line_bases[0] = opened.line_bytes, opened.line_bases
        owner = np.cumsum(lines.title, dtype=np.int64)
        full = (lines.size == line_bytes[owner]) & (lines.bases == line_bases[owner]) & (lines.bases > 0)
        closing = np.cumsum(~full & ~lines.title)
        closing = np.r_[0, closing]
        closed_before = closing[:-1] - closing[bodies][owner] + np.where(owner == 0, int(opened.closed), 0) > 0
        self._check(lines, owner, full, closed_before, line_bytes, line_bases, [opened.name, *map(_name, titles)])
        total = np.r_[0, np.cumsum(np.where(lines.title, 0, lines.bases))]
        lengths = (total[body_ends] - total[bodies]).tolist()
        closed = (closing[body_ends] > closing[bodies]).tolist()
        offsets = (lines.start[rows] + lines.size[rows]).tolist()
        if self._open is not None:
            self._open = opened._replace(
                length=opened.length + lengths[0],
                line_bases=int(line_bases[0]),
                line_bytes=int(line_bytes[0]),
                closed=opened.closed or closed[0],
            )
        dimensions = zip(line_bases[1:].tolist(), line_bytes[1:].tolist(), strict=True)
        for title, offset, length, (bases, size), shut in zip(
            titles, offsets, lengths[1:], dimensions, closed[1:], strict=True
        ):
            self._emit()
            self._open = _Sequence(_name(title), offset, length, bases, size, shut)

    def _check(
        self,
        lines: _Lines,
        owner: I64,
        full: Mask,
        closed_before: Mask,
        line_bytes: I64,
        line_bases: I64,
        names: list[str],
    ) -> None:
        body = ~lines.title & (lines.bases > 0)
        if (wrong := body & lines.gap).any():
            row = int(np.argmax(wrong))
            raise FormatError(
                f"the sequence {names[int(owner[row])]!r} has a blank between bases at byte {int(lines.start[row])}: "
                "it cannot be indexed"
            )
        longer = (lines.size > line_bytes[owner]) | (lines.bases > line_bases[owner])
        if (wrong := body & ~full & (closed_before | longer)).any() or (wrong := body & full & closed_before).any():
            row = int(np.argmax(wrong))
            raise FormatError(
                f"different line length in sequence {names[int(owner[row])]!r} at byte {int(lines.start[row])}: "
                "all lines but the last must be equally long; wrap the file anew"
            )

    def _emit(self) -> None:
        """The open sequence has ended."""
        sequence = self._open
        if sequence is None:
            return
        known = self._records.get(sequence.name)
        if known is not None:
            if known.length or not sequence.length:
                return
            # For samtools the first one with bases is the first.
            del self._records[sequence.name]
        empty = not sequence.length
        self._records[sequence.name] = FaiRecord(
            sequence.name,
            sequence.length,
            sequence.offset,
            0 if empty else sequence.line_bases,
            0 if empty else sequence.line_bytes,
        )


def _name(title: bytes) -> str:
    """The first word of a header line, without its ``>``."""
    words = title[1:].split(None, 1)
    return words[0].decode("utf-8", "surrogateescape") if words else ""
