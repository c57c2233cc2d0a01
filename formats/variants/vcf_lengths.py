"""How many bases the record of a line of VCF covers: ``rlen`` as pysam's htslib computes it.

The rule (htslib, ``get_rlen`` in vcf.c) takes the longest of the reference allele, what INFO/END says, SVLEN of
alleles <DEL>, <DUP>, <INV> and <CNV>, and LEN of the samples where an allele is <*> or <NON_REF>; it has changed
between versions. So only lines of which it cannot be in doubt are computed here: those where nothing can change the
length of the reference allele, and those with one plain END. All others are put before htslib itself, stripped to
what the rule looks at.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.lines.columns import Columns, Lines, integers, occurrences

__all__ = ["LengthRule"]

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

POS, REF, ALT, INFO, FORMAT = 1, 3, 4, 7, 8
"""Columns of VCF (VCFv4.3, section 1.6), the first one being 0."""

_DEFINITION = re.compile(rb"^##(?:INFO|FORMAT|FILTER)=<(?=[^\r\n]*\bID=(?:END|SVLEN|LEN)[,>])[^\r\n]*", re.MULTILINE)
_END = re.compile(rb"^##(INFO|FORMAT|FILTER)=<ID=END,(?:[^\r\n\"]*,)?Type=(\w+)[,>]", re.MULTILINE)
_TITLES = re.compile(rb"^#CHROM\t[^\r\n]*", re.MULTILINE)
_VERSION = re.compile(rb"\A##fileformat=VCFv\d\.\d")
_LARGEST_END = (1 << 31) - 9
"""htslib keeps an END beyond the largest integer of BCF as a missing one."""

_parsing = threading.Lock()
"""The verbosity of htslib belongs to the whole process."""


class LengthRule:
    """Lengths under the header of one file."""

    def __init__(self, header: bytes) -> None:
        definitions = _DEFINITION.findall(header)
        version = _VERSION.search(header)
        titles = _TITLES.search(header)
        self._head = b"\n".join(
            [
                version[0] if version else b"##fileformat=VCFv4.3",
                *definitions,
                b"##contig=<ID=1>",
                titles[0] if titles else b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
            ]
        )
        ends = [definition for definition in definitions if re.search(rb"\bID=END[,>]", definition)]
        found = _END.match(ends[0]) if len(ends) == 1 else None
        self._plain_end = found is not None and found[1] == b"INFO" and found[2] == b"Integer"
        """Whether END is what everybody takes it for."""

    def lengths(self, lines: Lines, columns: Columns, pos: I64) -> I64:
        """Bases that each line covers from its 0-based position on.

        Args:
            lines: whole lines.
            columns: the first nine columns of the lines, of which each has eight.
            pos: 0-based positions; -1 is the telomere.

        Raises:
            FormatError: htslib cannot read a line.
        """
        start, stop = columns.column(REF)
        reference = stop - start
        odd: Bools = reference <= 0
        end, has_end, doubtful = self._ends(columns)
        length: I64 = np.maximum(reference, np.where(has_end & (end > pos), end - pos, 0))
        odd |= doubtful | self._symbolic(lines, columns)
        if odd.any():
            chosen = np.flatnonzero(odd)
            length[chosen] = self._by_htslib(lines, columns, chosen.tolist())
        return length

    def _ends(self, columns: Columns) -> tuple[I64, Bools, Bools]:
        """The value of END of each line, which lines have one, and which have one that is not plain."""
        n = len(columns.present)
        end, has, odd = np.zeros(n, np.int64), np.zeros(n, bool), np.zeros(n, bool)
        found, line = _inside(columns, b"END=", INFO)
        if not len(found):
            return end, has, odd
        array = np.frombuffer(columns.data, np.uint8)
        first, last = columns.column(INFO)
        key = (found == first[line]) | (array[found - 1] == ord(";"))
        found, line = found[key] + 4, line[key]
        if not self._plain_end:
            odd[line] = True
            return end, has, odd
        # The value ends at a semicolon or with the column; no plain one has more digits than this.
        behind = found.copy()
        open_ = np.ones(len(found), bool)
        for _ in range(11):
            open_ &= behind < last[line]
            open_[open_] = array[behind[open_]] != ord(";")
            behind += open_
        value, good = integers(columns.data, found, behind)
        odd[line[open_ | ~good | (value > _LARGEST_END)]] = True
        # Of several keys htslib takes one or another: also where one has no value.
        odd[line[1:][line[1:] == line[:-1]]] = True
        for pattern in (b"END;", b";END"):
            bare, where = _inside(columns, pattern, INFO)
            odd[where[(pattern == b"END;") | (bare + len(pattern) == last[where])]] = True
        end[line], has[line] = value, True
        return end, has, odd

    def _symbolic(self, lines: Lines, columns: Columns) -> Bools:
        """Which lines have symbolic alleles together with a field that may say how long they are."""
        odd = np.zeros(len(columns.present), bool)
        _, alleles = _inside(columns, b"<", ALT)
        if not len(alleles):
            return odd
        symbolic = np.zeros(len(odd), bool)
        symbolic[alleles] = True
        _, with_length = _inside(columns, b"LEN=", INFO)
        odd[with_length] = True
        start, stop = columns.column(FORMAT)
        # A FORMAT with LEN is rare: look for the word anywhere before looking at the column of a line.
        if b"LEN" in lines.data:
            for line in np.flatnonzero(symbolic & (stop - start >= 3)).tolist():
                odd[line] |= b"LEN" in columns.data[int(start[line]) : int(stop[line])]
        return odd & symbolic

    def _by_htslib(self, lines: Lines, columns: Columns, chosen: Sequence[int]) -> list[int]:
        """``rlen`` of lines as pysam has it."""
        import pysam

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lines.vcf"
            with path.open("wb") as file:
                file.write(self._head + b"\n")
                file.writelines(_stripped(lines, columns, line) for line in chosen)
            with _parsing:
                verbosity = pysam.set_verbosity(0)
                try:
                    with pysam.VariantFile(str(path)) as records:
                        lengths = [record.rlen for record in records]
                except (OSError, ValueError) as error:
                    raise FormatError(f"a line of the VCF cannot be parsed by htslib: {error}") from error
                finally:
                    pysam.set_verbosity(verbosity)
        if len(lengths) != len(chosen):
            shown = lines.text(chosen[len(lengths)])[:60].decode("utf-8", "replace")
            raise FormatError(f"the line {shown!r} of the VCF cannot be parsed by htslib")
        return lengths


def _inside(columns: Columns, pattern: bytes, number: int) -> tuple[I64, I64]:
    """Occurrences of a pattern inside a column: where, and in which line."""
    if not len(columns.present):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    found = occurrences(columns.data, pattern, int(columns.start[0, 0]))
    start, stop = columns.column(number)
    line = np.searchsorted(start, found, side="right") - 1
    inside = (line >= 0) & (found + len(pattern) <= stop[np.maximum(line, 0)])
    return found[inside], line[inside]


def _stripped(lines: Lines, columns: Columns, line: int) -> bytes:
    """A line with what decides on its length, and nothing else that htslib might complain of."""
    info = [field for field in columns.text(line, INFO).split(b";") if field.split(b"=", 1)[0] in (b"END", b"SVLEN")]
    fields = [b"1", columns.text(line, POS), b".", columns.text(line, REF), columns.text(line, ALT)]
    text = b"\t".join([*fields, b".", b".", b";".join(info) or b"."])
    if b"LEN" in columns.text(line, FORMAT).split(b":"):
        text += b"\t" + lines.text(line).split(b"\t", FORMAT)[FORMAT]
    return text + b"\n"
