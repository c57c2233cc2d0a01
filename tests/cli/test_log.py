"""``doctor --rebuild-journal``, and what leads there."""

from __future__ import annotations

from pathlib import Path

from lake.lake import Lake
from tests.cli.conftest import Run
from tests.lake.samples import object_file


def test_a_lost_journal(run: Run, root: Path, files: Path) -> None:
    run("put", files, "x").works()
    (root / "journal.db").unlink()
    assert "'lake doctor --rebuild-journal' makes it again" in run("ls").fails()
    done = run("doctor", "--rebuild-journal").works()
    assert done.text == "journal.db is made again: 1 commits, 5 objects; tokens have to be made anew\n"
    assert (
        run("doctor", "--rebuild-journal").works().lines[1].startswith(f"the old one is in {root}/quarantine/journal-")
    )
    run("fsck").works()


def test_what_has_no_bytes_any_more_is_named(run: Run, root: Path, files: Path) -> None:
    run("put", files, "x").works()
    with Lake.open_at(root) as lk:
        object_file(lk, "x/a.txt").unlink()
    done = run("doctor", "--rebuild-journal")
    assert (done.status, done.err) == (1, "")
    assert done.lines[-1].endswith("(x/a.txt@main)")
    found = run("doctor", "--rebuild-journal", "--json")
    assert found.status == 1
    assert found.json["missing"][0]["paths"] == [{"path": "x/a.txt", "branch": "main", "commit": 1}]


def test_there_is_no_log(run: Run, root: Path) -> None:
    for segment in (root / "log").iterdir():
        segment.unlink()
    (root / "journal.db").unlink()
    assert "restore the lake from a backup" in run("ls").fails()
    assert "has no log to make the journal from" in run("doctor", "--rebuild-journal").fails()
