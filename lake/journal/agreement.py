"""Rows of the journal for which nothing but its log can vouch, held against what the log tells.

Ids of commits vouch for entries, and the bytes of live objects for where they lie. This is about the rest: versions of
paths whose commit history has let go of, and objects in the trash that lie in packs.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lake.journal.logbook import Record

__all__ = ["Agreement"]

_SEQ = """
SELECT v.seq FROM event v WHERE v.id = ? AND v.seq IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM commits c WHERE c.seq = v.seq)"""
"""The number of a commit that is not there any more."""

_SAME = """
SELECT count(*) FROM entry e LEFT JOIN object o ON o.id = e.object
WHERE e.seq = ? AND e.path = ? AND e.kind = ? AND iif(o.digest IS NULL, NULL, lower(hex(o.digest))) IS ?
  AND e.size = ? AND e.mtime = ? AND e.attrs IS ?"""

_VERSIONS = """
SELECT count(*) FROM entry e JOIN event v ON v.seq = e.seq
WHERE v.id <= ? AND NOT EXISTS (SELECT 1 FROM commits c WHERE c.seq = e.seq)"""

_ENDS = """
SELECT e.until, count(*) FROM entry e
WHERE e.until <= (SELECT max(seq) FROM event WHERE id <= ?)
  AND NOT EXISTS (SELECT 1 FROM commits c WHERE c.seq = e.until)
GROUP BY e.until"""

_DEAD = """
SELECT lower(hex(digest)), handle, loc_off, loc_len FROM object WHERE state = 'trash' AND handle GLOB 'packs/*'"""


class Agreement:
    """Takes the records of a log from its first on, then says what does not agree with them."""

    def __init__(self, sql: sqlite3.Connection) -> None:
        """``sql`` stays in one read transaction for as long as this is in use."""
        self._sql = sql
        self._versions = self._last = 0
        self._ends: Counter[int] = Counter()
        """Versions that end where the log has a later one of their path, by the commit of that one."""
        self._dead: dict[str, list[Any]] = {digest: place for digest, *place in sql.execute(_DEAD)}
        self._told: dict[str, list[Any]] = {}
        """Where the log has them."""
        self._untold: set[int] = set()
        """Commits that history had let go of before the log was written: it does not tell what they did."""
        (self._expired,) = sql.execute("SELECT EXISTS (SELECT 1 FROM expiry)").fetchone()

    def take(self, record: Record) -> None:
        """The next line."""
        self._last = record["event"]
        for _, digest, _, _, *place in record.get("objects", ()):
            self._place(digest, place[:3])
        body = record.get("body") or {}
        if record.get("kind") in ("relocate", "revive"):
            for digest, place in body.items():
                self._place(digest, place)
        if self._expired:
            self._take_commit(record, known=not body.get("expired"))

    def _place(self, digest: str, place: list[Any]) -> None:
        if digest in self._dead:
            self._told[digest] = place

    def _take_commit(self, record: Record, known: bool) -> None:
        found = self._sql.execute(_SEQ, (record["event"],)).fetchone()
        if found is None:
            return
        (seq,) = found
        for path, *rest in record.get("entries", ()):
            self._versions += self._count(_SAME, seq, path, *rest)
            self._ends[seq] += self._count("SELECT count(*) FROM entry WHERE path = ? AND until = ?", path, seq)
        if not known:
            self._untold.add(seq)

    def _count(self, query: str, *values: Any) -> int:
        (count,) = self._sql.execute(query, values).fetchone()
        return int(count)

    def problems(self) -> Iterator[str]:
        """A sentence each."""
        if self._expired:
            if self._versions != self._count(_VERSIONS, self._last):
                yield "versions of paths from before history was let go of are not what the log says"
            ends = self._sql.execute(_ENDS, (self._last,))
            if any(self._ends[seq] != count for seq, count in ends if seq not in self._untold):
                yield "versions of paths end elsewhere than where the log says"
        for digest, place in self._dead.items():
            if self._told.get(digest) != place:
                yield f"object b3:{digest} in the trash lies elsewhere than where the log says"
