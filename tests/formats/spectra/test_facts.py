"""Facts of mzML: made at put, in the pass that stores the file; nothing of a damaged one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lake import Lake
from lake.errors import FormatError
from lake.facts import load_facts, pack_facts
from lake.formats.facts.kinds import FACT_KINDS
from lake.formats.facts.spectra import run_facts
from lake.formats.spectra.scanner import MzmlScanner
from tests.formats.spectra.judges import pyteomics_headers
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum


@pytest.fixture
def lk(tmp_path: Path) -> Lake:
    return Lake.init(tmp_path / "lake")


def test_kinds_have_the_columns_of_their_schemas() -> None:
    scanner = MzmlScanner()
    scanner.update(made_mzml([made_spectrum(n, f"scan={n}", n, level=1 + n % 2) for n in range(5)]))
    facts = run_facts(scanner.finish())
    for kind, rows in facts.items():
        assert rows.schema.equals(FACT_KINDS[kind].schema, check_metadata=True)
    spectra = facts["spectra"]
    assert spectra["ord"].to_pylist() == [0, 1, 2, 3, 4]
    assert spectra["rt"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert spectra["ms_level"].to_pylist() == [1, 2, 1, 2, 1]
    for column in ("tic", "polarity", "centroided", "precursor_charge", "filter_string", "activation", "x"):
        assert spectra[column].to_pylist() == [None] * 5
    run = facts["runs"].to_pylist()[0]
    assert run["spectra"] == 5
    assert run["chromatograms"] == 0
    assert (run["rt_start"], run["rt_stop"], run["ms_levels"], run["polarities"]) == (0.0, 4.0, "1,2", None)


def test_sql_at_once_after_a_put(lk: Lake, shared_data: Path) -> None:
    folder = shared_data / "massspec"
    for name in ("mzdata__small.mzML", "mzdata__small.mzML.gz", "RaMS__wk_chrom.mzML.gz"):
        lk.put(folder / name, name)
    found = lk.sql("SELECT path, count(*), sum(n_points) FROM spectra GROUP BY path ORDER BY path").fetchall()
    headers = pyteomics_headers((folder / "mzdata__small.mzML").read_bytes())
    zipped = pyteomics_headers(gzip.decompress((folder / "mzdata__small.mzML.gz").read_bytes()))
    assert found == [
        (name, 48, sum(header["n_points"] for header in expected))
        for name, expected in (("mzdata__small.mzML", headers), ("mzdata__small.mzML.gz", zipped))
    ]
    levels = lk.sql("SELECT polarity, centroided, count(*) FROM spectra WHERE ms_level = 2 GROUP BY ALL").fetchall()
    assert levels == [("+", True, 68)]
    runs = lk.sql("SELECT path, instrument, native_id_format, own_index_ok FROM runs ORDER BY path").fetchall()
    assert runs[1] == ("mzdata__small.mzML", "LTQ FT", "MS:1000768", True)
    traces = lk.sql("SELECT type, count(*) FROM chromatograms GROUP BY type ORDER BY type").fetchall()
    assert traces == [("MS:1000235", 3), ("MS:1000628", 1), ("MS:1001473", 7)]


def test_chunks_know_times_and_levels(lk: Lake, shared_data: Path) -> None:
    lk.put(shared_data / "massspec" / "mzdata__small.mzML", "small.mzML")
    chunks = lk.sql("SELECT ord, length, rt_start, rt_stop, ms_levels FROM chunks ORDER BY ord").fetchall()
    assert len(chunks) == lk.stat("small.mzML").chunks
    assert all(start <= stop for _, _, start, stop, _ in chunks if start is not None)
    spectra = lk.sql("SELECT min(rt), max(rt) FROM spectra").fetchall()[0]
    times = [time for _, _, start, stop, _ in chunks if start is not None for time in (start, stop)]
    assert spectra == (min(times), max(times))


def test_facts_are_made_once(lk: Lake, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lk.put(shared_data / "massspec" / "mzdata__small.mzML", "small.mzML")

    def refuse(*_: object) -> None:
        raise AssertionError("facts are made again")

    monkeypatch.setattr("lake.formats.facts.spectra.decode_run", refuse)
    assert load_facts(lk.repo, lk.reader("small.mzML"))["spectra"].num_rows == 48


def test_facts_and_table_are_small(shared_data: Path) -> None:
    path = shared_data / "massspec" / "OpenMS__GNPSExport_mzml1.mzML"
    scanner = MzmlScanner()
    scanner.update(path.read_bytes())
    facts = run_facts(scanner.finish())
    assert sum(len(pack_facts(rows)) for rows in facts.values()) <= 0.015 * path.stat().st_size


@pytest.mark.parametrize("stop", [100, 3000, 300_000, -1])
def test_a_file_that_is_cut_off_is_kept_and_marked(lk: Lake, shared_data: Path, tmp_path: Path, stop: int) -> None:
    source = tmp_path / "cut.mzML"
    source.write_bytes((shared_data / "massspec" / "mzdata__small.mzML").read_bytes().split(b"</mzML>")[0][:stop])
    lk.put(source, "cut.mzML")
    problems = lk.stat("cut.mzML").problems
    assert any("cut off" in problem for problem in problems), problems
    assert lk.sql("SELECT count(*) FROM spectra").fetchall() == [(0,)]
    with pytest.raises(FormatError, match="cut off"):
        lk.slice("cut.mzML", "ms_level=1")
    with lk.open("cut.mzML") as file:
        assert file.read() == source.read_bytes()


def test_arrays_that_cannot_be_decoded_are_found(lk: Lake, shared_data: Path) -> None:
    name = "OpenMS__FileFilter_39_input_corrupt.mzML"
    lk.put(shared_data / "massspec" / name, name)
    assert lk.stat(name).problems == ("spectrum 0 (spectrum=1): an MS-Numpress array ends inside a number",)


def test_a_strict_put_parses_the_xml(lk: Lake, tmp_path: Path) -> None:
    sound = made_mzml([made_spectrum(0, "scan=1", 1.0)])
    for name, data in (("sound", sound), ("odd", sound.replace(b"<scan>", b"<scan><a></b>"))):
        (tmp_path / f"{name}.mzML").write_bytes(data)
    lk.put(tmp_path / "odd.mzML", "odd.mzML")
    assert lk.stat("odd.mzML").problems == ()
    lk.put(tmp_path / "sound.mzML", "sound.mzML", strict=True)
    with pytest.raises(FormatError, match=r"not well-formed XML: mismatched tag"):
        lk.put(tmp_path / "odd.mzML", "strict.mzML", strict=True)
