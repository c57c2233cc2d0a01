"""Which part of a representation a request asks for, and on what conditions (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["MAX_RANGES", "ByteRange", "Condition", "condition_of", "parse_ranges", "wanted_ranges"]

MAX_RANGES = 100
"""A request for more ranges is answered with the whole."""

_SPEC = re.compile(r"(\d*)-(\d*)")
_MOST_DIGITS = 19
"""A position with more is behind the end of anything; int() itself refuses thousands of digits."""
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class ByteRange(NamedTuple):
    """Bytes ``[start, stop)``, 0-based."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def parse_ranges(header: str, size: int) -> tuple[ByteRange, ...] | None:
    """The ranges that a ``Range`` header names and that ``size`` bytes can satisfy, in the order of the header.

    Returns:
        None where the header is to be ignored, and the whole answered: another unit, a malformed range, or a flood
        (RFC 9110, section 14.2): more than `MAX_RANGES` ranges, or ranges that overlap so much that the parts would be
        more than the whole. Empty where none can be satisfied: 416.
    """
    unit, equals, specs = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    # Empty elements of a list are skipped (section 5.6.1.2); a header of commas alone names nothing.
    named = [spec.strip(" \t") for spec in specs.split(",", 10 * MAX_RANGES)]
    named = [spec for spec in named if spec]
    if not 0 < len(named) <= MAX_RANGES:
        return None
    ranges = []
    for spec in named:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-" or not spec.isascii():
            return None
        first, last = match.groups()
        if first and last and _number(last) < _number(first):
            return None
        found = _within(first, last, size)
        if found is not None:
            ranges.append(found)
    if len(ranges) > 1 and sum(each.length for each in ranges) > size:
        return None
    return tuple(ranges)


def _within(first: str, last: str, size: int) -> ByteRange | None:
    """One range, clamped; None where nothing of it is there."""
    if not first:
        start, stop = max(0, size - _number(last)), size
    else:
        start, stop = _number(first), min(size, _number(last) + 1) if last else size
    return ByteRange(start, stop) if start < stop else None


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MOST_DIGITS else 10**_MOST_DIGITS


def wanted_ranges(headers: Mapping[str, str], etag: str, size: int) -> tuple[ByteRange, ...] | None:
    """`parse_ranges` of a GET's headers, unless its ``If-Range`` names another representation (section 13.1.5)."""
    header = headers.get("range")
    if header is None:
        return None
    condition = headers.get("if-range")
    # No date is ever sent, so none can match; a weak tag never does.
    if condition is not None and condition.strip() != etag:
        return None
    return parse_ranges(header, size)


class Condition(NamedTuple):
    """What ``If-Match`` and ``If-None-Match`` make of a GET or HEAD."""

    failed: bool = False
    """412: the client wants nothing but a version that this is not."""
    known: bool = False
    """304: the client has these very bytes."""


def condition_of(headers: Mapping[str, str], etag: str) -> Condition:
    """Weigh the conditions in the order of RFC 9110, section 13.2.2; ``etag`` is strong, with its quotes."""
    match = headers.get("if-match")
    if match is not None and not _lists(match, etag, weakly=False):
        return Condition(failed=True)
    none_match = headers.get("if-none-match")
    return Condition(known=none_match is not None and _lists(none_match, etag, weakly=True))


def _lists(header: str, etag: str, *, weakly: bool) -> bool:
    if header.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(header))
