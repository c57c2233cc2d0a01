"""Making a lake of a backup."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lake.backup.checking import BackupFinding, no_journal, opened_journal, paths_in
from lake.backup.copying import Folder, needed_files
from lake.backup.manifest import Manifest
from lake.config import load_config
from lake.crashpoints import crash_point
from lake.errors import AlreadyExists, InvalidInput, StorageError
from lake.journal.connection import adopt
from lake.progress import Progress
from lake.repository import RESERVED
from lake.stores.durable import System
from lake.stores.filesystem import require_local
from lake.stores.modes import PRIVATE, SHARED, make_folder, set_root_mode

__all__ = ["RestoreReport", "restore_lake"]


@dataclass(frozen=True, slots=True)
class RestoreReport:
    root: Path
    files: int
    bytes: int
    findings: tuple[BackupFinding, ...]
    """What the backup has not got, or not as its digest says. The lake is made all the same; its fsck says the same."""

    @property
    def ok(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        findings = [finding._asdict() for finding in self.findings]
        return {**asdict(self), "ok": self.ok, "root": str(self.root), "findings": findings}


def restore_lake(backup: Path, root: Path, progress: Progress, system: System | None = None) -> RestoreReport:
    """Make a lake in a new directory of a backup; every byte is hashed on the way.

    The lake keeps its id. Its journal gets an identity of its own, so that whatever was read from the journal before,
    a catalog or a server's cache, is not taken for what is in this one. It has no key of signed URLs: its first server
    makes one.

    Raises:
        NotFound: no backup.
        AlreadyExists: the directory is not empty.
        StorageError: no space left, a disk failed, a network filesystem; what was made is removed again.
    """
    backup, root = backup.absolute(), root.absolute()
    Manifest.read(backup)
    if not (backup / "journal.db").is_file():
        raise no_journal(backup)
    _make_room(backup, root)
    try:
        return _restore(backup, root, progress, system or System())
    except BaseException:
        # Nothing but what was made here lies in it, and without it the next try may have the same name.
        _empty(root)
        raise


def _restore(backup: Path, root: Path, progress: Progress, system: System) -> RestoreReport:
    with Folder(root, system) as folder:
        for name in ("objects", *RESERVED):
            make_folder(root / name)
        lost = _copy_files(backup, folder, progress)
        findings = [*(("missing", handle) for handle in lost), *(("damaged", handle) for handle in folder.damaged)]
        with opened_journal(backup) as journal:
            told = tuple(BackupFinding(problem, handle, paths_in(journal, handle)) for problem, handle in findings)
            journal.copy_to(folder.staging / "journal.db")
        adopt(folder.staging / "journal.db")
        crash_point("restore-files-copied")
        folder.place(folder.staging / "journal.db", "journal.db")
        crash_point("restore-journal-named")
        # Last: it makes the directory a lake.
        folder.write("lake.toml", (backup / "lake.toml").read_bytes())
    return RestoreReport(root, folder.copied, folder.bytes, told)


def _make_room(backup: Path, root: Path) -> None:
    config = load_config(backup)
    require_local(root)
    if Path(os.path.realpath(backup)) in Path(os.path.realpath(root)).parents:
        raise InvalidInput(f"{root} lies inside the backup: name a directory elsewhere")
    taken = f"{root} is there and not empty: name a new directory, or remove it if a restore was killed there"
    try:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise AlreadyExists(taken)
        root.mkdir(parents=True, exist_ok=True)
        set_root_mode(root, SHARED if config.shared else PRIVATE)
        # Of two who would restore to the same place at once, one gets it.
        make_folder(root / "staging")
    except FileExistsError:
        raise AlreadyExists(taken) from None
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot make {root}: {error.strerror}") from error


def _empty(root: Path) -> None:
    for child in root.iterdir():
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink()


def _copy_files(backup: Path, folder: Folder, progress: Progress) -> list[str]:
    """Copy what the journal needs; returns what the backup has not got."""
    lost = []
    with opened_journal(backup) as journal:
        folder.require(sum(size for _, size in needed_files(journal.files())))
        progress.start(sum(size for _, size in needed_files(journal.files())), "restore-lake")
        try:
            for handle, _ in needed_files(journal.files()):
                if not folder.take((backup / handle,), handle, progress, verify=True):
                    lost.append(handle)
            folder.publish()
        finally:
            progress.close()
    return lost
