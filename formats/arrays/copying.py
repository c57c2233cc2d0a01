"""Pieces of a file written into a new HDF5 file: same paths, types, filters, attributes; the same bytes each time.

Object references become references to the same path of the new file, or null where that is not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import Unsupported
from lake.formats.arrays.hdf5 import attributes_of, find
from lake.formats.arrays.indexing import Axis, blocks, bounded, read_axes, sub_axis
from lake.formats.arrays.pieces import Given, GroupPiece, Part, Piece, SparsePart, refuse_outside
from lake.formats.arrays.sparse import sparse_blocks

__all__ = ["write_pieces"]

_SCALE_ATTRIBUTES = frozenset(("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"))
"""What the library itself writes for dimension scales (HDF5 dimension scale specification)."""
_CONTIGUOUS = 1 << 16
"""Bytes of a dataset up to which chunks are bigger than it could need."""


def write_pieces(source: Any, pieces: Iterable[Piece], path: str) -> None:
    """Write a new file at ``path``.

    Args:
        source: the `h5py.File` that the pieces are of.
        pieces: parents first; groups above them are made with the attributes that they have in the file.
        path: where.
    """
    import h5py

    with h5py.File(path, "w", track_order=_tracks_order(source["/"]), libver=("earliest", "v110")) as target:
        _Copy(source, target).run(pieces)


def _tracks_order(group: Any) -> bool:
    return bool(group.id.get_create_plist().get_link_creation_order())


class _Copy:
    def __init__(self, source: Any, target: Any) -> None:
        self._source, self._target = source, target
        self._copied: dict[str, Mapping[str, Any]] = {}
        """Objects that were made, and attributes with other values."""

    def run(self, pieces: Iterable[Piece]) -> None:
        self._group("/", {})
        for piece in sorted(pieces, key=self._holds_references):
            if piece.path in self._copied and not isinstance(piece, GroupPiece):
                continue
            match piece:
                case GroupPiece(path, attributes):
                    self._group(path, attributes)
                case Part(path, axes, fields):
                    self._part(path, axes, fields)
                case SparsePart():
                    self._sparse(piece)
                case Given(path, value):
                    self._group(path.rpartition("/")[0] or "/", {})
                    dataset = find(self._source, path)
                    self._target.create_dataset(path, data=np.asarray(value, dataset.dtype), track_times=False)
                    self._copied[path] = {}
        for path, attributes in self._copied.items():
            self._attributes(path, attributes)
        self._scales()

    def _holds_references(self, piece: Piece) -> bool:
        """Whether a piece can only be written after all others, to which it may refer."""
        return isinstance(piece, Part) and _refers(find(self._source, piece.path).dtype)

    def _group(self, path: str, attributes: Mapping[str, Any]) -> None:
        if path != "/":
            if path in self._copied:
                self._copied[path] = {**self._copied[path], **attributes}
                return
            self._group(path.rpartition("/")[0] or "/", {})
            order = _tracks_order(find(self._source, path))
            self._target.create_group(path, track_order=order)
        self._copied[path] = {**self._copied.get(path, {}), **attributes}

    def _part(self, path: str, axes: tuple[Axis, ...], fields: tuple[str, ...]) -> None:
        dataset = find(self._source, path)
        refuse_outside(dataset)
        self._group(path.rpartition("/")[0] or "/", {})
        dtype = np.dtype([(name, dataset.dtype[name]) for name in fields]) if fields else dataset.dtype
        bounded(axes, dtype.itemsize, path)
        shape = tuple(len(axis) for axis in axes)
        if dataset.shape is None:
            self._target.create_dataset(path, data=_empty(dtype), track_times=False)
        elif shape == dataset.shape and not fields and not _refers(dtype) and self._copy_stored(dataset, path):
            pass
        else:
            made = self._create(path, dataset, shape, dtype)
            for part in blocks(axes, dtype.itemsize, made.chunks):
                places = tuple(sub_axis(axis, *ends) for axis, ends in zip(axes, part, strict=True))
                made[tuple(slice(*ends) for ends in part)] = self._moved(read_axes(dataset, places, fields))
            if not shape:
                made[()] = self._moved(read_axes(dataset, (), fields))
        self._copied[path] = {}

    def _copy_stored(self, dataset: Any, path: str) -> bool:
        """The bytes of the chunks as they are; whether that was possible."""
        try:
            if _keeps_times(dataset):
                return self._copy_chunks(dataset, path)
            parent, _, name = path.rpartition("/")
            self._source.copy(dataset, self._target[parent or "/"], name, without_attrs=True)
        except (RuntimeError, ValueError):
            # Libraries newer than the bounds of the new file write layouts that it cannot have.
            return False
        return True

    def _copy_chunks(self, dataset: Any, path: str) -> bool:
        """A dataset of the same properties that keeps no times: the library writes the hour at each new attribute."""
        import h5py

        if dataset.chunks is None or dataset.dtype.hasobject:
            return False
        plist = dataset.id.get_create_plist()
        plist.set_obj_track_times(False)
        made = h5py.h5d.create(
            self._target.id,
            path.encode("utf-8", "surrogateescape"),
            dataset.id.get_type(),
            dataset.id.get_space(),
            plist,
        )
        for number in range(dataset.id.get_num_chunks()):
            start = dataset.id.get_chunk_info(number).chunk_offset
            mask, data = dataset.id.read_direct_chunk(start)
            made.write_direct_chunk(start, data, mask)
        return True

    def _create(
        self, path: str, like: Any, shape: tuple[int, ...], dtype: np.dtype[Any], *, grows: bool = False
    ) -> Any:
        """A dataset with the filters of another one; chunks no bigger than it."""
        options: dict[str, Any] = {}
        if grows:
            chunks = like.chunks or (max(_CONTIGUOUS // max(dtype.itemsize, 1), 1),)
            options = {"chunks": chunks, "maxshape": (None,)}
        elif like.chunks is not None and 0 not in shape:
            chunks = tuple(min(width, length) for width, length in zip(like.chunks, shape, strict=True))
            tops = tuple(None if top is None else length for top, length in zip(like.maxshape, shape, strict=True))
            options = {"chunks": chunks, "maxshape": tops if None in tops else None}
        if options:
            options |= _filter_options(like.id.get_create_plist())
        fill = None if dtype.hasobject or dtype.fields is not None else like.fillvalue
        return self._target.create_dataset(path, shape, dtype, fillvalue=fill, track_times=False, **options)

    def _sparse(self, piece: SparsePart) -> None:
        group = find(self._source, piece.path)
        self._group(piece.path, piece.attributes)
        data, indices, indptr = (group[name] for name in ("data", "indices", "indptr"))
        for dataset in (data, indices, indptr):
            refuse_outside(dataset)
        made_data = self._create(f"{piece.path}/data", data, (0,), data.dtype, grows=True)
        made_indices = self._create(f"{piece.path}/indices", indices, (0,), indices.dtype, grows=True)
        made_indptr = self._create(f"{piece.path}/indptr", indptr, (len(piece.major) + 1,), indptr.dtype)
        made_indptr[0] = 0
        total = row = 0
        for block in sparse_blocks(group, piece):
            count = len(block.data)
            bounded((range(total + count),), data.dtype.itemsize, piece.path)
            for made, values in ((made_data, block.data), (made_indices, block.indices)):
                made.resize((total + count,))
                made[total:] = values
            made_indptr[row + 1 : row + 1 + len(block.counts)] = total + np.cumsum(block.counts)
            total, row = total + count, row + len(block.counts)
        for name in ("data", "indices", "indptr"):
            self._copied[f"{piece.path}/{name}"] = {}

    def _moved(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values with references to the new file in place of those to the old one."""
        import h5py

        kind = h5py.check_ref_dtype(values.dtype)
        if kind is None:
            if _refers(values.dtype):
                raise Unsupported("references in a compound type or a list cannot be cut: leave that dataset out")
            return values
        if kind is not h5py.Reference:
            raise Unsupported("references to regions cannot be cut: leave that dataset out")
        moved = np.empty(values.shape, values.dtype)
        for place, value in np.ndenumerate(values):
            moved[place] = self._reference(value)
        return moved

    def _reference(self, value: Any) -> Any:
        import h5py

        name = self._source[value].name if value else None
        return self._target[name].ref if name is not None and name in self._target else h5py.Reference()

    def _attributes(self, path: str, others: Mapping[str, Any]) -> None:
        source, target = find(self._source, path), self._target[path]
        scale = "CLASS" in source.attrs and _text(source.attrs["CLASS"]) == "DIMENSION_SCALE"
        for name, value in attributes_of(source).items():
            if name in _SCALE_ATTRIBUTES and (scale or name.endswith("_LIST")):
                continue
            kind = source.attrs.get_id(name)
            if name in others:
                target.attrs.create(name, others[name], dtype=kind.dtype if kind.dtype.kind in "iu" else None)
            elif _refers(kind.dtype):
                if not isinstance(value, np.ndarray):
                    target.attrs[name] = self._reference(value)
            else:
                _copy_attribute(source, target, name)

    def _scales(self) -> None:
        """Make dimension scales of what were some, and attach them again."""
        import h5py

        kept = [(path, find(self._source, path)) for path in self._copied]
        datasets = [(path, thing) for path, thing in kept if isinstance(thing, h5py.Dataset) and path in self._target]
        for path, source in datasets:
            if h5py.h5ds.is_scale(source.id):
                h5py.h5ds.set_scale(self._target[path].id, _scale_name(source, self._target[path]))
        for path, source in datasets:
            if "DIMENSION_LIST" not in source.attrs:
                continue
            made = self._target[path]
            for number, dimension in enumerate(source.dims):
                for scale in dimension.values():
                    if scale.name in self._target:
                        made.dims[number].attach_scale(self._target[scale.name])


