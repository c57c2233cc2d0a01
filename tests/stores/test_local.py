"""What only the local store promises: links, modes, names on disk, descriptors."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from lake.digest import digest_of
from lake.errors import InvalidInput, NotFound, SourceChanged, StorageError
from lake.stores.base import Method
from lake.stores.durable import System
from lake.stores.local import LocalStore
from lake.testing.faults import FaultySystem
from lake.testing.stores import put_bytes
from tests.stores.conftest import objects, staging

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="leases are a call of Linux")


def supports_leases(folder: Path) -> bool:
    probe = folder / "probe"
    probe.write_bytes(b"")
    fd = os.open(probe, os.O_RDONLY)
    try:
        return System().lease(fd)
    finally:
        os.close(fd)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(bytes(3 << 20))
    path.chmod(0o640)
    return path


class TestMove:
    @linux_only
    def test_takes_the_file_itself(self, root: Path, source: Path) -> None:
        if not supports_leases(root):
            pytest.skip("this filesystem grants no leases")
        inode = source.stat().st_ino
        store = LocalStore(root)
        with store.batch("s1") as batch:
            batch.put_file(source, method=Method.MOVE)
            (stored,) = batch.publish()
            batch.release()
        path = store.local_path(stored.location)
        assert path is not None
        assert (path.stat().st_ino, path.stat().st_nlink, path.stat().st_mode & 0o777) == (inode, 1, 0o444)

    @linux_only
    @pytest.mark.parametrize("reason", ["linked", "written", "symlink"])
    def test_copies_what_it_must_not_take(self, root: Path, source: Path, tmp_path: Path, reason: str) -> None:
        content = source.read_bytes()
        given, writer = source, None
        if reason == "linked":
            os.link(source, tmp_path / "other name")
        elif reason == "symlink":
            given = tmp_path / "symlink"
            given.symlink_to(source)
        else:
            writer = source.open("r+b")
        store = LocalStore(root)
        with store.batch("s1") as batch:
            batch.put_file(given, method=Method.MOVE)
            (stored,) = batch.publish()
            batch.release()
        path = store.local_path(stored.location)
        assert path is not None
        assert path.stat().st_nlink == 1
        assert not os.path.lexists(given)
        if reason == "symlink":
            assert source.read_bytes() == content
        if writer is not None:
            writer.write(b"late")
            writer.close()
        assert objects(root) == {stored.digest: content}

    @linux_only
    def test_stops_when_somebody_wants_to_write(self, root: Path, source: Path) -> None:
        if not supports_leases(root):
            pytest.skip("this filesystem grants no leases")
        original = source.read_bytes()

        class OpenForWriting:
            def update(self, piece: memoryview, /) -> None:
                try:
                    os.close(os.open(source, os.O_WRONLY | os.O_NONBLOCK))
                except BlockingIOError:
                    return

        with LocalStore(root).batch("s1") as batch:
            with pytest.raises(SourceChanged):
                batch.put_file(source, OpenForWriting(), Method.MOVE)
            assert batch.publish() == []
        assert source.read_bytes() == original
        assert (source.stat().st_mode & 0o777, source.stat().st_nlink) == (0o640, 1)
        assert staging(root) == []

    def test_a_failed_commit_gives_the_source_back(self, root: Path, source: Path) -> None:
        with LocalStore(root).batch("s1") as batch:
            batch.put_file(source, method=Method.MOVE)
            batch.publish()
        assert source.stat().st_mode & 0o777 == 0o640
        assert source.read_bytes() == bytes(3 << 20)

    def test_an_object_that_its_former_source_could_change_is_replaced(self, root: Path, source: Path) -> None:
        store = LocalStore(root)
        with store.batch("s1") as batch:
            batch.put_file(source, method=Method.MOVE)
            batch.publish()
        with store.batch("s2") as batch:
            batch.put_file(source)
            (stored,) = batch.publish()
        assert (stored.new, stored.healed) == (False, False)
        source.write_bytes(b"changed")
        assert objects(root) == {stored.digest: bytes(3 << 20)}

    def test_a_source_touched_between_put_and_publish_is_refused(self, root: Path, source: Path) -> None:
        with LocalStore(root).batch("s1") as batch:
            batch.put_file(source, method=Method.MOVE)
            if source.stat().st_nlink != 2:
                pytest.skip("this filesystem grants no leases: the file was copied")
            os.utime(source, ns=(5, 5))
            with pytest.raises(SourceChanged):
                batch.publish()
        assert objects(root) == {}
        assert source.stat().st_mode & 0o777 == 0o640


class TestReflink:
    def test_stores_what_was_cloned(self, root: Path, source: Path) -> None:
        class Cloning(System):
            """As on btrfs or XFS."""

            def clone(self, source: int, target: int) -> bool:
                while data := os.read(source, 1 << 20):
                    os.write(target, data)
                os.lseek(source, 0, os.SEEK_SET)
                return True

        watcher = Mock()
        with LocalStore(root, Cloning()).batch("s1") as batch:
            staged = batch.put_file(source, watcher, Method.REFLINK)
            batch.publish()
        assert staged.digest == digest_of(bytes(3 << 20))
        assert watcher.update.call_count == 3
        assert objects(root) == {staged.digest: bytes(3 << 20)}


class TestExistingObjects:
    @pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
    def test_a_foreign_thing_at_a_digest(self, root: Path, tmp_path: Path, kind: str) -> None:
        digest = digest_of(b"data")
        path = root / "objects" / digest[:2] / digest
        path.parent.mkdir()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(b"data")
        store = LocalStore(root)
        if kind == "folder":
            path.mkdir()
            with pytest.raises(StorageError):
                put_bytes(store, b"data")
            assert staging(root) == []
            return
        if kind == "symlink":
            path.symlink_to(elsewhere)
        else:
            os.mkfifo(path)
        (stored,) = put_bytes(store, b"data")
        assert stored.healed
        assert not path.is_symlink()
        assert objects(root) == {digest: b"data"}
        assert elsewhere.read_bytes() == b"data"

    def test_an_object_deleted_while_it_is_examined(self, root: Path) -> None:
        store = LocalStore(root)
        (first,) = put_bytes(store, b"data")
        attempts = 0

        def delete(call: str) -> None:
            nonlocal attempts
            if call == "rename_new":
                attempts += 1
                if attempts == 2:
                    raise AssertionError("the name is free: the first attempt must succeed")
                store.delete(first.digest)

        (again,) = put_bytes(LocalStore(root, FaultySystem(before=delete)), b"data")
        assert again.new
        assert objects(root) == {first.digest: b"data"}


class TestNames:
    def test_foreign_names_are_told_and_not_listed(self, root: Path) -> None:
        (stored,) = put_bytes(LocalStore(root), b"data")
        folder = root / "objects" / stored.digest[:2]
        wrong = root / "objects" / ("00" if stored.digest[:2] != "00" else "01")
        wrong.mkdir()
        (wrong / stored.digest).write_bytes(b"data")
        (folder / "notes.txt").write_bytes(b"")
        (folder / (stored.digest[:2] + "0" * 62)).mkdir()
        (root / "objects" / ".DS_Store").write_bytes(b"")
        store = LocalStore(root)
        assert [digest for digest, _ in store.list()] == [stored.digest]
        assert sorted(store.foreign()) == sorted(
            [
                "objects/.DS_Store",
                f"objects/{wrong.name}/{stored.digest}",
                f"objects/{folder.name}/notes.txt",
                f"objects/{folder.name}/{stored.digest[:2]}{'0' * 62}",
            ]
        )

    def test_a_listing_is_never_a_silent_part(self, root: Path) -> None:
        (root / "objects").rename(root / "gone")
        with pytest.raises(StorageError):
            list(LocalStore(root).list())
        with pytest.raises(StorageError):
            put_bytes(LocalStore(root), b"data")

    @pytest.mark.parametrize("session", ["", ".", "..", "a/b", "a\0b", "a\n", "x" * 101])
    def test_sessions_are_plain_words(self, root: Path, session: str) -> None:
        with pytest.raises(InvalidInput):
            LocalStore(root).batch(session)
        with pytest.raises(InvalidInput):
            LocalStore(root).reap(session)

    def test_staging_that_was_reaped_is_an_error(self, root: Path) -> None:
        store = LocalStore(root)
        with store.batch("s1") as batch:
            batch.put_stream(io.BytesIO(b"data"))
            store.reap("s1")
            with pytest.raises(StorageError):
                batch.publish()
        assert objects(root) == {}


class TestDescriptors:
    def open_descriptors(self) -> int:
        return len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))

    def test_reads_keep_few_files_open(self, root: Path) -> None:
        store = LocalStore(root)
        stored = put_bytes(store, *(b"%d" % number for number in range(200)))
        before = self.open_descriptors()
        for each in stored * 2:
            assert digest_of(store.read(each.location, 0, 10)) == each.digest
        assert self.open_descriptors() <= before + 64
        store.forget(stored[0].location)
        assert self.open_descriptors() == before

    def test_batches_keep_few_files_open(self, root: Path) -> None:
        before = self.open_descriptors()
        with LocalStore(root).batch("s1") as batch:
            for number in range(300):
                batch.put_stream(io.BytesIO(b"%d" % number))
            assert self.open_descriptors() <= before + 65
            batch.publish()
        assert self.open_descriptors() == before

    def test_reads_go_on_in_a_forked_child(self, root: Path) -> None:
        store = LocalStore(root)
        (stored,) = put_bytes(store, b"data")
        store.read(stored.location, 0, 1)
        child = os.fork()
        if child == 0:
            os._exit(0 if store.read(stored.location, 1, 2) == b"at" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.read(stored.location, 0, 4) == b"data"


def test_errors_are_one_line(root: Path) -> None:
    store = LocalStore(root)
    (stored,) = put_bytes(store, b"data")
    store.delete(stored.digest)
    with pytest.raises(NotFound) as raised:
        store.open(stored.location)
    assert "\n" not in str(raised.value)
    assert stored.digest in str(raised.value)
