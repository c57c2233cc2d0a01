"""What the headers of a CRAM say of its slices, and whether a CRAI says the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lake.formats.cram.edges import ranges_by_slice
from lake.formats.cram.source import Container, CramSource, Located, prove_block
from lake.formats.cram.structure import MULTIPLE, UNPLACED_READS
from lake.formats.cram.table import SliceRow, SliceTable, make_table
from lake.formats.references import RequiredReference

__all__ = ["exact_rows", "reason_to_refuse", "required_references", "survey"]

_SAMPLE = 16
"""Containers of several contigs that are decoded to check an index."""


def survey(source: CramSource, *, exact: bool = False) -> SliceTable:
    """The slice table of a file from its headers; slices of several contigs are decoded, though without their bases.

    Args:
        source: the file.
        exact: whether to compare every block with its checksum, and to decode the places of all records. Headers
            alone may be too narrow: htslib leaves unmapped reads that have a place out of a slice's range.

    Raises:
        FormatError: the file is damaged, or incomplete.
    """
    rows: list[SliceRow] = []
    for container in source.containers():
        if exact:
            for block in source.blocks(container):
                prove_block(source.reader, source.major, block)
        slices = source.slices(container)
        if exact or _multiple(slices):
            rows += exact_rows(source, container, slices)
        else:
            rows += [row for located in slices for row in _rows(container, located, None)]
    return make_table(rows, source.reader.size, source.end, exact=exact)


def exact_rows(source: CramSource, container: Container, slices: list[Located]) -> list[SliceRow]:
    """The rows of a container from its records.

    Raises:
        FormatError: it cannot be decoded.
    """
    if all(located.header.reference == UNPLACED_READS for located in slices):
        return [row for located in slices for row in _rows(container, located, None)]
    ranges = ranges_by_slice(source, container, slices)
    return [row for located, inside in zip(slices, ranges, strict=True) for row in _rows(container, located, inside)]


def _multiple(slices: list[Located]) -> bool:
    return any(located.header.reference == MULTIPLE for located in slices)


def _rows(container: Container, located: Located, ranges: dict[int, tuple[int, int]] | None) -> Iterator[SliceRow]:
    header = located.header
    if ranges is None:
        start = header.start - 1
        ranges = {header.reference: (start, start + max(header.span, 1))}
    for tid, (start, end) in sorted(ranges.items(), key=lambda item: (item[0] < 0, item[0])):
        place = (tid, start, end) if tid >= 0 else (-1, -1, 0)
        yield SliceRow(container.offset, located.landmark, located.size, *place)


def required_references(source: CramSource) -> list[RequiredReference]:
    """Contigs whose sequence some slice needs and does not bring along, in header order.

    Raises:
        FormatError: the file is damaged, or incomplete.
    """
    needed: set[int] = set()
    for container in source.containers():
        slices = source.slices(container)
        outside = [number for number, located in enumerate(slices) if located.external]
        needed.update(slices[number].header.reference for number in outside)
        if MULTIPLE in needed:
            needed.discard(MULTIPLE)
            ranges = ranges_by_slice(source, container, slices)
            needed.update(tid for number in outside for tid in ranges[number])
    return [
        RequiredReference(name, source.md5.get(name), source.contigs[name])
        for tid in sorted(needed - {-1})
        for name in [source.names[tid]]
    ]


def reason_to_refuse(source: CramSource, index: SliceTable) -> str | None:
    """Why an index cannot belong to the file (one sentence), or None.

    It must name every slice of the file and no other, with a range that holds the one of the slice's header. Of
    slices with several contigs a sample is decoded.
    """
    named: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for container, landmark, _, tid, start, end in index.rows.tolist():
        named.setdefault((container, landmark), []).append((tid, start, end))
    mixed: list[tuple[Container, list[Located]]] = []
    for container in source.containers():
        slices = source.slices(container)
        if _multiple(slices):
            mixed.append((container, slices))
        for located in slices:
            lines = named.pop((container.offset, located.landmark), None)
            if lines is None:
                return f"the index lacks the slice at {located.landmark} of the container at {container.offset}"
            if located.header.reference != MULTIPLE:
                reason = _refusal(lines, list(_rows(container, located, None)), container)
                if reason:
                    return reason
    if named:
        offset, landmark = min(named)
        return f"the index has a slice at {landmark} of a container at {offset}, where the file has none"
    picked = np.unique(np.linspace(0, len(mixed) - 1, _SAMPLE).astype(int)).tolist() if mixed else []
    for container, slices in (mixed[number] for number in picked):
        for located, ranges in zip(slices, ranges_by_slice(source, container, slices), strict=True):
            if located.header.reference == MULTIPLE:
                key = container.offset, located.landmark
                here = (index.rows["container"] == key[0]) & (index.rows["landmark"] == key[1])
                lines = [tuple(row) for row in index.rows[here][["tid", "start", "end"]].tolist()]
                reason = _refusal(lines, list(_rows(container, located, ranges)), container)
                if reason:
                    return reason
    return None


def _refusal(lines: list[tuple[int, int, int]], rows: list[SliceRow], container: Container) -> str | None:
    """Why the lines of a slice cannot be right: each of its rows must lie in one of them, and nothing else be named."""
    for row in rows:
        if not any(tid == row.tid and start <= row.start and row.end <= end for tid, start, end in lines):
            return f"a slice of the container at {container.offset} holds positions that the index does not name"
    if {tid for tid, _, _ in lines} - {row.tid for row in rows}:
        return f"a slice of the container at {container.offset} does not hold a contig that the index names"
    return None
