"""Bounds of the bytes below a path, and how many lie there at the head of a branch.

The bytes are counted when somebody asks first, then every commit adds what it changes; nothing is done without quotas.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from lake.errors import NotFound, QuotaExceeded
from lake.journal import events
from lake.journal.entries import lookup, span_below
from lake.journal.values import Kind, Quota, View
from lake.sizes import human

__all__ = ["charge", "check", "forget", "quotas", "set_quota", "used"]

# Of one path each branch of the line of descent shows at most one version: the nearest branch has the greatest id.
_BYTES = """
SELECT coalesce(sum(size), 0) FROM (
  SELECT e.size AS size, max(e.branch) FROM entry e CROSS JOIN ancestry a ON a.branch = ? AND a.ancestor = e.branch
  WHERE e.path >= ? AND e.path < ? AND e.seq <= min(a.upto, ?) AND e.until > min(a.upto, ?) GROUP BY e.path)"""


def quotas(sql: sqlite3.Connection) -> list[Quota]:
    return [Quota._make(row) for row in sql.execute("SELECT prefix, soft, hard FROM quota ORDER BY prefix")]


def set_quota(sql: sqlite3.Connection, quota: Quota) -> None:
    sql.execute("INSERT OR REPLACE INTO quota(prefix, soft, hard) VALUES(?, ?, ?)", quota)
    events.record(sql, "quota", {**quota._asdict()})


def forget(sql: sqlite3.Connection, prefix: str) -> None:
    if not sql.execute("DELETE FROM quota WHERE prefix = ?", (prefix,)).rowcount:
        raise NotFound(f"no quota for {_named(prefix)}: `lake quota ls` lists them")
    sql.execute("DELETE FROM usage WHERE prefix = ?", (prefix,))
    events.record(sql, "no-quota", {"prefix": prefix})


def used(sql: sqlite3.Connection, prefix: str, view: View) -> int:
    """Bytes of the files below a path at the head of a branch."""
    row = sql.execute("SELECT bytes FROM usage WHERE prefix = ? AND branch = ?", (prefix, view.branch)).fetchone()
    if row is not None:
        return int(row[0])
    found = sql.execute(_BYTES, (view.branch, *span_below(prefix), view.seq, view.seq)).fetchone()[0]
    own = lookup(sql, view, prefix) if prefix else None
    return int(found) + (own.size if own is not None and own.kind == Kind.FILE else 0)


def charge(sql: sqlite3.Connection, before: View, sizes: Iterable[tuple[str, int]]) -> list[str]:
    """Count what a commit makes of the paths that it changes; returns a sentence for each soft bound that is passed.

    Args:
        before: the head of the branch without the commit, with the branch's name.
        sizes: every changed path with the bytes of the file there; 0 where there is none.

    Raises:
        QuotaExceeded: it lets the bytes below a path grow beyond a hard bound.
    """
    bounds = {quota.prefix: quota for quota in quotas(sql)}
    warnings = []
    for prefix, change in _growth(sql, before, sizes, bounds).items():
        total = used(sql, prefix, before) + change
        if change > 0:
            warnings += _judged(bounds[prefix], total, before)
        sql.execute("INSERT OR REPLACE INTO usage VALUES(?, ?, ?)", (prefix, before.branch, total))
    return warnings


def check(sql: sqlite3.Connection, view: View, sizes: Mapping[str, int]) -> None:
    """Raise QuotaExceeded where a commit that makes paths so large would; changes nothing."""
    bounds = {quota.prefix: quota for quota in quotas(sql)}
    for prefix, change in _growth(sql, view, sizes.items(), bounds).items():
        if change > 0:
            _judged(bounds[prefix], used(sql, prefix, view) + change, view)


def _growth(
    sql: sqlite3.Connection, before: View, sizes: Iterable[tuple[str, int]], bounds: Iterable[str]
) -> dict[str, int]:
    """Bytes that come to every bounded prefix; only those that change are in it."""
    prefixes = set(bounds)
    growth: dict[str, int] = {}
    if not prefixes:
        return growth
    for path, size in sizes:
        above = [prefix for prefix in _upward(path) if prefix in prefixes]
        if not above:
            continue
        old = lookup(sql, before, path)
        change = size - (old.size if old is not None and old.kind == Kind.FILE else 0)
        for prefix in above:
            growth[prefix] = growth.get(prefix, 0) + change
    return {prefix: change for prefix, change in growth.items() if change}


def _upward(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def _judged(quota: Quota, total: int, view: View) -> list[str]:
    """What to say when the bytes have grown to ``total``. Raises QuotaExceeded."""
    where = f"{_named(quota.prefix)} on {view.name}"
    if quota.hard is not None and total > quota.hard:
        raise QuotaExceeded(
            f"{where} would hold {human(total)} ({total} bytes), its quota is {human(quota.hard)}: "
            "remove files there, or let `lake quota set` raise it"
        )
    if quota.soft is not None and total > quota.soft:
        return [f"{where} holds {human(total)}, more than its soft quota of {human(quota.soft)}"]
    return []


def _named(prefix: str) -> str:
    return prefix or "the lake"
