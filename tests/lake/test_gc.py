"""gc: what goes and what stays, crashes at every step, clocks that lie, errors while looking, two collectors."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import lake
from lake import crashpoints
from lake.crashpoints import GC_STEPS
from lake.digest import Digest, digest_of
from lake.errors import Conflict, InvalidInput, LakeLocked, NotFound, StorageError
from lake.gc import LOST_AND_FOUND
from lake.journal.values import Artifact
from lake.lake import Lake
from lake.retention import Policy
from tests.lake.samples import make_bam, object_file

_DAY = 86400.0


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[Lake]:
    with lake.init(tmp_path / "lake") as made:
        yield made


def content(seed: int, size: int = 3000) -> bytes:
    return random.Random(seed).randbytes(size)


def write(lk: Lake, path: str, data: bytes) -> Digest:
    with lk.open(path, "wb") as file:
        file.write(data)
    return digest_of(data)


def read(lk: Lake, path: str, ref: str | None = None) -> bytes:
    with lk.open(path, ref=ref) as file:
        data: bytes = file.read()
    return data


def let_go(lk: Lake, *paths: str) -> None:
    """Remove files, and the history that knows them."""
    lk.rm(paths, recursive=True)
    lk.expire(Policy(last=1))


def files(lk: Lake, folder: str) -> list[str]:
    return sorted(str(path.relative_to(lk.root)) for path in (lk.root / folder).rglob("*") if path.is_file())


def small_files(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}").write_bytes(content(seed * 1000 + number, 200))
    return folder


def assert_sound(lk: Lake) -> None:
    report = lk.fsck()
    assert report.ok, report.findings


# -- what goes and what stays -------------------------------------------------------------------------------------
def test_nothing_goes_that_history_names(lk: Lake) -> None:
    write(lk, "a", content(1))
    write(lk, "a", content(2))
    lk.branch("side")
    write(lk, "@side/b", content(3))
    lk.tag("v1")
    lk.rm("a")
    lk.delete_branch("side")
    report = lk.gc(grace=0, trash=0)
    assert (report.objects, report.orphans, report.purged) == (0, 0, 0)
    assert read(lk, "a", ref="1") == content(1)
    assert_sound(lk)


def test_what_goes_waits_in_the_trash_and_comes_back(lk: Lake) -> None:
    gone, kept = write(lk, "gone", content(1)), write(lk, "kept", content(2))
    let_go(lk, "gone")
    said = lk.gc(dry_run=True)
    assert (said.dry_run, said.objects, said.bytes, said.waiting) == (True, 1, 3000, 0)
    assert said.examples == ((f"b3:{gone}", "binary, 3000 bytes: no path names it"),)
    report = lk.gc()
    assert (report.objects, report.bytes, report.purged, report.waiting, report.waiting_bytes) == (1, 3000, 0, 1, 3000)
    assert files(lk, "trash") == [f"trash/objects/{gone[:2]}/{gone}"]
    assert lk.repo.journal.object(gone) is None
    assert lk.sql("SELECT digest FROM objects").fetchall() == [(kept,)]
    assert_sound(lk)
    commit = lk.untrash([f"b3:{gone}"])
    assert commit is not None
    assert read(lk, f"{LOST_AND_FOUND}/{gone}") == content(1)
    assert files(lk, "trash") == []
    assert lk.gc(trash=0).objects == 0
    assert lk.untrash() is None
    assert_sound(lk)


def test_the_trash_is_emptied_in_its_time_and_when_told(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = write(lk, "1", content(1)), write(lk, "2", content(2))
    write(lk, "kept", b"kept")
    let_go(lk, "1")
    lk.gc(trash=_DAY)
    let_go(lk, "2")
    lk.gc(trash=3 * _DAY)
    monkeypatch.setattr("lake.gc.now", lambda: time.time_ns() + 2 * 86400 * 10**9)
    monkeypatch.setattr("lake.gc._SKEW", 1 << 62)
    report = lk.gc()
    assert (report.purged, report.freed, report.waiting) == (1, 3000, 1)
    with pytest.raises(NotFound, match="not in the trash"):
        lk.untrash([f"b3:{first}"])
    with pytest.raises(InvalidInput, match="write b3:"):
        lk.untrash(["kept"])
    report = lk.gc(empty_trash=True)
    assert (report.purged, report.waiting, files(lk, "trash")) == (1, 0, [])
    assert lk.repo.journal.trashed([second]) == {}
    assert_sound(lk)


def test_files_that_somebody_removed_from_the_trash(lk: Lake) -> None:
    gone, there = write(lk, "gone", content(1)), write(lk, "there", content(2))
    let_go(lk, "gone", "there")
    assert lk.gc().waiting == 2
    (lk.root / "trash" / "objects" / gone[:2] / gone).unlink()
    with pytest.raises(NotFound, match="somebody has removed the file"):
        lk.untrash([f"b3:{gone}"])
    lk.untrash()
    assert [entry.path for entry in lk.ls(LOST_AND_FOUND)] == [f"{LOST_AND_FOUND}/{there}"]
    assert lk.gc(empty_trash=True).waiting == 0
    assert_sound(lk)


def test_the_only_copy_of_something_live_stays_in_the_trash(lk: Lake) -> None:
    """As it is when a journal was put back from a copy that is older than what gc has done, together with its log."""
    digest = write(lk, "a", content(1))
    place = object_file(lk, "a")
    copy = lk.root / "trash" / place.relative_to(lk.root)
    copy.parent.mkdir(parents=True)
    place.rename(copy)
    lk.gc(grace=0, trash=0, empty_trash=True)
    assert copy.is_file()
    write(lk, "b", content(1))
    lk.gc(grace=0, trash=0)
    assert (read(lk, "a"), copy.exists()) == (content(1), False)
    assert lk.stat("a").digest == digest
    assert_sound(lk)


def test_what_was_derived_goes_and_comes_back_with_its_file(lk: Lake, tmp_path: Path) -> None:
    lk.put(make_bam(tmp_path / "a.bam"))
    (bam,) = lk.repo.journal.known([Digest(lk.stat("a.bam").digest or "")])
    big = write(lk, "big", content(9))
    lk.repo.journal.add_artifacts([Artifact(bam, "table", "1", target=big)])
    lk.rm("big")
    lk.expire(Policy(last=1))
    assert lk.gc().objects == 0
    let_go(lk, "a.bam")
    assert lk.sql("SELECT count(*) FROM objects").fetchall() == [(2,)]
    assert lk.gc().objects == 2
    assert lk.sql("SELECT count(*) FROM objects").fetchall() == [(0,)]
    assert lk.sql("SELECT count(*) FROM chunks").fetchall() == [(0,)]
    lk.untrash([f"b3:{bam}"])
    assert [entry.path for entry in lk.ls(LOST_AND_FOUND)] == [f"{LOST_AND_FOUND}/{bam}"]
    assert lk.repo.journal.known([bam, big]) == {bam, big}
    assert [made.target for made in lk.repo.journal.artifacts(bam) if made.kind == "table"] == [big]
    assert lk.sql("SELECT DISTINCT path FROM contigs").fetchall() == [(f"{LOST_AND_FOUND}/{bam}",)]
    assert_sound(lk)


def test_an_object_that_was_deleted_leaves_the_catalog_too(lk: Lake) -> None:
    write(lk, "1", content(1))
    write(lk, "2", content(2))
    lk.catalog.publish(force=True)
    let_go(lk, "1", "2")
    lk.gc(trash=0)
    assert lk.sql("SELECT * FROM objects").fetchall() == []
    write(lk, "3", content(3))
    assert lk.sql("SELECT digest FROM objects").fetchall() == [(digest_of(content(3)),)]
    lk.catalog.publish(force=True)
    assert lk.sql("SELECT digest FROM objects").fetchall() == [(digest_of(content(3)),)]


def test_a_pack_goes_when_its_last_object_does(lk: Lake, tmp_path: Path) -> None:
    lk.put(small_files(tmp_path / "s", 100, 1), "s")
    let_go(lk, *(f"s/{number}" for number in range(40)))
    assert lk.gc(grace=0).objects == 40
    assert (files(lk, "trash"), len(files(lk, "packs"))) == ([], 1)
    lk.put(tmp_path / "s" / "3", "again")
    assert read(lk, "again") == (tmp_path / "s" / "3").read_bytes()
    assert_sound(lk)
    let_go(lk, *(f"s/{number}" for number in range(40, 90)))
    reader = lk.repo.shelf.reader(digest_of((tmp_path / "s" / "95").read_bytes()))
    assert [lk.gc(grace=0, trash=0).packs for _ in range(3)] == [0, 1, 0]
    assert files(lk, "packs") == []
    assert reader.read(0, 200) == (tmp_path / "s" / "95").read_bytes()
    for number in range(90, 100):
        assert read(lk, f"s/{number}") == (tmp_path / "s" / str(number)).read_bytes()
    assert_sound(lk)


def test_an_open_file_goes_on_being_read(lk: Lake) -> None:
    data = content(1, 3 << 20)
    write(lk, "a", data)
    with lk.open("a") as file, lk.open("a", verify=True) as checked:
        assert file.read(10) == checked.read(10) == data[:10]
        let_go(lk, "a")
        lk.gc(trash=0)
        assert file.read() == data[10:]
        try:
            rest = checked.read()
        except NotFound:
            return
        assert rest == data[10:]


def test_a_backup_keeps_gc_away(lk: Lake) -> None:
    write(lk, "a", content(1))
    let_go(lk, "a")
    with lk.repo.lease("backup"), pytest.raises(LakeLocked, match="a backup"):
        lk.gc()
    assert lk.gc().objects == 1


def test_a_backup_that_was_killed_keeps_gc_away_for_minutes(
    lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lk, "a", content(1))
    child = os.fork()
    if not child:
        crashpoints.arm("backup-staged")
        lk.backup(tmp_path / "backup")
        os._exit(1)
    os.waitpid(child, 0)
    let_go(lk, "a")
    with pytest.raises(LakeLocked, match="killed minutes ago"):
        lk.gc()
    monkeypatch.setenv("REGIONLAKE_CLOCK", "360")
    assert lk.gc().objects == 1


# -- storage.md 2.4 -----------------------------------------------------------------------------------------------
def test_g3_an_error_while_looking_deletes_nothing(lk: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """G3: listing or marking fails half-way."""
    write(lk, "a", content(1))
    write(lk, "kept", content(2))
    let_go(lk, "a")
    orphan(lk, content(3))
    before = files(lk, "objects")
    scandir = os.scandir

    def failing(path: str) -> object:
        if str(path).endswith(f"objects/{digest_of(content(2))[:2]}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing)
        with pytest.raises(StorageError, match="cannot list"):
            lk.gc(grace=0, trash=0)
    with monkeypatch.context() as patch:
        patch.setattr("lake.journal.claims.loose", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lk.gc(grace=0, trash=0)
    assert files(lk, "objects") == before
    assert lk.repo.journal.trashed() == {}
    assert lk.gc(grace=0).objects == 1


def test_g4_one_collector_at_a_time(lk: Lake) -> None:
    """G4: a collector that is stopped in the middle keeps others out; once killed, the next one ends its work."""
    write(lk, "a", content(1))
    write(lk, "kept", content(2))
    let_go(lk, "a")
    child = _collect_and(lk, "moved", signal.SIGSTOP)
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    with pytest.raises(LakeLocked, match="another gc"):
        lk.gc()
    write(lk, "b", content(3))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    report = lk.gc()
    assert (report.objects, report.waiting) == (0, 1)
    assert read(lk, "b") == content(3)
    assert_sound(lk)


def test_g4_a_collector_that_goes_on_late_takes_nothing_live(lk: Lake) -> None:
    """G4: stopped after its mark, continued after a commit has come to name what it marked."""
    write(lk, "a", content(1))
    let_go(lk, "a")
    child = _collect_and(lk, "marked", signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)
    write(lk, "again", content(1))
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert read(lk, "again") == content(1)
    assert files(lk, "trash") == []


@pytest.mark.parametrize("days", [-1, 1])
def test_g5_a_clock_that_lies_takes_nothing_live(lk: Lake, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """G5: the machine's clock is a day wrong, files come from the future and from 1970."""
    write(lk, "a", content(1))
    write(lk, "b", content(2))
    os.utime(object_file(lk, "a"), ns=(0, 0))
    os.utime(object_file(lk, "b"), ns=(1 << 62, 1 << 62))
    monkeypatch.setenv("REGIONLAKE_CLOCK", str(days * 86400))
    with pytest.raises(StorageError, match="set the clock"):
        lk.gc(grace=0, trash=0)
    write(lk, "c", content(3))
    monkeypatch.delenv("REGIONLAKE_CLOCK")
    assert lk.gc(grace=0, trash=0).purged == 0
    assert_sound(lk)


