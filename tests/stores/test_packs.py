"""Packs of small files: when they are made, what is in them, and what becomes of them when something goes wrong."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

from lake.crashpoints import CRASH_POINTS
from lake.digest import Digest, digest_of
from lake.errors import InvalidInput, NotFound, StorageError
from lake.stores.base import Known, Location, Method, ObjectStore, Stored
from lake.stores.local import LocalStore
from lake.stores.memory import MemoryStore
from lake.testing.faults import FaultySystem
from lake.testing.stores import put_bytes
from tests.stores.conftest import objects, staging


def contents(count: int, size: int = 100, start: int = 0) -> list[bytes]:
    return [(b"%06d " % number * size)[:size] for number in range(start, start + count)]


def put_files(store: ObjectStore, folder: Path, data: Sequence[bytes], known: Known | None = None) -> list[Stored]:
    """Put small files by their paths, in one batch."""
    folder.mkdir(exist_ok=True)
    with store.batch("s1", known) as batch:
        for number, content in enumerate(data):
            (folder / str(number)).write_bytes(content)
            batch.put_file(folder / str(number))
        return batch.publish()


def knowing(stored: Sequence[Stored]) -> Known:
    """What a journal would say after a commit."""
    locations = {each.digest: each.location for each in stored}
    return lambda digests: {digest: locations[digest] for digest in digests if digest in locations}


def packs(root: Path) -> dict[str, bytes]:
    """Every pack by its name, to which it has to hash."""
    found = {path.name: path.read_bytes() for path in (root / "packs").glob("*")}
    for name, data in found.items():
        assert digest_of(data) == name
        assert (root / "packs" / name).stat().st_mode & 0o777 == 0o444
    return found


def read(store: ObjectStore, stored: Stored) -> bytes:
    data = store.read(stored.location, 0, stored.location.length)
    assert digest_of(data) == stored.digest
    with store.open(stored.location) as file:
        assert file.read() == data
    return data


def damage(root: Path, location: Location) -> None:
    """Flip the first byte of an object."""
    path = root / location.handle
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(location.offset)
        first = file.read(1)
        file.seek(location.offset)
        file.write(bytes([first[0] ^ 1]))
    path.chmod(0o444)


class TestMaking:
    @pytest.mark.parametrize(("count", "packed"), [(1, False), (63, False), (64, True), (100, True)])
    def test_from_how_many_files_on(self, root: Path, tmp_path: Path, count: int, packed: bool) -> None:
        store, data = LocalStore(root), contents(count)
        stored = put_files(store, tmp_path / "in", data)
        assert [read(store, each) for each in stored] == data
        assert all(each.new and not each.healed for each in stored)
        assert {each.location.handle.split("/")[0] for each in stored} == {"packs" if packed else "objects"}
        assert len(packs(root)) == int(packed)
        assert len(objects(root)) == (0 if packed else count)
        assert dict(store.list()) == {} if packed else {each.digest: each.location for each in stored}
        assert dict(store.packs()) == {f"packs/{name}": len(body) for name, body in packs(root).items()}
        assert [store.has(each.digest) is None for each in stored] == [packed] * count
        assert [store.local_path(each.location) is None for each in stored] == [packed] * count
        assert staging(root) == []

    @pytest.mark.parametrize(("size", "packed"), [(0, True), (32767, True), (32768, False), (40000, False)])
    def test_up_to_which_size(self, root: Path, tmp_path: Path, size: int, packed: bool) -> None:
        stored = put_files(LocalStore(root), tmp_path / "in", [*contents(70), bytes(size)])
        assert stored[-1].location.handle.startswith("packs/") is packed
        assert read(LocalStore(root), stored[-1]) == bytes(size)

    def test_more_than_memory_holds(self, root: Path, tmp_path: Path) -> None:
        data = contents(200, 30_000)
        with LocalStore(root).batch("s1") as batch:
            (tmp_path / "in").mkdir()
            staged = []
            for number, content in enumerate(data):
                (tmp_path / "in" / str(number)).write_bytes(content)
                staged.append(batch.put_file(tmp_path / "in" / str(number)))
            for each, content in zip(staged, data, strict=True):
                with batch.open(each) as file:
                    assert not file.writable()
                    assert file.read() == content
            stored = batch.publish()
        assert [read(LocalStore(root), each) for each in stored] == data
        assert [len(body) for body in packs(root).values()] == [200 * 30_000]

    def test_a_full_pack_is_followed_by_another(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lake.stores.localbatch.PACK_LIMIT", 7_050)
        data = contents(200)
        stored = put_files(LocalStore(root), tmp_path / "in", data)
        assert [read(LocalStore(root), each) for each in stored] == data
        assert sorted(len(body) for body in packs(root).values()) == [7000, 7000]
        assert len(objects(root)) == 60

    @pytest.mark.parametrize("method", [Method.MOVE, Method.REFLINK])
    def test_only_of_copies(self, root: Path, tmp_path: Path, method: Method) -> None:
        with LocalStore(root).batch("s1") as batch:
            for number, content in enumerate(contents(100)):
                (tmp_path / str(number)).write_bytes(content)
                batch.put_file(tmp_path / str(number), method=method)
                batch.put_stream(io.BytesIO(b"stream" + content))
            batch.publish()
        assert packs(root) == {}
        assert len(objects(root)) == 200

    def test_equal_files_lie_there_once(self, root: Path, tmp_path: Path) -> None:
        data = contents(80)
        with LocalStore(root).batch("s1") as batch:
            batch.put_stream(io.BytesIO(data[3]))
            for number in range(240):
                (tmp_path / "f").write_bytes(data[number % 80])
                batch.put_file(tmp_path / "f")
            batch.put_stream(io.BytesIO(data[5]))
            stored = batch.publish()
        assert [each.digest for each in stored] == [digest_of(c) for c in [data[3], *data * 3, data[5]]]
        assert sum(each.new for each in stored) == 80
        assert len({each.location for each in stored}) == 80
        assert set(objects(root)) == {digest_of(data[3])}
        assert [len(body) for body in packs(root).values()] == [79 * 100]

    def test_what_is_dropped_is_in_no_pack(self, root: Path, tmp_path: Path) -> None:
        data = contents(100)
        with LocalStore(root).batch("s1") as batch:
            staged = []
            for number, content in enumerate(data):
                (tmp_path / str(number)).write_bytes(content)
                staged.append(batch.put_file(tmp_path / str(number)))
            for number in (0, 50, 99):
                batch.drop(staged[number])
                with pytest.raises(InvalidInput):
                    batch.open(staged[number])
            stored = batch.publish()
        assert [read(LocalStore(root), each) for each in stored] == [
            content for number, content in enumerate(data) if number not in (0, 50, 99)
        ]
        (pack,) = packs(root).values()
        assert len(pack) == 9700
        assert data[50] not in pack
        assert staging(root) == []

    def test_one_of_two_equal_files_may_be_dropped(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"same")
        with LocalStore(root).batch("s1") as batch:
            first, second = batch.put_file(tmp_path / "f"), batch.put_file(tmp_path / "f")
            batch.drop(first)
            assert batch.open(second).read() == b"same"
            assert [each.new for each in batch.publish()] == [True]
        assert list(objects(root).values()) == [b"same"]

    def test_nothing_is_there_before_publish(self, root: Path, tmp_path: Path) -> None:
        with LocalStore(root).batch("s1") as batch:
            for number, content in enumerate(contents(100, 30_000)):
                (tmp_path / str(number)).write_bytes(content)
                batch.put_file(tmp_path / str(number))
            assert (packs(root), objects(root)) == ({}, {})
            assert LocalStore(root).sessions() == ["s1"]
        assert (packs(root), objects(root), staging(root)) == ({}, {}, [])


class TestKnownContent:
    def test_is_not_stored_again(self, root: Path, tmp_path: Path) -> None:
        store, data = LocalStore(root), contents(100)
        first = put_files(store, tmp_path / "in", data)
        plain = put_bytes(store, b"plain")
        before = (packs(root), objects(root))
        again = put_files(store, tmp_path / "in", [*reversed(data), b"plain"], knowing([*first, *plain]))
        assert again == [each._replace(new=False) for each in [*reversed(first), *plain]]
        assert (packs(root), objects(root)) == before
        assert staging(root) == []

    def test_leaves_no_gaps_among_what_is_new(self, root: Path, tmp_path: Path) -> None:
        store, data = LocalStore(root), contents(200)
        first = put_files(store, tmp_path / "in", data[:100])
        again = put_files(store, tmp_path / "in", data[20:180], knowing(first))
        assert [each.new for each in again] == [False] * 80 + [True] * 80
        assert [read(store, each) for each in again] == data[20:180]
        assert sorted(len(body) for body in packs(root).values()) == [8_000, 10_000]

    def test_few_new_files_among_known_ones_are_plain(self, root: Path, tmp_path: Path) -> None:
        store, data = LocalStore(root), contents(163)
        first = put_files(store, tmp_path / "in", data[:100])
        again = put_files(store, tmp_path / "in", data, knowing(first))
        assert [each.new for each in again] == [False] * 100 + [True] * 63
        assert len(objects(root)) == 63
        assert len(packs(root)) == 1

    def test_the_same_pack_again(self, root: Path, tmp_path: Path) -> None:
        store, data = LocalStore(root), contents(100)
        first = put_files(store, tmp_path / "in", data)
        assert put_files(store, tmp_path / "in", data) == [each._replace(new=False) for each in first]
        damage(root, first[7].location)
        store.read(first[0].location, 0, 1)
        healed = put_files(store, tmp_path / "in", data)
        assert healed == [each._replace(new=False, healed=True) for each in first]
        assert [read(store, each) for each in healed] == data
        assert len(packs(root)) == 1

    def test_a_big_file_that_lies_in_a_pack(self, root: Path, tmp_path: Path) -> None:
        store, data = LocalStore(root), contents(100)
        first = put_files(store, tmp_path / "in", data)
        with store.batch("s1", knowing(first)) as batch:
            batch.put_stream(io.BytesIO(data[3]))
            assert batch.publish() == [first[3]._replace(new=False)]
        damage(root, first[3].location)
        with store.batch("s1", knowing(first)) as batch:
            batch.put_stream(io.BytesIO(data[3]))
            (stored,) = batch.publish()
        assert (stored.new, stored.healed) == (False, True)
        assert read(store, stored) == data[3]
        assert list(objects(root)) == [stored.digest]

    def test_a_writable_plain_file_is_replaced(self, root: Path, tmp_path: Path) -> None:
        store = LocalStore(root)
        plain = put_bytes(store, b"plain")
        (root / plain[0].location.handle).chmod(0o644)
        again = put_files(store, tmp_path / "in", [b"plain"], knowing(plain))
        assert again == [plain[0]._replace(new=False)]
        assert (root / plain[0].location.handle).stat().st_mode & 0o777 == 0o444


class TestDamage:
    def test_heals_what_is_put_again(self, root: Path, tmp_path: Path) -> None:
        store, data = LocalStore(root), contents(100)
        first = put_files(store, tmp_path / "in", data)
        damage(root, first[40].location)
        assert digest_of(store.read(first[40].location, 0, 100)) != first[40].digest
        others = [each for number, each in enumerate(first) if number != 40]
        assert [read(store, each) for each in others] == [*data[:40], *data[41:]]
        again = put_files(store, tmp_path / "in", data, knowing(first))
        assert [each.healed for each in again] == [number == 40 for number in range(100)]
        assert not any(each.new for each in again)
        assert [each.location == old.location for each, old in zip(again, first, strict=True)].count(False) == 1
        assert [read(store, each) for each in again] == data

    @pytest.mark.parametrize("how", ["missing", "empty", "cut", "unknown length"])
    def test_many_at_once_become_a_new_pack(self, root: Path, tmp_path: Path, how: str) -> None:
        store, data = LocalStore(root), contents(100)
        first = put_files(store, tmp_path / "in", data)
        path = root / first[0].location.handle
        path.chmod(0o644)
        lost = 100
        if how == "missing":
            path.unlink()
        elif how == "unknown length":
            path.chmod(0o444)
            first = [each._replace(location=each.location._replace(length=1 << 60)) for each in first]
        else:
            lost = 100 if how == "empty" else 70
            os.truncate(path, (100 - lost) * 100)
        again = put_files(store, tmp_path / "in", data, knowing(first))
        assert [each.healed for each in again] == [number >= 100 - lost for number in range(100)]
        assert [read(store, each) for each in again] == data

    def test_is_never_a_short_answer(self, root: Path, tmp_path: Path) -> None:
        store = LocalStore(root)
        first = put_files(store, tmp_path / "in", contents(100))
        path = root / first[0].location.handle
        path.chmod(0o644)
        os.truncate(path, 9_950)
        last = first[99].location
        assert store.read(last, 0, 50) == contents(100)[99][:50]
        assert store.present(last) == 50
        with pytest.raises(StorageError):
            store.read(last, 0, 51)
        with pytest.raises(StorageError):
            store.open(last)
        with pytest.raises(StorageError):
            store.open(last._replace(length=1 << 60))
        path.unlink()
        assert store.present(last) == 0
        store.forget(last)
        for ask in (store.open, lambda location: store.read(location, 0, 1)):
            with pytest.raises(NotFound):
                ask(last)

    @pytest.mark.parametrize("content", [b"gone", b"wrong"])
    def test_the_memory_store_heals_too(self, content: bytes) -> None:
        store = MemoryStore()
        stored = put_bytes(store, b"data")
        if content == b"gone":
            store.delete(stored[0].digest)
        else:
            store._objects[stored[0].digest] = content
        with store.batch("s1", knowing(stored)) as batch:
            batch.put_stream(io.BytesIO(b"data"))
            assert batch.publish() == [stored[0]._replace(new=False, healed=True)]


class TestNames:
    def test_foreign_ones_are_told(self, root: Path, tmp_path: Path) -> None:
        store = LocalStore(root)
        assert (list(store.packs()), list(store.foreign())) == ([], [])
        put_files(store, tmp_path / "in", contents(64))
        (name,) = packs(root)
        (root / "packs" / "notes.txt").write_bytes(b"")
        (root / "packs" / ("0" * 64)).mkdir()
        assert list(store.packs()) == [(f"packs/{name}", 6400)]
        assert sorted(store.foreign()) == [f"packs/{'0' * 64}", "packs/notes.txt"]

    def test_a_listing_is_never_a_silent_part(self, root: Path) -> None:
        (root / "packs").write_bytes(b"")
        with pytest.raises(StorageError):
            list(LocalStore(root).packs())

    @pytest.mark.parametrize("handle", ["packs/abc", "packs/../lake.toml", f"packs/{'A' * 64}", f"packs/{'0' * 65}"])
    def test_places_that_no_object_can_have(self, root: Path, handle: str) -> None:
        for ask in (LocalStore(root).open, LocalStore(root).present, LocalStore(root).local_path):
            with pytest.raises(InvalidInput):
                ask(Location(handle, 0, 1))


class TestFaults:
    def test_bytes_before_names(self, root: Path, tmp_path: Path) -> None:
        system = FaultySystem()
        put_files(LocalStore(root, system), tmp_path / "in", contents(1000))
        # How many writes move the bytes is the system's affair; what counts is that nothing comes between them.
        assert [call for call, _ in groupby(system.calls)] == ["write", "fsync", "rename_new", "sync_directory"]
        assert system.calls.count("sync_directory") == 2

    @pytest.mark.parametrize("room", [0, 1, 2 << 20, 5 << 20])
    def test_full_disk(self, root: Path, tmp_path: Path, room: int) -> None:
        data = contents(200, 30_000)
        with pytest.raises(StorageError, match="make room"):
            put_files(LocalStore(root, FaultySystem(full_after=room)), tmp_path / "in", data)
        assert (packs(root), objects(root), staging(root)) == ({}, {}, [])
        assert all(each.new for each in put_files(LocalStore(root), tmp_path / "in", data))

    def test_the_file_that_fills_the_disk_is_not_staged(self, root: Path, tmp_path: Path) -> None:
        system, data = FaultySystem(short_writes=1000), contents(200, 30_000)
        stored = 0
        with LocalStore(root, system).batch("s1") as batch:
            for number, content in enumerate(data):
                (tmp_path / str(number)).write_bytes(content)
                if number == 100:
                    system.failing["write"] = errno.ENOSPC
                try:
                    batch.put_file(tmp_path / str(number))
                    stored += 1
                except StorageError:
                    system.failing.clear()
            published = batch.publish()
        assert stored == 199
        left = {digest_of(content) for content in data} - {each.digest for each in published}
        assert len(left) == 1
        assert all(read(LocalStore(root), each) in data for each in published)
        assert len(packs(root)) == 1

    @pytest.mark.parametrize("more", [0, 20])
    def test_a_buffer_written_in_part_leaves_nothing_in_the_pack(self, root: Path, tmp_path: Path, more: int) -> None:
        class Stutter(FaultySystem):
            """Writes the first buffer but for its last byte, and fails at that one."""

            def write(self, fd: int, data: memoryview | bytes) -> int:
                if self.calls == ["write"]:
                    self.calls.append("failed")
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return super().write(fd, data if self.calls else data[:-1])

        kept = []
        source = tmp_path / "source"
        with LocalStore(root, Stutter()).batch("s1") as batch:
            for content in contents(70 + more, 30_000):
                source.write_bytes(content)
                with contextlib.suppress(StorageError):
                    batch.put_file(source)
                    kept.append(content)
            stored = batch.publish()
        assert len(kept) == 69 + more
        assert [read(LocalStore(root), each) for each in stored] == kept
        assert [len(pack) for pack in packs(root).values()] == [len(kept) * 30_000]

    @pytest.mark.parametrize("call", ["write", "fsync", "rename_new", "sync_directory"])
    @pytest.mark.parametrize("count", [10, 100])
    def test_publish_fails(self, root: Path, tmp_path: Path, call: str, count: int) -> None:
        system = FaultySystem({call: errno.EIO})
        with pytest.raises(StorageError):
            put_files(LocalStore(root, system), tmp_path / "in", contents(count))
        assert staging(root) == []
        if call != "sync_directory":
            assert (packs(root), objects(root)) == ({}, {})
        stored = put_files(LocalStore(root), tmp_path / "in", contents(count))
        assert [read(LocalStore(root), each) for each in stored] == contents(count)

    def test_staging_that_was_reaped(self, root: Path, tmp_path: Path) -> None:
        store = LocalStore(root)
        with store.batch("s1") as batch:
            for number, content in enumerate(contents(100)):
                (tmp_path / str(number)).write_bytes(content)
                batch.put_file(tmp_path / str(number))
            store.reap("s1")
            with pytest.raises(StorageError):
                batch.publish()
        assert packs(root) == {}


WRITER = """
import sys
from pathlib import Path
from lake.stores.local import LocalStore

