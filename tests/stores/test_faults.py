"""Full and failing disks: a clear error, nothing acknowledged, nothing left behind, and later success."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from lake.errors import StorageError
from lake.stores.durable import System
from lake.stores.local import LocalStore
from lake.testing.faults import FaultySystem
from lake.testing.stores import BIG, put_bytes
from tests.stores.conftest import objects, staging


@pytest.mark.parametrize("room", [0, 1, 2 << 20])
def test_full_disk(root: Path, tmp_path: Path, room: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(BIG)
    with LocalStore(root, FaultySystem(full_after=room)).batch("s1") as batch:
        with pytest.raises(StorageError, match="make room") as raised:
            batch.put_file(source)
        with pytest.raises(StorageError, match="make room"):
            batch.put_stream(io.BytesIO(b"small"))
        assert [path for path in staging(root) if path.is_file()] == []
        assert batch.publish() == []
    assert str(root) in str(raised.value)
    assert staging(root) == []
    assert objects(root) == {}
    assert put_bytes(LocalStore(root), BIG)[0].new


@pytest.mark.parametrize("call", ["fsync", "rename_new", "sync_directory"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_publish_fails(root: Path, call: str, code: int) -> None:
    system = FaultySystem({call: code})
    with LocalStore(root, system).batch("s1") as batch:
        batch.put_stream(io.BytesIO(BIG))
        batch.put_stream(io.BytesIO(b"small"))
        with pytest.raises(StorageError):
            batch.publish()
        assert [path for path in staging(root) if path.is_file()] == []
        system.failing.clear()
        # A sync that failed once must not be taken for good the second time.
        assert batch.publish() == []
    assert staging(root) == []
    if call != "sync_directory":
        assert objects(root) == {}
    again = put_bytes(LocalStore(root), BIG, b"small")
    assert set(objects(root)) == {each.digest for each in again}


@pytest.mark.parametrize("count", [63, 64, 200])
def test_a_failed_sync_of_the_filesystem_names_nothing(root: Path, count: int) -> None:
    system = FaultySystem({"sync_filesystem": errno.EIO, "fsync": errno.EIO})
    with LocalStore(root, system).batch("s1") as batch:
        for number in range(count):
            batch.put_stream(io.BytesIO(b"%d" % number))
        with pytest.raises(StorageError):
            batch.publish()
    assert objects(root) == {}
    assert staging(root) == []
    assert "rename_new" not in system.calls


def test_a_failed_replacement_leaves_the_damaged_object(root: Path) -> None:
    (stored,) = put_bytes(LocalStore(root), b"data")
    path = root / stored.location.handle
    path.chmod(0o644)
    path.write_bytes(b"dAtA")
    with pytest.raises(StorageError):
        put_bytes(LocalStore(root, FaultySystem({"replace": errno.EIO})), b"data")
    assert path.read_bytes() == b"dAtA"
    assert staging(root) == []
    assert put_bytes(LocalStore(root), b"data")[0].healed


def test_short_writes(root: Path) -> None:
    (stored, small) = put_bytes(LocalStore(root, FaultySystem(short_writes=70_001)), BIG, b"x" * 80_000)
    assert objects(root) == {stored.digest: BIG, small.digest: b"x" * 80_000}


class TestOrder:
    """Bytes before names, names before the end of `publish`."""

    def test_one_object(self, root: Path) -> None:
        system = FaultySystem()
        put_bytes(LocalStore(root, system), b"data")
        assert system.calls == ["write", "fsync", "rename_new", "sync_directory", "sync_directory"]

    @pytest.mark.parametrize("count", [2, 63])
    def test_few_objects(self, root: Path, count: int) -> None:
        system = FaultySystem()
        put_bytes(LocalStore(root, system), *(b"%d" % number for number in range(count)))
        synced = system.calls[count:]
        assert synced[: 2 * count] == ["fsync"] * count + ["rename_new"] * count
        assert set(synced[2 * count :]) == {"sync_directory"}

    def test_many_objects_take_two_syncs(self, root: Path) -> None:
        if not System().can_sync_filesystem():
            pytest.skip("no sync of a filesystem that reports errors on this system")
        system = FaultySystem()
        put_bytes(LocalStore(root, system), *(b"%d" % number for number in range(1000)))
        assert system.calls[1000:] == ["sync_filesystem"] + ["rename_new"] * 1000 + ["sync_filesystem"]

    def test_many_objects_without_such_a_sync(self, root: Path) -> None:
        system = FaultySystem({"can_sync_filesystem": 0})
        put_bytes(LocalStore(root, system), *(b"%d" % number for number in range(200)))
        assert system.calls.count("fsync") == 200
        assert system.calls.index("rename_new") == 400

    def test_known_content_is_synced_too(self, root: Path) -> None:
        put_bytes(LocalStore(root), b"data")
        system = FaultySystem()
        put_bytes(LocalStore(root, system), b"data")
        assert system.calls == ["write", "fsync", "rename_new", "fsync", "sync_directory", "sync_directory"]


class TestRenameNew:
    @pytest.mark.parametrize("linkless", [False, True])
    def test_without_the_call_of_linux(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linkless: bool) -> None:
        monkeypatch.setattr("lake.stores.durable._renameat2", None)
        if linkless:

            def refuse(*_: object) -> None:
                raise OSError(errno.EPERM, "no links")

            monkeypatch.setattr("os.link", refuse)
        old, new = tmp_path / "old", tmp_path / "new"
        old.write_bytes(b"old")
        System().rename_new(str(old), str(new))
        assert (old.exists(), new.read_bytes()) == (False, b"old")
        old.write_bytes(b"other")
        with pytest.raises(FileExistsError):
            System().rename_new(str(old), str(new))
        assert (old.read_bytes(), new.read_bytes()) == (b"other", b"old")
