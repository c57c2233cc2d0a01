"""Sealing: what the journal has committed goes to the log, and a journal that its log knows better is not used.

The log is written after the journal's own commit, so it never tells of what did not happen. Whoever holds its lock
writes the events of everybody, with one fsync: those who waited find theirs done.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from lake.crashpoints import crash_point
from lake.errors import LakeError, StaleJournal, UnsupportedVersion
from lake.journal import events
from lake.journal.agreement import Agreement
from lake.journal.feed import identity
from lake.journal.lockfile import LockFile
from lake.journal.logbook import Logbook, Record, Tip
from lake.journal.values import LogState
from lake.stores.durable import System

__all__ = ["LOCK", "Seal", "log_folder"]

LOCK = "log.lock"
"""Name of the file that writers of the log queue on, beside the journal."""

_log = logging.getLogger("lake.journal")


def _row(record: Record) -> tuple[str, int | None, str | None]:
    """What the journal has of an event."""
    kind, body = record["kind"], record["body"]
    if kind == "commit":
        return kind, body["seq"], None
    return kind, None, None if body is None else events.body_text(body)


def log_folder(journal: Path) -> Path:
    """Where the log of a journal lies."""
    return journal.with_name("log")


class Seal:
    """The log of one journal. Safe for threads and processes; a child of a fork calls `forget`."""

    def __init__(self, journal: Path, timeout: float, system: System) -> None:
        """``timeout`` is how many seconds a writer waits for others at the log."""
        self._journal = journal
        self.book = Logbook(log_folder(journal), system)
        self._lock = LockFile(journal.with_name(LOCK), timeout)
        self._sealed = 0
        """Every event up to this one is known to be in the log."""
        self._warned = False

    def forget(self) -> None:
        """In the child after a fork: the lock of the parent."""
        self._lock.forget()

    def state(self, sql: sqlite3.Connection) -> LogState:
        """Compare a journal with its log; ``sql`` is not in a transaction.

        Raises:
            StaleJournal: the log knows of events that the journal does not have, or it is another journal's.
            StorageError: the log is damaged or cannot be read.
        """
        # The log first: the journal is always as new as the log has been a moment before.
        tip = self.book.tip()
        sql.execute("BEGIN")
        try:
            return LogState(events.newest(sql), self._check(sql, tip))
        finally:
            sql.execute("ROLLBACK")

    def problems(self, sql: sqlite3.Connection) -> list[str]:
        """What is wrong with the log, a sentence each: its chain, and what it tells other than the journal.

        Reads all of it. ``sql`` is not in a transaction. Events that the log lacks are nothing wrong.
        """
        found: list[str] = []
        try:
            self.state(sql)
            sql.execute("BEGIN")
            try:
                found += self._disagreements(sql)
            finally:
                sql.execute("ROLLBACK")
        except LakeError as error:
            found.append(str(error))
        return found

    def _disagreements(self, sql: sqlite3.Connection) -> Iterator[str]:
        newest = events.newest(sql)
        agreement = Agreement(sql)
        for record in self.book.records():
            if record["event"] > newest:
                break  # written since
            agreement.take(record)
            if "kind" in record:
                row = sql.execute("SELECT kind, seq, body FROM event WHERE id = ?", (record["event"],)).fetchone()
                if row != _row(record):
                    yield f"event {record['event']} of the journal is not what its log says"
        yield from agreement.problems()

    def open(self, sql: sqlite3.Connection) -> None:
        """`state`, of a journal that is about to be used. A damaged log is no reason not to read: it is told of.

        Raises:
            StaleJournal: see `state`.
            UnsupportedVersion: newer software has written the log.
        """
        try:
            self._sealed = self.state(sql).sealed
        except (StaleJournal, UnsupportedVersion):
            raise
        except LakeError as error:
            self._warn(error)

    def seal(self, sql: sqlite3.Connection, newest: int) -> None:
        """Let the log have every event up to ``newest``, durably. Where it cannot be written, it catches up later.

        Raises:
            StaleJournal: see `state`; the journal was replaced while it was in use.
            UnsupportedVersion: newer software has written the log meanwhile.
        """
        if newest <= self._sealed:
            return
        crash_point("unsealed")
        try:
            with self._lock:
                self._sealed = self._write(sql)
        except (StaleJournal, UnsupportedVersion):
            raise
        except (LakeError, OSError) as error:
            self._warn(error)
            return
        crash_point("sealed")
        self._warned = False

    def _write(self, sql: sqlite3.Connection) -> int:
        tip = self.book.tip()
        sql.execute("BEGIN")
        try:
            sealed = self._check(sql, tip)
            if events.newest(sql) == sealed:
                return sealed
            marks = (0, None, 0) if tip is None else (tip.event, tip.commit, tip.object)
            return self.book.append(tip, identity(sql), events.pending(sql, *marks)).event
        finally:
            sql.execute("ROLLBACK")

    def _check(self, sql: sqlite3.Connection, tip: Tip | None) -> int:
        """Number of the last event that the log has, once the journal is known to have it too."""
        if tip is None:
            return 0
        if identity(sql) != tip.journal and not self._continues(sql, tip):
            raise self._stale("is not the journal that its log was written from", tip)
        row = sql.execute("SELECT kind, body FROM event WHERE id = ?", (tip.event,)).fetchone()
        if row is None:
            (newest,) = sql.execute("SELECT max(seq) FROM commits").fetchone()
            last = 0 if tip.commit is None else tip.commit[0]
            raise self._stale(f"is older than its log (commit {newest or 0}, the log has {last})", tip)
        kind, body = row
        same = tip.kind is None or (kind == tip.kind and (body is None or json.loads(body) == tip.body))
        if same and tip.commit is not None:
            found = sql.execute("SELECT lower(hex(id)) FROM commits WHERE seq = ?", (tip.commit[0],)).fetchone()
            # A commit that was expired has no row any more.
            same = found is None or found[0] == tip.commit[1]
        if not same:
            raise self._stale(f"has another event {tip.event} than its log", tip)
        return tip.event

    def _continues(self, sql: sqlite3.Connection, tip: Tip) -> bool:
        """Whether the journal was made from this very log, which has not been told yet."""
        row = sql.execute("SELECT kind, body FROM event WHERE id > ? AND kind = 'rebuilt' ORDER BY id", (tip.event,))
        return any(json.loads(body)["hash"] == tip.hash for _, body in row)

    def _stale(self, what: str, tip: Tip) -> StaleJournal:
        return StaleJournal(
            f"{self._journal} {what}, {tip.segment}: it was put back from a copy, or lost its -wal file;"
            " `lake doctor --rebuild-journal` makes it again from the log, with nothing lost"
        )

    def _warn(self, error: Exception) -> None:
        """Once for as long as it lasts: a full disk is told of at every write anyway."""
        if not self._warned:
            _log.warning("the log cannot be written, everything else goes on: %s", error)
        self._warned = True
