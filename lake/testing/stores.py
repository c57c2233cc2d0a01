"""What every object store has to do, as a class of tests.

Subclass `StoreConformance` in a test module, name it ``Test…``, and supply `store` and the accessors that go round the
store: a store cannot vouch for itself.
"""

from __future__ import annotations

import io
import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from lake.digest import Digest, digest_of
from lake.errors import InvalidInput, IsDirectory, LakeError, NotFound, SourceChanged, StorageError
from lake.stores.base import Location, Method, ObjectStore, Stored

__all__ = ["StoreConformance", "put_bytes"]

BIG = bytes(range(256)) * 16384 + b"the end"
"""Several pieces, the last one short."""


def put_bytes(store: ObjectStore, *contents: bytes, session: str = "s1") -> list[Stored]:
    """Put and publish in one batch."""
    with store.batch(session) as batch:
        for content in contents:
            batch.put_stream(io.BytesIO(content))
        return batch.publish()


class Recorder:
    """A watcher that keeps what it saw."""

    def __init__(self) -> None:
        self.seen = bytearray()

    def update(self, piece: memoryview, /) -> None:
        self.seen += piece


class Meddler:
    """A watcher that does something once, in the middle of the pass."""

    def __init__(self, action: object) -> None:
        self._action = action

    def update(self, piece: memoryview, /) -> None:
        action, self._action = self._action, None
        if callable(action):
            action()


class Trickle(io.RawIOBase):
    """A stream that gives little at a time, as pipes and sockets do."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._data.read(min(self._most, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


class OnlyRead:
    """A stream without readinto."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


class Broken(io.RawIOBase):
    """A stream that fails after some good bytes."""

    def __init__(self, good: int) -> None:
        self._good = good

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = min(self._good, len(buffer))
        if count == 0:
            raise ConnectionResetError("the sender has gone")
        self._good -= count
        return count


