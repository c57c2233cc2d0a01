"""Reference sequences by their MD5: from the FASTA files of a lake, or from one file beside it.

The paths and URLs that a header names (``UR``) are never looked at.
"""

from __future__ import annotations

import struct
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from lake.artifacts import SEQUENCE_INDEX, artifact_bytes
from lake.digest import Digest
from lake.errors import InvalidInput, LakeError, Unreadable
from lake.facts import load_facts
from lake.formats.facts.sources import fact_source
from lake.formats.path_reader import PathReader
from lake.formats.references import Reference, References, RequiredReference
from lake.formats.registry import region_format
from lake.formats.sniffing import HEAD, detect
from lake.repository import Repository

__all__ = ["FileReferences", "LakeReferences", "missing_references"]

_WORDS = struct.Struct("<QQ")
_NOTHING: NDArray[np.uint64] = np.empty((0, 2), np.uint64)


class _Fetcher(Protocol):
    """A FASTA opened for regions."""

    def fetch(self, name: str, start: int, stop: int) -> bytes: ...


class _Sequence(NamedTuple):
    """A `lake.formats.references.Reference`."""

    file: _Fetcher
    name: str

    def fetch(self, start: int, stop: int) -> bytes:
        return self.file.fetch(self.name, start, stop)


class LakeReferences:
    """Sequences of all FASTA files that a lake has ever been given, on any branch. Safe for use by several threads.

    The MD5s of a file are one small artifact; those of all files are read once, and later only what was added since.
    """

    def __init__(self, repo: Repository, open_file: Callable[[Digest], object]) -> None:
        """``open_file`` opens a FASTA of the lake for regions."""
        self._repo = repo
        self._open_file = open_file
        self._seen = 0
        self._owners: list[Digest] = []
        self._starts = [0]
        """Number of the first sequence of each file, and of all."""
        self._sums = _NOTHING
        self._lock = threading.Lock()
        self._files: dict[Path, FileReferences] = {}
        self._descriptions: dict[tuple[Digest, int], tuple[str, str, int]] = {}

    def use(self, path: Path) -> None:
        """Look into a FASTA outside of the lake too, and first.

        Raises:
            Unreadable, InvalidInput: see `FileReferences`.
        """
        with self._lock:
            if path not in self._files:
                self._files[path] = FileReferences(path)

    def find(self, md5: str, length: int) -> Reference | None:
        """The sequence of ``length`` bases whose upper-case letters have this MD5, or None."""
        for file in list(self._files.values()):
            found = file.find(md5, length)
            if found is not None:
                return found
        for digest, row in self._found(md5):
            try:
                name, stated, bases = self._described(digest, row)
                if (stated, bases) == (md5.lower(), length):
                    return _Sequence(cast("_Fetcher", self._open_file(digest)), name)
            except (LakeError, KeyError, IndexError):
                # Another file may have it too; when none can be read it counts as missing, and the caller says so.
                continue
        return None

    def _described(self, digest: Digest, row: int) -> tuple[str, str, int]:
        """Name, MD5 and bases of a sequence of a file; every edge of a CRAM asks for one, so that they are kept."""
        known = self._descriptions.get((digest, row))
        if known is None:
            sequences = load_facts(self._repo, self._repo.shelf.reader(digest))["sequences"]
            name, md5, bases = (sequences[column][row].as_py() for column in ("name", "md5", "length"))
            known = self._descriptions[digest, row] = name, md5, bases
        return known

    def names(self, md5s: Iterable[str]) -> dict[str, list[str]]:
        """What the sequences of these MD5s are called in the files of the lake."""
        known: dict[Digest, list[str]] = {}
        found: dict[str, list[str]] = {}
        for md5 in md5s:
            for digest, row in self._found(md5):
                if digest not in known:
                    try:
                        facts = load_facts(self._repo, self._repo.shelf.reader(digest))
                    except LakeError:
                        # A file that cannot be read names nothing; others may.
                        facts = {}
                    known[digest] = facts["sequences"]["name"].to_pylist() if "sequences" in facts else []
                if row < len(known[digest]):
                    found.setdefault(md5, []).append(known[digest][row])
        return found

    def _found(self, md5: str) -> list[tuple[Digest, int]]:
        """Files with a sequence of that MD5, and which of their sequences it is."""
        try:
            low, high = _WORDS.unpack(bytes.fromhex(md5))
        except (ValueError, struct.error):
            return []
        with self._lock:
            self._read_on()
            rows = self._rows(low, high)
            if not rows and self._seen:
                # Row numbers of artifacts that were collected are given out again: look once more at all of them.
                self._seen, self._owners, self._starts, self._sums = 0, [], [0], _NOTHING
                self._read_on()
                rows = self._rows(low, high)
            owners = [bisect_right(self._starts, row) - 1 for row in rows]
            return [(self._owners[at], row - self._starts[at]) for at, row in zip(owners, rows, strict=True)]

    def _rows(self, low: int, high: int) -> list[int]:
        found = np.flatnonzero(self._sums[:, 0] == low)
        rows: list[int] = found[self._sums[found, 1] == high].tolist()
        return rows

    def _read_on(self) -> None:
        self._seen, new = self._repo.journal.artifacts_of(SEQUENCE_INDEX, self._seen)
        sums = [self._sums]
        for artifact in new:
            body = artifact_bytes(self._repo, artifact)
            if not body or len(body) % _WORDS.size:
                continue
            sums.append(np.frombuffer(body, "<u8").reshape(-1, 2))
            self._owners.append(artifact.object)
            self._starts.append(self._starts[-1] + len(sums[-1]))
        if len(sums) > 1:
            self._sums = np.concatenate(sums)


