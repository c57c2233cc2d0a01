"""One generation attached read-only: what can be read of it alone, without any journal beside it."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lake.catalog.feed import ARTIFACTS, CHUNKS, OBJECTS, Family
from lake.catalog.generations import DatabaseFile, Generation
from lake.catalog.layers import ARTIFACT_ROWS, CHUNK_MAP, OBJECT_ROWS, create_layer, identifier
from lake.errors import StorageError

__all__ = ["AttachedGeneration"]

_PARENTS: list[duckdb.DuckDBPyConnection] = []
"""Connections of the process of which this is a fork: threads that they wait for are not here, so they stay open."""

_ENTRIES = """
SELECT path, 1 AS kind, size, epoch_us(modified) * 1000 AS modified, "commit", attributes, digest, format
FROM core.files UNION ALL
SELECT path, 2, 0, epoch_us(modified) * 1000, "commit", attributes, NULL, NULL FROM core.directories"""


class AttachedGeneration:
    """Answers queries of its views. Safe for threads; a fork attaches the files again.

    ``entries`` has the columns of `lake.journal.values.Entry`; ``objects``, ``chunk_map`` and ``artifact_rows`` those
    of `lake.catalog.feed`; of the objects only those that are live.

    Raises:
        StorageError: the files cannot be read, or are damaged; so of every method.
    """

    def __init__(self, folder: Path, generation: Generation) -> None:
        self.generation = generation
        self._folder = folder
        self._lock = threading.Lock()
        self._process = 0
        self._connection: duckdb.DuckDBPyConnection | None = None
        self.head = int(self.rows("SELECT coalesce(max(seq), 0) FROM core.commits WHERE branch = 'main'")[0][0])
        """Newest commit of ``main``."""

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer of a query."""
        try:
            with self._opened().cursor() as cursor:
                return cursor.execute(query, list(parameters)).fetchall()
        except duckdb.Error as error:
            raise self._failure(error) from error

    def facts(self, family: Family) -> list[tuple[bytes, bytes]]:
        """Every table of one kind of facts: digest of the object, and the rows as an Arrow stream."""
        key = identifier("set" if family.shared else "object")
        columns = ", ".join(map(identifier, family.schema.names))
        table, links = identifier(family.name), identifier(f"{family.name}_of" if family.shared else family.name)
        found = []
        for alias, file in self._segments():
            bodies = self._streams(f"SELECT {key}, {columns} FROM {alias}.{table} ORDER BY {key}, ord")
            owners = self.rows(
                f"SELECT DISTINCT o.digest, l.{key} FROM {alias}.{links} l JOIN objects o USING (object)"
                f" WHERE l.object NOT IN ({_superseded(file, family.name)})"
            )
            found += [(digest, bodies[each]) for digest, each in owners if each in bodies]
        return found

    def close(self) -> None:
        """Close it; a later query attaches the files again."""
        connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            connection.close()

    def _streams(self, query: str) -> dict[Any, bytes]:
        """Runs of rows with the same value in the first column, by that value: the other columns as a stream."""
        try:
            with self._opened().cursor() as cursor:
                table = cursor.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise self._failure(error) from error
        keys = table.column(0).to_pylist()
        rest = table.drop_columns(table.column_names[:1])
        streams: dict[Any, bytes] = {}
        start = 0
        for value, run in itertools.groupby(keys):
            length = sum(1 for _ in run)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rest.schema) as stream:
                stream.write_table(rest.slice(start, length))
            streams[value] = bytes(sink.getvalue())
            start += length
        return streams

    def _failure(self, error: duckdb.Error) -> StorageError:
        text = str(error).partition("\n")[0]
        return StorageError(f"cannot read the catalog in {self._folder}: {text}; open the lake again")

    def _segments(self) -> list[tuple[str, DatabaseFile]]:
        """Name under which each segment is attached, and its file."""
        return [(f"segment{number}", file) for number, file in enumerate(self.generation.segments)]

    def _opened(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is not None and self._process != os.getpid():
                _PARENTS.append(self._connection)
                self._connection = None
            if self._connection is None:
                self._process, self._connection = os.getpid(), self._connect()
            return self._connection

    def _connect(self) -> duckdb.DuckDBPyConnection:
        spill = Path(tempfile.gettempdir()) / f"regionlake-{os.getpid()}.spill"
        connection = duckdb.connect(":memory:", config={"temp_directory": str(spill)})
        try:
            for alias, file in [("core", self.generation.core), *self._segments()]:
                path = str(self._folder / file.name).replace("'", "''")
                connection.execute(f"ATTACH '{path}' AS {alias} (READ_ONLY)")
            # Of a lake without objects there is no segment: these tables have the columns.
            connection.execute("CREATE SCHEMA nothing")
            create_layer(connection, "nothing", [])
            connection.execute(f"CREATE VIEW entries AS {_ENTRIES}")
            for table, schema in ((OBJECT_ROWS, OBJECTS), (CHUNK_MAP, CHUNKS), (ARTIFACT_ROWS, ARTIFACTS)):
                connection.execute(self._view(table, schema))
        except BaseException:
            connection.close()
            raise
        return connection

    def _view(self, table: str, schema: pa.Schema) -> str:
        columns = ", ".join(map(identifier, schema.names))
        parts = [f"SELECT {columns} FROM nothing.{table}"]
        for alias, file in self._segments():
            current = f" WHERE live AND object NOT IN ({_superseded(file, table)})" if table == OBJECT_ROWS else ""
            parts.append(f"SELECT {columns} FROM {alias}.{table}{current}")
        name = "objects" if table == OBJECT_ROWS else table
        return f"CREATE VIEW {name} AS {' UNION ALL '.join(parts)}"


def _superseded(file: DatabaseFile, kind: str) -> str:
    """Objects whose rows in a segment no longer count."""
    return f"SELECT object FROM core.superseded WHERE segment = '{file.name}' AND kind = '{kind}'"
