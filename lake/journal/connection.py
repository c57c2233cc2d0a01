"""Connections to the SQLite file of the journal: one a thread, none across a fork, each transaction ended in its call.

The file must never be opened other than through SQLite: closing any other descriptor of it would drop the record locks
of the whole process, and acknowledged commits could be lost. For the same reason every connection is closed before a
fork: SQLite keeps its locks in a table a process, and a child that inherits the table believes that it holds the locks
of its parent, whatever connections it opens itself.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from lake.clock import now
from lake.errors import (
    AlreadyExists,
    InvalidInput,
    LakeLocked,
    NotALake,
    ReadOnly,
    StorageError,
    UnsupportedVersion,
)
from lake.journal.lockfile import LockFile

__all__ = ["APPLICATION_ID", "VERSION", "Database", "create"]

APPLICATION_ID = 0x4C414B45
"""``LAKE``: marks the file as a journal in SQLite's header."""
VERSION = 1
"""Version of schema.sql, kept as SQLite's ``user_version``."""

_WAL_LIMIT = 64 << 20
_CACHE_KIB = 16 << 10


_SIDE_FILES = 1 << 20
"""Bytes that SQLite's write-ahead log and its index take, generously."""


def _read_only(path: Path) -> bool:
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _uri(path: Path, query: str) -> str:
    return f"file:{quote(os.fspath(path.absolute()))}?{query}"


def _translated(error: sqlite3.Error, path: Path) -> Exception:
    """The error to raise for one of SQLite's, by its code: messages are for people."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return LakeLocked(f"another program holds {path}: wait for it, then try again")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return ReadOnly(f"{path} cannot be opened as needed ({error}): check its permissions and its folder's")
        case sqlite3.SQLITE_FULL:
            return StorageError(f"no space left for {path}: nothing was committed; free some and try again")
        case sqlite3.SQLITE_IOERR if _is_full(path):
            # SQLite needs room for its side files even to read.
            return StorageError(f"no space left on the disk of {path}: free some and try again")
        case sqlite3.SQLITE_IOERR:
            return StorageError(
                f"reading or writing {path} failed ({error}): check the disk, then the log, before trying again"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StorageError(f"{path} is damaged ({error}): keep a copy of it, then restore it from a backup")
        case _:
            return error


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _SIDE_FILES
    except OSError:
        return False


class _Errors:
    """``with errors: …`` turns SQLite's errors into those of the lake."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, UnicodeEncodeError):
            raise InvalidInput(f"not UTF-8 text: {error.object!r}: use names and messages that are") from error
        if isinstance(error, sqlite3.Error):
            translated = _translated(error, self._path)
            if translated is not error:
                raise translated from error


