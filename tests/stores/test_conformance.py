"""Both stores against the contract."""

from __future__ import annotations

from pathlib import Path

from lake.digest import Digest
from lake.stores.base import ObjectStore
from lake.stores.local import LocalStore
from lake.stores.memory import MemoryStore
from lake.testing.faults import FaultySystem
from lake.testing.stores import StoreConformance


class TestLocalStore(StoreConformance):
    root: Path

    def make_store(self, folder: Path) -> ObjectStore:
        self.root = folder
        return LocalStore.create(folder)

    def raw(self, store: ObjectStore, digest: Digest) -> bytes | None:
        path = self.root / "objects" / digest[:2] / digest
        if not path.exists():
            return None
        assert path.stat().st_mode & 0o777 == 0o444
        return path.read_bytes()

    def plant(self, store: ObjectStore, digest: Digest, data: bytes) -> None:
        path = self.root / "objects" / digest[:2] / digest
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o444)

    def staging(self, store: ObjectStore) -> list[str]:
        return [str(path) for path in (self.root / "staging").rglob("*")]


class TestLocalStoreWithoutLinuxCalls(TestLocalStore):
    """As on a system without leases and a sync of whole filesystems, with a disk that takes little at a time."""

    def make_store(self, folder: Path) -> ObjectStore:
        self.root = folder
        return LocalStore.create(folder, FaultySystem({"can_sync_filesystem": 0, "lease": 0}, short_writes=100_003))


class TestMemoryStore(StoreConformance):
    def make_store(self, folder: Path) -> ObjectStore:
        return MemoryStore()

    def raw(self, store: ObjectStore, digest: Digest) -> bytes | None:
        assert isinstance(store, MemoryStore)
        return store._objects.get(digest)

    def plant(self, store: ObjectStore, digest: Digest, data: bytes) -> None:
        assert isinstance(store, MemoryStore)
        store._objects[digest] = data

    def staging(self, store: ObjectStore) -> list[str]:
        assert isinstance(store, MemoryStore)
        return list(store._sessions)
