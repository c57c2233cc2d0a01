"""Sequences of all FASTA files of a lake, by checksum and by name, and their bases.

Identifiers are those of refget 2.0: MD5, the GA4GH digest (``SQ.…``), TRUNC512, each with or without its namespace, and
names: ``insdc:`` and ``refseq:`` for accessions, ``lake:`` for any name that a FASTA gives a sequence.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lake.artifacts import FACTS_PREFIX, artifact_bytes
from lake.digest import Digest
from lake.errors import FormatError, LakeError
from lake.facts import load_facts, unpack_facts
from lake.formats.compression.inflated import container_of, open_content
from lake.formats.reader import ByteReader
from lake.formats.sequences.fasta import FastaFile
from lake.regions import RegionDesk
from lake.repository import Repository

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SEQUENCE_FACTS", "Identifier", "Sequence", "SequenceCatalog", "authority", "read_identifier"]

SEQUENCE_FACTS = f"{FACTS_PREFIX}sequences"
"""Kind of the artifacts that list the sequences of a FASTA."""

_PIECE = 1 << 20
"""Bases that are handed out at once."""
_LOOK_AGAIN = 60.0
"""Seconds between two readings of everything that is known already."""
_UPPER = bytes(range(256)).upper()
_BLANK = bytes([*range(33), *range(127, 256)])
"""What does not belong to a sequence (SAM specification, section 1.3.2)."""

_MD5 = re.compile(r"[0-9A-Fa-f]{32}")
_TRUNC512 = re.compile(r"[0-9A-Fa-f]{48}")
_GA4GH = re.compile(r"SQ\.[A-Za-z0-9_-]{32}")
_REFSEQ = re.compile(r"[A-Z]{2}_[0-9]{6,}(\.[0-9]+)?")
_INSDC = re.compile(r"[A-Z]{1,6}[0-9]{5,}(\.[0-9]+)?")

_Keys = NDArray[np.uint64]
_NONE: _Keys = np.empty(0, np.uint64)


class Identifier(NamedTuple):
    """What a sequence is asked by."""

    column: str
    """``md5``, ``ga4gh`` or ``name``."""
    value: str

    @property
    def immutable(self) -> bool:
        """Whether it means the same bases for ever."""
        return self.column != "name"


class Sequence(NamedTuple):
    """A sequence of a FASTA of the lake."""

    file: Digest
    row: int
    """Which sequence of the file, from 0."""
    name: str
    length: int
    md5: str
    ga4gh: str

    @property
    def trunc512(self) -> str:
        """48 hexadecimal digits: the bytes of the GA4GH digest (refget 2.0, "ga4gh identifier and TRUNC512")."""
        return base64.urlsafe_b64decode(self.ga4gh.removeprefix("SQ.")).hex()


class _Facts(NamedTuple):
    """What is known of the sequences of one file."""

    table: pa.Table
    repeated: frozenset[str]
    """Names that several of them have: an index knows one of these alone."""


def read_identifier(text: str) -> Identifier | None:
    """An identifier as a client writes it; None where its namespace is not known, or it is not of its namespace."""
    space, colon, value = text.rpartition(":")
    if (not colon or space == "md5") and _MD5.fullmatch(value):
        return Identifier("md5", value.lower())
    if (not colon or space == "ga4gh") and _GA4GH.fullmatch(value):
        return Identifier("ga4gh", value)
    if (not colon or space == "trunc512") and _TRUNC512.fullmatch(value):
        return Identifier("ga4gh", "SQ." + base64.urlsafe_b64encode(bytes.fromhex(value)).decode())
    if text.startswith("lake:"):
        return Identifier("name", text.removeprefix("lake:"))
    if colon and space == authority(value) != "lake":
        return Identifier("name", value)
    return Identifier("name", text) if not colon else None


def authority(name: str) -> str:
    """Who gave a sequence its name, told by the form of it: ``insdc``, ``refseq``, else ``lake``."""
    if _REFSEQ.fullmatch(name):
        return "refseq"
    return "insdc" if _INSDC.fullmatch(name) else "lake"


class SequenceCatalog:
    """Finds sequences in every FASTA that the lake has been given, on any branch. Safe for use by several threads.

    The facts of each file are read once, and later only those of files added since. 24 bytes a sequence are kept.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._desk = RegionDesk(repo)
        self._lock = threading.Lock()
        self._forget()
        self._facts = lru_cache(16)(self._load)

    def find(self, identifier: Identifier) -> list[Sequence]:
        """Every sequence of that identifier: files may share a sequence, and sequences a name."""
        found = []
        for file, row in self._places(identifier.column, _key(identifier)):
            try:
                sequence = self._sequence(file, row)
            except (LakeError, KeyError, IndexError):
                # The file went since, or cannot be read; another may have the same sequence.
                continue
            if getattr(sequence, identifier.column) == identifier.value:
                found.append(sequence)
        return found

    def pieces(self, twins: Iterable[Sequence], start: int, stop: int) -> Iterator[bytes]:
        """Bases ``[start, stop)``, 0-based, upper case, without line ends, in pieces of bounded size.

        By index where a file has one or one can be made; else (plain gzip, lines of different length, a name that
        occurs twice) by a pass over the file. Where one file is damaged, the next one goes on.

        Args:
            twins: the same sequence in the files that have it.
            start, stop: a part of it.

        Raises:
            FormatError, DamagedObject: every file is damaged there.
        """
        # Only plain gzip has to be read from its start.
        waiting = sorted(twins, key=lambda twin: container_of(self._repo.shelf.reader(twin.file)) == "gzip")
        while waiting:
            twin = waiting.pop(0)
            try:
                for piece in self._read(twin, start, stop):
                    start += len(piece)
                    yield piece
                return
            except LakeError:
                if not waiting:
                    raise

    def _read(self, sequence: Sequence, start: int, stop: int) -> Iterator[bytes]:
        file = self._indexed(sequence)
        if file is None:
            return _window(_scan(self._repo.shelf.reader(sequence.file), sequence.row), start, stop)
        return (
            file.fetch(sequence.name, first, min(first + _PIECE, stop)).upper() for first in range(start, stop, _PIECE)
        )

    def _indexed(self, sequence: Sequence) -> FastaFile | None:
        try:
            file, _ = self._desk.file(sequence.file, f"b3:{sequence.file}")
        except FormatError:
            return None
        if not isinstance(file, FastaFile) or sequence.name in self._facts(sequence.file).repeated:
            return None
        return file if file.contigs.get(sequence.name) == sequence.length else None

    def _sequence(self, file: Digest, row: int) -> Sequence:
        table = self._facts(file).table
        name, length, md5, ga4gh = (table[column][row].as_py() for column in ("name", "length", "md5", "ga4gh"))
        return Sequence(file, row, name, length, md5, ga4gh)

    def _load(self, file: Digest) -> _Facts:
        table = load_facts(self._repo, self._repo.shelf.reader(file))["sequences"]
        counts = Counter(table["name"].to_pylist())
        return _Facts(table, frozenset(name for name, count in counts.items() if count > 1))

    def _forget(self) -> None:
        self._mark = 0
        self._files: list[Digest] = []
        self._starts = [0]
        """Number of the first sequence of each file, and of all."""
        self._keys = {"md5": _NONE, "ga4gh": _NONE, "name": _NONE}
        self._looked = time.monotonic()

    def _places(self, column: str, key: int) -> list[tuple[Digest, int]]:
        with self._lock:
            self._read_on()
            rows = np.flatnonzero(self._keys[column] == key).tolist()
            if not rows and self._mark and time.monotonic() - self._looked > _LOOK_AGAIN:
                # Marks of artifacts that were collected are given out again.
                self._forget()
                self._read_on()
                rows = np.flatnonzero(self._keys[column] == key).tolist()
            owners = [bisect_right(self._starts, row) - 1 for row in rows]
            return [(self._files[at], row - self._starts[at]) for at, row in zip(owners, rows, strict=True)]

    def _read_on(self) -> None:
        self._mark, new = self._repo.journal.artifacts_of(SEQUENCE_FACTS, self._mark)
        columns: dict[str, list[_Keys]] = {name: [keys] for name, keys in self._keys.items()}
        for artifact in new:
            try:
                table = unpack_facts("sequences", artifact_bytes(self._repo, artifact))
            except LakeError:
                # Facts that are damaged are made again when the file is asked for them.
                continue
            self._files.append(artifact.object)
            self._starts.append(self._starts[-1] + table.num_rows)
            md5s = bytes.fromhex("".join(table["md5"].to_pylist()))
            columns["md5"].append(np.frombuffer(md5s, "<u8")[::2])
            ga4gh = "".join(text.removeprefix("SQ.") for text in table["ga4gh"].to_pylist())
            columns["ga4gh"].append(np.frombuffer(base64.urlsafe_b64decode(ga4gh), "<u8")[::3])
            columns["name"].append(np.array([_name_key(name) for name in table["name"].to_pylist()], np.uint64))
        if new:
            self._keys = {name: np.concatenate(keys) for name, keys in columns.items()}


