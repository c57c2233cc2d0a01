"""Records of a FASTQ out of its content, many at once.

Format: Cock et al. 2010 (Nucleic Acids Research 38:1767): a title line with ``@``, lines of the sequence, a line with
``+``, and lines of quality up to the length of the sequence. So ``@`` may begin a line of quality, and only counting
tells where a record ends. Records of four lines are found by arithmetic, others line by line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.inflated import Piece

__all__ = ["Batch", "read_fastq"]

_LARGEST_RECORD = 64 << 20
_AT, _PLUS, _NEWLINE, _RETURN = 64, 43, 10, 13
_TRIED = 1 << 14
"""Most records of four lines that are looked at in one step."""
_BURST = 64
"""Records that are read line by line before the four-line form is tried again."""

I64 = NDArray[np.int64]


class Batch(NamedTuple):
    """Consecutive records as parallel arrays."""

    data: bytes
    number: int
    """Number of the first record, 0-based, counted from where reading began."""
    start: I64
    """Offset of each record in ``data``."""
    title_stop: I64
    """Where its title line ends, without the line's end."""
    text_start: I64
    """Offset of each record from where reading began."""
    address: I64
    """Address of each record in the content."""


def read_fastq(pieces: Iterable[Piece], number: int = 0) -> Iterator[Batch]:
    """Records from a content that begins with one.

    Args:
        pieces: the content to its end, or to as far as the caller goes on.
        number: 0-based number of the first record, for messages.

    Raises:
        FormatError: a record is malformed or cut off, and which one.
    """
    window = _Window(number)
    for piece in pieces:
        window.add(piece)
        if window.size >= window.wanted:
            yield from window.records(ended=False)
    yield from window.records(ended=True)


class _Window:
    """Content that has been read and not yet been divided."""

    def __init__(self, number: int) -> None:
        self.size = 0
        """Bytes that have been read and not yet been divided."""
        self.wanted = 0
        """Bytes that must be there before it is worth looking again."""
        self._pieces: list[bytes] = []
        self._bounds = np.zeros(0, np.int64)
        self._bases = np.zeros(0, np.int64)
        self._first = number
        self._number = number
        self._text = 0
        """Bytes before the window."""

    def add(self, piece: Piece) -> None:
        self._bounds = np.r_[self._bounds, piece.bounds + self.size]
        self._bases = np.r_[self._bases, piece.bases]
        self._pieces.append(piece.data)
        self.size += len(piece.data)

    def records(self, *, ended: bool) -> Iterator[Batch]:
        if not self.size:
            return
        # Joined here: a long record would be copied with every piece of it.
        data = b"".join(self._pieces)
        divided = _divide(data, ended=ended, number=self._number, text=self._text)
        count = len(divided.start)
        if count:
            row = np.searchsorted(self._bounds, divided.start, side="right") - 1
            address = self._bases[row] + divided.start - self._bounds[row]
            number = self._number - self._first
            text_start = divided.start + self._text
            yield Batch(data, number, divided.start, divided.title_stop, text_start, address)
        self._number += count
        self._pieces, self.size = [data[divided.end :]], len(data) - divided.end
        self._cut(divided.end)
        self.wanted = 0 if count else 2 * self.size
        if self.size > _LARGEST_RECORD:
            raise FormatError(f"read {self._number + 1} has more than 64 MiB: not FASTQ, or damaged")

    def _cut(self, at: int) -> None:
        """Forget the places before ``at``."""
        if not at:
            return
        row = max(int(np.searchsorted(self._bounds, at, side="right")) - 1, 0)
        self._bases, self._bounds = self._bases[row:].copy(), self._bounds[row:] - at
        if len(self._bounds) and self._bounds[0] < 0:
            self._bases[0] -= self._bounds[0]
            self._bounds[0] = 0
        self._text += at


class _Divided(NamedTuple):
    start: I64
    title_stop: I64
    end: int
    """Where the first record that is not whole begins."""


@dataclass(frozen=True)
class _Lines:
    """Whole lines of a window."""

    data: bytes
    start: I64
    stop: I64
    """Without the line's end, which is ``\\n`` or ``\\r\\n``."""
    after: I64
    """Where the next line begins."""
    ended: bool
    """No line will follow."""

    @cached_property
    def bounds(self) -> tuple[list[int], list[int]]:
        """``start`` and ``stop`` as lists, where lines are looked at one by one."""
        return self.start.tolist(), self.stop.tolist()


