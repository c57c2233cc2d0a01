"""Regions of spectra through a lake: Python, fsspec and the command line."""

from __future__ import annotations

import gzip
from pathlib import Path

import fsspec
import pytest

import lake
from lake.cli import main
from lake.errors import DamagedObject, FormatError, InvalidInput, InvalidRegion, Unsupported
from lake.lake import Lake
from lake.segments import Literal, Span
from tests.formats.spectra.judges import pyteomics_ids, pyteomics_peaks
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum
from tests.lake.samples import flip, object_file

COUNT = 400


def _run(count: int = COUNT, points: int = 400) -> bytes:
    """Spectra of about 9 kB, one a second, every other of MS level 2."""
    return made_mzml(
        [
            made_spectrum(n, f"scan={n + 1}", float(n), 1 + n % 2, f"scan={n}" if n % 2 else None, points=points)
            for n in range(count)
        ]
    )


@pytest.fixture(scope="module")
def made() -> bytes:
    return _run()


@pytest.fixture
def run(lk: Lake, made: bytes, tmp_path: Path) -> Lake:
    """A lake with ``run.mzML``, cut into many chunks."""
    path = tmp_path / "run.mzML"
    path.write_bytes(made)
    lk.put(path)
    return lk


def test_slice_is_what_a_reader_selects(run: Lake, made: bytes, tmp_path: Path) -> None:
    answer = run.slice("run.mzML", "rt=100-160&ms_level=2")
    assert answer.media_type == "application/xml"
    run.save(answer, tmp_path / "slice.mzML")
    (tmp_path / "whole.mzML").write_bytes(made)
    whole = pyteomics_peaks(tmp_path / "whole.mzML")
    assert pyteomics_peaks(tmp_path / "slice.mzML") == {f"scan={n}": whole[f"scan={n}"] for n in range(102, 161, 2)}
    assert answer.size == (tmp_path / "slice.mzML").stat().st_size


def test_the_same_question_has_the_same_identity(run: Lake) -> None:
    asked = ("rt=60-120&ms_level=2", "ms_level=2&rt=1min-2min", ["rt=60-120&ms_level=2", "ms_level=2&rt=60s-120s"])
    assert len({run.slice("run.mzML", question).identity for question in asked}) == 1
    assert run.slice("run.mzML", "rt=60-120").identity != run.slice("run.mzML", asked[0]).identity


def test_the_whole_file_is_verbatim(run: Lake, made: bytes) -> None:
    for regions in ((), "", "."):
        assert run.slice("run.mzML", regions).to_bytes() == made


def test_plain_form_is_spans(run: Lake, made: bytes) -> None:
    answer = run.slice("run.mzML", "scan=10-300", format="MZML-PLAIN")
    assert answer.verbatim
    assert answer.identity != run.slice("run.mzML", "scan=10-300").identity
    assert all(isinstance(segment, Span | Literal) for segment in answer.segments)
    assert max(segment.length for segment in answer.segments if isinstance(segment, Span)) > len(made) // 2
    assert answer.to_bytes().count(b"<spectrum ") == 291


def test_options_that_spectra_do_not_have_are_refused(run: Lake, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="mzML cannot be given as BAM"):
        run.slice("run.mzML", "scan=1", format="BAM")
    with pytest.raises(InvalidInput, match="neither reads nor samples"):
        run.slice("run.mzML", "scan=1", min_quality=3)
    (tmp_path / "some.bed").write_text("chr1\t1\t2\n")
    with pytest.raises(Unsupported, match="no targets"):
        run.slice("run.mzML", targets=tmp_path / "some.bed")
    with pytest.raises(InvalidRegion, match="there are scan"):
        run.slice("run.mzML", "chr1:1-100")


def test_pyteomics_opens_a_region_of_a_lake(run: Lake, made: bytes, tmp_path: Path) -> None:
    (tmp_path / "whole.mzML").write_bytes(made)
    whole = pyteomics_peaks(tmp_path / "whole.mzML")
    with fsspec.open("lake://run.mzML#rt=100-120&ms_level=2;scan=7", root=str(run.root)) as file:
        found = pyteomics_peaks(file)
    assert found == {f"scan={n}": whole[f"scan={n}"] for n in (7, *range(102, 121, 2))}


