"""Backups: whole while others write, the old one or the new one after a crash, checked, and made lakes again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lake.backup import making
from lake.backup.checking import verify_backup
from lake.backup.making import make_backup
from lake.backup.manifest import Manifest
from lake.backup.restoring import restore_lake
from lake.crashpoints import BACKUP_STEPS, RESTORE_STEPS
from lake.errors import (
    AlreadyExists,
    DamagedObject,
    InvalidInput,
    LakeLocked,
    NotALake,
    NotFound,
    ReadOnly,
    StaleJournal,
    StorageError,
)
from lake.journal.lockfile import LockFile
from lake.lake import Lake
from lake.progress import Silent
from lake.repository import Repository
from lake.testing.faults import FaultySystem
from tests.lake.samples import NOISE, flip, make_tree, object_file

PUBLISHING = ("data-synced", "renamed", "names-made", "published")
"""Steps of a put that a backup goes through, too."""

BIG = NOISE[: 300 << 10]
"""Too big for a pack; several chunks."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with plain files, a pack, attributes, a branch, a tag, something removed; closed."""
    folder = tmp_path_factory.mktemp("template")
    make_tree(folder / "tree", {f"small/{number}.txt": f"small {number}" for number in range(64)})
    (folder / "tree/big").write_bytes(BIG)
    with Lake.init(folder / "lake") as lk:
        lk.put(f"{folder}/tree/.", "d", meta={"project": "p"})
        lk.tag("v1")
        lk.branch("exp")
        with lk.open("d/later", "wb") as file:
            file.write(b"later")
        lk.rm("d/small/3.txt")
        return lk.root


@pytest.fixture
def filled(template: Path, tmp_path: Path) -> Iterator[Lake]:
    """The lake of the template, to be written."""
    shutil.copytree(template, tmp_path / "lake")
    with Lake.open_at(tmp_path / "lake") as lk:
        yield lk


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def contents(lk: Lake, ref: str = "main") -> dict[str, bytes]:
    """Every file at a ref, read and verified."""
    return {
        entry.path: lk.open(entry.path, ref=ref, verify=True).read()
        for entry in lk.repo.journal.walk(lk.repo.journal.resolve(ref), "")
        if entry.digest is not None
    }


def everything(root: Path) -> tuple[object, ...]:
    """All that a lake says of itself and of its files."""
    with Lake.open_at(root, readonly=True) as lk:
        refs = [*(branch.name for branch in lk.repo.journal.branches()), *(tag.name for tag in lk.repo.journal.tags())]
        logs = {ref: lk.repo.journal.log(lk.repo.journal.resolve(ref)) for ref in refs}
        return logs, {ref: contents(lk, ref) for ref in refs}, lk.stat("d/big").attributes


def sound(backup: Path) -> bool:
    check = verify_backup(backup, Silent())
    assert check.ok, check.findings
    return True


# -- making ---------------------------------------------------------------------------------------------------------
def test_a_backup_is_a_lake_that_can_be_read(filled: Lake, target: Path) -> None:
    report = filled.backup(target)
    assert report.ok
    assert report.moment.files == report.copied == 3
    assert everything(target) == everything(filled.root)
    assert sound(target)
    with Lake.open_at(target) as copy:
        assert copy.sql("SELECT count(*) FROM files").fetchall() == [(65,)]
        with pytest.raises(ReadOnly, match="is a backup: 'lake restore-lake"):
            copy.put(target / "lake.toml", "x")
        with pytest.raises(ReadOnly, match="is a backup: 'lake restore-lake"):
            copy.tag("v2")
    assert {name for name in os.listdir(target) if name.startswith("journal")} == {"journal.db"}
    assert target.stat().st_mode & 0o777 == 0o700
    assert os.listdir(target / "staging") == []


def test_the_second_run_copies_only_what_is_new(filled: Lake, target: Path) -> None:
    filled.backup(target)
    with filled.open("d/new", "wb") as file:
        file.write(b"new")
    old = object_file(filled, "d/big")
    report = filled.backup(target)
    assert (report.copied, report.copied_bytes, report.removed) == (1, 3, 0)
    assert everything(target) == everything(filled.root)
    assert (target / old.relative_to(filled.root)).exists()
    assert filled.backup(target).copied == 0


