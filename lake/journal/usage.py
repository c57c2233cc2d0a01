"""How much lies where: files, their bytes, and the bytes that are stored for them, in groups."""

from __future__ import annotations

import sqlite3
from typing import Any

from lake.errors import InvalidInput
from lake.journal.entries import lookup, span_below
from lake.journal.values import Kind, Share, View

__all__ = ["GROUPS", "shares"]

_NONE = "(none)"
_TOP = "(top)"

# Of one path each branch of the line of descent shows at most one version: the nearest branch has the greatest id.
_SEEN = """
SELECT e.path, e.kind, e.object, e.size, e.attrs, max(e.branch), '' AS branch
FROM entry e CROSS JOIN ancestry a ON a.branch = :branch AND a.ancestor = e.branch
WHERE e.path >= :first AND e.path < :end AND e.seq <= min(a.upto, :seq) AND e.until > min(a.upto, :seq)
GROUP BY e.path"""

_HEADS = """
SELECT e.path, e.kind, e.object, e.size, e.attrs, max(e.branch), b.name AS branch
FROM entry e CROSS JOIN ancestry a ON a.ancestor = e.branch JOIN branch b ON b.id = a.branch AND b.deleted = 0
WHERE e.path >= :first AND e.path < :end
AND e.seq <= min(a.upto, b.head_seq) AND e.until > min(a.upto, b.head_seq) GROUP BY e.path, b.id"""

_VERSIONS = """
SELECT e.path, e.kind, e.object, e.size, e.attrs, e.branch, b.name AS branch
FROM entry e JOIN branch b ON b.id = e.branch WHERE e.path >= :first AND e.path < :end"""

# Each object of a group counts once as stored, however many files have its bytes.
_SHARES = """
WITH file AS MATERIALIZED (
  SELECT {key} AS name, s.object, s.size, count(*) AS files FROM ({rows}) s {join}
  WHERE s.kind = 1 GROUP BY name, s.object)
SELECT 0 AS whole, name, sum(files), sum(files * size), sum(size) FROM file GROUP BY name
UNION ALL
SELECT 1, NULL, coalesce(sum(files), 0), coalesce(sum(bytes), 0), coalesce(sum(size), 0)
FROM (SELECT sum(files) AS files, sum(files * size) AS bytes, size FROM file GROUP BY object)
ORDER BY whole, name"""

_BELOW = "substr(s.path, :cut + 1)"
_FIRST = f"CASE instr({_BELOW}, '/') WHEN 0 THEN '{_TOP}' ELSE substr({_BELOW}, 1, instr({_BELOW}, '/') - 1) END"

GROUPS = {
    "project": f"coalesce(CAST(json_extract(s.attrs, '$.project') AS TEXT), '{_NONE}')",
    "format": "o.format",
    "top-level": _FIRST,
    "branch": "s.branch",
}
"""What files can be grouped by, as an expression."""


def shares(
    sql: sqlite3.Connection, view: View, directory: str, by: str, *, history: bool = False
) -> tuple[list[Share], Share]:
    """See `lake.journal.base.Journal.shares`."""
    if by not in GROUPS and not by.isdigit():
        raise InvalidInput(f"usage is told by {', '.join(GROUPS)}, or by a depth, not by {by!r}")
    own = lookup(sql, view, directory) if directory else None
    first, end = span_below(directory)
    if own is not None and own.kind == Kind.FILE:
        first, end = directory, f"{directory}\0"
    rows = _VERSIONS if history else _HEADS if by == "branch" else _SEEN
    if by.isdigit():
        depth = int(by)
        sql.create_function("lake_directory", 1, lambda rest: _directory(rest, depth), deterministic=True)
    key = GROUPS.get(by, f"lake_directory({_BELOW})")
    join = "JOIN object o ON o.id = s.object" if by == "format" else ""
    values: dict[str, Any] = {"branch": view.branch, "seq": view.seq, "first": first, "end": end, "cut": len(first)}
    found = sql.execute(_SHARES.format(key=key, rows=rows, join=join), values).fetchall()
    *groups, total = [row[1:] for row in found]
    return [Share(*group) for group in groups if group[0] is not None], Share("", *total[1:])


def _directory(rest: str, depth: int) -> str | None:
    """The directory at exactly that depth that holds a path; None where it lies less deep."""
    names = rest.split("/", depth)
    return "/".join(names[:depth]) if len(names) > depth else None
