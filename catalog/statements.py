"""Which statements a read-only catalog takes, and what it says of the others."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

import duckdb

from lake.errors import BadQuery

__all__ = ["check_query", "explained", "run"]

_READING = {"SELECT", "EXPLAIN", "RELATION", "MULTI"}
_CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "CREATE_FUNC", "DROP", "ALTER", "VACUUM"}
_CHANGE = re.compile(
    r"\(\s*(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|MERGE\s+INTO)\b", re.IGNORECASE
)
_MISSING = re.compile(r'(?:Table with name|column) "?([\w.]+)"?')


def check_query(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    """The one reading statement that a text holds.

    Raises:
        BadQuery: a syntax error, no statement or several, or one that does more than read.
    """
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise BadQuery(explained(error)) from None
    if len(statements) != 1:
        raise BadQuery("no query" if not statements else f"{len(statements)} statements: ask one query at a time")
    (statement,) = statements
    kind = statement.type.name
    if kind in _READING and not _changes_inside(statement.query):
        return statement
    if kind == "COPY":
        raise BadQuery("COPY writes or reads files outside of the lake: the answer of a query goes to a file with -o")
    if kind in _CHANGES or kind in _READING:
        raise BadQuery(
            f"{kind} changes data, and the catalog is read-only: 'lake put', 'lake rm' and 'lake meta' change a lake, "
            "and their commits show here"
        )
    raise BadQuery(f"{kind} is not a query: the catalog answers SELECT, FROM, WITH, DESCRIBE, SUMMARIZE and EXPLAIN")


def _changes_inside(text: str) -> bool:
    """Whether a CTE of a SELECT changes data, as newer versions of DuckDB allow."""
    bare = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    return _CHANGE.search(bare) is not None


def explained(error: duckdb.Error, names: Iterable[str] = ()) -> str:
    """What DuckDB says, with the position; near names are added where it has none to offer."""
    text = str(error).strip()
    missing = _MISSING.search(text)
    if missing is not None and "Did you mean" not in text and "Candidate" not in text:
        close = difflib.get_close_matches(missing[1].lower(), list(names), 3)
        if close:
            first, newline, rest = text.partition("\n")
            text = f"{first} Did you mean {', '.join(close)}?{newline}{rest}"
    return text


def run(connection: duckdb.DuckDBPyConnection, statement: str, params: object = None) -> list[tuple[Any, ...]]:
    """Execute to the end. A result that is not fetched to its end keeps a connection busy."""
    return connection.execute(statement, params).fetchall()
