"""Checking a lake: the journal against the objects, and every byte against its digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from blake3 import blake3

from lake.catalog.generations import CatalogFolder
from lake.chunks import ChunkMap
from lake.digest import Digest, digest_of
from lake.errors import LakeError, NotFound, StorageError
from lake.journal.base import ObjectRecord
from lake.progress import Progress
from lake.repository import Repository

__all__ = ["Finding", "FsckReport", "check_lake"]

_PIECE = 4 << 20


class Finding(NamedTuple):
    """Something that is wrong with an object."""

    digest: Digest
    problem: str
    """``missing``, ``size`` or ``damaged``."""
    paths: tuple[str, ...]
    """Where the object is or was named, as ``path@branch``; empty for what was derived."""
    chunks: tuple[tuple[int, int, int], ...] = ()
    """Damaged chunks: number, offset, length."""

    def __str__(self) -> str:
        names = ", ".join(self.paths) or "no path"
        where = "".join(f"; chunk {number} at {offset}, {length} bytes" for number, offset, length in self.chunks)
        return f"{self.problem}: b3:{self.digest} ({names}){where}"


@dataclass(slots=True)
class FsckReport:
    objects: int = 0
    """Objects that were looked at."""
    bytes: int = 0
    """Bytes that were read and hashed."""
    findings: list[Finding] = field(default_factory=list)
    orphans: int = 0
    """Stored files, plain ones and packs, in which no live object lies: left by a crash, of a put that is under way, or
    no longer needed."""
    foreign: list[str] = field(default_factory=list)
    """Names under ``objects/`` and ``packs/`` that neither objects nor packs can have."""
    generations: list[int] = field(default_factory=list)
    """Damaged generations of the catalog. No finding: nothing is lost, and they are made again from the journal."""

    @property
    def ok(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "objects": self.objects,
            "bytes": self.bytes,
            "orphans": self.orphans,
            "foreign": self.foreign,
            "generations": self.generations,
            "findings": [finding._asdict() for finding in self.findings],
        }


def check_lake(repo: Repository, progress: Progress) -> FsckReport:
    """Look at every live object: present, of the recorded size, every byte as its digest says. Deletes nothing.

    Damage is recorded by chunk where the lake can be written, and cleared where the bytes are right again. A damaged
    generation of the catalog goes out of use: what is asked next reads the journal.
    """
    report = FsckReport()
    stored = {location.handle: location.length for _, location in repo.store.list()}
    stored.update(repo.store.packs())
    progress.start(sum(stored.values()), "fsck")
    damaged_before = {damage.digest for damage in repo.journal.damage()}
    needed = set()
    for record in repo.journal.objects():
        needed.add(record.location.handle)
        report.objects += 1
        finding = _check(repo, record, report, progress)
        if finding is not None:
            report.findings.append(finding)
            if finding.chunks and not repo.readonly:
                repo.journal.record_damage(record.digest, finding.chunks)
        elif record.digest in damaged_before and not repo.readonly:
            repo.journal.clear_damage(record.digest)
    report.orphans = len(stored.keys() - needed)
    report.foreign = list(repo.store.foreign())
    catalog = CatalogFolder(repo.root / "catalog")
    for generation in catalog.damaged():
        report.generations.append(generation.number)
        if not repo.readonly:
            catalog.discard(generation)
    progress.close()
    return report


def _check(repo: Repository, record: ObjectRecord, report: FsckReport, progress: Progress) -> Finding | None:
    try:
        hasher = blake3()
        for piece in _pieces(repo, record):
            hasher.update(piece)
            report.bytes += len(piece)
            progress.advance(len(piece))
    except NotFound:
        return Finding(record.digest, "missing", _names(repo, record))
    except StorageError:
        return Finding(record.digest, "size", _names(repo, record), _bad_chunks(repo, record))
    if hasher.hexdigest() == record.digest:
        return None
    return Finding(record.digest, "damaged", _names(repo, record), _bad_chunks(repo, record))


def _pieces(repo: Repository, record: ObjectRecord) -> Iterator[bytes]:
    with repo.store.open(record.location) as file:
        while piece := file.read(_PIECE):
            yield piece


def _names(repo: Repository, record: ObjectRecord) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{path}@{branch}" for path, branch, _ in repo.journal.paths_of(record.digest)))


def _bad_chunks(repo: Repository, record: ObjectRecord) -> tuple[tuple[int, int, int], ...]:
    if record.chunks is None:
        return ((0, 0, record.size),)
    chunk_map = ChunkMap.decode(record.chunks, record.size)
    bad = []
    for chunk in chunk_map:
        try:
            good = digest_of(repo.store.read(record.location, chunk.offset, chunk.length)) == chunk.digest
        except LakeError:
            good = False
        if not good:
            bad.append((chunk.ord, chunk.offset, chunk.length))
    return tuple(bad)
