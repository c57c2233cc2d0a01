"""``du``, ``quota`` and ``expire``: what is printed, and exit statuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_du(run: Run, files: Path) -> None:
    run("put", files, "x", "--meta", "project=demo").works()
    run("cp", "-r", "x/d", "y").works()
    assert rows(run("du").works().text) == [
        ["bytes", "stored", "files"],
        ["15", "B", "15", "B", "5", "x"],
        ["4", "B", "4", "B", "2", "y"],
        ["19", "B", "15", "B", "7", "total"],
    ]
    assert [row[-1] for row in rows(run("du", "x", "--depth", 2).works().text)] == ["files", "x/d", "x/d/e", "x"]
    assert run("du", "x/a.txt", "--json").works().json == {
        "shares": [],
        "total": {"name": "x/a.txt", "files": 1, "bytes": 1, "stored": 1},
    }
    by_format = run("du", "--by", "format", "--json").works().json
    assert {share["name"]: share["files"] for share in by_format["shares"]} == {"CSV": 1, "text": 6}
    assert [share["name"] for share in run("du", "--by", "project", "--json").works().json["shares"]] == ["demo"]
    assert [share["name"] for share in run("du", "--by", "top-level", "--json").works().json["shares"]] == ["x", "y"]
    run("branch", "exp").works()
    run("rm", "-r", "x", "--ref", "exp").works()
    by_branch = run("du", "--by", "branch", "--json").works().json
    assert [(share["name"], share["files"], share["stored"]) for share in by_branch["shares"]] == [
        ("exp", 2, 4),
        ("main", 7, 15),
    ]
    assert (by_branch["total"]["files"], by_branch["total"]["stored"]) == (9, 15)
    assert run("du", "nowhere").fails()
    assert run("du", "x", "--ref", "exp").fails()


def test_du_of_history(run: Run, tmp_path: Path) -> None:
    for text in ("1", "22", "333"):
        (tmp_path / "f").write_text(text)
        run("put", tmp_path / "f", "f").works()
    assert run("du", "--json").works().json["total"]["bytes"] == 3
    assert run("du", "--history", "--json").works().json["total"] == {"name": "", "files": 3, "bytes": 6, "stored": 6}
    assert run("du", "f", "--history", "--json").works().json["total"]["bytes"] == 6


def test_quota(run: Run, files: Path, caplog: pytest.LogCaptureFixture) -> None:
    run("put", files, "x").works()
    run("quota", "set", "x", "--soft", "15", "--hard", "1k").works()
    run("cp", "x/b.txt", "x/b2.txt").works()
    assert caplog.messages == ["x on main holds 17 B, more than its soft quota of 15 B"]
    assert rows(run("quota", "ls").works().text)[1] == ["x", "main", "17", "B", "15", "B", "1", "kB", "2", "%"]
    run("quota", "set", "x", "--hard", "18").works()
    assert "its quota is 18 B" in run("cp", "x/b.txt", "x/b3.txt").fails()
    assert "its quota is 18 B" in run("put", files / "b.txt", "x/b3.txt").fails()
    assert run("quota", "ls", "--json").works().json == [
        {"prefix": "x", "branch": "main", "used": 17, "soft": None, "hard": 18}
    ]
    run("quota", "rm", "x").works()
    assert run("quota", "ls").works().text == ""
    assert run("quota", "set", "x").fails()
    assert run("quota", "set", "x", "--hard", "much").fails()


def test_expire(run: Run, tmp_path: Path) -> None:
    for text in ("1", "22", "333"):
        (tmp_path / "f").write_text(text)
        run("put", tmp_path / "f", "f").works()
    run("tag", "v1", "main~2").works()
    dry = run("expire", "--keep-last", 1, "--dry-run").works().lines
    assert dry[0] == "main: 2 commits kept, 1 expired"
    assert dry[-1] == "1 commits would expire; nothing was changed"
    assert run("expire", "--keep-last", 1, "--json").works().json["expired"] == 1
    assert [commit["seq"] for commit in run("log", "--json").works().json] == [3, 1]
    assert run("cat", "@v1/f").works().text == "1"
    assert "has been expired" in run("cat", "@2/f").fails()
    assert "what to keep" in run("expire").fails()
    run("expire", "--keep-daily", 7, "--keep-within", "1m", "--branch", "main").works()
