"""Points of spectra as Arrow, and what is computed of them: chromatograms, averages. Bounds of m/z are closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake.columns import column, number_column
from lake.errors import FormatError, InvalidInput
from lake.formats.spectra.arrays import INTENSITY, MOBILITY, MZ
from lake.formats.spectra.source import Points, Rows, SpectrumSource
from lake.formats.spectra.table import SpectrumTable

__all__ = [
    "PEAK_COLUMNS",
    "How",
    "Layout",
    "PointFinder",
    "Reals",
    "Scan",
    "Window",
    "average_spectrum",
    "edges",
    "gather",
    "ion_chromatograms",
    "ion_currents",
    "peak_reader",
    "present",
    "tolerance",
    "within",
]

Reals: TypeAlias = NDArray[np.float64]
Layout: TypeAlias = Literal["long", "ragged"]
How: TypeAlias = Literal["sum", "max"]

PEAK_COLUMNS: dict[str, pa.DataType] = {
    "ord": pa.int32(),
    "native_id": pa.string(),
    "rt": pa.float64(),
    "ms_level": pa.int16(),
    "precursor_mz": pa.float64(),
    "mz": pa.float64(),
    "intensity": pa.float64(),
    "ion_mobility": pa.float64(),
}
"""Columns of points. Of the spectrum: its place in the file from 0, its native id, seconds, MS level, m/z of the first
precursor; of the point: m/z, intensity, ion mobility. Null where the file says nothing."""

_USUAL = tuple(name for name in PEAK_COLUMNS if name != "native_id")
_OF_POINTS = {"mz": MZ, "intensity": INTENSITY, "ion_mobility": MOBILITY}


class Window(NamedTuple):
    """m/z from ``low`` to ``high``, both included."""

    low: float
    high: float


def tolerance(mz: float, ppm: float) -> Window:
    """``mz`` with so many millionths to both sides.

    Raises:
        InvalidInput: no such window.
    """
    if not (np.isfinite(mz) and mz > 0 and 0 <= ppm < 1e6):
        raise InvalidInput(f"m/z {mz:g} within {ppm:g} ppm: both must be positive numbers")
    return Window(mz * (1 - ppm * 1e-6), mz * (1 + ppm * 1e-6))


def within(mz: tuple[float, float] | None) -> Window | None:
    """
    Raises:
        InvalidInput: not two numbers, the lower one first.
    """
    if mz is None:
        return None
    low, high = mz
    if not low <= high:
        raise InvalidInput(f"m/z from {low:g} to {high:g}: the lower one comes first")
    return Window(low, high)


class PointFinder(Protocol):
    """Finds points of the spectra of one run."""

    @property
    def indexed(self) -> bool:
        """Whether points in a window are found without a look at all others."""
        ...

    def find(self, rows: Rows, window: Window | None, kinds: Sequence[int]) -> Iterator[Points]:
        """Points whose m/z lies in a window, without one all, in batches; every one of ``rows`` is in one of them.

        Args:
            rows: spectra, ascending.
            window: m/z.
            kinds: arrays that are wanted, by number of the accession.

        Raises:
            FormatError, Unsupported: an array cannot be read; names the spectrum.
        """
        ...


class Scan:
    """A `PointFinder` that decodes the arrays of a file."""

    indexed = False

    def __init__(self, source: SpectrumSource) -> None:
        self._source = source

    def find(self, rows: Rows, window: Window | None, kinds: Sequence[int]) -> Iterator[Points]:
        """See `PointFinder.find`. Arrays other than m/z are read only of spectra that have points in the window."""
        if window is None:
            # Points are what has m/z and intensity, whichever is asked for.
            yield from self._source.points(rows, tuple(dict.fromkeys((MZ, INTENSITY, *kinds))))
            return
        others = tuple(kind for kind in kinds if kind != MZ)
        for found in self._source.points(rows, (MZ,)):
            mz = found.values.get(MZ, np.empty(0))
            inside = (mz >= window.low) & (mz <= window.high)
            counts = _segment_sums(inside, found.first)
            values = {MZ: mz[inside]}
            some = counts > 0
            if others and some.any():
                values |= self._further(found, some, inside[np.repeat(some, np.diff(found.first))], others)
            yield Points(found.rows, edges(counts), values)

    def _further(
        self, found: Points, some: NDArray[np.bool_], inside: NDArray[np.bool_], kinds: Sequence[int]
    ) -> dict[int, NDArray[Any]]:
        """Further arrays of some of the spectra that were found; of their points those inside."""
        pieces: dict[int, list[NDArray[Any]]] = {kind: [] for kind in kinds}
        sizes = np.diff(found.first)[some]
        at = spectrum = 0
        for more in self._source.points(found.rows[some], kinds):
            differ = np.diff(more.first) != sizes[spectrum : spectrum + len(more.rows)]
            if differ.any():
                raise FormatError(f"spectrum {more.rows[np.argmax(differ)]}: its arrays differ in length")
            size = int(more.first[-1])
            for kind in kinds:
                values = more.values.get(kind)
                pieces[kind].append((np.full(size, np.nan) if values is None else values)[inside[at : at + size]])
            at += size
            spectrum += len(more.rows)
        return {kind: np.concatenate(parts) for kind, parts in pieces.items()}


def edges(counts: NDArray[Any]) -> Rows:
    """Where segments of so many points begin, and where the last one ends."""
    return np.concatenate((np.zeros(1, np.int64), counts.cumsum(dtype=np.int64)))


def peak_reader(
    spectra: SpectrumTable,
    finder: PointFinder,
    rows: Rows,
    window: Window | None,
    layout: Layout,
    columns: Sequence[str] | None,
) -> pa.RecordBatchReader:
    """Points of spectra: a row each (``long``), or a row for each spectrum with lists of points (``ragged``).

    Spectra without m/z, of UV light say, have no points.

    Raises:
        InvalidInput: an unknown column or layout.
        FormatError, Unsupported: from the batches; an array cannot be read.
    """
    names = tuple(columns) if columns is not None else _USUAL
    unknown = [name for name in names if name not in PEAK_COLUMNS]
    if unknown:
        raise InvalidInput(f"no column {unknown[0]!r} of peaks: there are {', '.join(PEAK_COLUMNS)}")
    if layout not in ("long", "ragged"):
        raise InvalidInput(f"layout {layout!r}: write long or ragged")
    if not len(set(names)) == len(names) > 0:
        raise InvalidInput("name some columns of peaks, each once")
    listed = layout == "ragged"
    kinds = [_OF_POINTS[name] for name in names if name in _OF_POINTS]
    schema = pa.schema(
        [
            (name, pa.list_(PEAK_COLUMNS[name]) if listed and name in _OF_POINTS else PEAK_COLUMNS[name])
            for name in names
        ]
    )

    def read() -> Iterator[pa.RecordBatch]:
        for points in finder.find(rows, window, kinds):
            made = [_column(spectra, points, name, listed=listed) for name in names]
            yield pa.RecordBatch.from_arrays(made, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, read())


def _column(spectra: SpectrumTable, points: Points, name: str, *, listed: bool) -> pa.Array:
    kind = PEAK_COLUMNS[name]
    if name in _OF_POINTS:
        size = int(points.first[-1])
        values = points.values.get(_OF_POINTS[name])
        reals = np.full(size, np.nan) if values is None else _real(values)
        # In the other arrays NaN is what the file says.
        flat = present(reals, np.isnan(reals) if name == "ion_mobility" else None)
        return pa.ListArray.from_arrays(number_column(points.first.astype(np.int32)), flat) if listed else flat
    owners = np.arange(len(points.rows)) if listed else np.repeat(np.arange(len(points.rows)), np.diff(points.first))
    rows = points.rows[owners]
    if name == "ord":
        return number_column(rows.astype(np.int32))
    if name == "native_id":
        return column(spectra.native_id[points.rows].tolist(), kind).take(number_column(owners))
    values = getattr(spectra, name)[rows]
    return present(values, values == 0 if name == "ms_level" else np.isnan(values))


def present(values: NDArray[Any], absent: NDArray[np.bool_] | None) -> pa.Array:
    """Numbers as a column, some of which are absent."""
    if absent is None or not absent.any():
        return number_column(np.ascontiguousarray(values))
    validity = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def _real(values: NDArray[Any]) -> Reals:
    return values.astype(np.float64, copy=False)


def _segment_sums(flags: NDArray[np.bool_], first: Rows) -> Rows:
    sums = np.concatenate((np.zeros(1, np.int64), flags.cumsum(dtype=np.int64)))
    return np.asarray(sums[first[1:]] - sums[first[:-1]])


def ion_chromatograms(finder: PointFinder, rows: Rows, windows: Sequence[Window], how: How = "sum") -> Reals:
    """Intensity in each window of m/z by spectrum, summed or the greatest; 0 where there are no points.

    Shape: windows × rows.
    """
    if not windows:
        return np.zeros((0, len(rows)))
    if finder.indexed or len(windows) == 1:
        return np.concatenate([_chromatograms(finder, rows, window, [window], how) for window in windows])
    span = Window(min(window.low for window in windows), max(window.high for window in windows))
    return _chromatograms(finder, rows, span, windows, how)


def _chromatograms(finder: PointFinder, rows: Rows, span: Window, windows: Sequence[Window], how: How) -> Reals:
    made = np.zeros((len(windows), len(rows)))
    at = 0
    for points in finder.find(rows, span, (MZ, INTENSITY)):
        owners = np.repeat(np.arange(len(points.rows)), np.diff(points.first))
        mz, intensity = (_real(points.values.get(kind, np.empty(0))) for kind in (MZ, INTENSITY))
        for number, window in enumerate(windows):
            inside = np.flatnonzero((mz >= window.low) & (mz <= window.high))
            gather(made[number, at : at + len(points.rows)], owners[inside], intensity[inside], how)
        at += len(points.rows)
    return made


def gather(into: Reals, owners: Rows, intensity: Reals, how: How) -> None:
    """Add intensities to those of their spectra, or keep the greatest."""
    if how == "sum":
        into += np.bincount(owners, intensity, len(into))
    elif how == "max":
        np.maximum.at(into, owners, intensity)
    else:
        raise InvalidInput(f"intensities are summed (sum) or the greatest is taken (max), not {how!r}")


def ion_currents(source: SpectrumSource, rows: Rows) -> Reals:
    """Total ion current by spectrum: what the file states, else the sum of the intensities."""
    made: Reals = source.table.spectra.tic[rows].astype(np.float64)
    silent = np.flatnonzero(np.isnan(made))
    at = 0
    for points in source.points(rows[silent], (MZ, INTENSITY)) if len(silent) else ():
        owners = np.repeat(np.arange(len(points.rows)), np.diff(points.first))
        sums = np.bincount(owners, points.values.get(INTENSITY, np.empty(0)), len(points.rows))
        made[silent[at : at + len(points.rows)]] = sums
        at += len(points.rows)
    return made


def average_spectrum(finder: PointFinder, rows: Rows, ppm: float) -> tuple[Reals, Reals]:
    """m/z and intensity of the mean of spectra, ascending.

    Points no further than ``ppm`` millionths from their neighbour are one: its m/z is their mean, weighted by
    intensity, its intensity their sum divided by the number of spectra. For centroided spectra.
    """
    tolerance(1, ppm)
    parts = [
        (_real(points.values.get(MZ, np.empty(0))), _real(points.values.get(INTENSITY, np.empty(0))))
        for points in finder.find(rows, None, (MZ, INTENSITY))
    ]
    mz, intensity = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else (np.empty(0),) * 2
    if not len(mz):
        return mz, intensity
    order = np.argsort(mz, kind="stable")
    mz, intensity = mz[order], intensity[order]
    group = np.concatenate((np.zeros(1, np.int64), (np.diff(mz) > mz[1:] * ppm * 1e-6).cumsum()))
    sums = np.bincount(group, intensity)
    weighted = np.bincount(group, mz * intensity)
    plain = np.bincount(group, mz) / np.bincount(group)
    centres = np.divide(weighted, sums, out=plain, where=sums > 0)
    return centres, sums / len(rows)
