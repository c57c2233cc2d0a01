"""The slice table: which contigs and positions the slices of a CRAM hold, from its own headers or from a CRAI.

One row for each contig of each slice; a slice of several contigs has several, one without a contig -1 among them.
A container lies wholly inside a selection when all of its rows do: its bytes are then copied untouched.

A table made from records is exact. One made from headers or a CRAI is not: htslib leaves unmapped reads that have a
place out of the range of a slice, so that samtools misses them. Its ranges are widened, by what the order of a sorted
file allows, and containers that this leaves in doubt are decoded before they are judged.

Source of CRAI: CRAM specification, section 12 "Indexing": gzipped lines of contig, 1-based start, span, offset of
the container, offset of the slice in it, bytes of the slice.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.region import Selection
from lake.formats.sealed import seal, unseal

__all__ = [
    "TABLE_KIND",
    "Piece",
    "SliceRow",
    "SliceTable",
    "decode_table",
    "encode_table",
    "from_crai",
    "make_table",
    "to_crai",
]

TABLE_KIND = "cram-slices/1"

_MAGIC = b"RLCRAMS\x01"
_ROW = np.dtype(
    [("container", "<i8"), ("landmark", "<i4"), ("size", "<i4"), ("tid", "<i4"), ("start", "<i8"), ("end", "<i8")]
)
_CONTIG = 1 << 34
"""Distance of contigs on the line on which places are compared; CRAM has positions below 2^31."""
_MAX_CRAI = 1 << 28

I64 = NDArray[np.int64]


class SliceRow(NamedTuple):
    """The records of one slice on one contig, 0-based and half-open."""

    container: int
    """Offset in the file."""
    landmark: int
    """Offset of the slice's header block from the end of the container's header."""
    size: int
    """Bytes of the slice."""
    tid: int
    """Contig, -1 for none."""
    start: int
    end: int


class Piece(NamedTuple):
    """Containers of which records are selected: a run of whole ones, or one that must be cut."""

    offset: int
    end: int
    whole: bool


@dataclass(frozen=True)
class SliceTable:
    """Rows in file order."""

    size: int
    """Bytes of the file."""
    end: int
    """Where its last container ends."""
    rows: NDArray[np.void]
    exact: bool
    """Whether the ranges are those of the records."""

    def widened(self, *, sorted_by_place: bool) -> SliceTable:
        """The table with ranges that surely hold every record, also those that headers leave out.

        In a sorted file a record lies no further left than the slice before begins, and no further right than the one
        behind. In any other it may lie anywhere on its contig.
        """
        rows = self.rows.copy()
        tid, start, end = (self.rows[name].astype(np.int64) for name in ("tid", "start", "end"))
        placed = tid >= 0
        rows["start"][placed] = -1
        rows["end"][placed] = _CONTIG - 1
        if sorted_by_place and self.sorted:
            same = (tid[1:] == tid[:-1]) & placed[1:]
            rows["start"][1:][same] = start[:-1][same]
            rows["end"][:-1][same] = np.maximum(end[:-1], start[1:] + 1)[same]
        return SliceTable(self.size, self.end, rows, exact=False)

    def pieces(self, selection: Selection) -> list[Piece]:
        """Containers with records that the selection may select, in file order."""
        rows = self.rows
        if not len(rows):
            return []
        touched, inside = self._match(selection)
        first = np.flatnonzero(np.r_[True, rows["container"][1:] != rows["container"][:-1]])
        offsets = rows["container"][first].astype(np.int64)
        ends = np.r_[offsets[1:], self.end]
        wanted = np.logical_or.reduceat(touched, first)
        whole = np.logical_and.reduceat(inside, first)
        pieces: list[Piece] = []
        for index in np.flatnonzero(wanted).tolist():
            piece = Piece(int(offsets[index]), int(ends[index]), bool(whole[index]))
            last = pieces[-1] if pieces else None
            if last is not None and last.whole and piece.whole and last.end == piece.offset:
                pieces[-1] = Piece(last.offset, piece.end, True)
            else:
                pieces.append(piece)
        return pieces

    def narrowed(self, selection: Selection, piece: Piece) -> Selection:
        """Of a selection as much as can select records of one container."""
        rows = self.rows[self.rows["container"] == piece.offset]
        places = rows[["tid", "start", "end"]].tolist()
        intervals = tuple(
            interval
            for interval in selection.intervals
            if any(tid == interval.tid and start < interval.stop and interval.start < end for tid, start, end in places)
        )
        return Selection(intervals, unplaced=selection.unplaced and any(tid < 0 for tid, _, _ in places))

    def _match(self, selection: Selection) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows overlap the selection, and which lie inside it."""
        tid, start, end = (self.rows[name].astype(np.int64) for name in ("tid", "start", "end"))
        touched = (tid < 0) & selection.unplaced
        inside = touched.copy()
        if selection.intervals:
            wanted = np.array([interval.tid for interval in selection.intervals], np.int64)
            starts = np.array([min(interval.start, _CONTIG - 1) for interval in selection.intervals], np.int64)
            stops = np.array([min(interval.stop, _CONTIG - 1) for interval in selection.intervals], np.int64)
            # The first interval that ends behind a row's start is the only one that can hold it, and overlaps if any.
            candidate = np.searchsorted(wanted * _CONTIG + stops, tid * _CONTIG + np.maximum(start, 0), side="right")
            known = np.minimum(candidate, len(wanted) - 1)
            same = (candidate < len(wanted)) & (wanted[known] == tid)
            touched |= same & (starts[known] < end)
            inside |= same & (starts[known] <= start) & (end <= stops[known])
        return touched, inside

    @property
    def sorted(self) -> bool:
        """Whether the rows are in the order of contig and position, those without a contig last."""
        tid = self.rows["tid"].astype(np.int64)
        key = np.where(tid < 0, 1 << 28, tid) * _CONTIG + self.rows["start"]
        return not bool((key[1:] < key[:-1]).any())


