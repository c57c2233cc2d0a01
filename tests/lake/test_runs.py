"""Points of spectra, chromatograms, single spectra: against a plain model, and against pyteomics on real files."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from lake.errors import DamagedObject, FormatError, InvalidInput, InvalidRegion, NotFound, Unsupported
from lake.formats.spectra.source import EncodedSource
from lake.lake import Lake
from lake.peaks import PEAK_COLUMNS, tolerance
from lake.points import PointsFile, write_points
from tests.formats.spectra.run_maker import MadeSpectrum, make_mzml, some_spectra

RUN = some_spectra(60, seed=3)


def _put(lk: Lake, folder: Path, name: str, content: bytes) -> str:
    source = folder / name.replace("/", "-")
    source.write_bytes(content)
    lk.put(source, name)
    return name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """``a.mzML`` with points and ``b.mzML`` without, of the same spectra in other bytes; ``light.mzML``; a text."""
    folder = tmp_path_factory.mktemp("runs")
    with Lake.init(folder / "lake") as lk:
        _put(lk, folder, "a.mzML", make_mzml(RUN))
        _put(lk, folder, "b.mzML", make_mzml(RUN, tic=True))
        _put(lk, folder, "light.mzML", make_mzml(some_spectra(3), horizontal="wavelength"))
        _put(lk, folder, "note.txt", b"nothing\n")
        lk.index("a.mzML", points=True)
        yield lk


def _model(chosen: list[int], low: float, high: float) -> list[tuple[int, float, float]]:
    return [
        (place, mz, intensity)
        for place in chosen
        for mz, intensity in zip(RUN[place].mz.tolist(), RUN[place].intensity.tolist(), strict=True)
        if low <= mz <= high
    ]


def _rows(table: pa.Table) -> list[tuple[int, float, float]]:
    return list(zip(*(table.column(name).to_pylist() for name in ("ord", "mz", "intensity")), strict=True))


def _precursor(place: int) -> float | None:
    return RUN[place].precursor


COMMON = sorted({mz for spectrum in RUN for mz in spectrum.mz.tolist() if round(mz, 4) == mz})


@pytest.mark.parametrize("path", ["a.mzML", "b.mzML"])
@pytest.mark.parametrize("mz", [None, (300.0, 350.0), (COMMON[3], COMMON[3]), (2000.0, 3000.0)])
def test_peaks_are_those_of_the_file(runs: Lake, path: str, mz: tuple[float, float] | None) -> None:
    low, high = mz or (0, 1e9)
    everything = list(range(len(RUN)))
    assert _rows(runs.peaks(path, mz=mz).read_all()) == _model(everything, low, high)
    second = [place for place in everything if RUN[place].level == 2]
    table = runs.peaks(path, "ms_level=2", mz=mz).read_all()
    assert _rows(table) == _model(second, low, high)
    assert table.column("rt").to_pylist() == [RUN[place].rt for place in table.column("ord").to_pylist()]
    assert table.column("precursor_mz").to_pylist() == [_precursor(place) for place in table.column("ord").to_pylist()]
    assert table.column("ion_mobility").null_count == table.num_rows


@pytest.mark.parametrize("path", ["a.mzML", "b.mzML"])
def test_ragged_peaks_have_a_row_for_every_spectrum(runs: Lake, path: str) -> None:
    table = runs.peaks(path, "index=3-9", mz=(300, 500), layout="ragged").read_all()
    assert table.column("ord").to_pylist() == list(range(3, 10))
    for row in table.to_pylist():
        expected = _model([row["ord"]], 300, 500)
        assert list(zip(row["mz"], row["intensity"], strict=True)) == [point[1:] for point in expected]


def test_columns_of_peaks(runs: Lake) -> None:
    table = runs.peaks("a.mzML", "scan=2", columns=["native_id", "mz"]).read_all()
    assert table.column_names == ["native_id", "mz"]
    assert set(table.column("native_id").to_pylist()) == {"scan=2"}
    for name, kind in PEAK_COLUMNS.items():
        assert runs.peaks("a.mzML", columns=[name]).schema.field(name).type == kind
    with pytest.raises(InvalidInput, match="no column 'charge'"):
        runs.peaks("a.mzML", columns=["charge"])
    with pytest.raises(InvalidInput, match="layout"):
        runs.peaks("a.mzML", layout="wide")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="the lower one comes first"):
        runs.peaks("a.mzML", mz=(500, 400))
    with pytest.raises(InvalidRegion):
        runs.peaks("a.mzML", "rt=9-1")


@pytest.mark.parametrize("how", ["sum", "max"])
def test_chromatograms_with_and_without_points(runs: Lake, how: Any) -> None:
    masses = [COMMON[2], COMMON[5]]
    table = runs.xic(["a.mzML", "b.mzML"], masses, 5, (2.0, 20.0), how=how)
    chosen = [place for place, spectrum in enumerate(RUN) if spectrum.level == 1 and 2 <= spectrum.rt <= 20]
    expected = []
    for mz in masses:
        low, high = tolerance(mz, 5)
        for place in chosen:
            inside = [intensity for _, _, intensity in _model([place], low, high)]
            expected.append(float((max if how == "max" else sum)(inside)) if inside else 0.0)
    for path in ("a.mzML", "b.mzML"):
        part = table.filter(pa.array([name == path for name in table.column("path").to_pylist()]))
        assert part.column("ord").to_pylist() == chosen * 2
        assert part.column("mz").to_pylist() == [mz for mz in masses for _ in chosen]
        assert part.column("rt").to_pylist() == [RUN[place].rt for place in chosen] * 2
        assert np.allclose(part.column("intensity").to_numpy(), expected, rtol=1e-12)
    assert sum(expected) > 0


def test_chromatograms_of_bounds_that_cannot_be(runs: Lake) -> None:
    for mz, ppm, rt in ((-1, 10, None), (500, -1, None), (float("nan"), 1, None), (500, 10, (3.0, 2.0))):
        with pytest.raises(InvalidInput):
            runs.xic("a.mzML", mz, ppm, rt)
    with pytest.raises(InvalidInput, match="summed"):
        runs.xic("a.mzML", 500, how="mean")  # type: ignore[arg-type]
    assert runs.xic("a.mzML", [], 10).num_rows == 0
    with pytest.raises(NotFound):
        runs.xic("nowhere/*.mzML", 500)
    with pytest.raises(Unsupported, match=r"note.txt is text: it has no spectra that can be read"):
        runs.xic("note.txt", 500)


def test_all_levels_and_patterns(runs: Lake) -> None:
    assert runs.xic("?.mzML", COMMON[0], ms_level=None).num_rows == 2 * len(RUN)


@pytest.mark.parametrize("path", ["a.mzML", "b.mzML"])
def test_total_ion_currents(runs: Lake, path: str) -> None:
    table = runs.tic(path)
    first = [spectrum for spectrum in RUN if spectrum.level == 1]
    assert table.column("rt").to_pylist() == [spectrum.rt for spectrum in first]
    assert np.allclose(table.column("intensity").to_numpy(), [float(each.intensity.sum()) for each in first], rtol=1e-6)
    assert runs.tic(path, None).num_rows == len(RUN)


def test_one_spectrum(runs: Lake) -> None:
    for spectrum in (
        runs.spectrum("a.mzML", scan=6),
        runs.spectrum("a.mzML", index=5),
        runs.spectrum("a.mzML", id="scan=6"),
        runs.spectrum("mzspec:USI000000:a:scan:6:PEPTIDE/2"),
        runs.spectrum("mzspec:lake:a.mzML:nativeId:6"),
    ):
        assert spectrum.ord == 5
        assert np.array_equal(spectrum.mz, RUN[5].mz)
        assert np.array_equal(spectrum.intensity, RUN[5].intensity)
    proxi = runs.spectrum("mzspec:USI000000:a:scan:6:PEPTIDE/2").as_proxi()
    assert proxi["usi"] == "mzspec:USI000000:a:scan:6:PEPTIDE/2"
    assert proxi["interpretations"] == ["PEPTIDE/2"]
    assert proxi["mzs"] == RUN[5].mz.tolist()
    named = {each["accession"]: each["value"] for each in proxi["attributes"]}
    assert named["MS:1000511"] == "2"
    assert float(named["MS:1000744"]) == _precursor(5)
    assert float(named["MS:1000894"]) == RUN[5].rt
    assert "MS:1000127" in named
    missing: list[dict[str, Any]] = [{"scan": 1000}, {"index": 60}, {"index": -1}, {"scan": -1}, {"id": "scan=x"}]
    for key in missing:
        with pytest.raises(NotFound, match=r"a\.mzML has no spectrum"):
            runs.spectrum("a.mzML", **key)
    with pytest.raises(InvalidInput, match="name one spectrum"):
        runs.spectrum("a.mzML")
    with pytest.raises(InvalidInput, match="name one spectrum"):
        runs.spectrum("a.mzML", scan=1, index=0)
    with pytest.raises(InvalidInput, match="names its spectrum itself"):
        runs.spectrum("mzspec:lake:a:scan:6", scan=6)


def test_a_scan_number_that_several_spectra_have(tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lk:
        _put(lk, tmp_path, "x.mzML", make_mzml([spectrum._replace(scan=4) for spectrum in RUN[:3]]))
        with pytest.raises(NotFound, match="3 spectra with scan 4: ask for one of index=0, index=1, index=2"):
            lk.spectrum("x.mzML", scan=4)


def test_the_average_of_spectra(runs: Lake, tmp_path: Path) -> None:
    first = MadeSpectrum(1, np.array([100.0, 200.0]), np.array([30.0, 4.0]))
    second = MadeSpectrum(2, np.array([100.0005, 300.0]), np.array([10.0, 0.0]))
    with Lake.init(tmp_path / "lake") as lk:
        _put(lk, tmp_path, "x.mzML", make_mzml([first, second]))
        table = lk.average("x.mzML", ppm=10)
        assert np.allclose(table.column("mz").to_numpy(), [100.000125, 200, 300], rtol=1e-12)
        assert table.column("intensity").to_pylist() == [20, 2, 0]
        assert lk.average("x.mzML", ppm=1).num_rows == 4
        assert lk.average("x.mzML", "rt=50-60").num_rows == 0
    with pytest.raises(InvalidInput):
        runs.average("a.mzML", ppm=-1)


def test_the_average_of_too_much(runs: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.runs._AVERAGED", 10)
    with pytest.raises(Unsupported, match=r"a\.mzML: the region has .* points: ask for the average of fewer spectra"):
        runs.average("a.mzML")


def test_spectra_without_masses(runs: Lake) -> None:
    assert runs.peaks("light.mzML").read_all().num_rows == 0
    assert len(runs.peaks("light.mzML", layout="ragged").read_all()) == 3


# -- points -------------------------------------------------------------------------------------------------------


def test_points_in_sql(runs: Lake) -> None:
    points = runs.points(["a.mzML", "b.mzML"])
    low, high = tolerance(COMMON[4], 5)
    query = "SELECT path, ord, mz, intensity FROM p WHERE ms_level = 1 AND mz BETWEEN ? AND ? ORDER BY ALL"
    rows = runs.sql(query, [low, high], p=points).fetchall()
    expected = _model([place for place, spectrum in enumerate(RUN) if spectrum.level == 1], low, high)
    assert rows == [(path, *point) for path in ("a.mzML", "b.mzML") for point in expected]


def _points_file(source: EncodedSource, folder: Path) -> PointsFile:
    write_points(source, folder / "points", folder)
    return PointsFile(folder / "points")


def _decoded(content: bytes) -> EncodedSource:
    from lake.formats.reader import BytesReader
    from lake.formats.spectra.mzml import scan_mzml

    reader = BytesReader(content)
    return EncodedSource(reader, scan_mzml(reader))


def test_points_that_do_not_fit_into_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.points._BUCKET", 100)
    monkeypatch.setattr("lake.points._GROUP", 64)
    source = _decoded(make_mzml(RUN))
    points = _points_file(source, tmp_path)
    everything = np.arange(len(RUN))
    [found] = points.find(everything, None, (1000514, 1000515))
    expected = _model(everything.tolist(), 0, 1e9)
    assert list(zip(found.owners().tolist(), found.values[1000514].tolist(), strict=True)) == [
        point[:2] for point in expected
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["points"]


def test_a_wide_window_is_answered_from_the_file(runs: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.points._AT_ONCE", 0)
    monkeypatch.setattr(PointsFile, "find", None)
    assert _rows(runs.peaks("a.mzML", mz=(300, 500)).read_all()) == _model(list(range(len(RUN))), 300, 500)


def test_spectra_that_are_not_sorted_are_answered_from_the_file(tmp_path: Path) -> None:
    mz = np.array([500.0, 100.0, 500.001])
    with Lake.init(tmp_path / "lake") as lk:
        _put(lk, tmp_path, "x.mzML", make_mzml([MadeSpectrum(1, mz, mz)]))
        before = lk.peaks("x.mzML", mz=(99, 501)).read_all()
        lk.index("x.mzML", points=True)
        assert lk.peaks("x.mzML", mz=(99, 501)).read_all().equals(before)
        assert lk.xic("x.mzML", 500).column("intensity").to_pylist() == [1000.001]


def test_masses_that_are_no_numbers_are_in_no_window(tmp_path: Path) -> None:
    mz = np.array([100.0, np.nan, 200.0, np.inf])
    points = _points_file(_decoded(make_mzml([MadeSpectrum(1, mz, np.ones(4))])), tmp_path)
    [found] = points.find(np.arange(1), tolerance(200, 10), (1000514,))
    assert found.values[1000514].tolist() == [200]


def test_ion_mobility_of_points(tmp_path: Path) -> None:
    plain = MadeSpectrum(1, np.array([100.0, 200.0]), np.ones(2))
    points = _points_file(_decoded(make_mzml([plain._replace(mobility=np.array([0.5, 0.75])), plain])), tmp_path)
    [found] = points.find(np.arange(2), tolerance(200, 10), (1002893,))
    assert np.array_equal(found.values[1002893], [0.75, np.nan], equal_nan=True)


def test_damaged_points_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = make_mzml(some_spectra(300, seed=9, most=400))
    points = _points_file(_decoded(content), tmp_path)
    [found] = points.find(np.arange(300), tolerance(500, 1000), (1000514, 1000515))
    good = (tmp_path / "points").read_bytes()
    noticed = 0
    for at in range(8, len(good), len(good) // 60):
        bad = bytearray(good)
        bad[at] ^= 0x10
        try:
            [other] = PointsFile(bytes(bad)).find(np.arange(300), tolerance(500, 1000), (1000514, 1000515))
        except (FormatError, DamagedObject):
            noticed += 1
            continue
        for kind, values in found.values.items():
            assert np.array_equal(values, other.values[kind])
    assert noticed > 20

    with Lake.init(tmp_path / "lake") as lk:
        _put(lk, tmp_path, "x.mzML", content)
        before = lk.xic("x.mzML", 500, 1000)
        lk.index("x.mzML", points=True)
        [artifact] = [each for each in lk.repo.journal.artifacts(lk.reader("x.mzML").source) if each.kind == "points/1"]
        assert artifact.target is not None
        record = lk.repo.journal.object(artifact.target)
        assert record is not None
        where = lk.repo.store.local_path(record.location)
        assert where is not None
        where.chmod(0o644)
        where.write_bytes(bytes(len(good)))
        assert lk.xic("x.mzML", 500, 1000).equals(before)
    assert "points of" in caplog.text


def test_a_damaged_array_is_an_error_that_names_the_spectrum(tmp_path: Path) -> None:
    content = make_mzml(RUN[:6])
    at = content.rindex(b"<binary>") + 12
    with Lake.init(tmp_path / "lake") as lk:
        _put(lk, tmp_path, "x.mzML", content[:at] + b"AAAA" + content[at + 4 :])
        assert lk.peaks("x.mzML", "index=0-4").read_all().num_rows == sum(len(each.mz) for each in RUN[:5])
        with pytest.raises(FormatError, match=r"spectrum 5 \(scan=6\)"):
            lk.peaks("x.mzML").read_all()
        with pytest.raises(FormatError, match=r"spectrum 5 \(scan=6\)"):
            lk.index("x.mzML", points=True)


def test_a_lake_that_cannot_be_written_makes_no_points(tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lk:
        _put(lk, tmp_path, "x.mzML", make_mzml(RUN))
        lk.peaks("x.mzML").read_all()
    with Lake.open_at(tmp_path / "lake", readonly=True) as lk:
        assert lk.xic("x.mzML", COMMON[0]).num_rows > 0
        lk.index("x.mzML", points=True)
        with pytest.raises(InvalidInput, match="read-only"):
            lk.points("x.mzML")


# -- real files ---------------------------------------------------------------------------------------------------


def _judged(path: Path) -> list[tuple[int | None, NDArray[Any], NDArray[Any]]]:
    """MS level, m/z and intensities of every spectrum, from pyteomics."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyteomics import mzml

        with mzml.read(io.BytesIO(content), use_index=False) as spectra:
            return [(each.get("ms level"), each["m/z array"], each["intensity array"]) for each in spectra]


