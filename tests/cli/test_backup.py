"""``backup``, ``verify-backup``, ``restore-lake`` and ``doctor``: exit statuses and what is printed."""

from __future__ import annotations

from pathlib import Path

from lake.lake import Lake
from tests.cli.conftest import Run
from tests.lake.samples import flip, object_file


def test_there_and_back(run: Run, root: Path, files: Path, tmp_path: Path) -> None:
    run("put", files, "x").works()
    backup, again = tmp_path / "backup", tmp_path / "again"
    assert run("backup", backup).works().lines == ["commit 1: 5 files, 15 B; 5 copied, 15 B"]
    assert run("backup", backup, "--quiet").works().out == b""
    assert run("backup", backup, "--json").works().json["copied"] == 0
    assert run("verify-backup", backup).works().text.endswith(": 5 files, 15 B read: sound\n")
    assert run("verify-backup", backup, "--fast", "--json").works().json["ok"] is True
    assert run("restore-lake", backup, again).works().lines == [f"{again}: 5 files, 15 B"]
    assert "not empty" in run("restore-lake", backup, again).fails()
    assert run("restore-lake", backup, tmp_path / "third", "--json").works().json["files"] == 5
    assert "is not a backup" in run("verify-backup", root).fails()


def test_damage(run: Run, root: Path, files: Path, tmp_path: Path) -> None:
    run("put", files, "x").works()
    backup = tmp_path / "backup"
    with Lake.open_at(root) as lk:
        flip(object_file(lk, "x/table.csv"), 0)
        object_file(lk, "x/a.txt").unlink()
    done = run("backup", backup, "--quiet")
    assert (done.status, done.err) == (1, "")
    assert [line.partition(":")[0] for line in done.lines] == [
        "missing in the lake",
        "damaged in the lake, copied as it is",
        "commit 1",
        "'lake fsck' tells what that hits",
    ]
    done = run("verify-backup", backup)
    assert done.status == 1
    assert any(line.startswith("missing: x/a.txt@main") for line in done.lines)
    assert run("verify-backup", backup, "--json").status == 1
    done = run("restore-lake", backup, tmp_path / "again")
    assert done.status == 1
    assert done.lines[-1].endswith("; 2 of them damaged or missing")
    assert run("restore-lake", backup, tmp_path / "third", "--json").status == 1


def test_doctor(run: Run, root: Path, tmp_path: Path) -> None:
    done = run("doctor").works()
    assert done.lines[0] == str(root)
    assert any(line.startswith("ok    lake: a lake of format 1") for line in done.lines)
    assert run("doctor", "--json").works().json["root"] == str(root)
    done = run("doctor", tmp_path / "nothing")
    assert done.status == 1
    assert any(line.startswith("      → 'lake init ") for line in done.lines)
    assert run("doctor", tmp_path / "nothing", "--json").status == 1
