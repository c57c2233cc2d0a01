"""The doctor finds what is wrong with a machine, a disk or a lake, and says what to do."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import sqlite3
from pathlib import Path

import pytest

from lake.backup.known import KnownBackup, known_backups, remember_backup
from lake.doctor import disk, examining, machine
from lake.doctor.battery import battery_checks
from lake.doctor.disk import disk_checks, filesystem_checks
from lake.doctor.examining import examine
from lake.doctor.report import Check, State
from lake.lake import Lake
from lake.stores.durable import System
from tests.lake.samples import flip, object_file

_DAY = 86_400 * 1_000_000_000


@pytest.fixture
def filled(bare: Lake) -> Lake:
    with bare.open("d/a.txt", "wb") as file:
        file.write(b"content")
    return bare


@pytest.fixture
def told(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """What is said of a lake, but of the machine and the disk, by name."""
    monkeypatch.setattr(examining, "disk_checks", lambda _: [])
    return checks_of(filled.root)


def checks_of(root: Path) -> dict[str, Check]:
    return {check.name: check for check in examine(root).checks}


def test_a_healthy_lake(filled: Lake, tmp_path: Path) -> None:
    filled.fsck()
    filled.backup(tmp_path / "backup")
    filled.root.chmod(0o700)
    before = set(os.listdir(filled.root))
    report = examine(filled.root)
    said = [check for check in report.checks if check.state is not State.OK]
    assert report.ok, said
    assert {check.name for check in said} <= {"filesystem"}, said
    assert all(check.advice == "" for check in report.checks if check.state is State.OK)
    assert {"versions", "flock locks", "fcntl locks", "rename", "fsync", "clock", "log", "catalog", "backup"} <= {
        check.name for check in report.checks
    }
    assert set(os.listdir(filled.root)) <= before | {"journal.db-wal", "journal.db-shm"}
    assert report.as_json()["ok"] is True


def test_where_there_is_no_lake(tmp_path: Path) -> None:
    report = examine(tmp_path / "new/lake")
    [failed] = [check for check in report.checks if check.state is State.FAIL]
    assert failed.name == "lake"
    assert failed.advice.startswith("'lake init ")
    assert os.listdir(tmp_path) == []


def test_the_lake_is_found_upward(
    filled: Lake, told: dict[str, Check], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAKE_ROOT", raising=False)
    monkeypatch.chdir(filled.root / "objects")
    assert examine().root == str(filled.root)
    monkeypatch.chdir(tmp_path)
    assert examine().root == str(tmp_path)


def test_a_lake_that_does_not_open(filled: Lake, told: dict[str, Check]) -> None:
    filled.close()
    shutil.rmtree(filled.root / "log")
    (filled.root / "journal.db").write_bytes(b"SQLite format 3\0 no more" + bytes(5000))
    check = checks_of(filled.root)["lake"]
    assert check.state is State.FAIL
    assert "journal.db" in check.found
    assert "restore the lake from a backup" in check.found
    (filled.root / "lake.toml").unlink()
    check = checks_of(filled.root)["lake"]
    assert check.state is State.FAIL
    assert "has no lake.toml" in check.found


def test_a_full_disk_is_one_finding_and_no_bad_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    failed = [check for check in disk_checks(tmp_path) if check.state is State.FAIL]
    assert [(check.name, check.advice) for check in failed] == [("writing", "free some, then run the doctor again")]


@pytest.mark.parametrize("size", [0, 50, 5000])
def test_a_damaged_journal_is_made_again_where_its_log_is_whole(
    filled: Lake, told: dict[str, Check], size: int
) -> None:
    filled.close()
    os.truncate(filled.root / "journal.db", size)
    check = checks_of(filled.root)["lake"]
    assert check.state is State.FAIL
    assert "'lake doctor --rebuild-journal' makes it again" in check.found
    Lake.rebuild_journal(filled.root)
    assert checks_of(filled.root)["lake"].state is State.OK


def test_a_journal_that_is_older_than_its_log(filled: Lake, told: dict[str, Check], tmp_path: Path) -> None:
    filled.close()
    shutil.copy(filled.root / "journal.db", tmp_path)
    with Lake.open_at(filled.root) as lk, lk.open("later", "wb") as file:
        file.write(b"later")
    for name in ("journal.db-wal", "journal.db-shm"):
        (filled.root / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "journal.db", filled.root)
    check = checks_of(filled.root)["lake"]
    assert check.state is State.FAIL
    assert "rebuild-journal" in check.found + check.advice


def test_damage_and_missing_files(filled: Lake, told: dict[str, Check]) -> None:
    flip(object_file(filled, "d/a.txt"), 0)
    filled.fsck()
    check = checks_of(filled.root)["damage"]
    assert (check.state, "d/a.txt" in check.found) == (State.FAIL, True)
    object_file(filled, "d/a.txt").unlink()
    check = checks_of(filled.root)["objects"]
    assert check.state is State.FAIL
    assert "1 are missing" in check.found


def test_never_checked_and_never_backed_up(filled: Lake, told: dict[str, Check], tmp_path: Path) -> None:
    assert told["fsck"].state is told["backup"].state is State.WARN
    filled.fsck()
    remember_backup(filled.root, KnownBackup("/far/away", 10 * _DAY, 0), System())
    remember_backup(filled.root, KnownBackup("/near", 11 * _DAY, 0), System())
    remember_backup(filled.root, KnownBackup("/far/away", 12 * _DAY, 0), System())
    assert [known.directory for known in known_backups(filled.root)] == ["/far/away", "/near"]
    again = checks_of(filled.root)
    assert again["fsck"].state is State.OK
    assert again["backup"].state is State.WARN
    assert again["backup"].advice == "run 'lake backup /far/away'"
    (filled.root / "backups.json").write_text("[1")
    assert known_backups(filled.root) == []


def test_a_backup_is_looked_at_too(filled: Lake, told: dict[str, Check], tmp_path: Path) -> None:
    filled.backup(tmp_path / "backup")
    checks = checks_of(tmp_path / "backup")
    assert checks["lake"].found.startswith("a backup of format 1")
    assert checks["backup"].state is State.OK


def test_leases_of_the_dead(filled: Lake, told: dict[str, Check]) -> None:
    assert told["leases"].state is State.OK
    dead = next(number for number in range(4_000_000, 1, -1) if not Path(f"/proc/{number}").exists())
    filled.repo.journal.acquire_lease(f"me@{socket.gethostname()}:{dead}:x", "staging", 3600)
    filled.repo.journal.acquire_lease("me@another-machine:1:x", "staging", 3600)
    (filled.root / "staging/left").mkdir()
    check = checks_of(filled.root)["leases"]
    assert check.state is State.WARN
    assert check.found.startswith("1 of ")
    assert "1 folders of staging" in check.found


@pytest.mark.parametrize(
    ("root", "key", "state"),
    [(0o700, 0o644, State.OK), (0o755, 0o600, State.WARN), (0o755, 0o644, State.FAIL), (0o2770, 0o660, State.OK)],
)
def test_permissions(filled: Lake, told: dict[str, Check], root: int, key: int, state: State) -> None:
    (filled.root / "server.key").write_bytes(b"k")
    (filled.root / "server.key").chmod(key)
    (filled.root / "objects").chmod(0o755)
    filled.root.chmod(root)
    check = checks_of(filled.root)["permissions"]
    assert check.state is state
    assert ("server.key" in check.found) == (state is State.FAIL)


# -- disk and machine -----------------------------------------------------------------------------------------------
class _Replacing(System):
    """A disk on which renames replace, and clones work."""

    def rename_new(self, old: str, new: str) -> None:
        os.replace(old, new)

    def clone(self, source: int, target: int) -> bool:
        return True


def test_a_disk_that_replaces(tmp_path: Path) -> None:
    checks = {check.name: check for check in disk_checks(tmp_path, _Replacing())}
    assert checks["rename"].state is State.FAIL
    assert "put --reflink" in checks["reflinks"].found
    assert os.listdir(tmp_path) == []


def test_locks_that_do_not_exclude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_other_process", lambda *_: "free")
    checks = {check.name: check for check in disk_checks(tmp_path)}
    assert checks["flock locks"].state is checks["fcntl locks"].state is State.FAIL
    assert "lake serve" in checks["flock locks"].advice


def test_a_slow_or_failing_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_SLOW_SYNC", -1.0)
    assert {check.name: check.state for check in disk_checks(tmp_path)}["fsync"] is State.WARN

    class Failing(System):
        def fsync(self, fd: int) -> None:
            raise OSError(5, "Input/output error")

    checks = {check.name: check for check in disk_checks(tmp_path, Failing())}
    assert checks["syncs"].state is State.FAIL
    assert "Input/output error" in checks["syncs"].found


@pytest.mark.parametrize(("moved", "state"), [("0", State.OK), ("60", State.WARN), ("-86400", State.FAIL)])
def test_a_clock_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str, state: State) -> None:
    monkeypatch.setenv("REGIONLAKE_CLOCK", moved)
    assert {check.name: check.state for check in disk_checks(tmp_path)}["clock"] is state


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("ext4", State.OK),
        ("nfs4", State.FAIL),
        ("fuse.sshfs", State.FAIL),
        ("fuse.mine", State.WARN),
        ("tmpfs", State.WARN),
    ],
)
def test_filesystems(
    filled: Lake, told: dict[str, Check], monkeypatch: pytest.MonkeyPatch, kind: str, state: State
) -> None:
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", kind)
    check = {check.name: check for check in filesystem_checks(filled.root / "not/yet")}["filesystem"]
    assert check.state is state
    assert kind in check.found


def test_nothing_is_tried_on_a_network_filesystem(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its journal is not opened there, either; the report says what to do instead."""
    filled.close()
    monkeypatch.setenv("REGIONLAKE_FILESYSTEM", "nfs")
    monkeypatch.setattr(sqlite3, "connect", None)
    report = examine(filled.root)
    assert not report.ok
    assert "flock locks" not in {check.name for check in report.checks}
    assert any("'lake serve'" in check.advice for check in report.checks)


@pytest.mark.parametrize(("free", "state"), [(5 << 30, State.OK), (500 << 20, State.WARN), (1 << 20, State.FAIL)])
def test_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: State) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert {check.name: check.state for check in filesystem_checks(tmp_path)}["free space"] is state


def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    check = {check.name: check for check in machine.machine_checks()}["open files"]
    assert check.state is State.WARN
    assert "ulimit" in check.advice


# -- battery --------------------------------------------------------------------------------------------------------
def test_the_battery_on_a_good_disk(tmp_path: Path) -> None:
    checks = list(battery_checks(tmp_path, 0.2))
    assert {check.name for check in checks} == {
        "create race",
        "rename race",
        "flock race",
        "fcntl race",
        "rename visibility",
    }
    assert all(check.state is State.OK for check in checks), checks
    assert os.listdir(tmp_path) == []
