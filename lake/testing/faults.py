"""A failing disk, for tests of code that stores."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from lake.stores.durable import System

__all__ = ["FaultySystem"]


class FaultySystem(System):
    """The real system, but chosen calls fail or do less than asked, and every call is written down.

    ``failing`` maps the name of a method of `System` to the errno that it raises. ``short_writes`` limits the bytes
    that one write takes. ``full_after`` is the number of bytes after which the disk is full.
    """

    def __init__(
        self,
        failing: dict[str, int] | None = None,
        *,
        short_writes: int | None = None,
        full_after: int | None = None,
        before: Callable[[str], None] | None = None,
    ) -> None:
        """``before`` is told the name of each recorded call before it happens."""
        self.failing = dict(failing or {})
        self.calls: list[str] = []
        self._short_writes = short_writes
        self._room = full_after
        self._before = before

    def _enter(self, name: str) -> None:
        self.calls.append(name)
        if self._before is not None:
            self._before(name)
        code = self.failing.get(name)
        if code is not None:
            raise OSError(code, os.strerror(code))

    def write(self, fd: int, data: memoryview | bytes) -> int:
        self._enter("write")
        if self._room is not None:
            if self._room == 0 and len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: self._room]
            self._room -= len(data)
        return super().write(fd, data[: self._short_writes])

    def fsync(self, fd: int) -> None:
        self._enter("fsync")
        super().fsync(fd)

    def sync_directory(self, path: str | Path) -> None:
        self._enter("sync_directory")
        super().sync_directory(path)

    def can_sync_filesystem(self) -> bool:
        return "can_sync_filesystem" not in self.failing and super().can_sync_filesystem()

    def sync_filesystem(self, fd: int) -> None:
        self._enter("sync_filesystem")
        super().sync_filesystem(fd)

    def rename_new(self, old: str, new: str) -> None:
        self._enter("rename_new")
        super().rename_new(old, new)

    def replace(self, old: str, new: str) -> None:
        self._enter("replace")
        super().replace(old, new)

    def lease(self, fd: int) -> bool:
        return "lease" not in self.failing and super().lease(fd)
