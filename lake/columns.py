"""Arrow columns made of Python values without loading pandas.

`pyarrow.array` begins by loading all of pandas wherever that is installed, which takes longer than most commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["column", "number_column"]


def column(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """Values, or None, as a column of texts, bytes, booleans, numbers, times (as integers) or lists of these.

    Text that is not UTF-8 keeps a mark where it was not.
    """
    present = np.array([value is not None for value in values], np.bool_)
    validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    if pa.types.is_list(type_):
        ends = _ends([0 if value is None else len(value) for value in values])
        inner = column(list(chain.from_iterable(value for value in values if value is not None)), type_.value_type)
        return pa.Array.from_buffers(type_, len(values), [validity, ends], children=[inner])
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        pieces = [b"" if value is None else _bytes(value) for value in values]
        buffers = [validity, _ends(list(map(len, pieces))), pa.py_buffer(b"".join(pieces))]
    elif pa.types.is_boolean(type_):
        buffers = [validity, pa.py_buffer(np.packbits(np.array(values, np.bool_), bitorder="little"))]
    else:
        numbers = [0 if value is None else value for value in values]
        kind = np.int64 if pa.types.is_timestamp(type_) else type_.to_pandas_dtype()
        buffers = [validity, pa.py_buffer(np.array(numbers, kind))]
    return pa.Array.from_buffers(type_, len(values), buffers)


def number_column(values: np.ndarray[Any, Any]) -> pa.Array:
    """An array of numbers as a column, without copying it."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _ends(lengths: Sequence[int]) -> pa.Buffer:
    return pa.py_buffer(np.cumsum([0, *lengths]).astype(np.int32))


def _bytes(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except UnicodeEncodeError:
        # Names that are not UTF-8 are escaped inside, which Arrow does not hold.
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
