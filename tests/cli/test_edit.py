"""``mkdir``, ``mv``, ``cp``, ``rm``, ``restore`` and ``meta``."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.lake import Lake
from tests.cli.conftest import Run
from tests.lake.samples import branch_files


@pytest.fixture
def filled(run: Run, files: Path) -> Run:
    run("put", f"{files}/.", "").works()
    return run


def commits(run: Run) -> int:
    return len(run("log").works().lines)


def test_each_command_is_one_commit(filled: Run, root: Path) -> None:
    for number, arguments in enumerate(
        [
            ("mkdir", "x", "y"),
            ("mv", "a.txt", "b.txt", "x"),
            ("mv", "x/*.txt", "y/"),
            ("cp", "-r", "d", "y", "x"),
            ("cp", "table.csv", "copy.csv"),
            ("rm", "-r", "d", "*.csv"),
            ("meta", "set", "x", "y/*.txt", "n=1"),
        ],
        start=2,
    ):
        filled(*arguments).works()
        assert commits(filled) == number
    with Lake.open_at(root) as lk:
        assert sorted(branch_files(lk)) == ["x/d/c.txt", "x/d/e/f.txt", "x/y/a.txt", "x/y/b.txt", "y/a.txt", "y/b.txt"]


def test_one_that_fails_changes_nothing(filled: Run) -> None:
    before = filled("ls", "-R").lines
    for arguments, message in (
        (("mv", "a.txt", "nothing", "d/"), "nothing"),
        (("mv", "a.txt", "b.txt", "table.csv"), "is not a directory"),
        (("mv", "a.txt"), "needs a source"),
        (("cp", "d", "x"), "-r (recursive)"),
        (("rm", "a.txt", "d"), "-r (recursive)"),
        (("rm", "a.txt", "nothing"), "no such file"),
        (("rm", "*.bam"), "nothing in the lake matches"),
        (("mkdir", "x", "d"), "exists already"),
        (("restore", "a.txt", "--from", "v9"), "v9"),
        (("restore", "a.txt", "nothing", "--from", "main"), "nothing"),
        (("meta", "set", "a.txt", "nothing", "n=1"), "nothing"),
        (("meta", "set", "n=1"), "needs paths"),
    ):
        assert message in filled(*arguments).fails()
    assert filled("ls", "-R").lines == before
    assert commits(filled) == 1
    filled("mkdir", "-p", "d", "x").works()


def test_on_another_branch(filled: Run) -> None:
    filled("branch", "exp").works()
    filled("rm", "--ref", "exp", "a.txt").works()
    filled("rm", "@exp/b.txt").works()
    filled("mv", "@exp/table.csv", "@exp/moved.csv").works()
    filled("mkdir", "--ref", "exp", "made").works()
    filled("mkdir", "@exp/more").works()
    filled("cp", "b.txt", "@exp/more/").works()
    assert filled("ls", "--ref", "exp", "-R").lines == [
        "d/c.txt",
        "d/e/f.txt",
        "made/",
        "more/",
        "more/b.txt",
        "moved.csv",
    ]
    filled("restore", "@exp/b.txt", "--from", "main").works()
    filled("rm", "-r", "@exp/m*").works()
    assert filled("ls", "@exp/").lines == ["b.txt", "d/"]
    assert filled("ls").lines == ["a.txt", "b.txt", "d/", "table.csv"]
    assert "another branch" in filled("mv", "a.txt", "@exp/x").fails()
    filled("tag", "v1").works()
    for arguments in (("rm", "@v1/a.txt"), ("mkdir", "@v1/x"), ("rm", "--ref", "1", "a.txt")):
        assert "not a branch" in filled(*arguments).fails()


def test_restore(filled: Run) -> None:
    filled("rm", "-r", "d", "a.txt").works()
    filled("restore", "d", "a.txt", "--from", "main~1").works()
    assert filled("ls", "-R").lines == ["a.txt", "b.txt", "d/c.txt", "d/e/f.txt", "table.csv"]
    assert commits(filled) == 3


def test_meta(filled: Run) -> None:
    filled("meta", "set", "a.txt", "s=x y", "n=1", "b=false", "l:json=[1]").works()
    assert filled("meta", "get", "a.txt").works().lines == ["b=false", "l=[1]", "n=1", "s=x y"]
    assert filled("meta", "get", "a.txt", "s").works().text == "x y\n"
    assert filled("meta", "get", "a.txt", "n", "--json").works().json == 1
    filled("meta", "rm", "a.txt", "s", "l").works()
    assert filled("meta", "get", "a.txt", "--json").works().json == {"b": False, "n": 1}
    assert "it has b, n" in filled("meta", "get", "a.txt", "s").fails()
    assert filled("meta", "get", "--ref", "main~1", "a.txt", "s").works().text == "x y\n"