def _divide(data: bytes, *, ended: bool, number: int, text: int) -> _Divided:
    lines = _lines(data, ended=ended)
    starts: list[I64] = []
    stops: list[I64] = []
    line, burst, count = 0, _BURST, number
    total = len(lines.start)
    while line < total:
        fast = _four_line_records(lines, line)
        if fast:
            rows = np.arange(line, line + 4 * fast, 4)
            starts.append(lines.start[rows])
            stops.append(lines.stop[rows])
            line += 4 * fast
            count += fast
            burst = _BURST if fast > _BURST else burst
        slow_starts, slow_stops, after = _other_records(lines, line, burst, count, text)
        starts.append(np.array(slow_starts, np.int64))
        stops.append(np.array(slow_stops, np.int64))
        count += len(slow_starts)
        if len(slow_starts) < burst:
            line = after
            break
        line, burst = after, min(2 * burst, 1 << 16)
    end = int(lines.start[line]) if line < total else (int(lines.after[-1]) if total else 0)
    return _Divided(
        np.concatenate(starts) if starts else np.zeros(0, np.int64),
        np.concatenate(stops) if stops else np.zeros(0, np.int64),
        end,
    )


def _lines(data: bytes, *, ended: bool) -> _Lines:
    array = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(array == _NEWLINE)
    after = newlines + 1
    if ended and len(data) and data[-1] != _NEWLINE:
        newlines, after = np.r_[newlines, len(data)], np.r_[after, len(data)]
    start = np.r_[0, after[:-1]] if len(after) else after
    returned = (newlines > start) & (array[newlines - 1] == _RETURN) if len(newlines) else np.zeros(0, np.bool_)
    return _Lines(data, start, newlines - returned, after, ended)


def _four_line_records(lines: _Lines, line: int) -> int:
    """How many records of four lines follow one another from a line on."""
    array = np.frombuffer(lines.data, np.uint8)
    found, tried = 0, 64
    while True:
        count = min((len(lines.start) - line) // 4, tried)
        if not count:
            return found
        start = lines.start[line : line + 4 * count].reshape(-1, 4)
        stop = lines.stop[line : line + 4 * count].reshape(-1, 4)
        size = stop - start
        # A line may be empty at the end of the data, where no byte can be looked at.
        first = array[np.minimum(start, len(array) - 1)]
        good = (first[:, 0] == _AT) & (size[:, 0] > 0) & (first[:, 2] == _PLUS) & (size[:, 2] > 0)
        good &= (size[:, 1] == size[:, 3]) & ((first[:, 1] != _PLUS) | (size[:, 1] == 0))
        if not good.all():
            return found + int(np.argmin(good))
        found += count
        line += 4 * count
        tried = min(tried * 4, _TRIED)


def _other_records(lines: _Lines, line: int, most: int, number: int, text: int) -> tuple[list[int], list[int], int]:
    """Starts and ends of titles of up to ``most`` records of any number of lines, and the line after them."""
    starts: list[int] = []
    stops: list[int] = []
    start, stop = lines.bounds
    while len(starts) < most:
        while line < len(start) and start[line] == stop[line]:
            line += 1
        after = _record_end(lines, line, number + len(starts), text)
        if after is None:
            break
        starts.append(start[line])
        stops.append(stop[line])
        line = after
    return starts, stops, line


def _record_end(lines: _Lines, line: int, number: int, text: int) -> int | None:
    """The line after the record that begins at a line; None when it is not whole yet."""
    total = len(lines.start)
    if line >= total:
        return None
    (start, stop), data = lines.bounds, lines.data
    where = f"read {number + 1}, at byte {text + start[line]} of the text"
    if data[start[line]] != _AT:
        raise FormatError(f"{where}: does not begin with '@'; not FASTQ, or the read before it is malformed")
    residues, cursor = 0, line + 1
    while cursor < total and not (start[cursor] < stop[cursor] and data[start[cursor]] == _PLUS):
        residues += stop[cursor] - start[cursor]
        cursor += 1
    plus = cursor
    cursor += 1
    qualities = 0
    while cursor < total:
        qualities += stop[cursor] - start[cursor]
        cursor += 1
        if qualities >= residues:
            break
    else:
        if not lines.ended:
            return None
        if plus >= total or residues:
            raise FormatError(f"{where}: the file ends inside it; truncated")
        return total
    if qualities != residues:
        raise FormatError(f"{where}: {residues} residues, but the quality does not end with their number")
    return cursor
