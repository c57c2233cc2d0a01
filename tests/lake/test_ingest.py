"""What a put does with the bytes: methods, checks, reports, failures."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from lake.errors import Conflict, DamagedObject, FormatError, InvalidInput, SourceChanged, StorageError
from lake.lake import Lake
from lake.stores.local import LocalStore
from lake.testing.faults import FaultySystem
from tests.lake.samples import (
    NOISE,
    branch_files,
    flip,
    local_tree,
    make_bam,
    make_tree,
    object_file,
    staged,
    stored_objects,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(NOISE)
    return path


class TestReport:
    def test_what_is_said_of_a_file(self, lk: Lake, source: Path) -> None:
        report = lk.put(source, "x/", meta={"project": "demo", "n": 3})
        item = report.items[0]
        assert item.as_json() == {
            "source": str(source),
            "path": "x/source.bin",
            "digest": blake3(NOISE).hexdigest(),
            "size": len(NOISE),
            "format": "binary",
            "chunks": len(lk.reader("x/source.bin").chunks),
            "new": True,
            "healed": False,
            "index": None,
            "warnings": [],
            "error": None,
        }
        assert item.chunks > 3
        assert lk.meta("x/source.bin") == {"project": "demo", "n": 3}
        assert report.commit is not None
        assert report.commit.message == "put x/source.bin"

    def test_the_same_content_again(self, lk: Lake, source: Path) -> None:
        lk.put(source, "one")
        before = stored_objects(lk)
        report = lk.put(source, "two")
        assert not report.items[0].new
        assert stored_objects(lk) == before
        assert branch_files(lk) == {"one": NOISE, "two": NOISE}

    def test_the_same_content_twice_in_one_put(self, lk: Lake, tmp_path: Path) -> None:
        make_tree(tmp_path / "t", {"a": "same", "b": "same"})
        report = lk.put(tmp_path / "t", "x")
        assert sorted(item.new for item in report.items) == [False, True]

    def test_attributes_stay_when_content_is_replaced(self, lk: Lake, source: Path, tmp_path: Path) -> None:
        lk.put(source, "x", meta={"a": 1, "b": [1, "two", None]})
        make_tree(tmp_path, {"f": "new"})
        lk.put(tmp_path / "f", "x", meta={"a": 2})
        assert lk.meta("x") == {"a": 2, "b": [1, "two", None]}

    def test_checksums(self, lk: Lake, source: Path) -> None:
        lk.put(source, "kept", checksums=True)
        wanted = {"md5": hashlib.md5(NOISE).hexdigest(), "sha256": hashlib.sha256(NOISE).hexdigest()}
        assert lk.stat("kept").checksums == wanted

    def test_checksums_of_content_that_is_known(self, lk: Lake, source: Path) -> None:
        lk.put(source, "plain")
        assert lk.stat("plain").checksums == {}
        lk.put(source, "kept", checksums=True)
        assert lk.stat("kept").checksums.keys() == {"md5", "sha256"}

    def test_a_wrong_suffix_is_reported_and_not_trusted(self, lk: Lake, tmp_path: Path) -> None:
        make_tree(tmp_path, {"reads.bam": "a,b\n1,2\n3,4\n"})
        report = lk.put(tmp_path / "reads.bam", "x/")
        assert report.items[0].format != "BAM"
        assert "named .bam" in report.items[0].warnings[0]
        assert "named .bam" in lk.stat("x/reads.bam").problems[0]

    def test_an_unknown_format_is_stored(self, lk: Lake, source: Path) -> None:
        assert lk.put(source, "x").items[0].warnings == []
        assert lk.stat("x").format == "binary"

    def test_empty_files(self, lk: Lake, tmp_path: Path) -> None:
        make_tree(tmp_path, {"empty.txt": ""})
        lk.put(tmp_path / "empty.txt", "x/")
        assert lk.stat("x/empty.txt").size == 0
        assert branch_files(lk) == {"x/empty.txt": b""}


class TestStrict:
    def test_refuses_and_says_why(self, lk: Lake, tmp_path: Path, source: Path, bams: Path) -> None:
        make_tree(tmp_path, {"reads.bam": "a,b\n1,2\n"})
        whole = (bams / "a.bam").read_bytes()
        (tmp_path / "cut.bam").write_bytes(whole[:-28])
        for path in (source, tmp_path / "reads.bam", tmp_path / "cut.bam"):
            with pytest.raises(FormatError, match="strict"):
                lk.put(path, "x/", strict=True)
        assert stored_objects(lk) == {}
        assert lk.put(bams / "a.bam", "x/", strict=True).stored

    def test_others_are_stored(self, lk: Lake, tmp_path: Path, source: Path) -> None:
        make_tree(tmp_path, {"table.csv": "a,b\n1,2\n"})
        report = lk.put([source, tmp_path / "table.csv"], "x/", strict=True)
        assert list(branch_files(lk)) == ["x/table.csv"]
        assert len(report.failed) == 1


class TestMove:
    def test_the_file_itself_is_taken(self, lk: Lake, source: Path) -> None:
        inode = source.stat().st_ino
        lk.put(source, "x", method="move")
        assert not source.exists()
        assert object_file(lk, "x").stat().st_ino == inode
        assert object_file(lk, "x").stat().st_mode & 0o777 == 0o444

    def test_it_goes_only_after_the_commit(self, bare: Lake, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise Conflict("somebody else was first")

        mode = source.stat().st_mode
        monkeypatch.setattr(bare.repo.journal, "commit", fail)
        with pytest.raises(Conflict):
            bare.put(source, "x", method="move")
        assert source.read_bytes() == NOISE
        assert source.stat().st_mode == mode

    def test_in_a_transaction_it_waits_for_the_end(self, lk: Lake, source: Path) -> None:
        with lk.commit("all of it"):
            lk.put(source, "x", method="move")
            assert source.exists()
        assert not source.exists()
        assert object_file(lk, "x").stat().st_mode & 0o777 == 0o444

    def test_in_a_transaction_that_fails_it_stays(self, lk: Lake, source: Path) -> None:
        mode = source.stat().st_mode

        def fail() -> None:
            with lk.commit("all of it"):
                lk.put(source, "x", method="move")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert source.read_bytes() == NOISE
        assert source.stat().st_mode == mode
        lk.put(source, "x")
        assert object_file(lk, "x").stat().st_mode & 0o777 == 0o444
        assert object_file(lk, "x").stat().st_ino != source.stat().st_ino

    def test_files_with_another_name_are_copied(self, lk: Lake, source: Path, tmp_path: Path) -> None:
        os.link(source, tmp_path / "other name")
        lk.put(source, "x", method="move")
        assert not source.exists()
        with open(tmp_path / "other name", "r+b") as other:
            other.write(b"changed")
        assert branch_files(lk) == {"x": NOISE}

    def test_files_that_somebody_writes_are_copied(self, lk: Lake, source: Path) -> None:
        with open(source, "r+b") as writer:
            lk.put(source, "x", method="move")
            assert not source.exists()
            writer.write(b"changed")
        assert branch_files(lk) == {"x": NOISE}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_files_of_others_are_copied(self, lk: Lake, source: Path) -> None:
        os.chown(source, 12345, 12345)
        inode = source.stat().st_ino
        lk.put(source, "x", method="move")
        assert not source.exists()
        assert object_file(lk, "x").stat().st_ino != inode
        assert object_file(lk, "x").stat().st_uid == 0

    def test_what_cannot_be_stored_stays(self, lk: Lake, source: Path) -> None:
        with pytest.raises(FormatError):
            lk.put(source, "x", method="move", strict=True)
        assert source.read_bytes() == NOISE

    def test_reflinks_fall_back_to_copies(self, lk: Lake, source: Path) -> None:
        lk.put(source, "x", method="reflink")
        assert source.read_bytes() == NOISE
        assert branch_files(lk) == {"x": NOISE}

    def test_an_unknown_method(self, lk: Lake, source: Path) -> None:
        with pytest.raises(ValueError, match="teleport"):
            lk.put(source, "x", method="teleport")


class _Meddler:
    """A progress that does something once when the first bytes have passed."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def start(self, total: int, what: str) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...

    def advance(self, count: int) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()


