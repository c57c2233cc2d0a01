"""A journal that is made again from its log: the same in every row, whatever happens on the way."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import rule

from lake import crashpoints
from lake.config import create_config
from lake.crashpoints import REBUILD_STEPS
from lake.digest import Digest
from lake.errors import LakeLocked, NotFound, StaleJournal, StorageError
from lake.gc import LOST_AND_FOUND
from lake.journal.sqlite import SqliteJournal
from lake.journal.values import Annotate, MakeDirectory, Put, Quota, Remove
from lake.lake import Lake
from lake.rebuilding import rebuild_journal
from lake.retention import Policy
from lake.stores.durable import System
from lake.stores.places import plain_handle
from lake.testing.faults import FaultySystem
from tests.journal.test_model import JournalMachine
from tests.lake.test_gc import read, write

TRUTH = {
    "branch": "*",
    "ancestry": "*",
    "commits": "*",
    "commit_parent": "*",
    "tag": "*",
    "entry": "*",
    "object": "*",
    "chunk_map": "*",
    "quota": "*",
}
"""Tables that the log has all of."""


def truth(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as sql:
        rows = {name: sql.execute(f"SELECT {columns} FROM {name}").fetchall() for name, columns in TRUTH.items()}
        rows["event"] = sql.execute("SELECT * FROM event WHERE kind <> 'rebuilt'").fetchall()
    return rows


@pytest.fixture
def lived(tmp_path: Path) -> Path:
    """A lake in which everything that the log tells has happened, and the newest event is a commit."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        (source / f"{number}.txt").write_text(f"content {number}\n" * (number + 1))
    root = tmp_path / "lake"
    with Lake.init(root) as lk:
        journal = lk.repo.journal
        lk.put(source, "a")
        journal.commit("main", [MakeDirectory("empty"), Annotate("a/0.txt", {"é": [1, None, "x"]})], op_id="once")
        journal.create_branch("exp", "main")
        journal.create_branch("gone", "1")
        journal.create_tag("v1", "main~1")
        journal.create_tag("v2", "exp")
        journal.commit("exp", [Remove("a/1.txt")], message="weg\n", author="née")
        journal.commit("gone", [Remove("a/2.txt")])
        journal.delete_branch("gone")
        journal.delete_tag("v2")
        journal.set_quota(Quota("a", 1000, 2000))
        digest = lk.stat("a/3.txt").digest
        assert digest is not None
        journal.add_checksums(digest, {"md5": "0" * 32})
        journal.create_branch("child", "exp")
        lk.rm("a/3.txt")
        lk.put(source / "3.txt", "again.txt")
    return root


def test_everything_comes_back(lived: Path) -> None:
    before = truth(lived / "journal.db")
    with Lake.open_at(lived) as lk:
        identity = lk.repo.journal.identity()
    (lived / "journal.db").unlink()
    made = rebuild_journal(lived)
    assert truth(lived / "journal.db") == before
    assert (made.commits, made.objects, made.missing, made.moved, made.aside) == (6, 4, (), 0, None)
    with Lake.open_at(lived) as lk:
        journal = lk.repo.journal
        assert journal.identity() != identity
        assert journal.commit("main", [], op_id="once").replayed
        assert (journal.log_state().behind, journal.log_problems()) == (0, [])
        assert journal.verify() == []
        assert lk.fsck().ok
        assert lk.find("again.txt")
        journal.commit("child", [Remove("a/0.txt")])
    # Again, from a log that goes on behind the first time.
    before = truth(lived / "journal.db")
    aside = rebuild_journal(lived).aside
    assert truth(lived / "journal.db") == before
    assert aside is not None
    assert aside.parent == lived / "quarantine"
    assert (aside / "journal.db").is_file()


def test_from_an_older_journal(lived: Path, tmp_path: Path) -> None:
    shutil.copy(lived / "journal.db", tmp_path / "older.db")
    with Lake.open_at(lived) as lk:
        lk.rm("again.txt")
    before = truth(lived / "journal.db")
    os.replace(tmp_path / "older.db", lived / "journal.db")
    with pytest.raises(StaleJournal):
        Lake.open_at(lived)
    assert Lake.rebuild_journal(lived).commits == 7
    assert truth(lived / "journal.db") == before


