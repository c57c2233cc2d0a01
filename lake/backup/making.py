"""Making a backup: the journal first, as it is at one moment; then the files it needs; then the journal's name."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lake.backup.checking import opened_journal
from lake.backup.copying import Folder, digest_in, needed_files
from lake.backup.known import KnownBackup, remember_backup
from lake.backup.logs import copy_log, drop_log
from lake.backup.manifest import Manifest, Moment, file_digest
from lake.clock import now
from lake.config import BACKUP_FILE, load_config
from lake.crashpoints import crash_point
from lake.errors import InvalidInput, NotALake, NotFound, StorageError
from lake.journal.base import Journal
from lake.journal.lockfile import LockFile
from lake.journal.sqlite import SqliteJournal
from lake.progress import Progress
from lake.repository import Repository
from lake.stores.filesystem import filesystem_of
from lake.stores.local import LocalStore
from lake.stores.modes import PRIVATE, set_root_mode

__all__ = ["BackupReport", "make_backup"]

_ATTEMPTS = 10
"""Copies of the journal, while a collector takes away what the one before needs."""
_LOCK_SECONDS = 2.0
_LEASE_SECONDS = 300.0
"""How long a backup that was killed keeps gc away. One that sleeps for longer may miss files, and says so."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    moment: Moment
    copied: int
    """Files that the backup did not have."""
    copied_bytes: int
    removed: int
    """Files that went with ``prune``."""
    removed_bytes: int

    @property
    def ok(self) -> bool:
        return self.moment.whole

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def make_backup(
    repo: Repository, target: Path, progress: Progress, *, prune: bool = False, verify: bool = False
) -> BackupReport:
    """Make the directory ``target`` a backup of the lake, or bring one up to date: only what it has not got is copied.

    Others may write, and a collector may run, meanwhile. Killed at any moment it leaves the backup as it was, or new.

    Args:
        prune: remove files that the new journal does not need.
        verify: read what the backup has, and copy again what no longer matches its digest.

    Raises:
        InvalidInput: the target is another lake's backup, a lake, holds something else, overlaps with the lake, or has
            commits that a lake that was restored from an older backup has not.
        LakeLocked: another backup goes to the same place.
        StorageError: no space left, or a disk failed; the backup is as it was.
    """
    target = target.absolute()
    _check_target(repo, target)
    _make(target)
    with LockFile(target / "backup.lock", _LOCK_SECONDS), Folder(target, repo.system) as folder:
        making = _Making(repo, folder, progress, verify)
        making.refuse_another_future()
        with repo.lease("backup", _LEASE_SECONDS), making.scratch() as scratch:
            moment = making.run(scratch / "journal.db")
        removed = making.prune() if prune else (0, 0)
    if not repo.readonly:
        # The backup is made: that a full disk has no room for a note of it is no failure.
        with contextlib.suppress(OSError):
            remember_backup(repo.root, KnownBackup(os.fspath(target), moment.made, moment.seq), repo.system)
    return BackupReport(moment, folder.copied, folder.bytes, *removed)


def _check_target(repo: Repository, target: Path) -> None:
    real, lake = Path(os.path.realpath(target)), Path(os.path.realpath(repo.root))
    if real == lake or lake in real.parents or real in lake.parents:
        raise InvalidInput(f"{target} and the lake {repo.root} lie in each other: back up to another disk")
    if (repo.root / BACKUP_FILE).exists():
        raise InvalidInput(f"{repo.root} is a backup itself: copy it with cp or rsync, or restore-lake it first")
    try:
        found = load_config(target)
    except NotALake:
        if target.is_dir() and any(name not in ("backup.lock", "staging") for name in os.listdir(target)):
            raise InvalidInput(f"{target} holds something else: name a new or empty directory") from None
        if target.exists() and not target.is_dir():
            raise InvalidInput(f"{target} is not a directory: name a new or empty one") from None
        return
    if (target / "journal.db").exists() and not (target / BACKUP_FILE).exists():
        raise InvalidInput(f"{target} is a lake, not a backup: name another directory")
    if found.id != repo.config.id:
        raise InvalidInput(f"{target} is the backup of another lake ({found.id}): name another directory")


def _make(target: Path) -> None:
    if target.exists():
        return
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"cannot make {target}: {error.strerror}") from error
    # It holds all that the lake holds, whoever may read the folder around it.
    set_root_mode(target, PRIVATE)


