"""A file as Zarr, without a copy: references to its chunks, as kerchunk writes them (reference file system, version 1).

Chunks that a range of bytes holds are referred to. What none holds, such as text of variable length and data inside of
headers, is copied into the references, up to a limit.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import Unsupported
from lake.formats.arrays.chunk_table import ChunkTable, StoredDataset
from lake.formats.arrays.description import json_value
from lake.formats.arrays.dimensions import scales_of
from lake.formats.arrays.filters import codecs_of
from lake.formats.arrays.hdf5 import attributes_of, walk
from lake.formats.arrays.indexing import read_axes
from lake.formats.arrays.pieces import refuse_outside

__all__ = ["make_references"]

_COPIED = 16 << 20
"""Bytes of one dataset that are copied at most."""
_HIDDEN = frozenset(
    (
        "CLASS",
        "NAME",
        "DIMENSION_LIST",
        "REFERENCE_LIST",
        "_Netcdf4Dimid",
        "_Netcdf4Coordinates",
        "_NCProperties",
        "_FillValue",
    )
)
"""Attributes that speak of HDF5 and not of the data."""
_TEXT = "vlen-utf8"


def make_references(file: Any, table: ChunkTable, url: str, without: Collection[str] = ()) -> dict[str, Any]:
    """The references of an open `h5py.File`, of which ``url`` is the address, ``without`` the datasets at some paths.

    Raises:
        Unsupported: a dataset that Zarr cannot express, or too big to be copied.
    """
    import h5py

    refs: dict[str, Any] = {}
    for found in walk(file):
        prefix = found.path.strip("/") + "/" if found.path != "/" else ""
        attributes = {
            name: _attribute(value) for name, value in attributes_of(found.object).items() if name not in _HIDDEN
        }
        if isinstance(found.object, h5py.Dataset):
            if found.object.shape is None or found.path in without:
                continue
            refs |= _array(file, found.object, found.path, prefix, table, url)
            attributes["_ARRAY_DIMENSIONS"] = _dimension_names(file, found.path, len(found.object.shape))
        elif isinstance(found.object, h5py.Group):
            refs[f"{prefix}.zgroup"] = json.dumps({"zarr_format": 2})
        else:
            continue
        refs[f"{prefix}.zattrs"] = json.dumps(attributes)
    return {"version": 1, "refs": refs}


def _attribute(value: Any) -> Any:
    """netCDF knows no scalar attributes: they are lists of one value."""
    told = json_value(value)
    return told[0] if isinstance(told, list) and len(told) == 1 else told


def _dimension_names(file: Any, path: str, axes: int) -> list[str]:
    scales = scales_of(file, path)
    return [
        scale.rpartition("/")[2] if scale is not None else f"phony_dim_{number}"
        for number, scale in zip(range(axes), scales, strict=True)
    ]


def _array(file: Any, dataset: Any, path: str, prefix: str, table: ChunkTable, url: str) -> dict[str, Any]:
    import h5py

    refuse_outside(dataset)
    place = table.places[path]
    stored = table.datasets[place]
    codecs = codecs_of(stored.filters, stored.itemsize)
    text = h5py.check_string_dtype(dataset.dtype)
    rows = table.rows_of(place)
    # Zarr has one pipeline for all chunks, and none that HDF5 alone has.
    referable = (
        not dataset.dtype.hasobject
        and stored.layout in ("chunked", "contiguous")
        and all(codec["id"] != "hdf5" for codec in codecs)
        and not np.any(table.mask[rows])
    )
    shape = list(stored.shape)
    chunks = list(stored.chunks or stored.shape) if referable else shape
    meta: dict[str, Any] = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": [max(width, 1) for width in chunks],
        "dtype": _dtype(dataset.dtype, path),
        "compressor": None,
        "filters": (codecs if referable else [{"id": _TEXT}] if text and dataset.dtype.hasobject else []) or None,
        "fill_value": _fill(dataset, missing=referable and rows.stop - rows.start < math.prod(stored.grid)),
        "order": "C",
    }
    refs: dict[str, Any] = {f"{prefix}.zarray": json.dumps(meta)}
    if referable:
        refs |= _chunks(prefix, stored, table, rows, url)
    elif math.prod(shape):
        refs[prefix + (".".join("0" for _ in shape) or "0")] = _copied(dataset, path)
    return refs


def _chunks(prefix: str, stored: StoredDataset, table: ChunkTable, rows: slice, url: str) -> dict[str, Any]:
    grid = stored.grid if stored.chunks else (1,) * max(len(stored.shape), 1)
    coordinates = np.stack(np.unravel_index(table.number[rows], grid), axis=1).tolist()
    places = zip(coordinates, table.offset[rows].tolist(), table.size[rows].tolist(), strict=True)
    return {prefix + ".".join(map(str, at)): [url, offset, size] for at, offset, size in places}


def _copied(dataset: Any, path: str) -> str:
    if dataset.size * dataset.dtype.itemsize > _COPIED:
        raise Unsupported(
            f"{path} cannot be referred to, and is too big to be copied: leave it out with without={[path]!r}"
        )
    values = read_axes(dataset, tuple(range(length) for length in dataset.shape))
    body = _vlen_text(values) if values.dtype.hasobject else values.tobytes()
    if len(body) > _COPIED:
        raise Unsupported(f"{path} has too much text to be copied into the references")
    return "base64:" + base64.b64encode(body).decode()


def _vlen_text(values: npt.NDArray[Any]) -> bytes:
    """Text as the codec vlen-utf8 of numcodecs: a count, then length and bytes of each, 32-bit little-endian."""
    out = [struct.pack("<I", values.size)]
    for value in values.ravel().tolist():
        encoded = value if isinstance(value, bytes) else str(value).encode()
        out += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(out)


def _dtype(dtype: np.dtype[Any], path: str) -> Any:
    import h5py

    if dtype.hasobject:
        if h5py.check_string_dtype(dtype) is None:
            raise Unsupported(f"{path} has elements that Zarr cannot express: leave it out with without={[path]!r}")
        return "|O"
    return [[name, dtype[name].str] for name in dtype.names] if dtype.names else dtype.str


def _fill(dataset: Any, *, missing: bool) -> Any:
    """What chunks hold that were never written, if any were not: xarray takes it for the mark of missing values."""
    if not missing and "_FillValue" not in dataset.attrs:
        return None
    dtype = dataset.dtype
    if dtype.hasobject or dtype.names is not None:
        return "" if dtype.hasobject else None
    value = dataset.fillvalue
    if dtype.kind == "S":
        return base64.b64encode(bytes(value).ljust(dtype.itemsize, b"\0")).decode() if value else ""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return "NaN" if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
    return plain
