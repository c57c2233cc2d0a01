"""Healing damaged files from copies elsewhere, chunk by chunk.

A file is written anew in staging from its own good chunks and those of the other places, each against its digest, then
hashed as a whole and put in the place of the old one, which stays in ``quarantine/``. Objects of a pack that cannot be
made whole again move out of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from lake.chunks import Chunk, ChunkMap
from lake.crashpoints import crash_point
from lake.digest import Digest, digest_of
from lake.errors import FormatError, NotFound
from lake.fsck.objects import Bad, FileCheck, chunk_map
from lake.fsck.sources import GoodBytes
from lake.journal.values import ObjectRecord
from lake.repository import Repository
from lake.stores.base import Location
from lake.stores.places import is_pack

__all__ = ["Healer"]

_PIECE = 1 << 20


class _NotHad(Exception):
    """Nobody has the right bytes."""


class Healer:
    def __init__(self, repo: Repository, sources: Sequence[GoodBytes]) -> None:
        self._repo = repo
        self._sources = sources

    def heal(self, check: FileCheck) -> bool:
        """Whether everything in a stored file is right again.

        Raises:
            StorageError: the disk failed.
            ReadOnly: the lake cannot be written.
        """
        try:
            if is_pack(check.handle):
                healed = self._heal_pack(check)
            else:
                healed = all(self._heal_plain(bad) for bad in check.bad)
        except _NotHad:
            return False
        if healed:
            for record in check.records:
                self._repo.shelf.drop(record.digest)
            crash_point("healed")
        return healed

    def _heal_plain(self, bad: Bad) -> bool:
        try:
            chunks = chunk_map(bad.record)
        except FormatError:
            # A damaged map tells nothing of the chunks; the object's own digest still does.
            chunks = ChunkMap((bad.record.size,), bytes.fromhex(bad.record.digest))
        wrong = {number for number, _, _ in bad.chunks} if bad.problem != "missing" else set(range(len(chunks)))
        if len(wrong) < len(chunks):
            # Before the good chunks are copied, which may be many.
            for chunk in chunks:
                if chunk.ord in wrong:
                    self._find(bad.record, chunk)
        pieces = self._pieces(bad.record, chunks, wrong)
        return self._repo.store.mend(bad.record.location.handle, pieces, self._repo.staging())

    def _pieces(self, record: ObjectRecord, chunks: ChunkMap, wrong: set[int]) -> Iterator[bytes]:
        for chunk in chunks:
            if chunk.ord in wrong:
                yield self._find(record, chunk)
                continue
            data = self._repo.store.read(record.location, chunk.offset, chunk.length)
            yield data if digest_of(data) == chunk.digest else self._find(record, chunk)

    def _find(self, record: ObjectRecord, chunk: Chunk) -> bytes:
        for source in self._sources:
            data = source.find(record, chunk)
            if data is not None:
                return data
        raise _NotHad

    # -- packs --------------------------------------------------------------------------------------------------
    def _heal_pack(self, check: FileCheck) -> bool:
        """The pack itself where its name can be had again, else every object of it in another place."""
        good = {bad.record.digest: self._find(bad.record, self._whole(bad.record)) for bad in check.bad}
        pieces = self._pack_pieces(check, good)
        try:
            if good and self._repo.store.mend(check.handle, pieces, self._repo.staging()):
                return True
        except NotFound:
            pass  # the pack is gone: what lies between its objects is not known
        self._move_out(check, good)
        return True

    @staticmethod
    def _whole(record: ObjectRecord) -> Chunk:
        return Chunk(0, 0, record.size, record.digest)

    def _pack_pieces(self, check: FileCheck, good: dict[Digest, bytes]) -> Iterator[bytes]:
        """The bytes of the pack with the objects in it put right, as far as they are known."""
        found = self._repo.store.file(check.handle)
        if found is None:
            raise NotFound(f"{check.handle} is missing")
        done = 0
        for record in check.records:
            offset, length = record.location.offset, record.location.length
            if offset < done:
                continue  # the same bytes as those of the object before
            yield from self._between(check.handle, done, min(offset, found.size))
            yield good.get(record.digest) or self._repo.store.read(record.location, 0, length)
            done = offset + length
        yield from self._between(check.handle, done, found.size)

    def _between(self, handle: str, start: int, stop: int) -> Iterator[bytes]:
        for offset in range(start, stop, _PIECE):
            length = min(_PIECE, stop - offset)
            yield self._repo.store.read(Location(handle, offset, length), 0, length)

    def _move_out(self, check: FileCheck, good: dict[Digest, bytes]) -> None:
        moved: dict[Digest, Location] = {}
        with self._repo.store.batch(self._repo.session()) as batch:
            for record in check.records:
                data = good.get(record.digest)
                if data is None:
                    data = self._repo.store.read(record.location, 0, record.size)
                if digest_of(data) != record.digest:
                    raise _NotHad
                batch.put_stream(io.BytesIO(data))
            for stored in batch.publish():
                moved[stored.digest] = stored.location
        self._repo.journal.relocate({record.digest: moved[record.digest] for record in check.records})
