"""Layers: facts and chunks as tables of one layout, in a segment on disk or in the memory of a session.

A layer has, for every kind of facts, a table of that name: column ``object``, the columns of the kind, ``ord``. Of a
shared kind it has the tables once each under ``set`` (128 bits of their BLAKE3), and ``<kind>_of`` says which object
has which. The objects themselves are in ``object_rows``, the chunks of those with several in ``chunk_map``, indexes and
tables in ``artifact_rows``. Every layer stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from blake3 import blake3

from lake.catalog.feed import ARTIFACTS, CHUNKS, OBJECTS, Fact, Family, Feed
from lake.catalog.reach import Reach
from lake.catalog.statements import run
from lake.columns import column, number_column

__all__ = [
    "ARTIFACT_ROWS",
    "CHUNK_MAP",
    "OBJECT_ROWS",
    "LoadedObjects",
    "copy_layer",
    "create_layer",
    "identifier",
    "layer_tables",
    "load_artifacts",
    "load_facts",
    "load_objects",
    "table_definition",
]

OBJECT_ROWS = "object_rows"
CHUNK_MAP = "chunk_map"
ARTIFACT_ROWS = "artifact_rows"

_PLAIN = frozenset(("digest", "set", "target", "body"))
"""Columns of hashes and of what is packed: DuckDB would try for long to make them smaller."""
_TYPES = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us"): "TIMESTAMP",
}

_BATCH_BYTES = 32 << 20
_BATCH_TABLES = 4096


def identifier(name: str) -> str:
    """A name as SQL takes any name."""
    return '"' + name.replace('"', '""') + '"'


def layer_tables(families: Iterable[Family]) -> list[str]:
    """Names of the tables of a layer."""
    names = [OBJECT_ROWS, CHUNK_MAP, ARTIFACT_ROWS]
    for family in families:
        names += [family.name, f"{family.name}_of"] if family.shared else [family.name]
    return names


def _table_schema(family: Family) -> pa.Schema:
    key = pa.field("set", pa.binary()) if family.shared else pa.field("object", pa.int64())
    fields = [key, *(field.remove_metadata() for field in family.schema)]
    if "ord" not in family.schema.names:
        fields.append(pa.field("ord", pa.int32()))
    return pa.schema(fields)


_LINKS = pa.schema([("object", pa.int64()), ("set", pa.binary())])


def create_layer(connection: duckdb.DuckDBPyConnection, place: str, families: Sequence[Family]) -> None:
    """Make the empty tables of a layer in a schema that exists; ``place`` is its name, ready for SQL."""
    schemas = {OBJECT_ROWS: OBJECTS, CHUNK_MAP: CHUNKS, ARTIFACT_ROWS: ARTIFACTS}
    for family in families:
        schemas[family.name] = _table_schema(family)
        if family.shared:
            schemas[f"{family.name}_of"] = _LINKS
    # At once: each statement of its own costs more than the table.
    tables = ((f"{place}.{identifier(name)}", schema) for name, schema in schemas.items())
    run(connection, ";".join(f"CREATE OR REPLACE TABLE {name}{table_definition(schema)}" for name, schema in tables))


def table_definition(schema: pa.Schema) -> str:
    """Columns of a table as SQL defines them."""
    columns = (
        f"{identifier(field.name)} {_sql_type(field.type)}{' USING COMPRESSION uncompressed' * (field.name in _PLAIN)}"
        for field in schema
    )
    return f"({', '.join(columns)})"


def _sql_type(kind: pa.DataType) -> str:
    return f"{_sql_type(kind.value_type)}[]" if pa.types.is_list(kind) else _TYPES[kind]


def _insert(connection: duckdb.DuckDBPyConnection, given: pa.Table, statement: str) -> None:
    connection.register("given", given)
    try:
        run(connection, statement)
    finally:
        connection.unregister("given")


class LoadedObjects(NamedTuple):
    objects: int
    chunks: int
    changed: list[int]
    """Those that were there before, hence stand in an older layer, too."""


def load_objects(
    connection: duckdb.DuckDBPyConnection, place: str, feed: Feed, since: Reach, until: Reach
) -> LoadedObjects:
    """Bring objects and their chunks into a layer."""
    objects = chunks = 0
    changed: list[int] = []
    for rows, pieces in feed.objects(since, until):
        for table, batch in ((OBJECT_ROWS, rows), (CHUNK_MAP, pieces)):
            if batch.num_rows:
                given = pa.Table.from_batches([batch])
                _insert(connection, given, f"INSERT INTO {place}.{table} FROM given")
        objects += rows.num_rows
        chunks += pieces.num_rows
        changed += [number for number in rows["object"].to_pylist() if number <= since.object]
    return LoadedObjects(objects, chunks, changed)


def load_artifacts(connection: duckdb.DuckDBPyConnection, place: str, feed: Feed, since: Reach, until: Reach) -> None:
    """Bring artifacts that are no facts into a layer."""
    for batch in feed.artifacts(since, until):
        _insert(connection, pa.Table.from_batches([batch]), f"INSERT INTO {place}.{ARTIFACT_ROWS} FROM given")


class _Loader:
    """Gathers facts by kind until they are worth an insert."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, place: str, feed: Feed) -> None:
        self._connection = connection
        self._place = place
        self._feed = feed
        self._families = {family.name: family for family in feed.families}
        self._waiting: dict[str, dict[int, Fact]] = {name: {} for name in self._families}
        self._bytes = dict.fromkeys(self._families, 0)
        self._seen: dict[str, set[int]] = {name: set() for name in self._families}
        self._sets: dict[str, set[bytes]] = {name: set() for name in self._families}

    def add(self, fact: Fact) -> None:
        waiting = self._waiting.get(fact.kind)
        if waiting is None:
            return
        # The last one counts; an earlier one must not even keep its place.
        waiting.pop(fact.object, None)
        waiting[fact.object] = fact
        self._bytes[fact.kind] += len(fact.body)
        if self._bytes[fact.kind] >= _BATCH_BYTES or len(waiting) >= _BATCH_TABLES:
            self._flush(self._families[fact.kind])

    def finish(self) -> dict[str, set[int]]:
        for family in self._families.values():
            self._flush(family)
        return self._seen

    def _flush(self, family: Family) -> None:
        facts, self._waiting[family.name] = list(self._waiting[family.name].values()), {}
        self._bytes[family.name] = 0
        if not facts:
            return
        objects = np.array([fact.object for fact in facts], np.int64)
        self._forget(family, [number for number in objects.tolist() if number in self._seen[family.name]])
        self._seen[family.name].update(objects.tolist())
        if family.shared:
            self._load_sets(family, facts, objects)
        else:
            tables = [self._feed.unpack(family.name, fact.body) for fact in facts]
            lengths = [table.num_rows for table in tables]
            self._load_rows(family, tables, number_column(np.repeat(objects, lengths)))

    def _forget(self, family: Family, objects: list[int]) -> None:
        if objects:
            table = f"{family.name}_of" if family.shared else family.name
            run(
                self._connection,
                f"DELETE FROM {self._place}.{identifier(table)} WHERE object IN (SELECT unnest(?))",
                [objects],
            )

    def _load_sets(self, family: Family, facts: Sequence[Fact], objects: np.ndarray) -> None:
        keys = [blake3(fact.body).digest(16) for fact in facts]
        links = pa.table([number_column(objects), column(keys, pa.binary())], schema=_LINKS)
        _insert(self._connection, links, f"INSERT INTO {self._place}.{identifier(family.name + '_of')} FROM given")
        known = self._sets[family.name]
        fresh = {key: fact for key, fact in zip(keys, facts, strict=True) if key not in known}
        known.update(fresh)
        if fresh:
            tables = [self._feed.unpack(family.name, fact.body) for fact in fresh.values()]
            lengths = [table.num_rows for table in tables]
            positions = number_column(np.repeat(np.arange(len(fresh)), lengths))
            self._load_rows(family, tables, column(list(fresh), pa.binary()).take(positions))

    def _load_rows(self, family: Family, tables: Sequence[pa.Table], keys: pa.Array) -> None:
        rows = pa.concat_tables(tables)
        columns: list[pa.Array | pa.ChunkedArray] = [keys, *rows.columns]
        if "ord" not in family.schema.names:
            places = [np.arange(table.num_rows, dtype=np.int32) for table in tables]
            columns.append(number_column(np.concatenate(places)))
        given = pa.table(columns, schema=_table_schema(family))
        _insert(self._connection, given, f"INSERT INTO {self._place}.{identifier(family.name)} FROM given")


