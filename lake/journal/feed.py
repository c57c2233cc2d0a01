"""What the catalog reads: rows by the thousand, from marks on. Ids are those of the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from lake.journal.entries import touched
from lake.journal.values import Kind, Mark, View

__all__ = [
    "artifacts",
    "changed_files",
    "commits",
    "directories",
    "files",
    "identity",
    "objects",
    "other_artifacts",
    "tip",
]

Row = tuple[Any, ...]

_BATCH = 500

_FILE = "e.path, e.object, o.digest, e.size, o.format, e.mtime, e.seq, e.attrs"

_FILES = f"""
SELECT e.kind, {_FILE} FROM entry e CROSS JOIN ancestry a ON a.branch = ? AND a.ancestor = e.branch
LEFT JOIN object o ON o.id = e.object
WHERE e.path > ? AND e.seq <= min(a.upto, ?) AND e.until > min(a.upto, ?)
ORDER BY e.path, e.branch LIMIT ?"""

# Of one path each branch of the line of descent shows at most one version: the nearest branch has the greatest id.
_NEWEST = f"""
SELECT e.kind, {_FILE}, max(e.branch) FROM entry e CROSS JOIN ancestry a ON a.branch = ? AND a.ancestor = e.branch
LEFT JOIN object o ON o.id = e.object
WHERE e.path IN (%s) AND e.seq <= min(a.upto, ?) AND e.until > min(a.upto, ?) GROUP BY e.path"""

# Directories are few: an index of these alone finds them among any number of files.
_DIRECTORIES = "SELECT DISTINCT path FROM entry WHERE kind = 2 ORDER BY path"

_OBJECT = """o.id, o.digest, o.size, o.format, o.problems, o.checksums, m.body, o.state,
       (SELECT group_concat(d.ord) FROM damage d WHERE d.object = o.id), o.handle, o.loc_off"""

_OBJECTS = f"""
SELECT {_OBJECT}
FROM object o LEFT JOIN chunk_map m ON m.object = o.id WHERE o.id > ? AND o.id <= ? ORDER BY o.id LIMIT ?"""

_CHANGED_OBJECTS = f"""
SELECT c.object, {_OBJECT}
FROM (SELECT DISTINCT object FROM object_change WHERE id > ? AND id <= ?) c
LEFT JOIN object o ON o.id = c.object LEFT JOIN chunk_map m ON m.object = o.id WHERE c.object <= ? ORDER BY c.object"""

_FORGOTTEN = (None, 0, "", None, None, None, "trash", None, "", 0)
"""What is told of an object behind its id when gc has forgotten it."""

_COMMITS = """
SELECT c.seq, lower(hex(c.id)), b.name, c.created, c.author, c.message, c.changes
FROM commits c JOIN branch b ON b.id = c.branch WHERE c.seq > ? AND c.seq <= ? ORDER BY c.seq LIMIT ?"""

_ARTIFACTS = """
SELECT a.id, a.object, a.kind, a.body, t.digest FROM artifact a
JOIN object o ON o.id = a.object LEFT JOIN object t ON t.id = a.target
WHERE a.id > ? AND a.object <= ? AND substr(a.kind, 1, ?) = ? AND o.state = 'live' ORDER BY a.id LIMIT ?"""

_OTHER_ARTIFACTS = """
SELECT a.id, a.object, a.kind, a.code, a.inputs, t.digest, a.body FROM artifact a
JOIN object o ON o.id = a.object LEFT JOIN object t ON t.id = a.target
WHERE a.id > ? AND a.object <= ? AND substr(a.kind, 1, ?) <> ? AND o.state = 'live' ORDER BY a.id LIMIT ?"""

_TIP = """
SELECT (SELECT coalesce(max(seq), 0) FROM commits),
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'object'), 0),
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'object_change'), 0),
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'artifact'), 0)"""
"""The greatest ids ever given, also where gc has forgotten what had them."""


def identity(sql: sqlite3.Connection) -> str:
    (found,) = sql.execute("SELECT id FROM identity").fetchone()
    return str(found)


def tip(sql: sqlite3.Connection) -> Mark:
    return Mark(*sql.execute(_TIP).fetchone())


def files(sql: sqlite3.Connection, view: View, after: str, limit: int) -> tuple[list[Row], str | None]:
    """The next files behind a path, and the path to go on behind; None at the end."""
    rows = sql.execute(_FILES, (view.branch, after, view.seq, view.seq, limit)).fetchall()
    full = len(rows) == limit
    last = rows[-1][1] if full else None
    nearest = {row[1]: row for row in rows}
    if last is not None:
        # A nearer branch's version of the last path may lie behind the limit.
        nearest[last] = _versions(sql, view, [last])[last]
    return [row[1:] for row in nearest.values() if row[0] == Kind.FILE], last


def changed_files(sql: sqlite3.Connection, old: View, new: View) -> list[tuple[str, Row | None]]:
    """Paths with a version that one view sees and the other does not: what a file is in the new one, None for none."""
    paths = touched(sql, old, new)
    found: list[tuple[str, Row | None]] = []
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        newest = _versions(sql, new, batch)
        for path in batch:
            row = newest.get(path)
            found.append((path, row[1:] if row is not None and row[0] == Kind.FILE else None))
    return found


def directories(sql: sqlite3.Connection, view: View) -> list[Row]:
    """Directories that were made on purpose: (path, modified, commit, attributes), by path."""
    paths = [path for (path,) in sql.execute(_DIRECTORIES)]
    found: list[Row] = []
    for start in range(0, len(paths), _BATCH):
        versions = _versions(sql, view, paths[start : start + _BATCH])
        found += [(row[1], *row[6:9]) for _, row in sorted(versions.items()) if row[0] == Kind.DIRECTORY]
    return found


def _versions(sql: sqlite3.Connection, view: View, paths: Sequence[str]) -> dict[str, Row]:
    marks = ", ".join("?" * len(paths))
    rows = sql.execute(_NEWEST % marks, (view.branch, *paths, view.seq, view.seq))
    return {row[1]: row[:-1] for row in rows}


def objects(sql: sqlite3.Connection, since: Mark, until: Mark, after: int, limit: int) -> list[Row]:
    """The next objects registered since a mark, with the columns of `Journal.feed_objects`.

    The first page, ``after`` = 0, begins with older ones that have changed since.
    """
    changed: list[Row] = []
    if not after:
        rows = sql.execute(_CHANGED_OBJECTS, (since.change, until.change, since.object))
        changed = [(number, *_FORGOTTEN) if found is None else (found, *rest) for number, found, *rest in rows]
    return changed + sql.execute(_OBJECTS, (max(after, since.object), until.object, limit)).fetchall()


def commits(sql: sqlite3.Connection, after: int, until: int, limit: int) -> list[Row]:
    """The next commits of all branches: (seq, id, branch, created, author, message, changes)."""
    return sql.execute(_COMMITS, (after, until, limit)).fetchall()


def artifacts(sql: sqlite3.Connection, prefix: str, after: int, newest: int, limit: int) -> list[Row]:
    """The next artifacts of live objects whose kind begins so: (id, object, kind, body, digest of the target).

    ``newest`` is the last object that counts. Artifacts that come meanwhile are told, too: they may replace some that
    are not told any more.
    """
    return sql.execute(_ARTIFACTS, (after, newest, len(prefix), prefix, limit)).fetchall()


def other_artifacts(sql: sqlite3.Connection, prefix: str, after: int, newest: int, limit: int) -> list[Row]:
    """Those of the others, with the columns of `Journal.feed_other_artifacts`."""
    return sql.execute(_OTHER_ARTIFACTS, (after, newest, len(prefix), prefix, limit)).fetchall()
