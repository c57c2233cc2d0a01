"""Which statements a read-only catalog takes, and what it says of the others."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import duckdb

from lake.errors import BadQuery

__all__ = ["check_query", "explained", "run"]

_READING = {"SELECT", "EXPLAIN", "RELATION", "MULTI"}
_CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "CREATE_FUNC", "DROP", "ALTER", "VACUUM"}
_WORD = re.compile(r"\w+|\S")
_CHANGE = re.compile(
    r"\( (?:INSERT (?:OR \w+ )?INTO|UPDATE [\w.]+(?: [\w.]+)* SET|DELETE FROM|MERGE INTO|TRUNCATE \w+) "
)
_MISSING = re.compile(r'(?:Table with name|column) "?([\w.]+)"?')


def check_query(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    """The one reading statement that a text holds.

    Raises:
        BadQuery: a syntax error, no statement or several, or one that does more than read.
    """
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadQuery("the query is not UTF-8")
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise BadQuery(explained(error)) from None
    # DuckDB before 2.0 takes a PIVOT apart, and its parts have no text.
    if len(statements) != 1 and (not statements or any(statement.query for statement in statements)):
        raise BadQuery("no query" if not statements else f"{len(statements)} statements: ask one query at a time")
    statement = statements[-1]
    kind = statement.type.name
    inner = _explained_query(text) if kind == "EXPLAIN" else None
    if inner is not None:
        check_query(connection, inner)
        return statement
    if kind in _READING and not _changes_inside(text):
        return statement
    if kind == "COPY":
        raise BadQuery("COPY writes or reads files outside of the lake: the answer of a query goes to a file with -o")
    if kind in _CHANGES or kind in _READING:
        raise BadQuery(
            f"{kind} changes data, and the catalog is read-only: 'lake put', 'lake rm' and 'lake meta' change a lake, "
            "and their commits show here"
        )
    raise BadQuery(f"{kind} is not a query: the catalog answers SELECT, FROM, WITH, DESCRIBE, SUMMARIZE and EXPLAIN")


class _Word(NamedTuple):
    """A token of SQL: upper case; ``x`` for anything quoted."""

    start: int
    """Offset in the UTF-8 of the query."""
    text: str


def _words(query: str) -> list[_Word]:
    encoded = query.encode()
    tokens = duckdb.tokenize(query)
    ends = [start for start, _ in tokens[1:]] + [len(encoded)]
    words = []
    for (start, kind), end in zip(tokens, ends, strict=True):
        text = encoded[start:end].decode(errors="replace")
        found = _WORD.match(text)
        if kind.name == "comment" or found is None:
            continue
        quoted = kind.name == "string_const" or text.startswith('"')
        words.append(_Word(start, "x" if quoted else found[0].upper()))
    return words


def _explained_query(query: str) -> str | None:
    """What an EXPLAIN is about: with ANALYZE it is carried out."""
    words = _words(query)
    if not words or words[0].text != "EXPLAIN":
        return None
    rest = iter(words[1:])
    for word in rest:
        if word.text == "(":
            for option in rest:
                if option.text == ")":
                    break
        elif word.text not in ("ANALYZE", "ANALYSE", "VERBOSE"):
            return query.encode()[word.start :].decode()
    return None


def _changes_inside(query: str) -> bool:
    """Whether a CTE of a SELECT changes data, as newer versions of DuckDB allow."""
    return _CHANGE.search(" ".join(word.text for word in _words(query))) is not None


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
