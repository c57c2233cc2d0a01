"""Where to cut a file of arrays: at the edges of stored chunks, so that reading some touches little else."""

from __future__ import annotations

import numpy as np

from lake.formats.arrays.chunk_table import ChunkTable

__all__ = ["array_cuts"]

_SMALLEST = 64 << 10
_METADATA = 512
"""Bytes of metadata from which on they are a chunk of their own."""
_MOST = 16384
"""Chunks that a file is cut into, about: bigger files get bigger ones."""


def array_cuts(table: ChunkTable, size: int) -> list[int]:
    """Offsets at which a file of ``size`` bytes is cut, ascending, without 0 and the end.

    A cut falls on the edge of a stored chunk that is at least 64 KiB behind the one before. Metadata that lie between
    data are cut out, since whoever opens the file reads all of them: they would pull the data beside them along.
    Stretches without an edge are cut every 128 KiB.
    """
    smallest = max(_SMALLEST, size // _MOST)
    largest = 2 * smallest
    order = np.argsort(table.offset, kind="stable")
    starts, stops, owners = table.offset[order], (table.offset + table.size)[order], table.dataset[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (owners[1:] != owners[:-1]) | (starts[1:] != stops[:-1])
    last = np.ones(len(order), np.bool_)
    last[:-1] = new[1:]
    edges = np.concatenate((starts, stops[last], [size]))
    strong = np.concatenate((new, np.ones(int(last.sum()) + 1, np.bool_)))
    apart = _METADATA if int(strong.sum()) * _SMALLEST // 2 <= size else smallest // 4
    cuts: list[int] = []
    before = 0
    for at in np.lexsort((~strong, edges)).tolist():
        edge = int(edges[at])
        while edge - before > largest:
            before += largest
            cuts.append(before)
        if edge < size and edge - before >= (apart if strong[at] else smallest):
            cuts.append(edge)
            before = edge
    return cuts
