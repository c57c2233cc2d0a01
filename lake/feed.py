"""What a lake tells its catalog: journal rows and facts as Arrow, in pages of bounded size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lake.artifacts import FACTS_PREFIX
from lake.catalog.feed import ARTIFACTS, CHUNKS, COMMITS, DIRECTORIES, FILES, OBJECTS, Fact, Family, Viewpoint
from lake.catalog.reach import Reach
from lake.chunks import ChunkMap
from lake.columns import column, number_column
from lake.digest import Digest
from lake.errors import FormatError, LakeError
from lake.facts import unpack_facts
from lake.formats.facts.kinds import FACT_KINDS
from lake.journal.values import Mark, View
from lake.repository import Repository
from lake.stores.places import pack_digest

__all__ = ["LakeFeed"]

_PAGE = 20_000
_OBJECT_PAGE = 2_000
"""Smaller: each may bring a map of thousands of chunks."""
_ARTIFACT_PAGE = 500
_DIGEST = 32


class LakeFeed:
    """`lake.catalog.feed.Feed` of a repository."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo

    @property
    def families(self) -> Sequence[Family]:
        """The kinds of facts that formats have."""
        return [Family(kind.name, kind.summary, kind.schema, kind.shared) for kind in FACT_KINDS.values()]

    def identity(self) -> str:
        # Rows that go when history is thinned are no changes that a generation could catch up with.
        return f"{self._repo.journal.identity()}.{self._repo.journal.expirations()}"

    def tip(self) -> Reach:
        return Reach(*self._repo.journal.tip())

    def commit_id(self, seq: int) -> str | None:
        rows = self._repo.journal.feed_commits(seq - 1, seq, 1)
        return str(rows[0][1]) if rows else None

    def viewpoint(self, at: str) -> View:
        """What a ref means now."""
        return self._repo.journal.resolve(at)

    def main(self, seq: int) -> View:
        """The main branch as of a commit."""
        return self._repo.journal.resolve("main")._replace(seq=seq, name=None)

    def changed_files(self, since: int | None, now: Viewpoint) -> Iterator[pa.RecordBatch]:
        assert isinstance(now, View)
        journal = self._repo.journal
        if since is not None:
            changed = journal.feed_changed_files(self.main(since), now)
            for start in range(0, len(changed), _PAGE):
                page = changed[start : start + _PAGE]
                yield _files([row if row is not None else (path, *[None] * 7) for path, row in page])
            return
        after: str | None = ""
        while after is not None:
            rows, after = journal.feed_files(now, after, _PAGE)
            yield _files(rows)

    def directories(self, now: Viewpoint) -> Iterator[pa.RecordBatch]:
        assert isinstance(now, View)
        rows = self._repo.journal.feed_directories(now)
        for start in range(0, len(rows), _PAGE):
            path, modified, commit, attributes = zip(*rows[start : start + _PAGE], strict=True)
            yield _batch(DIRECTORIES, [path, _micros(modified), commit, attributes])

    def objects(self, since: Reach, until: Reach) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Objects that came or changed, and the chunks of new ones: those of older ones never change."""
        after = 0
        while True:
            rows = self._repo.journal.feed_objects(Mark(*since), Mark(*until), after, _OBJECT_PAGE)
            maps = [_map(row) for row in rows]
            if rows:
                fresh = [(row[0], chunks) for row, chunks in zip(rows, maps, strict=True) if row[0] > since.object]
                yield (
                    _objects(rows, maps),
                    _chunks([(number, chunks) for number, chunks in fresh if chunks is not None]),
                )
            last = max((row[0] for row in rows), default=0)
            if last <= max(after, since.object):
                return
            after = last

    def commits(self, since: Reach, until: Reach) -> Iterator[pa.RecordBatch]:
        after = since.seq
        while rows := self._repo.journal.feed_commits(after, until.seq, _PAGE):
            seq, digest, branch, created, author, message, changes = zip(*rows, strict=True)
            yield _batch(COMMITS, [seq, digest, branch, _micros(created), author, message, changes])
            after = seq[-1]

    def artifacts(self, since: Reach, until: Reach) -> Iterator[pa.RecordBatch]:
        after = since.fact
        while rows := self._repo.journal.feed_other_artifacts(FACTS_PREFIX, after, until.object, _ARTIFACT_PAGE):
            yield _batch(ARTIFACTS, zip(*rows, strict=True))
            after = rows[-1][0]

    def facts(self, since: Reach, until: Reach) -> Iterator[Fact]:
        after = since.fact
        while rows := self._repo.journal.feed_artifacts(FACTS_PREFIX, after, until.object, _ARTIFACT_PAGE):
            for _, number, kind, body, target in rows:
                found = body if body is not None else self._stored(target)
                if found is not None:
                    yield Fact(kind.removeprefix(FACTS_PREFIX), number, found)
            after = rows[-1][0]

    def _stored(self, target: bytes | None) -> bytes | None:
        """The bytes of a big artifact; None for one that is lost, which is made again when it is asked for."""
        if target is None:
            return None
        try:
            reader = self._repo.shelf.reader(Digest(target.hex()))
            return reader.read(0, reader.size)
        except LakeError:
            return None

    def unpack(self, kind: str, body: bytes) -> pa.Table:
        """The rows of a fact; none where it is damaged or of an older version: it is made again when asked for."""
        try:
            return unpack_facts(kind, body)
        except FormatError:
            return FACT_KINDS[kind].schema.empty_table()


def _batch(schema: pa.Schema, columns: Iterable[Any]) -> pa.RecordBatch:
    arrays = [
        values if isinstance(values, pa.Array) else column(values, field.type)
        for values, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _files(rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    if not rows:
        return _batch(FILES, [()] * len(FILES))
    path, number, digest, size, form, modified, commit, attributes = zip(*rows, strict=True)
    return _batch(FILES, [path, number, digest, size, form, _micros(modified), commit, attributes])


def _micros(nanoseconds: Sequence[int | None]) -> list[int | None]:
    return [None if value is None else value // 1000 for value in nanoseconds]


def _map(row: Sequence[Any]) -> ChunkMap | None:
    return ChunkMap.decode(row[6], row[2]) if row[6] is not None else None


def _objects(rows: Sequence[Sequence[Any]], maps: Sequence[ChunkMap | None]) -> pa.RecordBatch:
    number, digest, size, form, problems, checksums, _, state, damaged, handle, start = zip(*rows, strict=True)
    bad = [[int(ord) for ord in text.split(",")] if text else [] for text in damaged]
    sums = [json.loads(text) if text else {} for text in checksums]
    return _batch(
        OBJECTS,
        [
            number,
            digest,
            size,
            form,
            [1 if chunks is None else len(chunks) for chunks in maps],
            [json.loads(text) if text else [] for text in problems],
            [found.get("md5") for found in sums],
            [found.get("sha256") for found in sums],
            [len(found) for found in bad],
            [found == "live" for found in state],
            bad,
            [pack_digest(found) for found in handle],
            start,
        ],
    )


def _chunks(maps: Sequence[tuple[int, ChunkMap]]) -> pa.RecordBatch:
    if not maps:
        return _batch(CHUNKS, [()] * len(CHUNKS))
    lengths = [len(chunks) for _, chunks in maps]
    raw = b"".join(chunks.digests for _, chunks in maps)
    ends = pa.py_buffer(np.arange(sum(lengths) + 1, dtype=np.int32) * _DIGEST)
    digests = pa.Array.from_buffers(pa.binary(), sum(lengths), [None, ends, pa.py_buffer(raw)])
    return _batch(
        CHUNKS,
        [
            number_column(np.repeat(np.array([number for number, _ in maps], np.int64), lengths)),
            number_column(np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])),
            number_column(np.concatenate([np.array(chunks.offsets[:-1], np.int64) for _, chunks in maps])),
            number_column(np.concatenate([np.array(chunks.lengths, np.int64) for _, chunks in maps])),
            digests,
        ],
    )
