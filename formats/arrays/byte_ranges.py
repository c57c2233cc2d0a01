"""The bytes of a file that a selection is made of, and how to decode them: for clients that do it themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lake.errors import Unsupported
from lake.formats.arrays.chunk_table import ChunkTable, StoredDataset
from lake.formats.arrays.filters import codecs_of
from lake.formats.arrays.hdf5 import find
from lake.formats.arrays.indexing import Axis, chunk_numbers
from lake.formats.arrays.pieces import Given, GroupPiece, Part, Piece, SparsePart
from lake.formats.arrays.sparse import sparse_spans

__all__ = ["ChunkRange", "chunk_ranges"]

_MOST = 10_000_000


class ChunkRange(NamedTuple):
    """One stored chunk of a dataset that a selection touches."""

    dataset: str
    origin: tuple[int, ...]
    """Place of its first element in the dataset."""
    shape: tuple[int, ...]
    """Elements along each axis once decoded; at the end of an axis they go beyond the dataset."""
    dtype: str
    """As numpy writes it."""
    offset: int
    """First byte in the file."""
    length: int
    """Bytes."""
    codecs: tuple[dict[str, Any], ...]
    """Configurations of numcodecs in the order in which they were applied: decode from the last to the first."""


def chunk_ranges(file: Any, pieces: Sequence[Piece], table: ChunkTable) -> list[ChunkRange]:
    """Chunks that hold the selected elements, by dataset and place; chunks that were never written are left out.

    Raises:
        Unsupported: data that are no chunks of this file: compact, virtual, external, or of variable length.
    """
    found: list[ChunkRange] = []
    for path, selections in _demanded(file, pieces):
        place = table.places.get(path)
        if place is None:
            raise Unsupported(f"{path} is not in the table of chunks: another link to the same data")
        dataset = table.datasets[place]
        if dataset.layout == "null" or 0 in dataset.shape:
            continue
        if dataset.layout not in ("chunked", "contiguous") or dataset.dtype == "|O":
            kind = "of variable length" if dataset.dtype == "|O" else dataset.layout
            raise Unsupported(f"the data of {path} are {kind}: no range of bytes holds them; ask for a slice")
        found.extend(_ranges(dataset, table, place, selections))
        if len(found) > _MOST:
            raise Unsupported("more than 10 million chunks: ask for smaller regions")
    return found


def _demanded(file: Any, pieces: Sequence[Piece]) -> Iterator[tuple[str, list[tuple[Axis, ...]]]]:
    """Datasets that are read, and at which places."""
    for piece in pieces:
        match piece:
            case Part(path, axes):
                yield path, [axes]
            case SparsePart(path, major):
                group = find(file, path)
                rows = [range(int(major[0]), int(major[-1]) + 2)] if len(major) else []
                yield f"{path}/indptr", [(axis,) for axis in rows]
                spans: list[tuple[Axis, ...]] = [(range(*span),) for span in sparse_spans(group, piece)]
                yield f"{path}/indices", spans
                yield f"{path}/data", spans
            case GroupPiece() | Given():
                continue


def _ranges(
    dataset: StoredDataset, table: ChunkTable, place: int, selections: list[tuple[Axis, ...]]
) -> Iterator[ChunkRange]:
    rows = table.rows_of(place)
    if dataset.layout == "contiguous":
        if any(all(len(axis) for axis in axes) for axes in selections):
            yield from (_range(dataset, table, row) for row in range(rows.start, rows.stop))
        return
    assert dataset.chunks is not None
    wanted = []
    for axes in selections:
        numbers = np.zeros((), np.int64)
        for axis, width, count in zip(axes, dataset.chunks, dataset.grid, strict=True):
            numbers = numbers[..., None] * count + chunk_numbers(axis, width)
            if numbers.size > _MOST:
                raise Unsupported("more than 10 million chunks: ask for smaller regions")
        wanted.append(numbers.ravel())
    hits = np.isin(table.number[rows], np.concatenate(wanted)) if wanted else np.zeros(0, np.bool_)
    yield from (_range(dataset, table, rows.start + int(hit)) for hit in np.flatnonzero(hits))


def _range(dataset: StoredDataset, table: ChunkTable, row: int) -> ChunkRange:
    shape = dataset.chunks or dataset.shape
    coordinates = _unravelled(int(table.number[row]), dataset.grid)
    return ChunkRange(
        dataset.path,
        tuple(at * width for at, width in zip(coordinates, shape, strict=True)),
        tuple(shape),
        dataset.dtype,
        int(table.offset[row]),
        int(table.size[row]),
        tuple(codecs_of(dataset.filters, dataset.itemsize, int(table.mask[row]))),
    )


def _unravelled(number: int, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Place in the grid of a chunk by its number; contiguous data have the number 0."""
    found = []
    for count in reversed(grid):
        number, place = divmod(number, count)
        found.append(place)
    return tuple(reversed(found))
