"""Which columns of a file of lines say where a record lies: as the header of a tabix index has it, or by format.

Source: the tabix index format (tabix.pdf of hts-specs) and ``tbx_parse1`` of htslib; a CSI keeps the same numbers in
its auxiliary data.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from lake.errors import FormatError
from lake.formats.intervals.binning import inflate_index

__all__ = ["BED_COLUMNS", "GFF_COLUMNS", "TabixColumns", "TabixHeader", "read_tabix_header"]

_TBI = struct.Struct("<4s8i")
_CSI = struct.Struct("<4s3i")
_CONF = struct.Struct("<7i")
_ZERO_BASED = 0x10000
_FAMILIES = {1: "SAM", 2: "VCF", 3: "GAF"}
_FARTHEST_COLUMN = 1000
_FLAVOUR = re.compile(r"(\d+),(\d+),(\d+),(\d+),(\d+),([01]);")


class TabixColumns(NamedTuple):
    """Columns are numbered from 1."""

    contig: int
    begin: int
    end: int
    """0 or the same as ``begin`` where a record has no column for its end."""
    meta: int
    """The byte that a comment starts with, or 0."""
    skip: int
    """Leading lines that belong to the header whatever they are."""
    zero_based: bool
    """Whether positions are 0-based, half-open, as in BED, else 1-based, closed."""

    @property
    def flavour(self) -> str:
        """The columns as text, for tables and queries."""
        return ",".join(str(int(value)) for value in self) + ";"

    @classmethod
    def of_flavour(cls, text: str) -> TabixColumns:
        """
        Raises:
            FormatError: not what `flavour` gives.
        """
        found = _FLAVOUR.fullmatch(text)
        if found is None:
            raise FormatError("the block table is damaged: it does not say which columns it was made of")
        contig, begin, end, meta, skip, zero = map(int, found.groups())
        return cls(contig, begin, end, meta, skip, bool(zero))


BED_COLUMNS = TabixColumns(1, 2, 3, ord("#"), 0, zero_based=True)
GFF_COLUMNS = TabixColumns(1, 4, 5, ord("#"), 0, zero_based=False)


class TabixHeader(NamedTuple):
    """What an index says of its file beside where records lie."""

    columns: TabixColumns
    names: list[bytes]
    """The contigs, in the order of the file."""


def read_tabix_header(index: bytes) -> TabixHeader:
    """The header of a TBI, or the one that a CSI made by tabix holds.

    Raises:
        FormatError: damaged, or made for a file whose intervals are not found in columns of numbers.
    """
    data = inflate_index(index)
    try:
        if data[:4] == b"TBI\x01":
            *conf, length = _TBI.unpack_from(data)[2:]
            at = _TBI.size
        elif data[:4] == b"CSI\x01":
            if _CSI.unpack_from(data)[3] < _CONF.size:
                raise FormatError(
                    "the CSI does not say which columns it was made of: it is the index of another format"
                )
            *conf, length = _CONF.unpack_from(data, _CSI.size)
            at = _CSI.size + _CONF.size
        else:
            raise FormatError("the index is neither a TBI nor a CSI")
    except struct.error:
        raise FormatError("the index is damaged: it ends inside its header") from None
    preset, contig, begin, end, meta, skip = conf
    if preset & 0xFFFF:
        family = _FAMILIES.get(preset & 0xFFFF, "another format")
        raise FormatError(f"the index was made for {family}, not for columns of numbers")
    numbers = (contig, begin, end or begin)
    if not all(1 <= column <= _FARTHEST_COLUMN for column in numbers) or not 0 <= meta < 256 or skip < 0:
        raise FormatError(f"the index is damaged: it names the columns {contig}, {begin} and {end}")
    if not 0 <= length <= len(data) - at:
        raise FormatError("the index is damaged: its names do not fit into it")
    names = data[at : at + length].split(b"\0")[:-1]
    return TabixHeader(TabixColumns(contig, begin, end, meta, skip, bool(preset & _ZERO_BASED)), names)
