"""Matrices of 10x Genomics (Cell Ranger): barcodes and features selected by place, name or condition.

Cell Ranger 3 and later keep one group ``matrix``; version 2 one group a genome. Both are sparse columns, one a
barcode, of features × barcodes (10x Genomics, "Feature-Barcode Matrices in HDF5").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import FormatError
from lake.formats.arrays.axis_table import as_strings
from lake.formats.arrays.conditions import Column
from lake.formats.arrays.hdf5 import find
from lake.formats.arrays.indexing import Axis
from lake.formats.arrays.pieces import Given, GroupPiece, Part, Piece, SparsePart, whole

__all__ = ["AXES", "MatrixTable", "TenxPieces", "matrix_groups"]

AXES = ("barcodes", "features")
_SPARSE = ("data", "indices", "indptr")
_NEEDED = (*_SPARSE, "shape", "barcodes")
_LEGACY_NAMES = {"genes": "id", "gene_names": "name"}


def matrix_groups(file: Any) -> list[str]:
    """Paths of the matrices; none where the file has another layout."""
    import h5py

    groups = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    return [
        f"/{name}"
        for name in groups
        if isinstance(file[name], h5py.Group)
        and all(isinstance(find(file, f"/{name}/{member}"), h5py.Dataset) for member in _NEEDED)
    ]


class MatrixTable:
    """What a matrix says of its barcodes or of its features."""

    def __init__(self, file: Any, group: str, axis: str) -> None:
        shape = find(file, f"{group}/shape")[:]
        if len(shape) != 2:
            raise FormatError(f"{group}/shape has {len(shape)} numbers instead of 2: it is damaged")
        self.rows = int(shape[1 if axis == "barcodes" else 0])
        self._file = file
        self._columns = (
            {"barcode": f"{group}/barcodes"} if axis == "barcodes" else _feature_columns(file, group, self.rows)
        )

    def names(self) -> Sequence[npt.NDArray[Any]]:
        """Barcodes; identifiers and names of features."""
        found = [self._values(name) for name in ("barcode", "id", "name") if name in self._columns]
        if not found:
            raise FormatError("the matrix does not say what its features are called")
        return [as_strings(values) for values in found]

    def column(self, name: str) -> Column | None:
        if name not in self._columns:
            return None
        values = self._values(name)
        return Column(as_strings(values) if values.dtype.kind in "OS" else values)

    def _values(self, name: str) -> npt.NDArray[Any]:
        dataset = find(self._file, self._columns[name])
        if dataset.shape != (self.rows,):
            raise FormatError(
                f"{self._columns[name]} has the shape {dataset.shape} for {self.rows} places: it is damaged"
            )
        return np.asarray(dataset[:])


def _feature_columns(file: Any, group: str, rows: int) -> dict[str, str]:
    import h5py

    features = find(file, f"{group}/features")
    if not isinstance(features, h5py.Group):
        return {
            word: f"{group}/{name}" for name, word in _LEGACY_NAMES.items() if find(file, f"{group}/{name}") is not None
        }
    below = {name: find(file, f"{group}/features/{name}") for name in features}
    # Others, as _all_tag_keys, describe the columns themselves.
    return {
        name: f"{group}/features/{name}"
        for name, thing in below.items()
        if isinstance(thing, h5py.Dataset) and thing.shape == (rows,) and not name.startswith("_")
    }


class TenxPieces:
    """What of such a file goes into a slice."""

    def __init__(self, file: Any, group: str, chosen: Mapping[str, Axis]) -> None:
        self._file, self._group = file, group
        self._tables = {axis: MatrixTable(file, group, axis) for axis in AXES}
        self._axes: dict[str, Axis] = {
            axis: chosen.get(axis, range(table.rows)) for axis, table in self._tables.items()
        }

    def all(self) -> Iterator[Piece]:
        """The matrix, cut, and everything beside it.

        Raises:
            FormatError: its parts do not fit its shape.
        """
        group = find(self._file, self._group)
        barcodes, features = self._axes["barcodes"], self._axes["features"]
        rows = self._tables["features"].rows
        if group["indptr"].shape != (self._tables["barcodes"].rows + 1,):
            raise FormatError(f"{self._group}/indptr does not fit the shape of the matrix: it is damaged")
        yield GroupPiece("/")
        for name in self._file:
            if f"/{name}" != self._group:
                yield from whole(self._file, f"/{name}")
        yield SparsePart(self._group, barcodes, features, rows, by_column=True)
        for name in group:
            path = f"{self._group}/{name}"
            if name == "shape":
                yield Given(path, [len(features), len(barcodes)])
            elif name == "barcodes":
                yield Part(path, (barcodes,))
            elif name == "features":
                yield from self._features(path)
            elif name in _LEGACY_NAMES:
                yield Part(path, (features,))
            elif name not in _SPARSE:
                yield from whole(self._file, path)

    def _features(self, path: str) -> Iterator[Piece]:
        columns = _feature_columns(self._file, self._group, self._tables["features"].rows)
        for piece in whole(self._file, path):
            if isinstance(piece, Part) and piece.path in columns.values():
                yield Part(piece.path, (self._axes["features"],))
            else:
                yield piece
