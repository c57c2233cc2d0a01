"""Processes at the same moment, the same lake under two names, answers that are lost: nothing twice, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lake.errors import AlreadyExists, LakeError
from lake.journal.values import Commit
from lake.lake import Lake
from tests.lake.samples import branch_files

CROWD = """
import os, sys
import lake
from lake.errors import AlreadyExists, Conflict

root, many = sys.argv[1], int(sys.argv[2])
wait, go = os.pipe()
children = []
for number in range(many):
    child = os.fork()
    if not child:
        status = 9
        try:
            os.close(go)
            lk = lake.open(root)
            lk.repo.session()
            os.read(wait, 1)
            try:
                act(lk, number)
                status = 0
            except (AlreadyExists, Conflict):
                status = 1
            lk.close()
        finally:
            os._exit(status)
    children.append(child)
os.close(go)
print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""
"""Forks that wait for each other, then all act; prints 0 for each that succeeded and 1 for each that was refused."""


@pytest.fixture
def lk(tmp_path: Path) -> Lake:
    with Lake.init(tmp_path / "lake") as made:
        made.mkdir("x")
    return made


def crowd(root: Path, many: int, act: str) -> Counter[int]:
    script = textwrap.dedent(act) + CROWD
    done = subprocess.run([sys.executable, "-c", script, root, str(many)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return Counter(map(int, done.stdout.split()))


def test_fifty_writers_all_land(lk: Lake) -> None:
    said = crowd(lk.root, 50, "def act(lk, number): lk.mkdir(f'x/{number}')")
    assert said == {0: 50}
    assert len(lk.ls("x")) == 50
    assert len(lk.log()) == 51
    lk.close()


def test_one_of_many_makes_a_file(lk: Lake) -> None:
    act = """
    def act(lk, number):
        with lk.open("x/one", "xb") as file:
            file.write(b"%d" % number)
    """
    assert crowd(lk.root, 8, act) == {0: 1, 1: 7}
    assert len(lk.log()) == 2
    assert lk.fsck().ok
    lk.close()


def test_one_of_many_moves_the_head(lk: Lake) -> None:
    act = """
    def act(lk, number):
        with lk.commit("all", expected_head=1):
            lk.mkdir(f"x/{number}")
    """
    assert crowd(lk.root, 8, act) == {0: 1, 1: 7}
    assert len(lk.ls("x")) == 1
    lk.close()


def test_all_put_the_same_bytes(lk: Lake) -> None:
    act = """
    def act(lk, number):
        with lk.open(f"x/{number}", "wb") as file:
            file.write(b"same" * 20_000)
    """
    assert crowd(lk.root, 8, act) == {0: 8}
    assert branch_files(lk) == {f"x/{number}": b"same" * 20_000 for number in range(8)}
    assert len(list((lk.root / "objects").glob("*/*"))) == 1
    assert lk.fsck().ok
    lk.close()


def test_a_lake_under_two_names(lk: Lake, tmp_path: Path) -> None:
    """By a symbolic link it is the same lake: one journal, one lock, and nobody reaps what the other stages."""
    (tmp_path / "link").symlink_to(lk.root)
    with Lake.open_at(tmp_path / "link") as linked, Lake.open_at(lk.root) as direct:
        assert linked.repo.session() != direct.repo.session()
        errors: list[BaseException] = []

        def work(mine: Lake, name: str) -> None:
            try:
                for number in range(15):
                    with mine.open(f"x/{name}{number}", "wb") as file:
                        file.write(b"%d" % number * 30_000)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=each) for each in ((linked, "l"), (direct, "d"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert branch_files(direct) == branch_files(linked)
        assert len(branch_files(direct)) == 30
        assert direct.fsck().ok


def test_processes_of_the_same_number_and_host(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in two containers: leases have random names, not those of processes."""
    monkeypatch.setattr("socket.gethostname", lambda: "container")
    with Lake.open_at(lk.root) as one, Lake.open_at(lk.root) as two:
        with one.open("x/one", "wb") as first:
            first.write(b"1" * 100_000)
            with two.open("x/two", "wb") as second:
                second.write(b"2" * 100_000)
            two.close()
        assert {one.repo.session(), two.repo.session()} <= set(one.repo.journal.live_leases("staging"))
        assert branch_files(one) == {"x/one": b"1" * 100_000, "x/two": b"2" * 100_000}


def test_a_commit_whose_answer_was_lost(lk: Lake) -> None:
    """The same operation again gives the first commit, and no conflict with itself; by another process as well."""
    made, replayed = (_once(lk.root) for _ in range(2))
    assert (made.replayed, replayed.replayed) == (False, True)
    assert made.id == replayed.id
    assert len(lk.log()) == 2
    lk.close()


def _once(root: Path) -> Commit:
    with Lake.open_at(root) as lk:
        with lk.commit("once", op_id="op-1", expected_head=1) as transaction, lk.open("x/once", "wb") as file:
            file.write(b"1")
        assert transaction.result is not None
        return transaction.result


def test_a_holder_keeps_an_old_generation(lk: Lake) -> None:
    """Who asks for days blocks nobody, and is not disturbed by those who publish meanwhile."""
    lk.catalog.publish(force=True)
    with lk.catalog.connect() as held:
        for number in range(4):
            with lk.open(f"x/{number}", "wb") as file:
                file.write(b"1")
            lk.catalog.publish(force=True)
        assert held.sql("SELECT count(*) FROM files").fetchall() == [(0,)]
        held.refresh()
        assert held.sql("SELECT count(*) FROM files").fetchall() == [(4,)]
    lk.close()


def test_a_closed_descriptor_of_the_journal_loses_nothing(lk: Lake) -> None:
    """A foreign program in this process that reads the journal's file drops SQLite's locks: ours is another."""
    with Lake.open_at(lk.root) as mine:
        mine.mkdir("x/before")
        os.close(os.open(lk.root / "journal.db", os.O_RDONLY))
        assert crowd(lk.root, 2, "def act(lk, number): lk.mkdir(f'x/other{number}')") == {0: 2}
        mine.mkdir("x/after")
    with Lake.open_at(lk.root) as again:
        assert {entry.path for entry in again.ls("x")} == {"x/before", "x/other0", "x/other1", "x/after"}


def test_two_handles_refuse_the_same_new_file(lk: Lake) -> None:
    with Lake.open_at(lk.root) as one, Lake.open_at(lk.root) as two:
        first, second = one.open("x/new", "xb"), two.open("x/new", "xb")
        first.write(b"1")
        second.write(b"2")
        first.close()
        with pytest.raises(AlreadyExists):
            second.close()
        assert branch_files(one) == {"x/new": b"1"}


def test_a_writer_that_carries_out_what_a_dead_collector_claimed(
    lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that has listed the claim before must not take what the writer has put in the place since."""
    (tmp_path / "source").write_bytes(b"same" * 20_000)
    lk.close()
    died(lk.root, "published", "lk.put(sys.argv[2], 'x/')", tmp_path / "source")
    died(lk.root, "claimed", "lk.gc(grace=0)")
    with Lake.open_at(lk.root) as writer, Lake.open_at(lk.root) as collector:
        listed, stored = threading.Event(), threading.Event()
        claims, commit = collector.repo.journal.claims, writer.repo.journal.commit

        def claims_then_wait(*arguments: Any) -> Any:
            found = claims(*arguments)
            if not listed.is_set():
                assert found
                listed.set()
                assert stored.wait(30)
            return found

        work = threading.Thread(target=collector.gc, kwargs={"grace": 3600})

        def commit_late(*arguments: Any, **named: Any) -> Any:
            stored.set()
            work.join(30)
            return commit(*arguments, **named)

        monkeypatch.setattr(collector.repo.journal, "claims", claims_then_wait)
        monkeypatch.setattr(writer.repo.journal, "commit", commit_late)
        work.start()
        assert listed.wait(30)
        writer.put(tmp_path / "source", "x/")
        assert not work.is_alive()
    with Lake.open_at(lk.root) as again:
        again.gc(grace=0, trash=0)
        assert branch_files(again) == {"x/source": b"same" * 20_000}
        assert again.fsck().ok


def died(root: Path, step: str, act: str, *arguments: object) -> None:
    """Have a process die at a step of what it does."""
    script = f"import sys, lake; lk = lake.open(sys.argv[1]); {act}"
    done = subprocess.run(
        [sys.executable, "-c", script, root, *map(str, arguments)],
        env={**os.environ, "REGIONLAKE_CRASHPOINT": step},
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL


def test_a_transaction_of_fsspec_that_cannot_commit(lk: Lake) -> None:
    """All of its files or none: the last one fails, and the first is not there either."""
    from lake.fs import LakeFileSystem

    fs = LakeFileSystem(lk.root, skip_instance_cache=True)
    fs.start_transaction()
    fs.pipe_file("x/one", b"1")
    fs.pipe_file("x/two", b"2")
    with Lake.open_at(lk.root) as other, other.open("x/two/below", "wb") as file:
        file.write(b"in the way")
    with pytest.raises(LakeError):
        fs.end_transaction()
    assert branch_files(lk) == {"x/two/below": b"in the way"}
    fs.lake.close()
    lk.close()
