"""What happened in the journal, in order: the table that the log on disk is written from.

Every truth of the journal that cannot be made again from the objects is an event. Commits are told by their number
(the log reads what they changed from their entries), all else by a body that is enough to do it again: `replay` has
a function for every kind. Derived things (artifacts, usage), findings (damage, scrub), leases and tokens are none.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from lake.journal.values import Json

__all__ = ["body_text", "newest", "pending", "record"]

_PART = 1000
"""Objects or entries a line of the log."""
_PART_BYTES = 1 << 20
"""Bytes of chunk maps after which a line ends, too."""

_OBJECTS = """
SELECT o.id, lower(hex(o.digest)), o.size, o.format, o.handle, o.loc_off, o.loc_len, o.problems, o.checksums, m.body
FROM object o LEFT JOIN chunk_map m ON m.object = o.id WHERE o.id > ? ORDER BY o.id"""

_ENTRIES = """
SELECT e.branch, e.path, e.kind, iif(o.digest IS NULL, NULL, lower(hex(o.digest))), e.size, e.mtime, e.attrs
FROM entry e LEFT JOIN object o ON o.id = e.object WHERE e.seq = ? ORDER BY e.path"""

_COMMIT = "SELECT lower(hex(id)), branch, created, author, message, op_id FROM commits WHERE seq = ?"

_PARENTS = "SELECT lower(hex(parent)) FROM commit_parent WHERE seq = ? ORDER BY ord"


def record(
    sql: sqlite3.Connection, kind: str, body: Mapping[str, Json] | None = None, *, seq: int | None = None
) -> None:
    """Tell what the transaction under way does; the log has it before the call that made the transaction returns.

    Args:
        kind: a word that `lake.journal.replay` knows: it must do from the body alone what was done.
        body: everything that it needs, names and times included; digests and ids in hexadecimal.
        seq: of a commit alone, its number.
    """
    text = None if body is None else body_text(body)
    sql.execute("INSERT INTO event(kind, seq, body) VALUES(?, ?, ?)", (kind, seq, text))


def body_text(body: Mapping[str, Json]) -> str:
    """Canonical JSON: one text for one value."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def newest(sql: sqlite3.Connection) -> int:
    """Number of the newest event; 0: none."""
    (found,) = sql.execute("SELECT max(id) FROM event").fetchone()
    return found or 0


def pending(sql: sqlite3.Connection, after: int, commit: tuple[int, str] | None, last: int) -> Iterator[dict[str, Any]]:
    """Records of the log (`lake.journal.logbook.Record`) for the events behind one, in one read transaction.

    Args:
        after: the event.
        commit: sequence number and id of the newest commit up to it.
        last: the newest object that the log knows.
    """
    with closing(sql.execute("SELECT id, kind, seq, body FROM event WHERE id > ? ORDER BY id", (after,))) as rows:
        for number, kind, seq, text in rows:
            parts = _Parts(number)
            for found in sql.execute(_OBJECTS, (last,)):
                last = found[0]
                yield from parts.add("objects", _object(found), len(found[-1] or b""))
            body = None if text is None else json.loads(text)
            if seq is not None:
                branch = None
                for entry in sql.execute(_ENTRIES, (seq,)):
                    branch = entry[0]
                    yield from parts.add("entries", list(entry[1:]), 0)
                body, digest = _commit(sql, seq, branch)
                commit = commit if digest is None else (seq, digest)
            yield {**parts.held, "event": number, "kind": kind, "body": body, "commit": commit, "object": last}


def _commit(sql: sqlite3.Connection, seq: int, branch: int | None) -> tuple[dict[str, Any], str | None]:
    """What is said about a commit, and its id.

    One that was expired before the log had it is told by its number, the branch of the entries that are left of it, and
    no id.
    """
    row = sql.execute(_COMMIT, (seq,)).fetchone()
    if row is None:
        return {"seq": seq, "branch": branch, "expired": True}, None
    digest, branch, created, author, message, operation = row
    parents = [parent for (parent,) in sql.execute(_PARENTS, (seq,))]
    body = {
        "seq": seq,
        "branch": branch,
        "created": created,
        "author": author,
        "message": message,
        "op_id": operation,
        "parents": parents,
    }
    return body, digest


class _Parts:
    """Cuts what an event has to tell into lines of bounded length."""

    def __init__(self, event: int) -> None:
        self._event = event
        self._count = self._bytes = 0
        self.held: dict[str, list[Any]] = {}
        """What the next line tells, by kind."""

    def add(self, name: str, row: list[Any], size: int) -> Iterator[dict[str, Any]]:
        """Hold one more row; a line, if there is enough for one."""
        self.held.setdefault(name, []).append(row)
        self._count += 1
        self._bytes += size
        if self._count == _PART or self._bytes >= _PART_BYTES:
            yield {**self.held, "event": self._event, "more": True}
            self._count = self._bytes = 0
            self.held = {}


def _object(row: tuple[Any, ...]) -> list[Any]:
    chunks = row[-1]
    return [*row[:-1], None if chunks is None else base64.b64encode(chunks).decode("ascii")]
