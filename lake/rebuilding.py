"""Making the journal again from its sealed log, when journal.db is lost, damaged or older than the log."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lake.clock import now
from lake.config import BACKUP_FILE, load_config
from lake.crashpoints import crash_point
from lake.digest import Digest
from lake.errors import LakeError, NotFound, ReadOnly, StorageError, UnsupportedVersion
from lake.journal import claims, events, leases, objects, replay
from lake.journal.connection import write_new
from lake.journal.lockfile import LockFile
from lake.journal.logbook import Logbook, Tip
from lake.journal.sealing import LOCK, log_folder
from lake.journal.sqlite import SqliteJournal
from lake.repository import LEASE_SECONDS
from lake.stores.base import Location
from lake.stores.durable import System
from lake.stores.filesystem import require_local
from lake.stores.local import LocalStore
from lake.stores.modes import file_mode, make_folders
from lake.stores.places import plain_location
from lake.stores.trash import TrashFolder
from lake.trash import SWEEP_LOCK, TRASH

__all__ = ["Missing", "RebuiltJournal", "rebuild_journal"]

_TIMEOUT = 30.0
_SIDE_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Missing:
    """An object that the log knows and of which no stored file has the bytes."""

    digest: Digest
    paths: tuple[tuple[str, str, int], ...]
    """Where it is or was named: (path, branch, commit), newest first."""


@dataclass(frozen=True, slots=True)
class RebuiltJournal:
    """What came of it. Tokens, known damage and derived things are not in the log: make them anew."""

    commits: int
    objects: int
    missing: tuple[Missing, ...]
    moved: int
    """Objects that were found elsewhere than where the log says."""
    aside: Path | None
    """Where the old journal is now; None: there was none."""

    def as_json(self) -> dict[str, Any]:
        return {
            "commits": self.commits,
            "objects": self.objects,
            "missing": [
                {"digest": each.digest, "paths": [{"path": p, "branch": b, "commit": c} for p, b, c in each.paths]}
                for each in self.missing
            ],
            "moved": self.moved,
            "aside": None if self.aside is None else str(self.aside),
        }


def rebuild_journal(root: Path, *, system: System | None = None) -> RebuiltJournal:
    """Make journal.db of the lake at ``root`` again from ``log/``; the old one goes to ``quarantine/``.

    Commits, branches, tags and objects are what they were, with their numbers, ids and times; what is in the trash
    stays there for as long as it would from now on. A crash on the way leaves the old journal, or none and the log: do
    it again.

    Raises:
        NotALake: no lake there.
        NotFound: it has no log.
        ReadOnly: it is a backup, whose journal is made again only where none opens.
        UnsupportedVersion: newer software has written the journal or the log.
        StorageError: the log is damaged, or lacks events that the journal has and cannot be written; or it is on a
            network filesystem.
        LakeLocked: somebody is writing to the lake.
    """
    load_config(root)
    require_local(root)
    path = root / "journal.db"
    if (root / BACKUP_FILE).exists() and _opens(path):
        raise ReadOnly(
            f"{root} is a backup, and its journal opens: nothing to make again; 'lake verify-backup' checks it"
        )
    system = system or System()
    book = Logbook(log_folder(path), system)
    # Opened for writing, a journal that can still be read brings its log up to date.
    _behind(path, system, readonly=False)
    with (
        # Between what gc says in the journal and what it does with files nobody may come.
        LockFile(root / SWEEP_LOCK, _TIMEOUT),
        LockFile(path.with_name(f"{path.stem}.lock"), _TIMEOUT),
        LockFile(path.with_name(LOCK), _TIMEOUT),
    ):
        behind = _behind(path, system, readonly=True)
        if behind:
            raise StorageError(
                f"{path} is whole and has {behind} events that its log lacks: nothing to make again; see that nobody is"
                f" writing to the lake, and that {log_folder(path)} can be written"
            )
        tip = book.tip()
        if tip is None:
            raise NotFound(f"{root} has no log to make the journal from: restore the lake from a backup")
        fresh = path.with_name("journal.db.new")
        _discard(fresh)
        moved = _write(root, fresh, book, tip, TrashFolder(root, system))
        fresh.chmod(file_mode(root))
        _sync_file(system, fresh)
        crash_point("journal-rebuilt")
        aside = _set_aside(root, path, system)
        crash_point("journal-aside")
        system.replace(str(fresh), str(path))
        system.sync_directory(root)
        crash_point("journal-named")
    _clear(root / "catalog")
    with closing(SqliteJournal(path, system=system)) as journal:
        count, lost = 0, []
        for record in journal.objects():
            count += 1
            if not _holds(root, record.location):
                lost.append(record.digest)
        missing = tuple(Missing(digest, tuple(journal.paths_of(digest))) for digest in lost)
        return RebuiltJournal(journal.tip().seq, count, missing, moved, aside)


def _opens(path: Path) -> bool:
    try:
        SqliteJournal(path, readonly=True).close()
    except UnsupportedVersion:
        raise
    except LakeError:
        return False
    return True


def _behind(path: Path, system: System, *, readonly: bool) -> int:
    """Events of the journal that the log lacks; 0 for a journal that cannot be used."""
    try:
        with closing(SqliteJournal(path, readonly=readonly, system=system)) as journal:
            return journal.log_state().behind
    except UnsupportedVersion:
        raise
    except LakeError:
        return 0


def _write(root: Path, fresh: Path, book: Logbook, tip: Tip, trash: TrashFolder) -> int:
    """Write the new journal; returns how many objects lie elsewhere than they did."""
    moved: dict[Digest, Location] = {}

    def fill(sql: sqlite3.Connection) -> None:
        replay.replay(sql, book.records())
        for session in LocalStore(root).sessions():
            # Whoever is at work goes on; of the others the next writer removes what they left, when their time is over.
            leases.hold(sql, session, "unknown", "staging", LEASE_SECONDS)
        replay.forget_claims(sql)
        trash.give_back(_taken_too_early(root, sql, trash))
        deadline = now() + round(TRASH * 1_000_000_000)
        replay.claim_trash(sql, [(handle, trash.size(handle) or 0) for handle in trash.files()], deadline)
        moved.update(_found_elsewhere(root, sql))
        replay.relocate(sql, moved)
        events.record(sql, "rebuilt", {"hash": tip.hash, "journal": tip.journal, "at": now()})

    write_new(fresh, fill)
    return len(moved)


def _found_elsewhere(root: Path, sql: sqlite3.Connection) -> dict[Digest, Location]:
    """Objects that are not where the log says, and have a file of their own."""
    found: dict[Digest, Location] = {}
    last, page = objects.read_after(sql, 0, 1000)
    while page:
        for record in page:
            own = plain_location(record.digest, record.size)
            if not _holds(root, record.location) and _holds(root, own):
                found[record.digest] = own
        last, page = objects.read_after(sql, last, 1000)
    return found


def _taken_too_early(root: Path, sql: sqlite3.Connection, trash: TrashFolder) -> list[str]:
    """Files in the trash that live objects lie in: gc took them after the last event that is in the log."""
    return [handle for handle in trash.files() if not (root / handle).exists() and not claims.unnamed(sql, [handle])]


def _holds(root: Path, place: Location) -> bool:
    try:
        return (root / place.handle).stat().st_size >= place.offset + place.length
    except OSError:
        return False


def _set_aside(root: Path, path: Path, system: System) -> Path | None:
    """Move the old journal, with what SQLite has beside it, into quarantine."""
    if not any(path.with_name(path.name + end).exists() for end in _SIDE_FILES):
        return None
    folder = root / "quarantine" / f"journal-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    make_folders(folder)
    for end in _SIDE_FILES:
        old = path.with_name(path.name + end)
        if old.exists():
            old.rename(folder / old.name)
    system.sync_directory(folder)
    system.sync_directory(folder.parent)
    system.sync_directory(root)
    return folder


def _sync_file(system: System, path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        system.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: Path) -> None:
    for end in _SIDE_FILES:
        path.with_name(path.name + end).unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Remove the read model: it was read from the journal that was."""
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        elif child.name != "publish.lock":
            child.unlink(missing_ok=True)
