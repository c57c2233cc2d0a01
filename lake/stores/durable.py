"""What the promises of a local store rest on: the few calls of the operating system that Python does not wrap.

Every call that can fail for reasons outside the program goes through a `System`, so that a test can put a full
disk or a failing one in its place.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["System", "write_all"]

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_FICLONE = 0x40049409
_F_SETSIG = 10
_SIGURG = 23
_SYNCFS_REPORTS_ERRORS = (5, 8)
"""Linux release since which syncfs(2) returns the write-back errors that happened since its descriptor was opened."""


def _function(name: str, *argument_types: Any) -> Any:
    """A function of the C library that returns 0 or sets errno; None where the platform has none."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None:
        function.argtypes = argument_types
        function.restype = ctypes.c_int
    return function


_syncfs = _function("syncfs", ctypes.c_int)
_sync_file_range = _function("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_renameat2 = _function("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


@functools.cache
def _linux_release() -> tuple[int, ...]:
    if sys.platform != "linux":
        return (0, 0)
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _checked(function: Any, path: str, *arguments: object) -> None:
    """Call; PEP 475 does not cover ctypes, so an interrupted call is repeated here."""
    while function(*arguments) != 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), path)


def _sync(fd: int) -> None:
    if sys.platform == "darwin":
        # fsync(2) of macOS stops at the drive's cache.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


_WRITE = 16 << 10
"""Bytes a write. Linux takes memory for a file's cache in units as large as the write allows, and large units cost it
several times what small ones do where memory is not at hand at once, as in many virtual machines."""


class System:
    """The operating system, as a local store uses it. Every method raises OSError where the call fails."""

    def write(self, fd: int, data: memoryview | bytes) -> int:
        """Write some of the bytes; returns how many."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """Bring a file's bytes to stable storage."""
        _sync(fd)

    def sync_directory(self, path: str | Path) -> None:
        """Bring the names in a directory to stable storage."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync(fd)
        except OSError as error:
            # Some network filesystems have no such call on directories: their names are durable at once or never.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(fd)

    def can_sync_filesystem(self) -> bool:
        """Whether `sync_filesystem` exists here and tells of failed writes."""
        return _syncfs is not None and _linux_release() >= _SYNCFS_REPORTS_ERRORS

    def sync_filesystem(self, fd: int) -> None:
        """Bring everything on the filesystem of ``fd`` to stable storage.

        Reports failed writes since ``fd`` was opened: open it before the writes.
        """
        _checked(_syncfs, f"descriptor {fd}", fd)

    def start_writeback(self, fd: int, offset: int, length: int) -> None:
        """Ask the kernel to begin writing a range to the disk, without waiting. Only a hint: never fails."""
        if _sync_file_range is not None:
            _sync_file_range(fd, offset, length, _SYNC_FILE_RANGE_WRITE)

    def rename_new(self, old: str, new: str) -> None:
        """Give a file its new name. Raises FileExistsError where the name is taken, and changes nothing then."""
        if _renameat2 is not None:
            try:
                _checked(_renameat2, new, _AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
        self._link_new(old, new)

    def _link_new(self, old: str, new: str) -> None:
        """`rename_new` for filesystems that cannot do it in one step."""
        try:
            os.link(old, new)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            # No hard links either (FAT): whoever slips in between has the same content, since the name is its hash.
            if os.path.lexists(new):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from None
            os.rename(old, new)
        else:
            os.unlink(old)

    def replace(self, old: str, new: str) -> None:
        """Put a file in the place of another, atomically."""
        os.replace(old, new)

    def clone(self, source: int, target: int) -> bool:
        """Let the empty file ``target`` share the blocks of ``source``; False where the filesystem cannot."""
        if sys.platform != "linux":
            return False
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            return False
        return True

    def lease(self, fd: int) -> bool:
        """Take a read lease: granted only while nobody has the file open for writing. It ends when ``fd`` closes."""
        if sys.platform != "linux":
            return False
        try:
            # The default signal when the lease is broken, SIGIO, ends the process; SIGURG is ignored by default.
            fcntl.fcntl(fd, _F_SETSIG, _SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:
            return False
        return True

    def lease_held(self, fd: int) -> bool:
        """False as soon as somebody has asked to open the leased file for writing."""
        return sys.platform == "linux" and fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def write_all(system: System, fd: int, data: memoryview | bytes) -> None:
    """Write every byte, however little the system takes at once."""
    view = memoryview(data)
    written = system.write(fd, view[:_WRITE])
    while written < len(view):
        written += system.write(fd, view[written : written + _WRITE])