def test_a_stray_file_is_left_alone_until_its_grace_is_over(lk: Lake) -> None:
    orphan(lk, content(1))
    assert lk.gc().orphans == 0
    report = lk.gc(grace=0)
    assert (report.orphans, report.orphan_bytes) == (1, 3000)
    assert report.examples[0][1] == "file, 3000 bytes: no object lies in it"
    write(lk, "a", content(1))
    assert lk.gc(grace=0).waiting == 0
    assert (read(lk, "a"), files(lk, "trash")) == (content(1), [])


@pytest.mark.parametrize("change", ["branch", "tag", "reset"])
def test_g6_refs_that_change_while_gc_is_at_work(lk: Lake, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: a branch or a tag is made, or a file restored, between mark and sweep."""
    write(lk, "a", content(1))
    write(lk, "a", content(2))

    def meddle(step: str) -> None:
        if step == "marked":
            match change:
                case "branch":
                    lk.branch("side", "1")
                case "tag":
                    lk.tag("old", "1")
                case _:
                    lk.restore("a", "1")

    monkeypatch.setattr("lake.gc.crash_point", meddle)
    assert lk.gc(grace=0, trash=0).objects == 0
    assert read(lk, "a", ref={"branch": "side", "tag": "old", "reset": "main"}[change]) == content(1)


@pytest.mark.parametrize("step", GC_STEPS)
def test_g7_a_crash_at_every_step(lk: Lake, step: str) -> None:
    """G7: killed in the middle of the sweep or of emptying the trash; another run ends it, and untrash works."""
    purging = step in ("purge-rows", "purged")
    for number in range(3):
        write(lk, f"{number}", content(number))
    orphan(lk, content(7))
    let_go(lk, "0", "1")
    _, status = os.waitpid(_collect_and(lk, step, signal.SIGKILL, trash=0 if purging else _DAY), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert_sound(lk)
    if not purging and step != "marked":
        lk.untrash([f"b3:{digest_of(content(0))}"])
        assert read(lk, f"{LOST_AND_FOUND}/{digest_of(content(0))}") == content(0)
        assert_sound(lk)
    lk.gc(grace=0, trash=0, empty_trash=True)
    report = lk.gc(grace=0, trash=0)
    assert (report.objects, report.orphans, report.waiting) == (0, 0, 0)
    assert files(lk, "trash") == []
    assert len(files(lk, "objects")) == (2 if not purging and step != "marked" else 1)
    write(lk, "again", content(1))
    assert read(lk, "again") == content(1)
    assert_sound(lk)


def test_g7_a_crash_while_things_come_back(lk: Lake) -> None:
    """G7: killed after the files are back, before the journal knows."""
    gone = write(lk, "a", content(1))
    let_go(lk, "a")
    lk.gc()
    child = os.fork()
    if not child:
        crashpoints.arm("given-back")
        lk.untrash()
        os._exit(1)
    os.waitpid(child, 0)
    assert lk.repo.journal.object(gone) is None
    assert lk.gc(grace=0).waiting == 1
    lk.untrash()
    assert read(lk, f"{LOST_AND_FOUND}/{gone}") == content(1)
    assert_sound(lk)


def test_g8_a_row_that_survives_its_bytes(lk: Lake) -> None:
    """G8: the journal knows an object of which the file is gone: the next put stores it again."""
    write(lk, "a", content(1))
    object_file(lk, "a").unlink()
    write(lk, "b", content(1))
    assert read(lk, "a") == content(1)
    assert_sound(lk)


def test_g9_failed_commits_leave_a_bounded_disk(lk: Lake) -> None:
    """G9: transactions that fail again and again."""
    write(lk, "a", content(1))
    for number in range(5):
        with pytest.raises(Conflict), lk.commit("fails", expected_head=0):
            write(lk, "b", content(100 + number))
    assert len(files(lk, "objects")) == 6
    assert lk.gc(grace=0, trash=0).purged == 5
    assert len(files(lk, "objects")) == 1
    assert files(lk, "staging") == []


def orphan(lk: Lake, data: bytes) -> None:
    """A stored file that no commit names, as a crash leaves it."""
    import io

    with lk.repo.batch() as batch:
        batch.put_stream(io.BytesIO(data))
        batch.publish()


def _collect_and(lk: Lake, step: str, what: signal.Signals, trash: float = _DAY) -> int:
    """A fork that runs gc and sends itself a signal at a step; its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:

        def reached(name: str) -> None:
            if name == step:
                os.kill(os.getpid(), what)

        for module in ("lake.gc", "lake.trash", "lake.stores.trash"):
            setattr(import_module(module), "crash_point", reached)  # noqa: B010  # no attribute that types know of
        lk.gc(grace=0, trash=trash)
        status = 0
    finally:
        os._exit(status)
