"""Many threads, processes and forks on one journal; writers that are killed."""

from __future__ import annotations

import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from lake.errors import LakeLocked
from lake.journal.lockfile import LockFile
from lake.journal.sqlite import SqliteJournal
from lake.testing.journal import put

PREAMBLE = """
import sys
from pathlib import Path
from lake.journal.values import ABSENT, Put
from lake.journal.sqlite import SqliteJournal
from lake.testing.journal import object_record

record = object_record("content")
journal = SqliteJournal(Path(sys.argv[1]))
"""

FINITE = """
for number in range(200):
    change = Put(f"{sys.argv[2]}/{number}", record.digest, expect=ABSENT)
    journal.commit("main", [change], objects=[record], op_id=f"{sys.argv[2]}-{number}")
"""

ENDLESS = """
for number in range(10**6):
    changes = [Put(f"{sys.argv[2]}/{number}/{part}", record.digest) for part in range(3)]
    commit = journal.commit("main", changes, objects=[record])
    print(commit.seq, commit.id, flush=True)
"""


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def writing(script: str, path: Path, prefix: str) -> subprocess.Popen[str]:
    """A process that commits below the prefix."""
    command = [sys.executable, "-c", PREAMBLE + script, str(path), prefix]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def in_child(work: Callable[[], object]) -> None:
    """Run in a fork; whatever goes wrong there fails the test."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_eight_processes_lose_nothing(journal: SqliteJournal) -> None:
    processes = [writing(FINITE, journal.path, f"w{writer}") for writer in range(8)]
    # Reading goes on meanwhile, and never sees half of anything.
    while any(process.poll() is None for process in processes):
        view = journal.resolve("main")
        assert len(journal.walk(view, "")) == view.seq
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    view = journal.resolve("main")
    log = journal.log(view)
    assert [commit.seq for commit in log] == list(range(1600, 0, -1))
    assert all(newer.parents == (older.id,) for newer, older in pairwise(log))
    assert len(journal.children(view, "w3")) == 200


def test_threads_share_a_journal(journal: SqliteJournal) -> None:
    def work(thread: int) -> None:
        for number in range(40):
            put(journal, f"t{thread}/{number}", "content")
            assert journal.lookup(journal.resolve("main"), f"t{thread}/{number}") is not None

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.walk(journal.resolve("main"), "")) == 200


def test_a_killed_writer_leaves_a_sound_journal(journal: SqliteJournal) -> None:
    chance = random.Random()
    acknowledged: dict[int, str] = {}
    for attempt in range(4):
        writers = [writing(ENDLESS, journal.path, f"{attempt}-{writer}") for writer in range(2)]
        for writer in writers:
            assert writer.stdout is not None
            acknowledged.update(parsed(writer.stdout.readline()))
        time.sleep(chance.uniform(0, 0.2))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            out, _ = writer.communicate()
            for line in out.splitlines(keepends=True):
                acknowledged.update(parsed(line))
    again = SqliteJournal(journal.path)
    view = again.resolve("main")
    committed = {commit.seq: commit.id for commit in again.log(view)}
    assert acknowledged.items() <= committed.items()
    assert len(again.walk(view, "")) == 3 * len(committed)
    put(again, "after", "content")
    again.close()
    journal.close()
    assert integrity(journal.path) == "ok"


def parsed(line: str) -> dict[int, str]:
    """A commit that was told whole; the last line of a killed process may be cut."""
    if not line.endswith("\n"):
        return {}
    seq, identity = line.split()
    return {int(seq): identity}


def test_a_forked_child_opens_its_own_connection(journal: SqliteJournal) -> None:
    put(journal, "before", "1")

    def work() -> None:
        put(journal, "child", "1")
        journal.close()

    in_child(work)
    put(journal, "after", "1")
    assert [entry.path for entry in journal.walk(journal.resolve("main"), "")] == ["after", "before", "child"]


def test_a_child_that_outlives_its_parents_connection_loses_nothing(journal: SqliteJournal) -> None:
    """The parent's last close would remove the write-ahead log under a child that only believed to hold a lock."""
    put(journal, "before", "1")
    to_child, to_parent = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        put(journal, "first", "1")
        os.write(to_parent[1], b"x")
        os.read(to_child[0], 1)
        put(journal, "second", "1")
        os._exit(0)
    os.read(to_parent[0], 1)
    journal.close()
    os.write(to_child[1], b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for descriptor in (*to_child, *to_parent):
        os.close(descriptor)
    assert [entry.path for entry in journal.walk(journal.resolve("main"), "")] == ["before", "first", "second"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_forking_while_threads_commit(journal: SqliteJournal) -> None:
    done = threading.Event()
    committed: list[int] = []

    def work(thread: int) -> None:
        while not done.is_set():
            committed.append(put(journal, f"t{thread}/{len(committed)}", "content").seq)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(2)]
    for thread in threads:
        thread.start()
    for number in range(8):
        in_child(partial(put, journal, f"child/{number}", "1"))
    done.set()
    for thread in threads:
        thread.join()
    view = journal.resolve("main")
    assert len(journal.children(view, "child")) == 8
    assert set(committed) <= {commit.seq for commit in journal.log(view)}


def test_a_pickled_journal_opens_the_same_file(journal: SqliteJournal) -> None:
    put(journal, "a", "1")
    copy = pickle.loads(pickle.dumps(journal))
    assert copy.walk(copy.resolve("main"), "") == journal.walk(journal.resolve("main"), "")
    copy.close()


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_no_connection_is_carried_across_a_fork(journal: SqliteJournal) -> None:
    put(journal, "a", "1")
    before = open_files()
    in_child(int)
    assert open_files() < before
    assert journal.resolve("main").seq == 1
    assert open_files() == before


def test_connections_end_with_their_threads(journal: SqliteJournal) -> None:
    journal.resolve("main")
    before = open_files()
    for _ in range(20):
        thread = threading.Thread(target=journal.resolve, args=("main",))
        thread.start()
        thread.join()
    assert open_files() <= before + 3
    journal.close()
    assert open_files() < before


def test_a_lock_that_is_not_let_go(journal: SqliteJournal) -> None:
    hurried = SqliteJournal(journal.path, timeout=0.05)
    view = journal.resolve("main")
    with LockFile(journal.path.with_name("journal.lock"), timeout=5):
        with pytest.raises(LakeLocked, match=r"journal\.lock"):
            put(hurried, "a", "1")
        assert hurried.walk(view, "") == []
    assert put(hurried, "a", "1").seq == 1
    hurried.close()


def test_a_foreign_program_that_holds_the_file(journal: SqliteJournal) -> None:
    hurried = SqliteJournal(journal.path, timeout=0.05)
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(LakeLocked):
            put(hurried, "a", "1")
        foreign.execute("ROLLBACK")
    assert put(hurried, "a", "1").seq == 1
    hurried.close()


def test_the_lock_is_for_one_thread_at_a_time(tmp_path: Path) -> None:
    lock = LockFile(tmp_path / "lock", timeout=0.05)
    raised = []

    def work() -> None:
        try:
            with lock:
                pass
        except LakeLocked as error:
            raised.append(error)

    with lock:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(raised) == 1
    work()
    assert len(raised) == 1


def test_a_wait_that_was_given_up_does_not_take_the_lock_later(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with LockFile(path, timeout=5):
        for _ in range(3):
            with pytest.raises(LakeLocked), LockFile(path, timeout=0.01):
                pass
    with LockFile(path, timeout=5):
        pass
