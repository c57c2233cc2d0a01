"""Which stored files the journal needs."""

from __future__ import annotations

import sqlite3

__all__ = ["files_after"]


def files_after(sql: sqlite3.Connection, last: int, limit: int) -> tuple[int, list[tuple[str, int]]]:
    """Where the next live objects after an internal id lie (handle, end of the object in it), and the id to go on."""
    rows = sql.execute(
        "SELECT id, handle, loc_off + loc_len FROM object WHERE state = 'live' AND id > ? ORDER BY id LIMIT ?",
        (last, limit),
    ).fetchall()
    return (rows[-1][0] if rows else last), [(handle, end) for _, handle, end in rows]
