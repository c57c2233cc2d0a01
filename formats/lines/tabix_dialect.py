"""Lines with a contig and an interval in columns, read as tabix reads them (``tbx_parse1`` of htslib)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lake.formats.intervals.numbering import Numbering
from lake.formats.lines.columns import Columns, Lines, first_columns, integers
from lake.formats.lines.tabix_columns import TabixColumns
from lake.formats.lines.text_source import Spans, unreadable

__all__ = ["TabixDialect"]

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")
_LARGEST = (1 << 63) - 1
_BROWSER = (b"track", b"browser")
"""First words of lines that tell a genome browser how to show what follows (BED)."""


class TabixDialect:
    """Lines by columns.

    A line that starts with the comment byte is none, and in 0-based files neither are ``track`` and ``browser`` lines,
    on which tabix gives up.
    """

    unplaced = False
    keeps_header = False

    def __init__(self, columns: TabixColumns) -> None:
        self._columns = columns
        self._wide = max(columns.contig, columns.begin, columns.end)

    @property
    def flavour(self) -> str:
        return self._columns.flavour

    def in_header(self, line: bytes, number: int) -> bool:
        if number <= self._columns.skip or not line.rstrip(b"\r"):
            return True
        return line[0] == self._columns.meta or self._for_browsers(line)

    def learn(self, header: bytes) -> None:
        """Nothing: headers of such files say nothing of contigs."""

    def declared(self) -> Mapping[str, int]:
        return {}

    def comments(self, lines: Lines) -> Bools:
        first = lines.first_bytes()
        found: Bools = (first == self._columns.meta) | (first == ord("\n")) | (first == ord("\r"))
        if self._columns.zero_based:
            for line in np.flatnonzero((first == ord("t")) | (first == ord("b"))).tolist():
                found[line] |= self._for_browsers(lines.text(line)[:64])
        return found

    def _for_browsers(self, line: bytes) -> bool:
        words = line[:64].split(None, 1)
        return (
            self._columns.zero_based
            and bool(words)
            and words[0] in _BROWSER
            and not _NUMBER.match(line.partition(b"\t")[2] or b"x")
        )

    def spans(self, lines: Lines, numbering: Numbering) -> Spans:
        names = self._columns
        columns = first_columns(lines, self._wide)
        begin, good = _numbers(columns, names.begin - 1)
        good &= columns.present >= max(names.contig, names.begin)
        pos = np.maximum(begin if names.zero_based else begin - 1, 0)
        end = begin + 1 if names.zero_based else begin.copy()
        end = np.maximum(end, 1)
        if names.end not in (0, names.begin):
            stated, fine = _numbers(columns, names.end - 1)
            present = columns.present >= names.end
            end = np.where(present, stated, end)
            good &= fine | ~present
            good &= end >= 0
        if not good.all():
            wanted = f"a contig in column {names.contig} and numbers in columns {names.begin} and {names.end}"
            raise unreadable(lines, int(np.argmin(good)), wanted)
        return Spans(numbering.numbers(columns.data, *columns.column(names.contig - 1)), pos, end)


def _numbers(columns: Columns, number: int) -> tuple[I64, Bools]:
    """Numbers of a column as C's ``strtoll`` with base 0 takes them, and which lines have one."""
    start, stop = columns.column(number)
    value, good = integers(columns.data, start, stop)
    array = np.frombuffer(columns.data, np.uint8)
    octal = good & (stop - start > 1)
    octal[octal] = array[start[octal]] == ord("0")
    for line in np.flatnonzero(~good | octal).tolist():
        found = _NUMBER.match(columns.text(line, number))
        if found is not None:
            sign, hexadecimal, digits, decimal = found.groups()
            number_ = int(hexadecimal, 16) if hexadecimal else int(digits, 8) if digits else int(decimal[:20])
            value[line], good[line] = min(number_, _LARGEST) * (-1 if sign == b"-" else 1), True
        else:
            good[line] = False
    return value, good
