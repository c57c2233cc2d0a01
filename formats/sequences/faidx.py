"""FAI: where the bases of each sequence of a FASTA lie, by arithmetic over lines of equal length.

Format: faidx(5) of htslib: name, bases, offset of the first base in the content, bases a line, bytes a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lake.errors import FormatError

__all__ = ["FaiRecord", "encode_fai", "parse_fai", "same_places"]


class FaiRecord(NamedTuple):
    """One sequence."""

    name: str
    length: int
    """Bases."""
    offset: int
    """Of the first base in the content, that is in the inflated bytes."""
    line_bases: int
    line_bytes: int
    """Bases of a full line and its bytes with the line's end; both 0 for a sequence without bases."""

    def place(self, base: int) -> int:
        """Offset in the content of a base, 0-based."""
        return self.offset + base // self.line_bases * self.line_bytes + base % self.line_bases

    def bases_before(self, place: int) -> int:
        """How many bases lie in front of an offset in the content; the sequence has some."""
        lines, rest = divmod(max(place - self.offset, 0), self.line_bytes)
        return min(lines * self.line_bases + min(rest, self.line_bases), self.length)


def parse_fai(data: bytes) -> list[FaiRecord]:
    """
    Raises:
        FormatError: a line that is not of five columns, or whose numbers cannot be.
    """
    records: list[FaiRecord] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        name, *fields = line.rstrip(b"\r").split(b"\t")
        if len(fields) != 4 or not all(field.isdigit() and len(field) < 19 for field in fields):
            raise FormatError(f"line {number} of the .fai is not a name and four numbers")
        record = FaiRecord(name.decode("utf-8", "surrogateescape"), *map(int, fields))
        if record.length and not 0 < record.line_bases < record.line_bytes:
            raise FormatError(
                f"line {number} of the .fai states {record.line_bases} bases in {record.line_bytes} bytes a line, "
                "which cannot be"
            )
        records.append(record)
    return records


def encode_fai(records: Iterable[FaiRecord]) -> bytes:
    """The text of a ``.fai``."""
    return b"".join(
        b"%b\t%d\t%d\t%d\t%d\n" % (record.name.encode("utf-8", "surrogateescape"), *record[1:]) for record in records
    )


def same_places(left: Iterable[FaiRecord], right: Iterable[FaiRecord]) -> bool:
    """Whether two indexes put the same bases at the same places.

    Sequences without bases do not count, which samtools leaves out; nor does the length of a line that is the only one.
    """
    return [_bare(record) for record in left if record.length] == [_bare(record) for record in right if record.length]


def _bare(record: FaiRecord) -> tuple[str | int, ...]:
    return record if record.length > record.line_bases else record[:3]