def make_table(rows: Iterable[SliceRow], size: int, end: int, *, exact: bool) -> SliceTable:
    """The table of a file of ``size`` bytes whose last container ends at ``end``."""
    return SliceTable(size, end, np.array(list(rows), _ROW), exact)


def encode_table(table: SliceTable) -> bytes:
    """An exact table as bytes: where the last container ends, and the rows, sealed."""
    return seal(_MAGIC, table.size, table.end.to_bytes(8, "little") + table.rows.tobytes())


def decode_table(data: bytes, size: int) -> SliceTable:
    """The table of a file of ``size`` bytes from its bytes.

    Raises:
        FormatError: damaged, of another version, or of another file.
    """
    body = unseal(_MAGIC, size, data, "slice table")
    return SliceTable(size, int.from_bytes(body[:8], "little"), np.frombuffer(body[8:], _ROW), exact=True)


def to_crai(table: SliceTable) -> bytes:
    """The table as a CRAI, as samtools writes it."""
    lines = []
    for container, landmark, size, tid, start, end in table.rows.tolist():
        place = f"{tid}\t{start + 1}\t{end - start}" if tid >= 0 else "-1\t0\t1"
        lines.append(f"{place}\t{container}\t{landmark}\t{size}\n")
    return gzip.compress("".join(lines).encode(), mtime=0)


def from_crai(index: bytes, size: int, end: int) -> SliceTable:
    """A table from a CRAI, gzipped or plain.

    Raises:
        FormatError: damaged, or of another file.
    """
    text = index
    if index[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(31)
        try:
            text = unpacker.decompress(index, _MAX_CRAI)
        except zlib.error as error:
            raise FormatError("the CRAI does not decompress: it is damaged") from error
        if not unpacker.eof:
            raise FormatError("the CRAI is cut off, or larger than 256 MiB")
    try:
        values = np.array(text.split(), np.int64).reshape(-1, 6)
    except (ValueError, OverflowError) as error:
        raise FormatError("the CRAI is damaged: its lines are not of six integers") from error
    if text.count(b"\n") not in (len(values), len(values) - 1):
        raise FormatError("the CRAI is damaged: its lines are not of six integers")
    tid, start, span, container, landmark, length = values.T
    sound = (tid >= -1) & (start >= 0) & (span >= 0) & (start + span < _CONTIG) & (tid < 1 << 28)
    sound &= (container >= 0) & (container < end) & (landmark >= 0) & (landmark < end) & (length >= 0)
    if not (sound & (landmark < 1 << 31) & (length < 1 << 31)).all():
        raise FormatError("the CRAI is damaged, or belongs to another file: it names places that the file lacks")
    rows = np.empty(len(values), _ROW)
    rows["container"], rows["landmark"], rows["size"], rows["tid"] = container, landmark, length, tid
    rows["start"] = np.where(tid < 0, -1, start - 1)
    rows["end"] = np.where(tid < 0, 0, start - 1 + np.maximum(span, 1))
    order = np.lexsort((np.arange(len(rows)), rows["landmark"], rows["container"]))
    return SliceTable(size, end, rows[order], exact=False)
