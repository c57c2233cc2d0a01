"""What the check of every byte has seen, and when."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from lake.clock import now
from lake.journal.values import Checked, Scrubbed

__all__ = ["begin", "end", "read_after", "record"]


_OBJECTS = """
SELECT o.id, o.handle, o.loc_len, coalesce(s.checked, 0), s.problem IS NULL
FROM object o LEFT JOIN scrub s ON s.object = o.id WHERE o.state = 'live' AND o.id > ? ORDER BY o.id LIMIT ?"""


def begin(sql: sqlite3.Connection, restart: bool) -> int:
    """When the check of everything began: that which has not ended, unless it is to begin again."""
    row = sql.execute("SELECT min(started) FROM scrub_run").fetchone()
    # A start that has not come yet is that of a clock that was wrong.
    if row[0] is not None and row[0] <= now() and not restart:
        return int(row[0])
    started = now()
    sql.execute("DELETE FROM scrub_run")
    sql.execute("INSERT INTO scrub_run VALUES(?)", (started,))
    return started


def end(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM scrub_run")


def read_after(sql: sqlite3.Connection, last: int, limit: int) -> tuple[int, list[Scrubbed]]:
    """The next live objects after an internal id, and the id to go on from."""
    rows = sql.execute(_OBJECTS, (last, limit)).fetchall()
    return (rows[-1][0] if rows else last), [
        Scrubbed(handle, length, checked, bool(sound)) for _, handle, length, checked, sound in rows
    ]


def record(sql: sqlite3.Connection, found: Iterable[Checked]) -> None:
    """Remember what was found. Damage that was known before and is not found any more is forgotten."""
    for item in found:
        row = sql.execute("SELECT id FROM object WHERE digest = ?", (bytes.fromhex(item.digest),)).fetchone()
        if row is None:
            continue  # gone since
        said = None if item.problem is None else json.dumps({"problem": item.problem, "chunks": len(item.chunks)})
        sql.execute("INSERT OR REPLACE INTO scrub VALUES(?, ?, ?)", (row[0], item.checked, said))
        if item.problem is None or item.chunks:
            _know_damage(sql, row[0], item.chunks, item.checked)


def _know_damage(sql: sqlite3.Connection, number: int, chunks: Sequence[tuple[int, int, int]], found: int) -> None:
    known = {row[0] for row in sql.execute("SELECT ord FROM damage WHERE object = ?", (number,))}
    bad = {chunk[0]: chunk for chunk in chunks}
    if known == bad.keys():
        return
    sql.executemany("DELETE FROM damage WHERE object = ? AND ord = ?", [(number, ord_) for ord_ in known - bad.keys()])
    fresh = [(number, *chunk, found) for ord_, chunk in bad.items() if ord_ not in known]
    sql.executemany("INSERT INTO damage VALUES(?, ?, ?, ?, ?)", fresh)
    # The catalog reads the object again.
    sql.execute("INSERT INTO object_change(object) VALUES(?)", (number,))
