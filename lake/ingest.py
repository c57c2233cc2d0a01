"""Taking files in: stored and hashed in one pass, understood, checked, and handed over for one commit."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from lake.artifacts import ADOPTED, BuiltIndex, build_index, find_index, index_paths, pack_artifact
from lake.digest import Digest
from lake.errors import (
    DamagedObject,
    FormatError,
    InvalidInput,
    IsDirectory,
    LakeError,
    NotDirectory,
    NotFound,
    SourceChanged,
    StorageError,
)
from lake.formats.base import ColumnFormat, RegionFormat, StrictFormat
from lake.formats.compression.bgzf import check_chain
from lake.formats.facts.sources import WHEN_ASKED, fact_source
from lake.formats.reader import ByteReader
from lake.formats.registry import COMPANION_ONLY, companion, get_format, region_format
from lake.formats.sniffing import suffix_problem
from lake.inspection import Inspector, map_by_structure
from lake.journal.values import ABSENT, Artifact, Change, Entry, MakeDirectory, ObjectRecord, Put
from lake.manifest import Manifest
from lake.pairs import Half, PairDesk
from lake.paths import parent
from lake.progress import Progress, Silent
from lake.puts import PutItem, PutOptions
from lake.repository import Repository
from lake.sources import Job, Refusal
from lake.stores.base import Batch, Location, ObjectStore, Staged
from lake.tree import Tree

__all__ = ["Intake"]

_GROUP_FILES = 20_000
_GROUP_BYTES = 16 << 30
"""What is made durable together; bounds the memory and the staging of a huge put."""

_INDEX_LIMIT = 1 << 30
"""Bytes that a companion index may have: it is read into memory to be checked."""

_INDEX_FORMATS = ("BAI", "CSI", "TBI", "CRAI", "FAI", "GZI")


@dataclass(slots=True)
class _Taken:
    """A file that is staged, and what was learned of it."""

    item: PutItem
    staged: Staged
    format: str
    checksums: dict[str, str]
    chunks: bytes | None
    problems: tuple[str, ...]
    blocked: bool
    """Whether it is in BGZF blocks."""
    index: BuiltIndex | None = None
    """The index that the pass over the file has made."""
    record: ObjectRecord | None = None


class _StagedReader:
    """A `lake.formats.reader.ByteReader` over something that is staged."""

    def __init__(self, file: BinaryIO, staged: Staged) -> None:
        self._file = file
        self.source = staged.digest
        self.size = staged.size

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


class _StoredReader:
    """A `lake.formats.reader.ByteReader` over an object that this put has just hashed: no byte needs a second check."""

    def __init__(self, store: ObjectStore, record: ObjectRecord) -> None:
        self._store = store
        self._location = record.location
        self.source = record.digest
        self.size = record.size

    def read(self, offset: int, length: int) -> bytes:
        return self._store.read(self._location, offset, length)


class Intake:
    """One put on its way: `take` stores files, then `changes`, `objects` and `artifacts` are what to commit.

    As a context it removes, when left, whatever was staged and not published.
    """

    def __init__(
        self, repo: Repository, options: PutOptions, lookup: Callable[[str], Entry | None], progress: Progress
    ) -> None:
        self._repo = repo
        self._options = options
        self._lookup = lookup
        self._pairs = PairDesk(repo, self._stored_before)
        self._progress = progress
        self._algorithms = tuple(
            dict.fromkeys(
                (("md5", "sha256") if options.checksums else ())
                + (options.manifest.algorithms if options.manifest else ())
            )
        )
        self._control = {
            _identity(repo.root / name) for name in ("journal.db", "journal.db-wal", "journal.db-shm", "journal.lock")
        }
        self.items: list[PutItem] = []
        self.failures: list[Exception] = []
        self.changes: list[Change] = []
        self.objects: dict[Digest, ObjectRecord] = {}
        self.artifacts: list[Artifact] = []
        self.batches: list[Batch] = []
        self.reopened: list[Digest] = []
        """Objects whose regions are answered otherwise from this put on."""

    def take(self, jobs: Sequence[Job], refused: Sequence[Refusal]) -> None:
        """Store the files of ``jobs``; what cannot be stored becomes an item with an error.

        Raises:
            StorageError: the lake's own disk failed or is full: nothing of this put is kept.
        """
        for refusal in refused:
            self._fail(PutItem(refusal.source, ""), refusal.error)
        total = 0 if isinstance(self._progress, Silent) else sum(_size(job) for job in jobs)
        self._progress.start(total, "put")
        group: list[_Taken] = []
        batch = self._repo.batch(self._located)
        self.batches.append(batch)
        waiting = 0
        for job in jobs:
            if job.directory:
                self.changes.append(MakeDirectory(job.path))
                continue
            taken = self._take_one(batch, job)
            if taken is None:
                continue
            group.append(taken)
            waiting += taken.staged.size
            if len(group) >= _GROUP_FILES or waiting >= _GROUP_BYTES:
                self._repo.session()
                self._publish(batch, group)
                batch, group, waiting = self._repo.batch(self._located), [], 0
                self.batches.append(batch)
        if self._options.all_or_nothing and self.failures:
            raise InvalidInput(
                f"nothing was stored: {len(self.failures)} of {len(jobs) + len(refused)} files cannot be: "
                f"{self.failures[0]}"
            ) from self.failures[0]
        self._publish(batch, group)

    def hand_over(self) -> list[Batch]:
        """The batches, for whoever commits later: they are no longer closed when this context is left."""
        batches, self.batches = self.batches, []
        return batches

    def refuse_taken(self, tree: Tree) -> None:
        """Take out the files whose path is a directory of the lake, or lies below one of its files."""
        taken: dict[str, LakeError] = {}
        for change in self.changes:
            above = change.path
            if isinstance(change, Put) and tree.is_directory(change.path):
                taken[change.path] = IsDirectory(f"{change.path} is a directory in the lake: a file cannot replace it")
            while above := parent(above):
                if tree.is_file(above):
                    taken[change.path] = NotDirectory(f"{above} is a file in the lake: nothing can lie below it")
        self.changes = [change for change in self.changes if change.path not in taken]
        for item in self.items:
            if item.path in taken and item.error is None:
                item.error = str(taken[item.path])
                self.failures.append(taken[item.path])

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.close()
        for batch in self.batches:
            batch.__exit__(*exception)

    # -- one file -----------------------------------------------------------------------------------------------
    def _take_one(self, batch: Batch, job: Job) -> _Taken | None:
        item = PutItem(str(job.source) if job.source is not None else "-", job.path)
        try:
            inspector, staged = self._store(batch, job)
            item.digest, item.size, item.format = staged.digest, staged.size, inspector.detected.name
            taken = self._understand(batch, job, item, staged, inspector)
        except StorageError:
            raise
        except (LakeError, OSError) as error:
            self._fail(item, error)
            return None
        self.items.append(item)
        return taken

    def _store(self, batch: Batch, job: Job) -> tuple[Inspector, Staged]:
        if job.source is None:
            if sys.stdin is None:
                raise InvalidInput("standard input is closed: nothing can be read from it")
            inspector = Inspector(job.path, None, self._algorithms, self._progress.advance)
            return inspector, batch.put_stream(sys.stdin.buffer, inspector)
        status = os.stat(job.source)
        if status.st_nlink > 1 and (status.st_dev, status.st_ino) in self._control:
            raise InvalidInput(f"{job.source} is part of the lake itself")
        inspector = Inspector(job.path, status.st_size, self._algorithms, self._progress.advance)
        return inspector, batch.put_file(job.source, inspector, self._options.method)

    def _understand(self, batch: Batch, job: Job, item: PutItem, staged: Staged, inspector: Inspector) -> _Taken:
        chunk_map = inspector.chunk_map()
        problems = self._check(batch, staged, inspector)
        if not problems and inspector.detected.container is None:
            with batch.open(staged) as file:
                chunk_map = map_by_structure(_StagedReader(file, staged), inspector.detected.name) or chunk_map
        item.chunks = len(chunk_map) if chunk_map is not None else 1
        item.warnings.extend(problems)
        misnamed = suffix_problem(job.path, inspector.detected)
        if misnamed:
            item.warnings.append(misnamed)
        refusal = None
        if self._options.manifest is not None:
            refusal = self._check_manifest(self._options.manifest, job.source, staged, inspector, item)
        if refusal is None and self._options.strict:
            if item.warnings:
                refusal = FormatError(f"{item.source} is refused (--strict): {item.warnings[0]}")
            elif inspector.detected.name == "binary":
                refusal = FormatError(f"{item.source} is refused (--strict): its format is not known")
        if refusal is not None:
            batch.drop(staged)
            raise refusal
        return _Taken(
            item,
            staged,
            inspector.detected.name,
            inspector.checksums() if self._options.checksums else {},
            chunk_map.encode() if chunk_map is not None else None,
            tuple(problems),
            inspector.detected.container == "bgzf",
            BuiltIndex(*inspector.learned[:3]) if inspector.learned is not None and not problems else None,
        )

    def _check(self, batch: Batch, staged: Staged, inspector: Inspector) -> list[str]:
        name, container = inspector.detected
        if inspector.learned is not None and inspector.learned.problem is not None:
            return [inspector.learned.problem]
        # Plain text has nothing to check, and there may be a great deal of it.
        form = get_format(name) if container == "bgzf" or name not in COMPANION_ONLY else None
        if form is None and container != "bgzf":
            return []
        with batch.open(staged) as file:
            reader = _StagedReader(file, staged)
            if form is None:
                return check_chain(reader, whole=inspector.whole)
            found = form.check(reader, whole=inspector.whole)
            if not found and self._options.strict and isinstance(form, StrictFormat):
                found = form.check_strictly(reader)
            return found

    def _check_manifest(
        self, manifest: Manifest, source: Path | None, staged: Staged, inspector: Inspector, item: PutItem
    ) -> LakeError | None:
        expected = manifest.expected(source) if source is not None else None
        if expected is None:
            item.warnings.append("not in the manifest")
            return None
        if expected in (staged.digest, *inspector.checksums().values()):
            return None
        return SourceChanged(
            f"{source} does not have the checksum of the manifest ({expected}): it is damaged or another version"
        )

    def _fail(self, item: PutItem, error: Exception) -> None:
        item.error = (
            str(error)
            if isinstance(error, LakeError)
            else f"cannot read {item.source}: {getattr(error, 'strerror', None) or error}"
        )
        self.items.append(item)
        self.failures.append(error)

    def _located(self, digests: Sequence[Digest]) -> dict[Digest, Location]:
        """Where objects lie that the lake knows, or that this put has stored already."""
        found = self._repo.journal.locations(digests)
        found.update((digest, self.objects[digest].location) for digest in digests if digest in self.objects)
        return found

    # -- a group of files ---------------------------------------------------------------------------------------
    def _publish(self, batch: Batch, group: list[_Taken]) -> None:
        if not group:
            return
        stored = batch.publish()
        known = self._repo.journal.locations([taken.staged.digest for taken in group])
        moved: dict[Digest, Location] = {}
        probe = min(result.probe for result in stored)
        healed: set[Digest] = set()
        fresh: set[Digest] = set()
        for taken, result in zip(group, stored, strict=True):
            digest = taken.staged.digest
            if digest in known and known[digest] != result.location:
                moved[digest] = result.location
            if result.healed:
                healed.add(digest)
                taken.item.healed = True
            taken.item.new = digest not in known and digest not in self.objects and digest not in fresh
            fresh.add(digest)
            record = ObjectRecord(
                digest,
                taken.staged.size,
                taken.format,
                result.location,
                taken.chunks,
                taken.problems,
                taken.checksums,
                result.probe,
            )
            taken.record = record
            if digest not in known or self._options.checksums:
                self.objects[digest] = record
            options = self._options
            self.changes.append(
                Put(
                    taken.item.path,
                    digest,
                    patch=options.attributes or None,
                    expect=ABSENT if options.exclusive else options.expect,
                )
            )
        if moved or healed:
            self._remember_healed(moved, healed, probe)
        self._index(group)
        self._pair(group)
        self._describe(group)

    def _describe(self, group: list[_Taken]) -> None:
        """Keep the facts of what is new, and say which references are missing."""
        fresh = [taken for taken in group if taken.item.new and taken.format not in WHEN_ASKED]
        wanted = [taken for taken in fresh if fact_source(taken.format)]
        if not wanted:
            return
        from lake.description import describe

        described = describe(
            self._repo,
            [(taken.record, taken.item.warnings) for taken in wanted if taken.record and not taken.problems],
            self.artifacts,
            self.objects,
            whole=self._options.index,
        )
        self.artifacts.extend(described.artifacts)
        self.objects.update((made.digest, made) for made in described.objects)

    def _remember_healed(self, moved: dict[Digest, Location], healed: set[Digest], probe: int) -> None:
        """At once, whatever becomes of this put: the objects are live, and the bytes just stored are good."""
        # One that has gone to the trash meanwhile comes back with the commit.
        with contextlib.suppress(NotFound):
            self._repo.relocate(moved, probe)
        for digest in {damage.digest for damage in self._repo.journal.damage()} & healed:
            self._repo.journal.clear_damage(digest)
        for digest in moved.keys() | healed:
            self._repo.shelf.drop(digest)

    def _index(self, group: list[_Taken]) -> None:
        here = {taken.item.path: taken for taken in group}
        companions = {
            path: found
            for path, taken in here.items()
            if taken.format in _INDEX_FORMATS and (found := companion(path)) is not None
        }
        named = {owner for found in companions.values() for owner in found.owners}
        owners = {
            path: taken
            for path, taken in here.items()
            if (path in named or taken.blocked or taken.format not in COMPANION_ONLY) and region_format(taken.format)
        }
        for path, taken in owners.items():
            assert taken.record is not None
            self._index_one(path, taken.record, taken.item, here)
        for path, found in companions.items():
            if any(owner in owners for owner in found.owners):
                continue
            for owner in found.owners:
                entry = self._lookup(owner)
                if entry is not None and entry.digest is not None and region_format(entry.format or ""):
                    record = self._repo.shelf.reader(entry.hex).record
                    self._index_one(owner, record, here[path].item, here)
                    break

    def _index_one(self, path: str, record: ObjectRecord, item: PutItem, here: dict[str, _Taken]) -> None:
        """Adopt the companion index of one file, or build a missing one."""
        form = region_format(record.format)
        assert form is not None
        if record.problems:
            return
        own = find_index(self._repo, form, self._repo.journal.artifacts(record.digest))
        if own is not None and not isinstance(form, ColumnFormat):
            return
        reader = (
            _StoredReader(self._repo.store, record)
            if record.digest in self.objects
            else self._repo.shelf.reader(record.digest)
        )
        for kind, candidate in index_paths(form, path):
            companion_record = self._companion(candidate, here)
            if companion_record is None:
                continue
            if companion_record.size > _INDEX_LIMIT:
                item.warnings.append(f"index {candidate} is not used: it has {companion_record.size} bytes")
                continue
            body = self._repo.store.read(companion_record.location, 0, companion_record.size)
            refusal = form.check_index(reader, kind, body)
            if refusal is None and own is not None:
                assert isinstance(form, ColumnFormat)
                if _reads_otherwise(form, reader, own[1], body):
                    adopted = Artifact(record.digest, kind, ADOPTED, target=companion_record.digest)
                    self._build_otherwise(form, record, item, adopted, body)
                return
            if refusal is None:
                self.artifacts.append(Artifact(record.digest, kind, ADOPTED, target=companion_record.digest))
                self.reopened.append(record.digest)
                item.index = f"{kind} adopted"
                return
            item.warnings.append(f"index {candidate} is not used: {refusal}")
        if own is not None or path != item.path or record.format in COMPANION_ONLY:
            return
        made = here[path].index if path in here else None
        if made is not None:
            self._keep(form, record, item, made)
        elif self._options.index:
            self._build(form, record, item)

    def _build(self, form: RegionFormat, record: ObjectRecord, item: PutItem) -> None:
        reader = self._repo.shelf.add(record)
        reason = form.indexable(reader)
        if reason is not None:
            item.index = f"none: {reason}"
            return
        self._progress.start(0, f"index {item.path}")
        try:
            built = build_index(self._repo, form, reader)
        except FormatError as error:
            item.warnings.append(str(error))
            if record.digest in self.objects:
                self.objects[record.digest] = replace(record, problems=(*record.problems, str(error)))
            return
        self._keep(form, record, item, built)

    def _keep(self, form: RegionFormat, record: ObjectRecord, item: PutItem, built: BuiltIndex) -> None:
        for kind, body in built.bodies(form):
            artifact, records = pack_artifact(self._repo, record.digest, kind, form.planner, body)
            self.artifacts.append(artifact)
            self.objects.update((made.digest, made) for made in records)
        item.index = f"{built.kind} built"

    def _build_otherwise(
        self, form: ColumnFormat, record: ObjectRecord, item: PutItem, adopted: Artifact, index: bytes
    ) -> None:
        """Replace the table of a file, and the facts from it, by those of the columns that an index names."""
        reader = self._repo.shelf.add(record)
        assert form.table_kind is not None
        facts: list[Artifact] = []
        held: list[ObjectRecord] = []
        try:
            body = form.build_table(reader, index)
            if fact_source(record.format):
                from lake.facts import made_located_facts

                facts, held = made_located_facts(self._repo, form, reader, (form.table_kind, body), body)
        except (FormatError, DamagedObject) as error:
            item.warnings.append(f"the columns that the {adopted.kind} names are not used: {error}")
            return
        table, records = pack_artifact(self._repo, record.digest, form.table_kind, form.planner, body)
        self.artifacts += [adopted, table, *facts]
        self.objects.update((made.digest, made) for made in [*records, *held])
        self.reopened.append(record.digest)
        item.index = f"{adopted.kind} adopted, {form.table_kind} built with its columns"

    def _pair(self, group: list[_Taken]) -> None:
        """Tie files together of which one holds the data of the other."""
        halves = [Half(taken.item.path, taken.record, taken.item.warnings) for taken in group if taken.record]
        ties = self._pairs.add(halves)
        self.artifacts += ties
        self.reopened += [tie.object for tie in ties]

    def _companion(self, path: str, here: dict[str, _Taken]) -> ObjectRecord | None:
        taken = here.get(path)
        if taken is not None:
            return taken.record
        return self._stored_before(path)

    def _stored_before(self, path: str) -> ObjectRecord | None:
        entry = self._lookup(path)
        if entry is None or entry.digest is None:
            return None
        return self._repo.journal.object(entry.hex)


def _reads_otherwise(form: ColumnFormat, reader: ByteReader, known: bytes, index: bytes) -> bool:
    try:
        return form.reads_otherwise(reader, known, index)
    except FormatError:
        # What is known is damaged: it is derived, hence made again.
        return True


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


def _size(job: Job) -> int:
    try:
        return job.source.stat().st_size if job.source is not None and not job.directory else 0
    except OSError:
        return 0