def load_facts(
    connection: duckdb.DuckDBPyConnection, place: str, feed: Feed, since: Reach, until: Reach
) -> dict[str, set[int]]:
    """Bring facts into a layer; returns the objects that each kind now has rows of."""
    loader = _Loader(connection, place, feed)
    for fact in feed.facts(since, until):
        loader.add(fact)
    return loader.finish()


def copy_layer(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[tuple[str, str]], place: str, families: Sequence[Family]
) -> None:
    """Put several layers into one that is empty.

    Args:
        connection: where all are attached.
        sources: place of each layer, oldest first, and what to leave out of it: the name of a table with the columns
            kind and object, or an empty string.
        place: of the new layer.
        families: kinds of facts.
    """
    for source, left_out in sources:
        for table in (CHUNK_MAP, ARTIFACT_ROWS):
            run(connection, f"INSERT INTO {place}.{table} FROM {source}.{table}")
        kept = _without(left_out, OBJECT_ROWS)
        run(connection, f"INSERT INTO {place}.{OBJECT_ROWS} FROM {source}.{OBJECT_ROWS}{kept}")
        for family in families:
            links = f"{family.name}_of" if family.shared else family.name
            fresh = _without(left_out, family.name)
            run(connection, f"INSERT INTO {place}.{identifier(links)} FROM {source}.{identifier(links)}{fresh}")
            if family.shared:
                mine, theirs = f"{place}.{identifier(family.name)}", f"{source}.{identifier(family.name)}"
                run(
                    connection,
                    f'INSERT INTO {mine} FROM {theirs} WHERE "set" NOT IN (SELECT "set" FROM {mine})'
                    f' AND "set" IN (SELECT "set" FROM {place}.{identifier(links)})',
                )


def _without(table: str, kind: str) -> str:
    if not table:
        return ""
    text = kind.replace("'", "''")
    return f" WHERE object NOT IN (SELECT object FROM {table} WHERE kind = '{text}')"
