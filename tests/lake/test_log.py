"""The sealed log: what it has, what stops it, and the journals that it does not let pass."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from lake.config import create_config
from lake.crashpoints import LOG_STEPS
from lake.errors import NotALake, ReadOnly, StaleJournal, StorageError, UnsupportedVersion
from lake.journal.logbook import Logbook, Record
from lake.journal.sealing import log_folder
from lake.journal.sqlite import SqliteJournal, create
from lake.journal.values import Put
from lake.stores.durable import System
from lake.testing.faults import FaultySystem
from lake.testing.journal import object_record, put

COMMITS = """
import sys
from pathlib import Path
from lake.journal.sqlite import SqliteJournal
from lake.testing.journal import put

journal = SqliteJournal(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    print(put(journal, f"{sys.argv[2]}/{number}", f"{sys.argv[2]} {number}").id, flush=True)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake with three commits, and nobody in it."""
    root = tmp_path / "lake"
    root.mkdir()
    create(root / "journal.db")
    create_config(root)
    with opened(root) as journal:
        for number in range(3):
            put(journal, f"p/{number}", str(number))
    return root


def opened(root: Path, **options: object) -> closing[SqliteJournal]:
    return closing(SqliteJournal(root / "journal.db", **options))  # type: ignore[arg-type]


def records(root: Path) -> list[Record]:
    return list(Logbook(root / "log", System()).records())


def commits(root: Path) -> list[str]:
    return [record["commit"][1] for record in records(root) if record.get("kind") == "commit"]


def segment(root: Path) -> Path:
    (found,) = (root / "log").iterdir()
    return found


# -- what it has --------------------------------------------------------------------------------------------------
def test_everything_is_in_the_log_before_the_call_returns(root: Path) -> None:
    with opened(root) as journal:
        journal.create_branch("exp", "2")
        journal.create_tag("v1", "main")
        digest = object_record("0").digest
        journal.add_checksums(digest, {"md5": "00"})
        journal.relocate({digest: journal.locations([digest])[digest]}, 0)
        journal.delete_tag("v1")
        journal.delete_branch("exp")
        assert journal.log_state() == (10, 10)
        assert journal.log_problems() == []
    told = "branch commit commit commit branch tag checksums relocate tag-deleted branch-deleted"
    assert [record["kind"] for record in records(root)] == told.split()


def test_leases_and_tokens_are_not_in_the_log(root: Path) -> None:
    with opened(root) as journal:
        before = segment(root).read_bytes()
        journal.release_lease(journal.acquire_lease("me", "staging", 10))
    assert segment(root).read_bytes() == before


def test_a_large_commit_is_many_lines_and_one_event(root: Path) -> None:
    contents = [object_record(str(number), chunks=bytes(50)) for number in range(2500)]
    with opened(root) as journal:
        journal.commit("main", [Put(f"many/{each.digest}", each.digest) for each in contents], objects=contents)
        assert journal.log_problems() == []
    *parts, last = [record for record in records(root) if record["event"] == 5]
    assert len(parts) >= 4
    assert all("kind" not in part for part in parts)
    assert last["kind"] == "commit"
    assert sum(len(record.get("entries", ())) for record in (*parts, last)) == 2500
    # Without the line that closes it, nothing of it counts.
    whole = segment(root).read_bytes()
    segment(root).write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with opened(root, readonly=True) as journal:
        assert journal.log_state() == (5, 4)
    with opened(root) as journal:
        assert journal.log_state().behind == 0
    assert segment(root).read_bytes() == whole


def test_segments_are_rotated_and_chained(tmp_path: Path) -> None:
    def record(number: int) -> Record:
        return {"event": number, "kind": "tag", "body": {"name": "x" * 50}, "commit": None, "object": 0}

    book = Logbook(tmp_path / "log", System(), segment=1000)
    tip = book.append(None, "j", map(record, range(1, 8)))
    tip = book.append(book.tip(), "j", map(record, range(8, 21)))
    assert book.tip() == tip
    assert len(book.segments()) > 3
    assert [found["event"] for found in book.records()] == list(range(1, 21))
    book.segments()[1].unlink()
    with pytest.raises(StorageError, match="is damaged"):
        list(book.records())


def test_a_newer_format_is_refused(root: Path) -> None:
    book = Logbook(root / "log", System())
    text = segment(root).read_bytes().splitlines()[0].split(b"\t")[0]
    header = {**json.loads(text), "format": 2}
    segment(root).write_bytes(_line(header, header["previous"]))
    with pytest.raises(UnsupportedVersion, match="use a newer regionlake"):
        book.tip()


def _line(record: Record, before: str) -> bytes:
    from blake3 import blake3

    text = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    return text + b"\t" + blake3(before.encode() + text).hexdigest().encode() + b"\n"


# -- journals that it does not let pass ---------------------------------------------------------------------------
@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("made", ["older copy", "no wal", "another lake's", "other history"])
def test_a_journal_that_its_log_knows_better_is_not_used(root: Path, tmp_path: Path, made: str, readonly: bool) -> None:
    path = root / "journal.db"
    copied = tmp_path / "copy.db"
    if made == "no wal":
        # As a crashed machine leaves it: the newest commits are in the -wal alone.
        subprocess.run(
            [sys.executable, "-c", COMMITS + "import os; os.kill(os.getpid(), 9)", str(path), "late", "3"],
            check=False,
            capture_output=True,
        )
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink()
        told = r"is older than its log \(commit 3, the log has 6\)"
    else:
        shutil.copy(path, copied)
        with opened(root) as journal:
            put(journal, "late", "4")
        if made == "older copy":
            told = r"is older than its log \(commit 3, the log has 4\)"
        elif made == "other history":
            shutil.copytree(root / "log", tmp_path / "kept")
            shutil.rmtree(root / "log")
            shutil.copy(copied, path)
            with opened(root) as journal:
                put(journal, "other", "5")
            shutil.copy(path, copied)
            shutil.rmtree(root / "log")
            shutil.copytree(tmp_path / "kept", root / "log")
            told = "has another event 5 than its log"
        else:
            copied.unlink()
            create(copied)
            told = "is not the journal that its log was written from"
        os.replace(copied, path)
    with pytest.raises(StaleJournal, match=told) as failure:
        SqliteJournal(path, readonly=readonly)
    assert "`lake doctor --rebuild-journal`" in str(failure.value)


def test_no_journal_but_a_log(root: Path) -> None:
    (root / "journal.db").unlink()
    with pytest.raises(NotALake, match="its log is there, 'lake doctor --rebuild-journal' makes it again"):
        SqliteJournal(root / "journal.db")


def test_a_journal_replaced_while_it_is_used(root: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy.db"
    shutil.copy(root / "journal.db", copied)
    with opened(root) as journal:
        put(journal, "late", "4")
        before = segment(root).read_bytes()
        os.replace(copied, root / "journal.db")
        for end in ("-wal", "-shm"):
            (root / f"journal.db{end}").unlink()
        with pytest.raises(StaleJournal):
            put(journal, "later", "5")
        with pytest.raises(StaleJournal):
            journal.branches()
    assert segment(root).read_bytes() == before


# -- what it catches up with --------------------------------------------------------------------------------------
@pytest.mark.parametrize("cut", ["no log", "older log", "half a line", "zeros", "half a header"])
def test_a_log_that_lacks_something_catches_up(root: Path, cut: str) -> None:
    path = segment(root)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    match cut:
        case "no log":
            shutil.rmtree(root / "log")
        case "older log":
            path.write_bytes(b"".join(lines[:3]))
        case "half a line":
            path.write_bytes(whole[:-40])
        case "zeros":
            path.write_bytes(b"".join(lines[:4]) + bytes(700))
        case "half a header":
            path.write_bytes(whole[:30])
    with opened(root, readonly=True) as journal:
        assert journal.log_state().behind > 0
    with opened(root) as journal:
        assert journal.log_state() == (4, 4)
        assert journal.log_problems() == []
    assert len(commits(root)) == 3
    if cut in ("half a line", "zeros"):
        assert path.read_bytes() == whole


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_commit_stands_when_the_log_cannot_be_written(
    root: Path, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    system = FaultySystem()
    with opened(root, system=system) as journal:
        before = segment(root).read_bytes()
        system.failing[call] = errno.ENOSPC
        put(journal, "one", "1")
        put(journal, "two", "2")
        assert journal.log_state().behind == 2
        assert len(caplog.messages) == 1
        assert "No space left" in caplog.messages[0]
        assert segment(root).read_bytes() == before
        system.failing.clear()
        put(journal, "three", "3")
        assert journal.log_state().behind == 0
        assert journal.log_problems() == []
    assert len(commits(root)) == 6


def test_a_disk_that_fills_up_in_the_middle_of_a_line(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(root, system=FaultySystem(full_after=100)) as journal:
        put(journal, "one", "1")
        assert journal.log_state().behind == 1
    assert caplog.messages
    with opened(root) as journal:
        assert (journal.log_state().behind, journal.log_problems()) == (0, [])


def test_short_writes(root: Path) -> None:
    with opened(root, system=FaultySystem(short_writes=7)) as journal:
        put(journal, "one", "1")
        assert (journal.log_state().behind, journal.log_problems()) == (0, [])


# -- damage -------------------------------------------------------------------------------------------------------
def test_every_changed_byte_of_the_log_is_told(root: Path) -> None:
    path = segment(root)
    whole = path.read_bytes()
    chance = random.Random(7)
    with opened(root, readonly=True) as journal:
        for place in (*range(0, len(whole), 3), len(whole) - 1):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            found = journal.log_problems()
            # The last line feed is all that makes a line whole: without it the line has not been written.
            assert found or (place == len(whole) - 1 and journal.log_state().behind == 1), place


def test_a_damaged_log_is_not_written_and_does_not_stop_readers(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = segment(root)
    damaged = path.read_bytes().replace(b'"commit"', b'"comnit"')
    path.write_bytes(damaged)
    with opened(root) as journal:
        put(journal, "one", "1")
        assert [entry.path for entry in journal.children(journal.resolve("main"), "")] == ["one", "p"]
        assert journal.log_problems()
        with pytest.raises(StorageError, match=r"move the folder log/ away and the next commit writes it anew"):
            journal.log_state()
    assert "is damaged" in caplog.messages[0]
    assert path.read_bytes() == damaged
    shutil.rmtree(root / "log")
    with opened(root) as journal:
        assert journal.log_problems() == []
    assert len(commits(root)) == 4


def test_a_read_only_log(root: Path) -> None:
    with opened(root, readonly=True) as journal:
        with pytest.raises(ReadOnly):
            put(journal, "one", "1")
        assert journal.log_state() == (4, 4)


# -- kills --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", LOG_STEPS)
def test_killed_while_the_log_is_written(root: Path, step: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMITS, str(root / "journal.db"), "w", "1"],
        env={**os.environ, "REGIONLAKE_CRASHPOINT": step},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9
    assert done.stdout == b""
    with opened(root) as journal:
        assert (journal.log_state().behind, journal.log_problems()) == (0, [])
        assert journal.tip().seq == 4
    assert len(commits(root)) == 4


def test_acknowledged_commits_are_in_the_log_when_writers_are_killed(root: Path) -> None:
    path = root / "journal.db"
    acknowledged: set[str] = set()
    for turn in range(2):
        command = [sys.executable, "-c", COMMITS, str(path)]
        writers = [
            subprocess.Popen([*command, f"{turn}-{number}", "100000"], stdout=subprocess.PIPE, text=True)
            for number in range(3)
        ]
        try:
            for writer in writers:
                assert writer.stdout is not None
                acknowledged.add(writer.stdout.readline().strip())
            time.sleep(0.2)
        finally:
            for writer in writers:
                writer.kill()
        for writer in writers:
            acknowledged.update(line for line in writer.communicate()[0].split("\n")[:-1])
        assert acknowledged <= set(commits(root))
    with opened(root) as journal:
        assert journal.log_problems() == []
        assert [made.id for made in reversed(journal.log(journal.resolve("main")))] == commits(root)


def test_the_log_lies_beside_the_journal(root: Path) -> None:
    assert log_folder(root / "journal.db") == root / "log"
    with closing(sqlite3.connect(root / "journal.db")) as sql:
        assert sql.execute("SELECT count(*) FROM event").fetchone() == (4,)
