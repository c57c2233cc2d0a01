"""Facts of an index: records by contig, and the genomic interval of every chunk. No record is decoded.

A block table knows first position and largest end of the records that start in each block: intervals are exact. A
binning index only knows the windows of its bins, and a CRAI may leave out unmapped reads that have a place: intervals
are bounds that hold all records, ``exact`` is false.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake.errors import FormatError
from lake.formats.compression.inflated import container_of
from lake.formats.cram.source import CramSource
from lake.formats.cram.table import TABLE_KIND as CRAM_TABLE_KIND
from lake.formats.cram.table import SliceTable, from_crai
from lake.formats.cram.table import decode_table as decode_cram_table
from lake.formats.facts.kinds import fact_table
from lake.formats.facts.sources import IndexFile
from lake.formats.intervals.assembly import BGZF_SHIFT, PLAIN_SHIFT
from lake.formats.intervals.binning import BinningIndex, parse_index
from lake.formats.intervals.blocks import TABLE_KIND, BlockTable, decode_table
from lake.formats.intervals.index_counts import index_counts
from lake.formats.intervals.named_table import NamedTable, decode_named_table, is_named_table
from lake.formats.reader import ByteReader

__all__ = ["chunk_facts", "count_facts", "located_facts"]

I64 = NDArray[np.int64]

_UNSEEN = (1 << 62) - 1


class _Rows(NamedTuple):
    """Runs of records of one contig (or none, -1) that start in ``[offset, until)`` of the file."""

    offset: I64
    until: I64
    """Offset at which the run's last record starts, inclusive, or one behind it that is not of another run."""
    tid: I64
    start: I64
    stop: I64
    exact: bool
    """Whether the interval is that of the records of the run, and not wider."""


def located_facts(reader: ByteReader, at_hand: IndexFile, *, reads: bool) -> dict[str, pa.Table]:
    """Everything that index and table say.

    Args:
        reader: the object.
        at_hand: index, table and chunk map.
        reads: whether mapped and unmapped records are told apart, as only alignments do.

    Raises:
        FormatError: index or table are damaged.
    """
    return {**count_facts(at_hand, reads=reads), **chunk_facts(reader, at_hand)}


def count_facts(at_hand: IndexFile, *, reads: bool) -> dict[str, pa.Table]:
    """``contig_stats`` of our own table, or of a BAI, CSI or TBI; nothing where the index has no counts."""
    named = _named_table(at_hand)
    if named is not None:
        return fact_table("contig_stats", _own_counts(named, reads=reads))
    if at_hand.body is None or at_hand.kind not in ("bai", "csi", "tbi"):
        return {}
    found = index_counts(at_hand.kind, at_hand.body)
    names = found.names or tuple(at_hand.contigs)
    if len(found.counts) > len(names):
        raise FormatError(f"the index has {len(found.counts)} contigs, the file {len(names)}: it is another file's")
    rows: list[tuple[str | None, int | None, int | None, int]] = [
        (name, count.mapped if reads else None, count.unmapped if reads else None, count.mapped + count.unmapped)
        for name, count in zip(names, found.counts, strict=False)
        if count is not None
    ]
    if reads and found.unplaced is not None:
        rows.append((None, 0, found.unplaced, found.unplaced))
    return fact_table("contig_stats", rows)


def chunk_facts(reader: ByteReader, at_hand: IndexFile) -> dict[str, pa.Table]:
    """``chunks``: a row for each chunk and contig; one without a contig for a chunk in which no placed record starts.

    From a table of ours where there is one, else bounds from a CRAI or the bins of a BAI, CSI or TBI.
    """
    shift = PLAIN_SHIFT if container_of(reader) == "plain" else BGZF_SHIFT
    bounds = np.array(at_hand.bounds, np.int64)
    for found in (_from_own_table(at_hand, shift), _from_index(reader, at_hand)):
        if found is not None:
            rows, names = found
            return fact_table("chunks", ((*row, None, None, None) for row in _by_chunk(rows, bounds, names)))
    return {}


def _from_own_table(at_hand: IndexFile, shift: int) -> tuple[_Rows, Sequence[str]] | None:
    """Rows, and contigs by the numbers that the rows have, from a derived table."""
    size = at_hand.bounds[-1]
    named = _named_table(at_hand)
    if named is not None:
        return _table_rows(named.table, shift), _names(named)
    if at_hand.table is None:
        return None
    if at_hand.table_kind == TABLE_KIND:
        return _table_rows(decode_table(at_hand.table, size), shift), tuple(at_hand.contigs)
    if at_hand.table_kind == CRAM_TABLE_KIND:
        return _slice_rows(decode_cram_table(at_hand.table, size), ()), tuple(at_hand.contigs)
    return None


def _named_table(at_hand: IndexFile) -> NamedTable | None:
    own = next((own for own in (at_hand.table, at_hand.body) if is_named_table(own)), None)
    return decode_named_table(own, at_hand.bounds[-1]) if own is not None else None


def _names(named: NamedTable) -> list[str]:
    return [name.decode("utf-8", "replace") for name in named.names]


