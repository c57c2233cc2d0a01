"""Objects in the memory of one process: for tests and throw-away lakes."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from lake.digest import Digest, digest_of
from lake.errors import InvalidInput, NotFound, StorageError
from lake.stores.base import Capabilities, Known, Location, Method, Settle, Staged, Stored, Watcher
from lake.stores.intake import SourceFile, check_same, stream_filler, take_in

__all__ = ["MemoryStore"]


class MemoryStore:
    """An `ObjectStore` whose objects are gone with the process. The handle of an object is its digest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Digest, bytes] = {}
        self._sessions: dict[str, int] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(local_paths=False, durable=False, links=False)

    def batch(self, session: str, known: Known | None = None, settle: Settle | None = None) -> MemoryBatch:
        return MemoryBatch(self, session, known, settle)

    def open(self, location: Location) -> BinaryIO:
        data = self._bytes(location)
        if len(data) != location.length:
            raise StorageError(f"object {location.handle} has {len(data)} bytes, {location.length} are recorded")
        return io.BytesIO(data)

    def read(self, location: Location, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise InvalidInput(f"cannot read {length} bytes at {offset} of an object")
        wanted = min(length, location.length - offset)
        if wanted <= 0:
            return b""
        data = self._bytes(location)[location.offset + offset : location.offset + offset + wanted]
        if len(data) < wanted:
            raise StorageError(f"object {location.handle} is shorter than the {location.length} bytes recorded")
        return data

    def read_many(self, location: Location, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.read(location, offset, length) for offset, length in ranges]

    def has(self, digest: Digest) -> Location | None:
        data = self._objects.get(digest)
        return None if data is None else Location(digest, 0, len(data))

    def present(self, location: Location) -> int:
        return min(len(self._objects.get(Digest(location.handle), b"")), location.length)

    def sessions(self) -> list[str]:
        with self._lock:
            return sorted(self._sessions)

    def list(self) -> Iterator[tuple[Digest, Location]]:
        with self._lock:
            present = list(self._objects.items())
        for digest, data in present:
            yield digest, Location(digest, 0, len(data))

    def delete(self, digest: Digest) -> bool:
        with self._lock:
            return self._objects.pop(digest, None) is not None

    def forget(self, location: Location) -> None:
        """Nothing is cached."""

    def local_path(self, location: Location) -> None:
        """There are no files."""

    def reap(self, session: str) -> None:
        with self._lock:
            self._sessions.pop(session, None)

    def _bytes(self, location: Location) -> bytes:
        try:
            return self._objects[Digest(location.handle)]
        except KeyError:
            raise NotFound(f"object is missing: {location.handle}") from None

    def _enter(self, session: str) -> None:
        with self._lock:
            self._sessions[session] = self._sessions.get(session, 0) + 1

    def _leave(self, session: str) -> None:
        with self._lock:
            left = self._sessions.pop(session, 1) - 1
            if left > 0:
                self._sessions[session] = left

    def _publish(self, digest: Digest, data: bytes, *, known: bool) -> Stored:
        with self._lock:
            present = self._objects.get(digest)
            good = present is not None and digest_of(present) == digest
            if not good:
                self._objects[digest] = data
        location = Location(digest, 0, len(data))
        expected = known or present is not None
        return Stored(digest, location, new=not expected, healed=expected and not good)


class MemoryBatch:
    """A `lake.stores.base.Batch` of the memory store."""

    def __init__(self, store: MemoryStore, session: str, known: Known | None, settle: Settle | None) -> None:
        self._store = store
        self._session = session
        self._known = known
        self._settle = settle
        self._tokens = itertools.count()
        self._staged: dict[int, tuple[Digest, bytes]] = {}
        self._moved: dict[int, SourceFile] = {}
        self._published: set[int] = set()
        self._entered = False

    def put_stream(self, source: BinaryIO, watcher: Watcher | None = None) -> Staged:
        data = bytearray()
        digest, _ = take_in(stream_filler(source), data.extend, watcher)
        return self._register(digest, bytes(data))

    def put_file(self, source: Path, watcher: Watcher | None = None, method: Method = Method.COPY) -> Staged:
        data = bytearray()
        with SourceFile(source) as file:
            digest, size = take_in(file.fill, data.extend, watcher)
            file.check_unchanged(size)
        staged = self._register(digest, bytes(data))
        if method is Method.MOVE:
            self._moved[staged.token] = file
        return staged

    def open(self, staged: Staged) -> BinaryIO:
        return io.BytesIO(self._find(staged)[1])

    def drop(self, staged: Staged) -> None:
        self._find(staged)
        del self._staged[staged.token]
        self._moved.pop(staged.token, None)

    def _find(self, staged: Staged) -> tuple[Digest, bytes]:
        try:
            return self._staged[staged.token]
        except KeyError:
            raise InvalidInput(f"object {staged.digest} is not staged in this batch") from None

    def publish(self) -> list[Stored]:
        staged, self._staged = self._staged, {}
        self._published.update(staged)
        known = self._known([digest for digest, _ in staged.values()]) if self._known is not None else {}
        in_order = [staged[token] for token in sorted(staged)]
        probe = self._settle([digest for digest, _ in in_order]) if self._settle is not None else 0
        return [
            self._store._publish(digest, data, known=digest in known)._replace(probe=probe) for digest, data in in_order
        ]

    def release(self) -> None:
        for token in sorted(self._published & self._moved.keys()):
            file = self._moved.pop(token)
            check_same(file.path, file.status)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._staged.clear()
        self._moved.clear()
        if self._entered:
            self._entered = False
            self._store._leave(self._session)

    def _register(self, digest: Digest, data: bytes) -> Staged:
        if not self._entered:
            self._entered = True
            self._store._enter(self._session)
        token = next(self._tokens)
        self._staged[token] = (digest, data)
        return Staged(digest, len(data), token)
