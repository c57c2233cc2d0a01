"""Generations: what of the catalog lies on disk. Immutable files, named by a small manifest; the newest one counts.

A generation is a core file (files of the main branch, commits) and segments (objects, chunks, facts), all DuckDB
databases that nobody opens for writing once they have their names.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from blake3 import blake3

from lake.catalog.reach import Reach
from lake.crashpoints import crash_point
from lake.errors import FormatError, LakeError, StorageError
from lake.stores.modes import file_mode, make_folders

__all__ = ["EVERY_BYTE", "CatalogFolder", "DatabaseFile", "Generation"]

EVERY_BYTE = math.inf
"""For `CatalogFolder.newest`."""

_VERSION = 2
"""Of the tables: generations of another version are made anew."""
_KEPT = 2
"""Generations: those who have read the older manifest may still be about to open its files."""
_HASHED = 32 << 20
"""Bytes of a file up to which it is read whole before it is used; DuckDB itself checks the blocks of larger ones."""

_NAME = re.compile(r"(?:core|facts|merged)-[0-9a-f]{16}\.duckdb")

_SYNC = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """One DuckDB file of a generation."""

    name: str
    size: int
    blake3: str
    rows: Mapping[str, int]
    """By table."""

    @property
    def weight(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class Generation:
    number: int
    journal: str
    """`Feed.identity` of the journal that it was read from."""
    reach: Reach
    commit: str | None
    """Hash of the commit ``reach.seq``."""
    families: str
    """Fingerprint of the kinds of facts and their columns: with others the segments say too little."""
    core: DatabaseFile
    segments: tuple[DatabaseFile, ...] = ()
    stale: Mapping[str, int] = field(default_factory=dict)
    """Rows of ``superseded`` in the core, by kind: whether a view has to look at it."""

    @property
    def files(self) -> tuple[DatabaseFile, ...]:
        return (self.core, *self.segments)

    def encode(self) -> bytes:
        """One line of JSON and one with its digest."""
        body = json.dumps({"version": _VERSION, **asdict(self)}, sort_keys=True, ensure_ascii=False).encode()
        return body + b"\n" + blake3(body).hexdigest().encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """
        Raises:
            FormatError: not a manifest, damaged, or of another version.
        """
        body, _, digest = text.partition(b"\n")
        if not _sealed(body, digest):
            raise FormatError("the manifest does not match its digest")
        values: dict[str, Any] = json.loads(body)
        if values.pop("version", None) != _VERSION:
            raise FormatError("the manifest is of another version")
        values["reach"] = Reach(*map(int, values["reach"]))
        values["core"] = DatabaseFile(**values["core"])
        values["segments"] = tuple(DatabaseFile(**segment) for segment in values["segments"])
        generation = cls(**values)
        for file in generation.files:
            # Names become part of paths and of SQL.
            if _NAME.fullmatch(file.name) is None:
                raise FormatError(f"the manifest names {file.name!r}")
        return generation


class CatalogFolder:
    """The folder of the generations."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def newest(self, hashed: float | None = None) -> Generation | None:
        """The newest generation whose manifest and files are whole; None where there is none.

        Args:
            hashed: bytes up to which files are read whole; of larger ones only the size is looked at. None: 32 MiB.
        """
        limit = _HASHED if hashed is None else hashed
        for number in self._numbers():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                generation = Generation.decode(self._manifest(number).read_bytes())
                if all(self._whole(file, limit) for file in generation.files):
                    return generation
        return None

    def latest_number(self) -> int:
        """Greatest number of a manifest, whole or not; 0 without any."""
        return next(self._numbers(), 0)

    def newer_version(self) -> int | None:
        """Version of the newest generation where newer software has made it; else None."""
        with contextlib.suppress(OSError, ValueError):
            body, _, digest = self._manifest(self.latest_number()).read_bytes().partition(b"\n")
            version = json.loads(body)["version"] if _sealed(body, digest) else 0
            return version if version > _VERSION else None
        return None

    def _numbers(self) -> Iterator[int]:
        """Numbers of manifests, newest first."""
        try:
            names = os.listdir(self.path)
        except OSError:
            return iter(())
        found = [name[11:-5] for name in names if name.startswith("generation-") and name.endswith(".json")]
        return iter(sorted((int(number) for number in found if number.isdecimal()), reverse=True))

    def _manifest(self, number: int) -> Path:
        return self.path / f"generation-{number:012d}.json"

    def _whole(self, file: DatabaseFile, limit: float) -> bool:
        path = self.path / file.name
        if path.stat().st_size != file.size:
            return False
        return file.size > limit or _digest(path) == file.blake3

    def discard(self, generation: Generation) -> None:
        """Take a damaged generation out of use."""
        self.discard_manifest(generation.number)

    def discard_manifest(self, number: int) -> None:
        """Take a generation out of use whose manifest is damaged."""
        # Who may not do so goes on without it, too.
        with contextlib.suppress(OSError):
            self._manifest(number).unlink()

    def damaged(self) -> list[Generation]:
        """Generations of which a file is missing or is not what its digest says; reads every byte."""
        whole: dict[str, bool] = {}
        found = []
        for number in self._numbers():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                generation = Generation.decode(self._manifest(number).read_bytes())
                for file in generation.files:
                    if file.name not in whole:
                        whole[file.name] = self._is_whole(file)
                if not all(whole[file.name] for file in generation.files):
                    found.append(generation)
        return found

    def damaged_manifests(self) -> list[int]:
        """Numbers of generations whose manifest does not match its own digest."""
        found = []
        for number in self._numbers():
            with contextlib.suppress(FileNotFoundError):
                body, _, digest = self._manifest(number).read_bytes().partition(b"\n")
                if not _sealed(body, digest):
                    found.append(number)
        return found

    def unnamed(self) -> list[str]:
        """Files of generations that no manifest names: left by a crash, or of a generation that is being published."""
        named = set()
        files = {path.name for path in self.path.glob("*.duckdb") if _NAME.fullmatch(path.name)}
        for number in self._numbers():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                named |= {file.name for file in Generation.decode(self._manifest(number).read_bytes()).files}
        return sorted(files - named)

    def _is_whole(self, file: DatabaseFile) -> bool:
        try:
            return self._whole(file, EVERY_BYTE)
        except OSError:
            return False

    @contextlib.contextmanager
    def building(self) -> Iterator[Path]:
        """A folder for files that are being written; what is left of it goes at the end. One process at a time."""
        folder = self.path / f"building-{secrets.token_hex(4)}"
        try:
            for left in self.path.glob("building-*"):
                _remove(left)
            make_folders(folder)
            try:
                yield folder
            finally:
                _remove(folder)
        except OSError as error:
            if isinstance(error, LakeError):
                raise
            raise StorageError(f"cannot write the catalog in {self.path}: {error.strerror or error}") from error

    def describe(self, path: Path, rows: Mapping[str, int]) -> DatabaseFile:
        """A finished file of `building`, with the name that it will have."""
        digest = _digest(path)
        return DatabaseFile(f"{path.stem}-{digest[:16]}.duckdb", path.stat().st_size, digest, dict(rows))

    def publish(self, generation: Generation, built: Mapping[str, Path], sync_file: _SYNC, sync_folder: _SYNC) -> None:
        """Give files their names, then the manifest, each step durable before the next; then drop what is too old.

        Args:
            generation: what is published.
            built: finished files of `building` by the names that they get.
            sync_file, sync_folder: make a file, or the names in a folder, durable.
        """
        crash_point("generation-built")
        for name, path in built.items():
            path.chmod(0o444)
            sync_file(path)
            path.rename(self.path / name)
            crash_point("generation-file-named")
        sync_folder(self.path)
        crash_point("generation-files-durable")
        manifest = self._manifest(generation.number)
        fresh = manifest.with_name(f"building-{secrets.token_hex(4)}.json")
        fresh.write_bytes(generation.encode())
        fresh.chmod(file_mode(self.path))
        sync_file(fresh)
        crash_point("generation-manifest-written")
        fresh.rename(manifest)
        crash_point("generation-manifest-named")
        sync_folder(self.path)
        crash_point("generation-published")
        self.prune()

    def prune(self) -> None:
        """Drop all but the newest generations, and files that no manifest names. POSIX keeps open ones alive."""
        numbers = list(self._numbers())
        for number in numbers[_KEPT:]:
            self._manifest(number).unlink(missing_ok=True)
        named: set[str] = set()
        for number in numbers[:_KEPT]:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                named |= {file.name for file in Generation.decode(self._manifest(number).read_bytes()).files}
        for path in self.path.glob("*.duckdb"):
            if path.name not in named:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop every generation."""
        for number in list(self._numbers()):
            self._manifest(number).unlink(missing_ok=True)
        self.prune()


def _sealed(body: bytes, digest: bytes) -> bool:
    return digest.removesuffix(b"\n") == blake3(body).hexdigest().encode()


def _digest(path: Path) -> str:
    # One thread: those of BLAKE3 do not come along into a fork, which would wait for them for ever.
    return str(blake3().update_mmap(path).hexdigest())


def _remove(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _remove(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
