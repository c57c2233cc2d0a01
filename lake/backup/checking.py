"""Checking a backup: every byte, every commit, told by the paths that are hit."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lake.backup.copying import digest_in, needed_files
from lake.backup.manifest import Manifest, Moment, file_digest
from lake.config import load_config
from lake.errors import LakeError, StorageError
from lake.journal.base import Journal
from lake.journal.logbook import Logbook
from lake.journal.sqlite import SqliteJournal
from lake.progress import Progress
from lake.stores.durable import System
from lake.stores.filesystem import filesystem_of

__all__ = ["BackupCheck", "BackupFinding", "no_journal", "opened_journal", "paths_in", "verify_backup"]


class BackupFinding(NamedTuple):
    """Something that is wrong with a backup."""

    problem: str
    """``missing`` or ``damaged``."""
    name: str
    """The file in the backup."""
    paths: tuple[str, ...] = ()
    """What it takes with it, as ``path@branch``."""
    known: bool = False
    """The lake was so when the backup was made."""

    def __str__(self) -> str:
        what = ", ".join(self.paths) or "no path"
        origin = "; it was so in the lake when the backup was made" if self.known else ""
        return f"{self.problem}: {what} ({self.name}{origin})"


@dataclass(slots=True)
class BackupCheck:
    moment: Moment | None
    """Which moment the backup is of; None when the manifest does not know its journal."""
    files: int = 0
    bytes: int = 0
    findings: list[BackupFinding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        moment = None if self.moment is None else asdict(self.moment)
        findings = [finding._asdict() for finding in self.findings]
        counts = {"files": self.files, "bytes": self.bytes}
        return {"ok": self.ok, "moment": moment, **counts, "findings": findings}


def verify_backup(folder: Path, progress: Progress, *, fast: bool = False) -> BackupCheck:
    """Look at every file that a backup needs, and at its journal. Changes nothing.

    Args:
        fast: presence and sizes of files only; bytes and commits are not read.

    Raises:
        NotFound: no backup.
        StorageError: its journal cannot be read at all.
    """
    folder = folder.absolute()
    manifest = Manifest.read(folder)
    if str(load_config(folder).id) != manifest.lake:
        raise StorageError(f"{folder}: lake.toml and backup.json are of different lakes: make a new backup")
    check = BackupCheck(manifest.of(_digest_of_journal(folder)))
    if check.moment is None:
        check.findings.append(BackupFinding("damaged", "journal.db", ("everything: its bytes are not those copied",)))
    with opened_journal(folder) as journal:
        if not fast:
            check.findings.extend(BackupFinding("damaged", "journal.db", (text,)) for text in journal.verify())
            check.findings.extend(_check_log(folder))
        _check_files(folder, journal, check, progress, fast=fast)
    return check


def _digest_of_journal(folder: Path) -> str:
    path = folder / "journal.db"
    try:
        return file_digest(path)
    except FileNotFoundError:
        raise no_journal(folder) from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def no_journal(folder: Path) -> StorageError:
    """What is wrong with a backup without its journal: the log comes after it, so where there is one it was lost."""
    if any((folder / "log").glob("*.log")):
        return StorageError(
            f"{folder} has lost its journal.db: 'lake backup' into it again, or, where the lake is gone, "
            f"'lake doctor --rebuild-journal {folder}' makes it from its log"
        )
    return StorageError(f"{folder} has no journal.db: the backup was never finished; run 'lake backup' again")


@contextmanager
def opened_journal(folder: Path) -> Iterator[SqliteJournal]:
    """The journal of a backup, for reading; through a copy on a local disk where SQLite must not be used."""
    if not filesystem_of(folder).network:
        with closing(SqliteJournal(folder / "journal.db", readonly=True)) as journal:
            yield journal
        return
    with tempfile.TemporaryDirectory(prefix="regionlake-backup-") as name:
        copy = Path(name) / "journal.db"
        shutil.copyfile(folder / "journal.db", copy)
        with closing(SqliteJournal(copy, readonly=True)) as journal:
            yield journal


def _check_log(folder: Path) -> Iterator[BackupFinding]:
    try:
        for _ in Logbook(folder / "log", System()).records():
            pass
    except LakeError as error:
        yield BackupFinding("damaged", "log", (str(error),))


def _check_files(folder: Path, journal: SqliteJournal, check: BackupCheck, progress: Progress, *, fast: bool) -> None:
    known = frozenset(() if check.moment is None else (*check.moment.missing, *check.moment.damaged))
    needed = list(needed_files(journal.files()))
    progress.start(0 if fast else sum(size for _, size in needed), "verify-backup")
    bad: dict[str, str] = {}
    for handle, size in needed:
        check.files += 1
        problem = _problem(folder / handle, handle, size, fast=fast)
        if problem is not None:
            bad[handle] = problem
        elif not fast:
            check.bytes += size
        progress.advance(size)
    progress.close()
    check.findings.extend(
        BackupFinding(problem, handle, paths_in(journal, handle), handle in known)
        for handle, problem in sorted(bad.items())
    )


def _problem(path: Path, handle: str, size: int, *, fast: bool) -> str | None:
    try:
        found = path.stat().st_size
        right = found >= size if handle.startswith("packs/") else found == size
        if not right or not (fast or file_digest(path) == digest_in(handle)):
            return "damaged"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "damaged"  # a sector that cannot be read
    return None


def paths_in(journal: Journal, handle: str) -> tuple[str, ...]:
    """Which paths have bytes in a stored file, as ``path@branch``."""
    found = (name for record in journal.objects_in(handle) for name in journal.paths_of(record.digest))
    return tuple(dict.fromkeys(f"{path}@{branch}" for path, branch, _ in found))
