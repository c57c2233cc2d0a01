"""The journal's file: versions, damage, full disks, read-only places, and how deep it can branch."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from lake.errors import (
    AlreadyExists,
    Collected,
    InvalidInput,
    LakeError,
    NotALake,
    ReadOnly,
    StorageError,
    UnsupportedVersion,
)
from lake.journal.connection import VERSION
from lake.journal.sqlite import SqliteJournal, create
from lake.journal.values import Put, Remove
from lake.testing.journal import object_record, put

NOBODY = 65534


def edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def test_create_makes_a_durable_write_ahead_journal_once(path: Path) -> None:
    assert sorted(os.listdir(path.parent)) == ["journal.db", "journal.lock"]
    with pytest.raises(AlreadyExists):
        create(path)
    journal = SqliteJournal(path)
    with journal._database.direct() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


def test_create_where_nothing_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        create(tmp_path / "missing" / "journal.db")
    assert os.listdir(tmp_path) == []


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(NotALake, match="no journal"):
        SqliteJournal(tmp_path / "journal.db")
    assert os.listdir(tmp_path) == []


def test_a_newer_version_is_refused(path: Path) -> None:
    edit(path, f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(UnsupportedVersion, match="newer"):
        SqliteJournal(path)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises((NotALake, StorageError)) as caught:
        SqliteJournal(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    edit(tmp_path / "journal.db", "CREATE TABLE t(x)")
    with pytest.raises(NotALake):
        SqliteJournal(tmp_path / "journal.db")


def test_damage_inside_the_file_is_told(path: Path) -> None:
    journal = SqliteJournal(path)
    for number in range(50):
        put(journal, f"{number}", "x" * number)
    journal.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(StorageError, match="damaged"):
        SqliteJournal(path).log(SqliteJournal(path).resolve("main"))


def test_every_version_knows_when_it_ended(journal: SqliteJournal) -> None:
    """Without that, listings would still be right, but slower with every version; and expiry would be wrong."""
    for content in ("1", "22"):
        put(journal, "a", content)
    journal.create_branch("exp", "main")
    put(journal, "a", "333", branch="exp")
    journal.commit("main", [Remove("a")])
    put(journal, "a", "4444")
    with journal._database.direct() as connection:
        versions = connection.execute("SELECT branch, seq, until FROM entry ORDER BY branch, seq").fetchall()
    last = (1 << 63) - 1
    assert versions == [(1, 1, 2), (1, 2, 4), (1, 4, 5), (1, 5, last), (2, 3, last)]


def test_an_object_on_its_way_to_the_trash_cannot_be_named(journal: SqliteJournal) -> None:
    record = object_record("1")
    put(journal, "a", "1")
    edit(journal.path, "UPDATE object SET state = 'trash'")
    with pytest.raises(Collected, match="put it again") as refused:
        journal.commit("main", [Put("b", record.digest)])
    assert refused.value.digests == (record.digest,)
    assert journal.known([record.digest]) == set()
    assert journal.object(record.digest) is None
    assert list(journal.objects()) == []
    journal.commit("main", [Put("b", record.digest)], objects=[record])
    assert journal.known([record.digest]) == {record.digest}


def test_a_full_disk_commits_nothing_and_leaves_a_usable_journal(journal: SqliteJournal) -> None:
    put(journal, "a", "1")
    before = journal.resolve("main")
    with journal._database.direct() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        record = object_record("1")
        with pytest.raises(StorageError, match="no space"):
            journal.commit("main", [Put(f"{number:0500}", record.digest) for number in range(500)])
        assert journal.resolve("main") == before
        connection.execute("PRAGMA max_page_count = 1000000")
    put(journal, "b", "1")
    assert [entry.path for entry in journal.walk(journal.resolve("main"), "")] == ["a", "b"]


def test_text_that_is_not_utf8(journal: SqliteJournal) -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        put(journal, "a\udcff", "1")
    with pytest.raises(InvalidInput, match="UTF-8"):
        journal.commit("main", [], message="\udcff")
    with pytest.raises(InvalidInput, match="attributes of a"):
        put(journal, "a", "1", attributes={"k": "\udcff"})
    assert journal.resolve("main").seq == 0


def test_times_that_no_database_can_hold(journal: SqliteJournal) -> None:
    put(journal, "a", "1", modified=1 << 70)
    entry = journal.lookup(journal.resolve("main"), "a")
    assert entry is not None
    assert entry.modified == (1 << 63) - 1


def test_opening_for_reading_only(journal: SqliteJournal) -> None:
    first = put(journal, "a", "1")
    reader = SqliteJournal(journal.path, readonly=True)
    assert reader.log(reader.resolve("main")) == [first]
    for write in (
        lambda: put(reader, "b", "1"),
        lambda: reader.create_tag("t", "main"),
        lambda: reader.acquire_lease("me", "staging", 1),
    ):
        with pytest.raises(ReadOnly, match="reading only"):
            write()
    second = put(journal, "b", "1")
    assert reader.log(reader.resolve("main")) == [second, first]
    reader.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def without_rights(work: Callable[[], object]) -> None:
    """Call in a process of a user who may write nothing here."""
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def read_two_commits(path: Path) -> None:
    for readonly in (True, False):
        journal = SqliteJournal(path, readonly=readonly)
        view = journal.resolve("main")
        assert [entry.path for entry in journal.walk(view, "")] == ["a", "b"]
        assert len(journal.log(view)) == 2
        with pytest.raises(ReadOnly):
            put(journal, "c", "1")


def refuse_partial_answers(path: Path) -> None:
    with pytest.raises(ReadOnly, match="-wal"):
        SqliteJournal(path)


def make_read_only(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    folder.chmod(0o555)


def test_a_read_only_folder_is_read(open_folder: Path) -> None:
    path = open_folder / "journal.db"
    create(path)
    journal = SqliteJournal(path)
    put(journal, "a", "1")
    put(journal, "b", "1")
    journal.close()
    make_read_only(open_folder)
    before = sorted(os.listdir(open_folder))
    without_rights(partial(read_two_commits, path))
    assert sorted(os.listdir(open_folder)) == before


def test_a_read_only_folder_with_a_living_writer_is_read(open_folder: Path) -> None:
    path = open_folder / "journal.db"
    create(path)
    journal = SqliteJournal(path)
    put(journal, "a", "1")
    put(journal, "b", "1")
    make_read_only(open_folder)
    without_rights(partial(read_two_commits, path))
    journal.close()


def test_a_write_ahead_log_that_cannot_be_read_is_not_left_out(open_folder: Path, path: Path) -> None:
    journal = SqliteJournal(path)
    put(journal, "a", "1")
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(path.with_name(name), open_folder / name)
    journal.close()
    make_read_only(open_folder)
    without_rights(partial(refuse_partial_answers, open_folder / "journal.db"))


def test_a_thousand_branches_deep(journal: SqliteJournal) -> None:
    put(journal, "dir/root", "1")
    put(journal, "dir/changed", "1")
    previous = "main"
    for number in range(1000):
        journal.create_branch(f"b{number}", previous)
        previous = f"b{number}"
        if number == 500:
            put(journal, "dir/changed", "22", branch=previous)
            put(journal, "dir/own", "1", branch=previous)
    put(journal, "dir/changed", "55555")
    sizes = {"dir/changed": 2, "dir/own": 1, "dir/root": 1}
    view = journal.resolve(previous)
    assert {entry.path: entry.size for entry in journal.children(view, "dir")} == sizes
    for path, size in sizes.items():
        entry = journal.lookup(view, path)
        assert entry is not None
        assert entry.size == size
    assert journal.resolve(f"{previous}~3").seq == 1
    early = journal.resolve("b499")
    assert journal.lookup(early, "dir/own") is None
    assert len(journal.log(view)) == 4


def test_a_path_that_many_other_branches_have_changed(journal: SqliteJournal) -> None:
    put(journal, "a", "1")
    journal.create_branch("old", "main")
    for number in range(60):
        journal.create_branch(f"b{number}", "main")
        put(journal, "a", f"x{number:03}", branch=f"b{number}")
    put(journal, "a", "22", branch="old")
    journal.create_branch("young", "old")
    entry = journal.lookup(journal.resolve("young"), "a")
    assert entry is not None
    assert entry.size == 2
    assert journal.lookup(journal.resolve("young"), "b") is None


def test_near_paths_in_a_large_directory(journal: SqliteJournal) -> None:
    record = object_record("x")
    paths = [f"runs/sample{number:05}.bam" for number in range(3000)]
    journal.commit("main", [Put(path, record.digest) for path in paths], objects=[record])
    assert journal.near(journal.resolve("main"), "runs/sample02900.bma")[0] == "runs/sample02900.bam"


def test_every_error_is_one_line(journal: SqliteJournal) -> None:
    for ref in ("nothing", "main~5", "9", "a b"):
        with pytest.raises(LakeError) as caught:
            journal.resolve(ref)
        assert "\n" not in str(caught.value)
