"""Questions that need the points of spectra, asked of the runs of one lake."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake.artifacts import artifact_bytes
from lake.columns import column, number_column
from lake.digest import Digest
from lake.errors import DamagedObject, FormatError, InvalidInput, LakeError, Unsupported
from lake.formats.registry import region_format
from lake.formats.spectra.query import parse_query
from lake.formats.spectra.source import RUN_FORMATS, Points, Rows, SpectrumFile, SpectrumSource
from lake.journal.values import Artifact, ObjectRecord
from lake.peaks import (
    How,
    Layout,
    PointFinder,
    Reals,
    Scan,
    Window,
    average_spectrum,
    ion_chromatograms,
    ion_currents,
    peak_reader,
    present,
    tolerance,
    within,
)
from lake.points import POINTS_KIND, PointsFile, write_points
from lake.regions import RegionDesk
from lake.repository import Repository
from lake.spectrum import Spectrum, find_spectrum, read_spectrum

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["Run", "RunDesk"]

_log = logging.getLogger("lake.runs")

_OPEN_POINTS = 128
_AVERAGED = 50_000_000
"""Points that are averaged at most: all have to be in memory."""
_ASKED_AT_ONCE = max(2, min(8, os.cpu_count() or 2))


class Run(NamedTuple):
    """A file of the lake."""

    digest: Digest
    path: str


class RunDesk:
    """Runs of one lake. Points artifacts are used where they are at hand."""

    def __init__(self, repo: Repository, desk: RegionDesk) -> None:
        self._repo = repo
        self._desk = desk
        self._points: OrderedDict[Digest, PointsFile] = OrderedDict()
        self._lock = threading.Lock()

    def source(self, run: Run) -> SpectrumSource:
        """
        Raises:
            Unsupported: a file without spectra.
        """
        name = self._repo.shelf.reader(run.digest).record.format
        file = self._desk.file(run.digest, run.path)[0] if name in RUN_FORMATS else None
        if not isinstance(file, SpectrumFile):
            raise Unsupported(f"{run.path} is {name}: it has no spectra that can be read")
        return file.source

    def peaks(
        self,
        run: Run,
        regions: Sequence[str],
        mz: tuple[float, float] | None,
        layout: Layout,
        columns: Sequence[str] | None,
    ) -> pa.RecordBatchReader:
        """See `lake.peaks.peak_reader`."""
        window = within(mz)
        source = self.source(run)
        rows = _rows(source, regions)
        points = self._points_of(run.digest) if window is not None else None
        # Points are sorted by m/z: an answer from them must not differ from that of the file.
        finder = self._finder(run, points if points is not None and points.ordered else None)
        return peak_reader(source.table.spectra, finder, rows, window, layout, columns)

    def ion_chromatograms(
        self,
        runs: Sequence[Run],
        mz: Sequence[float],
        ppm: float,
        rt: tuple[float, float] | None,
        ms_level: int | None,
        how: How,
    ) -> pa.Table:
        """Extracted ion chromatograms: columns ``path``, ``mz``, ``ord``, ``rt``, ``intensity``; a row a spectrum.

        Raises:
            InvalidInput: bounds that cannot be.
            FormatError, Unsupported: an array cannot be read.
        """
        windows = [tolerance(value, ppm) for value in mz]
        seconds = _seconds(rt)
        if how not in ("sum", "max"):
            raise InvalidInput(f"intensities are summed (sum) or the greatest is taken (max), not {how!r}")

        def ask(run: Run) -> pa.Table:
            points = self._points_of(run.digest)
            about = points if points is not None else self.source(run).table.spectra
            rows = _chosen(about.rt, about.ms_level, seconds, ms_level)
            found = ion_chromatograms(self._finder(run, points), rows, windows, how)
            return _chromatogram_table(run.path, mz, rows, about.rt[rows], found)

        return _together([ask(runs[0])] if len(runs) == 1 else _in_parallel(ask, runs))

    def ion_currents(self, runs: Sequence[Run], ms_level: int | None) -> pa.Table:
        """Total ion currents: columns ``path``, ``ord``, ``rt``, ``ms_level``, ``intensity``; a row a spectrum."""

        def ask(run: Run) -> pa.Table:
            source = self.source(run)
            spectra = source.table.spectra
            rows = _chosen(spectra.rt, spectra.ms_level, None, ms_level)
            rt, levels = spectra.rt[rows], spectra.ms_level[rows]
            return pa.table(
                {
                    "path": _repeated(run.path, len(rows)),
                    "ord": number_column(rows.astype(np.int32)),
                    "rt": present(rt, np.isnan(rt)),
                    "ms_level": present(levels, levels == 0),
                    "intensity": number_column(ion_currents(source, rows)),
                }
            )

        return _together([ask(run) for run in runs])

    def spectrum(self, run: Run, key: str, value: int | str) -> Spectrum:
        """See `lake.spectrum.find_spectrum`."""
        source = self.source(run)
        return read_spectrum(source, find_spectrum(source.table.spectra, run.path, key, value), run.path)

    def average(self, run: Run, regions: Sequence[str], ppm: float) -> pa.Table:
        """See `lake.peaks.average_spectrum`: columns ``mz``, ``intensity``.

        Raises:
            Unsupported: more points than memory is meant for.
        """
        source = self.source(run)
        rows = _rows(source, regions)
        size = int(np.maximum(source.table.spectra.n_points[rows], 0).sum())
        if size > _AVERAGED:
            raise Unsupported(f"{run.path}: the region has {size:,} points: ask for the average of fewer spectra")
        mz, intensity = average_spectrum(Scan(source), rows, ppm)
        return pa.table({"mz": number_column(mz), "intensity": number_column(intensity)})

    # -- points -------------------------------------------------------------------------------------------------
    def points(self, runs: Sequence[Run]) -> ds.Dataset:
        """Points of runs as one Arrow dataset, with the ``path`` of the run as its last column; made where missing.

        Raises:
            FormatError, Unsupported: an array cannot be read.
            InvalidInput: they are not at hand and the lake cannot be written.
        """
        import pyarrow.dataset as ds
        from pyarrow.fs import LocalFileSystem

        form, disk = ds.ParquetFileFormat(), LocalFileSystem()
        fragments = []
        for run in runs:
            if self._points_of(run.digest) is None:
                self.make_points(run)
            where = self._where(run.digest)
            if where is None:
                raise InvalidInput(f"{run.path} has no points, and the lake is read-only")
            if isinstance(where, bytes):
                file: dict[str, Any] = {"file": pa.py_buffer(where)}
            else:
                file = {"file": str(where), "filesystem": disk}
            fragments.append(form.make_fragment(**file, partition_expression=ds.field("path") == run.path))
        schemas = [fragment.physical_schema.remove_metadata() for fragment in fragments]
        # The intensities of some runs may be 32-bit floats, those of others 64-bit ones.
        wide = pa.unify_schemas(schemas, promote_options="permissive").append(pa.field("path", pa.string()))
        return ds.FileSystemDataset(fragments, wide, form, filesystem=disk)

    def make_points(self, run: Run) -> None:
        """Make and keep the points of a run, where they are missing.

        Raises:
            FormatError, Unsupported: an array cannot be read, or the file has no spectra.
        """
        source = self.source(run)
        if self._repo.readonly or self._points_of(run.digest) is not None:
            return
        with self._repo.scratch() as folder:
            path = folder / "points"
            write_points(source, path, folder)
            with self._repo.batch() as batch, open(path, "rb") as file:
                staged = batch.put_stream(file)
                stored = batch.publish()[0]
        record = ObjectRecord(staged.digest, staged.size, POINTS_KIND, stored.location, probe=stored.probe)
        artifact = Artifact(run.digest, POINTS_KIND, self._code(run.digest), target=staged.digest)
        self._repo.add_artifacts([artifact], [record])

    def _code(self, digest: Digest) -> str:
        form = region_format(self._repo.shelf.reader(digest).record.format)
        return form.planner if form is not None else ""

    def _where(self, digest: Digest) -> Path | bytes | None:
        """The file of the points, or its bytes; None where there is none."""
        code = self._code(digest)
        for artifact in self._repo.journal.artifacts(digest):
            if artifact.kind == POINTS_KIND and artifact.code == code:
                record = self._repo.journal.object(artifact.target) if artifact.target is not None else None
                path = self._repo.store.local_path(record.location) if record is not None else None
                return path if path is not None else artifact_bytes(self._repo, artifact)
        return None

    def _points_of(self, digest: Digest) -> PointsFile | None:
        with self._lock:
            known = self._points.get(digest)
            if known is not None:
                self._points.move_to_end(digest)
                return known
        try:
            where = self._where(digest)
            opened = PointsFile(where) if where is not None else None
        except LakeError as error:
            # Derived: the file itself answers too, only later.
            _log.warning("no use of the points of b3:%s: %s", digest, error)
            return None
        if opened is not None:
            with self._lock:
                self._points[digest] = opened
                while len(self._points) > _OPEN_POINTS:
                    self._points.popitem(last=False)
        return opened

    def _finder(self, run: Run, points: PointsFile | None) -> PointFinder:
        if points is None:
            return Scan(self.source(run))
        return _Sound(points, lambda: Scan(self.source(run)))


class _Sound:
    """Points; but the file itself where they turn out to be damaged, or where most of them would be read."""

    indexed = True

    def __init__(self, points: PointsFile, scan: Callable[[], Scan]) -> None:
        self._points = points
        self._scan = scan

    def find(self, rows: Rows, window: Window | None, kinds: Sequence[int]) -> Iterator[Points]:
        found: list[Points] | None = None
        if self._points.serves(rows, window):
            try:
                found = list(self._points.find(rows, window, kinds))
            except (DamagedObject, FormatError) as error:
                _log.warning("%s", error)
        yield from found if found is not None else self._scan().find(rows, window, kinds)


def _rows(source: SpectrumSource, regions: Sequence[str]) -> Rows:
    return parse_query(regions).rows(source.table.spectra)


def _seconds(rt: tuple[float, float] | None) -> tuple[float, float] | None:
    if rt is not None and not rt[0] <= rt[1]:
        raise InvalidInput(f"retention time from {rt[0]:g} to {rt[1]:g} s: the lower one comes first")
    return rt


def _chosen(rt: Reals, levels: NDArray[Any], seconds: tuple[float, float] | None, ms_level: int | None) -> Rows:
    """Rows of an MS level (None: all) and in a closed range of retention times."""
    chosen = np.ones(len(rt), np.bool_) if ms_level is None else levels == ms_level
    if seconds is not None:
        chosen &= (rt >= seconds[0]) & (rt <= seconds[1])
    return np.flatnonzero(chosen)


def _chromatogram_table(path: str, mz: Sequence[float], rows: Rows, rt: Reals, intensity: Reals) -> pa.Table:
    size = intensity.size
    times = np.tile(rt, len(mz))
    return pa.table(
        {
            "path": _repeated(path, size),
            "mz": number_column(np.repeat(np.array(mz, np.float64), len(rows))),
            "ord": number_column(np.tile(rows.astype(np.int32), len(mz))),
            "rt": present(times, np.isnan(times)),
            "intensity": number_column(intensity.reshape(-1)),
        }
    )


def _repeated(text: str, times: int) -> pa.Array:
    return column([text], pa.string()).take(number_column(np.zeros(times, np.int64)))


def _in_parallel(ask: Callable[[Run], pa.Table], runs: Sequence[Run]) -> list[pa.Table]:
    with ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="lake-runs") as pool:
        return list(pool.map(ask, runs))


def _together(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables)
