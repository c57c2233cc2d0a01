"""Healing damaged files from copies elsewhere, chunk by chunk.

A file is written anew in staging from its own good chunks and those of the other places, each against its digest, then
hashed as a whole and put in the place of the old one, which stays in ``quarantine/``. Chunks that no place has stay as
they are. Objects of a pack that cannot be made whole again move out of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from lake.chunks import Chunk, ChunkMap
from lake.crashpoints import crash_point
from lake.digest import Digest, digest_of
from lake.errors import FormatError, LakeError, NotFound
from lake.fsck.findings import DamagedChunk
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

    def heal(self, check: FileCheck) -> FileCheck:
        """Put right what can be; returns what the file is worth afterwards.

        Raises:
            StorageError: the disk failed.
            ReadOnly: the lake cannot be written.
        """
        if is_pack(check.handle):
            after = self._heal_pack(check)
        else:
            healed = map(self._heal_plain, check.bad)
            after = check._replace(bad=[bad for bad in healed if bad is not None])
        if after != check:
            for record in check.records:
                self._repo.shelf.drop(record.digest)
            crash_point("healed")
        return after

    def _heal_plain(self, bad: Bad) -> Bad | None:
        """What is still wrong; None: nothing."""
        record = bad.record
        try:
            chunks = chunk_map(record)
        except FormatError:
            # A damaged map tells nothing of the chunks; the object's own digest still does.
            chunks = ChunkMap((record.size,), bytes.fromhex(record.digest))
        wrong = {number for number, _, _ in bad.chunks} if bad.problem != "missing" else set(range(len(chunks)))
        # Before the good chunks are copied, which may be many.
        if wrong and all(self._found(record, chunk) is None for chunk in chunks if chunk.ord in wrong):
            return bad
        lost: list[DamagedChunk] = []
        pieces = self._pieces(record, chunks, wrong, lost)
        # Whatever is not lost has been compared with its own digest.
        if not self._repo.store.mend(record.location.handle, pieces, self._repo.staging(), lambda: bool(lost)):
            return bad
        return Bad(record, "damaged", tuple(lost)) if lost else None

    def _pieces(
        self, record: ObjectRecord, chunks: ChunkMap, wrong: set[int], lost: list[DamagedChunk]
    ) -> Iterator[bytes]:
        """The file's bytes; chunks that nobody has are as they were, and told in ``lost``."""
        for chunk in chunks:
            stored = self._stored(record, chunk)
            if chunk.ord not in wrong and digest_of(stored) == chunk.digest:
                yield stored
                continue
            found = self._found(record, chunk)
            if found is None:
                lost.append((chunk.ord, chunk.offset, chunk.length))
            yield stored if found is None else found

    def _stored(self, record: ObjectRecord, chunk: Chunk) -> bytes:
        """What the damaged file has of a chunk; zeros where it has nothing."""
        try:
            data = self._repo.store.read(record.location, chunk.offset, chunk.length)
        except LakeError:
            data = b""
        return data.ljust(chunk.length, b"\0")

    def _found(self, record: ObjectRecord, chunk: Chunk) -> bytes | None:
        return next((data for source in self._sources if (data := source.find(record, chunk)) is not None), None)

    # -- packs --------------------------------------------------------------------------------------------------
    def _heal_pack(self, check: FileCheck) -> FileCheck:
        """The pack itself where its name can be had again, else what can be had of it in other places."""
        good: dict[Digest, bytes] = {}
        for bad in check.bad:
            data = self._found(bad.record, self._whole(bad.record))
            if data is not None:
                good[bad.record.digest] = data
        left = [bad for bad in check.bad if bad.record.digest not in good]
        if left:
            if good:
                self._move_out([record for record in check.records if record.digest in good], good)
            return check._replace(bad=left)
        pieces = self._pack_pieces(check, good)
        try:
            if good and self._repo.store.mend(check.handle, pieces, self._repo.staging()):
                return check._replace(bad=[])
        except NotFound:
            pass  # the pack is gone: what lies between its objects is not known
        try:
            self._move_out(check.records, good)
        except _NotHad:
            return check
        return check._replace(bad=[], unneeded=False)

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

    def _move_out(self, records: Sequence[ObjectRecord], good: Mapping[Digest, bytes]) -> None:
        moved: dict[Digest, Location] = {}
        with self._repo.store.batch(self._repo.session()) as batch:
            for record in records:
                data = good.get(record.digest)
                if data is None:
                    data = self._repo.store.read(record.location, 0, record.size)
                if digest_of(data) != record.digest:
                    raise _NotHad
                batch.put_stream(io.BytesIO(data))
            for stored in batch.publish():
                moved[stored.digest] = stored.location
        self._repo.journal.relocate({record.digest: moved[record.digest] for record in records})