class TestSourcesThatChange:
    @pytest.mark.parametrize("method", ["copy", "reflink"])
    def test_written_meanwhile(self, lk: Lake, source: Path, method: str) -> None:
        def act() -> None:
            with open(source, "ab") as writer:
                writer.write(b"more")

        with pytest.raises(SourceChanged, match="changed while it was read"):
            lk.put(source, "x", method=method, progress=_Meddler(act))
        assert stored_objects(lk) == {}

    def test_truncated_meanwhile(self, lk: Lake, source: Path) -> None:
        with pytest.raises(SourceChanged):
            lk.put(source, "x", progress=_Meddler(lambda: os.truncate(source, 100)))

    def test_gone_meanwhile(self, lk: Lake, source: Path) -> None:
        with pytest.raises(SourceChanged, match="vanished"):
            lk.put(source, "x", progress=_Meddler(source.unlink))

    def test_the_others_are_stored(self, lk: Lake, source: Path, tmp_path: Path) -> None:
        make_tree(tmp_path, {"f": "1"})
        report = lk.put([source, tmp_path / "f"], "x/", progress=_Meddler(source.unlink))
        assert branch_files(lk) == {"x/f": b"1"}
        assert "vanished" in (report.failed[0].error or "")


class TestDisk:
    """A disk that is full or fails: one clear line, nothing half-stored, and all goes on afterwards."""

    @pytest.mark.parametrize("room", [0, 1000, 2 << 20])
    def test_full(self, lk: Lake, source: Path, room: int) -> None:
        sound = lk.repo.store
        lk.repo.store = LocalStore(lk.root, FaultySystem(full_after=room))
        with pytest.raises(StorageError, match="No space left on device") as caught:
            lk.put(source, "x")
        assert "\n" not in str(caught.value)
        assert staged(lk) == []
        assert stored_objects(lk) == {}
        lk.repo.store = sound
        lk.put(source, "x")
        assert branch_files(lk) == {"x": NOISE}

    @pytest.mark.parametrize("call", ["fsync", "rename_new", "sync_directory"])
    def test_failing(self, lk: Lake, source: Path, tmp_path: Path, call: str) -> None:
        make_tree(tmp_path, {"f": "1"})
        lk.put(tmp_path / "f", "old")
        sound = lk.repo.store
        lk.repo.store = LocalStore(lk.root, FaultySystem({call: errno.EIO}))
        with pytest.raises(StorageError, match="Input/output error"):
            lk.put([source, tmp_path / "f"], "x/", method="move")
        assert source.exists()
        assert staged(lk) == []
        lk.repo.store = sound
        assert branch_files(lk) == {"old": b"1"}
        lk.put(source, "x/")
        assert branch_files(lk) == {"old": b"1", "x/source.bin": NOISE}

    def test_full_for_a_writer(self, lk: Lake) -> None:
        sound = lk.repo.store
        lk.repo.store = LocalStore(lk.root, FaultySystem({"fsync": errno.ENOSPC}))
        with pytest.raises(StorageError), lk.open("x", "wb") as file:
            file.write(NOISE)
        lk.repo.store = sound
        assert not lk.exists("x")


