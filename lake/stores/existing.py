"""Objects that a store holds already: what they are worth."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from enum import Enum, auto

from blake3 import blake3

from lake.digest import Digest
from lake.stores.base import Location
from lake.stores.durable import System
from lake.stores.intake import PIECE
from lake.stores.places import checked_handle, is_pack

__all__ = ["Worth", "examine", "survey"]


class Worth(Enum):
    """What a stored object is worth to somebody who has its bytes at hand."""

    GOOD = auto()
    WRITABLE = auto()
    """Its bytes are right, but somebody may write to them."""
    LOST = auto()
    """Its bytes are wrong, or gone."""


def survey(root: str, known: Mapping[Digest, Location], system: System) -> dict[Digest, Worth]:
    """Look at the bytes of objects where they are said to lie.

    Raises:
        InvalidInput: a location that no object can have.
        OSError: it cannot be told; what is not there, or cannot be read off the disk, counts as lost instead.
    """
    worth = dict.fromkeys(known, Worth.LOST)
    in_order = sorted(known.items(), key=lambda item: item[1])
    for handle, members in itertools.groupby(in_order, key=lambda item: item[1].handle):
        path = f"{root}/{checked_handle(handle)}"
        try:
            if is_pack(handle):
                worth.update(_good_members(path, members))
                continue
            for digest, location in members:
                good, writable = examine(path, digest, location.length, system)
                if good:
                    worth[digest] = Worth.WRITABLE if writable else Worth.GOOD
        except FileNotFoundError:
            continue
    return worth


def _good_members(path: str, members: Iterator[tuple[Digest, Location]]) -> Iterator[tuple[Digest, Worth]]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        size = os.fstat(fd).st_size
        for digest, location in members:
            end = location.offset + location.length
            if end <= size and _is_right(fd, digest, location.offset, end):
                yield digest, Worth.GOOD
    finally:
        os.close(fd)


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
        good = _is_right(fd, digest, 0, size)
        if good:
            system.fsync(fd)
        return good, writable
    finally:
        os.close(fd)


def _is_right(fd: int, digest: Digest, start: int, end: int) -> bool:
    hasher = blake3()
    buffer = memoryview(bytearray(min(PIECE, end - start)))
    try:
        while start < end and (count := os.preadv(fd, [buffer[: end - start]], start)):
            hasher.update(buffer[:count])
            start += count
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    return hasher.hexdigest() == digest