def test_prune_removes_what_nothing_needs(filled: Lake, target: Path) -> None:
    filled.backup(target)
    stray = target / "objects/00" / ("0" * 64)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"left")
    assert filled.backup(target).removed == 0
    report = filled.backup(target, prune=True)
    assert (report.removed, report.removed_bytes) == (1, 4)
    assert not stray.exists()
    assert sound(target)


def test_while_others_write_and_gc_runs(filled: Lake, target: Path, tmp_path: Path) -> None:
    """Every backup is whole, whatever is put, overwritten, removed and collected meanwhile."""
    stop, failed = threading.Event(), []

    def write(name: str) -> None:
        try:
            with Lake.open_at(filled.root) as lk:
                number = 0
                while not stop.is_set():
                    number += 1
                    with lk.open(f"{name}/{number % 5}", "wb") as file:
                        file.write(f"{name} {number}".encode() * 100)
                    if number % 3 == 0:
                        lk.gc(grace=0, trash=0)
        except LakeLocked:
            pass
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    try:
        seen = []
        for _ in range(4):
            seen.append(filled.backup(target, prune=True).moment.seq)
            assert sound(target)
            with Lake.open_at(target) as copy:
                contents(copy)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_files_that_gc_takes_meanwhile(filled: Lake, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lies in the trash is copied from there; for one that is gone, another moment is taken."""
    big, later = object_file(filled, "d/big"), object_file(filled, "d/later")
    copies = 0

    def collect(step: str) -> None:
        nonlocal copies
        if step != "backup-journal-copied":
            return
        copies += 1
        if copies == 1:
            trash = filled.root / "trash" / big.relative_to(filled.root)
            trash.parent.mkdir(parents=True)
            big.rename(trash)
            later.unlink()
            with contextlib.closing(sqlite3.connect(filled.root / "journal.db")) as sql, sql:
                sql.execute(
                    "UPDATE object SET state = 'trash' WHERE handle = ?", (f"objects/{later.parent.name}/{later.name}",)
                )

    monkeypatch.setattr(making, "crash_point", collect)
    report = filled.backup(target)
    assert copies == 2
    assert report.ok
    assert (target / big.relative_to(filled.root)).read_bytes() == BIG


def test_what_the_lake_has_lost_is_told_and_the_rest_copied(filled: Lake, target: Path, tmp_path: Path) -> None:
    big, later = object_file(filled, "d/big"), object_file(filled, "d/later")
    flip(big, 100)
    kept = later.read_bytes()
    later.unlink()
    report = filled.backup(target)
    assert not report.ok
    assert report.moment.damaged == (str(big.relative_to(filled.root)),)
    assert report.moment.missing == (str(later.relative_to(filled.root)),)
    findings = verify_backup(target, Silent()).findings
    assert {(finding.problem, finding.paths[0], finding.known) for finding in findings} == {
        ("damaged", "d/big@main", True),
        ("missing", "d/later@main", True),
    }
    for name, content in (("big", BIG), ("later", kept)):
        (tmp_path / name).write_bytes(content)
        filled.put(tmp_path / name, "healed")
    assert filled.backup(target).copied == 2
    assert sound(target)


def test_a_disk_that_cannot_be_read_loses_no_more_than_its_sectors(
    filled: Lake, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, real = object_file(filled, "d/big"), os.pread
    chunk = list(filled.reader("d/big").chunks)[1]

    def failing(descriptor: int, length: int, offset: int) -> bytes:
        hit = offset < chunk.offset + 5000 < offset + length
        if hit and os.path.samestat(os.fstat(descriptor), bad.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, length, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        report = filled.backup(target)
    assert report.moment.damaged == (str(bad.relative_to(filled.root)),)
    with Lake.open_at(target) as copy, copy.open("d/big", "rb", verify=True) as file:
        assert file.read(chunk.offset) == BIG[: chunk.offset]
        file.seek(chunk.offset + chunk.length)
        assert file.read() == BIG[chunk.offset + chunk.length :]
        file.seek(chunk.offset)
        with pytest.raises(DamagedObject):
            file.read(1)
    assert filled.backup(target).copied == 1
    assert sound(target)


def test_damage_of_the_backup_is_mended(filled: Lake, target: Path) -> None:
    filled.backup(target)
    flip(target / object_file(filled, "d/big").relative_to(filled.root), 7)
    pack = next((target / "packs").iterdir())
    flip(pack, 0)
    assert filled.backup(target).copied == 0
    assert not verify_backup(target, Silent()).ok
    assert filled.backup(target, verify=True).copied == 2
    assert sound(target)


def test_a_lake_open_for_reading_only(filled: Lake, target: Path) -> None:
    with Lake.open_at(filled.root, readonly=True) as lk:
        assert lk.backup(target).ok
    assert sound(target)
    assert filled.repo.journal.leases() == [] or filled.repo.journal.live_leases("backup") == []


def test_refused_targets(filled: Lake, target: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="lie in each other"):
        filled.backup(filled.root / "backup")
    with pytest.raises(InvalidInput, match="lie in each other"):
        filled.backup(filled.root.parent)
    make_tree(tmp_path / "other", {"a": "a"})
    with pytest.raises(InvalidInput, match="holds something else"):
        filled.backup(tmp_path / "other")
    with pytest.raises(InvalidInput, match="not a directory"):
        filled.backup(tmp_path / "other/a")
    with Lake.init(tmp_path / "second") as second:
        with pytest.raises(InvalidInput, match="is a lake, not a backup"):
            filled.backup(second.root)
        second.backup(target)
    with pytest.raises(InvalidInput, match="backup of another lake"):
        filled.backup(target)
    with Lake.open_at(target) as copy, pytest.raises(InvalidInput, match="is a backup itself"):
        copy.backup(tmp_path / "third")


def test_two_backups_to_one_place(filled: Lake, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_LOCK_SECONDS", 0.05)
    target.mkdir()
    with LockFile(target / "backup.lock", 1), pytest.raises(LakeLocked):
        filled.backup(target)


@pytest.mark.parametrize("fault", ["full", "write", "fsync", "sync_filesystem", "replace", "rename_new"])
def test_a_full_or_failing_disk(filled: Lake, target: Path, fault: str) -> None:
    """One clear error; what was there before is whole, and the next run works."""
    filled.backup(target)
    before = everything(target)
    with filled.open("d/new", "wb") as file:
        file.write(NOISE[::-1])
    failing = FaultySystem(full_after=1 << 20) if fault == "full" else FaultySystem({fault: errno.EIO})
    if fault == "sync_filesystem":
        failing = FaultySystem({"fsync": errno.EIO, "can_sync_filesystem": errno.EIO})
    repo = Repository.open(filled.root, system=failing)
    with (
        contextlib.closing(repo),
        pytest.raises(StorageError, match="no space left" if fault == "full" else "copying to .* failed"),
    ):
        make_backup(repo, target, Silent())
    assert sound(target)
    assert everything(target) == before
    assert os.listdir(target / "staging") == []
    assert filled.backup(target).ok
    assert everything(target) == everything(filled.root)


def test_too_little_room_is_noticed_first(filled: Lake, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(filled.root)._replace(free=(16 << 20) + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"16,778,216 bytes free, 17,\d{3},\d{3} are needed"):
        filled.backup(target)


# -- crashes --------------------------------------------------------------------------------------------------------
KILLER = """
import json, os, sys
from pathlib import Path
from lake import crashpoints
from lake.backup.making import make_backup
from lake.backup.restoring import restore_lake
from lake.progress import Silent
from lake.repository import Repository

for action, step, source, target in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        crashpoints.arm(step)
        if action == "restore":
            restore_lake(Path(source), Path(target), Silent())
        else:
            make_backup(Repository.open(Path(source)), Path(target), Silent(), prune=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Does what it is told, a process each, and lets them die on the way."""

FIRST = [step for step in (*PUBLISHING, *BACKUP_STEPS) if step != "backup-pruned"]
LATER = [*PUBLISHING, *BACKUP_STEPS]
RESTORING = [*PUBLISHING, *RESTORE_STEPS]


@pytest.fixture(scope="module")
def crashed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``lake``, its older ``backup``, and for every case ``<action>-<step>``, killed there."""
    folder = tmp_path_factory.mktemp("crashed")
    lake, backup = folder / "lake", folder / "backup"
    shutil.copytree(template, lake)
    with Lake.open_at(lake) as lk:
        lk.backup(backup)
        make_tree(folder / "more", {str(number): f"more {number}" for number in range(3)})
        lk.put(f"{folder}/more/.", "more")
    stray = backup / "objects/00" / ("0" * 64)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"nothing needs it")
    cases = []
    for action, steps in (("first", FIRST), ("later", LATER), ("restore", RESTORING)):
        for step in steps:
            target = folder / f"{action}-{step}"
            if action == "later":
                shutil.copytree(backup, target)
            cases.append((action, step, str(backup if action == "restore" else lake), str(target)))
    done = subprocess.run([sys.executable, "-c", KILLER, json.dumps(cases)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(cases), done
    return folder


@pytest.mark.parametrize("step", FIRST)
def test_killed_in_the_first_backup(crashed: Path, step: str) -> None:
    target = crashed / f"first-{step}"
    if (target / "journal.db").exists():
        assert sound(target)
    else:
        with pytest.raises(NotALake):
            Lake.open_at(target)
        with pytest.raises(NotFound if not (target / "backup.json").exists() else StorageError):
            verify_backup(target, Silent())
    finish(crashed / "lake", target)


@pytest.mark.parametrize("step", LATER)
def test_killed_in_a_later_backup(crashed: Path, step: str) -> None:
    """The backup is the one before or the new one, whole in either case."""
    target = crashed / f"later-{step}"
    assert sound(target)
    assert everything(target) in (everything(crashed / "backup"), everything(crashed / "lake"))
    finish(crashed / "lake", target)


def finish(lake: Path, target: Path) -> None:
    with Lake.open_at(lake) as lk:
        assert lk.backup(target, prune=True).ok
    assert everything(target) == everything(lake)
    assert sound(target)


@pytest.mark.parametrize("step", RESTORING)
def test_killed_while_restoring(crashed: Path, step: str) -> None:
    """What is left is no lake, and says so."""
    target = crashed / f"restore-{step}"
    with pytest.raises(NotALake):
        Lake.open_at(target)
    with pytest.raises(AlreadyExists, match="not empty"):
        restore_lake(crashed / "backup", target, Silent())


# -- checking -------------------------------------------------------------------------------------------------------
def test_every_kind_of_damage_is_found(filled: Lake, target: Path) -> None:
    filled.backup(target)
    big = object_file(filled, "d/big").relative_to(filled.root)
    later = object_file(filled, "d/later").relative_to(filled.root)
    flip(target / big, len(BIG) - 1)
    (target / later).unlink()
    flip(next((target / "packs").iterdir()), 3)
    check = verify_backup(target, Silent())
    assert {(finding.problem, finding.name.split("/")[0]) for finding in check.findings} == {
        ("damaged", "objects"),
        ("missing", "objects"),
        ("damaged", "packs"),
    }
    assert not any(finding.known for finding in check.findings)
    assert any("d/small/7.txt@main" in finding.paths for finding in check.findings)
    assert [finding.name for finding in verify_backup(target, Silent(), fast=True).findings] == [str(later)]


def test_a_damaged_journal_is_found(filled: Lake, target: Path) -> None:
    filled.backup(target)
    with contextlib.closing(sqlite3.connect(target / "journal.db")) as sql, sql:
        sql.execute("UPDATE commits SET message = 'another' WHERE seq = 1")
    findings = verify_backup(target, Silent()).findings
    assert [finding.name for finding in findings][:2] == ["journal.db", "journal.db"]
    assert any("commit 1" in path for finding in findings for path in finding.paths)


def test_a_damaged_log_is_found(filled: Lake, target: Path) -> None:
    filled.backup(target)
    [segment] = (target / "log").iterdir()
    flip(segment, segment.stat().st_size // 2)
    assert [finding.name for finding in verify_backup(target, Silent()).findings] == ["log"]


def test_no_backup_at_all(filled: Lake, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no backup\.json"):
        verify_backup(tmp_path, Silent())
    with pytest.raises(NotFound, match=r"no backup\.json"):
        restore_lake(filled.root, tmp_path / "again", Silent())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1, "lake": 3, "moments": [{}]}', '{"version": 1}'])
def test_a_damaged_manifest(filled: Lake, target: Path, content: str) -> None:
    filled.backup(target)
    (target / "backup.json").write_text(content)
    with pytest.raises(StorageError, match="is damaged"):
        Manifest.read(target)
    assert filled.backup(target).copied == 0
    assert sound(target)


# -- restoring ------------------------------------------------------------------------------------------------------
def test_a_restored_lake_goes_on(filled: Lake, target: Path, tmp_path: Path) -> None:
    filled.backup(target)
    report = restore_lake(target, tmp_path / "again", Silent())
    assert report.ok
    assert report.files == 3
    assert everything(report.root) == everything(filled.root)
    with Lake.open_at(report.root) as lk:
        assert lk.repo.config.id == filled.repo.config.id
        assert lk.repo.journal.identity() != filled.repo.journal.identity()
        assert lk.fsck().ok
        with lk.open("d/more", "wb") as file:
            file.write(b"more")
        assert lk.repo.journal.log_state().behind == 0
        assert lk.sql("SELECT count(*) FROM files").fetchall() == [(66,)]
        with pytest.raises(InvalidInput, match="is a lake"):
            lk.backup(filled.root)
    with Lake.open_at(report.root) as lk:
        assert lk.backup(target).ok
    assert sound(target)
    assert everything(target) == everything(report.root)


def test_restoring_what_is_damaged(filled: Lake, target: Path, tmp_path: Path) -> None:
    filled.backup(target)
    flip(target / object_file(filled, "d/big").relative_to(filled.root), 1)
    (target / object_file(filled, "d/later").relative_to(filled.root)).unlink()
    report = restore_lake(target, tmp_path / "again", Silent())
    assert {(finding.problem, finding.paths[0]) for finding in report.findings} == {
        ("damaged", "d/big@main"),
        ("missing", "d/later@main"),
    }
    with Lake.open_at(report.root) as lk:
        assert lk.open("d/small/1.txt", verify=True).read() == b"small 1"
        assert not lk.fsck().ok


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_a_backup_without_its_journal_still_saves_a_lake_that_is_gone(
    filled: Lake, target: Path, tmp_path: Path, harm: str
) -> None:
    filled.backup(target)
    wanted = everything(filled.root)
    with pytest.raises(ReadOnly, match="its journal opens: nothing to make again"):
        Lake.rebuild_journal(target)
    assert sound(target)
    filled.close()
    shutil.rmtree(filled.root)
    if harm == "gone":
        (target / "journal.db").unlink()
    else:
        os.truncate(target / "journal.db", 3000)
    for act in (lambda: verify_backup(target, Silent()), lambda: restore_lake(target, tmp_path / "again", Silent())):
        with pytest.raises(StorageError, match=r"doctor --rebuild-journal"):
            act()
    Lake.rebuild_journal(target)
    assert restore_lake(target, tmp_path / "again", Silent()).ok
    assert everything(tmp_path / "again") == wanted


@pytest.mark.parametrize("later", [0, 1, 2])
def test_a_lake_restored_from_an_old_backup_does_not_replace_a_newer_one(
    filled: Lake, target: Path, tmp_path: Path, later: int
) -> None:
    filled.backup(tmp_path / "old")
    with filled.open("d/new", "wb") as file:
        file.write(b"new")
    filled.backup(target)
    restore_lake(tmp_path / "old", tmp_path / "again", Silent())
    with Lake.open_at(tmp_path / "again") as lk:
        for number in range(later):
            with lk.open(f"d/other{number}", "wb") as file:
                file.write(b"other")
        with pytest.raises(InvalidInput, match="would lose it: name another directory"):
            lk.backup(target)
        assert lk.backup(tmp_path / "old").ok
    assert sound(target)
    assert everything(target) == everything(filled.root)


def test_where_no_lake_can_be_restored(filled: Lake, target: Path, tmp_path: Path) -> None:
    filled.backup(target)
    with pytest.raises(AlreadyExists, match="not empty"):
        restore_lake(target, filled.root, Silent())
    with pytest.raises(InvalidInput, match="inside the backup"):
        restore_lake(target, target / "again", Silent())


def test_a_restore_that_fails_leaves_nothing_and_can_be_repeated(filled: Lake, target: Path, tmp_path: Path) -> None:
    filled.backup(target)
    with pytest.raises(StorageError, match="no space left"):
        restore_lake(target, tmp_path / "again", Silent(), FaultySystem(full_after=10_000))
    assert os.listdir(tmp_path / "again") == []
    assert restore_lake(target, tmp_path / "again", Silent()).ok


def test_of_two_restores_to_one_place_the_second_leaves_the_first_alone(
    filled: Lake, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.backup(target)
    root = tmp_path / "again"
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(os.listdir(path) if path != root else ()))
    root.mkdir()
    (root / "staging").mkdir()
    with pytest.raises(AlreadyExists, match="not empty"):
        restore_lake(target, root, Silent())
    assert os.listdir(root) == ["staging"]


# -- network filesystems --------------------------------------------------------------------------------------------
def test_a_backup_on_a_network_filesystem(
    filled: Lake, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made and checked there without SQLite ever opening a file of it; lakes are not made there."""
    opened = []
    connect = sqlite3.connect

    def noted(name: str, **options: Any) -> Any:
        opened.append(name)
        return connect(name, **options)

    monkeypatch.setattr(sqlite3, "connect", noted)
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", "nfs4")
    assert filled.backup(target, prune=False).ok
    assert sound(target)
    assert opened
    assert not any(str(target) in name for name in opened)
    with pytest.raises(StorageError, match="network filesystem"):
        restore_lake(target, tmp_path / "again", Silent())
    with pytest.raises(StorageError, match=r"network filesystem \(nfs4\)"):
        Lake.init(tmp_path / "new")
    assert not (tmp_path / "new").exists()


# -- copies by hand -------------------------------------------------------------------------------------------------
@pytest.fixture
def writing(filled: Lake) -> Iterator[list[str]]:
    """Somebody who goes on writing; the paths that were acknowledged."""
    stop = threading.Event()
    written: list[str] = []

    def write() -> None:
        with Lake.open_at(filled.root) as lk:
            while not stop.is_set():
                path = f"w/{len(written)}"
                with lk.open(path, "wb") as file:
                    file.write(path.encode() * 50)
                written.append(path)

    thread = threading.Thread(target=write)
    thread.start()
    yield written
    stop.set()
    thread.join()


def copy_journal(lake: Path, copy: Path) -> None:
    """What ``sqlite3 journal.db ".backup …"`` does."""
    with (
        contextlib.closing(sqlite3.connect(lake / "journal.db")) as source,
        contextlib.closing(sqlite3.connect(copy / "journal.db")) as target,
    ):
        source.backup(target)


def test_a_copy_in_the_right_order(filled: Lake, writing: list[str], tmp_path: Path) -> None:
    """docs/backup.md: log/, journal.db by SQLite, objects/ and packs/, lake.toml; while somebody writes."""
    copy = tmp_path / "copy"
    copy.mkdir()
    while len(writing) < 5:
        pass
    acknowledged = list(writing)
    shutil.copytree(filled.root / "log", copy / "log")
    copy_journal(filled.root, copy)
    for name in ("objects", "packs"):
        shutil.copytree(filled.root / name, copy / name)
    shutil.copy(filled.root / "lake.toml", copy)
    with Lake.open_at(copy) as lk:
        assert lk.fsck().ok
        assert set(acknowledged) <= contents(lk).keys()


def test_a_copy_in_the_wrong_order_says_so(filled: Lake, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(filled.root, copy, ignore=shutil.ignore_patterns("journal.db*", "log"))
    copy_journal(filled.root, copy)
    with filled.open("late", "wb") as file:
        file.write(b"late")
    shutil.copytree(filled.root / "log", copy / "log")
    with pytest.raises(StaleJournal, match="log"):
        Lake.open_at(copy)