def test_what_only_the_journal_has_is_not_given_up(lived: Path) -> None:
    log = next((lived / "log").iterdir())
    whole = log.read_bytes()
    log.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    before = truth(lived / "journal.db")
    system = FaultySystem({"write": 28})
    with pytest.raises(StorageError, match="events that its log lacks: nothing to make again"):
        rebuild_journal(lived, system=system)
    assert truth(lived / "journal.db") == before
    rebuild_journal(lived)
    assert truth(lived / "journal.db") == before


def test_without_a_log(lived: Path) -> None:
    shutil.rmtree(lived / "log")
    (lived / "journal.db").unlink()
    with pytest.raises(NotFound, match="has no log to make the journal from"):
        rebuild_journal(lived)


@pytest.mark.parametrize("line", [2, -1])
def test_a_damaged_log_makes_nothing(lived: Path, line: int) -> None:
    log = next((lived / "log").iterdir())
    lines = log.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b"created", b"creaded")
    log.write_bytes(b"".join(lines))
    os.replace(lived / "journal.db", lived / "kept.db")
    with pytest.raises(StorageError, match="is damaged"):
        rebuild_journal(lived)
    assert not (lived / "journal.db").exists()


def test_objects_that_are_elsewhere_or_nowhere(lived: Path) -> None:
    with Lake.open_at(lived) as lk:
        journal = lk.repo.journal
        gone, packed = (lk.stat(path, ref="main").digest for path in ("a/0.txt", "again.txt"))
        assert gone is not None
        assert packed is not None
    (lived / plain_handle(gone)).unlink()
    with closing(sqlite3.connect(lived / "journal.db")) as sql, sql:
        sql.execute("INSERT INTO event(kind, body) VALUES('relocate', ?)", (f'{{"{packed}":["packs/00",0,44]}}',))
    made = rebuild_journal(lived)
    assert made.moved == 1
    (missing,) = made.missing
    assert missing.digest == gone
    assert missing.paths[0][0] == "a/0.txt"
    assert made.as_json()["missing"][0]["paths"][0]["branch"] == missing.paths[0][1]
    with Lake.open_at(lived) as lk:
        journal = lk.repo.journal
        assert journal.locations([packed])[packed].handle == plain_handle(packed)
        assert (journal.log_state().behind, journal.log_problems()) == (0, [])


def test_history_that_was_let_go(lived: Path) -> None:
    with Lake.open_at(lived) as lk:
        for number in range(3):
            lk.repo.journal.commit("main", [Annotate("a/0.txt", {"n": number})])
        assert lk.repo.journal.expire([7, 8]) == [7, 8]
        assert lk.repo.journal.sweep_history() == 2
    before = truth(lived / "journal.db")
    rebuild_journal(lived)
    after = truth(lived / "journal.db")
    assert after == before
    # A log that is written anew knows of expired commits by their number alone.
    shutil.rmtree(lived / "log")
    with Lake.open_at(lived) as lk:
        assert lk.repo.journal.log_problems() == []
    rebuild_journal(lived)
    assert truth(lived / "journal.db")["commits"] == before["commits"]
    with Lake.open_at(lived) as lk:
        assert lk.repo.journal.verify() == []


@pytest.mark.parametrize("step", REBUILD_STEPS)
def test_killed_on_the_way(lived: Path, step: str) -> None:
    before = truth(lived / "journal.db")
    child = os.fork()
    if not child:
        crashpoints.arm(step)
        rebuild_journal(lived)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if step != "journal-named":
        rebuild_journal(lived)
    with Lake.open_at(lived) as lk:
        assert (lk.repo.journal.log_state().behind, lk.repo.journal.log_problems()) == (0, [])
    assert truth(lived / "journal.db") == before
    assert not (lived / "journal.db.new").exists()


def test_a_writer_that_is_at_work_meanwhile_goes_on_in_the_new_journal(lived: Path) -> None:
    with Lake.open_at(lived) as lk:
        rebuild_journal(lived)
        lk.rm("again.txt")
        assert lk.repo.journal.log_state().behind == 0
    with Lake.open_at(lived) as lk:
        assert len(lk.log()) == 5


