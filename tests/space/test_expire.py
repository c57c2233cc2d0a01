"""Thinning the history of a lake: refs, the log, the catalog, held views, and death at every step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lake.crashpoints import EXPIRE_STEPS
from lake.errors import InvalidInput, NotFound, ReadOnly
from lake.lake import Lake
from lake.retention import Policy


def write(lk: Lake, path: str, text: str, ref: str | None = None) -> None:
    with lk.open(path, "w", ref=ref) as file:
        file.write(text)


def read(lk: Lake, path: str) -> str:
    with lk.open(path, "r") as file:
        return str(file.read())


@pytest.fixture
def old(lk: Lake) -> Lake:
    """``kept`` of commit 1, and ``changing`` of commits 2 to 9."""
    write(lk, "kept", "always")
    for number in range(2, 10):
        write(lk, "changing", str(number))
    return lk


def test_what_goes_and_what_stays(old: Lake) -> None:
    old.tag("v1", "4")
    old.branch("exp", "6")
    report = old.expire(Policy(last=2))
    assert (report.expired, report.versions) == (5, 4)
    assert [commit.seq for commit in old.log()] == [9, 8, 6, 4]
    assert [read(old, f"@{ref}/changing") for ref in ("v1", "exp", "8", "main")] == ["4", "6", "8", "9"]
    assert read(old, "@v1/kept") == "always"
    with pytest.raises(NotFound, match="commit 5 has been expired"):
        old.open("@5/changing")
    with pytest.raises(NotFound, match="the newest is 9"):
        old.open("@10/changing")
    assert old.expire(Policy(last=2)).expired == 0


def test_a_version_is_told_with_the_oldest_commit_that_still_sees_it(old: Lake) -> None:
    old.expire(Policy(last=2))
    assert [commit.seq for commit in old.log("kept")] == [8]
    assert [commit.seq for commit, _ in old.history("kept")] == [8]
    assert [commit.seq for commit, _ in old.history("changing")] == [9, 8]


def test_a_dry_run_changes_nothing(old: Lake) -> None:
    before = old.log()
    report = old.expire(Policy(last=1), dry_run=True)
    assert (report.expired, report.dry_run) == (8, True)
    assert report.as_json()["branches"][0]["kept"] == [{"commit": 9, "why": ["last", "head of main", "newest of all"]}]
    assert old.log() == before


def test_one_branch_alone(old: Lake) -> None:
    old.branch("exp", "main")
    for number in range(3):
        write(old, "e", str(number), ref="exp")
    old.expire(Policy(last=1), branch="exp")
    assert [commit.seq for commit in old.log()] == list(range(9, 0, -1))
    assert [commit.seq for commit in old.log("@exp/")] == [12, *range(9, 0, -1)]
    with pytest.raises(NotFound):
        old.expire(Policy(last=1), branch="unknown")


def test_deleted_branches_are_dropped_and_their_numbers_never_given_again(old: Lake) -> None:
    old.branch("exp", "5")
    write(old, "e", "1", ref="exp")
    old.branch("child", "exp")
    old.delete_branch("exp")
    assert old.expire(Policy(last=-1)).dropped == ()
    old.delete_branch("child")
    assert old.expire(Policy(last=-1)).dropped == ("child",), "commit 10 is the newest of all: its branch stays"
    write(old, "more", "")
    assert old.log()[0].seq == 11
    assert old.expire(Policy(last=-1)).dropped == ("exp",)
    with pytest.raises(NotFound, match="commit 10 has been expired"):
        old.open("@10/e")


def test_the_catalog_follows(old: Lake) -> None:
    old.catalog.publish(force=True)
    held = old.catalog.connect()
    old.branch("exp", "5")
    old.expire(Policy(last=1))
    assert old.sql("SELECT array_agg(seq ORDER BY seq) FROM commits").fetchall() == [([5, 9],)]
    with old.catalog.connect(at="exp") as session:
        assert session.execute("SELECT path, size FROM files ORDER BY path").fetchall() == [
            ("changing", 1),
            ("kept", 6),
        ]
    assert held.execute("SELECT count(*) FROM files").fetchall() == [(2,)]
    assert old.catalog.publish(force=True) is not None
    assert old.sql("SELECT count(*) FROM commits").fetchall() == [(2,)]


def test_a_tree_that_was_held_says_so(old: Lake) -> None:
    held = old.tree("3")
    old.expire(Policy(last=1))
    for look in (lambda: held.walk(""), lambda: held.children(""), lambda: held.find("changing")):
        with pytest.raises(NotFound, match="has been expired meanwhile"):
            look()


def test_reading_only(old: Lake) -> None:
    with Lake.open_at(old.root, readonly=True) as lk:
        assert lk.expire(Policy(last=1), dry_run=True).expired == 8
        with pytest.raises(ReadOnly):
            lk.expire(Policy(last=1))
    with pytest.raises(InvalidInput):
        old.expire(Policy())


@pytest.mark.parametrize("step", EXPIRE_STEPS)
def test_killed_at_any_step_the_next_run_finishes(old: Lake, step: str) -> None:
    old.branch("gone", "3")
    old.delete_branch("gone")
    code = (
        f"import sys; from lake.lake import Lake; from lake.retention import Policy; from lake import crashpoints;"
        f"crashpoints.arm({step!r}); Lake.open_at(sys.argv[1]).expire(Policy(last=1))"
    )
    died = subprocess.run([sys.executable, "-c", code, str(old.root)], capture_output=True, timeout=60)
    assert died.returncode == -9, died.stderr
    assert read(old, "changing") == "9"
    assert read(old, "kept") == "always"
    old.expire(Policy(last=1))
    assert [commit.seq for commit in old.log()] == [9]
    assert sorted(found.size for found, _ in [(entry, 0) for entry in old.ls(recursive=True)]) == [1, 6]
    assert len({entry.digest for _, entry in old.history("changing") if entry is not None}) == 1


def test_writers_go_on_meanwhile(old: Lake, tmp_path: Path) -> None:
    code = (
        "import sys; from lake.lake import Lake\n"
        "with Lake.open_at(sys.argv[1]) as lk:\n"
        "    for number in range(40):\n"
        "        with lk.open('changing', 'w') as file: file.write(f'w{number}')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(old.root)]) as writer:
        while writer.poll() is None:
            old.expire(Policy(last=1))
            assert read(old, "kept") == "always"
        assert writer.returncode == 0
    old.expire(Policy(last=1))
    assert [commit.seq for commit in old.log()] == [49]
    assert read(old, "changing") == "w39"
