"""SAM, in BGZF or plain: regions compiled into record-exact slices with the semantics of BAM.

A record covers the reference bases of its CIGAR, at least one; ``*`` selects those without a contig. Source: SAM
specification, sections 1.3 and 1.4, and the corrections that htslib makes while it reads (``sam_parse1``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.containers import open_container
from lake.formats.intervals.blocked_format import BlockedFormat
from lake.formats.intervals.numbering import Numbering
from lake.formats.lines.columns import Columns, Lines, first_columns, integers
from lake.formats.lines.text_source import Spans, TextSource, unreadable
from lake.formats.reader import ByteReader

__all__ = ["SAM", "SamDialect", "SamFormat"]

I64 = NDArray[np.int64]

_COLUMNS = 11
"""Columns that every record has."""
_FLAG, _CONTIG, _POSITION, _CIGAR = 1, 2, 3, 5
_UNMAPPED = 4
_CIGARS = re.compile(rb"\*|(?:\d{1,9}[MIDNSHPX=])+")
_CONSUMING = re.compile(rb"(\d+)[MDNX=]")
_CONTIG_LINE = re.compile(rb"^@SQ\t([^\r\n]*)", re.MULTILINE)


class SamDialect:
    """The lines of SAM. The contigs are those of @SQ; others are an error, as they are to samtools."""

    flavour = ""
    unplaced = True
    keeps_header = True

    def __init__(self) -> None:
        self._declared: dict[str, int] = {}

    def in_header(self, line: bytes, number: int) -> bool:
        return line.startswith(b"@")

    def learn(self, header: bytes) -> None:
        """
        Raises:
            FormatError: an @SQ line lacks a name or a length, or a name comes twice.
        """
        for line in _CONTIG_LINE.findall(header):
            fields = dict(field.split(b":", 1) for field in line.split(b"\t") if b":" in field)
            name, length = fields.get(b"SN", b"").decode("utf-8", "surrogateescape"), fields.get(b"LN", b"")
            if not name or name in self._declared or not re.fullmatch(rb"[0-9]{1,18}", length):
                raise FormatError(
                    f"the SAM header is damaged: an @SQ line has no valid, unique name and length ({name!r})"
                )
            self._declared[name] = int(length)

    def declared(self) -> Mapping[str, int]:
        return self._declared

    def comments(self, lines: Lines) -> NDArray[np.bool_]:
        return np.isin(lines.first_bytes(), (ord("\n"), ord("\r")))

    def spans(self, lines: Lines, numbering: Numbering) -> Spans:
        columns = first_columns(lines, _COLUMNS)
        flag, good = integers(columns.data, *columns.column(_FLAG))
        pos, fine = integers(columns.data, *columns.column(_POSITION))
        good &= fine & (columns.present >= _COLUMNS)
        if not good.all():
            raise unreadable(lines, int(np.argmin(good)), "eleven columns of SAM with numbers for flag and position")
        pos = pos - 1
        known = len(numbering)
        tid = numbering.numbers(columns.data, *columns.column(_CONTIG), missing=b"*")
        for name in numbering.names[known:]:
            if name.decode("utf-8", "surrogateescape") not in self._declared:
                raise FormatError(f"a record lies on {name[:80]!r}, of which the header has no @SQ line")
        # htslib takes a record without a position for one without a contig.
        tid[pos < 0] = -1
        length = np.ones(len(pos), np.int64)
        aligned = np.flatnonzero((flag & _UNMAPPED == 0) & (tid >= 0))
        length[aligned] = np.maximum(_spans(lines, columns, aligned.tolist()), 1)
        return Spans(tid, pos, pos + length, flag & _UNMAPPED != 0)


def _spans(lines: Lines, columns: Columns, chosen: list[int]) -> I64:
    """Reference bases of the CIGAR of each line; reads of a run have but a few different ones."""
    known: dict[bytes, int] = {b"*": 0}
    spans = np.empty(len(chosen), np.int64)
    for index, line in enumerate(chosen):
        cigar = columns.text(line, _CIGAR)
        span = known.get(cigar)
        if span is None:
            if not _CIGARS.fullmatch(cigar):
                raise unreadable(lines, line, "a CIGAR in column 6")
            span = known[cigar] = sum(map(int, _CONSUMING.findall(cigar)))
        spans[index] = span
    return spans


class SamFormat(BlockedFormat):
    """What a lake knows of SAM."""

    name = "SAM"
    media_type = "text/x-sam"
    suffixes = (".sam.bgz", ".sam.gz", ".sam")
    planner = "sam/1"
    table_kind = "sam-blocks/1"

    def source(self, reader: ByteReader, flavour: str, numbering: Numbering | None = None) -> TextSource:
        return TextSource(open_container(reader), SamDialect(), numbering)


SAM = SamFormat()
