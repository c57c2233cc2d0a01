"""Collecting what nothing names any more: mark, let go in the journal, move to the trash, and delete from there.

Roots are all entries of all commits that the lake has, whatever branch or tag they are of: history keeps its files.
Everything is looked at before anything is touched, so that an error while looking takes nothing away. Safe while others
write: `lake.trash` says how.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from lake.clock import now
from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import Conflict, DamagedObject, InvalidInput, LakeLocked, NotFound, StorageError
from lake.journal.lockfile import LockFile
from lake.journal.values import Claim, Dead, Put
from lake.objects import ObjectReader
from lake.repository import Repository
from lake.stores.base import Stored
from lake.stores.places import is_pack
from lake.trash import GRACE, TRASH

__all__ = ["LOST_AND_FOUND", "GcReport", "collect", "untrash"]

T = TypeVar("T")


LOST_AND_FOUND = "lost+found"
"""Directory that names what came back from the trash: what nothing names would be collected again."""

_BATCH = 256
"""Files that move in one go: what a writer may have to wait for."""

_LISTED = 5_000
"""Names of files that are compared with the journal at once."""

_EXAMPLES = 5

_SKEW = 3600 * 1_000_000_000
"""Nanoseconds by which the clocks of this machine and of the lake's disk may differ."""


@dataclass(frozen=True, slots=True)
class GcReport:
    """What gc did, or for a dry run would do."""

    dry_run: bool
    objects: int = 0
    """Objects that nothing names any more, hence went to the trash."""
    bytes: int = 0
    """Their sizes."""
    orphans: int = 0
    """Stored files that no commit ever named, or that were left behind, hence went to the trash."""
    orphan_bytes: int = 0
    packs: int = 0
    """Packs, mostly of dead bytes, whose live objects were stored anew; they are orphans of a later run."""
    purged: int = 0
    """Files that were deleted from the trash."""
    freed: int = 0
    """Bytes of those."""
    waiting: int = 0
    """Files that are in the trash now."""
    waiting_bytes: int = 0
    examples: tuple[tuple[str, str], ...] = ()
    """A few of what went: ``b3:<digest>`` or the file, and why."""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "examples": [{"name": name, "why": why} for name, why in self.examples]}


class _File(NamedTuple):
    handle: str
    size: int


class _Plan(NamedTuple):
    """All that is looked at before anything is touched."""

    loose: list[int]
    orphans: list[_File]
    packs: list[str]
    trash: list[str]


def collect(
    repo: Repository,
    *,
    grace: float = GRACE,
    trash: float = TRASH,
    dry_run: bool = False,
    empty_trash: bool = False,
) -> GcReport:
    """Take away what nothing names, and delete what has been in the trash for long enough.

    Args:
        repo: the lake, open for writing.
        grace: seconds for which a stored file that nothing names is left alone, by the clock of the lake's disk.
        trash: seconds for which the trash keeps what goes there now; 0 deletes it at once.
        dry_run: only say what would go.
        empty_trash: delete everything that is in the trash, whatever its time.

    Raises:
        LakeLocked: another gc is at work.
        ReadOnly: the lake is open for reading only.
        StorageError: something cannot be listed, or the clock is wrong: nothing was taken away.
    """
    if grace < 0 or trash < 0:
        raise InvalidInput("gc: grace and trash are times from 0 on")
    repo.session()
    with _alone(repo):
        collector = _Collector(repo, grace, trash)
        return collector.preview(empty_trash) if dry_run else collector.run(empty_trash)


def untrash(repo: Repository, names: Sequence[str] = ()) -> list[Put]:
    """Bring objects back from the trash, with what was derived from them.

    Args:
        repo: the lake, open for writing.
        names: ``b3:<digest>`` each; none: everything.

    Returns:
        the changes that give what came back a name below `LOST_AND_FOUND`.

    Raises:
        NotFound: one of them is not in the trash.
        InvalidInput: not the name of an object.
    """
    repo.session()
    wanted = [_object_named(name) for name in names]
    found = repo.journal.trashed(wanted) if wanted else repo.journal.trashed()
    missing = [digest for digest in wanted if digest not in found]
    if missing:
        raise NotFound(f"b3:{missing[0]} is not in the trash: it is in the lake still, or has been deleted")
    back = repo.trash.untrash(list(found))
    lost = [digest for digest in wanted if digest not in back]
    if lost:
        raise NotFound(f"the bytes of b3:{lost[0]} are not in the trash any more: somebody has removed the file")
    loose = {Digest(each.raw.hex()) for each in repo.journal.described(repo.journal.loose_objects())}
    derived = {
        artifact.target for digest in back for artifact in repo.journal.artifacts(digest) if artifact.target is not None
    }
    return [Put(f"{LOST_AND_FOUND}/{digest}", digest) for digest in back if digest in loose - derived]


