"""Thinning the history of a lake: refs, the log, the catalog, held views, and death at every step."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import lake.expiry
from lake.catalog.reach import Reach
from lake.crashpoints import EXPIRE_STEPS
from lake.errors import Conflict, InvalidInput, NotFound, ReadOnly, StorageError
from lake.expiry import expire
from lake.feed import LakeFeed
from lake.journal import expiry
from lake.journal.values import View
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


def test_a_view_that_was_held_says_so(old: Lake) -> None:
    """Also where an older version, or that of another branch, is left to be seen in its place."""
    old.tag("before", "2")
    old.branch("exp", "1")
    for number in range(3):
        write(old, "kept", f"other {number}", ref="exp")
    held = [old.tree("3"), old.tree("exp~1")]
    write(old, "last", "")
    head = old.tree("main").view
    old.expire(Policy(last=1))
    journal = old.repo.journal
    looks: list[Callable[[View], object]] = [
        lambda view: journal.lookup(view, "changing"),
        lambda view: journal.lookup(view, "kept"),
        lambda view: journal.is_directory(view, "x"),
        lambda view: journal.children(view, ""),
        lambda view: journal.walk(view, ""),
        lambda view: journal.history(view, "kept"),
        lambda view: journal.log(view),
        lambda view: journal.diff(view, head),
        lambda view: journal.diff(head, view),
        lambda view: journal.near(view, "kepd"),
        lambda view: journal.shares(view, "", "1"),
        lambda view: journal.used("kept", view),
        lambda view: journal.feed_files(view, "", 10),
        lambda view: journal.feed_changed_files(head, view),
        lambda view: journal.feed_directories(view),
    ]
    for tree in held:
        for look in looks:
            with pytest.raises(NotFound, match="has been expired meanwhile"):
                look(tree.view)
    assert held[0].view.seq == 3


@pytest.mark.parametrize("published", [False, True])
def test_a_session_that_is_made_meanwhile_sees_one_state(
    old: Lake, monkeypatch: pytest.MonkeyPatch, published: bool
) -> None:
    """Another thread commits and thins when the ref is resolved already, and the generation chosen."""
    old.branch("exp", "3")
    if published:
        old.catalog.publish(force=True)
    tip = LakeFeed.tip

    def commit_and_thin() -> None:
        old.rm("kept")
        write(old, "changing", "again")
        expire(old.repo.journal, Policy(last=1))

    def later(feed: LakeFeed) -> Reach:
        if sys._getframe(1).f_code.co_name == "load_tail":
            monkeypatch.setattr(LakeFeed, "tip", tip)
            other = threading.Thread(target=commit_and_thin)
            other.start()
            other.join()
        return tip(feed)

    monkeypatch.setattr(LakeFeed, "tip", later)
    with old.catalog.connect(at="exp") as session:
        assert session.execute('SELECT path, "commit" FROM files ORDER BY path').fetchall() == [
            ("changing", 3),
            ("kept", 1),
        ]
        assert session.execute("SELECT seq FROM commits ORDER BY seq").fetchall() == [(3,), (11,)]


def test_a_generation_that_is_built_meanwhile_is_built_anew(old: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    old.catalog.publish(force=True)
    write(old, "more", "")
    main = LakeFeed.main

    def commit_and_thin() -> None:
        write(old, "changing", "new")
        expire(old.repo.journal, Policy(last=1))

    def later(feed: LakeFeed, seq: int) -> View:
        monkeypatch.setattr(LakeFeed, "main", main)
        view = main(feed, seq)
        other = threading.Thread(target=commit_and_thin)
        other.start()
        other.join()
        return view

    monkeypatch.setattr(LakeFeed, "main", later)
    made = old.catalog.publish(force=True)
    assert made is not None
    assert made.journal == LakeFeed(old.repo).identity()
    with old.catalog.connect() as session:
        assert session.generation == made
        assert session.execute("SELECT seq FROM commits").fetchall() == [(11,)]
        assert session.execute("SELECT count(*) FROM files").fetchall() == [(3,)]


def test_a_catalog_that_cannot_be_published_is_no_failure(
    old: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(old.catalog, "publish", full)
    assert old.expire(Policy(last=1)).expired == 8
    assert "the catalog was not published: no space left" in caplog.text


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


def test_what_is_committed_while_versions_go_stays(old: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = expiry.unseen

    def commit() -> None:
        write(old, "late", "new")
        write(old, "changing", "new")
        old.branch("exp", "main")
        write(old, "on a branch", "new", ref="exp")

    def after_a_commit(sql: sqlite3.Connection, *arguments: Any) -> Any:
        monkeypatch.setattr(expiry, "unseen", unseen)
        sql.execute("COMMIT")
        other = threading.Thread(target=commit)
        other.start()
        other.join()
        sql.execute("BEGIN")
        return unseen(sql, *arguments)

    monkeypatch.setattr(expiry, "unseen", after_a_commit)
    assert old.expire(Policy(last=1)).versions == 7
    assert [read(old, path) for path in ("late", "changing", "@exp/on a branch")] == ["new"] * 3


def test_a_deleted_branch_that_is_not_thinned_keeps_its_start(old: Lake) -> None:
    old.branch("exp", "4")
    write(old, "e", "1", ref="exp")
    old.branch("child", "exp")
    write(old, "c", "1", ref="child")
    write(old, "changing", "last")
    old.delete_branch("exp")
    old.delete_branch("child")
    old.expire(Policy(last=1), branch="main")
    assert [read(old, f"@11/{path}") for path in ("c", "e", "changing", "kept")] == ["1", "1", "4", "always"]
    assert [commit.seq for commit in old.log()] == [12, 4]
    assert old.expire(Policy(last=1)).dropped == ("child", "exp")
    assert [commit.seq for commit in old.log()] == [12]


def test_a_tag_on_a_deleted_branch_holds_where_it_begins(old: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody names a commit of it when others have gone already."""
    old.branch("exp", "4")
    for number in range(4):
        write(old, "e", str(number), ref="exp")
    write(old, "changing", "last")
    old.delete_branch("exp")
    monkeypatch.setattr(lake.expiry, "_BATCH", 2)
    let_go = old.repo.journal.expire

    def tagged_before(seqs: Sequence[int]) -> list[int]:
        monkeypatch.undo()
        gone = let_go(seqs)
        old.tag("kept", "11")
        return gone

    monkeypatch.setattr(old.repo.journal, "expire", tagged_before)
    old.expire(Policy(last=1))
    assert [read(old, f"@kept/{path}") for path in ("e", "changing", "kept")] == ["1", "4", "always"]


def test_an_operation_is_not_done_again_when_its_commit_was_expired(old: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with old.commit("first", op_id="night 1"):
        old.rm("kept")
    write(old, "kept", "again")
    old.expire(Policy(last=1))
    said = pytest.raises(Conflict, match="'night 1' was done as commit 10, which has been expired")
    with said, old.commit("first", op_id="night 1"):
        old.rm("kept")
    assert read(old, "kept") == "again"
    monkeypatch.setenv("REGIONLAKE_CLOCK", str(31 * 86_400))
    write(old, "later", "")
    old.expire(Policy(last=1))
    with old.commit("a month later", op_id="night 1"):
        old.rm("kept")
    assert not old.exists("kept")
