"""Making generations: the core anew from the last one and the tail, one segment more, and merges of segments."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from lake.catalog.feed import COMMITS, DIRECTORIES, FILES, Feed, families_fingerprint
from lake.catalog.generations import EVERY_BYTE, CatalogFolder, DatabaseFile, Generation
from lake.catalog.layers import (
    OBJECT_ROWS,
    copy_layer,
    create_layer,
    identifier,
    layer_tables,
    load_artifacts,
    load_facts,
    load_objects,
    table_definition,
)
from lake.catalog.reach import Reach
from lake.catalog.session import usable
from lake.catalog.statements import run
from lake.catalog.tail import ATTRIBUTES, fill
from lake.errors import Conflict, NotFound, StorageError
from lake.stores.modes import make_file, make_folders

__all__ = ["STORAGE", "Builder", "publishing_lock"]

STORAGE = "v1.4.0"
"""Storage version of the files: every DuckDB since 1.4 reads them."""

_GROWTH = 3
"""A segment is merged with the one before it unless that is so many times larger: few segments, few rewrites."""
_MOST_SEGMENTS = 10

_MEMORY = "1GB"
_ATTEMPTS = 3
"""Times that a generation is begun, where history is expired while it is built."""


@contextlib.contextmanager
def publishing_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Whether this process is the one that publishes. Without ``wait`` nobody is waited for."""
    try:
        make_folders(path.parent)
        descriptor = make_file(path, os.O_RDWR)
    except OSError as error:
        raise StorageError(f"cannot write the catalog in {path.parent}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Builder:
    """Writes generations of one lake. Hold `publishing_lock` around its methods."""

    folder: CatalogFolder
    feed: Feed
    sync_file: Callable[[Path], None]
    sync_folder: Callable[[Path], None]

    def build(self, *, anew: bool = False) -> Generation:
        """Publish what is committed now.

        Args:
            anew: from the journal alone, whatever generations there are.

        Raises:
            StorageError: the files cannot be written; what was published before stays.
            Conflict: history is being expired all the while.
        """
        for _ in range(_ATTEMPTS):
            # Before anything is read: of what is expired meanwhile, a part may have been read.
            identity = self.feed.identity()
            try:
                return self._build_at(identity, anew)
            except (Conflict, NotFound):
                if self.feed.identity() == identity:
                    raise
        raise Conflict("history is being expired: publish the catalog when that is done")

    def _build_at(self, identity: str, anew: bool) -> Generation:
        # What damage there is in old files must not be handed on.
        last = None if anew else usable(self.folder, self.feed, EVERY_BYTE)
        try:
            with self.folder.building() as place, _database(place) as connection:
                return self._build(connection, place, identity, last)
        except duckdb.Error as error:
            text = str(error).partition("\n")[0]
            raise StorageError(f"cannot write the catalog in {self.folder.path}: {text}") from error

    def _build(
        self, connection: duckdb.DuckDBPyConnection, place: Path, identity: str, last: Generation | None
    ) -> Generation:
        since = last.reach if last is not None else Reach()
        until = self.feed.tip()
        for number, file in enumerate(last.files if last is not None else ()):
            _attach(connection, self.folder.path / file.name, f"old{number}", write=False)
        core, segment = place / "core.duckdb", place / "facts.duckdb"
        _attach(connection, core, "core", write=True)
        _attach(connection, segment, "fresh", write=True)

        create_layer(connection, "fresh", self.feed.families)
        changed = load_objects(connection, "fresh", self.feed, since, until).changed
        load_artifacts(connection, "fresh", self.feed, since, until)
        seen = load_facts(connection, "fresh", self.feed, since, until)
        self._load_files(connection, since, until, last is not None)
        self._load_commits(connection, since, until, last is not None)
        self._supersede(connection, {**seen, OBJECT_ROWS: set(changed)}, since, last)

        rows = _row_counts(connection, "fresh", layer_tables(self.feed.families))
        segments = list(last.segments) if last is not None else []
        sources = {file.name: f"old{number}" for number, file in enumerate(segments, 1)}
        built: dict[str, Path] = {}
        if sum(rows.values()):
            merged = _to_merge(segments, sum(rows.values()))
            if merged:
                segment = self._merge(connection, place, [(sources[file.name], file.name) for file in merged])
                rows = _row_counts(connection, "merged", layer_tables(self.feed.families))
                run(connection, "DETACH merged")
                segments = segments[: -len(merged)]
            else:
                run(connection, "DETACH fresh")
            described = self.folder.describe(segment, rows)
            segments.append(described)
            built[described.name] = segment
        return self._publish(connection, identity, until, last, segments, core, built)

    def _publish(
        self,
        connection: duckdb.DuckDBPyConnection,
        identity: str,
        until: Reach,
        last: Generation | None,
        segments: Sequence[DatabaseFile],
        core: Path,
        built: dict[str, Path],
    ) -> Generation:
        names = [segment.name for segment in segments]
        run(connection, "DELETE FROM core.superseded WHERE segment NOT IN (SELECT unnest(?::VARCHAR[]))", [names])
        stale = dict(run(connection, "SELECT kind, count(*) FROM core.superseded GROUP BY kind"))
        rows = _row_counts(connection, "core", ["files", "directories", "commits", "attributes"])
        run(connection, "DETACH core")
        described = self.folder.describe(core, rows)
        generation = Generation(
            self.folder.latest_number() + 1,
            identity,
            until,
            self.feed.commit_id(until.seq),
            families_fingerprint(self.feed.families),
            described,
            tuple(segments),
            stale,
        )
        built[described.name] = core
        if self.feed.identity() != identity:
            raise Conflict("history was expired meanwhile")
        self.folder.publish(generation, built, self.sync_file, self.sync_folder)
        return generation

    def _load_files(self, connection: duckdb.DuckDBPyConnection, since: Reach, until: Reach, last: bool) -> None:
        columns = 'path, object, digest, size, format, modified, "commit", attributes'
        now = self.feed.main(until.seq)
        fill(connection, "changed", FILES, self.feed.changed_files(since.seq if last else None, now))
        rows = "changed"
        if last:
            rows = (
                f"(SELECT {columns} FROM old0.files WHERE path NOT IN (SELECT path FROM changed)"
                f" UNION ALL SELECT {columns} FROM changed WHERE object IS NOT NULL ORDER BY path)"
            )
        stored = pa.schema([("id", pa.int64()), *FILES])
        run(connection, f"CREATE TABLE core.files{table_definition(stored)}")
        run(connection, f"INSERT INTO core.files SELECT row_number() OVER () - 1, {columns} FROM {rows}")
        fill(connection, "core.directories", DIRECTORIES, self.feed.directories(now))
        attributes = ATTRIBUTES.format(key="f.id AS file", files="core.files")
        run(connection, f"CREATE TABLE core.attributes AS {attributes}")

    def _load_commits(self, connection: duckdb.DuckDBPyConnection, since: Reach, until: Reach, last: bool) -> None:
        fill(connection, "said", COMMITS, self.feed.commits(since, until))
        older = "FROM old0.commits UNION ALL" if last else ""
        run(connection, f"CREATE TABLE core.commits AS {older} FROM said ORDER BY seq")

    def _supersede(
        self, connection: duckdb.DuckDBPyConnection, seen: dict[str, set[int]], since: Reach, last: Generation | None
    ) -> None:
        """Note which rows of older segments no longer count, because their objects got new ones."""
        run(connection, "CREATE TABLE core.superseded(segment VARCHAR, kind VARCHAR, object BIGINT)")
        if last is not None:
            run(connection, "INSERT INTO core.superseded FROM old0.superseded")
        shared = {family.name for family in self.feed.families if family.shared}
        for kind, numbers in seen.items():
            renewed = [number for number in numbers if number <= since.object]
            for place, segment in enumerate(last.segments if last is not None and renewed else (), 1):
                table = identifier(f"{kind}_of" if kind in shared else kind)
                run(
                    connection,
                    f"INSERT INTO core.superseded SELECT DISTINCT ?, ?, object FROM old{place}.{table}"
                    " WHERE object IN (SELECT unnest(?::BIGINT[]))",
                    [segment.name, kind, renewed],
                )

    def _merge(self, connection: duckdb.DuckDBPyConnection, place: Path, merged: Sequence[tuple[str, str]]) -> Path:
        path = place / "merged.duckdb"
        _attach(connection, path, "merged", write=True)
        create_layer(connection, "merged", self.feed.families)
        sources = []
        for alias, name in merged:
            run(
                connection,
                f"CREATE TEMP TABLE left_{alias} AS SELECT kind, object FROM core.superseded WHERE segment = ?",
                [name],
            )
            sources.append((alias, f"left_{alias}"))
        copy_layer(connection, [*sources, ("fresh", "")], "merged", self.feed.families)
        return path


def _to_merge(segments: Sequence[DatabaseFile], weight: int) -> list[DatabaseFile]:
    """The newest segments that a new one of so many rows is to be merged with."""
    count = 0
    while count < len(segments):
        before = segments[len(segments) - count - 1]
        if before.weight >= _GROWTH * weight and len(segments) - count < _MOST_SEGMENTS:
            break
        weight += before.weight
        count += 1
    return list(segments[len(segments) - count :])


@contextlib.contextmanager
def _database(place: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    spill = str(place / "spill")
    connection = duckdb.connect(":memory:", config={"temp_directory": spill, "memory_limit": _MEMORY})
    try:
        yield connection
    finally:
        connection.close()


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, alias: str, *, write: bool) -> None:
    how = f"STORAGE_VERSION '{STORAGE}'" if write else "READ_ONLY"
    text = str(path).replace("'", "''")
    run(connection, f"ATTACH '{text}' AS {alias} ({how})")


def _row_counts(connection: duckdb.DuckDBPyConnection, place: str, tables: Sequence[str]) -> dict[str, int]:
    counted = {}
    for table in tables:
        count = int(run(connection, f"SELECT count(*) FROM {place}.{identifier(table)}")[0][0])
        if count:
            counted[table] = count
    return counted
