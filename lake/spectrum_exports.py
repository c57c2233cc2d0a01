"""Spectra written as mzML, MGF, JSON, Arrow or Parquet while they are read, a batch of points at a time."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lake.formats.spectra.arrays import INTENSITY, MOBILITY, MZ
from lake.formats.spectra.mzml_writer import write_mzml
from lake.formats.spectra.source import Points, Rows, SpectrumSource
from lake.formats.spectra.table import SpectrumTable
from lake.peaks import PEAK_COLUMNS, Scan, peak_reader
from lake.spectrum import spectrum_facts

__all__ = ["EXPORTS", "VERSION", "export"]

VERSION = f"spectrum-exports/1 pyarrow/{pa.__version__} zlib/{zlib.ZLIB_RUNTIME_VERSION}"
"""The same version, the same bytes."""


def export(source: SpectrumSource, rows: Rows, form: str) -> Iterator[bytes]:
    """Spectra of a run in another form, in the order of ``rows``.

    Args:
        source: the run.
        rows: of its table of spectra, ascending.
        form: one of `EXPORTS`.

    Raises:
        FormatError, Unsupported: an array cannot be read; names the spectrum.
    """
    return EXPORTS[form][1](source, rows)


# -- text -------------------------------------------------------------------------------------------------------------
def _mgf(source: SpectrumSource, rows: Rows) -> Iterator[bytes]:
    """Mascot generic format (matrixscience.com, "Data file format"), of spectra that have a precursor, as msconvert."""
    spectra = source.table.spectra
    chosen = rows[~np.isnan(spectra.precursor_mz[rows])]
    for points in source.points(chosen, (MZ, INTENSITY)):
        for row, start, stop in _each(points):
            mz, intensity = (_values(points, kind, start, stop) for kind in (MZ, INTENSITY))
            lines = [f"{each!r} {height!r}" for each, height in zip(mz, intensity, strict=True)]
            yield "\n".join(["BEGIN IONS", *_mgf_head(spectra, row), *lines, "END IONS", "", ""]).encode()


def _mgf_head(spectra: SpectrumTable, row: int) -> Iterator[str]:
    facts = spectrum_facts(spectra, row)
    # A line end in a title would begin a line of its own.
    yield f"TITLE={' '.join((facts['native_id'] or f'index={row}').split())}"
    mass = repr(facts["precursor_mz"])
    height = facts["precursor_intensity"]
    yield f"PEPMASS={mass}" if height is None else f"PEPMASS={mass} {height!r}"
    charge = facts["precursor_charge"]
    if charge is not None:
        negative = charge < 0 or facts["polarity"] == "-"
        yield f"CHARGE={abs(charge)}{'-' if negative else '+'}"
    if facts["rt"] is not None:
        yield f"RTINSECONDS={facts['rt']!r}"
    if facts["scan"] is not None:
        yield f"SCANS={facts['scan']}"


def _json(source: SpectrumSource, rows: Rows) -> Iterator[bytes]:
    """One array (RFC 8259) of an object a spectrum, a line each; what the file does not say is left out.

    Keys are those of the facts ``spectra`` with ``index`` (from 0), ``mz``, ``intensity`` and, where there is any,
    ``ion_mobility``, whose items are null where they are no numbers.
    """
    spectra = source.table.spectra
    lead = "[\n"
    for points in source.points(rows, (MZ, INTENSITY, MOBILITY)):
        for row, start, stop in _each(points):
            known = {"index": row, **spectrum_facts(spectra, row)}
            described: dict[str, Any] = {name: value for name, value in known.items() if not _unsaid(value)}
            for name, kind in (("mz", MZ), ("intensity", INTENSITY)):
                described[name] = _numbers(_values(points, kind, start, stop))
            mobility = _numbers(_values(points, MOBILITY, start, stop))
            if any(value is not None for value in mobility):
                described["ion_mobility"] = mobility
            yield (lead + json.dumps(described, separators=(",", ":"), allow_nan=False)).encode()
            lead = ",\n"
    yield b"[]\n" if lead == "[\n" else b"\n]\n"


def _unsaid(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _numbers(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def _each(points: Points) -> Iterator[tuple[int, int, int]]:
    """Row, and range of points, of each spectrum."""
    edges = points.first.tolist()
    return zip(points.rows.tolist(), edges[:-1], edges[1:], strict=True)


def _values(points: Points, kind: int, start: int, stop: int) -> list[float]:
    values: NDArray[Any] | None = points.values.get(kind)
    found: list[float] = [] if values is None else values[start:stop].astype(np.float64).tolist()
    return found


# -- columns ----------------------------------------------------------------------------------------------------------
def _arrow(source: SpectrumSource, rows: Rows) -> Iterator[bytes]:
    """The IPC streaming format: a row a spectrum, with lists of its points."""
    batches, sink = _batches(source, rows), _Sink()
    with pa.ipc.new_stream(sink, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def _parquet(source: SpectrumSource, rows: Rows) -> Iterator[bytes]:
    """The same rows, a group of rows for each batch."""
    batches, sink = _batches(source, rows), _Sink()
    with pq.ParquetWriter(sink, batches.schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def _batches(source: SpectrumSource, rows: Rows) -> pa.RecordBatchReader:
    return peak_reader(source.table.spectra, Scan(source), rows, None, "ragged", tuple(PEAK_COLUMNS))


class _Sink:
    """A file whose bytes are taken away as they are written."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | memoryview) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def tell(self) -> int:
        return self._size

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Arrow closes what it has written; the last bytes are still to be taken."""


EXPORTS: dict[str, tuple[str, Callable[[SpectrumSource, Rows], Iterator[bytes]]]] = {
    "MZML": ("application/xml", write_mzml),
    "MGF": ("text/x-mgf", _mgf),
    "JSON": ("application/json", _json),
    "ARROW": ("application/vnd.apache.arrow.stream", _arrow),
    "PARQUET": ("application/vnd.apache.parquet", _parquet),
}
"""Media type and writer by name."""
