"""One query on its way: asked, watched, interrupted, and its answer in batches."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import duckdb
import pyarrow as pa

from lake.catalog.statements import check_query, explained
from lake.errors import BadQuery, LakeError

__all__ = ["Answer", "Remedies", "ResultColumn", "ask"]

_ROWS = 20_000
"""Of a batch: enough for work on whole columns, little in memory."""
_PATIENCE = 0.05
"""Seconds until a query that was interrupted is interrupted again: the first may come before it has begun."""
_UNFAITHFUL = re.compile(r"\b(BIGNUM|BIT|GEOMETRY|TIME WITH TIME ZONE|UHUGEINT|UNION|VARIANT|VARINT)\b")
"""Types of DuckDB that leave it through Arrow as bare bytes, or as something else than they are."""
_WAITING = re.compile(r"Values were not provided for the following (?:prepared statement )?parameters: (\S+)")

Result = TypeVar("Result")


class Remedies(NamedTuple):
    """What whoever asks can do about a limit, for messages."""

    memory: str = "allow it more with --memory-limit"
    time: str = "allow it more with --timeout"
    value: str = "--param {}=VALUE"


class ResultColumn(NamedTuple):
    name: str
    type: str
    """As DuckDB writes it: ``BIGINT``, ``VARCHAR[]``, ``JSON``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a query; its batches are computed while they are taken, once."""

    columns: tuple[ResultColumn, ...]
    schema: pa.Schema
    """With names that differ: the second ``a`` is ``a_1``, as in a subquery of DuckDB."""
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None]
    """Gives up what was not taken; the connection answers nothing else before."""


def ask(
    connection: duckdb.DuckDBPyConnection,
    text: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    seconds: float | None = None,
    remedies: Remedies = Remedies(),  # noqa: B008
) -> Answer:
    """Ask one reading query. A keyboard interrupt stops it and goes on to the caller.

    Args:
        connection: used by nobody else until all batches are taken.
        parameters: values of ``$name`` in the query.
        seconds: for the whole answer, its last batch included.
        remedies: what messages advise.

    Raises:
        BadQuery: no single reading statement, an error that DuckDB reports, or no time left; also raised by the
            batches.
    """
    watch = _Watch(connection, seconds, remedies)
    try:
        with _in_plain_words(connection, remedies):
            check_query(connection, text)
            columns, reader = watch.call(_start, connection, text, dict(parameters or {}))
        _refuse_unfaithful(columns)
    except BaseException:
        watch.close()
        raise
    names = _distinct([column.name for column in columns])
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    batches = _batches(connection, watch, reader, schema)

    def close() -> None:
        # A reader that is let go waits for its query, which may be endless.
        connection.interrupt()
        batches.close()
        reader.close()
        watch.close()

    try:
        # Most errors show here, before anybody has passed anything on.
        first = next(batches, None)
    except BaseException:
        close()
        raise
    return Answer(columns, schema, batches if first is None else chain([first], batches), close)


def _start(
    connection: duckdb.DuckDBPyConnection, text: str, parameters: dict[str, Any]
) -> tuple[tuple[ResultColumn, ...], pa.RecordBatchReader]:
    """Columns and batches. Which way of asking does not hold all rows first depends on the version of DuckDB."""
    if int(duckdb.__version__.split(".")[0]) >= 2:
        try:
            relation = connection.sql(text, params=parameters or None)
        except (duckdb.BinderException, duckdb.CatalogException):
            # It was not begun. The other way of asking fails in the same way, and marks the place.
            connection.execute(text, parameters or None)
            raise
        found = [ResultColumn(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
        return tuple(found), relation.to_arrow_reader(_ROWS)
    connection.execute(text, parameters or None)
    described = [ResultColumn(column[0], str(column[1])) for column in connection.description or ()]
    take: Any = connection.fetch_record_batch  # type: ignore[attr-defined,unused-ignore]
    return tuple(described), take(_ROWS)


def _batches(
    connection: duckdb.DuckDBPyConnection, watch: _Watch, reader: pa.RecordBatchReader, schema: pa.Schema
) -> Generator[pa.RecordBatch, None, None]:
    with _in_plain_words(connection, watch.remedies):
        while (batch := watch.call(next, reader, None)) is not None:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _refuse_unfaithful(columns: Sequence[ResultColumn]) -> None:
    for column in columns:
        found = _UNFAITHFUL.search(column.type)
        if found is not None:
            raise BadQuery(f'column "{column.name}" is of type {found[0]}: cast it, such as with ::VARCHAR')


def _distinct(names: Sequence[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        candidate, number = name, 0
        while candidate in distinct or (number and candidate in names):
            number += 1
            candidate = f"{name}_{number}"
        distinct.append(candidate)
    return distinct


@contextlib.contextmanager
def _in_plain_words(connection: duckdb.DuckDBPyConnection, remedies: Remedies) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise BadQuery(_with_advice(explained(error, _names(connection)), remedies)) from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, LakeError):
            raise
        # So Arrow hands on what DuckDB reports after the first batch.
        raise BadQuery(_with_advice(str(error), remedies)) from None


def _names(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    """Views and their columns, as far as they can be asked for: the connection has just failed."""
    with contextlib.suppress(duckdb.Error):
        rows = connection.cursor().sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        return [str(name) for (name,) in rows]
    return []


def _with_advice(message: str, remedies: Remedies) -> str:
    if message.startswith("Out of Memory Error"):
        return f"{message.splitlines()[0]}: {remedies.memory}, or ask for less"
    waiting = _WAITING.search(message)
    if waiting is not None:
        return f"the query has a parameter without a value: {remedies.value.format(waiting[1])}"
    return message


class _Watch:
    """Calls into DuckDB that can be given up: it neither notices Ctrl-C by itself nor knows deadlines."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float | None, remedies: Remedies) -> None:
        self.remedies = remedies
        self._connection = connection
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="lake-query")

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        future = self._worker.submit(function, *arguments)
        left = None if self._deadline is None else max(self._deadline - time.monotonic(), 0)
        try:
            wait([future], left)
        finally:
            in_time = future.done()
            while not future.done():
                self._connection.interrupt()
                wait([future], _PATIENCE)
        if not in_time:
            raise BadQuery(f"stopped after {self._seconds:g} s: {self.remedies.time}, or ask for less")
        return future.result()

    def close(self) -> None:
        self._worker.shutdown()