def _key(identifier: Identifier) -> int:
    """The first eight bytes of a checksum, or eight bytes of hash of a name."""
    if identifier.column == "name":
        return _name_key(identifier.value)
    if identifier.column == "md5":
        raw = bytes.fromhex(identifier.value)
    else:
        raw = base64.urlsafe_b64decode(identifier.value.removeprefix("SQ."))
    return int.from_bytes(raw[:8], "little")


def _name_key(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def _scan(reader: ByteReader, row: int) -> Iterator[bytes]:
    """Bases of a sequence of a FASTA by its number, from a pass over the content."""
    number, fresh, title = -1, True, False
    for piece in open_content(reader).all():
        data, cursor = piece.data, 0
        while cursor < len(data):
            if title or (fresh and data[cursor] == 62):
                number += not title
                if number > row:
                    return
                end = data.find(b"\n", cursor)
                title, fresh = end < 0, end >= 0
                cursor = len(data) if title else end + 1
                continue
            end = data.find(b"\n>", cursor) + 1 or len(data)
            if number == row:
                yield data[cursor:end].translate(_UPPER, _BLANK)
            cursor = end
            fresh = data[cursor - 1] == 10


def _window(pieces: Iterator[bytes], start: int, stop: int) -> Iterator[bytes]:
    """Bytes ``[start, stop)`` of a stream; nothing behind them is read."""
    offset = 0
    for piece in pieces:
        wanted = piece[max(start - offset, 0) : stop - offset]
        if wanted:
            yield wanted
        offset += len(piece)
        if offset >= stop:
            return
    if offset < stop:
        raise FormatError("the file ends inside the sequence; it is damaged")