root, folder, session = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
with LocalStore(root).batch(session) as batch:
    for path in sorted(folder.iterdir()):
        batch.put_file(path)
    for stored in batch.publish():
        print(stored.digest, *stored.location)
"""


def start(root: Path, folder: Path, session: str, point: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(folder), session],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"REGIONLAKE_CRASHPOINT": point},
    )


def fill(folder: Path, data: Sequence[bytes]) -> Path:
    folder.mkdir()
    for number, content in enumerate(data):
        (folder / f"{number:03}").write_bytes(content)
    return folder


@pytest.mark.parametrize("point", sorted(CRASH_POINTS.keys() - {"source-linked", "source-removed"}))
@pytest.mark.parametrize("state", ["new", "known", "damaged"])
def test_a_crash_at_every_step(root: Path, tmp_path: Path, point: str, state: str) -> None:
    data = contents(100)
    folder = fill(tmp_path / "in", data)
    store = LocalStore(root)
    before = [] if state == "new" else put_files(store, tmp_path / "before", data)
    if state == "damaged":
        damage(root, before[5].location)
    process = start(root, folder, "dead", point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert store.sessions() == ["dead"]
    if state != "damaged" or point in ("renamed", "names-made", "published"):
        assert len(packs(root)) == int(state != "new" or point in ("renamed", "names-made", "published"))
    store.reap("dead")
    assert staging(root) == []
    stored = put_files(store, tmp_path / "after", data, knowing(before))
    assert [read(store, each) for each in stored] == data
    assert objects(root).keys() == ({stored[5].digest} if stored[5].location.handle.startswith("objects") else set())


def test_processes_that_put_the_same_files(root: Path, tmp_path: Path) -> None:
    data = contents(100)
    folders = [fill(tmp_path / f"in{number}", data if number % 2 else data[::-1]) for number in range(4)]
    processes = [start(root, folder, f"s{number}") for number, folder in enumerate(folders)]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        lines = [line.split() for line in output.splitlines()]
        stored = [Stored(Digest(d), Location(h, int(o), int(n)), new=True, healed=False) for d, h, o, n in lines]
        assert sorted(read(LocalStore(root), each) for each in stored) == sorted(data)
    assert len(packs(root)) == 2
    assert staging(root) == []
