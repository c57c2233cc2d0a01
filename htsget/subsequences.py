"""What part of a sequence a refget request asks for, and the status that says so.

Source: refget 2.0, "Method: get sequence by ID", with the statuses of the compliance suite of GA4GH where text and
suite differ: what lies out of bounds is 416, and a last byte behind the end is clipped as RFC 9110 has it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Part", "Unreadable", "Unsatisfiable", "by_positions", "by_range"]

_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))")


class Unreadable(ValueError):
    """Not a position or a range: 400."""


class Unsatisfiable(ValueError):
    """Well-formed, but not inside the sequence: 416."""


class Part(NamedTuple):
    """Bases ``[start, stop)``, 0-based; of a circular sequence across its origin where ``start > stop``."""

    start: int
    stop: int
    partial: bool = False
    """Asked for by ``Range``: 206."""

    def size(self, length: int) -> int:
        """Bases of the part, of a sequence of ``length``."""
        return self.stop - self.start if self.start <= self.stop else length - self.start + self.stop

    def intervals(self, length: int) -> list[tuple[int, int]]:
        """The part as half-open intervals that do not cross the origin."""
        if self.start <= self.stop:
            return [(self.start, self.stop)]
        return [(self.start, length), (0, self.stop)]


def by_positions(start: str | None, end: str | None, length: int) -> Part:
    """The part that ``start`` and ``end`` of a query name: 0-based, half-open.

    The answer may cross the origin; whether the sequence is circular is for the caller to know.

    Raises:
        Unreadable: not unsigned integers.
        Unsatisfiable: beyond the sequence.
    """
    first, last = _position(start, "start", 0), _position(end, "end", length)
    if last > length or first > length or (first == length and first > 0):
        raise Unsatisfiable(f"[{first}, {last}) is not inside the {length} bases of the sequence")
    return Part(first, last)


def by_range(header: str, length: int) -> Part:
    """The part that a ``Range`` header names: one range of bytes, both ends included.

    Raises:
        Unreadable: not one range of bytes.
        Unsatisfiable: reversed, or it begins behind the end.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise Unreadable("Range has to be one range of bytes, such as bytes=0-99")
    first, last, suffix = match.groups()
    start = max(length - int(suffix), 0) if suffix is not None else int(first)
    stop = min(int(last) + 1, length) if last is not None else length
    if start >= stop:
        raise Unsatisfiable(f"{header.strip()} is not inside the {length} bases of the sequence")
    return Part(start, stop, partial=True)


def _position(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if _NUMBER.fullmatch(text) is None:
        raise Unreadable(f"{name} has to be an unsigned integer")
    return int(text)
