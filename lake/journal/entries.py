"""Reading entries: what a view sees of the versions of paths.

A view (branch, seq) sees a version of a path when it lies on the branch or one of its ancestors, up to the commit at
which the line of descent left that ancestor. Of those the nearest branch wins (the greatest id: a child's id is greater
than its ancestors'), and on it the newest version. A tombstone hides the path.
"""

from __future__ import annotations

import difflib
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from lake.journal.values import Difference, Entry, Kind, View

__all__ = [
    "Version",
    "children",
    "diff",
    "find",
    "has_below",
    "is_directory",
    "lookup",
    "near",
    "span_below",
    "touched",
    "walk",
]

Row = tuple[Any, ...]
"""The fields of an `Entry`, in order; a tombstone among them."""

_PAGE = 64
_LARGEST_PAGE = 1024
_STEPS = 16
_NEAR_SIBLINGS = 600
_NEAR_WALK = 20_000

_FIELDS = "e.path, e.kind, e.size, e.mtime, e.seq, e.attrs, o.digest, o.format"
_LAST_SEQ = (1 << 63) - 1

# The newest version at or before (branch, seq) in the order of the primary key, and how far the view sees its branch.
_STEP_DOWN = f"""
SELECT e.branch, a.upto, {_FIELDS} FROM entry e
LEFT JOIN ancestry a ON a.branch = ? AND a.ancestor = e.branch LEFT JOIN object o ON o.id = e.object
WHERE e.path = ? AND (e.branch, e.seq) <= (?, ?) ORDER BY e.branch DESC, e.seq DESC LIMIT 1"""

# The same through the ancestors alone, for paths that many other branches have changed.
_BY_ANCESTORS = f"""
SELECT e.branch, {_FIELDS} FROM ancestry a
CROSS JOIN entry e ON e.path = ? AND e.branch = a.ancestor AND e.seq <= a.upto AND e.seq <= ?
LEFT JOIN object o ON o.id = e.object
WHERE a.branch = ? ORDER BY a.ancestor DESC, e.seq DESC LIMIT 1"""

# For each path the version that each branch of the line of descent shows, farthest branch first.
_SCAN = f"""
SELECT {_FIELDS} FROM entry e CROSS JOIN ancestry a ON a.branch = ? AND a.ancestor = e.branch
LEFT JOIN object o ON o.id = e.object
WHERE e.path >= ? AND e.path < ? AND e.seq <= min(a.upto, ?) AND e.until > min(a.upto, ?)
ORDER BY e.path, e.branch"""

# Paths with a version that one of two views sees and the other does not.
_TOUCHED = """
WITH a AS (SELECT ancestor, min(upto, :old_seq) AS upto FROM ancestry WHERE branch = :old),
     b AS (SELECT ancestor, min(upto, :new_seq) AS upto FROM ancestry WHERE branch = :new),
     reach AS MATERIALIZED (
       SELECT ancestor, min(coalesce(a.upto, 0), coalesce(b.upto, 0)) AS low,
              max(coalesce(a.upto, 0), coalesce(b.upto, 0)) AS high
       FROM (SELECT ancestor FROM a UNION SELECT ancestor FROM b)
       LEFT JOIN a USING (ancestor) LEFT JOIN b USING (ancestor)),
     bound AS MATERIALIZED (SELECT min(low) AS low, max(high) AS high FROM reach WHERE low < high)
SELECT DISTINCT e.path FROM bound CROSS JOIN entry e INDEXED BY entry_seq ON e.seq > bound.low AND e.seq <= bound.high
CROSS JOIN reach ON reach.ancestor = e.branch AND e.seq > reach.low AND e.seq <= reach.high
WHERE :path = '' OR e.path = :path OR (e.path >= :first AND e.path < :end) ORDER BY e.path"""


class Version(NamedTuple):
    """A version of a path as a view sees it: possibly a tombstone."""

    branch: int
    entry: Entry


_entry: Any = partial(tuple.__new__, Entry)


def span_below(directory: str) -> tuple[str, str | bytes]:
    """Half-open range of the paths below a directory: ``0`` follows ``/``, and any bytes follow all text in SQLite."""
    return (f"{directory}/", f"{directory}0") if directory else ("", b"")


def find(sql: sqlite3.Connection, view: View, path: str) -> Version | None:
    """The version of a path that the view sees, also when it is a tombstone."""
    at = (view.branch, view.seq)
    for _ in range(_STEPS):
        row = sql.execute(_STEP_DOWN, (view.branch, path, *at)).fetchone()
        if row is None:
            return None
        branch, upto, seq = row[0], row[1], row[6]
        if upto is None:
            at = (branch - 1, _LAST_SEQ)
            continue
        limit = min(upto, view.seq)
        if seq <= limit:
            return Version(branch, _entry(row[2:]))
        at = (branch, limit)
    row = sql.execute(_BY_ANCESTORS, (path, view.seq, view.branch)).fetchone()
    return None if row is None else Version(row[0], _entry(row[1:]))


def lookup(sql: sqlite3.Connection, view: View, path: str) -> Entry | None:
    found = find(sql, view, path)
    return None if found is None or found.entry.kind == Kind.TOMBSTONE else found.entry


def pages(
    sql: sqlite3.Connection, view: View, first: str, end: str | bytes
) -> Generator[tuple[list[Row], str | None], None, None]:
    """Visible rows with a path in [first, end), in order, in growing pages.

    With each page comes the path at which the scan stands, not in the page yet; None at the end. Close the iterator
    (`contextlib.closing`) when it is left early: it holds a statement open.
    """
    cursor = sql.execute(_SCAN, (view.branch, first, end, view.seq, view.seq))
    try:
        size = _PAGE
        held: list[Row] = []
        while rows := cursor.fetchmany(size):
            nearest = {row[0]: row for row in (*held, *rows)}
            path, last = nearest.popitem()
            held = [last]  # the next rows may hold a nearer branch's version of it
            yield [row for row in nearest.values() if row[1]], path
            size = min(2 * size, _LARGEST_PAGE)
        yield [row for row in held if row[1]], None
    finally:
        cursor.close()


