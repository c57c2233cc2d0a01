"""Leases: names for unfinished work that others leave alone until it is done, or its time is up."""

from __future__ import annotations

import secrets
import sqlite3

from lake.clock import now
from lake.journal.values import Lease

__all__ = ["acquire", "expired", "hold", "listed", "live", "release", "renew"]

_NANOSECONDS = 1_000_000_000


def acquire(sql: sqlite3.Connection, owner: str, kind: str, seconds: float) -> str:
    lease = secrets.token_hex(16)
    hold(sql, lease, owner, kind, seconds)
    return lease


def hold(sql: sqlite3.Connection, lease: str, owner: str, kind: str, seconds: float) -> None:
    """A lease of that very name."""
    sql.execute("INSERT INTO lease VALUES(?, ?, ?, ?)", (lease, owner, kind, _after(seconds)))


def renew(sql: sqlite3.Connection, lease: str, seconds: float) -> bool:
    """An expired lease is gone, reaped or not: somebody may be at work on what it guarded."""
    cursor = sql.execute("UPDATE lease SET expires = ? WHERE id = ? AND expires > ?", (_after(seconds), lease, now()))
    return cursor.rowcount > 0


def release(sql: sqlite3.Connection, lease: str) -> None:
    sql.execute("DELETE FROM lease WHERE id = ?", (lease,))


def expired(sql: sqlite3.Connection, kind: str) -> list[str]:
    query = "SELECT id FROM lease WHERE kind = ? AND expires <= ? ORDER BY expires, id"
    return [row[0] for row in sql.execute(query, (kind, now()))]


def live(sql: sqlite3.Connection, kind: str) -> list[str]:
    query = "SELECT id FROM lease WHERE kind = ? AND expires > ? ORDER BY expires, id"
    return [row[0] for row in sql.execute(query, (kind, now()))]


def listed(sql: sqlite3.Connection) -> list[Lease]:
    return [Lease(*row) for row in sql.execute("SELECT id, owner, kind, expires FROM lease ORDER BY expires, id")]


def _after(seconds: float) -> int:
    return now() + round(seconds * _NANOSECONDS)