class TestHealing:
    """Good content put again replaces a copy that was damaged."""

    @pytest.mark.parametrize("noticed", [True, False])
    def test_a_flipped_byte(self, lk: Lake, source: Path, noticed: bool) -> None:
        lk.put(source, "x")
        flip(object_file(lk, "x"), 5)
        if noticed:
            assert not lk.fsck().ok
            assert lk.stat("x").damaged == (0,)
        report = lk.put(source, "y")
        assert report.items[0].healed
        assert lk.stat("x").damaged == ()
        with lk.open("x", verify=True) as file:
            assert file.read() == NOISE

    def test_a_lost_object(self, lk: Lake, source: Path) -> None:
        lk.put(source, "x")
        object_file(lk, "x").unlink()
        lk.put(source, "y")
        assert branch_files(lk) == {"x": NOISE, "y": NOISE}

    def test_a_cut_object(self, lk: Lake, source: Path) -> None:
        lk.put(source, "x")
        file = object_file(lk, "x")
        file.chmod(0o600)
        os.truncate(file, 1000)
        lk.put(source, "x")
        assert branch_files(lk) == {"x": NOISE}

    def test_for_a_reader_of_the_same_lake(self, lk: Lake, source: Path) -> None:
        lk.put(source, "x")
        other = Lake.open_at(lk.root)
        flip(object_file(lk, "x"), 5)
        with pytest.raises(OSError, match="chunk 0"):
            other.reader("x").read(0, 10)
        lk.put(source, "x")
        assert other.reader("x").read(0, 10) == NOISE[:10]
        other.close()


