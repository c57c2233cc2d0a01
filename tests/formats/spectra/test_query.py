"""Regions of spectra: the grammar, its canonical text, and what is selected, against a model of plain Python."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import InvalidRegion
from lake.formats.reader import BytesReader
from lake.formats.spectra.mzml import scan_mzml
from lake.formats.spectra.query import CONDITIONS, parse_query
from lake.formats.spectra.table import SpectrumTable
from tests.formats.spectra.judges import pyteomics_spectra
from tests.formats.spectra.tables import made_spectra, made_traces


def _rows(table: SpectrumTable, *regions: str) -> list[int]:
    return [int(row) for row in parse_query(regions).rows(table)]


class TestText:
    @pytest.mark.parametrize(
        "spellings",
        [
            (
                "scan=1-100 250-",
                "scan=250-,1-100",
                "scan=[1,100] [250,]".replace("[250,]", "250-"),
                "scan=1-50,51-100,250-",
            ),
            (
                "rt=600-720&ms_level=2",
                "ms_level=2&rt=10min-12min",
                "rt=600s-720.0s&ms_level=2-2",
                "rt=6e2-7.2e2&ms_level=2",
            ),
            ("precursor_mz=445.12~0.01", "precursor_mz=445.11-445.13", "precursor_mz=445.12~0.01Da"),
            ("precursor_mz=500~10ppm", "precursor_mz=499.995-500.005"),
            ("charge=2,3", "charge=3%2C2", "charge=2-3", "charge=[2,3]"),
            ("polarity=+", "polarity=positive", "polarity=%2B", "polarity=1"),
            ("activation=HCD", "activation=hcd", "activation=MS:1002481,ms:1000422"),
            ("id=scan=5,scan=7", "id=scan=7,scan%3D5,scan=5"),
            (
                "chromatograms=445.3~123.1",
                "chromatograms=445.25-445.35~123.05-123.15",
                "chromatograms=445.3~123.1~0.05",
            ),
            ("", ".", "chromatograms=all"),
            ("rt=0.1min-0.3min", "rt=6-18"),
            ("isolation=445.3", "isolation=445.30-445.3"),
        ],
    )
    def test_is_the_same_for_the_same_question(self, spellings: tuple[str, ...]) -> None:
        assert len({str(parse_query([text])) for text in spellings}) == 1

    def test_of_several_regions_is_a_set(self) -> None:
        assert str(parse_query(["scan=2", "rt=-5", "scan=2"])) == str(parse_query(["rt=-5", "scan=2"]))

    def test_reads_back_as_itself(self) -> None:
        text = "scan=1-9;rt=-0.5,600-&charge=0;id=a%2Cb%26c&activation=MS:1000133;chromatograms=445.25-445.35~"
        once = str(parse_query(text.split(";")))
        assert str(parse_query(once.split(";"))) == once

    @pytest.mark.parametrize("regions", [(), ("",), (".",), ("ms_level=2", "."), ("chromatograms=all",)])
    def test_knows_the_whole_file(self, regions: tuple[str, ...]) -> None:
        assert parse_query(regions).everything

    @pytest.mark.parametrize(
        ("region", "says"),
        [
            ("msLevel=2", "was ms_level meant"),
            ("colour=red", "there are scan, index, id"),
            ("scan", "write scan=VALUE"),
            ("rt=", "no value"),
            ("rt=600-720&", "not a condition"),
            ("rt=720-600", "reversed"),
            ("scan=9-1", "reversed"),
            ("rt=nan", "not a range"),
            ("rt=inf-", "not a range"),
            ("rt=600", "say how near"),
            ("precursor_mz=445.12", "say how near"),
            ("rt=10-12min", "write it at both"),
            ("rt=1d-2d", "units are s, sec, min, h"),
            ("precursor_mz=1ppm-2ppm", "not a unit"),
            ("rt=5~10ppm", "not a unit"),
            ("rt=1e999-", "too large"),
            ("scan=1.5", "whole number"),
            ("scan=,", "missing"),
            ("scan=1&scan=2", "given twice"),
            ("polarity=x", "no polarity"),
            ("activation=magic", "HCD"),
            ("id=a,,b", "missing"),
            ("chromatograms=5", "PRECURSOR~PRODUCT"),
            ("chromatograms=~", "PRECURSOR~PRODUCT"),
            ("chr20:1-100", "not a condition"),
            ("\udcff=\udcff", "not a condition"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, region: str, says: str) -> None:
        with pytest.raises(InvalidRegion, match=says):
            parse_query([region])


class TestRows:
    def test_bounds_are_closed(self) -> None:
        table = made_spectra(4, rt=[599.99, 600.0, 720.0, 720.01], scan=[1, 2, 3, 4])
        assert _rows(table, "rt=600-720") == [1, 2]
        assert _rows(table, "rt=10min-12min") == [1, 2]
        assert _rows(table, "scan=2-3") == [1, 2]
        assert _rows(table, "scan=-2,4-") == [0, 1, 3]

    def test_what_is_not_stated_matches_nothing(self) -> None:
        table = made_spectra(1, native_id=["a"])
        for region in (
            "scan=-9",
            "rt=-9",
            "ms_level=-9",
            "charge=-9",
            "im=-9",
            "x=-9",
            "polarity=+,-",
            "activation=HCD",
        ):
            assert _rows(table, region) == []
        assert _rows(table, "index=-9") == [0]

    def test_one_precursor_meets_all_conditions(self) -> None:
        further = {"row": [0, 1], "precursor_mz": [500.0, 500.0], "precursor_charge": [2, 3]}
        table = made_spectra(3, further, precursor_mz=[400.0, 400.0, math.nan], precursor_charge=[3, 2, 0])
        assert _rows(table, "precursor_mz=499-501") == [0, 1]
        assert _rows(table, "precursor_mz=499-501&charge=2") == [0]
        assert _rows(table, "precursor_mz=499-501&charge=3") == [1]

    def test_charge_0_asks_for_precursors_without_one(self) -> None:
        table = made_spectra(3, precursor_mz=[400.0, 400.0, math.nan], precursor_charge=[2, 0, 0])
        assert _rows(table, "charge=0") == [1]
        assert _rows(table, "charge=-5") == [0]

    def test_isolation_windows_contain_a_mass(self) -> None:
        table = made_spectra(
            3,
            isolation_mz=[445.0, 446.0, 445.3],
            isolation_low=[444.0, 445.5, math.nan],
            isolation_high=[446.0, 447.0, math.nan],
        )
        assert _rows(table, "isolation=445.3") == [0, 2]
        assert _rows(table, "isolation=446") == [0, 1]
        assert _rows(table, "isolation=446.5-500") == [1]

    def test_activations_are_found_among_several(self) -> None:
        table = made_spectra(4, activation=["MS:1000422", "MS:1000598,MS:1002678", "MS:1000133", None])
        assert _rows(table, "activation=HCD") == [0]
        assert _rows(table, "activation=ETD,CID") == [1, 2]
        assert _rows(table, "activation=MS:1002678") == [1]

    def test_ids_are_those_of_the_file(self) -> None:
        table = made_spectra(3, native_id=["a=1 b=2", "x,y", "q&r"])
        assert _rows(table, "id=a=1 b=2") == [0]
        assert _rows(table, "id=x%2Cy,q%26r") == [1, 2]
        with pytest.raises(InvalidRegion, match=r"no spectrum of the file has the id 'z'"):
            _rows(table, "id=z,x%2Cy")

    def test_thousands_of_values_are_one_search(self) -> None:
        table = made_spectra(50_000, scan=np.arange(50_000))
        assert _rows(table, "scan=" + ",".join(map(str, range(0, 50_000, 2)))) == list(range(0, 50_000, 2))

    def test_bytes_of_a_command_line_that_are_no_text_are_no_id(self) -> None:
        query = parse_query(["id=\udcff"])
        assert str(query).isascii()
        with pytest.raises(InvalidRegion, match="no spectrum"):
            query.rows(made_spectra(1, native_id=["a"]))

    def test_several_regions_are_a_union_in_file_order(self) -> None:
        table = made_spectra(5, scan=[1, 2, 3, 4, 5], ms_level=[1, 2, 2, 1, 2])
        assert _rows(table, "scan=4-", "scan=2-4&ms_level=2") == [1, 2, 3, 4]


class TestChromatograms:
    TABLE = made_traces(
        4, precursor_mz=[math.nan, 445.34, 445.36, 500.0], product_mz=[math.nan, 123.1, 123.1, math.nan]
    )

    @pytest.mark.parametrize(
        ("regions", "rows"),
        [
            (["rt=1-2"], [0, 1, 2, 3]),
            (["rt=1-2&chromatograms=no"], []),
            (["chromatograms=445.3~123.1"], [1]),
            (["chromatograms=445.3~123.1~0.1"], [1, 2]),
            (["chromatograms=445.35~123.10~100ppm"], [1, 2]),
            (["chromatograms=500~"], [3]),
            (["chromatograms=~123.1"], [1, 2]),
            (["chromatograms=500~,445.3~123.1"], [1, 3]),
            (["rt=1-2&chromatograms=no", "rt=5-6"], []),
            (["chromatograms=500~", "chromatograms=all"], [0, 1, 2, 3]),
        ],
    )
    def test_are_chosen_by_transition(self, regions: list[str], rows: list[int]) -> None:
        assert [int(row) for row in parse_query(regions).chromatograms(self.TABLE)] == rows

    def test_alone_they_select_no_spectra(self) -> None:
        table = made_spectra(3)
        assert _rows(table, "chromatograms=500~") == []
        assert _rows(table, "chromatograms=no") == [0, 1, 2]


@dataclass(frozen=True)
class _Precursor:
    mz: float
    charge: int
    low: float
    high: float


@dataclass(frozen=True)
class _Spectrum:
    scan: int
    level: int
    rt: float
    polarity: int
    precursors: tuple[_Precursor, ...]


_masses = st.integers(4000, 4100).map(lambda number: number / 10)
_precursors = st.builds(
    lambda mz, charge, width: _Precursor(mz, charge, mz - width, mz + width),
    _masses,
    st.integers(0, 3),
    st.sampled_from([0.5, 1.0, 2.0]),
)
_spectra = st.lists(
    st.builds(
        _Spectrum,
        st.integers(1, 12),
        st.integers(1, 3),
        st.integers(0, 40).map(lambda number: number / 4),
        st.sampled_from([-1, 0, 1]),
        st.lists(_precursors, max_size=3).map(tuple),
    ),
    max_size=12,
)


def _table(spectra: list[_Spectrum]) -> SpectrumTable:
    def first(name: str, absent: float) -> list[Any]:
        return [getattr(s.precursors[0], name) if s.precursors else absent for s in spectra]

    more = [(row, p) for row, s in enumerate(spectra) for p in s.precursors[1:]]
    further = {
        "row": [row for row, _ in more],
        "precursor_mz": [p.mz for _, p in more],
        "precursor_charge": [p.charge for _, p in more],
        "isolation_mz": [p.mz for _, p in more],
        "isolation_low": [p.low for _, p in more],
        "isolation_high": [p.high for _, p in more],
    }
    return made_spectra(
        len(spectra),
        further,
        scan=[s.scan for s in spectra],
        ms_level=[s.level for s in spectra],
        rt=[s.rt for s in spectra],
        polarity=[s.polarity for s in spectra],
        precursor_mz=first("mz", math.nan),
        precursor_charge=first("charge", 0),
        isolation_mz=first("mz", math.nan),
        isolation_low=first("low", math.nan),
        isolation_high=first("high", math.nan),
    )


_Of = Callable[[Any], bool]


@st.composite
def _ranges(draw: st.DrawFn, numbers: st.SearchStrategy[float]) -> tuple[str, Callable[[float], bool]]:
    low, high = sorted((draw(numbers), draw(numbers)))
    form = draw(st.sampled_from(["both", "from", "to"]))
    if form == "from":
        return f"{low:g}-", lambda value: value >= low
    if form == "to":
        return f"-{high:g}", lambda value: value <= high
    return f"{low:g}-{high:g}", lambda value: low <= value <= high


@st.composite
def _regions(draw: st.DrawFn) -> tuple[str, Callable[[int, _Spectrum], bool]]:
    """A region, and whether a spectrum in a place of the file is in it."""
    texts: list[str] = []
    tests: list[Callable[[int, _Spectrum], bool]] = []
    of_precursors: list[Callable[[_Precursor], bool]] = []
    for name in draw(st.lists(st.sampled_from(sorted(_MODEL)), max_size=4, unique=True)):
        numbers, of = _MODEL[name]
        parts = draw(st.lists(_ranges(numbers), min_size=1, max_size=3))
        texts.append(f"{name}={draw(st.sampled_from([',', ' '])).join(text for text, _ in parts)}")

        def holds(value: float, parts: list[tuple[str, Callable[[float], bool]]] = parts) -> bool:
            return any(test(value) for _, test in parts)

        if name in ("precursor_mz", "charge"):
            of_precursors.append(lambda p, of=of, holds=holds: holds(of(p)))  # type: ignore[misc]
        else:
            tests.append(lambda place, s, of=of, holds=holds: holds(of(place, s)))  # type: ignore[misc]
    mass = draw(st.none() | _masses)
    if mass is not None:
        texts.append(f"isolation={mass}")
        of_precursors.append(lambda p: p.low <= mass <= p.high)
    sign = draw(st.sampled_from([None, "+", "-"]))
    if sign is not None:
        texts.append(f"polarity={sign}")
        tests.append(lambda _, s: s.polarity == (1 if sign == "+" else -1))

    def selected(place: int, s: _Spectrum) -> bool:
        fits = not of_precursors or any(all(test(p) for test in of_precursors) for p in s.precursors)
        return fits and all(test(place, s) for test in tests)

    return "&".join(texts), selected


_MODEL: dict[str, tuple[st.SearchStrategy[Any], Callable[..., float]]] = {
    "scan": (st.integers(0, 13), lambda _, s: s.scan),
    "index": (st.integers(0, 13), lambda place, _: place),
    "ms_level": (st.integers(1, 4), lambda _, s: s.level),
    "rt": (st.integers(0, 40).map(lambda number: number / 4), lambda _, s: s.rt),
    "precursor_mz": (_masses, lambda p: p.mz),
    "charge": (st.integers(1, 4), lambda p: p.charge or math.nan),
}


@given(_spectra, st.lists(_regions(), min_size=1, max_size=3))
def test_selects_what_the_model_does(
    spectra: list[_Spectrum], regions: list[tuple[str, Callable[[int, _Spectrum], bool]]]
) -> None:
    expected = [place for place, s in enumerate(spectra) if any(test(place, s) for _, test in regions)]
    query = parse_query([text for text, _ in regions])
    found = query.rows(_table(spectra))
    assert found.tolist() == expected
    again = parse_query(str(query).split(";"))
    assert np.array_equal(again.rows(_table(spectra)), found)


@pytest.mark.parametrize(
    "name",
    [
        "mzdata__small.mzML",
        "OpenMS__GNPSExport_mzml1.mzML",
        "mzdata__diaPASEF.mzML",
        "RaMS__Blank_129I_1L_pos_20240207-MS3.mzML.gz",
        "RaMS__uv_test_mini.mzML.gz",
        "ms_deisotope__20150710_3um_AGP_001_29_30.preprocessed.mzML.gz",
        "OpenMS__OpenSwathWorkflow_21_input.mzML",
    ],
)
def test_selects_of_real_files_what_pyteomics_says(name: str, shared_data: Path, tmp_path: Path) -> None:
    packed = (shared_data / "massspec" / name).read_bytes()
    path = tmp_path / "whole.mzML"
    path.write_bytes(gzip.decompress(packed) if name.endswith(".gz") else packed)
    table = scan_mzml(BytesReader(path.read_bytes())).spectra
    spectra = [_of_pyteomics(spectrum) for spectrum in pyteomics_spectra(path)]
    times = sorted({s.rt for s in spectra})
    # Bounds lie between values, for pyteomics multiplies minutes in binary.
    low, high = times[len(times) // 4] - 1e-4, times[3 * len(times) // 4] + 1e-4
    ions = [p.mz for s in spectra for p in s.precursors if not math.isnan(p.mz)] or [500.0]
    ion = ions[len(ions) // 2]
    asked: dict[str, Callable[[_Spectrum], bool]] = {
        f"rt={low}-{high}": lambda s: low <= s.rt <= high,
        f"rt={low / 60}min-{high / 60}min&ms_level=2-": lambda s: low <= s.rt <= high and s.level >= 2,
        "ms_level=1": lambda s: s.level == 1,
        f"precursor_mz={ion}~10ppm": lambda s: any(abs(p.mz - ion) <= ion * 1e-5 for p in s.precursors),
        f"precursor_mz={ion - 50}-{ion + 50}&charge=2,3": lambda s: any(
            abs(p.mz - ion) <= 50 and p.charge in (2, 3) for p in s.precursors
        ),
        f"isolation={ion}": lambda s: any(p.low <= ion <= p.high for p in s.precursors),
        "polarity=-": lambda s: s.polarity == -1,
    }
    for region, test in asked.items():
        assert _rows(table, region) == [row for row, s in enumerate(spectra) if test(s)], region


def _of_pyteomics(spectrum: dict[str, Any]) -> _Spectrum:
    scan = spectrum["scanList"]["scan"][0]
    time = scan["scan start time"]
    sign = ("positive scan" in spectrum) - ("negative scan" in spectrum)
    precursors = []
    for precursor in spectrum.get("precursorList", {}).get("precursor", ()):
        window = precursor.get("isolationWindow", {})
        center = window.get("isolation window target m/z", math.nan)
        low = center - window.get("isolation window lower offset", 0)
        high = center + window.get("isolation window upper offset", 0)
        precursors += [
            _Precursor(ion.get("selected ion m/z", math.nan), int(ion.get("charge state", 0)), low, high)
            for ion in precursor.get("selectedIonList", {}).get("selectedIon", [{}])
        ]
    seconds = float(time) * (60 if time.unit_info == "minute" else 1)
    return _Spectrum(0, int(spectrum.get("ms level", 0)), seconds, sign, tuple(precursors))


def test_every_condition_is_documented() -> None:
    from tests.conftest import ROOT

    page = (ROOT / "docs" / "regions-spectra.md").read_text(encoding="utf-8")
    assert [name for name in (*CONDITIONS, "chromatograms") if f"`{name}" not in page] == []
