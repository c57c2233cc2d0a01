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
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from lake.clock import now
from lake.errors import (
    AlreadyExists,
    InvalidInput,
    LakeError,
    LakeLocked,
    NotALake,
    ReadOnly,
    StorageError,
    UnsupportedVersion,
)
from lake.journal import branches, events
from lake.journal.lockfile import LockFile
from lake.journal.logbook import Logbook
from lake.journal.sealing import Seal, log_folder
from lake.journal.values import LogState
from lake.stores.durable import System
from lake.stores.modes import file_mode

__all__ = ["APPLICATION_ID", "VERSION", "Database", "adopt", "copy", "create", "is_unreachable", "write_new"]

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
    if code is None and isinstance(error, sqlite3.OperationalError):
        # Text that is not UTF-8: the sqlite3 module finds that out by itself.
        return StorageError(f"{path} is damaged ({error}): {_way_back(path)}")
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
            return StorageError(f"{path} is damaged ({error}): {_way_back(path)}")
        case sqlite3.SQLITE_ERROR if str(error).startswith("no such "):
            # The names of tables and columns are in the file, where a bit may flip as anywhere.
            return StorageError(f"{path} is damaged ({error}): {_way_back(path)}")
        case _:
            return error


def is_unreachable(path: Path, error: LakeError) -> bool:
    """Whether a journal did not open because of the place that it lies in, where nobody can write it, not of damage."""
    cause = error.__cause__
    failed = isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR
    return _read_only(path) and (isinstance(error, ReadOnly) or failed)


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
        if isinstance(error, UnicodeDecodeError):
            # SQLite quotes what it finds in a damaged schema in its own messages.
            raise StorageError(f"{self._path} is damaged ({error.reason}): {_way_back(self._path)}") from error
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
        self.file: int | None = None
        """Inode of the file, which another journal may take the place of."""

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()


class Database:
    """Where the journal's statements run.

    ``reading()`` gives a connection inside a read transaction, ``writing()`` inside a write transaction that is
    committed when the block ends well and rolled back when it does not, and then sealed; ``direct()`` one without, for
    single statements.

    Raises:
        StaleJournal: the log knows of more than the journal does.
    """

    def __init__(self, path: Path, timeout: float, readonly: bool, system: System | None = None) -> None:
        self.path = path
        self._timeout = timeout
        self._seal = Seal(path, timeout, system or System())
        self._lock = LockFile(path.with_name(f"{path.stem}.lock"), timeout)
        self._local = threading.local()
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()
        self._errors = _Errors(path)
        if not path.exists():
            raise NotALake(_gone(path))
        self.readonly = readonly or _read_only(path)
        with _REGISTERING:
            _OPEN.add(self)
        # Whether the file can be used shows here, rather than at some later call.
        with self.direct() as connection:
            if not self.readonly:
                self._seal.seal(connection, events.newest(connection))

    @contextmanager
    def direct(self) -> Iterator[sqlite3.Connection]:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = _Held()
            with _REGISTERING:
                self._held.add(held)
        with self._errors, held.lock:
            if held.connection is not None and self._replaced(held):
                held.close()
            if held.connection is None:
                held.file = self._inode()
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
            raise ReadOnly(f"{self.path} is open for reading only: writing needs write permission on it and its folder")
        with self._lock, self.direct() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                newest = events.newest(connection)
                connection.execute("COMMIT")
            finally:
                _roll_back(connection)
        # Others may commit meanwhile: their events go to the disk together with this one, or this one with theirs.
        with self.direct() as connection:
            self._seal.seal(connection, newest)

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
        self._seal.forget()

    def log_state(self) -> LogState:
        """See `lake.journal.base.Journal.log_state`."""
        with self.direct() as connection:
            return self._seal.state(connection)

    def log_problems(self) -> list[str]:
        """See `lake.journal.base.Journal.log_problems`."""
        with self.direct() as connection:
            return self._seal.problems(connection)

    def _replaced(self, held: _Held) -> bool:
        """Whether the file is not the one any more that a connection has open."""
        return held.file != self._inode() or (held.snapshot is not None and held.snapshot != self._snapshot())

    def _inode(self) -> int:
        try:
            return os.stat(self.path).st_ino
        except FileNotFoundError:
            raise NotALake(_gone(self.path)) from None

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
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
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
            raise NotALake(_gone(self.path))
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
            self._seal.open(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise NotALake(f"{self.path} is not the journal of a lake: {_way_back(self.path)}")
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


def _gone(path: Path) -> str:
    return f"{path.parent} has no {path.name}: {_way_back(path)}"


def _way_back(path: Path) -> str:
    """What to do where a journal is of no use. A backup is older than the log, and the last thing to turn to."""
    with suppress(StorageError):
        if Logbook(log_folder(path), System()).segments():
            return "its log is there, 'lake doctor --rebuild-journal' makes it again"
    return "keep what is there, and restore the lake from a backup"


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
            write_new(fresh, lambda sql: branches.add(sql, branches.MAIN, None, 0, now()))
            os.rename(fresh, path)
            System().sync_directory(path.parent)
        except OSError as error:
            raise StorageError(f"cannot make {path}: {error.strerror}") from error
        finally:
            with suppress(FileNotFoundError):
                fresh.unlink()


def write_new(path: Path, fill: Callable[[sqlite3.Connection], object]) -> None:
    """Make the file of a journal with a new identity, durably; ``fill`` says what is in it.

    Raises:
        StorageError, ReadOnly: it cannot be written.
    """
    with (
        _Errors(path),
        closing(sqlite3.connect(_uri(path, "mode=rwc"), uri=True, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        schema = files(__package__).joinpath("schema.sql").read_text("utf-8")
        connection.executescript(
            f"BEGIN IMMEDIATE; {schema}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
            f"INSERT INTO identity VALUES('{secrets.token_hex(16)}'); INSERT INTO purge VALUES(0)"
        )
        fill(connection)
        connection.execute("COMMIT")
    # SQLite gives the files beside it the same permissions.
    path.chmod(file_mode(path.parent))


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """Write the journal as it is at one moment into a new file, which needs no side files to be read.

    Raises:
        StorageError, ReadOnly: it cannot be written.
    """
    with (
        _Errors(target),
        closing(sqlite3.connect(_uri(target, "mode=rwc"), uri=True, isolation_level=None)) as fresh,
    ):
        connection.backup(fresh)
        # With a write-ahead log even reading would make files beside it, which a disk may be too read-only for.
        fresh.execute("PRAGMA journal_mode = DELETE")


def adopt(path: Path) -> None:
    """Let a copy go on as a journal of its own: another identity, leases and trash of nobody, a write-ahead log.

    Raises:
        StorageError, ReadOnly: it cannot be written, or is damaged.
    """
    with _Errors(path), closing(sqlite3.connect(_uri(path, "mode=rw"), uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(
            f"BEGIN IMMEDIATE; UPDATE identity SET id = '{secrets.token_hex(16)}';"
            "DELETE FROM lease; DELETE FROM claim; COMMIT"
        )
        connection.execute("PRAGMA journal_mode = WAL")


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
