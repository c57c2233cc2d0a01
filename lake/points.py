"""All points of a run in one Parquet file, sorted by MS level and m/z: a chromatogram takes milliseconds.

Columns: ``ord``, ``ms_level``, ``rt``, ``precursor_mz`` of the spectrum, ``mz``, ``intensity``, ``ion_mobility`` of the
point. Row groups hold one MS level each; what they cover stands in the file's metadata, with the retention time and the
level of every spectrum. Pages have checksums.
"""

from __future__ import annotations

import base64
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lake.columns import number_column
from lake.digest import digest_of
from lake.errors import DamagedObject, FormatError
from lake.formats.spectra.arrays import INTENSITY, MOBILITY, MZ, Compression
from lake.formats.spectra.source import Points, Rows, SpectrumSource
from lake.formats.spectra.table import SpectrumTable
from lake.peaks import Window, edges, present

__all__ = ["POINTS_KIND", "PointsFile", "write_points"]

POINTS_KIND = "points/1"
"""Kind of the artifact."""

_GROUP = 1 << 16
"""Points of a row group, what is read at least."""
_AT_ONCE = 64
"""Row groups that one question reads at most."""
_BUCKET = 1 << 22
"""Points that are sorted at once."""
_PARTS = 256
"""Into which a level is divided at most: each is an open file. A billion points are then sorted as said."""
_SAMPLE = 256
"""Spectra of which the m/z tell where to divide a level that does not fit."""
_RECORD = np.dtype([("mz", "<f8"), ("intensity", "<f8"), ("ion_mobility", "<f8"), ("ord", "<i4")])
_KIND_OF = {MZ: "mz", INTENSITY: "intensity", MOBILITY: "ion_mobility"}
_META, _DIGEST = b"regionlake.points", b"regionlake.points.digest"
_LOSSLESS_IN_32_BITS = (Compression.NONE, Compression.ZLIB, Compression.TRUNCATED_ZLIB, Compression.ZSTD)


def write_points(source: SpectrumSource, out: Path, scratch: Path) -> None:
    """Write the points of all spectra. Memory holds some four million points, as long as m/z differ.

    Args:
        source: the run.
        out: the file to write.
        scratch: a directory for as many temporary bytes as 28 for each point.

    Raises:
        FormatError, Unsupported: an array cannot be read; names the spectrum.
    """
    spectra = source.table.spectra
    narrow = _narrow(spectra)
    schema = _schema(narrow)
    groups: list[tuple[int, float, float]] = []
    ordered = True
    with pq.ParquetWriter(
        out,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["ord", "ms_level", "rt", "precursor_mz"],
        column_encoding={"mz": "BYTE_STREAM_SPLIT", "intensity": "BYTE_STREAM_SPLIT"},
        write_page_checksum=True,
    ) as writer:
        for level in np.unique(spectra.ms_level).tolist():
            rows = np.flatnonzero(spectra.ms_level == level)
            with ExitStack() as stack:
                buckets, ascending = _fill(source, rows, scratch, stack)
                ordered = ordered and ascending
                for bucket in buckets:
                    groups += _write(writer, schema, spectra, level, bucket)
        head = _describe(spectra, groups, ordered)
        writer.add_key_value_metadata({_META: head, _DIGEST: digest_of(head).encode()})


def _narrow(spectra: SpectrumTable) -> bool:
    """Whether every intensity is a 32-bit float in the file."""
    arrays = spectra.arrays
    of_intensity = arrays.kind == INTENSITY
    exact = np.isin(arrays.compression[of_intensity], _LOSSLESS_IN_32_BITS)
    return bool(of_intensity.any() and (arrays.dtype[of_intensity] == 1000521).all() and exact.all())


def _schema(narrow: bool) -> pa.Schema:
    return pa.schema(
        [
            ("ord", pa.int32()),
            ("ms_level", pa.int16()),
            ("rt", pa.float64()),
            ("precursor_mz", pa.float64()),
            ("mz", pa.float64()),
            ("intensity", pa.float32() if narrow else pa.float64()),
            ("ion_mobility", pa.float64()),
        ]
    )


