"""``find`` and ``catalog``: what is printed, as text and as JSON."""

from __future__ import annotations

from pathlib import Path

from lake.lake import Lake
from tests.cli.conftest import Run


def test_find_a_region(run: Run, root: Path, bams: Path) -> None:
    run("put", bams, "runs/").works()
    with Lake.open_at(root) as lk:
        paths = [entry.path for entry in lk.ls("", recursive=True) if entry.format == "BAM"]
    done = run("find", "chr1:1000-2000", "--format", "BAM").works()
    assert done.lines[0].split() == ["path", "format", "size", "contig", "chunks", "bytes"]
    assert [line.split()[0] for line in done.lines[1:-1]] == sorted(paths)
    assert done.lines[-1].startswith("2 files; an answer takes at most ")
    found = run("find", "chr1:1000-2000", "--format", "BAM", "--json").works().json
    assert [hit["path"] for hit in found] == sorted(paths)
    assert all(hit["contig"] == "chr1" and hit["chunks"] >= 1 and hit["bytes"] > 0 for hit in found)


def test_find_words(run: Run, files: Path) -> None:
    run("put", files, "x", "--meta", "tissue=liver").works()
    done = run("find", "table").works()
    assert done.lines[0].split() == ["path", "format", "size", "found", "in"]
    assert done.lines[1].split()[0] == "x/table.csv"
    assert done.lines[-1] == "1 file"
    found = run("find", "liver", "--json").works().json
    assert len(found) == 5
    assert found[0]["where"] == ["attribute tissue=liver"]
    assert run("find", "--attribute", "tissue=heart").status == 1
    assert run("find", "--attribute", "tissue", "--under", "x/d").works().lines[-1] == "2 files"


def test_nothing_found_is_status_one(run: Run, files: Path) -> None:
    run("put", files, "x").works()
    done = run("find", "zebra")
    assert (done.status, done.out, done.err) == (1, b"", "lake: nothing found\n")
    assert run("find", "zebra", "--json").json == []
    assert "find what" in run("find").fails()


def test_catalog_status_publish_rebuild(run: Run, root: Path, files: Path) -> None:
    assert run("catalog").works().text == "no generation: questions read 0 commits from the journal\n"
    run("put", files, "x").works()
    assert run("catalog").works().text == "no generation: questions read 1 commits from the journal\n"
    run("catalog", "publish").works()
    status = run("catalog", "--json").works().json
    assert (status["number"], status["seq"], status["behind"]) == (1, 1, 0)
    run("rm", "x/a.txt").works()
    assert run("catalog", "--json").works().json["behind"] == 1
    run("catalog", "rebuild", "--facts").works()
    assert run("catalog").works().text.startswith("generation 2: commit 2, ")
    assert run("find", "a.txt", "--json").json == []
    (root / "journal.db").rename(root / "journal.away")
    assert "has no journal.db: its log is there" in run("sql", "SELECT 1").fails()
