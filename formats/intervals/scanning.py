"""Regions of a file without an index: every record is looked at, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lake.formats.intervals.batch import Batch
from lake.formats.intervals.source import RecordSource
from lake.formats.region import Selection

__all__ = ["scan"]


def scan(source: RecordSource, selection: Selection) -> Iterator[bytes]:
    """Bytes of a slice with the selected records, in file order, sorted or not.

    Raises:
        FormatError: the file is damaged or lacks its end marker.
    """
    _ = source.end
    bounds: dict[int, tuple[list[int], list[int]]] = {}
    for tid, start, stop in selection.intervals:
        starts, stops = bounds.setdefault(tid, ([], []))
        starts.append(start)
        stops.append(stop)
    for batch in source.walk_all():
        chosen = _chosen(batch, bounds, unplaced=selection.unplaced)
        if chosen.any():
            yield source.container.encode(_cut(batch, chosen))


def _chosen(batch: Batch, bounds: dict[int, tuple[list[int], list[int]]], *, unplaced: bool) -> NDArray[np.bool_]:
    """Which records overlap one of the intervals, which are sorted and disjoint in each contig."""
    chosen = (batch.tid < 0) & unplaced
    for tid in np.unique(batch.tid).tolist():
        if tid not in bounds:
            continue
        starts, stops = (np.array(values, np.int64) for values in bounds[tid])
        mine = np.flatnonzero(batch.tid == tid)
        # The first interval that ends behind the record's start is the only one that it need be compared with.
        candidate = np.searchsorted(stops, batch.pos[mine], side="right")
        hit = candidate < len(starts)
        chosen[mine[hit]] = starts[candidate[hit]] < batch.end[mine[hit]]
    return chosen


def _cut(batch: Batch, chosen: NDArray[np.bool_]) -> bytes:
    """The bytes of the chosen records, neighbours cut out together."""
    edges = np.flatnonzero(np.diff(np.r_[False, chosen, False].astype(np.int8)))
    return b"".join(
        batch.data[batch.offset[first] : batch.stop[last - 1]]
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    )