class StoreConformance(ABC):
    """The contract of `lake.stores.base.ObjectStore`."""

    @abstractmethod
    def make_store(self, folder: Path) -> ObjectStore:
        """A new, empty store that may use the folder."""

    @abstractmethod
    def raw(self, store: ObjectStore, digest: Digest) -> bytes | None:
        """The bytes that lie at a digest, read without the store."""

    @abstractmethod
    def plant(self, store: ObjectStore, digest: Digest, data: bytes) -> None:
        """Let other bytes lie at a digest, without the store."""

    @abstractmethod
    def staging(self, store: ObjectStore) -> list[str]:
        """Whatever is staged, without the store."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        folder = tmp_path / "store"
        folder.mkdir()
        return self.make_store(folder)

    # -- putting ------------------------------------------------------------------------------------------------
    @pytest.mark.parametrize("size", [0, 1, 4096, (1 << 18) - 1, 1 << 18, (1 << 20) - 1, 1 << 20, (5 << 20) + 3])
    def test_put_stores_exactly_the_bytes(self, store: ObjectStore, tmp_path: Path, size: int) -> None:
        content = (BIG * 2)[:size]
        source = tmp_path / "source"
        source.write_bytes(content)
        seen, streamed = Recorder(), Recorder()
        with store.batch("s1") as batch:
            staged = batch.put_file(source, seen)
            again = batch.put_stream(io.BytesIO(content), streamed)
            first, second = batch.publish()
        assert (staged.digest, staged.size) == (again.digest, again.size) == (digest_of(content), size)
        assert bytes(seen.seen) == bytes(streamed.seen) == content
        assert (first.new, first.healed, second.new, second.healed) == (True, False, False, False)
        assert first.location == second.location
        assert first.location.length == size
        assert self.raw(store, staged.digest) == content
        assert source.read_bytes() == content

    @pytest.mark.parametrize("most", [1000, 1 << 20, 3 << 20])
    def test_a_stream_may_give_little_at_a_time(self, store: ObjectStore, most: int) -> None:
        with store.batch("s1") as batch:
            staged = batch.put_stream(cast("BinaryIO", Trickle(BIG, most)))
            batch.publish()
        assert self.raw(store, staged.digest) == BIG

    def test_a_stream_may_only_know_read(self, store: ObjectStore) -> None:
        with store.batch("s1") as batch:
            staged = batch.put_stream(cast("BinaryIO", OnlyRead(BIG)))
            batch.publish()
        assert self.raw(store, staged.digest) == BIG

    def test_results_come_in_the_order_of_the_puts(self, store: ObjectStore) -> None:
        contents = [str(number % 70).encode() for number in range(150)]
        stored = put_bytes(store, *contents)
        assert [each.digest for each in stored] == [digest_of(content) for content in contents]
        assert sum(each.new for each in stored) == 70

    def test_a_batch_may_publish_more_than_once(self, store: ObjectStore) -> None:
        with store.batch("s1") as batch:
            assert batch.publish() == []
            batch.put_stream(io.BytesIO(b"one"))
            assert [each.new for each in batch.publish()] == [True]
            batch.put_stream(io.BytesIO(b"two"))
            batch.put_stream(io.BytesIO(b"one"))
            assert [each.new for each in batch.publish()] == [True, False]

    def test_nothing_is_there_before_publish(self, store: ObjectStore) -> None:
        with store.batch("s1") as batch:
            staged = batch.put_stream(io.BytesIO(b"data"))
            assert store.has(staged.digest) is None
            assert self.raw(store, staged.digest) is None
            assert list(store.list()) == []
            assert store.sessions() == ["s1"]
        assert self.raw(store, staged.digest) is None
        assert self.staging(store) == []
        assert store.sessions() == []

    def test_an_exception_leaves_nothing_staged(self, store: ObjectStore) -> None:
        def fail() -> None:
            with store.batch("s1") as batch:
                batch.put_stream(io.BytesIO(BIG))
                raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            fail()
        assert self.staging(store) == []
        assert list(store.list()) == []

    @pytest.mark.parametrize("good", [0, 10, (3 << 20) + 5])
    def test_a_failing_stream_leaves_the_rest_of_the_batch_alone(self, store: ObjectStore, good: int) -> None:
        with store.batch("s1") as batch:
            batch.put_stream(io.BytesIO(b"before"))
            with pytest.raises(ConnectionResetError):
                batch.put_stream(cast("BinaryIO", Broken(good)))
            batch.put_stream(io.BytesIO(b"after"))
            stored = batch.publish()
        assert [self.raw(store, each.digest) for each in stored] == [b"before", b"after"]
        assert len(list(store.list())) == 2

    @pytest.mark.parametrize("size", [10, 5 << 20])
    def test_a_failing_watcher_ends_the_put(self, store: ObjectStore, size: int) -> None:
        def fail() -> None:
            raise RuntimeError("watcher")

        with store.batch("s1") as batch:
            with pytest.raises(RuntimeError, match="watcher"):
                batch.put_stream(io.BytesIO(bytes(size)), Meddler(fail))
            assert batch.publish() == []

    def test_what_is_staged_can_be_read_and_dropped(self, store: ObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"moved")
        source.chmod(0o640)
        with store.batch("s1") as batch:
            kept = batch.put_stream(io.BytesIO(BIG))
            dropped = batch.put_file(source, method=Method.MOVE)
            with batch.open(kept) as file:
                assert file.read() == BIG
            batch.drop(dropped)
            for missing in (dropped, kept._replace(token=99)):
                with pytest.raises(InvalidInput):
                    batch.open(missing)
                with pytest.raises(InvalidInput):
                    batch.drop(missing)
            assert [each.digest for each in batch.publish()] == [kept.digest]
            batch.release()
        assert source.read_bytes() == b"moved"
        assert source.stat().st_mode & 0o777 == 0o640
        assert source.stat().st_nlink == 1
        assert [digest for digest, _ in store.list()] == [kept.digest]
        assert self.staging(store) == []

    # -- sources ------------------------------------------------------------------------------------------------
    @pytest.mark.parametrize("size", [1000, 4 << 20])
    @pytest.mark.parametrize("change", ["grow", "shrink", "rewrite", "remove", "replace"])
    def test_a_source_that_changes_is_refused(self, store: ObjectStore, tmp_path: Path, size: int, change: str) -> None:
        source = tmp_path / "source"
        source.write_bytes(bytes(size))
        os.utime(source, ns=(1, 1))
        other = tmp_path / "other"
        other.write_bytes(bytes(size))
        os.utime(other, ns=(1, 1))

        def meddle() -> None:
            match change:
                case "grow":
                    with source.open("ab") as file:
                        file.write(b"more")
                case "shrink":
                    os.truncate(source, size - 1)
                case "rewrite":
                    with source.open("r+b") as file:
                        file.write(b"x")
                case "remove":
                    source.unlink()
                case "replace":
                    other.replace(source)

        with store.batch("s1") as batch:
            with pytest.raises(SourceChanged):
                batch.put_file(source, Meddler(meddle))
            assert batch.publish() == []
        assert list(store.list()) == []
        assert self.staging(store) == []

    def test_only_regular_files_are_read(self, store: ObjectStore, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with store.batch("s1") as batch:
            with pytest.raises(InvalidInput):
                batch.put_file(tmp_path / "pipe")
            with pytest.raises(InvalidInput):
                batch.put_file(Path("/dev/zero"))
            with pytest.raises(IsDirectory):
                batch.put_file(tmp_path)
            with pytest.raises(NotFound):
                batch.put_file(tmp_path / "missing")

    @pytest.mark.parametrize("method", list(Method))
    def test_every_method_stores_the_bytes(self, store: ObjectStore, tmp_path: Path, method: Method) -> None:
        source = tmp_path / "source"
        source.write_bytes(BIG)
        seen = Recorder()
        with store.batch("s1") as batch:
            staged = batch.put_file(source, seen, method)
            batch.publish()
            assert source.read_bytes() == BIG
            batch.release()
        assert source.exists() is (method is not Method.MOVE)
        assert bytes(seen.seen) == BIG
        assert self.raw(store, staged.digest) == BIG

    def test_a_move_without_release_leaves_the_source(self, store: ObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"data")
        source.chmod(0o640)
        with store.batch("s1") as batch:
            batch.put_file(source, method=Method.MOVE)
            batch.release()
            assert source.exists()
        assert source.read_bytes() == b"data"
        assert source.stat().st_mode & 0o777 == 0o640
        assert source.stat().st_nlink == 1

    def test_a_moved_source_that_was_written_to_stays(self, store: ObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"data")
        with store.batch("s1") as batch:
            batch.put_file(source, method=Method.MOVE)
            batch.publish()
            source.unlink()
            source.write_bytes(b"news")
            with pytest.raises(SourceChanged):
                batch.release()
        assert source.read_bytes() == b"news"

    # -- content that is there already --------------------------------------------------------------------------
    @pytest.mark.parametrize("damage", [b"dAta", b"dat", b"data and more", b""])
    def test_putting_good_content_heals(self, store: ObjectStore, damage: bytes) -> None:
        (stored,) = put_bytes(store, b"data")
        self.plant(store, stored.digest, damage)
        (again,) = put_bytes(store, b"data")
        assert (again.new, again.healed) == (False, True)
        assert self.raw(store, stored.digest) == b"data"
        assert store.read(again.location, 0, 4) == b"data"

    @pytest.mark.parametrize("damage", [b"dAta", b""])
    def test_what_is_known_heals_like_what_is_found(self, store: ObjectStore, damage: bytes) -> None:
        (stored,) = put_bytes(store, b"data")

        def again() -> Stored:
            with store.batch("s2", lambda digests: dict.fromkeys(digests, stored.location)) as batch:
                batch.put_stream(io.BytesIO(b"data"))
                return batch.publish()[0]

        assert again() == stored._replace(new=False)
        self.plant(store, stored.digest, damage)
        store.forget(stored.location)
        assert (again().new, store.read(stored.location, 0, 4)) == (False, b"data")
        store.delete(stored.digest)
        assert again() == stored._replace(new=False, healed=True)
        assert store.read(stored.location, 0, 4) == b"data"

    def test_many_small_files(self, store: ObjectStore, tmp_path: Path) -> None:
        with store.batch("s1") as batch:
            for number in range(150):
                (tmp_path / "source").write_bytes(b"%d" % number * 100)
                staged = batch.put_file(tmp_path / "source")
                with batch.open(staged) as file:
                    assert file.read() == b"%d" % number * 100
            batch.drop(staged)
            stored = batch.publish()
        assert [each.digest for each in stored] == [digest_of(b"%d" % number * 100) for number in range(149)]
        for each in stored:
            assert store.present(each.location) == each.location.length
            assert digest_of(store.read(each.location, 0, 1000)) == each.digest
            with store.open(each.location) as file:
                assert digest_of(file.read()) == each.digest
        assert self.staging(store) == []

    def test_good_content_is_not_stored_again(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, BIG)
        (again,) = put_bytes(store, BIG)
        assert again == stored._replace(new=False)
        assert self.staging(store) == []

    def test_writers_of_the_same_content_do_not_disturb_each_other(self, store: ObjectStore) -> None:
        results: list[list[Stored]] = []
        start = threading.Barrier(4)

        def put(number: int) -> None:
            start.wait()
            results.append(put_bytes(store, b"same", BIG, b"own %d" % number, session=f"s{number}"))

        threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        assert sum(stored[0].new for stored in results) == sum(stored[1].new for stored in results) == 1
        assert len(list(store.list())) == 6
        assert self.staging(store) == []

    def test_threads_may_share_a_batch(self, store: ObjectStore) -> None:
        with store.batch("s1") as batch:

            def put(number: int) -> None:
                for each in range(50):
                    batch.put_stream(io.BytesIO(b"%d %d" % (number, each)))

            threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stored = batch.publish()
        assert len({each.digest for each in stored}) == 200
        assert {digest for digest, _ in store.list()} == {each.digest for each in stored}

    # -- reading ------------------------------------------------------------------------------------------------
    def test_ranges(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, BIG)
        ranges = [(0, 10), (1 << 20, 5), (len(BIG) - 3, 100), (len(BIG), 1), (len(BIG) + 5, 1), (7, 0), (0, 1 << 60)]
        expected = [BIG[offset : offset + length] for offset, length in ranges]
        assert [store.read(stored.location, *each) for each in ranges] == expected
        assert store.read_many(stored.location, ranges) == expected
        for offset, length in ((-1, 5), (0, -5)):
            with pytest.raises(InvalidInput):
                store.read(stored.location, offset, length)

    def test_open_is_a_plain_file(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, BIG)
        with store.open(stored.location) as file:
            assert file.seekable()
            assert not file.writable() or not store.capabilities.local_paths
            assert file.seek(-7, io.SEEK_END) == len(BIG) - 7
            assert file.read() == b"the end"
            file.seek(0)
            assert file.read() == BIG

    def test_local_path_holds_exactly_the_object(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, BIG)
        path = store.local_path(stored.location)
        assert (path is not None) is store.capabilities.local_paths
        if path is not None:
            assert path.read_bytes() == BIG

    def test_an_open_file_keeps_its_content(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, b"data")
        with store.open(stored.location) as file:
            store.delete(stored.digest)
            assert file.read() == b"data"

    def test_what_is_missing(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, b"data")
        assert store.has(stored.digest) == stored.location
        assert store.present(stored.location) == 4
        store.read(stored.location, 0, 1)
        assert store.delete(stored.digest) is True
        assert store.delete(stored.digest) is False
        assert store.has(stored.digest) is None
        assert store.present(stored.location) == 0
        assert list(store.list()) == []
        with pytest.raises(NotFound):
            store.read(stored.location, 0, 1)
        with pytest.raises(NotFound):
            store.open(stored.location)

    def test_a_shortened_object_is_never_a_short_answer(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, b"some data")
        self.plant(store, stored.digest, b"some")
        store.forget(stored.location)
        assert store.read(stored.location, 0, 4) == b"some"
        assert store.present(stored.location) == 4
        with pytest.raises(StorageError):
            store.read(stored.location, 2, 5)
        with pytest.raises(StorageError):
            store.open(stored.location)

    def test_forget_shows_replaced_content(self, store: ObjectStore) -> None:
        (stored,) = put_bytes(store, b"data")
        assert store.read(stored.location, 0, 4) == b"data"
        self.plant(store, stored.digest, b"DATA")
        store.forget(stored.location)
        assert store.read(stored.location, 0, 4) == b"DATA"

    def test_a_place_that_no_object_can_have(self, store: ObjectStore) -> None:
        for handle in ("../../etc/passwd", "/etc/passwd", "objects/ab/cd", ""):
            with pytest.raises(LakeError):
                store.read(Location(handle, 0, 10), 0, 10)

    def test_list_tells_every_object(self, store: ObjectStore) -> None:
        stored = put_bytes(store, *(b"%d" % number for number in range(300)))
        assert dict(store.list()) == {each.digest: each.location for each in stored}

    # -- sessions -----------------------------------------------------------------------------------------------
    def test_reap_removes_only_that_session(self, store: ObjectStore) -> None:
        with store.batch("alive") as alive:
            alive.put_stream(io.BytesIO(b"alive"))
            dead = store.batch("dead")
            dead.__enter__()
            dead.put_stream(io.BytesIO(b"dead"))
            assert store.sessions() == ["alive", "dead"]
            store.reap("dead")
            store.reap("never-was")
            assert store.sessions() == ["alive"]
            assert [each.new for each in alive.publish()] == [True]
            dead.__exit__(None, None, None)

    def test_batches_of_one_session(self, store: ObjectStore) -> None:
        with store.batch("s1") as one:
            one.put_stream(io.BytesIO(b"one"))
            with store.batch("s1") as two:
                two.put_stream(io.BytesIO(b"two"))
                two.publish()
            assert store.sessions() == ["s1"]
            assert [each.new for each in one.publish()] == [True]
        assert store.sessions() == []