def test_chromatograms_of_real_runs(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "massspec"
    with Lake.init(tmp_path / "lake") as lk:
        for name in ("OpenMS__GNPSExport_mzml1.mzML", "RaMS__S30657.mzML.gz", "mzdata__diaPASEF.mzML"):
            lk.put(folder / name, name)
            judged = _judged(folder / name)
            first = [each for each in judged if each[0] == 1]
            highest = max(first, key=lambda each: float(each[2].max(initial=0)))
            mz = float(highest[1][int(np.argmax(highest[2]))])
            low, high = tolerance(mz, 10)
            expected = [float(heights[(at >= low) & (at <= high)].astype(float).sum()) for _, at, heights in first]
            for points in (False, True):
                if points:
                    lk.index(name, points=True)
                table = lk.xic(name, mz)
                assert np.allclose(table.column("intensity").to_numpy(), expected, rtol=1e-9)
                assert sum(expected) > 0
            for low, high in ((147.11, 147.12), (300, 310)):
                found = lk.peaks(name, mz=(low, high)).read_all()
                expected = [mz for _, at, _ in judged for mz in at[(at >= low) & (at <= high)].tolist()]
                assert found.column("mz").to_pylist() == expected


def test_ion_mobility_of_a_real_run(tmp_path: Path, shared_data: Path) -> None:
    with Lake.init(tmp_path / "lake") as lk:
        lk.put(shared_data / "massspec/mzdata__diaPASEF.mzML", "dia.mzML")
        table = lk.peaks("dia.mzML", "index=0").read_all()
        assert table.column("ion_mobility").null_count == 0
        assert 0.5 < table.column("ion_mobility")[0].as_py() < 2


def test_points_of_every_format_give_the_same_answers(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "massspec"
    with Lake.init(tmp_path / "lake") as lk:
        names = ("mzdata__small.mgf", "mzdata__Example_Processed.ibd", "mzdata__Example_Processed.imzML")
        lk.put([folder / name for name in (*names, "OpenMS__test_old.mzMLb", "RaMS__uv_test_mini.mzML.gz")], "ms/")
        for entry in lk.ls("ms"):
            if entry.format == "ibd":
                continue
            peaks = lk.peaks(entry.path, mz=(300, 420)).read_all()
            chromatogram = lk.xic(entry.path, 400, 20_000, ms_level=None)
            assert peaks.num_rows > 500
            lk.index(entry.path, points=True)
            assert lk.peaks(entry.path, mz=(300, 420)).read_all().equals(peaks)
            assert lk.xic(entry.path, 400, 20_000, ms_level=None).equals(chromatogram)
            table = lk.peaks(entry.path, mz=(300, 420), columns=["mz"]).read_all()
            assert table.column("mz").equals(peaks.column("mz"))
