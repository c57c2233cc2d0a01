"""Fields of BAM records as parallel arrays (SAM specification, section 4.2): flags, qualities, mates, CIGARs, tags."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.intervals.batch import Batch

__all__ = ["CIGAR_OPS", "ReadFields", "iter_tags"]

CIGAR_OPS = "MIDNSHP=X"

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Mask = NDArray[np.bool_]

_FIXED = np.dtype(
    {
        "names": ["name", "quality", "ops", "flag", "bases", "mate", "mate_pos", "length"],
        "formats": ["u1", "u1", "<u2", "<u2", "<i4", "<i4", "<i4", "<i4"],
        "offsets": [12, 13, 16, 18, 20, 24, 28, 32],
        "itemsize": 36,
    }
)
_HEAD = 36
_SOFT_CLIP, _SKIP = 4, 3
_SIZES = {b"A": 1, b"c": 1, b"C": 1, b"s": 2, b"S": 2, b"i": 4, b"I": 4, b"f": 4, b"d": 8}


class ReadFields:
    """Fields of the records of a batch; every array has one item a record."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        fixed = np.ndarray((max(len(batch.data) - _HEAD + 1, 0),), _FIXED, batch.data, 0, (1,))[batch.offset]
        self.flag: I64 = fixed["flag"].astype(np.int64)
        self.quality: I64 = fixed["quality"].astype(np.int64)
        """Mapping quality; 255 where there is none."""
        self.mate: I64 = fixed["mate"].astype(np.int64)
        """Contig of the mate, -1 for none."""
        self.mate_pos: I64 = fixed["mate_pos"].astype(np.int64)
        """0-based, -1 for none."""
        self.template_length: I64 = fixed["length"].astype(np.int64)
        self.bases: I64 = fixed["bases"].astype(np.int64)
        """Bases of the sequence, 0 where it is not stored."""
        self.name_size: I64 = fixed["name"].astype(np.int64)
        """Bytes of the name with its end."""
        self._ops: I64 = fixed["ops"].astype(np.int64)

    @property
    def name_at(self) -> I64:
        """Where the name starts in the batch's bytes."""
        return self.batch.offset + _HEAD

    @property
    def cigar_at(self) -> I64:
        return self.name_at + self.name_size

    @property
    def bases_at(self) -> I64:
        """Where the sequence starts, two bases a byte."""
        return self.cigar_at + 4 * self._ops

    @property
    def qualities_at(self) -> I64:
        return self.bases_at + (self.bases + 1) // 2

    @property
    def tags_at(self) -> I64:
        return self.qualities_at + self.bases

    def wanted(self, include: int = 0, exclude: int = 0, min_quality: int = 0) -> Mask:
        """Records that ``samtools view -f include -F exclude -q min_quality`` keeps."""
        kept: Mask = (self.flag & include == include) & (self.flag & exclude == 0) & (self.quality >= min_quality)
        return kept

    @cached_property
    def cigars(self) -> tuple[U32, I64]:
        """All CIGAR operations one after the other (length << 4 | operation), and how many each record has.

        A CIGAR of more than 65,535 operations is taken from the tag CG (SAM specification, section 4.2.2).
        """
        words: U32 = np.ndarray((max(len(self.batch.data) - 3, 0),), "<u4", self.batch.data, 0, (1,))
        counts = self._ops.copy()
        stand_in = np.flatnonzero(counts == 2)
        if len(stand_in):
            first, second = words[self.cigar_at[stand_in]], words[self.cigar_at[stand_in] + 4]
            clipped = (first & 15 == _SOFT_CLIP) & (first >> 4 == self.bases[stand_in]) & (second & 15 == _SKIP)
            long = {int(record): self._long(int(record)) for record in stand_in[clipped]}
        else:
            long = {}
        found = {record: cigar for record, cigar in long.items() if cigar is not None}
        if not found:
            return _gather_words(words, self.cigar_at, counts), counts
        pieces: list[U32] = []
        done = 0
        for record, cigar in [*sorted(found.items()), (len(counts), np.empty(0, np.uint32))]:
            pieces += [_gather_words(words, self.cigar_at[done:record], counts[done:record]), cigar]
            done = record + 1
        for record, cigar in found.items():
            counts[record] = len(cigar)
        return np.concatenate(pieces), counts

    def _long(self, record: int) -> U32 | None:
        batch = self.batch
        for tag, kind, at, stop in iter_tags(batch.data, int(self.tags_at[record]), int(batch.stop[record])):
            if tag == b"CG" and kind == b"B" and batch.data[at : at + 1] in (b"I", b"i"):
                cigar: U32 = np.frombuffer(batch.data, "<u4", (stop - at - 5) // 4, at + 5)
                return cigar
        return None


def _gather_words(words: U32, starts: I64, counts: I64) -> U32:
    behind = np.cumsum(counts)
    index = np.repeat(starts - 4 * (behind - counts), counts) + 4 * np.arange(int(behind[-1]) if len(behind) else 0)
    return words[index]


def iter_tags(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Name, type, and where the value starts and ends of each tag of a record.

    Raises:
        FormatError: the tags do not fill the record.
    """
    while at < stop:
        tag, kind = data[at : at + 2], data[at + 2 : at + 3]
        start = at + 3
        if kind in (b"Z", b"H"):
            end = data.find(b"\0", start, stop) + 1
        elif kind == b"B" and start + 5 <= stop:
            width = _SIZES.get(data[start : start + 1], 0)
            end = start + 5 + width * struct.unpack_from("<I", data, start + 1)[0] if width else 0
        else:
            end = start + _SIZES[kind] if kind in _SIZES else 0
        if not start <= end <= stop or at + 3 > stop:
            raise FormatError(f"the tag {tag.decode('latin-1')!r} of a record is damaged")
        yield tag, kind, start, end
        at = end