class TestManySmallFiles:
    """A batch in which many files lie close together behaves as if each were alone."""

    @pytest.fixture
    def many(self, bare: Lake, tmp_path: Path) -> Lake:
        bare.put(make_tree(tmp_path / "many", {f"{n:03}.txt": f"content {n}" * 20 for n in range(150)}), "m")
        return bare

    def test_reads_and_copies(self, many: Lake, tmp_path: Path) -> None:
        wanted = {f"m/{name}": data for name, data in local_tree(tmp_path / "many").items()}
        assert branch_files(many) == wanted
        assert len(many.get("m", tmp_path / "out")) == 150
        assert local_tree(tmp_path / "out") == local_tree(tmp_path / "many")
        assert many.local_path("m/007.txt").read_text() == "content 7" * 20
        with many.open("m/100.txt", "r", verify=True) as file:
            assert file.read() == "content 100" * 20
        report = many.put(tmp_path / "many", "again")
        assert not any(item.new for item in report.items)
        assert many.fsck().ok
        assert staged(many) == []

    def test_damage_of_one_is_that_of_no_other(self, many: Lake, tmp_path: Path) -> None:
        digest = many.stat("m/033.txt").digest
        assert digest is not None
        record = many.repo.journal.object(digest)
        assert record is not None
        flip(many.root / record.location.handle, record.location.offset + 5)
        with Lake.open_at(many.root) as other:
            with pytest.raises(DamagedObject, match=r"m/033\.txt: chunk 0"):
                other.get("m/033.txt", tmp_path / "out.txt")
            assert other.get("m/034.txt", tmp_path / "next.txt")
            assert [finding.digest for finding in other.fsck().findings] == [digest]
            assert other.put(tmp_path / "many/033.txt", "m/").items[0].healed
            assert other.fsck().ok
            assert other.get("m/033.txt", tmp_path / "out.txt")


def test_threads_put_together(lk: Lake, tmp_path: Path) -> None:
    make_tree(tmp_path / "t", {f"{n}.txt": f"{n % 5}" for n in range(24)})
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for n in range(first, 24, 4):
                lk.put(tmp_path / f"t/{n}.txt", f"{n}.txt")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert branch_files(lk) == {f"{n}.txt": str(n % 5).encode() for n in range(24)}


def test_no_put_on_a_tag(lk: Lake, source: Path) -> None:
    lk.put(source, "x")
    lk.tag("v1")
    for ref in ("v1", "1", "main~0"):
        with pytest.raises(PermissionError, match="not a branch"):
            lk.put(source, f"@{ref}/y")
    with pytest.raises(InvalidInput, match="under way"), lk.commit("one"), lk.commit("two"):
        pass


def test_damage_that_only_indexing_meets_is_kept(lk: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Large files are not decoded by the checks of a put.
    monkeypatch.setattr("lake.formats.alignments.bam._CHECKED_WHOLE", 0)
    monkeypatch.setattr("lake.formats.intervals.batch._RECORDS_SAMPLED", 100)
    bam = make_bam(tmp_path / "reads.bam", reads=20_000)
    flip(bam, bam.stat().st_size // 2)
    (item,) = lk.put(bam, "x/").items
    assert item.error is None
    assert item.index is None
    told = [warning for warning in item.warnings if warning.startswith("cannot be indexed: ")]
    assert told
    assert told[0] in lk.stat("x/reads.bam").problems
