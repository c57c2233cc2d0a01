"""``meta import`` and ``meta export``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def filled(run: Run, files: Path) -> Run:
    run("put", f"{files}/.", "runs").works()
    return run


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_text("path,age,tissue\na.txt,41,liver\nb.txt,NA,\nx.txt,3,lung\n")
    return path


def test_a_sheet(filled: Run, sheet: Path) -> None:
    done = filled("meta", "import", sheet, "--prefix", "runs", "--na", "NA", "--dry-run")
    assert (done.status, done.lines) == (
        0,
        [
            "runs/a.txt: age=41",
            "runs/a.txt: tissue=liver",
            "3 rows, 2 of them in the lake: 2 attributes of 1 path would change",
        ],
    )
    assert done.err == "lake: warning: sheet.csv, line 4: no such file or directory in the lake: runs/x.txt\n"
    assert filled("meta", "get", "runs/a.txt").works().lines == []
    done = filled("meta", "import", sheet, "--prefix", "runs", "--na", "NA", "-m", "ages")
    assert done.lines == ["3 rows, 2 of them in the lake: 2 attributes of 1 path changed"]
    assert filled("meta", "get", "runs/a.txt").works().lines == ["age=41", "tissue=liver"]
    assert filled("log").works().lines[0].endswith("ages")


def test_options_of_a_sheet(filled: Run, sheet: Path) -> None:
    options = ("meta", "import", sheet, "--prefix", "runs", "--by", "path", "--key", "path", "--na", "NA")
    filled("meta", "set", "runs/b.txt", "tissue=skin").works()
    told = filled(*options, "--clear-empty", "--json").works().json
    assert told == {
        "records": 3,
        "matched": 2,
        "attributes": 3,
        "changes": {"runs/a.txt": {"age": 41, "tissue": "liver"}, "runs/b.txt": {"tissue": None}},
        "warnings": ["sheet.csv, line 4: no such file or directory in the lake: runs/x.txt"],
        "commit": 3,
    }
    assert filled(*options, "--json").works().json["commit"] is None
    sheet.write_text("path,age\na.txt,1\na.txt,2\nb.txt,3\n")
    assert "line 3: age of runs/a.txt is 2, but 1 in line 2" in filled(*options).fails()
    assert filled(*options, "--skip-conflicts").lines == [
        "3 rows, 3 of them in the lake: 1 attribute of 1 path changed"
    ]


def test_strict(filled: Run, sheet: Path) -> None:
    before = filled("log").works().lines
    assert "line 4" in filled("meta", "import", sheet, "--prefix", "runs", "--na", "NA", "--strict").fails()
    assert filled("log").works().lines == before


def test_many_warnings_are_cut(filled: Run, sheet: Path) -> None:
    sheet.write_text("path,n\n" + "".join(f"none{n},1\n" for n in range(25)))
    done = filled("meta", "import", sheet)
    assert done.err.count("\n") == 21
    assert done.err.endswith("lake: warning: and 5 more (--json tells all)\n")


def test_what_fails(filled: Run, sheet: Path, tmp_path: Path) -> None:
    crate = tmp_path / "ro-crate-metadata.json"
    crate.write_text("{}")
    assert "cannot read" in filled("meta", "import", tmp_path / "none.csv").fails()
    assert "nothing" in filled("meta", "import", sheet, "--prefix", "nothing").fails()
    assert "are for sample sheets" in filled("meta", "import", crate, "--by", "path").fails()
    assert "no RO-Crate metadata" in filled("meta", "import", crate).fails()
    assert "is a file" in filled("meta", "export", "runs/a.txt").fails()
    assert "cannot write" in filled("meta", "export", "-o", sheet / "x").fails()
    assert "not a branch" in filled("meta", "import", "--ref", "1", sheet).fails()


def test_a_crate(filled: Run, tmp_path: Path) -> None:
    filled("meta", "set", "runs/a.txt", "n=1", "name=ü").works()
    path = tmp_path / "out" / "ro-crate-metadata.json"
    filled("meta", "export", "runs", "-o", path).works()
    shown = filled("meta", "export", "runs").works()
    assert shown.json == json.loads(path.read_text())
    assert "ü" in shown.text
    filled("meta", "rm", "runs/a.txt", "n", "name").works()
    filled("rm", "runs/b.txt").works()
    done = filled("meta", "import", path, "--prefix", "runs")
    assert done.lines == ["8 entities, 7 of them in the lake: 2 attributes of 1 path changed"]
    assert "'b.txt' is not in the lake below runs: skipped" in done.err
    assert filled("meta", "get", "runs/a.txt").works().lines == ["n=1", "name=ü"]
    assert filled("meta", "export", "--ref", "1").works().json["@graph"][1]["@id"] == "./"
