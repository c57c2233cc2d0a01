"""The six tasks of mzsql (Kumler 2025) on one run, beside the readers of the field and DuckDB over all points.

    python -m tests.benchmarks.mzsql run.mzML

Each task begins with nothing open, in a process that is running, with the file in the page cache: an MS1 spectrum by
its scan number; the chromatogram of an ion, ±10 ppm; all MS1 points within a minute of its apex; an MS2 spectrum by
scan number; all points of the MS2 spectra of a precursor, ±10 ppm; all MS2 points of a fragment, ±10 ppm. The other
readers use the index of the file, and what they have for the task. All have to find as many points; of the
chromatogram, as many spectra that have some.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

import lake
from tests.benchmarks.measuring import Contestant, Figure, arguments_of, interleave, present, read_through, scratch

__all__ = ["main"]

_PPM = 10
_MINUTE = 60


class Targets(NamedTuple):
    """What the tasks ask for."""

    first: int
    """Scan number of an MS1 spectrum."""
    second: int
    """Scan number of an MS2 spectrum."""
    mz: float
    """An ion of MS1."""
    apex: float
    """Its retention time in seconds."""
    precursor: float
    fragment: float


Points = int
Task = Callable[[Targets], Points]


def _around(mz: float) -> tuple[float, float]:
    return mz * (1 - _PPM * 1e-6), mz * (1 + _PPM * 1e-6)


class _Lake:
    """This lake, with and without points."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _peaks(self, *regions: str, mz: tuple[float, float] | None = None) -> Points:
        with lake.open(self._root, readonly=True) as lk:
            return sum(batch.num_rows for batch in lk.peaks("run.mzML", regions, mz=mz))

    def _chromatogram(self, mz: float) -> Points:
        with lake.open(self._root, readonly=True) as lk:
            return int(np.count_nonzero(lk.xic("run.mzML", mz, _PPM).column("intensity")))

    def _spectrum(self, scan: int) -> Points:
        with lake.open(self._root, readonly=True) as lk:
            return len(lk.spectrum("run.mzML", scan=scan).mz)

    def tasks(self) -> list[Task]:
        low, high = 1 - _PPM * 1e-6, 1 + _PPM * 1e-6
        return [
            lambda ask: self._spectrum(ask.first),
            lambda ask: self._chromatogram(ask.mz),
            lambda ask: self._peaks(f"ms_level=1&rt={max(0, ask.apex - _MINUTE)}-{ask.apex + _MINUTE}"),
            lambda ask: self._spectrum(ask.second),
            lambda ask: self._peaks(f"ms_level=2&precursor_mz={ask.precursor * low!r}-{ask.precursor * high!r}"),
            lambda ask: self._peaks("ms_level=2", mz=_around(ask.fragment)),
        ]


class _Walk:
    """Spectra one by one, as ``(level, seconds, precursor, m/z)``, for readers that can search in no other way."""

    def __init__(self, each: Callable[[], Iterator[tuple[int, float, float, Any]]], one: Callable[[int], int]) -> None:
        self._each = each
        self._one = one

    def tasks(self) -> list[Task]:
        return [
            lambda ask: self._one(ask.first),
            lambda ask: self._count(1, _around(ask.mz), spectra=True),
            lambda ask: self._count(1, rt=(ask.apex - _MINUTE, ask.apex + _MINUTE)),
            lambda ask: self._one(ask.second),
            lambda ask: self._count(2, precursor=_around(ask.precursor)),
            lambda ask: self._count(2, _around(ask.fragment)),
        ]

    def _count(
        self,
        level: int,
        mz: tuple[float, float] = (0, np.inf),
        rt: tuple[float, float] = (-np.inf, np.inf),
        precursor: tuple[float, float] | None = None,
        *,
        spectra: bool = False,
    ) -> Points:
        found = 0
        for own_level, seconds, own_precursor, masses in self._each():
            if own_level != level or not rt[0] <= seconds <= rt[1]:
                continue
            if precursor is None or precursor[0] <= own_precursor <= precursor[1]:
                inside = int(((masses >= mz[0]) & (masses <= mz[1])).sum())
                found += min(inside, 1) if spectra else inside
        return found


