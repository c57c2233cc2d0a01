"""Stored files on their way into the trash and back: ``trash/`` mirrors the folders that they come from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lake.crashpoints import crash_point
from lake.errors import StorageError
from lake.stores.durable import System
from lake.stores.modes import make_folders
from lake.stores.places import checked_handle, is_pack, is_plain
from lake.stores.publishing import MANY

__all__ = ["TrashFolder"]


class TrashFolder:
    """Moves files; knows nothing of journals. Whoever moves any holds the lake's ``sweep.lock``.

    Every method may be repeated after a crash in its middle. They raise StorageError where the disk fails.
    """

    def __init__(self, root: Path, system: System) -> None:
        self._root = os.fspath(root)
        self._system = system

    def take(self, handles: Sequence[str]) -> list[tuple[str, int]]:
        """Move stored files into the trash, durably; a file that is there already stays. Handle and size of each."""
        moved = []
        with self._errors("move into the trash"):
            for handle in handles:
                place = self._place(handle)
                target = self._target(handle)
                try:
                    size = os.lstat(place).st_size
                except FileNotFoundError:
                    size = self.size(handle) or 0
                else:
                    make_folders(os.path.dirname(target))
                    self._system.replace(place, target)
                moved.append((handle, size))
                crash_point("moved-first")
            # The new names first: what a crash leaves then lies in one of the two places at least.
            self._sync({os.path.dirname(self._target(handle)) for handle in handles})
            self._sync({os.path.dirname(self._place(handle)) for handle in handles})
        return moved

    def give_back(self, handles: Sequence[str]) -> list[str]:
        """Move files back to their places, durably; one that is in its place stays. Returns those that are nowhere."""
        missing = []
        with self._errors("move out of the trash"):
            for handle in handles:
                place = self._place(handle)
                if os.path.lexists(place):
                    continue
                make_folders(os.path.dirname(place))
                try:
                    self._system.rename_new(self._target(handle), place)
                except FileNotFoundError:
                    missing.append(handle)
            self._sync({os.path.dirname(self._place(handle)) for handle in handles if handle not in missing})
        return missing

    def remove(self, handles: Iterable[str]) -> None:
        """Delete files from the trash."""
        with self._errors("delete from the trash"):
            for handle in handles:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._target(handle))

    def in_place(self, handle: str) -> bool:
        """Whether a file is in its place, be it in the trash or not."""
        return os.path.lexists(self._place(handle))

    def size(self, handle: str) -> int | None:
        """Bytes of a file in the trash; None where it is not there."""
        with self._errors("look into the trash"):
            try:
                return os.lstat(self._target(handle)).st_size
            except FileNotFoundError:
                return None

    def files(self) -> Iterator[str]:
        """Handles of the files in the trash, in no order; other names are left alone."""
        with self._errors("list the trash"):
            for folder in ("objects", "packs"):
                for path in self._below(f"{self._root}/trash/{folder}"):
                    handle = path.removeprefix(f"{self._root}/trash/")
                    if is_plain(handle) or is_pack(handle):
                        yield handle

    def _below(self, folder: str) -> Iterator[str]:
        try:
            with os.scandir(folder) as entries:
                found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except FileNotFoundError:
            return
        for path, is_folder in found:
            if is_folder:
                yield from self._below(path)
            else:
                yield path

    def _place(self, handle: str) -> str:
        return f"{self._root}/{checked_handle(handle)}"

    def _target(self, handle: str) -> str:
        return f"{self._root}/trash/{checked_handle(handle)}"

    def _sync(self, folders: set[str]) -> None:
        if len(folders) >= MANY and self._system.can_sync_filesystem():
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._system.sync_filesystem(descriptor)
            finally:
                os.close(descriptor)
            return
        for folder in sorted(folders | {os.path.dirname(folder) for folder in folders}):
            if os.path.isdir(folder):
                self._system.sync_directory(folder)

    @contextlib.contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(
                f"cannot {action} of {self._root}: {error.strerror}; nothing is lost: mend that, then run lake gc again"
            ) from error
