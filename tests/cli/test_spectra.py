"""The commands peaks, xic and plot."""

from __future__ import annotations

import io
import re
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run
from tests.formats.spectra.run_maker import make_mzml, some_spectra

SPECTRA = some_spectra(30, seed=4)


@pytest.fixture
def made(run: Run, tmp_path: Path) -> Path:
    """A lake with ``r.mzML``."""
    (tmp_path / "r.mzML").write_bytes(make_mzml(SPECTRA))
    run("put", tmp_path / "r.mzML", "r.mzML").works()
    return tmp_path


@pytest.mark.usefixtures("made")
def test_peaks_in_every_format(run: Run, tmp_path: Path) -> None:
    count = len(SPECTRA[4].mz)
    lines = run("peaks", "r.mzML", "index=4", "--format", "csv").works().lines
    assert lines[0] == "ord,rt,ms_level,precursor_mz,mz,intensity,ion_mobility"
    assert len(lines) == 1 + count
    assert lines[1].startswith(f"4,2.0,1,,{float(SPECTRA[4].mz[0])},")
    assert f"({count} rows)" in run("peaks", "r.mzML", "index=4").works().text
    table = pa.ipc.open_stream(run("peaks", "r.mzML", "index=4", "--format", "arrow").works().out).read_all()
    assert table.num_rows == count
    run("peaks", "r.mzML", "index=0-4", "--ragged", "-o", tmp_path / "p.parquet").works()
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 5
    chosen = run("peaks", "r.mzML", "--mz", "300-400", "--columns", "mz,ord", "--format", "jsonl").works()
    assert all(line.startswith('{"mz":3') for line in chosen.lines)
    assert "DOUBLE" not in chosen.text


@pytest.mark.usefixtures("made")
def test_what_peaks_cannot_do(run: Run) -> None:
    assert "is not a condition" in run("peaks", "r.mzML", "retention=3").fails()
    assert "no column 'x'" in run("peaks", "r.mzML", "--columns", "x").fails()
    assert "nowhere.mzML" in run("peaks", "nowhere.mzML").fails()


@pytest.mark.usefixtures("made")
def test_chromatograms(run: Run) -> None:
    lines = run("xic", "r.mzML", "--mz", "500", "--mz", "600.5", "--ppm", "100000", "--format", "csv").works().lines
    first = sum(spectrum.level == 1 for spectrum in SPECTRA)
    assert lines[0] == "path,mz,ord,rt,intensity"
    assert len(lines) == 1 + 2 * first
    run("index", "r.mzML", "--points").works()
    again = run("xic", "r.mzML", "--mz", "500", "--mz", "600.5", "--ppm", "100000", "--format", "csv").works().lines
    assert again == lines
    assert len(run("xic", "r.mzML", "--mz", "500", "--rt", "2-3", "--ms-level", "0", "--format", "csv").lines) == 4
    assert "must be positive" in run("xic", "r.mzML", "--mz", "0").fails()


def _texts(svg: bytes) -> str:
    return " ".join(ElementTree.parse(io.BytesIO(svg)).getroot().itertext())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("spectrum", "r.mzML", "scan=6"), ("m/z", "intensity", "r.mzML scan=6", "precursor")),
        (("spectrum", "mzspec:lake:r:index:5"), ("r.mzML scan=6",)),
        (("mirror", "r.mzML", "index=1", "id=scan=4"), ("relative intensity (%)", "scan=2", "scan=4", "100")),
        (("tic", "r.mzML"), ("retention time (s)", "total ion current")),
        (("xic", "r.mzML", "--mz", "500", "--mz", "600"), ("m/z 500, 600 ± 10 ppm", "r.mzML, m/z 600")),
    ],
)
def test_pictures(run: Run, made: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    svg = run("plot", *arguments).works().out
    text = _texts(svg)
    assert all(word in text for word in words), text
    assert run("plot", *arguments).out == svg
    run("plot", *arguments, "-o", made / "x.png").works()
    head = (made / "x.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert struct.unpack(">II", head[16:]) == (960, 540)


@pytest.mark.usefixtures("made")
def test_pictures_that_cannot_be(run: Run, tmp_path: Path) -> None:
    assert "pictures are .png or .svg" in run("plot", "tic", "r.mzML", "-o", tmp_path / "x.bmp").fails()
    assert "name one spectrum" in run("plot", "spectrum", "r.mzML").fails()
    assert "name two spectra" in run("plot", "mirror", "r.mzML", "scan=1").fails()
    assert "is no number" in run("plot", "spectrum", "r.mzML", "scan=x").fails()
    assert "--mz" in run("plot", "xic", "r.mzML").fails()
    assert re.search("no spectrum with scan 99", run("plot", "spectrum", "r.mzML", "scan=99").fails())
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.usefixtures("made")
def test_pictures_without_matplotlib(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'regionlake[plot]'" in run("plot", "tic", "r.mzML").fails()


def test_points_at_put(run: Run, tmp_path: Path) -> None:
    content = make_mzml(SPECTRA)
    (tmp_path / "r.mzML").write_bytes(content)
    (tmp_path / "n.txt").write_text("nothing\n")
    at = content.rindex(b"<binary>") + 12
    (tmp_path / "bad.mzML").write_bytes(content[:at] + b"AAAA" + content[at + 4 :])
    done = run("put", "--points", tmp_path / "r.mzML", tmp_path / "n.txt", tmp_path / "bad.mzML", "runs/")
    assert done.status == 0
    assert "runs/bad.mzML: no points: " in done.err
    assert "points/1" in run("stat", "runs/r.mzML").works().text
    assert "points/1" not in run("stat", "runs/bad.mzML").text