def is_directory(sql: sqlite3.Connection, view: View, path: str) -> bool:
    if not path:
        return True
    entry = lookup(sql, view, path)
    if entry is not None:
        return entry.kind == Kind.DIRECTORY
    return has_below(sql, view, path)


def has_below(sql: sqlite3.Connection, view: View, path: str) -> bool:
    """Whether the view sees anything below the path."""
    with closing(pages(sql, view, *span_below(path))) as scan:
        return any(rows for rows, _ in scan)


def children(sql: sqlite3.Connection, view: View, directory: str) -> list[Entry]:
    """A flat directory is one range scan; what lies deep below a sub-directory is skipped by seeking past it."""
    return _Listing(sql, view, directory).entries()


class _Listing:
    """Collects the children of a directory from a name on, and not many more than ``most`` of them."""

    def __init__(
        self, sql: sqlite3.Connection, view: View, directory: str, start: str = "", most: int = sys.maxsize
    ) -> None:
        self._sql = sql
        self._view = view
        self._most = most
        first, self._end = span_below(directory)
        self._cut = len(first)
        self._own: list[Entry] = []
        self._implied: set[str] = set()

        seek: str | None = first + start
        while seek is not None:
            seek = self._scan(seek)

    def _scan(self, first: str) -> str | None:
        """Collect up to where seeking pays, and return to where; None when there is nothing more to do."""
        with closing(pages(self._sql, self._view, first, self._end)) as scan:
            for rows, standing in scan:
                own = [row for row in rows if row[0].find("/", self._cut) < 0]
                self._own += map(_entry, own)
                if len(own) < len(rows):
                    self._implied.update(filter(None, map(self._directory, map(itemgetter(0), rows))))
                if len(self._own) + len(self._implied) >= self._most:
                    return None
                inside = None if standing is None else self._directory(standing)
                if inside in self._implied:
                    return f"{inside}0"
        return None

    def _directory(self, path: str) -> str | None:
        """The child that a path lies below; None when it is a child itself."""
        slash = path.find("/", self._cut)
        return None if slash < 0 else path[:slash]

    def entries(self) -> list[Entry]:
        if not self._implied:
            return self._own
        implied = self._implied.difference(map(itemgetter(0), self._own))
        directories = [Entry(path, Kind.DIRECTORY, 0, 0, 0, None, None, None) for path in implied]
        return sorted(self._own + directories, key=itemgetter(0))


def walk(sql: sqlite3.Connection, view: View, directory: str) -> list[Entry]:
    found: list[Entry] = []
    with closing(pages(sql, view, *span_below(directory))) as scan:
        for rows, _ in scan:
            found += map(_entry, rows)
    return found


def diff(sql: sqlite3.Connection, old: View, new: View, prefix: str) -> list[Difference]:
    """Only paths with a version that one view sees and the other does not are compared."""
    paths = touched(sql, old, new, prefix)
    compared = (_difference(path, lookup(sql, old, path), lookup(sql, new, path)) for path in paths)
    return [difference for difference in compared if difference is not None]


def touched(sql: sqlite3.Connection, old: View, new: View, prefix: str = "") -> list[str]:
    """Paths at or below a prefix with a version that one view sees and the other does not, sorted."""
    first, end = span_below(prefix)
    views = {"old": old.branch, "old_seq": old.seq, "new": new.branch, "new_seq": new.seq}
    rows = sql.execute(_TOUCHED, {**views, "path": prefix, "first": first, "end": end})
    return [path for (path,) in rows]


def _difference(path: str, old: Entry | None, new: Entry | None) -> Difference | None:
    if old is None and new is None:
        return None
    if old is None:
        return Difference(path, "added", old, new)
    if new is None:
        return Difference(path, "removed", old, new)
    if (old.kind, old.digest) != (new.kind, new.digest):
        return Difference(path, "modified", old, new)
    if old.attrs != new.attrs:
        return Difference(path, "annotated", old, new)
    return None


def near(sql: sqlite3.Connection, view: View, path: str, limit: int) -> list[str]:
    """Paths like a missing one: its would-be siblings, then files of its name elsewhere; looks at a bounded number."""
    directory, _, name = path.rpartition("/")
    while not is_directory(sql, view, directory):
        directory, _, name = directory.rpartition("/")
    names: dict[str, str] = {}
    for start in (name[: 3 * len(name) // 4], name[: len(name) // 2], ""):
        siblings = _Listing(sql, view, directory, start, _NEAR_SIBLINGS).entries()
        names |= {entry.path.rpartition("/")[2]: entry.path for entry in siblings[:_NEAR_SIBLINGS]}
    found = [names[close] for close in difflib.get_close_matches(name, names, limit)]
    if len(found) < limit:
        found += _named_alike(sql, view, path.rpartition("/")[2], limit)
    return list(dict.fromkeys(found))[:limit]


def _named_alike(sql: sqlite3.Connection, view: View, name: str, limit: int) -> list[str]:
    found: list[str] = []
    seen = 0
    with closing(pages(sql, view, *span_below(""))) as scan:
        for rows, _ in scan:
            found += [row[0] for row in rows if row[0].rpartition("/")[2] == name]
            seen += len(rows)
            if len(found) >= limit or seen >= _NEAR_WALK:
                break
    return found