def test_what_somebody_is_writing_meanwhile_is_kept(lived: Path) -> None:
    with Lake.open_at(lived) as lk:
        with lk.open("slow", "wb") as file:
            file.write(b"one")
            file.flush()
            rebuild_journal(lived)
            with Lake.open_at(lived) as other:
                write(other, "quick", b"two")
        assert (read(lk, "slow"), read(lk, "quick")) == (b"one", b"two")


class RebuiltMachine(JournalMachine):
    """The journal's own model, with journals that are made again from their logs every now and then."""

    def __init__(self) -> None:
        super().__init__()
        create_config(Path(self.folder.name))

    @rule()
    def rebuild(self) -> None:
        path = self.journal.path
        self.journal.close()
        before = truth(path)
        rebuild_journal(path.parent, system=_Unsynced())
        assert truth(path) == before
        self.journal = SqliteJournal(path)


class _Unsynced(System):
    """Nothing reaches the disk: only time would be lost by that."""

    def fsync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: str | Path) -> None:
        pass


TestRebuiltMachine = RebuiltMachine.TestCase
TestRebuiltMachine.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)


def test_put_is_what_the_log_tells(lived: Path) -> None:
    with Lake.open_at(lived) as lk:
        digest = lk.stat("again.txt").digest
        assert digest is not None
        made = lk.repo.journal.commit("main", [Put("b", digest, {"k": "v"}, modified=-5)])
    before = truth(lived / "journal.db")
    (lived / "journal.db").unlink()
    rebuild_journal(lived)
    assert truth(lived / "journal.db") == before
    with Lake.open_at(lived) as lk:
        assert lk.log()[0].id == made.id


def collected(root: Path) -> tuple[Digest, bytes]:
    """Let gc take a file of the lake; its digest and its bytes."""
    with Lake.open_at(root) as lk:
        digest = write(lk, "extra", b"extra" * 1000)
        lk.rm("extra")
        lk.expire(Policy(last=1))
        assert lk.gc().waiting == 1
    return digest, b"extra" * 1000


def test_what_is_in_the_trash_stays_there_and_can_come_back(lived: Path) -> None:
    digest, data = collected(lived)
    (lived / "journal.db").unlink()
    rebuild_journal(lived)
    with Lake.open_at(lived) as lk:
        assert lk.gc(grace=0).waiting == 1
        lk.untrash([f"b3:{digest}"])
        assert read(lk, f"{LOST_AND_FOUND}/{digest}") == data
        lk.rm(f"{LOST_AND_FOUND}/{digest}")
        lk.expire(Policy(last=1))
        assert lk.gc(trash=0).purged == 1
        assert lk.fsck().ok


def test_what_gc_took_after_the_last_event_of_the_log_is_back(lived: Path) -> None:
    data = b"extra" * 1000
    with Lake.open_at(lived) as lk:
        write(lk, "extra", data)
    kept = {path.name: path.read_bytes() for path in (lived / "log").iterdir()}
    with Lake.open_at(lived) as lk:
        lk.rm("extra")
        lk.expire(Policy(last=1))
        assert lk.gc().objects > 0
    shutil.rmtree(lived / "log")
    (lived / "log").mkdir()
    for name, body in kept.items():
        (lived / "log" / name).write_bytes(body)
    (lived / "journal.db").unlink()
    assert rebuild_journal(lived).missing == ()
    with Lake.open_at(lived) as lk:
        lk.gc(grace=0, trash=0, empty_trash=True)
        assert read(lk, "extra") == data
        assert lk.fsck().ok


def test_nobody_moves_files_meanwhile(lived: Path) -> None:
    with Lake.open_at(lived) as lk, lk.repo.trash.lock, pytest.MonkeyPatch.context() as patch:
        patch.setattr("lake.rebuilding._TIMEOUT", 0.0)
        with pytest.raises(LakeLocked, match=r"sweep\.lock"):
            rebuild_journal(lived)
