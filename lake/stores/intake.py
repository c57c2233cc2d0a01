"""One pass over incoming bytes: read, hash, watch and store each piece once.

Reading and writing stay in the caller's thread; hashing and the watcher run beside it in a second one, since
BLAKE3 and the system calls release the interpreter lock.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Self

from blake3 import blake3

from lake.digest import Digest
from lake.errors import InvalidInput, IsDirectory, NotFound, SourceChanged, Unreadable
from lake.stores.base import Watcher

__all__ = ["PIECE", "Filler", "SourceFile", "check_same", "stream_filler", "take_in"]

PIECE = 1 << 20
"""Bytes handed to the watcher and to the disk at once."""

_BUFFERS = 4
_ZEROS = bytes(PIECE)

_BLOCK = 512
"""Bytes of what `st_blocks` counts."""

Filler = Callable[[memoryview], int]
"""Fills a buffer from its start; fewer bytes than it holds only at the end of the source."""


def take_in(fill: Filler, store: Callable[[memoryview], None], watcher: Watcher | None) -> tuple[Digest, int]:
    """Move every byte from ``fill`` to ``store``; returns digest and number of bytes.

    ``watcher`` sees every byte in order. Errors of any of the three end the pass and are raised as they are.
    """
    buffer = _new_buffer()
    count = fill(buffer)
    if count == PIECE:
        return _Pipeline(store, watcher).run(fill, buffer)
    piece = buffer[:count]
    if count:
        if watcher is not None:
            watcher.update(piece)
        store(piece)
    return Digest(blake3(piece).hexdigest()), count


def _new_buffer() -> memoryview:
    """A buffer of `PIECE` bytes; unlike those of a bytearray, pages of it that are not used cost nothing."""
    return memoryview(mmap.mmap(-1, PIECE))


class _Pipeline:
    """Hashing and watching beside reading and storing, over a fixed set of buffers."""

    def __init__(self, store: Callable[[memoryview], None], watcher: Watcher | None) -> None:
        self._store = store
        self._watcher = watcher
        self._hasher = blake3()
        self._full: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._error: BaseException | None = None

    def run(self, fill: Filler, first: memoryview) -> tuple[Digest, int]:
        """Go on with ``first``, a buffer that is full."""
        for _ in range(_BUFFERS - 1):
            self._free.put(_new_buffer())
        worker = threading.Thread(target=self._hash, name="regionlake-hash", daemon=True)
        worker.start()
        size = 0
        buffer, count = first, PIECE
        try:
            while count and self._error is None:
                size += count
                self._full.put((buffer, count))
                self._store(buffer[:count])
                if count < PIECE:
                    break
                buffer = self._free.get()
                count = fill(buffer)
        finally:
            self._full.put(None)
            worker.join()
        if self._error is not None:
            raise self._error
        return Digest(self._hasher.hexdigest()), size

    def _hash(self) -> None:
        while (work := self._full.get()) is not None:
            buffer, count = work
            # After an error buffers keep going round, so that the other thread is never left waiting for one.
            if self._error is None:
                try:
                    piece = buffer[:count]
                    self._hasher.update(piece)
                    if self._watcher is not None:
                        self._watcher.update(piece)
                except BaseException as error:
                    self._error = error
            self._free.put(buffer)


def stream_filler(source: BinaryIO) -> Filler:
    """Fill buffers from a stream, however little it gives at a time."""
    read_into = getattr(source, "readinto", None)

    def fill(buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer):
            if read_into is not None:
                count = read_into(buffer[filled:])
            else:
                data = source.read(len(buffer) - filled)
                count = len(data)
                buffer[filled : filled + count] = data
            if count is None:
                raise InvalidInput("cannot read a stream in non-blocking mode: give one that waits for its bytes")
            if count == 0:
                break
            filled += count
        return filled

    return fill


class SourceFile:
    """A regular file opened for one pass, and the proof that it stayed the same meanwhile."""

    __slots__ = ("_sparse", "fd", "path", "status")

    def __init__(self, path: Path | str) -> None:
        """Open.

        Raises:
            NotFound: nothing is there.
            IsDirectory: a directory.
            InvalidInput: a pipe, socket or device.
            Unreadable: it cannot be opened.
        """
        self.path = os.fspath(path)
        try:
            # Without O_NONBLOCK the open of a named pipe waits for a writer; regular files ignore it.
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFound(f"no such file: {self.path}") from None
        except OSError as error:
            raise Unreadable(f"cannot open {self.path}: {error.strerror}") from error
        self.status = os.fstat(self.fd)
        self._sparse = self.status.st_blocks * _BLOCK < self.status.st_size
        if not stat.S_ISREG(self.status.st_mode):
            os.close(self.fd)
            if stat.S_ISDIR(self.status.st_mode):
                raise IsDirectory(f"{self.path} is a directory: a file is wanted here")
            raise InvalidInput(f"{self.path} is not a regular file: read it through a pipe, as a stream, instead")

    def fill(self, buffer: memoryview) -> int:
        """A `Filler` from the file's current position."""
        filled = 0
        try:
            if self._sparse and self._fill_from_hole(buffer):
                return len(buffer)
            while filled < len(buffer) and (count := os.readv(self.fd, [buffer[filled:]])):
                filled += count
        except OSError as error:
            raise Unreadable(f"cannot read {self.path}: {error.strerror}") from error
        return filled

    def _fill_from_hole(self, buffer: memoryview) -> bool:
        """Where nothing but a hole comes next: its zeros, which a kernel takes ten times longer to read."""
        at = os.lseek(self.fd, 0, os.SEEK_CUR)
        end = at + len(buffer)
        try:
            data = os.lseek(self.fd, at, os.SEEK_DATA)
        except OSError as error:
            # ENXIO: no data up to the end of the file.
            data = self.status.st_size if error.errno == errno.ENXIO else at
        hole = end <= min(data, self.status.st_size)
        if hole:
            buffer[:] = _ZEROS[: len(buffer)]
        os.lseek(self.fd, end if hole else at, os.SEEK_SET)
        return hole

    def read_small(self) -> bytes:
        """All bytes of a file that is small; one more than its size where it has grown."""
        wanted = self.status.st_size + 1
        try:
            data = os.read(self.fd, wanted)
            while len(data) < wanted - 1 and (more := os.read(self.fd, wanted - len(data))):
                data += more
        except OSError as error:
            raise Unreadable(f"cannot read {self.path}: {error.strerror}") from error
        return data

    def check_unchanged(self, length: int) -> None:
        """Raise SourceChanged unless the path still is the file that was opened, as it was, ``length`` bytes long."""
        if length != self.status.st_size:
            raise SourceChanged(
                f"{self.path} changed while it was read: {self.status.st_size} bytes at first, then {length}; "
                "put it again when nothing writes it"
            )
        check_same(self.path, self.status)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_same(path: str, before: os.stat_result) -> None:
    """Raise SourceChanged unless the file at ``path`` is the one that had the status ``before``, unchanged."""
    try:
        now = os.stat(path)
    except OSError as error:
        raise SourceChanged(f"{path} vanished while it was read: {error.strerror}") from None
    if (now.st_mtime_ns, now.st_size, now.st_ino, now.st_dev) != (
        before.st_mtime_ns,
        before.st_size,
        before.st_ino,
        before.st_dev,
    ):
        raise SourceChanged(f"{path} changed while it was read; put it again when nothing writes it")
