"""A file that processes queue on: ``flock``, with a time-out.

SQLite's own waiting sleeps in growing steps, so that under contention some writers starve. The kernel wakes those that
wait for an ``flock`` in their order of arrival, though the one that has just let it go may take it again before they
are awake: hence the turns. Unlike the record locks of SQLite, an ``flock`` also survives other file handles of the same
process being closed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

from lake.errors import LakeLocked, ReadOnly, StorageError
from lake.stores.modes import make_file

__all__ = ["LockFile"]

_TURNS = 8
"""Times that a process may take the lock before it gives way."""
_GIVE_WAY = 100e-6
"""Seconds: time for one that waits to wake up."""


class _Wait:
    """A blocking ``flock`` in a thread of its own: the call itself knows no time-out."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mutex = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        self._error: OSError | None = None
        threading.Thread(target=self._run, name="lake-lock", daemon=True).start()

    def _run(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._mutex:
            if self._abandoned:
                os.close(self._descriptor)
            self._done.set()

    def finish(self, timeout: float) -> bool:
        """Whether the lock was got in time. If not, or when interrupted, the descriptor is closed: at once or later."""
        in_time = False
        try:
            in_time = self._done.wait(timeout)
        finally:
            if not in_time or self._error is not None:
                self._give_up()
        if self._error is not None:
            raise self._error
        return in_time

    def _give_up(self) -> None:
        with self._mutex:
            self._abandoned = True
            if self._done.is_set():
                os.close(self._descriptor)


class LockFile:
    """Mutual exclusion between processes and between the threads of this one.

    ``with lock: …`` holds it; `LakeLocked` after ``timeout`` seconds of waiting. A child of a fork starts without it.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._threads = threading.Lock()
        self._descriptor: int | None = None
        self._turns = _TURNS

    def forget(self) -> None:
        """In the child after a fork: what the parent holds is the parent's. Closing a copy does not unlock it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        if not self._threads.acquire(timeout=self._timeout):
            raise self._late()
        try:
            self._descriptor = self._locked()
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, *_: object) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # A child forked meanwhile may hold a copy of the descriptor: only an explicit unlock frees it at once.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
        self._threads.release()

    def _locked(self) -> int:
        try:
            descriptor = make_file(self._path, os.O_RDWR)
        except OSError as error:
            kind = ReadOnly if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else StorageError
            raise kind(f"cannot open {self._path} for writing: {error.strerror}") from error
        try:
            taken = self._taken(descriptor) or self._waited(descriptor)
        except OSError as error:
            raise StorageError(f"cannot lock {self._path}: {error.strerror}") from error
        if not taken:
            raise self._late()
        return descriptor

    def _waited(self, descriptor: int) -> bool:
        if self._timeout > 0:
            return _Wait(descriptor).finish(self._timeout)
        os.close(descriptor)
        return False

    def _taken(self, descriptor: int) -> bool:
        """Take the lock if nobody holds it."""
        if not self._turns:
            time.sleep(_GIVE_WAY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._turns = 0
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._turns = self._turns - 1 if self._turns else _TURNS
        return True

    def _late(self) -> LakeLocked:
        return LakeLocked(
            f"another process has kept {self._path} locked for {self._timeout:g} s: wait for it, then try again"
        )
