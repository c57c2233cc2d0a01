"""What a file of arrays holds, as rows: one for each dataset, and for each group that has attributes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lake.formats.arrays.filters import filters_of
from lake.formats.arrays.hdf5 import attributes_of, walk

__all__ = ["dataset_rows", "dtype_text", "json_value"]

_LISTED = 1024
"""Values of one attribute that are told."""
_LONGEST = 1 << 16
"""Characters of one attribute that are told."""
_OF_LIBRARY = frozenset(("DIMENSION_LIST", "REFERENCE_LIST"))

Row = tuple[Any, ...]


def dataset_rows(file: Any) -> Iterator[Row]:
    """Rows of the facts ``datasets``, parents first."""
    import h5py

    for path, thing in walk(file):
        attributes = {
            name: json_value(value) for name, value in attributes_of(thing).items() if name not in _OF_LIBRARY
        }
        told = json.dumps(attributes, allow_nan=False) if attributes else None
        encoding = attributes.get("encoding-type")
        encoding = encoding if isinstance(encoding, str) else None
        if isinstance(thing, h5py.Group):
            if told is not None:
                yield path, None, None, None, None, None, told, encoding, None, None
        elif isinstance(thing, h5py.Dataset):
            filters = ",".join(step.name for step in filters_of(thing)) or None
            size = None if thing.dtype.hasobject else thing.nbytes if thing.shape is not None else 0
            yield (
                path,
                list(thing.shape) if thing.shape is not None else None,
                dtype_text(thing.dtype),
                list(thing.chunks) if thing.chunks else None,
                filters,
                _fill_text(thing),
                told,
                encoding,
                size if size is None or size < 1 << 63 else None,
                thing.id.get_storage_size(),
            )


def dtype_text(dtype: np.dtype[Any]) -> str:
    """A type as numpy writes it; ``string``, ``reference`` and ``list of …`` for what numpy calls object."""
    import h5py

    text = h5py.check_string_dtype(dtype)
    if text is not None and text.length is None:
        return "string"
    if h5py.check_ref_dtype(dtype) is not None:
        return "reference"
    inner = h5py.check_vlen_dtype(dtype)
    return f"list of {inner}" if inner is not None else str(dtype)


def _fill_text(dataset: Any) -> str | None:
    if dataset.dtype.hasobject or dataset.dtype.names is not None or dataset.shape is None:
        return None
    return json.dumps(json_value(dataset.fillvalue), allow_nan=False)


def json_value(value: Any) -> Any:
    """A value of an attribute in JSON: text for what JSON has no word for (``NaN``, bytes that are no text).

    Lists of more than 1024 values and text of more than 64 KiB are told by their length alone.
    """
    import h5py

    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray):
        return [json_value(item) for item in value] if value.size <= _LISTED else f"({value.size} values)"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode()
        return text if len(text) <= _LONGEST else f"({len(text)} characters)"
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return str(value)
