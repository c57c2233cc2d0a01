"""What can be asked of the spectra of a lake: points, chromatograms, single spectra. Light: loads nothing by itself."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from lake.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from lake.runs import Run, RunDesk
    from lake.spectrum import Spectrum
    from lake.tree import Tree

__all__ = ["SpectraView"]

PathName: TypeAlias = str | os.PathLike[str]
Paths: TypeAlias = PathName | Sequence[PathName]


class SpectraView(ABC):
    """The verbs of spectra, for a lake as it is read. Regions: ``rt=600-720&ms_level=2`` (docs/regions-spectra.md).

    Retention times are seconds, bounds closed. All verbs raise `Unsupported` of files without spectra, and
    `FormatError` where an array that is needed is damaged.
    """

    @property
    @abstractmethod
    def _run_desk(self) -> RunDesk: ...

    @abstractmethod
    def _at(self, path: PathName, ref: str | None) -> tuple[Tree, str]: ...

    @abstractmethod
    def expand(self, pattern: str, *, ref: str | None = None) -> list[str]:
        """Paths that match a shell pattern."""
        ...

    def peaks(
        self,
        path: PathName,
        regions: str | Sequence[str] = (),
        *,
        mz: tuple[float, float] | None = None,
        layout: Literal["long", "ragged"] = "long",
        columns: Sequence[str] | None = None,
        ref: str | None = None,
    ) -> pa.RecordBatchReader:
        """Points of spectra as Arrow, a batch at once (``.read_all()`` makes a table), in the order of the file.

        Args:
            path: a run.
            regions: which spectra; none: all.
            mz: only points from one m/z to another.
            layout: ``long``: a row a point; ``ragged``: a row a spectrum, with lists of points.
            columns: some of `lake.peaks.PEAK_COLUMNS`; else all but ``native_id``.
            ref: the ref to read at.

        Raises:
            InvalidRegion: of the region; InvalidInput: of anything else.
        """
        return self._run_desk.peaks(self._run(path, ref), _listed(regions), mz, layout, columns)

    def xic(
        self,
        path: Paths,
        mz: float | Sequence[float],
        ppm: float = 10,
        rt: tuple[float, float] | None = None,
        ms_level: int | None = 1,
        *,
        how: Literal["sum", "max"] = "sum",
        ref: str | None = None,
    ) -> pa.Table:
        """Extracted ion chromatograms: columns ``path``, ``mz``, ``ord``, ``rt``, ``intensity``, a row a spectrum.

        The intensity is 0 where a spectrum has no points there.

        Args:
            path: a run, several, or a pattern (``runs/*.mzML``).
            mz: one m/z or several.
            ppm: millionths to both sides.
            rt: only spectra from one time to another.
            ms_level: only spectra of this level; None: all.
            how: ``sum`` of the intensities within the tolerance, or the greatest (``max``).
            ref: the ref to read at.

        Raises:
            InvalidInput: bounds that cannot be.
        """
        masses = [mz] if isinstance(mz, (int, float)) else list(mz)
        return self._run_desk.ion_chromatograms(self._several(path, ref), masses, ppm, rt, ms_level, how)

    def tic(self, path: Paths, ms_level: int | None = 1, *, ref: str | None = None) -> pa.Table:
        """Total ion currents: columns ``path``, ``ord``, ``rt``, ``ms_level``, ``intensity``, a row a spectrum.

        As the file states them; of spectra where it does not, the sum of their intensities.
        """
        return self._run_desk.ion_currents(self._several(path, ref), ms_level)

    def spectrum(
        self,
        path: PathName,
        *,
        scan: int | None = None,
        index: int | None = None,
        id: str | None = None,
        ref: str | None = None,
    ) -> Spectrum:
        """One spectrum: of a run by scan number, place from 0 or native id; or by its USI alone.

        A USI (``mzspec:PXD000561:run:scan:17555``) means the file of the lake whose name, without suffix, is ``run``;
        where the collection is a directory of the lake, it is looked for there.

        Raises:
            NotFound: no such run or spectrum, or several; the message lists them.
            InvalidInput: not one way to name the spectrum.
        """
        from lake.usi import find_run, is_usi, parse_usi

        keys = [(key, value) for key, value in (("scan", scan), ("index", index), ("id", id)) if value is not None]
        name = os.fspath(path)
        if not is_usi(name):
            if len(keys) != 1:
                raise InvalidInput(f"name one spectrum of {name}: by scan, by index or by id")
            return self._run_desk.spectrum(self._run(path, ref), *keys[0])
        if keys:
            raise InvalidInput("a USI names its spectrum itself")
        usi = parse_usi(name)
        tree, _ = self._at("", ref)
        found = find_run(usi, (entry.path for entry in tree.walk("")))
        return self._run_desk.spectrum(self._run(found, ref), usi.kind, usi.value).named(name, usi.interpretation)

    def average(
        self, path: PathName, regions: str | Sequence[str] = (), ppm: float = 10, *, ref: str | None = None
    ) -> pa.Table:
        """The mean of the spectra of a region: columns ``mz``, ``intensity``. Meant for centroided spectra.

        Points no further than ``ppm`` from their neighbour become one.
        """
        return self._run_desk.average(self._run(path, ref), _listed(regions), ppm)

    def points(self, path: Paths, *, ref: str | None = None) -> ds.Dataset:
        """All points of runs as an Arrow dataset of which `sql` reads only what a query needs; made where missing.

            lk.sql("SELECT ord, sum(intensity) FROM peaks WHERE mz BETWEEN 445.11 AND 445.13 GROUP BY ord",
                   peaks=lk.points("runs/*.mzML"))

        Columns: ``ord``, ``ms_level``, ``rt``, ``precursor_mz``, ``mz``, ``intensity``, ``ion_mobility``, ``path``.

        Raises:
            InvalidInput: they are not at hand, and the lake cannot be written.
        """
        return self._run_desk.points(self._several(path, ref))

    def _run(self, path: PathName, ref: str | None) -> Run:
        from lake.runs import Run

        tree, cleaned = self._at(path, ref)
        return Run(tree.file(cleaned).hex, cleaned)

    def _several(self, paths: Paths, ref: str | None) -> list[Run]:
        patterns = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        found = [self._run(path, ref) for pattern in patterns for path in self.expand(os.fspath(pattern), ref=ref)]
        if not found:
            raise InvalidInput("name a run, or several")
        return found


def _listed(regions: str | Sequence[str]) -> list[str]:
    return [regions] if isinstance(regions, str) else list(regions)
