"""What the SQL prompt offers to complete: dot-commands, keywords, macros, views, their columns, and paths in quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import duckdb

__all__ = ["Completions", "Vocabulary", "complete", "paths_below", "read_vocabulary"]

_PATHS = 200
"""Offered at once."""
_WORD = re.compile(r"(?:(\w+)\.)?(\w*)$")
_SOURCE = re.compile(r"\b(?:FROM|JOIN|DESCRIBE|SUMMARIZE)\s+\w*$|\bFROM\s+[\w\s,]*,\s*\w*$", re.IGNORECASE)
_ALIAS = r"\b{view}\s+(?:AS\s+)?{name}\b"
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


class Completions(NamedTuple):
    """Ways to go on from a cursor."""

    typed: int
    """Characters before the cursor that each of them replaces."""
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a connection knows."""

    keywords: Sequence[str]
    reserved: frozenset[str]
    """Keywords that are no names of columns unless they are quoted."""
    macros: Sequence[str]
    views: Mapping[str, Sequence[str]]
    """Columns by view."""
    commands: Mapping[str, Sequence[str]]
    """Dot-commands, each with the words that may follow it."""


def read_vocabulary(connection: duckdb.DuckDBPyConnection, commands: Mapping[str, Sequence[str]]) -> Vocabulary:
    """The vocabulary of a connection; dot-commands are the caller's."""
    columns = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE table_name IN"
        " (SELECT view_name FROM duckdb_views() WHERE NOT internal) AND NOT internal"
        " AND database_name = current_database() AND schema_name = current_schema() ORDER BY table_name, column_index"
    ).fetchall()
    views: dict[str, list[str]] = {}
    for view, column in columns:
        views.setdefault(view, []).append(column)
    keywords = connection.execute(
        "SELECT keyword_name, keyword_category = 'reserved' FROM duckdb_keywords()"
    ).fetchall()
    macros = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE function_type IN ('macro', 'table_macro') AND NOT internal ORDER BY 1"
    ).fetchall()
    return Vocabulary(
        sorted(name.upper() for name, _ in keywords),
        frozenset(name for name, reserved in keywords if reserved),
        [name for (name,) in macros],
        views,
        commands,
    )


def complete(before: str, after: str, vocabulary: Vocabulary, paths: Callable[[str], Iterable[str]]) -> Completions:
    """Ways to go on at a cursor between two texts.

    Args:
        paths: paths of the lake that begin with a text, directories with a ``/`` at the end.
    """
    if before.startswith("."):
        return _of_command(before, vocabulary)
    quoted = _open_quote(before)
    if quoted is not None:
        found = paths(quoted.replace("''", "'"))
        return Completions(len(quoted), [path.replace("'", "''") for path in found])
    match = _WORD.search(before)
    assert match is not None
    qualifier, typed = match.groups()
    if qualifier is not None:
        view = _view_of(qualifier, before + after, vocabulary)
        return _beginning(typed, [_name(column, vocabulary) for column in vocabulary.views.get(view, ())])
    if _SOURCE.search(before):
        return _beginning(typed, vocabulary.views)
    words = set(re.findall(r"\w+", before + after))
    columns = [
        _name(column, vocabulary) for view, columns in vocabulary.views.items() if view in words for column in columns
    ]
    keywords = [word.lower() if typed.islower() else word for word in vocabulary.keywords]
    return _beginning(typed, [*columns, *vocabulary.views, *(f"{name}(" for name in vocabulary.macros), *keywords])


def paths_below(connection: duckdb.DuckDBPyConnection, beginning: str) -> Iterator[str]:
    """Paths of the view ``files`` that begin with a text, down to the next ``/``; directories end with one."""
    found = connection.execute(
        "SELECT DISTINCT $beginning || CASE WHEN contains(rest, '/') THEN split_part(rest, '/', 1) || '/' ELSE rest END"
        " FROM (SELECT substr(path, length($beginning) + 1) AS rest FROM files WHERE starts_with(path, $beginning))"
        " ORDER BY 1 LIMIT $most",
        {"beginning": beginning, "most": _PATHS},
    ).fetchall()
    return (path for (path,) in found)


def _of_command(before: str, vocabulary: Vocabulary) -> Completions:
    command, space, argument = before.partition(" ")
    if not space:
        return _beginning(command, vocabulary.commands)
    return _beginning(argument.lstrip(), vocabulary.commands.get(command, ()))


def _open_quote(before: str) -> str | None:
    """The text after a quote that is still open; two quotes inside of one are a quote."""
    inside, opened, closed = False, 0, -2
    for place, character in enumerate(before):
        if character != "'":
            continue
        if inside:
            inside, closed = False, place
        else:
            opened = opened if closed == place - 1 else place
            inside = True
    return before[opened + 1 :] if inside else None


def _view_of(qualifier: str, text: str, vocabulary: Vocabulary) -> str:
    for view in vocabulary.views:
        if re.search(_ALIAS.format(view=re.escape(view), name=re.escape(qualifier)), text, re.IGNORECASE):
            return view
    return qualifier


def _beginning(typed: str, names: Iterable[str]) -> Completions:
    wanted = typed.lower()
    fitting = [name for name in dict.fromkeys(names) if name.lower().lstrip('"').startswith(wanted)]
    return Completions(len(typed), [name for name in fitting if name != typed])


def _name(column: str, vocabulary: Vocabulary) -> str:
    if _PLAIN.fullmatch(column) and column not in vocabulary.reserved:
        return column
    escaped = column.replace('"', '""')
    return f'"{escaped}"'