def test_command_line(run: Lake, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    out = tmp_path / "out.mzML"
    assert main(["-C", str(run.root), "slice", "run.mzML", "rt=100-120&ms_level=2", "-o", str(out)]) == 0
    assert pyteomics_ids(out) == [f"scan={n}" for n in range(102, 121, 2)]
    assert main(["-C", str(run.root), "slice", "run.mzML", "scan=1", "scan=400"]) == 0
    assert capfdbinary.readouterr().out.count(b"<spectrum ") == 2
    plain = ["slice", "--output-format", "MZML-PLAIN", "run.mzML", "scan=1"]
    assert main(["-C", str(run.root), *plain]) == 0
    assert b"<indexedmzML" not in capfdbinary.readouterr().out
    assert main(["-C", str(run.root), "slice", "run.mzML", "mslevel=2"]) == 1
    error = capfdbinary.readouterr().err.decode()
    assert error.startswith("lake: error: 'mslevel' in 'mslevel=2' is not a condition on spectra (was ms_level meant?)")
    assert error.count("\n") == 1


@pytest.mark.parametrize("piece", [1, 50])
def test_compressed_files_give_compressed_slices(lk: Lake, made: bytes, tmp_path: Path, piece: int) -> None:
    path = tmp_path / "run.mzML.gz"
    size = len(made) // piece + 1
    path.write_bytes(b"".join(gzip.compress(made[at : at + size]) for at in range(0, len(made), size)))
    lk.put(path)
    (tmp_path / "run.mzML").write_bytes(made)
    lk.put(tmp_path / "run.mzML")
    answer = lk.slice("run.mzML.gz", "scan=10-20,390")
    assert answer.media_type == "application/gzip"
    assert answer.size is None
    assert gzip.decompress(answer.to_bytes()) == lk.slice("run.mzML", "scan=10-20,390").to_bytes()
    assert lk.slice("run.mzML.gz").to_bytes() == path.read_bytes()


def test_damage_is_an_error_where_the_slice_touches_it(bare: Lake, made: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.mzML"
    path.write_bytes(made)
    bare.put(path)
    stored = object_file(bare, "run.mzML")
    flip(stored, made.index(b'id="scan=300"') + 3000)
    with lake.open(bare.root) as lk:
        assert lk.slice("run.mzML", "scan=1-20").to_bytes().count(b"<spectrum ") == 20
        assert lk.slice("run.mzML", "scan=390-").to_bytes().count(b"<spectrum ") == 11
        for form in (None, "MZML-PLAIN"):
            with pytest.raises(DamagedObject, match=r"run\.mzML: chunk \d+"):
                lk.slice("run.mzML", "scan=295-305", format=form).to_bytes()


@pytest.mark.parametrize("name", ["cut.mzML", "cut.mzML.gz"])
def test_files_that_are_cut_off_are_kept_and_refused(lk: Lake, name: str, tmp_path: Path) -> None:
    data = _run(20, 10)
    data = data[: len(data) // 2] if name.endswith("mzML") else gzip.compress(data)[:-200]
    (tmp_path / name).write_bytes(data)
    item = lk.put(tmp_path / name).items[0]
    assert item.warnings
    with pytest.raises(FormatError, match=rf"{name}: .*cut off"):
        lk.slice(name, "scan=1")
    with lk.open(name) as file:
        assert file.read() == data


def test_a_slice_of_a_slice_is_the_slice(run: Lake, tmp_path: Path) -> None:
    run.save(run.slice("run.mzML", "rt=50-200"), tmp_path / "part.mzML")
    run.put(tmp_path / "part.mzML")
    direct = run.slice("run.mzML", "rt=100-120&ms_level=2").to_bytes()
    twice = run.slice("part.mzML", "rt=100-120&ms_level=2").to_bytes()
    assert twice == direct
