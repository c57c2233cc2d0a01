"""Reading stored objects: every chunk is checked against its digest when it is first touched."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

from lake.chunks import ChunkMap
from lake.digest import Digest, digest_of
from lake.errors import DamagedObject, LakeError, NotFound, StorageError
from lake.journal.base import Journal
from lake.journal.values import ObjectRecord
from lake.seekable import SeekableFile
from lake.stores.base import Location, ObjectStore

__all__ = ["ObjectReader", "ObjectShelf", "VerifiedFile", "iter_chunks"]

_KEPT = 4096
"""Objects whose records and verified chunks are remembered."""


class ObjectReader:
    """A `lake.formats.reader.ByteReader` over one stored object; safe for threads.

    Reads verify each chunk when this process first touches it. A chunk whose bytes do not match its digest raises
    `DamagedObject`, is recorded in the journal, and leaves the rest readable.
    """

    def __init__(
        self,
        record: ObjectRecord,
        store: ObjectStore,
        report: Callable[[ObjectRecord, int, int, int], str],
        ask: Callable[[Digest], ObjectRecord | None],
    ) -> None:
        """``report`` records a damaged chunk and says so in a sentence; ``ask`` is the journal's word on the object."""
        self.record = record
        self.source: Digest = record.digest
        self.size = record.size
        self._store = store
        self._report = report
        self._ask = ask
        self.chunks = (
            ChunkMap.decode(record.chunks, record.size)
            if record.chunks is not None
            else ChunkMap((record.size,), bytes.fromhex(record.digest))
        )
        self._verified = bytearray(len(self.chunks))
        self._pending = len(self.chunks)
        self._marking = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """Verified bytes ``[offset, offset + length)``, clamped at the end of the object.

        Raises:
            DamagedObject: a chunk that holds some of them no longer matches its digest.
            NotFound: the object's bytes are gone from the store.
        """
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if self._pending == 0:
            return self._fetch(offset, length)
        touched = self.chunks.locate(offset, length)
        if all(self._verified[touched.start : touched.stop]):
            return self._fetch(offset, length)
        pieces = []
        for number in touched:
            start, size = self.chunks.span(number)
            low, high = max(offset, start), min(offset + length, start + size)
            if self._verified[number]:
                pieces.append(self._fetch(low, high - low))
            else:
                pieces.append(self._verify(number)[low - start : high - start])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_many(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """One `read` for each ``(offset, length)``."""
        return [self.read(offset, length) for offset, length in ranges]

    def open(self) -> BinaryIO:
        """The object as an unverified, seekable file, as fast as a plain one.

        Raises:
            NotFound: its bytes are gone.
        """
        return self._store.open(self.located())

    def located(self) -> Location:
        """Where the bytes lie now, as far as anybody can say."""
        if self._store.present(self.record.location) < self.size:
            self._follow()
        return self.record.location

    @property
    def verified(self) -> bool:
        """Whether every chunk has been checked by this process."""
        return self._pending == 0

    def _verify(self, number: int) -> bytes:
        start, size = self.chunks.span(number)
        expected = self.chunks.digest(number)
        data = self._stored(start, size)
        if digest_of(data) != expected:
            # Another process may have healed the object: a handle that is still open shows the old file.
            self._store.forget(self.record.location)
            self._follow()
            data = self._stored(start, size)
            if digest_of(data) != expected:
                raise DamagedObject(self._report(self.record, number, start, size))
        with self._marking:
            if not self._verified[number]:
                self._verified[number] = 1
                self._pending -= 1
        return data

    def _stored(self, start: int, size: int) -> bytes:
        """The bytes as they are; nothing of a chunk of which the end is cut off."""
        try:
            return self._fetch(start, size)
        except StorageError:
            if self._store.present(self.record.location) < start + size:
                return b""
            raise

    def _fetch(self, start: int, size: int) -> bytes:
        try:
            return self._store.read(self.record.location, start, size)
        except NotFound:
            if self._follow():
                return self._store.read(self.record.location, start, size)
            raise

    def _follow(self) -> bool:
        """Whether the bytes lie elsewhere since the record was read: small files come into packs and out of them."""
        found = self._ask(self.source)
        if found is None or found.location == self.record.location:
            return False
        self.record = replace(self.record, location=found.location)
        return True


class ObjectShelf:
    """Readers of objects by digest, kept so that a chunk is verified once a process."""

    def __init__(self, store: ObjectStore, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._readers: OrderedDict[Digest, ObjectReader] = OrderedDict()
        self._lock = threading.Lock()

    def reader(self, digest: Digest) -> ObjectReader:
        """
        Raises:
            NotFound: no live object of that digest.
        """
        with self._lock:
            known = self._readers.get(digest)
            if known is not None:
                self._readers.move_to_end(digest)
                return known
        record = self._journal.object(digest)
        if record is None:
            raise NotFound(f"no object b3:{digest} in this lake")
        return self.add(record)

    def add(self, record: ObjectRecord) -> ObjectReader:
        """A reader for a record that the journal may not hold yet."""
        reader = ObjectReader(record, self._store, self._report, self._journal.object)
        with self._lock:
            self._readers[record.digest] = reader
            while len(self._readers) > _KEPT:
                self._readers.popitem(last=False)
        return reader

    def drop(self, digest: Digest) -> None:
        """Forget what was verified, because the object's bytes were replaced."""
        with self._lock:
            self._readers.pop(digest, None)

    def _report(self, record: ObjectRecord, number: int, offset: int, length: int) -> str:
        names = [path for path, _, _ in self._journal.paths_of(record.digest)[:1]] or [f"b3:{record.digest}"]
        # A lake that cannot be written still has to say what is damaged; fsck records it where it can.
        with contextlib.suppress(LakeError):
            self._journal.record_damage(record.digest, [(number, offset, length)])
        return (
            f"{names[0]}: chunk {number} (bytes {offset}-{offset + length - 1}) of object b3:{record.digest} does not "
            "match its digest; the rest can be read; put the original file again to heal it"
        )


class VerifiedFile(SeekableFile):
    """A seekable, read-only file over an `ObjectReader`: each chunk is verified when it is first touched."""

    def __init__(self, reader: ObjectReader) -> None:
        super().__init__(reader.size)
        self._reader = reader

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        # Never beyond the chunk, so that reading ahead does not run into damage before it is asked for.
        length = 0
        for number in self._reader.chunks.locate(self._position, 1):
            start, size = self._reader.chunks.span(number)
            length = min(len(buffer), start + size - self._position)
        data = self._reader.read(self._position, length)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def iter_chunks(reader: ObjectReader) -> Iterator[bytes]:
    """The whole object, chunk by chunk, verified."""
    for number in range(len(reader.chunks)):
        yield reader.read(*reader.chunks.span(number))
