"""Where the right bytes of a damaged object may be had: other lakes, files, and directories of files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from lake.chunks import Chunk
from lake.digest import Digest, digest_of
from lake.errors import LakeError, NotFound, Unreadable
from lake.journal.values import ObjectRecord
from lake.repository import Repository
from lake.stores.base import Location

__all__ = ["GoodBytes", "LakeBytes", "open_sources"]


class GoodBytes(Protocol):
    """A place that may have the bytes of a chunk. What it gives matches the chunk's digest."""

    def find(self, record: ObjectRecord, chunk: Chunk) -> bytes | None: ...

    def close(self) -> None: ...


def open_sources(places: Sequence[str | os.PathLike[str]]) -> list[GoodBytes]:
    """
    Raises:
        NotFound: there is nothing at one of the places.
        LakeError: a lake there cannot be opened.
    """
    opened: list[GoodBytes] = []
    try:
        opened.extend(_open(Path(place).expanduser()) for place in places)
    except BaseException:
        for source in opened:
            source.close()
        raise
    return opened


def _open(place: Path) -> GoodBytes:
    if (place / "lake.toml").exists():
        return LakeBytes(Repository.open(place, readonly=True))
    if place.is_dir():
        return FolderBytes(place)
    if place.is_file():
        return FileBytes(place)
    raise NotFound(f"nothing to heal from at {place}: name a lake, a file or a directory")


class LakeBytes:
    """Objects of the same digest in a lake."""

    def __init__(self, repo: Repository, *, own: bool = False) -> None:
        """``own``: it is the damaged lake itself, where an object may lie twice."""
        self._repo = repo
        self._own = own

    def find(self, record: ObjectRecord, chunk: Chunk) -> bytes | None:
        for location in self._locations(record):
            try:
                data = self._repo.store.read(location, chunk.offset, chunk.length)
            except LakeError:
                continue
            if digest_of(data) == chunk.digest:
                return data
        return None

    def _locations(self, record: ObjectRecord) -> Iterator[Location]:
        if not self._own:
            known = self._repo.journal.locations([record.digest]).get(record.digest)
            if known is not None:
                yield known
        plain = self._repo.store.has(record.digest)
        if plain is not None and (not self._own or plain.handle != record.location.handle):
            yield plain

    def close(self) -> None:
        if not self._own:
            self._repo.close()


class FileBytes:
    """A file that holds what an object holds, at least in part, at the same offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, record: ObjectRecord, chunk: Chunk) -> bytes | None:
        return _matching(self._path, chunk)

    def close(self) -> None:
        pass


class FolderBytes:
    """Any regular file below a directory, those of the object's size first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: dict[Digest, Path] = {}
        """The file that had a chunk of the object: it is likely to have the next."""

    def find(self, record: ObjectRecord, chunk: Chunk) -> bytes | None:
        known = self._last.get(record.digest)
        for path in ([known] if known is not None else []) + self._candidates(record, chunk):
            data = _matching(path, chunk)
            if data is not None:
                self._last[record.digest] = path
                return data
        return None

    def _candidates(self, record: ObjectRecord, chunk: Chunk) -> list[Path]:
        same = self._by_size.get(record.size, [])
        others = (size for size in self._by_size if size != record.size and size >= chunk.offset + chunk.length)
        return [*same, *(path for size in others for path in self._by_size[size])]

    @cached_property
    def _by_size(self) -> dict[int, list[Path]]:
        found: dict[int, list[Path]] = defaultdict(list)
        for folder, _, names in os.walk(self._folder, onerror=_unreadable):
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    found[path.stat().st_size].append(path)
        return found

    def close(self) -> None:
        pass


def _unreadable(error: OSError) -> None:
    raise Unreadable(f"cannot list {error.filename}: {error.strerror}") from error


def _matching(path: Path, chunk: Chunk) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            # Before the read, which would make room for whatever length is recorded.
            if os.fstat(file.fileno()).st_size < chunk.offset + chunk.length:
                return None
            file.seek(chunk.offset)
            data = bytearray()
            while len(data) < chunk.length and (piece := file.read(chunk.length - len(data))):
                data += piece
    except OSError:
        return None
    return bytes(data) if digest_of(data) == chunk.digest else None