def _pyteomics(path: Path) -> _Walk:
    from pyteomics import mzml

    def each() -> Iterator[tuple[int, float, float, Any]]:
        with mzml.PreIndexedMzML(str(path)) as spectra:
            for spectrum in spectra:
                time = spectrum["scanList"]["scan"][0]["scan start time"]
                seconds = float(time) * (60 if time.unit_info == "minute" else 1)
                precursor = np.nan
                if spectrum["ms level"] > 1:
                    ion = spectrum["precursorList"]["precursor"][0]["selectedIonList"]["selectedIon"][0]
                    precursor = float(ion["selected ion m/z"])
                yield spectrum["ms level"], seconds, precursor, spectrum["m/z array"]

    def one(scan: int) -> int:
        with mzml.PreIndexedMzML(str(path)) as spectra:
            return len(spectra.get_by_id(_native_id(path, scan))["m/z array"])

    return _Walk(each, one)


def _pymzml(path: Path) -> _Walk:
    import pymzml

    def each() -> Iterator[tuple[int, float, float, Any]]:
        with pymzml.run.Reader(str(path)) as spectra:
            for spectrum in spectra:
                level = spectrum.ms_level
                precursor = spectrum.selected_precursors[0]["mz"] if level > 1 else np.nan
                yield level, spectrum.scan_time_in_minutes() * 60, precursor, spectrum.mz

    def one(scan: int) -> int:
        with pymzml.run.Reader(str(path)) as spectra:
            return len(spectra[scan].mz)

    return _Walk(each, one)


def _pyopenms(path: Path) -> _Walk:
    import pyopenms

    def each() -> Iterator[tuple[int, float, float, Any]]:
        experiment = pyopenms.MSExperiment()
        pyopenms.MzMLFile().load(str(path), experiment)
        for spectrum in experiment:
            precursors = spectrum.getPrecursors()
            precursor = precursors[0].getMZ() if precursors else np.nan
            yield spectrum.getMSLevel(), spectrum.getRT(), precursor, spectrum.get_peaks()[0]

    def one(scan: int) -> int:
        experiment = pyopenms.OnDiscMSExperiment()
        experiment.openFile(str(path))
        wanted = _native_id(path, scan)
        meta = experiment.getMetaData()
        for number in range(meta.getNrSpectra()):
            if meta[number].getNativeID() == wanted:
                return len(experiment.getSpectrum(number).get_peaks()[0])
        raise AssertionError(f"no scan {scan}")

    return _Walk(each, one)


_FORM: dict[Path, str] = {}


def _native_id(path: Path, scan: int) -> str:
    """Known beforehand, as whoever asks by scan number knows what his instrument writes."""
    return _FORM[path].replace("{}", str(scan))


