"""Objects as files under a directory: one file an object, or many small objects in a pack; mode 0444."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from lake.digest import Digest
from lake.errors import InvalidInput, NotFound, StorageError
from lake.stores.base import Capabilities, Known, Location, Settle
from lake.stores.durable import System
from lake.stores.localbatch import LocalBatch
from lake.stores.mending import mend
from lake.stores.modes import make_folders
from lake.stores.places import checked_handle, is_pack, is_plain, plain_location

__all__ = ["LocalStore", "StoredFile"]

_SESSION = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_OPEN_FILES = 64


class _OpenFile:
    """A descriptor that closes when the cache and every read under way have let go of it."""

    __slots__ = ("fd",)

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class StoredFile(NamedTuple):
    """A file of a local store."""

    handle: str
    size: int
    inode: int
    """Files with numbers close to each other tend to lie close to each other on a disk."""


class LocalStore:
    """An `ObjectStore` in the directory of a lake. Make a new one with `LocalStore.create`."""

    def __init__(self, root: Path, system: System | None = None) -> None:
        self._root = os.fspath(Path(root).absolute())
        self._system = system if system is not None else System()
        # lru_cache takes no lock that a fork could leave taken.
        self._open_file = functools.lru_cache(_OPEN_FILES)(self._open_uncached)

    @classmethod
    def create(cls, root: Path, system: System | None = None) -> LocalStore:
        """The store of a directory that is about to become a lake; its folders are durable when this returns."""
        store = cls(root, system)
        for folder in ("objects", "staging"):
            make_folders(os.path.join(store._root, folder))
        store._system.sync_directory(store._root)
        return store

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(local_paths=True, durable=True, links=True)

    # -- writing ------------------------------------------------------------------------------------------------
    def batch(self, session: str, known: Known | None = None, settle: Settle | None = None) -> LocalBatch:
        """Start a batch whose files are staged under ``staging/<session>``."""
        return LocalBatch(self._root, self._staging(session), self._system, self.forget, known, settle)

    def delete(self, digest: Digest) -> bool:
        """Remove the object's own file; False when there was none."""
        location = plain_location(digest, 0)
        try:
            os.unlink(self._path(location.handle))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"cannot delete object {digest}: {error.strerror}") from error
        finally:
            self.forget(location)
        return True

    def reap(self, session: str) -> None:
        """Remove whatever staging a dead session left."""
        path = self._staging(session)
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"cannot remove staging {path}: {error.strerror}") from error

    def sessions(self) -> list[str]:
        """Sessions that have staging."""
        try:
            names = os.listdir(os.path.join(self._root, "staging"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"cannot list staging of {self._root}: {error.strerror}") from error
        return sorted(name for name in names if _SESSION.fullmatch(name))

    # -- reading ------------------------------------------------------------------------------------------------
    def open(self, location: Location) -> BinaryIO:
        """The object as a buffered file: the plain one where it has one, else a small one in memory.

        Raises:
            NotFound: the bytes are not there.
            StorageError: they cannot be opened, or are not as many as recorded.
        """
        if is_pack(location.handle):
            return self._open_packed(location)
        path = self._path(location.handle)
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            raise self._missing(location.handle) from None
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from error
        size = os.fstat(file.fileno()).st_size
        if location.offset != 0 or size != location.length:
            file.close()
            raise StorageError(f"{path} holds {size} bytes, {location.length} are recorded: damaged; run lake fsck")
        return file

    def _open_packed(self, location: Location) -> BinaryIO:
        size = self._size(location.handle)
        if size is None:
            raise self._missing(location.handle)
        if location.offset + location.length > size:
            # Before the read, which would make room for whatever length is recorded.
            raise self._cut_off(location)
        # Buffered, since a BytesIO alone could be written to.
        return cast("BinaryIO", io.BufferedReader(io.BytesIO(self.read(location, 0, location.length))))

    def read(self, location: Location, offset: int, length: int) -> bytes:
        """The bytes ``[offset, offset + length)`` of the object, clamped at its end. Unverified."""
        if offset < 0 or length < 0:
            raise InvalidInput(f"cannot read {length} bytes at {offset} of an object")
        wanted = min(length, location.length - offset)
        if wanted <= 0:
            return b""
        file = self._open_file(location.handle)
        start = location.offset + offset
        try:
            data = os.pread(file.fd, wanted, start)
            while len(data) < wanted and (more := os.pread(file.fd, wanted - len(data), start + len(data))):
                data += more
        except OSError as error:
            raise StorageError(f"cannot read {self._root}/{location.handle}: {error.strerror}") from error
        if len(data) < wanted:
            raise self._cut_off(location)
        return data

    def _missing(self, handle: str) -> NotFound:
        return NotFound(f"object is missing: {self._root}/{handle}; lake fsck tells what it belongs to")

    def _cut_off(self, location: Location) -> StorageError:
        end = location.offset + location.length
        return StorageError(
            f"{self._root}/{location.handle} ends before {end}, where an object should: damaged; run lake fsck"
        )

    def read_many(self, location: Location, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """One `read` for each ``(offset, length)``, in order."""
        return [self.read(location, offset, length) for offset, length in ranges]

    def has(self, digest: Digest) -> Location | None:
        """The object's own file, or None. Presence only: says nothing of its bytes."""
        location = plain_location(digest, 0)
        size = self._size(location.handle)
        return None if size is None else location._replace(length=size)

    def present(self, location: Location) -> int:
        """How many of the object's bytes are there, from its first on; 0 when nothing is."""
        size = self._size(location.handle)
        return 0 if size is None else max(0, min(size - location.offset, location.length))

    def _size(self, handle: str) -> int | None:
        path = self._path(handle)
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot look at {path}: {error.strerror}") from error

    def list(self) -> Iterator[tuple[Digest, Location]]:
        """Every object that has a file of its own, in no order; names that cannot be objects are left to `foreign`.

        Raises:
            StorageError: a directory cannot be read (never a silent part).
        """
        for name, size in self._sizes("objects"):
            yield Digest(name[-64:]), Location(name, 0, size)

    def handles(self) -> Iterator[str]:
        """Every file that may hold objects, plain ones and packs, in no order; none of them is looked at.

        Raises:
            StorageError: a directory cannot be read (never a silent part).
        """
        for top in ("objects", "packs"):
            for name, entry in self._names(top):
                if entry is not None:
                    yield name

    def status(self, handle: str) -> os.stat_result | None:
        """What the filesystem says of a stored file; None where there is none.

        Raises:
            StorageError: it cannot be told.
        """
        path = self._path(handle)
        try:
            return os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot look at {path}: {error.strerror}") from error

    def packs(self) -> Iterator[tuple[str, int]]:
        """Handle and size in bytes of every pack, in no order.

        Raises:
            StorageError: the directory cannot be read (never a silent part).
        """
        return self._sizes("packs")

    def files(self) -> Iterator[StoredFile]:
        """Every stored file, plain ones and packs, in no order.

        Raises:
            StorageError: a directory cannot be read (never a silent part).
        """
        for top in ("objects", "packs"):
            for name, entry in self._names(top):
                # What has gone since the folder was listed is not there.
                with contextlib.suppress(FileNotFoundError):
                    if entry is not None:
                        yield StoredFile(name, entry.stat(follow_symlinks=False).st_size, entry.inode())

    def file(self, handle: str) -> StoredFile | None:
        """A stored file, or None where there is none."""
        path = self._path(handle)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot look at {path}: {error.strerror}") from error
        return StoredFile(handle, status.st_size, status.st_ino)

    def mend(
        self, handle: str, pieces: Iterable[bytes], staging: Path, in_part: Callable[[], bool] = lambda: False
    ) -> bool:
        """Write a damaged or missing file anew; see `lake.stores.mending.mend`."""
        done = mend(self._root, checked_handle(handle), pieces, os.fspath(staging), self._system, in_part)
        if done:
            self._open_file.cache_clear()
        return done

    def foreign(self) -> Iterator[str]:
        """Names under ``objects/`` and ``packs/`` that neither objects nor packs can have, relative to the lake.

        Raises:
            StorageError: a directory cannot be read.
        """
        for top in ("objects", "packs"):
            for name, entry in self._names(top):
                if entry is None:
                    yield name

    def forget(self, location: Location) -> None:
        """Drop cached descriptors. It is rare, and opening again is cheap: all of them go."""
        self._open_file.cache_clear()

    def local_path(self, location: Location) -> Path | None:
        """The plain file that holds exactly the object."""
        return None if is_pack(location.handle) else Path(self._path(location.handle))

    # -- names --------------------------------------------------------------------------------------------------
    def _path(self, handle: str) -> str:
        return f"{self._root}/{checked_handle(handle)}"

    def _staging(self, session: str) -> str:
        if _SESSION.fullmatch(session) is None:
            raise InvalidInput(f"not a session: {session!r}")
        return f"{self._root}/staging/{session}"

    def _open_uncached(self, handle: str) -> _OpenFile:
        path = self._path(handle)
        try:
            return _OpenFile(path)
        except FileNotFoundError:
            raise self._missing(handle) from None
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from error

    def _sizes(self, top: str) -> Iterator[tuple[str, int]]:
        for name, entry in self._names(top):
            if entry is None:
                continue
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # deleted since the folder was listed
            yield name, size

    def _names(self, top: str) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
        """Every name in the folders of ``objects``, or in ``packs``, with its entry where it is one of the store's."""
        try:
            with os.scandir(f"{self._root}/{top}") as entries:
                for entry in list(entries):
                    name = f"{top}/{entry.name}"
                    if top == "objects" and entry.is_dir(follow_symlinks=False):
                        yield from self._names(name)
                        continue
                    known = (is_plain(name) or is_pack(name)) and entry.is_file(follow_symlinks=False)
                    yield name, entry if known else None
        except StorageError:
            raise  # of a folder inside
        except OSError as error:
            if top == "packs" and isinstance(error, FileNotFoundError):
                return  # made with the first pack
            raise StorageError(
                f"cannot list objects under {self._root}/{top}: {error.strerror}; is its disk there?"
            ) from error
