"""Reading commits: the log of a view, and the versions of a path."""

from __future__ import annotations

import sqlite3
from typing import Any

from lake.errors import Conflict
from lake.journal.entries import span_below
from lake.journal.values import Commit, Entry, Kind, View

__all__ = ["by_operation", "history", "log", "read_commit"]

_EVERYTHING = -1

_COMMIT = """
c.seq, lower(hex(c.id)), b.name, c.created, c.author, c.message,
(SELECT group_concat(lower(hex(parent))) FROM (SELECT parent FROM commit_parent p WHERE p.seq = c.seq ORDER BY p.ord)),
c.changes"""

_LOG = f"""
SELECT {_COMMIT} FROM commits c CROSS JOIN ancestry a ON a.branch = ? AND a.ancestor = c.branch
JOIN branch b ON b.id = c.branch WHERE c.seq <= min(a.upto, ?) ORDER BY c.seq DESC LIMIT ?"""

# A version outlives the commit that made it when that was expired: then it is told with the oldest one that sees it.
_SEEN_SINCE = "SELECT min(k.seq) FROM commits k WHERE k.branch = e.branch AND k.seq >= e.seq"

_LOG_OF_PATH = f"""
SELECT {_COMMIT} FROM (
  SELECT ({_SEEN_SINCE}) AS seq FROM entry e CROSS JOIN ancestry a ON a.branch = :branch AND a.ancestor = e.branch
  WHERE e.path = :path AND e.seq <= min(a.upto, :seq)
  UNION
  SELECT ({_SEEN_SINCE}) AS seq FROM entry e CROSS JOIN ancestry a ON a.branch = :branch AND a.ancestor = e.branch
  WHERE e.path >= :first AND e.path < :end AND e.seq <= min(a.upto, :seq)
) AS changed JOIN commits c ON c.seq = changed.seq JOIN branch b ON b.id = c.branch ORDER BY c.seq DESC LIMIT :limit"""

_HISTORY = f"""
SELECT e.path, e.kind, e.size, e.mtime, e.seq, e.attrs, o.digest, o.format, {_COMMIT} FROM entry e
CROSS JOIN ancestry a ON a.branch = ? AND a.ancestor = e.branch LEFT JOIN object o ON o.id = e.object
JOIN commits c ON c.seq = ({_SEEN_SINCE}) JOIN branch b ON b.id = c.branch
WHERE e.path = ? AND e.seq <= min(a.upto, ?) ORDER BY e.seq DESC"""


def _commit(row: tuple[Any, ...], replayed: bool = False) -> Commit:
    seq, digest, branch, created, author, message, parents, changes = row
    split = tuple(parents.split(",")) if parents else ()
    return Commit(seq, digest, branch, created, author, message, split, changes, replayed)


def log(sql: sqlite3.Connection, view: View, limit: int | None, path: str | None) -> list[Commit]:
    count = _EVERYTHING if limit is None else max(limit, 0)
    if not path:
        rows = sql.execute(_LOG, (view.branch, view.seq, count))
    else:
        first, end = span_below(path)
        rows = sql.execute(
            _LOG_OF_PATH,
            {"branch": view.branch, "seq": view.seq, "path": path, "first": first, "end": end, "limit": count},
        )
    return [_commit(row) for row in rows]


def history(sql: sqlite3.Connection, view: View, path: str) -> list[tuple[Commit, Entry | None]]:
    return [
        (_commit(row[8:]), None if row[1] == Kind.TOMBSTONE else Entry._make(row[:8]))
        for row in sql.execute(_HISTORY, (view.branch, path, view.seq))
    ]


def read_commit(sql: sqlite3.Connection, seq: int) -> Commit:
    query = f"SELECT {_COMMIT} FROM commits c JOIN branch b ON b.id = c.branch WHERE c.seq = ?"
    return _commit(sql.execute(query, (seq,)).fetchone())


def by_operation(sql: sqlite3.Connection, operation: str) -> Commit | None:
    """The commit that was made under an operation id, marked as replayed.

    Raises:
        Conflict: it was made, and has been expired.
    """
    query = f"SELECT {_COMMIT} FROM commits c JOIN branch b ON b.id = c.branch WHERE c.op_id = ?"
    row = sql.execute(query, (operation,)).fetchone()
    if row is not None:
        return _commit(row, replayed=True)
    row = sql.execute("SELECT seq FROM operation WHERE id = ?", (operation,)).fetchone()
    if row is not None:
        raise Conflict(f"operation {operation!r} was done as commit {row[0]}, which has been expired since")
    return None
