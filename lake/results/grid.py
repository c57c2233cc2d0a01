"""Tables of text in boxes, as wide as a terminal or as wide as their cells."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Grid", "cell_width", "harmless"]

_NARROWEST = 8
"""Cells of columns that are cut to fit a terminal keep so much."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def harmless(text: str) -> str:
    """Text that cannot move a cursor, ring bells or turn the line around: names come from files of others."""
    return _CONTROLS.sub(lambda found: _NAMED.get(found[0]) or f"\\u{ord(found[0]):04x}", text)


def cell_width(text: str) -> int:
    """Columns of a terminal that a text takes: Unicode Standard Annex 11, wide and full-width characters are two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """The frame of one table: which columns are shown, and how wide."""

    widths: tuple[int | None, ...]
    """By column; None stands for columns left out in the middle, once."""
    shown: tuple[int | None, ...]
    """Number of the column in each place; None as in ``widths``."""
    right: frozenset[int]

    @classmethod
    def fit(cls, widths: Sequence[int], right: frozenset[int], available: int | None) -> Grid:
        """A frame for columns of these widths; ``available`` is the width of the terminal, None: any."""
        everything = list(range(len(widths)))
        if available is None or _total(widths) <= available:
            return cls(tuple(widths), tuple(everything), right)
        cap = max(widths)
        while cap > _NARROWEST and _total([min(width, cap) for width in widths]) > available:
            cap -= 1
        capped = [min(width, cap) for width in widths]
        kept = list(everything)
        while len(kept) > 2 and _total([*(capped[n] for n in kept), *([1] if kept != everything else [])]) > available:
            kept.pop(len(kept) // 2)
        if kept == everything:
            return cls(tuple(capped), tuple(everything), right)
        middle = next(place for place, number in enumerate(kept) if place != number)
        places: list[int | None] = [*kept[:middle], None, *kept[middle:]]
        return cls(tuple(None if n is None else capped[n] for n in places), tuple(places), right)

    @property
    def columns(self) -> int:
        """How many are shown."""
        return sum(number is not None for number in self.shown)

    def rule(self, left: str, cross: str, right: str) -> str:
        return left + cross.join("─" * ((1 if width is None else width) + 2) for width in self.widths) + right

    def line(self, cells: Sequence[str]) -> str:
        parts = []
        for number, width in zip(self.shown, self.widths, strict=True):
            if number is None or width is None:
                parts.append("…")
            else:
                parts.append(_fitted(cells[number], width, flush_right=number in self.right))
        return f"│ {' │ '.join(parts)} │"

    def lines(self, heads: Sequence[Sequence[str]], rows: Iterable[Sequence[str] | None]) -> Iterator[str]:
        """The table; a row that is None stands for rows that were left out."""
        yield self.rule("┌", "┬", "┐")
        for head in heads:
            yield self.line(head)
        yield self.rule("├", "┼", "┤")
        for row in rows:
            yield self.line(["·"] * len(heads[0]) if row is None else row)
        yield self.rule("└", "┴", "┘")


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * len(widths) + 1


def _fitted(text: str, width: int, *, flush_right: bool) -> str:
    taken = cell_width(text)
    if taken > width:
        while taken > width - 1:
            taken -= cell_width(text[-1])
            text = text[:-1]
        text, taken = text + "…", taken + 1
    padding = " " * (width - taken)
    return padding + text if flush_right else text + padding
