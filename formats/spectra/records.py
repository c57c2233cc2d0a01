"""Spectra one after the other into the columns of a `RunTable`, in bytes by the spectrum and not by the object."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lake.errors import FormatError
from lake.formats.spectra.table import (
    ArrayTable,
    ChromatogramTable,
    PrecursorTable,
    RunFacts,
    RunTable,
    SpectrumTable,
)

__all__ = ["NO_CHROMATOGRAMS", "Precursor", "Record", "TableBuilder", "decode_text"]

_NAN = math.nan


class Precursor(NamedTuple):
    """An ion that was broken; absent values as in `SpectrumTable`."""

    precursor_mz: float = _NAN
    precursor_charge: int = 0
    precursor_intensity: float = _NAN
    isolation_mz: float = _NAN
    isolation_low: float = _NAN
    isolation_high: float = _NAN
    activation: str | None = None
    collision_energy: float = _NAN


class Record(NamedTuple):
    """What is known of a spectrum; absent values as in `SpectrumTable`."""

    offset: int
    length: int
    header_length: int
    native_id: str | None = None
    scan: int = -1
    ms_level: int = 0
    rt: float = _NAN
    polarity: int = 0
    centroided: int = -1
    n_points: int = -1
    tic: float = _NAN
    base_peak_mz: float = _NAN
    base_peak_intensity: float = _NAN
    low_mz: float = _NAN
    high_mz: float = _NAN
    ion_mobility: float = _NAN
    filter_string: str | None = None
    injection_time: float = _NAN
    x: int = -1
    y: int = -1
    z: int = -1


_NO_PRECURSOR = Precursor()
_BATCH = 1024
"""Rows that are gathered before they become columns."""

_CODES = {np.dtype(code): code for code in "bhiqd"}
_TYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys(("offset", "length", "scan", "n_points"), np.int64),
    **dict.fromkeys(("header_length", "x", "y", "z"), np.int32),
    **dict.fromkeys(("ms_level", "precursor_charge"), np.int16),
    **dict.fromkeys(("polarity", "centroided"), np.int8),
    **dict.fromkeys(("native_id", "filter_string", "activation"), np.object_),
}
"""Of columns that are not reals."""


class _Columns:
    """Rows of named tuples as columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._types = [np.dtype(_TYPES.get(name, np.float64)) for name in names]
        self._values: list[Any] = [[] if kind.hasobject else array(_CODES[kind]) for kind in self._types]
        self._rows: list[Sequence[object]] = []

    def add(self, row: Sequence[object]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        for name, column, values in zip(self._names, self._values, zip(*rows, strict=True), strict=False):
            try:
                column.extend(values)
            except OverflowError:
                raise FormatError(f"a spectrum states a number that is too large ({name})") from None

    def arrays(self) -> dict[str, Any]:
        self._flush()
        columns = zip(self._names, self._values, self._types, strict=True)
        return {name: np.array(values, kind) for name, values, kind in columns}


class TableBuilder:
    """Gathers the spectra of a file, in its order."""

    def __init__(self) -> None:
        self._spectra = _Columns(Record._fields)
        self._first = _Columns(Precursor._fields)
        self._further = _Columns(Precursor._fields)
        self._rows: array[int] = array("q")
        self._count = 0

    def add(self, record: Record, precursors: Sequence[Precursor] = ()) -> None:
        """The next spectrum, and its precursors.

        Raises:
            FormatError: a number is too large for its column, here or at the end.
        """
        self._spectra.add(record)
        self._first.add(precursors[0] if precursors else _NO_PRECURSOR)
        for precursor in precursors[1:]:
            self._further.add(precursor)
            self._rows.append(self._count)
        self._count += 1

    def finish(self, run: RunFacts) -> RunTable:
        """The table of all spectra; it describes no arrays."""
        further = PrecursorTable(row=np.array(self._rows, np.int64), **self._further.arrays())
        spectra = SpectrumTable(
            **self._spectra.arrays(), **self._first.arrays(), arrays=_no_arrays(self._count), further=further
        )
        return RunTable(run, spectra, NO_CHROMATOGRAMS)


def _no_arrays(owners: int) -> ArrayTable:
    places, numbers = np.empty(0, np.int64), np.empty(0, np.int32)
    return ArrayTable(np.zeros(owners + 1, np.int64), numbers, places, places, numbers, numbers, places)


def _no_chromatograms() -> ChromatogramTable:
    texts, reals, places = np.empty(0, np.object_), np.empty(0, np.float64), np.empty(0, np.int64)
    return ChromatogramTable(
        native_id=texts,
        type=texts,
        n_points=places,
        polarity=np.empty(0, np.int8),
        precursor_mz=reals,
        product_mz=reals,
        collision_energy=reals,
        offset=places,
        length=places,
        arrays=_no_arrays(0),
    )


NO_CHROMATOGRAMS = _no_chromatograms()
"""Of formats that have none."""


_CONTROLS = str.maketrans("\0\1", "\ufffd\ufffd")
"""Characters that no text of XML has either."""


def decode_text(text: bytes) -> str:
    """A text of which nothing says the encoding: UTF-8, or Latin-1 where it cannot be that."""
    try:
        return text.decode().translate(_CONTROLS)
    except UnicodeDecodeError:
        return text.decode("latin-1").translate(_CONTROLS)
