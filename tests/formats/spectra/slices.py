"""Slices of files in memory, without a lake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lake.formats.base import RegionFile, RegionFormat
from lake.formats.reader import ByteReader, BytesReader
from lake.formats.spectra.arrays import INTENSITY, MZ
from lake.formats.spectra.source import SpectrumSource
from lake.segments import Slice, Span

__all__ = ["all_points", "open_bytes", "slice_bytes", "table_built"]


def open_bytes(form: RegionFormat, data: bytes) -> RegionFile:
    return form.open(BytesReader(data), kind=None, index=None, table=None)


def slice_bytes(file: RegionFile, reader: ByteReader, *regions: str) -> bytes:
    """The answer to regions."""
    plan = file.plan(regions)

    def read(span: Span) -> bytes:
        assert span.source == reader.source
        return reader.read(span.offset, span.length)

    return Slice(plan.media_type, plan.segments, "", plan.verbatim, read).to_bytes()


def all_points(source: SpectrumSource) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """m/z and intensities of every spectrum, in order."""
    rows = np.arange(len(source.table.spectra))
    found = []
    for points in source.points(rows, (MZ, INTENSITY)):
        for start, stop in zip(points.first[:-1], points.first[1:], strict=True):
            found.append((points.values[MZ][start:stop], points.values[INTENSITY][start:stop]))
    return found


def table_built(form: RegionFormat, data: bytes, folder: Path) -> RegionFile:
    """The file opened with the index and the table that are made of it, as a lake does."""
    path, out, table = folder / "file", folder / "index", folder / "table"
    path.write_bytes(data)
    kind = form.build_index(path, out, threads=1, table=table)
    made = table.read_bytes() if table.exists() else None
    return form.open(BytesReader(data), kind=kind, index=out.read_bytes(), table=made)