def _own_counts(named: NamedTable, *, reads: bool) -> Iterator[tuple[str | None, int | None, int | None, int]]:
    counts = named.counts
    unmapped = counts.unmapped if reads else None
    for number, (name, records) in enumerate(zip(_names(named), counts.records, strict=True)):
        if unmapped is None:
            yield name, None, None, records
        else:
            yield name, records - unmapped[number], unmapped[number], records
    if unmapped is not None:
        yield None, 0, counts.unplaced, counts.unplaced


def _from_index(reader: ByteReader, at_hand: IndexFile) -> tuple[_Rows, Sequence[str]] | None:
    if at_hand.body is None:
        return None
    names = tuple(at_hand.contigs)
    if at_hand.kind == "crai":
        source = CramSource(reader)
        table = from_crai(at_hand.body, reader.size, source.end)
        lengths = list(at_hand.contigs.values())
        return _slice_rows(table.widened(sorted_by_place=source.sorted_by_place), lengths), names
    if at_hand.kind == "csi":
        # An index made by tabix counts by its own list of names.
        names = index_counts(at_hand.kind, at_hand.body).names or names
    elif at_hand.kind != "bai":
        return None
    index = parse_index(at_hand.kind, at_hand.body)
    return _bin_rows(index, [at_hand.contigs.get(name, 0) for name in names]), names


def _table_rows(table: BlockTable, shift: int) -> _Rows:
    offset = table.first >> shift
    # A chunk holds whole blocks of BGZF; what is taken together of a plain file may lie in two chunks.
    until = offset if shift else np.r_[offset[1:], table.size] - 1
    return _Rows(offset, until, table.tid, table.pos, table.end, exact=True)


def _bin_rows(index: BinningIndex, lengths: Sequence[int]) -> _Rows:
    """The chunks of all bins, each as wide as its bin; a bin cannot reach beyond the end of its contig."""
    if not any(len(chunks.first) for chunks in index.contigs):
        nothing = np.empty(0, np.int64)
        return _Rows(nothing, nothing, nothing, nothing, nothing, exact=False)
    first, last, low, high = (
        np.concatenate([getattr(chunks, name) for chunks in index.contigs]) for name in ("first", "last", "low", "high")
    )
    tid = np.concatenate([np.full(len(chunks.first), number) for number, chunks in enumerate(index.contigs)])
    length = np.array([*lengths, *[_UNSEEN] * max(len(index.contigs) - len(lengths), 0)], np.int64)[tid]
    # An end at byte 0 of a block is the end of the block ahead of it.
    return _Rows(first >> 16, (last - 1) >> 16, tid, low, np.where(length > 0, np.minimum(high, length), high), False)


def _slice_rows(table: SliceTable, lengths: Sequence[int]) -> _Rows:
    """The slices of a CRAM; bounds are clipped to the contigs."""
    offset, tid, start, stop = (table.rows[name].astype(np.int64) for name in ("container", "tid", "start", "end"))
    if not table.exact and len(lengths):
        placed = (tid >= 0) & (tid < len(lengths))
        length = np.array(lengths, np.int64)[tid[placed]]
        stop[placed] = np.where(length > 0, np.minimum(stop[placed], length), stop[placed])
    return _Rows(offset, offset, tid, np.maximum(start, 0), stop, table.exact)


_Row = tuple[int, int, int, str | None, int | None, int | None, bool]


def _by_chunk(rows: _Rows, bounds: I64, names: Sequence[str]) -> Iterator[_Row]:
    """The smallest interval by chunk and contig."""
    chunks = len(bounds) - 1
    keep = rows.tid >= 0
    offset, until, tid, start, stop = (values[keep] for values in rows[:5])
    if len(tid) and int(tid.max()) >= len(names):
        raise FormatError(f"the index has {int(tid.max()) + 1} contigs, the file {len(names)}: it is another file's")
    first = np.searchsorted(bounds, offset, side="right") - 1
    last = np.searchsorted(bounds, until, side="right") - 1
    if len(tid) and (int(first.min()) < 0 or int(last.max()) >= chunks or bool((last < first).any())):
        raise FormatError("the index points outside of the file: it is another file's, or damaged")
    # A bin's chunk may run over several chunks of the object: one row for each of them.
    count = last - first + 1
    source = np.repeat(np.arange(len(tid)), count)
    number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count) + first[source]
    order = np.lexsort((tid[source], number))
    source, number = source[order], number[order]
    contig = tid[source]
    found: dict[int, list[_Row]] = {}
    if len(source):
        group = np.flatnonzero(np.r_[True, (number[1:] != number[:-1]) | (contig[1:] != contig[:-1])])
        low, high = np.minimum.reduceat(start[source], group), np.maximum.reduceat(stop[source], group)
        sure = np.logical_and.reduceat(rows.exact & (count[source] == 1), group)
        for at, here, begin, end, exact in zip(number[group], contig[group], low, high, sure, strict=True):
            found.setdefault(int(at), []).append(
                (int(at), *_place(bounds, int(at)), names[int(here)], int(begin), int(end), bool(exact))
            )
    for chunk in range(chunks):
        yield from found.get(chunk, [(chunk, *_place(bounds, chunk), None, None, None, rows.exact)])


def _place(bounds: I64, chunk: int) -> tuple[int, int]:
    return int(bounds[chunk]), int(bounds[chunk + 1] - bounds[chunk])
