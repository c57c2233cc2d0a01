"""``log``, ``branch``, ``tag`` and ``diff``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def filled(run: Run, files: Path) -> Run:
    run("put", f"{files}/.", "", "-m", "first").works()
    run("rm", "a.txt").works()
    return run


def test_log(filled: Run) -> None:
    lines = filled("log").works().lines
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert lines[1].endswith("first")
    assert len(filled("log", "b.txt").works().lines) == 1
    assert len(filled("log", "-n", "1").works().lines) == 1
    found = filled("log", "a.txt", "--json").works().json
    assert [one["seq"] for one in found] == [2, 1]
    assert found[0]["parents"] == [found[1]["id"]]
    assert filled("log", "@main~1").works().lines == lines[1:]


def test_a_message_of_many_lines_takes_one(filled: Run) -> None:
    filled("put", "-", "x", "-m", "subject\n\nbody", stdin=b"1").works()
    assert filled("log", "-n", "1").works().lines[0].endswith("subject body")
    assert filled("log", "-n", "1", "--json").works().json[0]["message"] == "subject\n\nbody"


@pytest.mark.parametrize("limit", ["-1", "0"])
def test_log_of_no_number(filled: Run, limit: str) -> None:
    with pytest.raises(SystemExit) as caught:
        filled("log", "-n", limit)
    assert caught.value.code == 2


def test_branches(filled: Run) -> None:
    filled("branch", "exp", "main~1").works()
    assert filled("branch", "late", "--json").works().json["head"] == 2
    assert {line.split()[0] for line in filled("branch").works().lines} == {"main", "exp", "late"}
    assert {one["name"]: one["parent"] for one in filled("branch", "--json").works().json} == {
        "main": None,
        "exp": "main",
        "late": "main",
    }
    assert filled("ls", "@exp/a.txt").works().lines
    filled("branch", "-d", "exp").works()
    for arguments in (("-d",), ("-d", "exp"), ("-d", "main"), ("late",), ("a/b",), ("12",), ("new", "v9")):
        filled("branch", *arguments).fails()


def test_tags(filled: Run) -> None:
    filled("tag", "v1", "1").works()
    filled("tag", "v2").works()
    assert {one["name"]: one["seq"] for one in filled("tag", "--json").works().json} == {"v1": 1, "v2": 2}
    assert len(filled("tag").works().lines) == 2
    filled("tag", "-d", "v2").works()
    for arguments in (("-d",), ("-d", "v2"), ("v1",), ("main",), ("v@3",)):
        filled("tag", *arguments).fails()


def test_diff(filled: Run) -> None:
    filled("put", "-", "b.txt", stdin=b"other").works()
    filled("meta", "set", "table.csv", "n=1").works()
    filled("put", "-", "d/new.txt", stdin=b"new").works()
    assert filled("diff", "1").works().lines == ["D  a.txt", "M  b.txt", "A  d/new.txt", "T  table.csv"]
    assert filled("diff", "main", "1", "d").works().lines == ["D  d/new.txt"]
    found = {one["path"]: one for one in filled("diff", "1", "main", "--json").works().json}
    assert found["a.txt"]["new"] is None
    assert found["table.csv"]["new"]["attributes"] == {"n": 1}
    assert filled("diff", "main").works().lines == []
    assert "v9" in filled("diff", "v9").fails()
