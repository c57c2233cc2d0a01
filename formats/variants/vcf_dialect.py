"""The lines of VCF (VCFv4.3, sections 1.4 to 1.6): header, contigs, positions and how far records reach."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lake.formats.intervals.numbering import Numbering
from lake.formats.lines.columns import Lines, first_columns, integers
from lake.formats.lines.text_source import Spans, unreadable
from lake.formats.variants.vcf_lengths import LengthRule

__all__ = ["VcfDialect", "header_contigs"]

_COLUMNS = 8
"""Columns that every record has."""
_CONTIG = re.compile(rb"^##contig=<(.*)>\r?$", re.MULTILINE)
_ID = re.compile(rb"(?:^|,)ID=([^,>]+)")
_LENGTH = re.compile(rb"(?:^|,)length=(\d{1,18})(?=[,>]|$)")


def header_contigs(header: bytes) -> dict[str, int]:
    """Contigs of the header of a VCF or BCF in its order, with lengths in bases; 0 for an unknown length."""
    contigs: dict[str, int] = {}
    for fields in _CONTIG.findall(header):
        name = _ID.search(fields)
        if name is not None:
            length = _LENGTH.search(fields)
            contigs.setdefault(name[1].decode("utf-8", "surrogateescape"), int(length[1]) if length else 0)
    return contigs


class VcfDialect:
    """Records cover ``[POS - 1, POS - 1 + rlen)``, see `lake.formats.variants.vcf_lengths`."""

    flavour = ""
    unplaced = False
    keeps_header = True

    def __init__(self) -> None:
        self._declared: Mapping[str, int] = {}
        self._rule = LengthRule(b"")

    def in_header(self, line: bytes, number: int) -> bool:
        return line.startswith(b"#")

    def learn(self, header: bytes) -> None:
        self._declared = header_contigs(header)
        self._rule = LengthRule(header)

    def declared(self) -> Mapping[str, int]:
        return self._declared

    def comments(self, lines: Lines) -> NDArray[np.bool_]:
        first = lines.first_bytes()
        found: NDArray[np.bool_] = (first == ord("#")) | (first == ord("\n")) | (first == ord("\r"))
        return found

    def spans(self, lines: Lines, numbering: Numbering) -> Spans:
        columns = first_columns(lines, _COLUMNS + 1)
        pos, good = integers(columns.data, *columns.column(1))
        good &= columns.present >= _COLUMNS
        if not good.all():
            raise unreadable(lines, int(np.argmin(good)), "eight columns of VCF and a position in the second")
        pos = pos - 1
        tid = numbering.numbers(columns.data, *columns.column(0))
        return Spans(tid, pos, pos + self._rule.lengths(lines, columns, pos))
