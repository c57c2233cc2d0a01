"""Reading stored files at the speed of the disk, and hashing what lies in them on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from blake3 import blake3

__all__ = ["Scan", "scan"]

_PIECE = 4 << 20
"""Bytes a read: enough that threads seldom wait for each other between reads."""
_LARGE = 32 << 20
"""Bytes from which on one file is hashed by several threads: it may be the only one."""
_HASHERS = min(8, os.cpu_count() or 1)


class Scan(NamedTuple):
    whole: str
    """Digest of all bytes of the file."""
    parts: tuple[str, ...]
    """Digest of each part that was asked for, of as many of its bytes as are there."""
    size: int
    """Bytes that were read."""


def scan(path: str, parts: Sequence[tuple[int, int]], advance: Callable[[int], None]) -> Scan:
    """Read a file once, from start to end.

    Args:
        path: the file.
        parts: ``(offset, length)`` of what is hashed apart, by offset.
        advance: told of the bytes that were read.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        size = os.fstat(fd).st_size
        _prepare(fd)
        # The bytes of a file that holds one object alone are hashed once.
        apart = [] if list(parts) == [(0, size)] else parts
        # A pool of its own: that of all hashers together would not work any more in the child of a fork.
        whole, hashers = blake3(max_threads=_HASHERS if size >= _LARGE else 1), [blake3() for _ in apart]
        buffer = memoryview(bytearray(min(_PIECE, max(size, 1))))
        done = first = 0
        while count := os.readv(fd, [buffer]):
            piece = buffer[:count]
            whole.update(piece)
            first = _hash_parts(apart, hashers, piece, done, first)
            done += count
            advance(count)
        digest = whole.hexdigest()
        found = [hasher.hexdigest() for hasher in hashers] if apart else [digest] * len(parts)
        return Scan(digest, tuple(found), done)
    finally:
        os.close(fd)


def _prepare(fd: int) -> None:
    if hasattr(os, "posix_fadvise"):
        # What memory keeps of the file is not what the disk holds, and that is the question.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def _hash_parts(
    parts: Sequence[tuple[int, int]], hashers: Sequence[blake3], piece: memoryview, start: int, first: int
) -> int:
    """Give a piece of the file to the parts that it belongs to; returns the first part that is not over yet."""
    stop = start + len(piece)
    for number in range(first, len(parts)):
        offset, length = parts[number]
        if offset >= stop:
            break
        hashers[number].update(piece[max(offset, start) - start : min(offset + length, stop) - start])
        if number == first and offset + length <= stop:
            first += 1
    return first
