"""The write recipe of the local store: stage, hash, sync, name, sync again.

Order, for every object: its bytes are durable before it has its name, its name is durable before `publish` returns.
A crash in between leaves the old state and a staging directory that the session's lease lets others reap.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from blake3 import blake3

from lake.digest import Digest
from lake.errors import InvalidInput, LakeError, SourceChanged, StorageError
from lake.stores.base import Location, Method, Staged, Stored, Watcher
from lake.stores.crashpoints import crash_point
from lake.stores.durable import System, write_all
from lake.stores.existing import examine
from lake.stores.intake import SourceFile, stream_filler, take_in
from lake.stores.moves import MovedSource, may_move

__all__ = ["LocalBatch"]

_SMALL = 256 << 10
"""Files below this size are read at once: threads and buffers cost more than they save."""

_MANY = 64
"""From this many files or directories on, one sync of the filesystem is faster than one each."""

_WRITEBACK = 8 << 20
"""Bytes after which the kernel is asked to begin writing: the disk works while the rest is read and hashed."""


@dataclass(slots=True)
class _StagedFile:
    """A complete file in staging."""

    digest: Digest
    size: int
    token: int
    path: str
    fd: int | None
    """Kept open for its sync, which then reports every failed write; None in batches of many files."""


class LocalBatch:
    """A `lake.stores.base.Batch` of the local store. Puts may come from several threads."""

    def __init__(self, root: str, session: str, system: System, forget: Callable[[Location], None]) -> None:
        """``session`` is the session's staging directory; ``forget`` is told of objects that were replaced."""
        self._root = root
        self._session = session
        self._system = system
        self._forget = forget
        self._folder: str | None = None
        self._folder_fd = -1
        self._lock = threading.Lock()
        self._tokens = itertools.count()
        self._staged: dict[int, _StagedFile] = {}
        self._moved: dict[int, MovedSource] = {}
        self._published: set[int] = set()

    # -- taking in ----------------------------------------------------------------------------------------------
    def put_stream(self, source: BinaryIO, watcher: Watcher | None = None) -> Staged:
        """Take in a stream to its end."""
        with self._staging_file() as (fd, path, token):
            digest, size = take_in(stream_filler(source), self._writer(fd), watcher)
            os.fchmod(fd, 0o444)
            crash_point("staging-written")
            return self._register(_StagedFile(digest, size, token, path, fd))

    def put_file(self, source: Path, watcher: Watcher | None = None, method: Method = Method.COPY) -> Staged:
        """Take in a file.

        Raises:
            NotFound, IsDirectory, InvalidInput: no regular file.
            SourceChanged: the file changed, shrank or vanished while it was read.
            StorageError: the disk is full or failed; nothing of this file remains staged.
        """
        with SourceFile(source) as file:
            if method is Method.MOVE:
                staged = self._move(file, watcher)
                return staged if staged is not None else self._copy_and_forget_source(file, watcher)
            return self._copy(file, watcher, clone=method is Method.REFLINK)

    def _copy(self, file: SourceFile, watcher: Watcher | None, *, clone: bool = False) -> Staged:
        if file.status.st_size < _SMALL and not clone:
            return self._copy_small(file, watcher)
        with self._staging_file() as (fd, path, token):
            if clone and self._system.clone(file.fd, fd):
                with SourceFile(path) as cloned:
                    digest, size = take_in(cloned.fill, _discard, watcher)
            else:
                digest, size = take_in(file.fill, self._writer(fd), watcher)
                file.check_unchanged(size)
            os.fchmod(fd, 0o444)
            crash_point("staging-written")
            return self._register(_StagedFile(digest, size, token, path, fd))

    def _copy_small(self, file: SourceFile, watcher: Watcher | None) -> Staged:
        data = file.read_small()
        digest = Digest(blake3(data).hexdigest())
        if watcher is not None and data:
            watcher.update(memoryview(data))
        file.check_unchanged(len(data))
        with self._staging_file() as (fd, path, token):
            self._write(fd, data)
            os.fchmod(fd, 0o444)
            crash_point("staging-written")
            return self._register(_StagedFile(digest, len(data), token, path, fd))

    def _copy_and_forget_source(self, file: SourceFile, watcher: Watcher | None) -> Staged:
        staged = self._copy(file, watcher)
        self._moved[staged.token] = MovedSource(file.path, file.status, linked=False)
        return staged

    def _move(self, file: SourceFile, watcher: Watcher | None) -> Staged | None:
        """Stage the file itself under a second name, or None where it has to be copied.

        The lease, held until `publish` through the duplicated descriptor, tells of everybody who would write.
        """
        if not may_move(file, self._system):
            return None
        path, token = self._new_name()
        try:
            os.link(file.path, path, follow_symlinks=False)
        except OSError:
            return None
        moved = MovedSource(file.path, file.status, linked=True)
        crash_point("source-linked")
        try:
            if not os.path.samestat(os.lstat(path), file.status):
                # The path is a symbolic link, or names another file by now.
                os.unlink(path)
                return None
            digest, size = take_in(file.fill, _discard, watcher)
            os.fchmod(file.fd, 0o444)
            file.check_unchanged(size)
            if not self._system.lease_held(file.fd):
                raise SourceChanged(f"{file.path} was opened for writing while it was read; nothing of it is stored")
            self._moved[token] = moved
            return self._register(_StagedFile(digest, size, token, path, os.dup(file.fd)))
        except BaseException:
            self._moved.pop(token, None)
            moved.restore_mode()
            _remove(path)
            raise

    @contextlib.contextmanager
    def _staging_file(self) -> Iterator[tuple[int, str, int]]:
        """A new file in staging: descriptor, path, token. It goes again when the block raises."""
        path, token = self._new_name()
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed("write to", path, error) from error
        try:
            yield fd, path, token
        except BaseException:
            os.close(fd)
            _remove(path)
            raise

    def _new_name(self) -> tuple[str, int]:
        with self._lock:
            if self._folder is None:
                folder = f"{self._session}/{secrets.token_hex(8)}"
                try:
                    os.makedirs(folder, mode=0o755)
                    # Opened before any write, so that its sync reports each of them that failed.
                    self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                except OSError as error:
                    raise _failed("make", folder, error) from error
                self._folder = folder
                crash_point("staging-made")
            token = next(self._tokens)
        return f"{self._folder}/{token}", token

    def _write(self, fd: int, data: memoryview | bytes) -> None:
        try:
            write_all(self._system, fd, data)
        except OSError as error:
            raise _failed("write to", self._session, error) from error

    def _writer(self, fd: int) -> Callable[[memoryview], None]:
        written = started = 0

        def write(piece: memoryview) -> None:
            nonlocal written, started
            self._write(fd, piece)
            written += len(piece)
            if written - started >= _WRITEBACK:
                self._system.start_writeback(fd, started, written - started)
                started = written

        return write

    def _register(self, file: _StagedFile) -> Staged:
        with self._lock:
            if len(self._staged) >= _MANY - 1 and file.fd is not None:
                os.close(file.fd)
                file.fd = None
            self._staged[file.token] = file
        crash_point("staged")
        return Staged(file.digest, file.size, file.token)

    # -- between ------------------------------------------------------------------------------------------------
    def open(self, staged: Staged) -> BinaryIO:
        """Something staged and not yet published as a seekable, read-only file.

        Raises:
            StorageError: the disk failed.
        """
        path = self._find(staged).path
        try:
            return open(path, "rb")
        except OSError as error:
            raise _failed("read", path, error) from error

    def drop(self, staged: Staged) -> None:
        """Take something staged out of the batch and remove it at once; a source that was to be moved stays."""
        file = self._find(staged)
        with self._lock:
            del self._staged[file.token]
        moved = self._moved.pop(file.token, None)
        if moved is not None and moved.linked:
            moved.restore_mode()
        _close([file])
        _remove(file.path)

    def _find(self, staged: Staged) -> _StagedFile:
        try:
            return self._staged[staged.token]
        except KeyError:
            raise InvalidInput(f"object {staged.digest} is not staged in this batch") from None

    # -- publishing ---------------------------------------------------------------------------------------------
    def publish(self) -> list[Stored]:
        """Make everything staged so far durable under its digest, in the order of the puts.

        Raises:
            StorageError: the disk failed. Nothing of what was staged may be named by a commit; its staging is gone.
        """
        staged = self._take_staged()
        try:
            stored = self._publish(staged)
        except BaseException as error:
            for file in staged:
                _remove(file.path)
            if isinstance(error, OSError) and not isinstance(error, LakeError):
                raise _failed("publish objects in", self._root, error) from error
            raise
        finally:
            _close(staged)
        self._published.update(file.token for file in staged)
        return stored

    def _take_staged(self) -> list[_StagedFile]:
        """Everything that is staged, in the order of the puts; it is no longer staged afterwards."""
        with self._lock:
            staged, self._staged = self._staged, {}
        return [staged[token] for token in sorted(staged)]

    def _publish(self, staged: list[_StagedFile]) -> list[Stored]:
        if not staged:
            return []
        for file in staged:
            if (moved := self._moved.get(file.token)) is not None and moved.linked:
                moved.check_unchanged()
        self._sync_data(staged)
        crash_point("data-synced")
        folders = {f"{self._root}/objects/{file.digest[:2]}" for file in staged}
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
        stored = []
        named: set[Digest] = set()
        for file in staged:
            if file.digest in named:
                os.unlink(file.path)
                stored.append(Stored(file.digest, _location(file), new=False, healed=False))
                continue
            stored.append(self._name(file))
            named.add(file.digest)
            crash_point("renamed")
        crash_point("names-made")
        self._sync_names(folders)
        crash_point("published")
        return stored

    def _sync_data(self, staged: list[_StagedFile]) -> None:
        if len(staged) >= _MANY and self._system.can_sync_filesystem():
            self._system.sync_filesystem(self._folder_fd)
            return
        closed = []
        for file in staged:
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

    def _sync_names(self, folders: set[str]) -> None:
        if len(folders) >= _MANY and self._system.can_sync_filesystem():
            self._system.sync_filesystem(self._folder_fd)
            return
        for folder in folders:
            self._system.sync_directory(folder)
        # Always: another process may have made a fan-out folder and not yet have come to this line.
        self._system.sync_directory(f"{self._root}/objects")

    def _name(self, file: _StagedFile) -> Stored:
        """Rename a staged file to its digest, or drop it where the same bytes are there already."""
        location = _location(file)
        target = f"{self._root}/{location.handle}"
        while True:
            try:
                self._system.rename_new(file.path, target)
            except FileExistsError:
                pass
            else:
                return Stored(file.digest, location, new=True, healed=False)
            try:
                good, writable = examine(target, file.digest, file.size, self._system)
            except FileNotFoundError:
                continue  # deleted since: the name is free now
            if good and not writable:
                os.unlink(file.path)
            else:
                # A file that somebody may write to, such as one that a failed move left behind, could change later.
                self._system.replace(file.path, target)
                self._forget(location)
            return Stored(file.digest, location, new=False, healed=not good)

    # -- ending -------------------------------------------------------------------------------------------------
    def release(self) -> None:
        """After the commit: remove the sources that were moved.

        Raises:
            SourceChanged: a source has been written to since; it stays.
            StorageError: a source cannot be removed; it stays.
        """
        first: LakeError | None = None
        for token in sorted(self._published & self._moved.keys()):
            moved = self._moved.pop(token)
            try:
                moved.check_unchanged()
                os.unlink(moved.path)
                crash_point("source-removed")
            except LakeError as error:
                first = first or error
            except OSError as error:
                first = first or _failed("remove", moved.path, error)
        if first is not None:
            raise first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        _close(self._take_staged())
        for moved in self._moved.values():
            if moved.linked:
                moved.restore_mode()
        self._moved.clear()
        if self._folder is not None:
            os.close(self._folder_fd)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            # Another batch of the same session may still be at work in there.
            with contextlib.suppress(OSError):
                os.rmdir(self._session)


def _location(file: _StagedFile) -> Location:
    return Location(f"objects/{file.digest[:2]}/{file.digest}", 0, file.size)


def _discard(_: memoryview) -> None:
    """Stores nothing: the bytes are in place already."""


def _close(staged: list[_StagedFile]) -> None:
    for file in staged:
        if file.fd is not None:
            os.close(file.fd)
            file.fd = None


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _failed(action: str, place: str, error: OSError) -> StorageError:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            advice = "make room there, then put again"
        case errno.EIO:
            advice = "the disk fails: what was being stored is not in the lake"
        case errno.ENOENT:
            advice = "something has been removed, or its disk is not there"
        case _:
            advice = "what was being stored is not in the lake"
    return StorageError(f"cannot {action} {place}: {error.strerror}; {advice}")
