"""AnnData (h5ad): cells and genes selected by place, name or condition, in files of all generations.

Layout: the AnnData documentation, "on-disk format"; before version 0.7 tables are compound datasets, and sparse
matrices carry ``h5sparse_format``. A slice is what ``adata[obs, var]`` gives, with these choices:

* ``obs`` and ``obsm`` by cells; ``var`` and ``varm`` by genes; ``X`` and ``layers`` by both; ``obsp`` and ``varp`` on
  both their axes;
* ``raw`` by cells alone, as in AnnData: it keeps all its genes;
* ``uns`` is copied whole; categories that no cell has any more stay, so that codes and colours still fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import FormatError, Unsupported
from lake.formats.arrays.axis_table import as_strings
from lake.formats.arrays.conditions import Column
from lake.formats.arrays.hdf5 import find
from lake.formats.arrays.indexing import Axis
from lake.formats.arrays.pieces import GroupPiece, Part, Piece, SparsePart, whole

__all__ = ["AXES", "AnnDataPieces", "DataFrame", "is_anndata"]

AXES = ("obs", "var")
_ALIGNED: dict[str, tuple[str, ...]] = {
    "layers": ("obs", "var"),
    "obsm": ("obs",),
    "obsp": ("obs", "obs"),
    "varm": ("var",),
    "varp": ("var", "var"),
}
"""Axes of what lies in each group."""
_OLD_GRAPHS = ("/uns/neighbors/connectivities", "/uns/neighbors/distances")
"""What AnnData moves to ``obsp`` when it reads files from before version 0.7."""
_SPARSE = {"csr": False, "csc": True}


def is_anndata(file: Any) -> bool:
    """Whether a file has the layout, by its root alone."""
    kind = file.attrs.get("encoding-type")
    return _word(kind) == "anndata" or ("obs" in file and "var" in file and ("X" in file or "layers" in file))


def _word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_group(thing: Any) -> bool:
    import h5py

    return isinstance(thing, h5py.Group)


def _shape_of(thing: Any) -> tuple[int, ...]:
    """Shape of a dataset, or the one that a sparse matrix states; empty for other groups."""
    if not _is_group(thing):
        return tuple(thing.shape or ())
    stated = thing.attrs.get("h5sparse_shape", thing.attrs.get("shape", ()))
    return tuple(int(length) for length in np.atleast_1d(stated))


class DataFrame:
    """The table of one axis, of whatever generation."""

    def __init__(self, file: Any, path: str) -> None:
        """
        Raises:
            FormatError: it has no index.
        """
        self._file, self._path = file, path
        self._table = find(file, path)
        if self._table is None:
            raise FormatError(f"an AnnData file without {path}")
        if _is_group(self._table):
            self._index = _word(self._table.attrs.get("_index", "_index" if "_index" in self._table else "index"))
            index = find(file, f"{path}/{self._index}")
            if index is not None and _is_group(index):
                self._index = f"{self._index}/values"
                index = find(file, f"{path}/{self._index}")
            if index is None or len(index.shape or ()) != 1:
                raise FormatError(f"{path} has no index {self._index!r}")
            self.rows = int(index.shape[0])
        else:
            fields = self._table.dtype.names
            if not fields or len(self._table.shape or ()) != 1:
                raise FormatError(f"{path} is neither a group nor a table")
            self._index = next((name for name in ("index", "_index") if name in fields), fields[0])
            self.rows = int(self._table.shape[0])

    def names(self) -> Sequence[npt.NDArray[Any]]:
        return [as_strings(self._values(self._index))]

    def column(self, name: str) -> Column | None:
        """A column by name, ``index`` being the names of the rows."""
        if name == "index" or name == self._index:
            return Column(self.names()[0])
        if not _is_group(self._table):
            return self._legacy_column(name)
        thing = self._table[name] if name in self._table and "/" not in name else None
        if thing is None:
            return None
        if _is_group(thing):
            return self._encoded_column(name, thing)
        categories = thing.attrs.get("categories")
        if categories is not None and thing.dtype.kind in "iu":
            levels = self._file[categories]
            return Column(_comparable(levels[:]), thing[:], bool(levels.attrs.get("ordered", False)))
        return Column(_comparable(thing[:]))

    def _encoded_column(self, name: str, group: Any) -> Column:
        kind = _word(group.attrs.get("encoding-type"))
        if kind == "categorical":
            ordered = bool(group.attrs.get("ordered", False))
            return Column(_comparable(self._child(group, "categories")[:]), self._child(group, "codes")[:], ordered)
        if kind.startswith("nullable-"):
            missing = np.asarray(self._child(group, "mask")[:], np.bool_)
            return Column(_comparable(self._child(group, "values")[:]), missing=missing)
        raise Unsupported(f"the column {name} of {self._path} is encoded as {kind}, which no condition can ask")

    def _child(self, group: Any, name: str) -> Any:
        child = find(self._file, f"{group.name}/{name}")
        if child is None or _is_group(child):
            raise FormatError(f"{group.name} has no {name}: it is damaged")
        return child

    def _legacy_column(self, name: str) -> Column | None:
        if name not in self._table.dtype.names:
            return None
        values = self._values(name)
        categories = find(self._file, f"/uns/{name}_categories")
        if categories is not None and values.dtype.kind in "iu":
            return Column(_comparable(categories[:]), values)
        return Column(_comparable(values))

    def _values(self, name: str) -> npt.NDArray[Any]:
        if _is_group(self._table):
            return np.asarray(find(self._file, f"{self._path}/{name}")[:])
        return np.asarray(self._table.fields(name)[:])


def _comparable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return as_strings(values) if values.dtype.kind in "OS" else values


class AnnDataPieces:
    """What of an AnnData file goes into a slice."""

    def __init__(self, file: Any, chosen: Mapping[str, Axis]) -> None:
        """``chosen`` are places along ``obs`` and ``var``; all where nothing is said."""
        self._file = file
        self._rows = {axis: DataFrame(file, f"/{axis}").rows for axis in AXES}
        self._axes: dict[str, Axis] = {axis: chosen.get(axis, range(rows)) for axis, rows in self._rows.items()}

    def all(self) -> Iterator[Piece]:
        """In the order of the file.

        Raises:
            FormatError: an element does not have the length of its axis.
            Unsupported: an element of a kind that cannot be cut.
        """
        yield GroupPiece("/")
        for name in self._file:
            path = f"/{name}"
            if name in AXES:
                yield from self._cut(path, (name,))
            elif name == "X":
                yield from self._cut(path, AXES)
            elif name in _ALIGNED:
                yield from self._mapping(path, _ALIGNED[name])
            elif name == "raw":
                yield from self._raw()
            elif name == "uns":
                yield from self._unstructured()
            elif name == "raw.X":
                yield from self._cut(path, ("obs",))
            else:
                yield from whole(self._file, path)

    def _mapping(self, path: str, axes: tuple[str, ...]) -> Iterator[Piece]:
        thing = find(self._file, path)
        if not _is_group(thing):
            yield from self._cut(path, axes)
            return
        yield GroupPiece(path)
        for name in thing:
            yield from self._cut(f"{path}/{name}", axes)

    def _unstructured(self) -> Iterator[Piece]:
        """``uns`` as it is, but for the graphs of neighbours that lay there before there was ``obsp``."""
        cells = self._rows["obs"]
        old = {}
        for path in _OLD_GRAPHS:
            graph = find(self._file, path)
            if graph is not None and _shape_of(graph) == (cells, cells):
                old[path] = graph
        for piece in whole(self._file, "/uns"):
            if piece.path in old:
                yield from self._cut(piece.path, _ALIGNED["obsp"])
            elif not any(piece.path.startswith(f"{path}/") for path in old):
                yield piece

    def _raw(self) -> Iterator[Piece]:
        group = find(self._file, "/raw")
        if not _is_group(group):
            yield from whole(self._file, "/raw")
            return
        shape = group.attrs.get("shape")
        attributes = {"shape": [len(self._axes["obs"]), *shape[1:]]} if shape is not None else {}
        yield GroupPiece("/raw", attributes)
        for name in group:
            yield from self._cut(f"/raw/{name}", ("obs",)) if name == "X" else whole(self._file, f"/raw/{name}")

    def _cut(self, path: str, axes: tuple[str, ...]) -> Iterator[Piece]:
        """One element whose first axes are those; further axes are taken whole."""
        thing = find(self._file, path)
        if thing is None:
            return
        if not _is_group(thing):
            if thing.shape is None:
                yield from whole(self._file, path)
            else:
                yield Part(path, self._places(path, thing.shape, axes))
            return
        kind = _word(thing.attrs.get("encoding-type", ""))
        sparse = _word(thing.attrs.get("h5sparse_format", kind.removesuffix("_matrix")))
        if sparse in _SPARSE:
            yield self._sparse(path, thing, axes, by_column=_SPARSE[sparse])
        elif kind == "categorical":
            yield from self._members(path, thing, axes, whole_members=("categories",))
        elif kind == "dataframe" or "_index" in thing.attrs:
            yield from self._members(path, thing, axes[:1], whole_members=("__categories",))
        elif kind.startswith("nullable-"):
            yield from self._members(path, thing, axes, whole_members=())
        else:
            raise Unsupported(f"{path} is encoded as {kind or 'something'} that cannot be cut: name other paths")

    def _members(self, path: str, group: Any, axes: tuple[str, ...], whole_members: tuple[str, ...]) -> Iterator[Piece]:
        yield GroupPiece(path)
        for name in group:
            below = f"{path}/{name}"
            yield from whole(self._file, below) if name in whole_members else self._cut(below, axes)

    def _places(self, path: str, shape: Sequence[int], axes: tuple[str, ...]) -> tuple[Axis, ...]:
        if len(shape) < len(axes) or any(length != self._rows[axis] for length, axis in zip(shape, axes, strict=False)):
            expected = " × ".join(str(self._rows[axis]) for axis in axes)
            raise FormatError(f"{path} has the shape {tuple(shape)}, its axes {', '.join(axes)} have {expected}")
        chosen = [self._axes[axis] for axis in axes]
        return (*chosen, *(range(length) for length in shape[len(axes) :]))

    def _sparse(self, path: str, group: Any, axes: tuple[str, ...], *, by_column: bool) -> SparsePart:
        word = "h5sparse_shape" if "h5sparse_shape" in group.attrs else "shape"
        shape = _shape_of(group)
        if len(shape) != 2 or any(name not in group for name in ("data", "indices", "indptr")):
            raise FormatError(f"{path} is not a whole sparse matrix: it is damaged")
        places = self._places(path, shape, axes)
        major, minor = (1, 0) if by_column else (0, 1)
        if group["indptr"].shape != (shape[major] + 1,):
            raise FormatError(f"{path}/indptr does not fit the shape {shape}: it is damaged")
        cut = {word: [len(axis) for axis in places]}
        return SparsePart(path, places[major], places[minor], shape[minor], by_column, cut)
