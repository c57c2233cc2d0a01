"""An imzML and its .ibd in a lake: tied at put in any order, cut together, written side by side."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from pyimzml.ImzMLParser import ImzMLParser

from lake.cli import main
from lake.errors import Unsupported
from lake.lake import Lake
from tests.formats.spectra.test_imzml import make_pair


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the pair ``a``."""
    folder = tmp_path / "files"
    folder.mkdir()
    make_pair(folder / "a.imzML", "processed")
    return folder


def points(lk: Lake, path: str) -> int:
    return sum(batch.num_rows for batch in lk.peaks(path, "x=1-2&y=2"))


@pytest.mark.parametrize("order", [("imzML", "ibd"), ("ibd", "imzML"), ("both",)])
def test_pairs_are_tied_in_any_order(tmp_path: Path, files: Path, order: tuple[str, ...]) -> None:
    with Lake.init(tmp_path / "lk") as lk:
        for step in order:
            report = lk.put(
                files if step == "both" else files / f"a.{step}", "runs" if step == "both" else f"runs/a.{step}"
            )
            lonely = step == "imzML" and order[0] == "imzML"
            assert [item.warnings for item in report.items if item.path.endswith("imzML")] == [
                ["no .ibd beside it: regions and peaks need that file, too"] if lonely else []
            ][: 1 if step != "ibd" else 0]
        assert points(lk, "runs/a.imzML") > 0
        assert lk.facts("runs/a.imzML")["spectra"]["x"].to_pylist() == [1, 2, 3] * 3


def test_without_an_ibd_there_are_facts_alone(tmp_path: Path, files: Path) -> None:
    with Lake.init(tmp_path / "lk") as lk:
        lk.put(files / "a.imzML", "a.imzML")
        assert lk.facts("a.imzML")["spectra"].num_rows == 9
        assert lk.slice("a.imzML", "").to_bytes() == (files / "a.imzML").read_bytes()
        with pytest.raises(Unsupported, match=r"its \.ibd is not in the lake"):
            lk.slice("a.imzML", "x=1")
        # Under another name nobody takes it for the other half.
        lk.put(files / "a.ibd", "b.ibd")
        with pytest.raises(Unsupported):
            lk.slice("a.imzML", "x=1")
        lk.put(files / "a.ibd", "a.IBD")
        assert points(lk, "a.imzML") > 0


def test_the_ibd_of_another_is_refused(tmp_path: Path, files: Path) -> None:
    make_pair(tmp_path / "b.imzML", "processed")
    (files / "a.ibd").write_bytes((tmp_path / "b.ibd").read_bytes())
    with Lake.init(tmp_path / "lk") as lk:
        report = lk.put(files, "runs")
        [warning] = [warning for item in report.items for warning in item.warnings]
        assert warning.startswith("runs/a.ibd is not used: its UUID is")
        with pytest.raises(Unsupported):
            lk.slice("runs/a.imzML", "x=1")


def test_slices_are_written_side_by_side(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lake.init(tmp_path / "lk") as lk:
        for name in ("a.imzML", "a.ibd"):
            lk.put(files / name, name)
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path / "lk"))
    out = tmp_path / "out"
    assert main(["slice", "a.imzML", "x=1-2&y=2", "-o", f"{out}/"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.ibd", "a.imzML"]
    with ImzMLParser(str(out / "a.imzML")) as cut, ImzMLParser(str(files / "a.imzML")) as whole:
        assert cut.coordinates == [(1, 2, 1), (2, 2, 1)]
        for row, place in enumerate(cut.coordinates):
            truth = whole.getspectrum(whole.coordinates.index(place))
            assert all(np.array_equal(*arrays) for arrays in zip(cut.getspectrum(row), truth, strict=True))
    assert main(["slice", "a.imzML", "x=1-2&y=2", "-o", str(out / "b.zip")]) == 0
    with zipfile.ZipFile(out / "b.zip") as archive:
        assert archive.namelist() == ["slice.ibd", "slice.imzML"]
        assert archive.read("slice.imzML") == (out / "a.imzML").read_bytes()
    assert main(["slice", "a.imzML", "x=1", "-o", f"{out}/", "--write-index"]) == 1
    assert "its format has no index" in capsys.readouterr().err
    assert main(["slice", "a.imzML", "x=1-2&y=2", "-o", f"{out}/"]) == 0
    with Lake.open_at(tmp_path / "lk") as lk:
        lk.put(out / "a.imzML", "cut/a.imzML")
        lk.put(out / "a.ibd", "cut/a.ibd")
        assert points(lk, "cut/a.imzML") == points(lk, "a.imzML")