def _fill(source: SpectrumSource, rows: Rows, scratch: Path, stack: ExitStack) -> tuple[list[IO[bytes]], bool]:
    """The points of spectra in files by ascending ranges of m/z, and whether each spectrum is sorted by m/z."""
    kinds = (MZ, INTENSITY, MOBILITY)
    bounds = _bounds(source, rows)
    buckets = [stack.enter_context(_temporary(scratch)) for _ in range(len(bounds) + 1)]
    ascending = True
    for points in source.points(rows, kinds):
        records = np.empty(int(points.first[-1]), _RECORD)
        records["ord"] = points.owners()
        for kind, name in _KIND_OF.items():
            records[name] = points.values.get(kind, np.nan)
        falls = np.diff(records["mz"]) < 0
        ascending = ascending and not (falls & (np.diff(records["ord"]) == 0)).any()
        numbers = np.searchsorted(bounds, records["mz"], "right")
        records = records[np.argsort(numbers, kind="stable")]
        ends = np.bincount(numbers, minlength=len(buckets)).cumsum().tolist()
        for bucket, start, end in zip(buckets, [0, *ends], ends, strict=False):
            bucket.write(records[start:end].tobytes())
    return buckets, ascending


def _temporary(scratch: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=scratch)


def _bounds(source: SpectrumSource, rows: Rows) -> NDArray[np.float64]:
    """m/z at which to divide the points of spectra so that each part can be sorted in memory."""
    parts = -(-int(np.maximum(source.table.spectra.n_points[rows], 0).sum()) // _BUCKET)
    parts = min(parts, _PARTS)
    if parts <= 1:
        return np.empty(0)
    some = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64))]
    sample = np.concatenate([points.values.get(MZ, np.empty(0)) for points in source.points(some, (MZ,))])
    return np.unique(np.quantile(sample, np.arange(1, parts) / parts)) if len(sample) else np.empty(0)


def _write(
    writer: pq.ParquetWriter, schema: pa.Schema, spectra: SpectrumTable, level: int, bucket: IO[bytes]
) -> list[tuple[int, float, float]]:
    """Sort the points of a bucket and write them; level and range of m/z of each row group."""
    bucket.seek(0)
    records = np.frombuffer(bucket.read(), _RECORD)
    records = records[np.argsort(records["mz"], kind="stable")]
    groups = []
    for start in range(0, len(records), _GROUP):
        part = records[start : start + _GROUP]
        owners = part["ord"]
        rt, precursor = spectra.rt[owners], spectra.precursor_mz[owners]
        made = [
            number_column(np.ascontiguousarray(owners)),
            present(np.full(len(part), level, np.int16), np.full(len(part), level == 0)),
            present(rt, np.isnan(rt)),
            present(precursor, np.isnan(precursor)),
            number_column(np.ascontiguousarray(part["mz"])),
            number_column(part["intensity"].astype(schema.field("intensity").type.to_pandas_dtype())),
            present(part["ion_mobility"], np.isnan(part["ion_mobility"])),
        ]
        writer.write_table(pa.Table.from_arrays(made, schema=schema), row_group_size=_GROUP)
        # NaN, sorted behind all numbers, bounds nothing.
        highest = part["mz"][-1] if not np.isnan(part["mz"][-1]) else np.inf
        groups.append((level, float(part["mz"][0]), float(highest)))
    return groups


def _describe(spectra: SpectrumTable, groups: list[tuple[int, float, float]], ordered: bool) -> bytes:
    levels, lows, highs = zip(*groups, strict=True) if groups else ((), (), ())
    columns = {
        "rt": spectra.rt.astype("<f8"),
        "ms_level": spectra.ms_level.astype("<i2"),
        "group_level": np.array(levels, "<i2"),
        "group_low": np.array(lows, "<f8"),
        "group_high": np.array(highs, "<f8"),
    }
    texts = {name: base64.b64encode(values.tobytes()).decode() for name, values in columns.items()}
    return json.dumps({"ordered": ordered, **texts}).encode()


