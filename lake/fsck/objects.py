"""One stored file held against the journal: its size, and every byte of the objects in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from lake.chunks import ChunkMap
from lake.digest import digest_of
from lake.errors import FormatError, LakeError
from lake.fsck.findings import DamagedChunk
from lake.fsck.scanning import Scan, scan
from lake.journal.values import ObjectRecord
from lake.repository import Repository
from lake.stores.places import is_pack

__all__ = ["Bad", "FileCheck", "ObjectChecker", "Stopped", "chunk_map"]


class Stopped(Exception):
    """The check is being given up."""


class Bad(NamedTuple):
    """An object of which bytes are wrong or missing."""

    record: ObjectRecord
    problem: str
    """``missing``, ``size`` or ``damaged``."""
    chunks: tuple[DamagedChunk, ...]


class FileCheck(NamedTuple):
    """What a stored file is worth."""

    handle: str
    records: list[ObjectRecord]
    """Live objects in it, by offset."""
    bad: list[Bad]
    unneeded: bool = False
    """A pack whose objects are fine, but not bytes that no object needs."""


def chunk_map(record: ObjectRecord) -> ChunkMap:
    """
    Raises:
        FormatError: the journal holds no map of this object.
    """
    if record.chunks is None:
        return ChunkMap((record.size,), bytes.fromhex(record.digest))
    return ChunkMap.decode(record.chunks, record.size)


class ObjectChecker:
    """Checks files; may be used by several threads."""

    def __init__(self, repo: Repository, advance: Callable[[int], None]) -> None:
        """``advance`` is told of bytes that were read, by one thread at a time."""
        self._repo = repo
        self._advance = advance
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let checks under way end at their next read with `Stopped`."""
        self._stopped.set()

    def look(self, handle: str, length: int) -> FileCheck:
        """Presence and size only.

        Args:
            handle: the stored file.
            length: bytes that lie in it, where it holds one object.
        """
        found = self._repo.store.file(handle)
        if found is not None and found.size == length and not is_pack(handle):
            return FileCheck(handle, [], [])
        records = self._repo.journal.objects_in(handle)
        problems = ((record, self._size_problem(record)) for record in records)
        return FileCheck(handle, records, [Bad(record, said, ()) for record, said in problems if said is not None])

    def check(self, handle: str) -> FileCheck:
        """Every byte."""
        records = self._repo.journal.objects_in(handle)
        scanned = self._scan(handle, records) if records else None
        bad = []
        for number, record in enumerate(records):
            if scanned is None or scanned.parts[number] != record.digest or not self._fits(record, scanned):
                found = self._judge(record)
                if found is not None:
                    bad.append(found)
        unneeded = scanned is not None and not bad and is_pack(handle) and scanned.whole != os.path.basename(handle)
        return FileCheck(handle, records, bad, unneeded)

    def _scan(self, handle: str, records: list[ObjectRecord]) -> Scan | None:
        parts = [(record.location.offset, record.location.length) for record in records]
        try:
            return scan(str(self._repo.root / handle), parts, self._read)
        except OSError:
            return None  # each object is looked at for itself

    def _read(self, count: int) -> None:
        if self._stopped.is_set():
            raise Stopped
        with self._lock:
            self._advance(count)

    @staticmethod
    def _fits(record: ObjectRecord, scanned: Scan) -> bool:
        return is_pack(record.location.handle) or scanned.size == record.location.length

    def _judge(self, suspect: ObjectRecord) -> Bad | None:
        """What is wrong with an object that did not look right; None when it is gone, or is right after all."""
        # It may have been moved, collected or healed since its record was read.
        record = self._repo.journal.object(suspect.digest)
        if record is None:
            return None
        self._repo.store.forget(record.location)
        problem = self._size_problem(record)
        if problem == "missing":
            return Bad(record, problem, ())
        chunks = self._bad_chunks(record)
        if not chunks and problem is None:
            if self._is_right(record):
                return None
            chunks = ((0, 0, record.size),)
        return Bad(record, problem or "damaged", chunks)

    def _size_problem(self, record: ObjectRecord) -> str | None:
        found = self._repo.store.file(record.location.handle)
        if found is None:
            return "missing"
        end = record.location.offset + record.location.length
        fits = found.size >= end if is_pack(record.location.handle) else found.size == end
        return None if fits else "size"

    def _bad_chunks(self, record: ObjectRecord) -> tuple[DamagedChunk, ...]:
        try:
            chunks = chunk_map(record)
        except FormatError:
            # That is damage of the journal, which is told as such.
            return ()
        return tuple(
            (chunk.ord, chunk.offset, chunk.length)
            for chunk in chunks
            if digest_of(self._stored(record, chunk.offset, chunk.length)) != chunk.digest
        )

    def _stored(self, record: ObjectRecord, offset: int, length: int) -> bytes:
        if self._stopped.is_set():
            raise Stopped
        try:
            return self._repo.store.read(record.location, offset, length)
        except LakeError:
            return b"" if length else b"\0"

    def _is_right(self, record: ObjectRecord) -> bool:
        where = (record.location.offset, record.location.length)
        try:
            found = scan(str(self._repo.root / record.location.handle), [where], self._read)
        except OSError:
            return False
        return found.parts[0] == record.digest and self._fits(record, found)