class _Reopened:
    """A `lake.formats.reader.ByteReader` over a file that is open only while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._file() as reader:
            self.size = reader.size

    @cached_property
    def source(self) -> Digest:
        """Digest of the content, computed when first asked for."""
        with self._file() as reader:
            return reader.source

    def read(self, offset: int, length: int) -> bytes:
        with self._file() as reader:
            return reader.read(offset, length)

    def _file(self) -> PathReader:
        try:
            return PathReader(self._path)
        except OSError as error:
            raise Unreadable(f"cannot read the reference {self._path}: {error.strerror}") from None


class FileReferences:
    """Sequences of one FASTA outside of the lake, by MD5: its content is read once to know them.

    Raises:
        Unreadable: no such file.
        InvalidInput: not a FASTA, or lines of different length.
    """

    def __init__(self, path: Path) -> None:
        reader = _Reopened(path)
        name = detect(reader.read(0, HEAD), path.name, size=reader.size).name
        form, source = region_format("FASTA"), fact_source("FASTA")
        if name != "FASTA" or form is None or source is None:
            raise InvalidInput(f"the reference {path} is {name}, not FASTA")
        self._file = cast("_Fetcher", form.open(reader, kind=None, index=None, table=None))
        rows = source.header(reader)["sequences"].to_pylist()
        self._names = {(row["md5"], row["length"]): row["name"] for row in rows}

    def find(self, md5: str, length: int) -> Reference | None:
        """The sequence of ``length`` bases whose upper-case letters have this MD5, or None."""
        name = self._names.get((md5.lower(), length))
        return _Sequence(self._file, name) if name is not None else None


def missing_references(
    required: Iterable[RequiredReference], references: References | None, known: frozenset[str] = frozenset()
) -> list[str]:
    """What a file needs and nobody has, a sentence each; ``known`` are MD5s that will be there."""
    missing = []
    for contig, md5, length in required:
        if md5 is None:
            missing.append(f"contig {contig} needs a reference, but the header has no M5 for it")
        elif md5.lower() not in known and (references is None or references.find(md5.lower(), length) is None):
            missing.append(f"contig {contig} needs reference M5 {md5.lower()}: put a FASTA that has it")
    return missing
