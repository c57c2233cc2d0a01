"""Files that lie at a digest already: what they are worth."""

from __future__ import annotations

import errno
import os
import stat

from blake3 import blake3

from lake.digest import Digest
from lake.stores.durable import System
from lake.stores.intake import PIECE

__all__ = ["examine"]


def examine(path: str, digest: Digest, size: int, system: System) -> tuple[bool, bool]:
    """Whether a stored file has the right bytes, and whether its mode lets anybody change them.

    Good bytes are synced: the process that wrote them may have died before its own sync.

    Raises:
        FileNotFoundError: nothing is there (any more).
        OSError: it cannot be told; an unreadable sector counts as wrong bytes instead.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False, True  # a symbolic link
        raise
    try:
        status = os.fstat(fd)
        writable = bool(status.st_mode & 0o222)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False, writable
        try:
            good = _hash(fd, min(PIECE, size + 1)) == digest
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            good = False
        if good:
            system.fsync(fd)
        return good, writable
    finally:
        os.close(fd)


def _hash(fd: int, piece: int) -> str:
    hasher = blake3()
    buffer = memoryview(bytearray(piece))
    while count := os.readv(fd, [buffer]):
        hasher.update(buffer[:count])
    return hasher.hexdigest()
