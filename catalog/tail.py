"""What was committed since a generation, or since ever, in tables of a session's memory (schema ``tail``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from lake.catalog.feed import COMMITS, FILES, Feed
from lake.catalog.layers import OBJECT_ROWS, create_layer, load_facts, load_objects, table_definition
from lake.catalog.reach import Reach
from lake.catalog.statements import run
from lake.errors import LakeError

__all__ = ["ATTRIBUTES", "TAIL", "Tail", "fill", "load_tail"]

TAIL = "tail"

ATTRIBUTES = """
SELECT {key}, a.key,
       CASE a.type WHEN 'VARCHAR' THEN 'str' WHEN 'BOOLEAN' THEN 'bool'
                   WHEN 'DOUBLE' THEN if(regexp_full_match(a.value::VARCHAR, '-?[0-9]+'), 'int', 'float')
                   WHEN 'BIGINT' THEN 'int' WHEN 'UBIGINT' THEN 'int' ELSE 'json' END AS "type",
       CASE a.type WHEN 'VARCHAR' THEN a.value->>'$' ELSE a.value::VARCHAR END AS "value",
       CASE WHEN a.type IN ('DOUBLE', 'BIGINT', 'UBIGINT') THEN (a.value->>'$')::DOUBLE END AS "number"
FROM {files} f, json_each(f.attributes) a WHERE f.attributes IS NOT NULL"""
"""A row for each attribute: what ``{key}`` selects of ``{files}``, then key, type, value, number."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What is in the tables; a view leaves out what is empty."""

    until: Reach
    seq: int
    """Newest commit that the session's ref sees."""
    told: int
    """Newest commit of any branch that the view ``commits`` tells: all that there are, unless the past is asked."""
    files: int
    objects: int
    chunks: int
    facts: dict[str, int]
    """Objects with rows, by kind."""
    renewed: frozenset[str]
    """Kinds, and `OBJECT_ROWS`, of which a generation may have rows of objects that are in the table ``renewed``."""


def load_tail(connection: duckdb.DuckDBPyConnection, feed: Feed, since: Reach, at: str, *, base: bool) -> Tail:
    """Fill the schema ``tail``, in place of what was there.

    Args:
        connection: the session.
        feed: what happened.
        since: reach of the generation; all zeros without one.
        at: the ref that is asked.
        base: whether there is a generation, so that only what differs from it is wanted.
    """
    # The ref first: so it never sees a commit that the rest does not have.
    now = feed.viewpoint(at)
    until = feed.tip()
    run(connection, f"CREATE SCHEMA IF NOT EXISTS {TAIL}")
    files = fill(connection, f"{TAIL}.files", FILES, feed.changed_files(since.seq if base else None, now))
    fill(connection, f"{TAIL}.commits", COMMITS, feed.commits(since, until))
    run(
        connection,
        f"CREATE OR REPLACE TABLE {TAIL}.attributes AS {ATTRIBUTES.format(key='f.path', files=f'{TAIL}.files')}",
    )
    create_layer(connection, TAIL, feed.families)
    found = load_objects(connection, TAIL, feed, since, until)
    seen = load_facts(connection, TAIL, feed, since, until)
    counts = {kind: len(numbers) for kind, numbers in seen.items() if numbers}
    read = {**seen, OBJECT_ROWS: set(found.changed)}
    older = {kind: [number for number in numbers if number <= since.object] for kind, numbers in read.items()}
    # The rows themselves would not do: what an object has now may be no row at all.
    run(connection, f"CREATE OR REPLACE TABLE {TAIL}.renewed(kind VARCHAR, object BIGINT)")
    renewed = frozenset(kind for kind, numbers in older.items() if numbers)
    for kind in renewed:
        run(connection, f"INSERT INTO {TAIL}.renewed SELECT ?, unnest(?::BIGINT[])", [kind, older[kind]])
    told = now.seq if now.name is None else until.seq
    return Tail(until, now.seq, told, files, found.objects, found.chunks, counts, renewed)


def fill(
    connection: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> int:
    """Make a table of batches, in place of what it was; returns its rows. Raises what the batches raise."""
    failed: list[LakeError] = []

    def told() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except LakeError as error:
            failed.append(error)
            raise

    run(connection, f"CREATE OR REPLACE TABLE {table}{table_definition(schema)}")
    connection.register("given", pa.RecordBatchReader.from_batches(schema, told()))
    try:
        return int(run(connection, f"INSERT INTO {table} FROM given")[0][0])
    except duckdb.Error:
        # DuckDB tells of it in words of its own.
        if failed:
            raise failed[0] from None
        raise
    finally:
        connection.unregister("given")