_WITHOUT_VARIABLE = b"This is a netCDF dimension but not a netCDF variable."


def _scale_name(source: Any, target: Any) -> bytes:
    """netCDF writes the length of a dimension that is no variable into the name of its scale."""
    name: bytes = _given_name(source)
    if name.startswith(_WITHOUT_VARIABLE):
        return _WITHOUT_VARIABLE + b"%10d" % target.shape[0]
    return name


def _given_name(dataset: Any) -> bytes:
    """The name that a dimension scale was given."""
    import h5py

    return bytes(h5py.h5ds.get_scale_name(dataset.id))


def _keeps_times(dataset: Any) -> bool:
    import h5py

    return bool(h5py.h5g.get_objinfo(dataset.id, b".").mtime)


def _copy_attribute(source: Any, target: Any, name: str) -> None:
    """The attribute with its very type: fixed or variable strings, their padding and character set."""
    import h5py

    old = h5py.h5a.open(source.id, name.encode("utf-8", "surrogateescape"))
    new = h5py.h5a.create(target.id, name.encode("utf-8", "surrogateescape"), old.get_type(), old.get_space())
    if old.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return
    values = np.empty(old.shape, old.dtype)
    # Of objects in memory h5py has to make the type itself; of plain bytes the file's own changes nothing.
    kind = None if old.dtype.hasobject else old.get_type()
    old.read(values, mtype=kind)
    new.write(values, mtype=kind)


