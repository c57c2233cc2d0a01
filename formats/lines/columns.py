"""Lines of text and their columns as arrays: offsets into the bytes, never copies of lines.

Loops over bytes are in numpy where lines are short, and in `bytes.find` where they are so long that looking at every
byte would cost more than a call for each line.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "Lines", "first_columns", "integers", "occurrences", "starts_of_runs"]

I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]

_SPARSE = 256
"""Bytes between two occurrences from which on searching is quicker than comparing every byte."""
_SAMPLE = 1 << 14
"""Bytes by which it is decided how to search."""
_LONG = 1024
"""Mean length of lines from which on only their first columns are looked at byte by byte."""
_LONGEST_NUMBER = 18
"""Decimal digits that fit in 64 bits whatever they are."""
_NUMBERS = 1 << 12
"""Numbers that are read at once: a table with a cell for each of their digits stays small."""
_TAB, _LF, _CR = 9, 10, 13


class Lines(NamedTuple):
    """Whole lines."""

    data: bytes
    start: I64
    stop: I64
    """Behind the line feed; behind the last byte where a file ends without one."""

    @classmethod
    def of(cls, data: bytes, at: int, *, final: bool) -> Lines:
        """The whole lines from ``at`` on; ``final`` makes one of what has no line feed at the end."""
        feeds = occurrences(data, b"\n", at)
        stop = feeds + 1
        if final and at < len(data) and (not len(stop) or int(stop[-1]) < len(data)):
            stop = np.r_[stop, len(data)]
        start = np.empty(len(stop), np.int64)
        start[:1] = at
        start[1:] = stop[:-1]
        return cls(data, start, stop)

    def pick(self, chosen: Bools) -> Lines:
        return Lines(self.data, self.start[chosen], self.stop[chosen])

    def first_bytes(self) -> U8:
        """The first byte of each line; that of an empty line is its line feed."""
        first: U8 = np.frombuffer(self.data, np.uint8)[self.start]
        return first

    def text(self, line: int) -> bytes:
        """One line without its end."""
        return self.data[int(self.start[line]) : int(self.stop[line])].rstrip(b"\r\n")


class Columns(NamedTuple):
    """The first columns of lines, divided by tabs."""

    data: bytes
    start: I64
    """Where each column starts: an array with a row for each line and one for each column."""
    stop: I64
    """Where each column ends; a column that a line lacks is empty and lies at the end of the line."""
    present: I64
    """Columns that each line has, at most one more than were asked for."""

    def column(self, number: int) -> tuple[I64, I64]:
        """Starts and stops of the column, the first being number 0."""
        return self.start[:, number], self.stop[:, number]

    def text(self, line: int, number: int) -> bytes:
        return self.data[int(self.start[line, number]) : int(self.stop[line, number])]


def occurrences(data: bytes, pattern: bytes, at: int = 0) -> I64:
    """Where a pattern of one or four bytes starts in the data from ``at`` on."""
    sample = data.count(pattern, at, at + _SAMPLE)
    if sample * _SPARSE > min(len(data) - at, _SAMPLE):
        kind = f"<u{len(pattern)}"
        words: NDArray[np.uint32] = np.ndarray((max(len(data) - at - len(pattern) + 1, 0),), kind, data, at, (1,))
        found: I64 = np.flatnonzero(words == int.from_bytes(pattern, "little"))
        return found + at if at else found
    places = []
    find = data.find
    cursor = find(pattern, at)
    while cursor >= 0:
        places.append(cursor)
        cursor = find(pattern, cursor + 1)
    return np.array(places, np.int64)


@cache
def _columns_pattern(count: int) -> re.Pattern[bytes]:
    return re.compile(rb"[^\t\n]*(?:\t[^\t\n]*){0,%d}+" % (count - 1))


def _without_ends(data: bytes, start: I64, stop: I64) -> I64:
    """Stops of lines without line feed and carriage return, as htslib takes them off."""
    array = np.frombuffer(data, np.uint8)
    content: I64 = stop - (array[stop - 1] == _LF)
    returned: Bools = (content > start) & (array[np.maximum(content - 1, 0)] == _CR)
    return content - returned


def first_columns(lines: Lines, count: int) -> Columns:
    """The first ``count`` columns of each line, without the line's end."""
    data, start, stop = lines
    if not len(start):
        none = np.empty((0, count), np.int64)
        return Columns(data, none, none, np.empty(0, np.int64))
    stop = _without_ends(data, start, stop)
    if int((stop - start).sum()) > _LONG * len(start):
        data, start, stop = _heads(data, start, stop, count + 1)
    at = int(start[0])
    tabs = occurrences(data[: int(stop[-1])] if int(stop[-1]) < len(data) else data, b"\t", at)
    before = np.searchsorted(tabs, start)
    found = np.searchsorted(tabs, stop) - before
    ends = np.empty((len(start), count), np.int64)
    starts = np.empty((len(start), count), np.int64)
    padded = np.concatenate((tabs, np.zeros(count, np.int64)))
    for column in range(count):
        ends[:, column] = np.where(found > column, padded[before + column], stop)
    starts[:, 0] = start
    starts[:, 1:] = np.minimum(ends[:, :-1] + 1, stop[:, None])
    return Columns(data, starts, ends, np.minimum(found, count) + 1)


def _heads(data: bytes, start: I64, stop: I64, count: int) -> tuple[bytes, I64, I64]:
    """Copies of the first ``count`` columns of long lines, one behind the other."""
    match = _columns_pattern(count).match
    heads = []
    for first, last in zip(start.tolist(), stop.tolist(), strict=True):
        found = match(data, first, last)
        heads.append(found[0] if found else b"")
    lengths = np.array([len(head) for head in heads], np.int64) + 1
    behind = np.cumsum(lengths)
    return b"\n".join(heads) + b"\n", behind - lengths, behind - 1


def integers(data: bytes, start: I64, stop: I64) -> tuple[I64, Bools]:
    """Decimal numbers of 1 to 18 digits, and which of the fields are such; the others give 0."""
    if len(start) > _NUMBERS:
        pieces = [
            integers(data, start[first : first + _NUMBERS], stop[first : first + _NUMBERS])
            for first in range(0, len(start), _NUMBERS)
        ]
        return np.concatenate([value for value, _ in pieces]), np.concatenate([good for _, good in pieces])
    width = stop - start
    good = (width > 0) & (width <= _LONGEST_NUMBER)
    array = np.frombuffer(data, np.uint8)
    digit = np.arange(int(width[good].max()) if good.any() else 0)[:, None]
    inside = digit < np.where(good, width, 0)
    # Whatever is no digit wraps around to something above 9.
    figure = np.where(inside, array[np.where(inside, stop - 1 - digit, 0)], 48) - np.uint8(48)
    good &= (figure <= 9).all(axis=0)
    value = (figure * 10**digit).sum(axis=0)
    return np.where(good, value, 0), good


def starts_of_runs(data: bytes, start: I64, stop: I64) -> I64:
    """Indexes of the fields that differ from the one before them; the first field always counts."""
    if not len(start):
        return np.empty(0, np.int64)
    width = stop - start
    differs = width[1:] != width[:-1]
    array = np.frombuffer(data, np.uint8)
    for byte in range(int(width.max())):
        same = np.flatnonzero(~differs & (byte < width[1:]))
        if not len(same):
            break
        differs[same] = array[start[1:][same] + byte] != array[start[:-1][same] + byte]
    return np.concatenate(([0], np.flatnonzero(differs) + 1))
