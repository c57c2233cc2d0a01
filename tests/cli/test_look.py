"""``ls``, ``stat`` and ``path``."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from tests.cli.conftest import Run
from tests.lake.samples import NOISE


@pytest.fixture
def filled(run: Run, files: Path) -> Run:
    run("put", f"{files}/.", "", "--meta", "n=1").works()
    return run


def test_ls(filled: Run) -> None:
    assert filled("ls").works().lines == ["a.txt", "b.txt", "d/", "table.csv"]
    assert filled("ls", "d", "a.txt").works().lines == ["d/c.txt", "d/e/", "a.txt"]
    assert filled("ls", "*.txt").works().lines == ["a.txt", "b.txt"]
    assert filled("ls", "-R", "d").works().lines == ["d/c.txt", "d/e/f.txt"]
    assert "did you mean" in filled("ls", "table.cs").fails()
    assert "matches" in filled("ls", "*.bam").fails()


def test_ls_long(filled: Run) -> None:
    [line] = filled("ls", "-l", "table.csv").works().lines
    assert line.split()[:2] == ["CSV", "8"]
    assert line.split()[3:] == [blake3(b"x,y\n1,2\n").hexdigest(), "table.csv"]
    assert filled("ls", "-lH", "table.csv").works().lines[0].split()[1:3] == ["8", "B"]


def test_ls_json(filled: Run) -> None:
    found = {one["path"]: one for one in filled("ls", "--json").works().json}
    assert found["d"]["type"] == "directory"
    assert found["a.txt"].keys() == {"path", "type", "size", "format", "digest", "modified", "commit", "attributes"}
    assert (found["a.txt"]["size"], found["a.txt"]["attributes"], found["a.txt"]["commit"]) == (1, {"n": 1}, 1)


def test_ls_at_a_ref(filled: Run) -> None:
    filled("tag", "v1").works()
    filled("rm", "a.txt").works()
    for arguments in (("@v1/",), ("--ref", "v1"), ("@main~1",), ("@1",)):
        assert filled("ls", *arguments).works().lines[0].endswith("a.txt")
    assert "v9" in filled("ls", "@v9/").fails()


def test_stat(filled: Run) -> None:
    text = filled("stat", "table.csv").works().text
    for wanted in ("table.csv", "CSV", blake3(b"x,y\n1,2\n").hexdigest(), "n=1"):
        assert wanted in text
    [found] = filled("stat", "table.csv", "--json").works().json
    assert (found["kind"], found["size"], found["format"], found["chunks"]) == ("file", 8, "CSV", 1)
    assert [one["kind"] for one in filled("stat", "d", "a.txt", "--json").works().json] == ["directory", "file"]


def test_stat_chunks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(NOISE)
    run("put", tmp_path / "big", "big").works()
    [found] = run("stat", "big", "--chunks", "--json").works().json
    at = 0
    for number, chunk in enumerate(found["chunk_map"]):
        assert (chunk["ord"], chunk["offset"]) == (number, at)
        at += chunk["length"]
        assert chunk["digest"] == blake3(NOISE[chunk["offset"] : at]).hexdigest()
    assert at == len(NOISE)
    assert len(found["chunk_map"]) == found["chunks"] > 3
    lines = run("stat", "big", "--chunks").works().lines
    assert sum(line.strip().startswith(("0 ", "1 ", "2 ")) for line in lines) == 3


def test_path(filled: Run) -> None:
    [place] = filled("path", "table.csv").works().lines
    assert Path(place).read_text() == "x,y\n1,2\n"
    assert len(filled("path", "*.txt").works().lines) == 2
    assert "is a directory" in filled("path", "d").fails()
