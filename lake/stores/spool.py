"""Small files one after the other, on their way into a pack."""

from __future__ import annotations

import contextlib
import errno
import os

from blake3 import blake3

from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.stores.durable import System, write_all

__all__ = ["PACK_LIMIT", "Spool"]

PACK_LIMIT = 256 << 20
"""Bytes that a pack may grow to."""

_BUFFER = 2 << 20
"""Bytes kept in memory: a batch of so few files that they become no pack never writes them twice."""

_WRITEBACK = 8 << 20
"""Bytes after which the kernel is asked to begin writing."""


class Spool:
    """A growing file in staging, made when its first bytes no longer fit in memory. Not safe for threads.

    Every method raises OSError where the disk fails; what had been appended before then is still there.
    """

    def __init__(self, path: str, system: System) -> None:
        self.path = path
        self.size = 0
        self._system = system
        self._fd = -1
        self._buffer = bytearray()
        self._written = 0
        self._asked = 0
        self._hasher = blake3()

    def append(self, data: bytes) -> int:
        """Add bytes; returns their offset."""
        offset = self.size
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            try:
                self._flush()
            except BaseException:
                del self._buffer[offset - self._written :]
                raise
        self.size += len(data)
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """The ``length`` bytes at ``offset``, which were appended at once."""
        if offset >= self._written:
            start = offset - self._written
            return bytes(self._buffer[start : start + length])
        data = os.pread(self._fd, length, offset)
        if len(data) < length:
            raise OSError(errno.EIO, os.strerror(errno.EIO), self.path)
        return data

    def seal(self) -> tuple[int, Digest]:
        """Write out what is left and make the file read-only; returns its descriptor, which is now the caller's."""
        self._flush()
        os.ftruncate(self._fd, self.size)
        os.fchmod(self._fd, 0o444)
        fd, self._fd = self._fd, -1
        return fd, Digest(self._hasher.hexdigest())

    def discard(self) -> None:
        """Close and remove the file; a sealed one is no longer this spool's to remove."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self._buffer.clear()

    def _flush(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Where a write failed half-way, its bytes are written over, or cut off by `seal`.
        os.lseek(self._fd, self._written, os.SEEK_SET)
        # A copy, since a bytearray of which a traceback holds a view cannot be cut after a failure.
        write_all(self._system, self._fd, bytes(self._buffer))
        crash_point("staging-written")
        self._hasher.update(self._buffer)
        self._written += len(self._buffer)
        self._buffer.clear()
        if self._written - self._asked >= _WRITEBACK:
            self._system.start_writeback(self._fd, self._asked, self._written - self._asked)
            self._asked = self._written
