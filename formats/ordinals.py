"""Runs of numbered things in the words of a query: ``reads=1-100,200-300``, ``bytes=0-99``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lake.errors import InvalidRegion

__all__ = ["Run", "is_byte_range", "merge_runs", "parse_byte_ranges", "parse_ordinals"]

Run = tuple[int, int]
"""Numbers ``[start, stop)``, 0-based."""

_RUN = re.compile(r"(0|[1-9][0-9]{0,17})?(-)?(0|[1-9][0-9]{0,17})?", re.ASCII)
_UNBOUNDED = 1 << 62


def parse_ordinals(text: str, region: str) -> list[Run]:
    """Closed runs of numbers from 1 on, divided by commas: ``5``, ``5-9``, ``5-``, ``-9``.

    Raises:
        InvalidRegion: not that, reversed, or 0.
    """
    runs = []
    for first, dash, last in _parts(text, region):
        start = first if first is not None else 1
        stop = last if last is not None else (_UNBOUNDED if dash else start)
        if start == 0 or stop == 0:
            raise InvalidRegion(f"there is no number 0 in {region!r}: the first one is 1")
        _forward(start, stop, region)
        runs.append((start - 1, stop))
    return runs


def is_byte_range(text: str) -> bool:
    """Whether a query asks for bytes, and not for records or a region."""
    return text.startswith("bytes=")


def parse_byte_ranges(text: str, region: str, size: int) -> list[Run]:
    """Closed ranges of bytes from 0 on, as in HTTP (RFC 9110, section 14.1.2): ``0-99``, ``100-``, ``-100``.

    ``-100`` are the last 100 bytes of ``size``.

    Raises:
        InvalidRegion: not that, or reversed.
    """
    runs = []
    for first, dash, last in _parts(text, region):
        if not dash:
            raise InvalidRegion(f"no range in {region!r}: write bytes=FIRST-LAST, bytes=FIRST- or bytes=-COUNT")
        if first is None:
            runs.append((max(size - (last or 0), 0), size))
            continue
        if last is not None:
            _forward(first, last, region)
        runs.append((first, size if last is None else min(last + 1, size)))
    return runs


def _parts(text: str, region: str) -> Iterable[tuple[int | None, bool, int | None]]:
    for part in text.split(","):
        match = _RUN.fullmatch(part.strip())
        if match is None or not (match[1] or match[3]) or (match[3] and not match[2]):
            raise InvalidRegion(f"{part!r} in {region!r} is not a range: write FIRST-LAST; commas divide ranges")
        yield (
            int(match[1]) if match[1] else None,
            match[2] is not None,
            int(match[3]) if match[3] else None,
        )


def _forward(first: int, last: int, region: str) -> None:
    if first > last:
        raise InvalidRegion(f"{region!r} is reversed: {first} comes after {last}")


def merge_runs(runs: Iterable[Run], total: int) -> Sequence[Run]:
    """Runs in order, cut off at ``total``, joined where they overlap or touch; empty ones dropped."""
    merged: list[Run] = []
    for start, stop in sorted(runs):
        stop = min(stop, total)
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged
