"""mzMLb: the mzML inside of an HDF5 file, and the arrays that it only names.

Source: Bhamber et al. 2021, doi:10.1021/acs.jproteome.0c00192. The dataset ``mzML`` is the text; an array is a run of a
long dataset: MS:1002841 its name, MS:1002842 the first value, MS:1002843 how many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from lake.digest import Digest
from lake.errors import FormatError, Unsupported
from lake.formats.arrays.hdf5 import find, open_hdf5
from lake.formats.reader import ByteReader
from lake.formats.spectra.arrays import (
    VALUE_TYPES,
    Compression,
    Values,
    decode_bytes,
    predict_by_delta,
    predict_by_line,
)
from lake.formats.spectra.start_tags import attributes

__all__ = ["External", "Param", "TextReader", "open_text", "read_external"]

_TEXT = "mzML"
_NAME, _FIRST, _COUNT = 1002841, 1002842, 1002843
_PREDICTED = {
    Compression.TRUNCATED_ZLIB: None,
    Compression.DELTA_ZLIB: predict_by_delta,
    Compression.PREDICTED_ZLIB: predict_by_line,
}
_BARE = {
    Compression.LINEAR: Compression.LINEAR,
    Compression.LINEAR_ZLIB: Compression.LINEAR,
    Compression.PIC: Compression.PIC,
    Compression.PIC_ZLIB: Compression.PIC,
    Compression.SLOF: Compression.SLOF,
    Compression.SLOF_ZLIB: Compression.SLOF,
}
"""MS-Numpress without zlib, which HDF5 itself undoes."""
_MOST = 1 << 26
"""Values of one array. A spectrum has a few million points at most."""
_DEFLATED = 1100
"""More bytes than this come out of none that is deflated: a file that states more text is a trap."""

_ARRAY = re.compile(rb"<binaryDataArray[\s>].*?</binaryDataArray>", re.DOTALL)
_PARAM = re.compile(rb"<cvParam\s[^<>]*>")
_ACCESSION = re.compile(rb"MS:(\d{7})")


class TextReader:
    """The text of an open file, as a `lake.formats.reader.ByteReader`."""

    def __init__(self, dataset: Any, source: Digest) -> None:
        self._dataset = dataset
        self.source = source
        self.size = int(dataset.shape[0])

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise FormatError(f"cannot read {length} bytes at {offset}")
        return bytes(self._dataset[offset : min(offset + length, self.size)].tobytes())


@contextmanager
def open_text(reader: ByteReader) -> Iterator[tuple[Any, TextReader]]:
    """The open `h5py.File`, and the mzML that it holds.

    Raises:
        FormatError: damaged, or without an mzML.
        Unsupported: h5py is not installed.
    """
    with open_hdf5(reader) as file:
        dataset = find(file, _TEXT)
        if dataset is None or getattr(dataset, "ndim", 0) != 1 or dataset.dtype.itemsize != 1:
            raise FormatError("the HDF5 file has no dataset mzML of bytes: not mzMLb")
        if dataset.shape[0] > reader.size * _DEFLATED:
            raise FormatError(f"the dataset mzML states {dataset.shape[0]} bytes, in a file of {reader.size}")
        yield file, TextReader(dataset, reader.source)


class Param(NamedTuple):
    """A cvParam of an array, ``[start, stop)`` of the text of its spectrum."""

    accession: int
    start: int
    stop: int
    value: str


class External(NamedTuple):
    """An array as its spectrum describes it."""

    start: int
    stop: int
    """``<binaryDataArray`` to behind its end tag, in the text of the spectrum."""
    params: tuple[Param, ...]

    @classmethod
    def all(cls, text: bytes) -> list[External]:
        """Those of a spectrum or chromatogram, in order."""
        return [cls(match.start(), match.end(), tuple(_params(text, *match.span()))) for match in _ARRAY.finditer(text)]

    def value(self, accession: int) -> str | None:
        return next((param.value for param in self.params if param.accession == accession), None)

    def _number(self, accession: int) -> int:
        value = self.value(accession)
        if value is None or not value.isdecimal() or len(value) > 18:
            raise FormatError(f"MS:{accession} of an array is {value!r}, which is no number")
        return int(value)

    def values(self, file: Any) -> Values:
        """What the dataset holds, as it is stored.

        Raises:
            FormatError: it names no dataset, or more than there is.
        """
        name = self.value(_NAME)
        if name is None:
            raise FormatError("an array names no dataset (MS:1002841)")
        dataset = find(file, name)
        first, count = self._number(_FIRST), self._number(_COUNT)
        if dataset is None or getattr(dataset, "ndim", 0) != 1:
            raise FormatError(f"there is no dataset {name!r} of one dimension")
        if count > _MOST or first + count > dataset.shape[0]:
            raise FormatError(f"values {first} to {first + count} of {name!r}, which has {dataset.shape[0]}")
        values: Values = dataset[first : first + count]
        return values


def _params(text: bytes, start: int, stop: int) -> Iterator[Param]:
    for match in _PARAM.finditer(text, start, stop):
        stated = {name: match[0][first:last] for name, first, last in attributes(match[0])}
        accession = _ACCESSION.fullmatch(stated.get(b"accession", b""))
        if accession is not None:
            value = stated.get(b"value", b"").decode("utf-8", "replace")
            yield Param(int(accession[1]), match.start(), match.end(), value)


def read_external(file: Any, array: External, compression: int, count: int) -> Values:
    """Values of an array, predictions undone.

    Args:
        file: the open `h5py.File`.
        array: which one.
        compression: what the mzML states of it, a number of `Compression`; 0 where it states none that it knows.
        count: how many values there have to be.

    Raises:
        FormatError: not what the mzML says.
        Unsupported: compressed in another way.
    """
    stored = array.values(file)
    stated = {param.accession for param in array.params}
    scheme = _BARE.get(Compression(compression)) if compression else None
    if scheme is not None:
        if stored.dtype.itemsize == 1:
            return decode_bytes(stored.tobytes(), 1000523, scheme, count)
        raise Unsupported("MS-Numpress in a dataset of numbers")
    if stored.dtype.newbyteorder("<") not in VALUE_TYPES.values():
        raise Unsupported(f"values of type {stored.dtype}")
    for number, predict in _PREDICTED.items():
        if number in stated and predict is not None:
            stored = predict(stored)
    if len(stored) != count:
        raise FormatError(f"an array has {len(stored):,} values, but the file declares {count:,}")
    return np.ascontiguousarray(stored)