class _DuckDb:
    """A table of all points, as mzsql has it: by MS level, sorted by m/z."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def fill(self, points: Path, spectra: Any) -> None:
        import duckdb

        with duckdb.connect(str(self._database)) as connection:
            connection.execute(
                "CREATE TABLE points AS SELECT p.*, s.scan FROM read_parquet(?) p JOIN spectra s USING (ord) "
                "ORDER BY p.ms_level, mz",
                [str(points)],
            )

    def _ask(self, condition: str, *values: float, columns: str = "rt, mz, intensity") -> Points:
        import duckdb

        with duckdb.connect(str(self._database), read_only=True) as connection:
            table = connection.sql(f"SELECT {columns} FROM points WHERE {condition}", params=values)
            return sum(batch.num_rows for batch in table.to_arrow_reader(1 << 16))

    def tasks(self) -> list[Task]:
        return [
            lambda ask: self._ask("scan = ?", ask.first),
            lambda ask: self._ask(
                "ms_level = 1 AND mz BETWEEN ? AND ? GROUP BY rt", *_around(ask.mz), columns="rt, sum(intensity)"
            ),
            lambda ask: self._ask("ms_level = 1 AND rt BETWEEN ? AND ?", ask.apex - _MINUTE, ask.apex + _MINUTE),
            lambda ask: self._ask("scan = ?", ask.second),
            lambda ask: self._ask("ms_level = 2 AND precursor_mz BETWEEN ? AND ?", *_around(ask.precursor)),
            lambda ask: self._ask("ms_level = 2 AND mz BETWEEN ? AND ?", *_around(ask.fragment)),
        ]


_TASKS = ("MS1 scan", "chromatogram", "RT range", "MS2 scan", "precursor", "fragment")


def _targets(root: Path) -> Targets:
    with lake.open(root, readonly=True) as lk:
        table = lk.peaks("run.mzML", layout="ragged", columns=["ord", "ms_level", "rt", "precursor_mz"]).read_all()
        about = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
        first = np.flatnonzero(about["ms_level"] == 1)
        second = np.flatnonzero(about["ms_level"] == 2)
        middle, later = (lk.spectrum("run.mzML", index=int(rows[len(rows) // 2])) for rows in (first, second))
        return Targets(
            middle.facts["scan"],
            later.facts["scan"],
            float(middle.mz[int(np.argmax(middle.intensity))]),
            float(about["rt"][middle.ord]),
            later.facts["precursor_mz"],
            float(later.mz[int(np.argmax(later.intensity))]),
        )


def _prepare(path: Path, folder: Path) -> tuple[Targets, dict[str, list[Task]]]:
    plain, pointed = folder / "plain", folder / "points"
    with lake.init(plain) as lk:
        lk.put(path, "run.mzML")
        lk.peaks("run.mzML", "index=0").read_all()
        known = lk.facts("run.mzML")["spectra"]
    shutil.copytree(plain, pointed)
    with lake.open(pointed) as lk:
        lk.index("run.mzML", points=True)
        [parquet] = lk.points("run.mzML").files
    scan, name = known.column("scan")[0].as_py(), known.column("native_id")[0].as_py()
    _FORM[path] = name.replace(f"scan={scan}", "scan={}")
    database = _DuckDb(folder / "points.duckdb")
    database.fill(Path(parquet), known)
    sizes = {"points": Path(parquet).stat().st_size, "DuckDB": (folder / "points.duckdb").stat().st_size}
    print(f"{path.stat().st_size / 1e6:.1f} MB, {known.num_rows:,} spectra,", end=" ")
    print(
        f"{pq.ParquetFile(parquet).metadata.num_rows:,} points; MB:", {k: round(v / 1e6, 1) for k, v in sizes.items()}
    )
    return _targets(plain), {
        "lake": _Lake(plain).tasks(),
        "lake, points": _Lake(pointed).tasks(),
        "DuckDB": database.tasks(),
        "pymzML": _pymzml(path).tasks(),
        "pyteomics": _pyteomics(path).tasks(),
        "pyOpenMS": _pyopenms(path).tasks(),
    }


def main(arguments: Sequence[str] | None = None) -> list[Figure]:
    parser = arguments_of(__doc__ or "", 3)
    parser.add_argument("run", type=Path, help="an mzML that is indexed and has scan numbers in its native ids")
    parser.add_argument("--only", default="", help="contestants, divided by semicolons")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    figures: list[Figure] = []
    with scratch(given.work) as folder:
        read_through(given.run)
        targets, everyone = _prepare(given.run, folder)
        chosen = {name: tasks for name, tasks in everyone.items() if not given.only or name in given.only.split(";")}
        bounds = {("lake", 0): 30, ("lake", 1): 250, ("lake", 4): 50, ("lake, points", 1): 10}
        for number, task in enumerate(_TASKS):
            asks = {name: partial(tasks[number], targets) for name, tasks in chosen.items()}
            found = {name: ask() for name, ask in asks.items()}
            if len(set(found.values())) > 1:
                print(f"{task}: not the same points: {found}")
            for name, taken in zip(
                asks, interleave([Contestant(*pair) for pair in asks.items()], given.turns), strict=True
            ):
                most = bounds.get((name, number))
                note = f"{found[name]:,} points"
                figures += present([Figure(f"{task}, {name}", taken.median * 1e3, "ms", at_most=most, note=note)])
    return figures


if __name__ == "__main__":
    main()
