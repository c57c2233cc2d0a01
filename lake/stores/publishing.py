"""Giving staged files their names: bytes are durable before names, names before anybody hears of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lake.crashpoints import crash_point
from lake.stores.base import Location
from lake.stores.durable import System
from lake.stores.existing import examine
from lake.stores.modes import make_folder
from lake.stores.staged import StagedFile

__all__ = ["MANY", "Named", "Publisher"]

MANY = 64
"""From this many files or directories on, one sync of the filesystem is faster than one each."""


class Named(NamedTuple):
    """What a file met at its name."""

    new: bool
    """Nothing was there."""
    healed: bool
    """What was there had the wrong bytes."""


class Publisher:
    """Makes files durable under the names that their content gives them."""

    def __init__(self, root: str, system: System, forget: Callable[[Location], None]) -> None:
        """``forget`` is told of files that were replaced."""
        self._root = root
        self._system = system
        self._forget = forget

    def publish(self, files: Sequence[StagedFile], staging_fd: int) -> list[Named]:
        """Sync, name, sync the names. No two of the files may have the same name.

        Args:
            files: complete files in staging, read-only.
            staging_fd: descriptor of their directory, opened before any of them was written.

        Raises:
            OSError: the disk failed; some of the files may have their names.
        """
        self._sync_data(files, staging_fd)
        crash_point("data-synced")
        folders = {os.path.dirname(file.handle) for file in files}
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                make_folder(f"{self._root}/{folder}")
        named = []
        for file in files:
            named.append(self._name(file))
            crash_point("renamed")
        crash_point("names-made")
        self._sync_names(folders, staging_fd)
        crash_point("published")
        return named

    def _sync_data(self, files: Sequence[StagedFile], staging_fd: int) -> None:
        if len(files) >= MANY and self._system.can_sync_filesystem():
            self._system.sync_filesystem(staging_fd)
            return
        closed = []
        for file in files:
            if file.fd is None:
                closed.append(file.path)
            else:
                self._system.fsync(file.fd)
        if closed:
            with ThreadPoolExecutor(8, "regionlake-sync") as pool:
                list(pool.map(self._sync_path, closed))

    def _sync_path(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._system.fsync(fd)
        finally:
            os.close(fd)

    def _sync_names(self, folders: set[str], staging_fd: int) -> None:
        if len(folders) >= MANY and self._system.can_sync_filesystem():
            self._system.sync_filesystem(staging_fd)
            return
        for folder in folders:
            self._system.sync_directory(f"{self._root}/{folder}")
        # Always: another process may have made a folder and not yet have come to this line.
        for above in {os.path.dirname(folder) for folder in folders}:
            self._system.sync_directory(f"{self._root}/{above}".rstrip("/"))

    def _name(self, file: StagedFile) -> Named:
        """Rename a staged file to its name, or drop it where the same bytes are there already."""
        target = f"{self._root}/{file.handle}"
        while True:
            try:
                self._system.rename_new(file.path, target)
            except FileExistsError:
                pass
            else:
                return Named(new=True, healed=False)
            try:
                good, writable = examine(target, file.digest, file.size, self._system)
            except FileNotFoundError:
                continue  # deleted since: the name is free now
            if good and not writable:
                os.unlink(file.path)
            else:
                # A file that somebody may write to, such as one that a failed move left behind, could change later.
                self._system.replace(file.path, target)
                self._forget(Location(file.handle, 0, file.size))
            return Named(new=False, healed=not good)