class _Held:
    """A thread's place for a connection, which is used and opened under the lock, and closed with the thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.snapshot: tuple[int, ...] | None = None
        """State of the file when it was opened as unchanging; None for an ordinary connection."""

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()


class Database:
    """Where the journal's statements run.

    ``reading()`` gives a connection inside a read transaction, ``writing()`` inside a write transaction that is
    committed when the block ends well and rolled back when it does not; ``direct()`` one without, for single
    statements.
    """

    def __init__(self, path: Path, timeout: float, readonly: bool) -> None:
        self.path = path
        self._timeout = timeout
        self._lock = LockFile(path.with_name(f"{path.stem}.lock"), timeout)
        self._local = threading.local()
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()
        self._errors = _Errors(path)
        if not path.exists():
            raise NotALake(f"no journal at {path}: `lake init` makes a lake")
        self.readonly = readonly or _read_only(path)
        with _REGISTERING:
            _OPEN.add(self)
        # Whether the file can be used shows here, rather than at some later call.
        with self.direct():
            pass

    @contextmanager
    def direct(self) -> Iterator[sqlite3.Connection]:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = _Held()
            with _REGISTERING:
                self._held.add(held)
        with self._errors, held.lock:
            if held.snapshot is not None and held.snapshot != self._snapshot():
                held.close()
            if held.connection is None:
                held.connection, held.snapshot = self._open()
            yield held.connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self.direct() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                _roll_back(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        if self.readonly:
            raise ReadOnly(f"{self.path} is open for reading only: open the lake where it can be written")
        with self._lock, self.direct() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                _roll_back(connection)

    def close(self) -> None:
        """Close the connections of all threads of this process; the next call opens a new one."""
        with _REGISTERING:
            held_here = list(self._held)
        for held in held_here:
            with held.lock:
                held.close()

    def park(self) -> list[_Held]:
        """Before a fork: wait for the calls of other threads to end, and leave no connection open."""
        parked = list(self._held)
        for held in parked:
            held.lock.acquire()
            held.close()
        return parked

    def forget(self) -> None:
        """In the child after a fork: the locks of threads that it does not have."""
        self._held = weakref.WeakSet()
        self._local = threading.local()
        self._lock.forget()

    def _open(self) -> tuple[sqlite3.Connection, tuple[int, ...] | None]:
        if not self.readonly:
            connection = self._connect("mode=rw")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")  # macOS: an fsync alone does not reach the disk
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
            return connection, None
        try:
            return self._connect("mode=ro"), None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
        # Where SQLite can make no shared-memory file beside the journal, it reads only what is declared unchanging.
        snapshot = self._snapshot()
        if snapshot[-1]:
            raise ReadOnly(
                f"{self.path} has commits in its -wal file that cannot be read in a folder without write access: "
                "open the lake once where it can be written, or copy it there"
            )
        return self._connect("mode=ro&immutable=1"), snapshot

    def _connect(self, query: str) -> sqlite3.Connection:
        if not self.path.exists():
            raise NotALake(f"no journal at {self.path}: it is gone")
        connection = sqlite3.connect(
            _uri(self.path, query),
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,  # close() closes the connections of other threads; nothing else shares them
            cached_statements=256,
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise NotALake(f"{self.path} is not the journal of a lake: restore it from a copy of the lake")
        if version > VERSION:
            raise UnsupportedVersion(
                f"{self.path} has version {version}, this software knows {VERSION}: use a newer regionlake"
            )

    def _snapshot(self) -> tuple[int, ...]:
        """Changes whenever another process writes; the last item is the size of the write-ahead log."""
        state = os.stat(self.path)
        try:
            log = os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            log = 0
        return state.st_ino, state.st_mtime_ns, state.st_size, log


def create(path: Path) -> None:
    """Make an empty journal with the branch ``main``, complete or not at all.

    Raises:
        AlreadyExists: there is one.
        ReadOnly, StorageError: it cannot be written.
    """
    with LockFile(path.with_name(f"{path.stem}.lock"), timeout=30.0), _Errors(path):
        if path.exists():
            raise AlreadyExists(f"{path} is there already")
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        try:
            with closing(sqlite3.connect(_uri(fresh, "mode=rwc"), uri=True, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                schema = files(__package__).joinpath("schema.sql").read_text("utf-8")
                connection.executescript(
                    f"BEGIN IMMEDIATE; {schema}"
                    f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
                    f"INSERT INTO identity VALUES('{secrets.token_hex(16)}');"
                    f"INSERT INTO branch VALUES(1, 'main', 0, NULL, 0, 0, {now()});"
                    "INSERT INTO ancestry VALUES(1, 1, 9223372036854775807);"
                    "INSERT INTO purge VALUES(0); COMMIT"
                )
            os.rename(fresh, path)
            _sync(path.parent)
        except OSError as error:
            raise StorageError(f"cannot make {path}: {error.strerror}") from error
        finally:
            with suppress(FileNotFoundError):
                fresh.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _roll_back(connection: sqlite3.Connection) -> None:
    """End the transaction, if one is open. A broken disk may refuse even that; the first error is the one to tell."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


_OPEN: weakref.WeakSet[Database] = weakref.WeakSet()
_REGISTERING = threading.RLock()
_PARKED: list[_Held] = []


def _before_fork() -> None:
    _REGISTERING.acquire()
    for database in list(_OPEN):
        _PARKED.extend(database.park())


def _after_fork_in_parent() -> None:
    while _PARKED:
        _PARKED.pop().lock.release()
    _REGISTERING.release()


def _after_fork_in_child() -> None:
    global _REGISTERING
    _REGISTERING = threading.RLock()
    _PARKED.clear()
    for database in list(_OPEN):
        database.forget()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