class PointsFile:
    """The points of a run, opened; a `lake.peaks.PointFinder`. Safe for use by several threads."""

    indexed = True

    def __init__(self, where: Path | bytes) -> None:
        """
        Raises:
            FormatError: not what `write_points` wrote.
        """
        try:
            self._file = pq.ParquetFile(
                pa.BufferReader(where) if isinstance(where, bytes) else where, page_checksum_verification=True
            )
            metadata = self._file.metadata.metadata
            if digest_of(metadata[_META]).encode() != metadata[_DIGEST]:
                raise FormatError("its head does not match its digest")
            head = json.loads(metadata[_META])
            self.ordered: bool = head["ordered"]
            """Whether the points of every spectrum stand by ascending m/z in the file."""
            self.rt = _decoded(head["rt"], "<f8")
            """Seconds by spectrum; NaN where the file says nothing."""
            self.ms_level = _decoded(head["ms_level"], "<i2")
            """By spectrum; 0 where the file says nothing."""
            self._levels = _decoded(head["group_level"], "<i2")
            self._lows, self._highs = _decoded(head["group_low"], "<f8"), _decoded(head["group_high"], "<f8")
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(f"the points of the run are damaged ({error}) and not used") from error
        self._lock = threading.Lock()

    def _touched(self, rows: Rows, window: Window | None) -> Rows:
        """Row groups that may hold points of spectra in a window."""
        low, high = window if window is not None else (-np.inf, np.inf)
        levels = np.isin(self._levels, np.unique(self.ms_level[rows]))
        return np.flatnonzero(levels & (self._lows <= high) & (self._highs >= low))

    def serves(self, rows: Rows, window: Window | None) -> bool:
        """Whether so few points lie in a window that they can be read at once."""
        return len(self._touched(rows, window)) <= _AT_ONCE

    def find(self, rows: Rows, window: Window | None, kinds: Sequence[int]) -> Iterator[Points]:
        """See `PointFinder.find`; one batch, sorted by m/z within each spectrum. Memory: see `serves`."""
        low, high = window if window is not None else (-np.inf, np.inf)
        touched = self._touched(rows, window)
        names = {kind: _KIND_OF[kind] for kind in dict.fromkeys((MZ, *kinds))}
        columns = self._read(touched.tolist(), ["ord", *names.values()])
        mz = columns["mz"]
        inside = (mz >= low) & (mz <= high)
        places = np.full(len(self.rt), -1, np.int64)
        places[rows] = np.arange(len(rows))
        owners = places[columns["ord"]]
        chosen = np.flatnonzero(inside & (owners >= 0))
        chosen = chosen[np.argsort(owners[chosen], kind="stable")]
        counts = np.bincount(owners[chosen], minlength=len(rows))
        yield Points(rows, edges(counts), {kind: columns[name][chosen] for kind, name in names.items()})

    def _read(self, groups: list[int], names: list[str]) -> dict[str, NDArray[Any]]:
        try:
            with self._lock:
                table = self._file.read_row_groups(groups, names, use_threads=len(groups) > 1)
        except (pa.ArrowException, OSError) as error:
            raise DamagedObject(f"the points of the run are damaged ({error}) and not used") from error
        return {name: _numbers(table.column(name)) for name in names}


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as numpy, absent values as NaN. Arrow's own way loads pandas."""
    dtype = column.type.to_pandas_dtype()
    parts = []
    for chunk in column.chunks:
        validity, data = chunk.buffers()
        values = np.frombuffer(data, dtype)[chunk.offset : chunk.offset + len(chunk)]
        if chunk.null_count:
            bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
            values = np.where(bits[chunk.offset : chunk.offset + len(chunk)], values, np.nan)
        parts.append(values)
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _decoded(text: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)
