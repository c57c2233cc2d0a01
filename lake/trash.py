"""The trash of one lake: how files and journal keep in step while gc and writers are at work at once.

The journal says what is dead, the files follow, and whoever moves one holds ``sweep.lock``: a lock of the kernel, which
a process that is stopped keeps and one that is killed loses. No step rests on the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import Collected
from lake.journal.base import Journal
from lake.journal.lockfile import LockFile
from lake.journal.values import Claim, ObjectRecord
from lake.stores.base import Location, ObjectStore
from lake.stores.durable import System
from lake.stores.trash import TrashFolder

__all__ = ["GRACE", "SWEEP_LOCK", "TRASH", "Trash"]

SWEEP_LOCK = "sweep.lock"
"""Name of the file that whoever moves stored files queues on."""

GRACE = 24 * 3600.0
"""Seconds that a stored file which nothing names is left alone: a put may be about to name it."""

TRASH = 14 * 24 * 3600.0
"""Seconds that the trash keeps what was collected, unless told otherwise."""


class Trash:
    """Moves what the journal has claimed, and brings it back. Safe for threads and processes."""

    def __init__(self, root: Path, journal: Journal, store: ObjectStore, system: System, timeout: float) -> None:
        self.folder = TrashFolder(root, system)
        self._lock = (root / SWEEP_LOCK, timeout)
        self._journal = journal
        self._store = store

    @property
    def lock(self) -> LockFile:
        """Hold it to move files between their places and the trash, or to delete them there."""
        # A new one each time: a child of a fork never inherits one that is held.
        return LockFile(*self._lock)

    def settle(self, handles: Sequence[str]) -> int:
        """`lake.stores.base.Settle`: claims that were made already are carried out; the newest one there ever was.

        Raises:
            LakeLocked: gc is stopped in the middle of moving one of these files.
        """
        newest, unmoved = self._journal.probe(handles)
        if unmoved:
            with self.lock:
                self.carry_out([claim.handle for claim in self._journal.claims(unmoved) if not claim.moved])
        return newest

    def carry_out(self, handles: Sequence[str]) -> int:
        """Move claimed files into the trash and note it; returns their bytes. Under the lock."""
        if not handles:
            return 0
        files = self.folder.take(handles)
        crash_point("moved")
        self._journal.claims_moved(files)
        crash_point("recorded")
        return sum(size for _, size in files)

    def recover(self, records: Iterable[ObjectRecord], digests: Iterable[Digest]) -> list[ObjectRecord]:
        """Bring back what a commit is about to name.

        Args:
            records: objects that the commit brings; each has to lie where it says.
            digests: what it names besides.

        Returns:
            the records, with a probe of now.

        Raises:
            Collected: the bytes of one are gone.
        """
        with self.lock:
            given = self._where_they_lie(list(records))
            wanted = set(digests) - {record.digest for record in given}
            places = {**self._journal.trashed(sorted(wanted)), **{each.digest: each.location for each in given}}
            # What is neither dead nor live has been deleted for good.
            gone = self._give_back(places) + sorted(wanted - places.keys() - self._journal.known(sorted(wanted)))
            if gone:
                raise Collected.of(gone)
            newest = self._journal.restore(list(places.keys() - {each.digest for each in given}), _files_of(places))
        return [replace(record, probe=newest) for record in given]

    def _where_they_lie(self, records: Sequence[ObjectRecord]) -> list[ObjectRecord]:
        """Somebody else may have committed one of them meanwhile, in another place."""
        live = self._journal.locations([record.digest for record in records])
        return [replace(record, location=live.get(record.digest, record.location)) for record in records]

    def untrash(self, digests: Sequence[Digest] | None = None) -> list[Digest]:
        """Let objects in the trash be live again, with what was derived from them; all of them for None.

        Returns:
            those that came back: without those whose bytes are gone, as of files that somebody has removed by hand.
        """
        with self.lock:
            places = self._journal.trashed(digests)
            gone = self._give_back(places)
            back = {digest: place for digest, place in places.items() if digest not in gone}
            self._journal.restore(list(back), _files_of(back))
        return list(back)

    def _give_back(self, places: Mapping[Digest, Location]) -> list[Digest]:
        """Move the files of these objects back to their places; returns those whose bytes are not there."""
        missing = set(self.folder.give_back(_files_of(places)))
        crash_point("given-back")
        return [
            digest
            for digest, location in places.items()
            if location.handle in missing or self._store.present(location) < location.length
        ]

    def purge(self, claims: Sequence[Claim]) -> tuple[list[Claim], int]:
        """Forget claims and the objects of their files, then delete the files.

        Returns:
            the claims that were still there, and the number of objects.
        """
        with self.lock:
            gone, objects = self._journal.forget_claims(claims)
            crash_point("purge-rows")
            self.folder.remove([claim.handle for claim in gone])
            crash_point("purged")
        return gone, objects

    def remove_unclaimed(self, handles: Sequence[str]) -> list[str]:
        """Delete files from the trash that no claim is on: what a crash has left, or what was stored anew since.

        One that a live object lies in, and that is not in its place, is the only copy: a journal that was put back from
        an older copy has such objects.
        """
        with self.lock:
            claimed = {claim.handle for claim in self._journal.claims(handles)}
            unnamed = set(self._journal.unnamed_files(handles))
            free = [
                handle
                for handle in handles
                if handle not in claimed and (handle in unnamed or self.folder.in_place(handle))
            ]
            self.folder.remove(free)
        return free


def _files_of(places: Mapping[Digest, Location]) -> list[str]:
    return list(dict.fromkeys(location.handle for location in places.values()))
