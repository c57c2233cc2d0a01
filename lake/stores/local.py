"""Objects as plain files under a directory: `objects/ab/<digest>`, mode 0444, one file an object."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from lake.digest import Digest
from lake.errors import InvalidInput, NotFound, StorageError
from lake.stores.base import Capabilities, Location
from lake.stores.durable import System
from lake.stores.localbatch import LocalBatch

__all__ = ["LocalStore"]

_HANDLE = re.compile(r"objects/([0-9a-f]{2})/(\1[0-9a-f]{62})")
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
            os.makedirs(os.path.join(store._root, folder), exist_ok=True)
        store._system.sync_directory(store._root)
        return store

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(local_paths=True, durable=True, links=True)

    # -- writing ------------------------------------------------------------------------------------------------
    def batch(self, session: str) -> LocalBatch:
        """Start a batch whose files are staged under ``staging/<session>``."""
        return LocalBatch(self._root, self._staging(session), self._system, self.forget)

    def delete(self, digest: Digest) -> bool:
        """Remove the object; False when it was not there."""
        location = _location(digest, 0)
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
        """The object as a plain, buffered file.

        Raises:
            NotFound: the bytes are not there.
            StorageError: they cannot be opened, or are not as many as recorded.
        """
        path = self._path(location.handle)
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            raise NotFound(f"object is missing: {path}; lake fsck tells what it belongs to") from None
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from error
        size = os.fstat(file.fileno()).st_size
        if location.offset != 0 or size != location.length:
            file.close()
            raise StorageError(f"{path} holds {size} bytes, {location.length} are recorded: damaged; run lake fsck")
        return file

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
            raise StorageError(
                f"{self._root}/{location.handle} ends at {start + len(data)}, {location.length} bytes are recorded: "
                "damaged; run lake fsck"
            )
        return data

    def read_many(self, location: Location, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """One `read` for each ``(offset, length)``, in order."""
        return [self.read(location, offset, length) for offset, length in ranges]

    def has(self, digest: Digest) -> Location | None:
        """Where the object lies, or None. Presence only: says nothing of its bytes."""
        path = self._path(_location(digest, 0).handle)
        try:
            return _location(digest, os.stat(path).st_size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot look at {path}: {error.strerror}") from error

    def list(self) -> Iterator[tuple[Digest, Location]]:
        """Every object that is present, in no order; names that cannot be objects are left to `foreign`.

        Raises:
            StorageError: a directory cannot be read (never a silent part).
        """
        for name, entry in self._names():
            if entry is None:
                continue
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # deleted since the folder was listed
            yield Digest(name[-64:]), Location(name, 0, size)

    def foreign(self) -> Iterator[str]:
        """Names under ``objects/`` that no object can have, relative to the lake.

        Raises:
            StorageError: a directory cannot be read.
        """
        for name, entry in self._names():
            if entry is None:
                yield name

    def forget(self, location: Location) -> None:
        """Drop cached descriptors. It is rare, and opening again is cheap: all of them go."""
        self._open_file.cache_clear()

    def local_path(self, location: Location) -> Path | None:
        """The plain file that holds exactly the object."""
        return Path(self._path(location.handle)) if location.offset == 0 else None

    # -- names --------------------------------------------------------------------------------------------------
    def _path(self, handle: str) -> str:
        if _HANDLE.fullmatch(handle) is None:
            raise InvalidInput(f"not the place of an object: {handle!r}")
        return f"{self._root}/{handle}"

    def _staging(self, session: str) -> str:
        if _SESSION.fullmatch(session) is None:
            raise InvalidInput(f"not a session: {session!r}")
        return f"{self._root}/staging/{session}"

    def _open_uncached(self, handle: str) -> _OpenFile:
        path = self._path(handle)
        try:
            return _OpenFile(path)
        except FileNotFoundError:
            raise NotFound(f"object is missing: {path}; lake fsck tells what it belongs to") from None
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from error

    def _names(self) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
        """Every name under ``objects/``, with its entry where it is that of an object."""
        top = f"{self._root}/objects"
        try:
            with os.scandir(top) as folders:
                for folder in list(folders):
                    if not folder.is_dir(follow_symlinks=False):
                        yield f"objects/{folder.name}", None
                        continue
                    with os.scandir(folder.path) as entries:
                        for entry in entries:
                            name = f"objects/{folder.name}/{entry.name}"
                            known = _HANDLE.fullmatch(name) is not None and entry.is_file(follow_symlinks=False)
                            yield name, entry if known else None
        except OSError as error:
            raise StorageError(f"cannot list objects under {top}: {error.strerror}; is its disk there?") from error


def _location(digest: Digest, length: int) -> Location:
    return Location(f"objects/{digest[:2]}/{digest}", 0, length)
