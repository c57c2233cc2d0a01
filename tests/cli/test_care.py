"""``fsck``: exit statuses and what is printed."""

from __future__ import annotations

from pathlib import Path

from lake.lake import Lake
from tests.cli.conftest import Run
from tests.lake.samples import flip, object_file


def test_a_sound_lake(run: Run, files: Path) -> None:
    run("put", files, "x").works()
    assert run("fsck").works().text == "5 objects, 15 B checked: sound\n"
    assert run("fsck", "--json").works().json["ok"] is True


def test_damage(run: Run, root: Path, files: Path) -> None:
    run("put", files, "x").works()
    with Lake.open_at(root) as lk:
        flip(object_file(lk, "x/table.csv"), 0)
        object_file(lk, "x/a.txt").unlink()
    done = run("fsck")
    assert (done.status, done.err) == (1, "")
    assert any(line.startswith("damaged: ") and "x/table.csv@main" in line for line in done.lines)
    assert any(line.startswith("missing: ") and "x/a.txt@main" in line for line in done.lines)
    assert done.lines[-1].endswith("2 are damaged or missing")
    found = run("fsck", "--json")
    assert found.status == 1
    assert {one["problem"] for one in found.json["findings"]} == {"damaged", "missing"}
    run("put", f"{files}/a.txt", f"{files}/table.csv", "again/").works()
    run("fsck").works()


def test_orphans_and_foreign_files(run: Run, root: Path) -> None:
    (root / "objects/ab").mkdir()
    (root / "objects/ab" / ("ab" + "0" * 62)).write_bytes(b"left by a crash")
    (root / "objects/notes.txt").write_bytes(b"mine")
    assert run("fsck").works().lines == [
        "foreign: objects/notes.txt is not an object's name",
        "0 objects, 0 B checked: sound; 1 stored files belong to no commit",
    ]


def test_healing(run: Run, root: Path, files: Path) -> None:
    run("put", files, "x").works()
    with Lake.open_at(root) as lk:
        flip(object_file(lk, "x/table.csv"), 0)
    assert run("fsck", "--fast").works().text.endswith("0 B checked: sound\n")
    assert run("fsck", "x/a.txt", "-q").works().text == ""
    assert run("fsck", "x/table.csv", "-q").status == 1
    done = run("fsck", "--repair", "--from", files, "--json").works()
    assert [finding["healed"] for finding in done.json["findings"]] == [True]
    assert run("fsck", "--percent", "50", "--older-than", "30d").works().text == "0 objects, 0 B checked: sound\n"
    assert run("fsck", "--from", files).status != 0
    run("fsck", "--restart").works()
