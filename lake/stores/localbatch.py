"""The write recipe of the local store: stage, hash, sync, name, sync again.

Order, for every object: its bytes are durable before it has its name, its name is durable before `publish` returns.
A crash in between leaves the old state and a staging directory that the session's lease lets others reap.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from blake3 import blake3

from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import InvalidInput, LakeError, SourceChanged, StorageError
from lake.stores.base import Known, Location, Method, Settle, Staged, Stored, Watcher
from lake.stores.durable import System, write_all
from lake.stores.existing import Worth, survey
from lake.stores.intake import SourceFile, stream_filler, take_in
from lake.stores.modes import make_folders
from lake.stores.moves import MovedSource, may_move
from lake.stores.places import pack_handle, plain_handle, plain_location
from lake.stores.publishing import MANY, Publisher
from lake.stores.spool import PACK_LIMIT, Spool
from lake.stores.staged import Packed, StagedFile

__all__ = ["LocalBatch"]

_SMALL = 256 << 10
"""Files below this size are read at once: threads and buffers cost more than they save."""

PACKED_SIZE = 32 << 10
"""Files below this size that are copied go into a pack, …"""

PACKED_FILES = 64
"""… when there are at least so many of them."""

_WRITEBACK = 8 << 20
"""Bytes after which the kernel is asked to begin writing: the disk works while the rest is read and hashed."""


class LocalBatch:
    """A `lake.stores.base.Batch` of the local store. Puts may come from several threads."""

    def __init__(
        self,
        root: str,
        session: str,
        system: System,
        forget: Callable[[Location], None],
        known: Known | None = None,
        settle: Settle | None = None,
    ) -> None:
        """``session`` is the session's staging directory; ``forget`` is told of files that were replaced."""
        self._root = root
        self._session = session
        self._system = system
        self._publisher = Publisher(root, system, forget)
        self._known = known
        self._settle = settle if settle is not None else lambda _: 0
        self._folder: str | None = None
        self._folder_fd = -1
        self._lock = threading.Lock()
        self._tokens = itertools.count()
        self._staged: dict[int, StagedFile | Packed] = {}
        self._spools: list[Spool] = []
        self._spooled: dict[Digest, Packed] = {}
        self._moved: dict[int, MovedSource] = {}
        self._published: set[int] = set()

    # -- taking in ----------------------------------------------------------------------------------------------
    def put_stream(self, source: BinaryIO, watcher: Watcher | None = None) -> Staged:
        """Take in a stream to its end."""
        with self._staging_file() as (fd, path, token):
            digest, size = take_in(stream_filler(source), self._writer(fd), watcher)
            os.fchmod(fd, 0o444)
            crash_point("staging-written")
            return self._register(token, StagedFile(digest, size, path, plain_handle(digest), fd))

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
            return self._copy(file, watcher, pack=method is Method.COPY, clone=method is Method.REFLINK)

    def _copy(self, file: SourceFile, watcher: Watcher | None, *, pack: bool = False, clone: bool = False) -> Staged:
        if file.status.st_size < _SMALL and not clone:
            return self._copy_small(file, watcher, pack=pack)
        with self._staging_file() as (fd, path, token):
            if clone and self._system.clone(file.fd, fd):
                with SourceFile(path) as cloned:
                    digest, size = take_in(cloned.fill, _discard, watcher)
            else:
                digest, size = take_in(file.fill, self._writer(fd), watcher)
                file.check_unchanged(size)
            os.fchmod(fd, 0o444)
            crash_point("staging-written")
            return self._register(token, StagedFile(digest, size, path, plain_handle(digest), fd))

    def _copy_small(self, file: SourceFile, watcher: Watcher | None, *, pack: bool) -> Staged:
        data = file.read_small()
        digest = Digest(blake3(data).hexdigest())
        if watcher is not None and data:
            watcher.update(memoryview(data))
        file.check_unchanged(len(data))
        if pack and len(data) < PACKED_SIZE:
            return self._spool(digest, data)
        staged, token = self._stage_bytes(digest, data, keep_open=True)
        return self._register(token, staged)

    def _stage_bytes(self, digest: Digest, data: bytes, *, keep_open: bool) -> tuple[StagedFile, int]:
        """A file of its own in staging, and its token."""
        with self._staging_file() as (fd, path, token):
            self._write(fd, data)
            os.fchmod(fd, 0o444)
            crash_point("staging-written")
        staged = StagedFile(digest, len(data), path, plain_handle(digest), fd)
        if not keep_open:
            staged.close()
        return staged, token

    def _spool(self, digest: Digest, data: bytes) -> Staged:
        path, token = self._new_name()
        with self._lock:
            item = self._spooled.get(digest)
            if item is None:
                if not self._spools or self._spools[-1].size + len(data) > PACK_LIMIT:
                    self._spools.append(Spool(path, self._system))
                spool = self._spools[-1]
                try:
                    item = Packed(digest, len(data), spool, spool.append(data))
                except OSError as error:
                    raise _failed("write to", self._session, error) from error
                self._spooled[digest] = item
            self._staged[token] = item
        crash_point("staged")
        return Staged(digest, len(data), token)

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
            return self._register(token, StagedFile(digest, size, path, plain_handle(digest), os.dup(file.fd)))
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
                    make_folders(folder)
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

    def _register(self, token: int, file: StagedFile) -> Staged:
        with self._lock:
            if len(self._staged) >= MANY - 1:
                file.close()
            self._staged[token] = file
        crash_point("staged")
        return Staged(file.digest, file.size, token)

    # -- between ------------------------------------------------------------------------------------------------
    def open(self, staged: Staged) -> BinaryIO:
        """Something staged and not yet published as a seekable, read-only file.

        Raises:
            StorageError: the disk failed.
        """
        item = self._find(staged)
        try:
            if isinstance(item, StagedFile):
                return open(item.path, "rb")
            with self._lock:
                return cast("BinaryIO", io.BufferedReader(io.BytesIO(item.read())))
        except OSError as error:
            raise _failed("read", self._session, error) from error

    def drop(self, staged: Staged) -> None:
        """Take something staged out of the batch and remove it at once; a source that was to be moved stays.

        Of what is to be packed no more than the name goes at once: its bytes do not come into any pack.
        """
        item = self._find(staged)
        with self._lock:
            del self._staged[staged.token]
        moved = self._moved.pop(staged.token, None)
        if moved is not None and moved.linked:
            moved.restore_mode()
        if isinstance(item, StagedFile):
            item.discard()

    def _find(self, staged: Staged) -> StagedFile | Packed:
        try:
            return self._staged[staged.token]
        except KeyError:
            raise InvalidInput(f"object {staged.digest} is not staged in this batch") from None

    # -- publishing ---------------------------------------------------------------------------------------------
    def publish(self) -> list[Stored]:
        """Make everything staged so far durable, in the order of the puts; many small files become packs.

        Raises:
            StorageError: the disk failed. Nothing of what was staged may be named by a commit; its staging is gone.
        """
        with self._lock:
            staged, self._staged = self._staged, {}
            spools, self._spools = self._spools, []
            self._spooled = {}
        items = [staged[token] for token in sorted(staged)]
        leftovers: list[StagedFile | Spool] = [*spools, *(item for item in items if isinstance(item, StagedFile))]
        try:
            for token in self._moved.keys() & staged.keys():
                if self._moved[token].linked:
                    self._moved[token].check_unchanged()
            stored = self._publish(items, leftovers) if items else []
        except LakeError:
            raise
        except OSError as error:
            raise _failed("publish objects in", self._root, error) from error
        finally:
            for each in leftovers:
                each.discard()
        self._published.update(staged)
        return stored

    def _publish(self, items: Sequence[StagedFile | Packed], leftovers: list[StagedFile | Spool]) -> list[Stored]:
        """What is made in staging on the way joins ``leftovers``, to be discarded in any case."""
        first: dict[Digest, StagedFile | Packed] = {}
        for item in items:
            first.setdefault(item.digest, item)
        known = dict(self._known(list(first))) if self._known is not None else {}
        # Before any of them is looked at: what is found good after this is noticed when it goes.
        handles = [*map(plain_handle, first), *(place.handle for place in known.values())]
        probe = self._settle(list(dict.fromkeys(handles)))
        worth = survey(self._root, known, self._system)
        results = {
            digest: Stored(digest, known[digest], new=False, healed=False, probe=probe)
            for digest, value in worth.items()
            if value is Worth.GOOD
        }
        wanted = [item for digest, item in first.items() if digest not in results]
        files, packed = self._arrange(wanted, leftovers)
        if packed:
            # Names of packs are known only now.
            self._settle(list({place.handle for place in packed.values()}))
        crash_point("probed")
        named = dict(zip((file.handle for file in files), self._publisher.publish(files, self._folder_fd), strict=True))
        for item in wanted:
            location = packed.get(item.digest) or plain_location(item.digest, item.size)
            new, healed = named[location.handle]
            lost = worth.get(item.digest) is Worth.LOST
            fresh, mended = new and not lost, healed or lost
            results[item.digest] = Stored(item.digest, location, new=fresh, healed=mended, probe=probe)
        stored = []
        for item in items:
            stored.append(results[item.digest])
            results[item.digest] = results[item.digest]._replace(new=False, healed=False)
        return stored

    def _arrange(
        self, wanted: Sequence[StagedFile | Packed], leftovers: list[StagedFile | Spool]
    ) -> tuple[list[StagedFile], dict[Digest, Location]]:
        """The files to publish, and where the objects lie that are to be in packs."""
        files = [item for item in wanted if isinstance(item, StagedFile)]
        packed: dict[Digest, Location] = {}
        members: dict[Spool, list[Packed]] = {}
        for item in wanted:
            if isinstance(item, Packed):
                members.setdefault(item.spool, []).append(item)
        for spool, group in members.items():
            if len(group) < PACKED_FILES:
                for item in group:
                    file = self._stage_bytes(item.digest, item.read(), keep_open=len(files) < MANY)[0]
                    leftovers.append(file)
                    files.append(file)
                continue
            if sum(item.size for item in group) < spool.size:
                # Something in it was dropped, or is in the store already: a pack has no dead bytes to begin with.
                spool = Spool(self._new_name()[0], self._system)
                leftovers.append(spool)
                group = [item._replace(spool=spool, offset=spool.append(item.read())) for item in group]
            fd, digest = spool.seal()
            pack = StagedFile(digest, spool.size, spool.path, pack_handle(digest), fd)
            leftovers.append(pack)
            files.append(pack)
            packed.update((item.digest, Location(pack.handle, item.offset, item.size)) for item in group)
        return files, packed

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
        for each in (*self._spools, *self._staged.values()):
            if not isinstance(each, Packed):
                each.discard()
        self._spools, self._spooled, self._staged = [], {}, {}
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


def _discard(_: memoryview) -> None:
    """Stores nothing: the bytes are in place already."""


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
