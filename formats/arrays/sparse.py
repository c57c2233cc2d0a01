"""Compressed sparse rows and columns, cut along both axes in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lake.errors import FormatError
from lake.formats.arrays.indexing import take_runs
from lake.formats.arrays.pieces import SparsePart

__all__ = ["SparseBlock", "sparse_blocks", "sparse_spans"]

_POINTS = 1 << 20
"""Values that are read at once."""
_GAP = 16
"""Rows that are left out between two that are read at once."""
_MAJOR = 1 << 16
"""Rows (or columns) whose places are read at once."""


class SparseBlock(NamedTuple):
    """Some neighbouring rows of a CSR matrix, or columns of a CSC one, or the rest of one."""

    counts: npt.NDArray[np.int64]
    """Values in each."""
    data: npt.NDArray[Any]
    indices: npt.NDArray[Any]
    """Places along the other axis, in the answer."""


class _Stretch(NamedTuple):
    """Rows next to each other."""

    bounds: npt.NDArray[np.int64]
    """Where each begins in the data, and behind them where the last one ends."""
    kept: npt.NDArray[np.bool_]
    """Which of the rows count."""


def sparse_blocks(group: Any, piece: SparsePart) -> Iterator[SparseBlock]:
    """The matrix at the places of the piece, in the order of the file.

    Raises:
        FormatError: ``indptr`` or ``indices`` are damaged.
    """
    data, indices = group["data"], group["indices"]
    everything = isinstance(piece.minor, range) and piece.minor == range(piece.width)
    numbers = None if everything else _numbers(piece)
    for stretch in _stretches(group, piece):
        for first, last in _portions(stretch.bounds):
            part = _Stretch(stretch.bounds[first : last + 1], stretch.kept[first:last])
            yield _block(data, indices, part, piece, numbers)


def sparse_spans(group: Any, piece: SparsePart) -> Iterator[tuple[int, int]]:
    """Ranges ``[start, stop)`` of ``data`` and ``indices`` that hold the places of the piece."""
    for stretch in _stretches(group, piece):
        if stretch.bounds[-1] > stretch.bounds[0]:
            yield int(stretch.bounds[0]), int(stretch.bounds[-1])


def _numbers(piece: SparsePart) -> npt.NDArray[np.int64]:
    """Number in the answer of each place along the other axis, -1 where it is left out."""
    numbers = np.full(piece.width, -1, np.int64)
    numbers[np.asarray(piece.minor, np.int64)] = np.arange(len(piece.minor))
    return numbers


def _stretches(group: Any, piece: SparsePart) -> Iterator[_Stretch]:
    indptr, size = group["indptr"], group["indices"].shape[0]
    if group["data"].shape[0] != size:
        raise FormatError(f"{piece.path} has {group['data'].shape[0]} values and {size} places: it is damaged")
    places = np.asarray(piece.major, np.int64)
    for start, stop, first, last in take_runs(places, _GAP):
        for begin in range(start, stop, _MAJOR):
            end = min(begin + _MAJOR, stop)
            bounds = np.asarray(indptr[begin : end + 1], np.int64)
            if len(bounds) != end - begin + 1 or bounds[0] < 0 or bounds[-1] > size or np.any(np.diff(bounds) < 0):
                raise FormatError(f"{piece.path}/indptr is damaged near row {begin}")
            kept = np.zeros(end - begin, np.bool_)
            low, high = np.searchsorted(places[first:last], (begin, end)) + first
            kept[places[low:high] - begin] = True
            yield _Stretch(bounds, kept)


def _portions(bounds: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Rows ``[first, last)`` that together have about as many values as are read at once; at least one row."""
    first, rows = 0, len(bounds) - 1
    while first < rows:
        last = int(np.searchsorted(bounds, bounds[first] + _POINTS, "right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def _block(
    data: Any, indices: Any, part: _Stretch, piece: SparsePart, numbers: npt.NDArray[np.int64] | None
) -> SparseBlock:
    bounds = part.bounds
    start, stop = int(bounds[0]), int(bounds[-1])
    places = indices[start:stop]
    values = data[start:stop]
    if len(places) and (int(places.min()) < 0 or int(places.max()) >= piece.width):
        raise FormatError(f"{piece.path}/indices names a place outside of the matrix: it is damaged")
    counts = np.diff(bounds)
    if numbers is None and part.kept.all():
        return SparseBlock(counts, values, places)
    chosen = np.repeat(part.kept, counts)
    if numbers is not None:
        moved = numbers[places]
        chosen &= moved >= 0
        places = moved.astype(places.dtype)
    before = np.concatenate(([0], np.cumsum(chosen)))
    counts = np.diff(before[bounds - start])[part.kept]
    return SparseBlock(counts, values[chosen], places[chosen])
