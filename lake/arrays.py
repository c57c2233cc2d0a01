"""Files of arrays asked from Python: one array in memory, the bytes that it is made of, and the file as Zarr."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lake.artifacts import build_index, find_index, keep_artifact
from lake.errors import InvalidRegion, Unsupported
from lake.formats.arrays.array_file import compile_pieces
from lake.formats.arrays.array_format import ArrayFormat
from lake.formats.arrays.byte_ranges import ChunkRange, chunk_ranges
from lake.formats.arrays.chunk_table import ChunkTable
from lake.formats.arrays.hdf5 import find, open_hdf5
from lake.formats.arrays.indexing import Bounds, bounded, read_axes
from lake.formats.arrays.pieces import Part, Piece, SparsePart, refuse_outside
from lake.formats.arrays.query import PathTerm, parse_region_terms
from lake.formats.arrays.references import make_references
from lake.formats.arrays.sparse import sparse_blocks
from lake.formats.registry import region_format
from lake.objects import ObjectReader
from lake.repository import Repository

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["as_arrow", "read_array", "read_chunk_ranges", "read_references"]

_IN_MEMORY = 4 << 30
"""Bytes of the largest array that is made in memory."""


def read_array(reader: ObjectReader, regions: Sequence[str], path: str) -> npt.NDArray[Any]:
    """The one dataset, or sparse matrix, that regions select; axes given as one place are dropped, as in numpy.

    Args:
        reader: the file.
        regions: what `lake.formats.arrays.query` describes.
        path: what the file is called, for messages.

    Raises:
        InvalidRegion: the regions select no array, or several.
        Unsupported: not a file of arrays, or more than 4 GiB.
    """
    _check_format(reader, path)
    with open_hdf5(reader) as file:
        piece, bounds = _only(file, compile_pieces(file, regions), regions)
        if isinstance(piece, SparsePart):
            return _dense(find(file, piece.path), piece)
        dataset = find(file, piece.path)
        refuse_outside(dataset)
        if bounded(piece.axes, dataset.dtype.itemsize, piece.path) > _IN_MEMORY:
            raise Unsupported(f"{piece.path} would take more than 4 GiB of memory: ask for smaller regions")
        values = read_axes(dataset, piece.axes, piece.fields)
        return np.asarray(values[bounds.dropped(values.ndim)]) if bounds is not None else values


def _only(file: Any, pieces: Sequence[Piece], regions: Sequence[str]) -> tuple[Part | SparsePart, Bounds | None]:
    """The array that was asked for, and its brackets: the one that is named, where others come along."""
    terms = [term for region in regions for term in parse_region_terms(region)]
    named = {_place(file, term.path): term.bounds for term in terms if isinstance(term, PathTerm)}
    arrays = [piece for piece in pieces if isinstance(piece, Part | SparsePart)]
    found = [piece for piece in arrays if not named or piece.path in named]
    if len(found) != 1:
        raise InvalidRegion(f"{';'.join(regions)!r} selects {len(found)} arrays: name one, as /PATH[START:STOP]")
    return found[0], named.get(found[0].path)


def _place(file: Any, path: str) -> str:
    thing = find(file, path)
    return str(thing.name) if thing is not None else path


def _dense(group: Any, piece: SparsePart) -> npt.NDArray[Any]:
    data = group["data"]
    if bounded((piece.major, piece.minor), data.dtype.itemsize, piece.path) > _IN_MEMORY:
        raise Unsupported(f"{piece.path} would take more than 4 GiB of memory: ask for smaller regions")
    out = np.zeros((len(piece.major), len(piece.minor)), data.dtype)
    row = 0
    for block in sparse_blocks(group, piece):
        rows = np.repeat(np.arange(row, row + len(block.counts)), block.counts)
        np.add.at(out, (rows, block.indices), block.data)
        row += len(block.counts)
    return out.T if piece.by_column else out


def as_arrow(values: npt.NDArray[Any]) -> pa.Array | pa.Table:
    """An array as Arrow: a table of a compound type, a tensor a row of what has several axes.

    Raises:
        Unsupported: a type that Arrow has not.
    """
    import pyarrow as pa

    if values.dtype.names is not None:
        columns = {name: as_arrow(np.ascontiguousarray(values[name])) for name in values.dtype.names}
        return pa.table(columns)
    try:
        if values.ndim > 1:
            return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))
        if values.dtype.kind in "OS":
            return pa.array([item.decode("utf-8") if isinstance(item, bytes) else item for item in values.tolist()])
        return pa.array(np.atleast_1d(values))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Unsupported(f"elements of the type {values.dtype} cannot be Arrow: {error}") from None


def read_chunk_ranges(repo: Repository, reader: ObjectReader, regions: Sequence[str], path: str) -> list[ChunkRange]:
    """See `lake.formats.arrays.byte_ranges.chunk_ranges`."""
    form = _check_format(reader, path)
    table = _table(repo, reader, form)
    with open_hdf5(reader) as file:
        return chunk_ranges(file, compile_pieces(file, regions), table)


def read_references(
    repo: Repository, reader: ObjectReader, path: str, url: str, without: Collection[str]
) -> dict[str, Any]:
    """See `lake.formats.arrays.references.make_references`."""
    form = _check_format(reader, path)
    table = _table(repo, reader, form)
    with open_hdf5(reader) as file:
        made = make_references(file, table, url, without)
    # What cannot be written as JSON is of no use to anybody, and better seen here.
    json.dumps(made, allow_nan=False)
    return made


def _check_format(reader: ObjectReader, path: str) -> ArrayFormat:
    form = region_format(reader.record.format)
    if not isinstance(form, ArrayFormat):
        raise Unsupported(f"{path} is {reader.record.format}: only HDF5, h5ad and netCDF have arrays")
    return form


def _table(repo: Repository, reader: ObjectReader, form: ArrayFormat) -> ChunkTable:
    """The table of chunks, made and kept where it is missing."""
    found = find_index(repo, form, repo.journal.artifacts(reader.source))
    if found is None:
        reason = form.indexable(reader)
        if reason is not None:
            raise Unsupported(reason)
        built = build_index(repo, form, reader)
        keep_artifact(repo, reader.source, built.kind, form.planner, built.body)
        return ChunkTable.decode(built.body)
    return ChunkTable.decode(found[1])