class _Making:
    def __init__(self, repo: Repository, folder: Folder, progress: Progress, verify: bool) -> None:
        self._repo = repo
        self._folder = folder
        self._progress = progress
        self._before = _moment_in_place(folder.root)
        self._again = set(self._before.damaged if self._before is not None else ())
        """Files that the backup has, and not in good order."""
        if verify:
            self._again.update(handle for handle, _ in self._stored() if _is_bad(folder.root, handle))

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Where the copy of the journal is made: in the backup, but never by SQLite on a network filesystem."""
        if not filesystem_of(self._folder.root).network:
            yield self._folder.staging
            return
        with tempfile.TemporaryDirectory(prefix="regionlake-backup-") as name:
            yield Path(name)

    def refuse_another_future(self) -> None:
        """Raises InvalidInput where the backup has commits that a lake, restored from an older one, has not."""
        before, journal = self._before, self._repo.journal
        if before is None or before.identity == journal.identity():
            return
        with opened_journal(self._folder.root) as theirs:
            last = theirs.feed_commits(before.seq - 1, before.seq, 1)
        own = journal.feed_commits(before.seq - 1, before.seq, 1)
        # Without a row of its own, the lake is older, or has let go of that commit.
        if before.seq > journal.tip().seq or (own and last and own[0][1] != last[0][1]):
            raise InvalidInput(
                f"{self._folder.root} has commit {before.seq} of this lake as it was before it was restored, and would "
                "lose it: name another directory"
            )

    def run(self, copy: Path) -> Moment:
        # Tells whose backup this is, should it not be finished.
        if not (self._folder.root / "lake.toml").exists():
            self._folder.write("lake.toml", (self._repo.root / "lake.toml").read_bytes())
        for _ in range(_ATTEMPTS):
            copy.unlink(missing_ok=True)
            made = now()
            self._repo.journal.copy_to(copy)
            crash_point("backup-journal-copied")
            with closing(SqliteJournal(copy, readonly=True)) as journal:
                gone = self._copy_files(journal)
                self._folder.publish()
                moment, events = self._moment(journal, copy, made, gone), journal.log_state().events
            if all(self._is_lost(handle) for handle in gone):
                break
        else:
            raise StorageError(
                f"gc takes away what the backup of {self._repo.root} needs: run it again when gc is done"
            )
        crash_point("backup-files-copied")
        self._finish(copy, moment)
        self._copy_log(events)
        crash_point("backup-log-copied")
        return moment

    def _is_lost(self, handle: str) -> bool:
        """Whether a file that is gone should be there; else gc took it, and a younger journal does not name it."""
        return bool(self._repo.journal.objects_in(handle)) and not (self._repo.root / handle).exists()

    def _copy_files(self, journal: Journal) -> list[str]:
        """Stage and publish what the backup lacks; returns what the lake has not got either."""
        wanted = sum(size for _, size in self._lacking(journal))
        self._folder.require(wanted)
        self._progress.start(wanted, "backup")
        gone = []
        try:
            for handle, _ in self._lacking(journal):
                sources = (self._repo.root / handle, self._repo.root / "trash" / handle)
                if not self._folder.take(sources, handle, self._progress, verify=False):
                    gone.append(handle)
        finally:
            self._progress.close()
        return gone

    def _lacking(self, journal: Journal) -> Iterator[tuple[str, int]]:
        """Files that the journal needs and the backup has not got, or not in good order."""
        for handle, size in needed_files(journal.files()):
            try:
                found = (self._folder.root / handle).stat().st_size
            except FileNotFoundError:
                yield handle, size
                continue
            fits = found >= size if handle.startswith("packs/") else found == size
            if not fits or handle in self._again:
                yield handle, size

    def _stored(self) -> Iterator[tuple[str, int]]:
        """What the backup has: handles and sizes."""
        store = LocalStore(self._folder.root)
        if (self._folder.root / "objects").exists():
            yield from [(location.handle, location.length) for _, location in store.list()]
        yield from list(store.packs())

    def _moment(self, journal: Journal, copy: Path, made: int, gone: list[str]) -> Moment:
        files = total = 0
        copied_damaged, damaged = set(self._folder.damaged), []
        for handle, size in needed_files(journal.files()):
            files += 1
            total += size
            if handle in copied_damaged:
                damaged.append(handle)
        return Moment(
            made=made,
            seq=journal.tip().seq,
            identity=journal.identity(),
            journal=file_digest(copy),
            files=files - len(gone),
            bytes=total,
            missing=tuple(gone),
            damaged=tuple(damaged),
        )

    def _finish(self, copy: Path, moment: Moment) -> None:
        """Change the backup from one moment to the next: the manifest knows both, the journal's rename decides."""
        root = self._folder.root
        moments = (moment,) if self._before is None else (moment, self._before)
        self._folder.write("lake.toml", (self._repo.root / "lake.toml").read_bytes())
        self._folder.write(BACKUP_FILE, Manifest(str(self._repo.config.id), moments).encode())
        crash_point("backup-manifest-written")
        for suffix in ("-wal", "-shm", "-journal"):
            # Left by somebody who wrote to the backup: SQLite would apply them to the new file.
            (root / f"journal.db{suffix}").unlink(missing_ok=True)
        if self._before is None or self._before.identity != moment.identity:
            drop_log(self._folder)
        self._folder.place(copy, "journal.db")
        crash_point("backup-journal-named")

    def _copy_log(self, newest: int) -> None:
        # After the journal: a log that knows more than its journal would have the backup refused.
        try:
            copy_log(self._repo.root / "log", self._folder, newest)
        except ValueError as error:
            raise StorageError(
                f"the log of {self._repo.root} is damaged ({error}): the backup has all but the log; run 'lake fsck'"
            ) from error

    def prune(self) -> tuple[int, int]:
        """Remove stored files that the journal in place does not need; returns how many, and their bytes."""
        with opened_journal(self._folder.root) as journal:
            needed = {handle for handle, _ in needed_files(journal.files())}
        removed = freed = 0
        for handle, size in self._stored():
            if handle not in needed:
                (self._folder.root / handle).unlink()
                removed, freed = removed + 1, freed + size
                crash_point("backup-pruned")
        return removed, freed


def _is_bad(root: Path, handle: str) -> bool:
    try:
        return file_digest(root / handle) != digest_in(handle)
    except OSError:
        return True  # a sector that cannot be read


def _moment_in_place(root: Path) -> Moment | None:
    """The moment that a backup is of; None for one that is new, was never finished, or has no word on it."""
    try:
        return Manifest.read(root).of(file_digest(root / "journal.db"))
    except (NotFound, FileNotFoundError, StorageError):
        return None