def _refers(dtype: np.dtype[Any]) -> bool:
    """Whether a type holds references anywhere."""
    import h5py

    if h5py.check_ref_dtype(dtype) is not None:
        return True
    if dtype.subdtype is not None:
        return _refers(dtype.subdtype[0])
    if dtype.fields is not None:
        return any(_refers(kind[0]) for kind in dtype.fields.values())
    inner = h5py.check_vlen_dtype(dtype)
    return isinstance(inner, np.dtype) and _refers(inner)


def _empty(dtype: np.dtype[Any]) -> Any:
    import h5py

    return h5py.Empty(dtype)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _filter_options(plist: Any) -> dict[str, Any]:
    """What `h5py.Group.create_dataset` is told to get the filters of a dataset."""
    import h5py

    options: dict[str, Any] = {}
    for number in range(plist.get_nfilters()):
        code, _, values, _ = plist.get_filter(number)
        match code:
            case h5py.h5z.FILTER_DEFLATE:
                options |= {"compression": "gzip", "compression_opts": values[0]}
            case h5py.h5z.FILTER_SHUFFLE:
                options["shuffle"] = True
            case h5py.h5z.FILTER_FLETCHER32:
                options["fletcher32"] = True
            case h5py.h5z.FILTER_LZF:
                options["compression"] = "lzf"
            case _:
                # Others may need a library to write that is not there, or lose precision again.
                options |= {"compression": "gzip", "compression_opts": 4}
    return options
