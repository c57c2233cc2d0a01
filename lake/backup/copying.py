"""Copying the stored files of one lake directory into another: hashed on the way, durable before they are named."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import StorageError
from lake.progress import Progress
from lake.stores.durable import System, write_all
from lake.stores.modes import file_mode, make_folder
from lake.stores.places import checked_handle
from lake.stores.publishing import Publisher
from lake.stores.staged import StagedFile

__all__ = ["Folder", "digest_in", "needed_files"]

_PIECE = 4 << 20
_SECTOR = 4096
_FILES = 256
_BYTES = 1 << 30
"""Files, and bytes of them, that are made durable and named together."""
_RESERVE = 16 << 20
"""Bytes left free beside stored files: for directories, a manifest, the log."""


def digest_in(handle: str) -> Digest:
    """Every stored file, plain or a pack, is named by the digest of its bytes."""
    return Digest(checked_handle(handle).rpartition("/")[2])


def needed_files(files: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Each file once, and bytes that it has at least; `lake.journal.base.Journal.files` repeats packs."""
    packs: dict[str, int] = {}
    for handle, end in files:
        if handle.startswith("packs/"):
            packs[handle] = max(end, packs.get(handle, 0))
        else:
            yield handle, end
    yield from packs.items()


class Folder:
    """A directory that is becoming a copy of a lake's. ``staging/`` in it holds what has no name yet.

    A context manager: what is staged and not published goes at the end. OSErrors become `StorageError` with a way out.
    """

    def __init__(self, root: Path, system: System) -> None:
        self.root = root
        self.system = system
        self.staging = root / "staging"
        self.damaged: list[str] = []
        """Handles of files that were copied and do not match their digests."""
        self.copied = 0
        self.bytes = 0
        self._batch: list[StagedFile] = []
        self._batched = 0
        self._descriptor = -1

    def __enter__(self) -> Self:
        with self._told():
            if not self.staging.exists():
                make_folder(self.staging)
            self._clear()
            # Opened before any write, so that a sync of it tells of every one that failed.
            self._descriptor = os.open(self.staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._clear()
        if isinstance(error, OSError):
            with self._told():
                raise error

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageError(f"no space left for {self.root}: free some, then run the command again") from error
            if error.errno is None:
                raise
            where = f" ({error.filename})" if error.filename else ""
            raise StorageError(f"copying to {self.root} failed: {error.strerror}{where}") from error

    def _clear(self) -> None:
        for path in self.staging.iterdir():
            path.unlink()

    def take(self, sources: Iterable[Path], handle: str, progress: Progress, *, verify: bool) -> bool:
        """Stage a file from the first of the places that has it; False when none does.

        Args:
            verify: hash it even where its blocks can be shared with the source.
        """
        for path in sources:
            try:
                source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                self._stage(source, handle, progress, verify=verify)
            finally:
                os.close(source)
            return True
        return False

    def _stage(self, source: int, handle: str, progress: Progress, *, verify: bool) -> None:
        wanted = digest_in(handle)
        path = self.staging / wanted
        target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if self.system.clone(source, target):
                found, size = _hash(target) if verify else wanted, os.fstat(target).st_size
            else:
                found, size = _copy(self.system, source, target, progress)
            os.fchmod(target, 0o444)
        finally:
            os.close(target)
        if found != wanted:
            self.damaged.append(handle)
        self._batch.append(StagedFile(found, size, os.fspath(path), handle, None))
        self._batched += size
        self.copied += 1
        self.bytes += size
        crash_point("backup-staged")
        if len(self._batch) >= _FILES or self._batched >= _BYTES:
            self.publish()

    def publish(self) -> None:
        """Make what is staged durable, then give it its names."""
        if not self._batch:
            return
        for top in {file.handle.split("/")[0] for file in self._batch}:
            if not (self.root / top).exists():
                make_folder(self.root / top)
        Publisher(os.fspath(self.root), self.system, lambda _: None).publish(self._batch, self._descriptor)
        self._batch, self._batched = [], 0

    def require(self, size: int) -> None:
        """Raises StorageError unless there is room for that many bytes."""
        free = shutil.disk_usage(self.root).free
        needed = size + _RESERVE if size else 0
        if needed > free:
            raise StorageError(
                f"{self.root} has {free:,} bytes free, {needed:,} are needed: free some, or name another directory"
            )

    def place(self, source: Path, name: str) -> None:
        """Put a file of the staging, or a copy of one elsewhere, into the place of the file of that name, durably."""
        staged = self.staging / source.name
        if source.parent != self.staging:
            with open(source, "rb", buffering=0) as read, open(staged, "xb", buffering=0) as written:
                while piece := read.read(_PIECE):
                    write_all(self.system, written.fileno(), piece)
        descriptor = os.open(staged, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, file_mode(self.root))
            self.system.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.system.replace(os.fspath(staged), os.fspath(self.root / name))
        self.system.sync_directory((self.root / name).parent)

    def write(self, name: str, content: bytes) -> None:
        """Put a small file of that name in place, durably."""
        (self.staging / name).write_bytes(content)
        self.place(self.staging / name, name)


def _copy(system: System, source: int, target: int, progress: Progress) -> tuple[Digest, int]:
    hasher, size = blake3(), 0
    for piece in _pieces(source):
        hasher.update(piece)
        write_all(system, target, piece)
        system.start_writeback(target, size, len(piece))
        size += len(piece)
        progress.advance(len(piece))
    return Digest(hasher.hexdigest()), size


def _hash(descriptor: int) -> Digest:
    hasher = blake3()
    for piece in _pieces(descriptor):
        hasher.update(piece)
    return Digest(hasher.hexdigest())


def _pieces(descriptor: int) -> Iterator[bytes]:
    """A file from its first byte on; zeros where a disk that fails cannot be read, so that the rest is saved.

    The digest of the whole, and of each chunk that is hit, tells that they are not the file's.
    """
    size, offset = os.fstat(descriptor).st_size, 0
    while offset < size:
        try:
            piece = os.pread(descriptor, _PIECE, offset)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            piece = b"".join(
                _block(descriptor, start, min(_SECTOR, size - start))
                for start in range(offset, min(offset + _PIECE, size), _SECTOR)
            )
        if not piece:
            return
        yield piece
        offset += len(piece)


def _block(descriptor: int, offset: int, length: int) -> bytes:
    try:
        return os.pread(descriptor, length, offset).ljust(length, b"\0")
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return bytes(length)