def _object_named(name: str) -> Digest:
    digest = name.removeprefix("b3:")
    if digest == name or re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise InvalidInput(
            f"not the name of an object: {name!r}: what is in the trash has no path any more, write b3: and its digest"
        )
    return Digest(digest)


@contextlib.contextmanager
def _alone(repo: Repository) -> Iterator[None]:
    lock = LockFile(repo.root / "gc.lock", 0)
    try:
        lock.__enter__()
    except LakeLocked:
        raise LakeLocked(f"another gc is at work in {repo.root}: wait for it, then try again") from None
    try:
        yield
    finally:
        lock.__exit__()


class _Collector:
    def __init__(self, repo: Repository, grace: float, trash: float) -> None:
        self._repo = repo
        self._journal = repo.journal
        self._trash = repo.trash
        self._grace = _nanoseconds(grace)
        self._keep = _nanoseconds(trash)
        self._examples: list[tuple[str, str]] = []

    def preview(self, empty_trash: bool) -> GcReport:
        plan = self._plan()
        records = self._journal.described(plan.loose)
        due = self._journal.due_claims(None if empty_trash else now())
        self._tell_dead(records)
        self._tell_orphans(plan.orphans)
        return self._counted(
            GcReport(
                dry_run=True,
                objects=len(records),
                bytes=sum(each.size for each in records),
                orphans=len(plan.orphans),
                orphan_bytes=sum(file.size for file in plan.orphans),
                packs=len(plan.packs),
                purged=len(due),
                freed=sum(claim.size for claim in due),
                examples=tuple(self._examples),
            )
        )

    def run(self, empty_trash: bool) -> GcReport:
        # What a gc that was killed had claimed is on its way already.
        for batch in _batches(self._journal.claims(), _BATCH):
            with self._trash.lock:
                claims = self._journal.claims([claim.handle for claim in batch])
                # A writer may have carried out some meanwhile, and have put its own file in the place.
                self._trash.carry_out([claim.handle for claim in claims if not claim.moved])
        plan = self._plan()
        crash_point("marked")
        report = self._sweep(GcReport(dry_run=False), plan.loose)
        report = replace(report, packs=sum(self._repack(pack) for pack in plan.packs))
        report = self._sweep_orphans(report, plan.orphans)
        report = self._purge(report, empty_trash)
        for files in _batches(plan.trash, _BATCH):
            self._trash.remove_unclaimed(files)
        return self._counted(replace(report, examples=tuple(self._examples)))

    # -- looking ------------------------------------------------------------------------------------------------
    def _plan(self) -> _Plan:
        moment = self._disk_time()
        loose = self._journal.loose_objects()
        trash = list(self._trash.folder.files())
        orphans = list(self._orphans(moment - self._grace))
        return _Plan(loose, orphans, list(self._wasteful_packs(moment - self._grace)), trash)

    def _disk_time(self) -> int:
        """What the clock of the lake's filesystem says: files carry its times, not those of this machine."""
        with self._repo.scratch() as folder:
            probe = folder / "clock"
            probe.touch()
            moment = probe.stat().st_mtime_ns
        skew = abs(moment - now())
        if skew > _SKEW:
            raise StorageError(
                f"the clocks of this machine and of the disk of {self._repo.root} differ by {skew // 10**9} s: "
                "nothing is taken away; set the clock, then run lake gc again"
            )
        return moment

    def _orphans(self, before: int) -> Iterator[_File]:
        """Stored files that no live object lies in, and that have not changed since."""
        for handles in _batches(self._repo.store.handles(), _LISTED):
            for handle in self._journal.unnamed_files(handles):
                status = self._repo.store.status(handle)
                # The time of the last rename: a file keeps its others when it is moved into the lake.
                if status is not None and status.st_ctime_ns <= before:
                    yield _File(handle, status.st_size)

    def _wasteful_packs(self, before: int) -> Iterator[str]:
        """Packs of which more than half is dead."""
        for use in self._journal.pack_uses():
            status = self._repo.store.status(use.handle)
            if status is not None and status.st_ctime_ns <= before and use.live * 2 < status.st_size:
                yield use.handle

    # -- into the trash -----------------------------------------------------------------------------------------
    def _sweep(self, report: GcReport, loose: Sequence[int]) -> GcReport:
        objects = size = 0
        for batch in _batches(loose, _BATCH):
            with self._trash.lock:
                dead, files = self._journal.set_aside(batch, now() + self._keep)
                crash_point("claimed")
                self._trash.carry_out(files)
            self._tell_dead(dead)
            for each in dead:
                self._repo.shelf.drop(Digest(each.raw.hex()))
            objects += len(dead)
            size += sum(each.size for each in dead)
        return replace(report, objects=objects, bytes=size)

    def _sweep_orphans(self, report: GcReport, orphans: Sequence[_File]) -> GcReport:
        count = size = 0
        for batch in _batches(orphans, _BATCH):
            with self._trash.lock:
                files = self._journal.claim_files([file.handle for file in batch], now() + self._keep)
                crash_point("claimed")
                size += self._trash.carry_out(files)
            taken = set(files)
            self._tell_orphans([file for file in batch if file.handle in taken])
            count += len(files)
        return replace(report, orphans=count, orphan_bytes=size)

    def _repack(self, pack: str) -> bool:
        """Store the live objects of a pack anew; what is left of it is an orphan then. False where that is not safe."""
        members = self._journal.pack_members(pack)
        readers = []
        for digest in members:
            record = self._journal.object(digest)
            if record is None:
                return False
            readers.append(
                ObjectReader(record, self._repo.store, lambda *_: f"{pack} is damaged", self._journal.object)
            )
        try:
            stored = self._copied(readers)
            self._repo.relocate({each.digest: each.location for each in stored}, min(each.probe for each in stored))
        except (Conflict, DamagedObject, NotFound, StorageError):
            # One died meanwhile, or is damaged, which fsck tells of: the pack stays as it is.
            return False
        return True

    def _copied(self, readers: Sequence[ObjectReader]) -> list[Stored]:
        with self._repo.scratch() as folder, self._repo.batch() as batch:
            for reader in readers:
                path = folder / "member"
                path.write_bytes(reader.read(0, reader.size))
                batch.put_file(path)
            return batch.publish()

    # -- out of the trash ---------------------------------------------------------------------------------------
    def _purge(self, report: GcReport, empty_trash: bool) -> GcReport:
        moment = now()
        files = size = 0
        for batch in _batches(self._journal.due_claims(None if empty_trash else moment), _BATCH):
            gone, _ = self._trash.purge(batch)
            files += len(gone)
            size += sum(claim.size for claim in gone)
        # Their file stays for the sake of others in it: only the journal has something to forget.
        for numbers in _batches(self._journal.dead_members(None if empty_trash else moment - self._keep), _BATCH):
            self._journal.forget_members(numbers)
        return replace(report, purged=files, freed=size)

    # -- telling ------------------------------------------------------------------------------------------------
    def _tell_dead(self, dead: Sequence[Dead]) -> None:
        for each in dead[: max(0, _EXAMPLES - len(self._examples))]:
            self._examples.append((f"b3:{each.raw.hex()}", f"{each.format}, {each.size} bytes: no path names it"))

    def _tell_orphans(self, orphans: Sequence[_File]) -> None:
        for file in orphans[: max(0, _EXAMPLES - len(self._examples))]:
            kind = "pack" if is_pack(file.handle) else "file"
            self._examples.append((file.handle, f"{kind}, {file.size} bytes: no object lies in it"))

    def _counted(self, report: GcReport) -> GcReport:
        claims: list[Claim] = self._journal.due_claims(None)
        return replace(report, waiting=len(claims), waiting_bytes=sum(claim.size for claim in claims))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
